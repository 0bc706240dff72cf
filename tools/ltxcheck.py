#!/usr/bin/env python3
"""Check LTX files completely, independently of the C code.

    ltxcheck.py [--chain] [--lock-offset BYTES] FILE...

Every header rule, page, index entry and checksum of each file is verified. With --chain the files
are the history of one database, oldest first, from a snapshot on: they are applied in turn, and the
rolling checksums in the reserved header bytes must be those of the database before and after.

Prints a line a file. Exit status 0: all good, 1: something is wrong, 2: usage or unreadable file.
The format is described in docs/ltx.md.
"""

import argparse
import struct
import sys

TOP = 1 << 63
ONES = (1 << 64) - 1
EMPTY = TOP
HEADER = struct.Struct(">4sIIIQQqQQQ8sQ4sQQ")
MASK32 = 0xFFFFFFFF


class Wrong(Exception):
    """What is wrong with a file."""


def need(condition, text):
    if not condition:
        raise Wrong(text)


def crc64_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ 0xD800000000000000 if n & 1 else n >> 1
        table.append(n)
    return table


CRC64 = crc64_table()


class Crc64:
    def __init__(self):
        self.state = ONES

    def add(self, data):
        state, table = self.state, CRC64
        for byte in data:
            state = table[(state ^ byte) & 255] ^ (state >> 8)
        self.state = state

    def value(self):
        return self.state ^ ONES


def page_checksum(pgno, data):
    crc = Crc64()
    crc.add(struct.pack(">I", pgno))
    crc.add(data)
    x = crc.value()
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & ONES
    x = (x ^ x >> 27) * 0x94D049BB133111EB & ONES
    return TOP | x ^ x >> 31


def xxh32(data):
    """xxHash, 32 bits, seed 0: the content checksum of LZ4 frames."""
    p1, p2, p3, p4, p5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393

    def rot(v, n):
        return ((v << n) | (v >> (32 - n))) & MASK32

    at = 0
    if len(data) >= 16:
        lanes = [(p1 + p2) & MASK32, p2, 0, -p1 & MASK32]
        while at + 16 <= len(data):
            for i, word in enumerate(struct.unpack_from("<4I", data, at)):
                lanes[i] = rot((lanes[i] + word * p2) & MASK32, 13) * p1 & MASK32
            at += 16
        h = sum(rot(v, n) for v, n in zip(lanes, (1, 7, 12, 18))) & MASK32
    else:
        h = p5
    h = (h + len(data)) & MASK32
    while at + 4 <= len(data):
        h = rot((h + struct.unpack_from("<I", data, at)[0] * p3) & MASK32, 17) * p4 & MASK32
        at += 4
    for byte in data[at:]:
        h = rot((h + byte * p5) & MASK32, 11) * p1 & MASK32
    h = (h ^ (h >> 15)) * p2 & MASK32
    h = (h ^ (h >> 13)) * p3 & MASK32
    return h ^ (h >> 16)


class Bytes:
    """A file, or a part of one, read from front to back."""

    def __init__(self, data, at=0):
        self.data = data
        self.at = at

    def left(self):
        return len(self.data) - self.at

    def take(self, n):
        need(self.left() >= n, f"ends at byte {len(self.data)}, {n} more expected at {self.at}")
        self.at += n
        return self.data[self.at - n:self.at]

    def integer(self, n, order="big"):
        return int.from_bytes(self.take(n), order)

    def varint(self):
        value = 0
        for shift in range(0, 70, 7):
            byte = self.integer(1)
            value |= (byte & 127) << shift
            if byte < 128:
                need(value < 1 << 64, "varint over 64 bits")
                return value
        raise Wrong("varint over 64 bits")


def lz4_block(data, out, limit):
    """Expand an LZ4 block behind what is in `out`, which may be referred to."""
    src = Bytes(data)

    def length(nibble):
        n = nibble
        while nibble == 15:
            byte = src.integer(1)
            n += byte
            if byte != 255:
                break
        return n

    while True:
        token = src.integer(1)
        out += src.take(length(token >> 4))
        if src.left() == 0:
            break
        back = src.integer(2, "little")
        n = length(token & 15) + 4
        need(0 < back <= len(out), "LZ4: match before the start")
        need(len(out) + n <= limit, "LZ4: more than a page")
        for _ in range(n):
            out.append(out[-back])
    need(len(out) <= limit, "LZ4: more than a page")


def lz4_frame(src, limit):
    """Expand the LZ4 frame at `src`, checking all of its checksums."""
    out = bytearray()
    need(src.take(4) == b"\x04\x22\x4d\x18", "no LZ4 frame")
    start = src.at
    flags, block_kind = src.integer(1), src.integer(1)
    need(flags >> 6 == 1 and not flags & 2, "LZ4 frame: unknown version")
    need(block_kind & 0x8F == 0 and block_kind >> 4 >= 4, "LZ4 frame: bad block size")
    need(not flags & 1, "LZ4 frame: needs a dictionary")
    need(flags & 4, "LZ4 frame: no content checksum")
    size = src.integer(8, "little") if flags & 8 else None
    head = src.data[start:src.at]
    need(src.integer(1) == xxh32(head) >> 8 & 255, "LZ4 frame: header checksum")
    while True:
        n = src.integer(4, "little")
        if n == 0:
            break
        block = src.take(n & 0x7FFFFFFF)
        if flags & 16:
            need(src.integer(4, "little") == xxh32(block), "LZ4 frame: block checksum")
        if n >> 31:
            out += block
        elif flags & 32:
            own = bytearray()
            lz4_block(block, own, limit)
            out += own
        else:
            lz4_block(block, out, limit)
        need(len(out) <= limit, "LZ4 frame: more than a page")
    need(src.integer(4, "little") == xxh32(out), "LZ4 frame: content checksum")
    need(size in (None, len(out)), "LZ4 frame: content size")
    return out


class Ltx:
    """A file, verified as far as it can be by itself."""

    def __init__(self, data, lock_offset):
        self.pages = {}
        self.src = Bytes(data)
        self.crc = Crc64()
        self.index = []
        self.read_header()
        self.lock = lock_offset // self.page_size + 1
        while self.read_page():
            pass
        self.read_end()
        self.check_snapshot()

    def read_header(self):
        raw = self.src.take(HEADER.size)
        (magic, flags, self.page_size, self.commit, self.min, self.max, self.time_ms, pre, wal_off,
         wal_size, salt, self.node, tag, before, after) = HEADER.unpack(raw)
        need(magic == b"LTX1", "not an LTX file")
        need(flags == 2, f"flags {flags:#x}")
        need(self.page_size in [512 << n for n in range(8)], f"page size {self.page_size}")
        need(self.commit > 0, "database of 0 pages")
        need(1 <= self.min <= self.max, f"TXID range {self.min:x}-{self.max:x}")
        need(pre == 0, "pre-apply checksum")
        need(max(wal_off, wal_size) < TOP, "negative WAL offset or size")
        need(wal_off or not wal_size, "WAL size without WAL offset")
        need(wal_off or salt == bytes(8), "WAL salt without WAL offset")
        self.rolling = (before, after) if tag == b"WRC2" else None
        if self.rolling:
            need(before & TOP and after & TOP, "rolling checksum without bit 63")
            need(self.min > 1 or before == EMPTY, "snapshot of a non-empty database")
        self.crc.add(raw)

    def read_page(self):
        src, start = self.src, self.src.at
        head = src.take(6)
        pgno, flags = struct.unpack(">IH", head)
        self.crc.add(head)
        if pgno == 0:
            need(flags == 0, "page 0")
            return False
        last = self.index[-1][0] if self.index else 0
        need(pgno > last, f"page {pgno} after page {last}")
        need(pgno <= self.commit, f"page {pgno} of {self.commit}")
        need(pgno != self.lock, f"page {pgno} is the lock page")
        need(flags in (0, 1), f"page {pgno}: flags {flags:#x}")
        if flags == 1:
            size = src.take(4)
            self.crc.add(size)
            page = bytearray()
            lz4_block(src.take(int.from_bytes(size, "big")), page, self.page_size)
        else:
            page = lz4_frame(src, self.page_size)
        need(len(page) == self.page_size, f"page {pgno} of {len(page)} bytes")
        self.crc.add(page)
        self.pages[pgno] = bytes(page)
        self.index.append((pgno, start, src.at - start))
        return True

    def read_end(self):
        src, start = self.src, self.src.at
        for want in self.index:
            got = (src.varint(), src.varint(), src.varint())
            need(got == want, f"index entry {got}, the page is {want}")
        need(src.varint() == 0, "index entry without a page")
        size = src.at - start
        need(src.integer(8) == size, "length of the index")
        need(src.integer(8) == 0, "post-apply checksum")
        self.crc.add(src.data[start:src.at])
        self.checksum = src.integer(8)
        need(self.checksum == TOP | self.crc.value(), "file checksum")
        need(src.left() == 0, f"{src.left()} bytes after the end")

    def check_snapshot(self):
        if self.min != 1:
            return
        want = [n for n in range(1, self.commit + 1) if n != self.lock]
        need(list(self.pages) == want, "snapshot with missing pages")
        if self.rolling:
            need(rolling(self.pages) == self.rolling[1], "rolling checksum after the snapshot")


def rolling(pages):
    value = EMPTY
    for pgno, data in pages.items():
        value = TOP | value ^ page_checksum(pgno, data)
    return value


def apply(pages, previous, ltx):
    """Let `ltx`, which follows the file `previous`, change the newest versions of all `pages`.

    As in a merge, a page that is cut off comes back if the database grows again without writing
    it. Our writer always writes it, the original's does not.
    """
    need(previous or ltx.min == 1, "the chain does not start with a snapshot")
    if previous:
        need(ltx.page_size == previous.page_size, "other page size")
        need(ltx.min <= previous.max + 1 and ltx.max > previous.max, "does not follow")
        if ltx.rolling and ltx.min == previous.max + 1:
            before = {n: p for n, p in pages.items() if n <= previous.commit}
            need(rolling(before) == ltx.rolling[0], "rolling checksum before the file")
    pages.update(ltx.pages)
    after = {n: p for n, p in pages.items() if n <= ltx.commit}
    want = ltx.commit - (1 if ltx.lock <= ltx.commit else 0)
    need(len(after) == want, f"database of {len(after)} pages, {want} expected")
    if ltx.rolling:
        need(rolling(after) == ltx.rolling[1], "rolling checksum after the file")


def main():
    parser = argparse.ArgumentParser(description="Check LTX files completely.")
    parser.add_argument("--chain", action="store_true", help="files are one history, oldest first")
    parser.add_argument("--lock-offset", type=int, default=0x40000000, metavar="BYTES")
    parser.add_argument("files", nargs="+", metavar="FILE")
    args = parser.parse_args()
    pages, previous, status = {}, None, 0
    for name in args.files:
        try:
            with open(name, "rb") as f:
                data = f.read()
        except OSError as error:
            print(f"{name}: {error.strerror}", file=sys.stderr)
            return 2
        try:
            ltx = Ltx(data, args.lock_offset)
            if args.chain:
                apply(pages, previous, ltx)
            previous = ltx
        except Wrong as wrong:
            print(f"{name}: WRONG: {wrong}")
            status = 1
            if args.chain:
                break
            continue
        proof = "rolling checksum " + f"{ltx.rolling[1]:016x}" if ltx.rolling else "no rolling checksum"
        print(f"{name}: ok, TXID {ltx.min:x}-{ltx.max:x}, {len(ltx.pages)} of {ltx.commit} pages "
              f"of {ltx.page_size} bytes, checksum {ltx.checksum:016x}, {proof}")
    return status


if __name__ == "__main__":
    sys.exit(main())

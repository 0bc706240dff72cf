"""A replica that somebody made to hurt whoever restores from it.

Files have right checksums wherever that is possible: what is refused is refused for what it says. Every
restore must end soon, with a reason, in bounded memory, and leave nothing anywhere.
"""
import os
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

import fakes3
import kit
from badkit import Outcome, case, digest

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
import ltxcheck  # noqa: E402  the other reader of the format, for its checksums

PAGE = 4096
MAX = (1 << 32) - 1
MEMORY_MIB = 96     # a good restore of three pages takes 25 with sanitizers
SECONDS = 20        # that one may take
FILE_MAX = 1 << 30  # nothing here is a gigabyte; a larger file ends in an error

KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "canary-evil"}


def literals(data):
    """An LZ4 block without a match."""
    n, more = len(data), b""
    if n >= 15:
        more = b"\xff" * ((n - 15) // 255) + bytes([(n - 15) % 255])
    return bytes([min(n, 15) << 4]) + more + data


def bomb(n):
    """An LZ4 block of about n bytes that expands to 255 times as many."""
    return b"\x1fA\x01\x00" + b"\xff" * n + b"\x00" + b"\x50AAAAA"


def frame_bomb(blocks):
    """An LZ4 frame of 4 MiB blocks, each of which expands to all of that."""
    head = b"\x64\x70"
    block = bomb((4 << 20) // 255 - 1)
    return b"\x04\x22\x4d\x18" + head + bytes([ltxcheck.xxh32(head) >> 8 & 255]) + (
        struct.pack("<I", len(block)) + block) * blocks + bytes(8)


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def pages(path):
    data = kit.read(path)
    return {i + 1: data[i * PAGE:(i + 1) * PAGE] for i in range(len(data) // PAGE)}


def ltx(contents, low=1, high=1, commit=None, page_size=PAGE, frames=None, index=None, index_size=None,
        flags=2, magic=b"LTX1"):
    """A file with these pages. `frames`: {number: bytes} that are not what they should be; `index`:
    [(number, offset, size)]."""
    frames = frames or {}
    head = ltxcheck.HEADER.pack(magic, flags, page_size, len(contents) if commit is None else commit, low, high,
                                1767225600000, 0, 0, 0, bytes(8), 0, bytes(4), 0, 0)
    crc, body, entries = ltxcheck.Crc64(), head, []
    crc.add(head)
    for n, data in contents.items():
        block = literals(data)
        prefix = struct.pack(">IHI", n, 1, len(block))
        frame = frames.get(n, prefix + block)
        crc.add(prefix + data)
        entries.append((n, len(body), len(frame)))
        body += frame
    table = b"".join(varint(v) for e in (entries if index is None else index) for v in e) + b"\0"
    table += struct.pack(">Q", len(table) if index_size is None else index_size)
    crc.add(bytes(6) + table + bytes(8))
    return body + bytes(6) + table + bytes(8) + struct.pack(">Q", crc.value() | ltxcheck.TOP)


def evil_files(good):
    """(what, {(level, low, high): bytes})"""
    one = {1: good[1]}
    n = len(good)

    def alone(data):
        return {(9, 1, 1): data}

    def second(data, low=2, high=2):
        return {(9, 1, 1): ltx(good), (0, low, high): data}
    yield "commit of 2^32-1", alone(ltx(one, commit=MAX))
    yield "commit of 2^32-1 and all pages of a small one", alone(ltx(good, commit=MAX))
    yield "growth to 2^32-1 pages that are not there", second(ltx(one, 2, 2, commit=MAX))
    yield "growth by one page that is not there", second(ltx(one, 2, 2, commit=n + 1))
    yield "commit of 0", second(ltx({}, 2, 2, commit=0))
    for size in (0, 1, 3, 256, 4095, 1 << 17, 1 << 31, MAX):
        yield "page size %d" % size, alone(ltx(good, page_size=size))
    yield "page size changes", second(ltx({1: good[1][:512]}, 2, 2, commit=n, page_size=512))
    for number in (0, n + 1, 0x40000000 // PAGE + 1, MAX):
        frame = struct.pack(">IHI", number, 1, len(literals(good[1]))) + literals(good[1])
        yield "page number %d" % number, alone(ltx(good, frames={2: frame}))
        yield "page number %d in the index, too" % number, second(ltx({number: good[1]}, 2, 2, commit=n))
    yield "pages that descend", second(ltx({2: good[2], 1: good[1]}, 2, 2, commit=n))
    for what, (low, high) in {"TXIDs that descend": (3, 2), "TXID 0": (0, 2)}.items():
        yield what, second(ltx(one, low, high, commit=n))
    at = [(1, 100, 4110), (2, 4210, 4110)]
    for what, entry in {"behind the file": (2, 1 << 20, 4110), "at 2^63": (2, 1 << 63, 4110), "at 0": (2, 0, 4110),
                        "at 2^64-1": (2, (1 << 64) - 1, 4110), "of 2^63 bytes": (2, 4210, 1 << 63),
                        "of 2^32 bytes": (2, 4210, 1 << 32), "of 0 bytes": (2, 4210, 0),
                        "that overlaps": (2, 4209, 4111)}.items():
        yield "index entry " + what, alone(ltx({1: good[1], 2: good[2]}, index=[at[0], entry]))
    yield "index entry of a page twice", alone(ltx({1: good[1], 2: good[2]}, index=[at[0], at[0]]))
    yield "index entry that is missing", alone(ltx({1: good[1], 2: good[2]}, index=at[:1]))
    yield "index of a million entries", alone(ltx(one, commit=MAX, index=((i, 100, 4110) for i in range(1, 1000001))))
    for size in (0, 1, 1 << 20, 1 << 63, (1 << 64) - 1):
        yield "index of %d bytes" % size, alone(ltx(good, index_size=size))
    for size in (16, 4096, 4100):
        frame = struct.pack(">IHI", 2, 1, len(bomb(size))) + bomb(size)
        yield "LZ4 block of %d bytes that is a bomb" % size, alone(ltx(good, frames={2: frame}))
    for size in (1 << 20, 1 << 31, MAX):
        frame = struct.pack(">IHI", 2, 1, size) + literals(good[2])
        yield "LZ4 block that claims %d bytes" % size, alone(ltx(good, frames={2: frame}))
    for blocks in (1, 50):
        yield "LZ4 frame of %d blocks that is a bomb" % blocks, alone(
            ltx(good, frames={2: struct.pack(">IH", 2, 0) + frame_bomb(blocks)}))
    short = literals(good[2][:-1])
    yield "a page that is a byte short", alone(ltx(good, frames={2: struct.pack(">IHI", 2, 1, len(short)) + short}))
    yield "unknown flags", alone(ltx(good, flags=0x80000002))
    yield "another magic", alone(ltx(good, magic=b"LTX9"))


def memory_of(pid):
    """MiB of memory that it has ever had. What wait4 tells counts what its parent had, too."""
    with open("/proc/%d/status" % pid, encoding="utf-8") as f:
        return next((int(line.split()[1]) >> 10 for line in f if line.startswith("VmHWM")), 0)


def measured(c, *args, env=None):
    """Run weir to its end: (outcome, MiB of memory that it ever had)."""
    asan = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
    memory, end = 0, time.monotonic() + SECONDS
    with tempfile.TemporaryFile() as out:
        p = subprocess.Popen(["prlimit", "--fsize=%d" % FILE_MAX, *c.command(args)], stdout=out, stderr=out, cwd=c.work,
                             env={**os.environ, "ASAN_OPTIONS": asan, **(env or {})})
        while p.poll() is None and time.monotonic() < end:
            memory = max(memory, memory_of(p.pid))
            time.sleep(0.002)
        killed = p.poll() is None
        if killed:
            p.kill()
        p.wait()
        out.seek(0)
        text = out.read().decode("utf-8", "replace")
    c.judge(args, text)
    c.check(not killed, "weir %s does not end: %s" % (" ".join(args), text))
    return Outcome(args, p.returncode, text), memory


def good_pages(c):
    """The pages of a small database, in a rollback journal's mode, as it is in a file."""
    path = c.path("good.db")
    db = sqlite3.connect(path)
    db.execute("PRAGMA page_size=%d" % PAGE)
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    db.execute("INSERT INTO t(v) VALUES(zeroblob(%d))" % PAGE)
    db.commit()
    db.close()
    return pages(path)


def put(c, files):
    """A replica of these files only."""
    replica = c.path("replica")
    subprocess.run(["rm", "-rf", replica], check=True)
    for (level, low, high), data in files.items():
        directory = os.path.join(replica, "ltx", "%d" % level)
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, "%016x-%016x.ltx" % (low, high)), "wb") as f:
            f.write(data)


@case
def evil_contents(c):
    """Sizes, numbers, offsets and blocks that lie: 5, with the reason; nothing is there afterwards."""
    good = good_pages(c)
    target = c.path("there", "target.db")
    os.mkdir(c.path("there"))
    put(c, {(9, 1, 1): ltx(good)})
    out, _ = measured(c, "restore", "-o", target, c.url)
    c.expect(out, 0)
    c.check(pages(target) == good, "a good file made by this test is restored to something else")
    c.expect(c.run("verify", c.url), 0, "1 point can be restored")
    os.remove(target)
    count = 0
    for what, files in evil_files(good):
        put(c, files)
        before = digest(c.path("replica"))
        start = time.monotonic()
        out, memory = measured(c, "restore", "-o", target, c.url)
        took = time.monotonic() - start
        c.check(out.code == 5, "%s: exit code %s: %s" % (what, out.code, out.text))
        c.check("Error: " + c.url in out.text, "%s: does not say what is wrong, and where: %s" % (what, out.text))
        left = os.listdir(c.path("there"))
        c.check(not left, "%s: left behind: %s" % (what, left))
        for entry in left:
            os.remove(c.path("there", entry))
        c.check(memory < MEMORY_MIB, "%s: %d MiB of memory" % (what, memory))
        c.check(took < SECONDS / 2, "%s: took %.1f s" % (what, took))
        out, memory = measured(c, "verify", c.url)
        c.check(out.code == 5, "%s: verify: exit code %s: %s" % (what, out.code, out.text))
        c.check(memory < MEMORY_MIB, "%s: verify: %d MiB of memory" % (what, memory))
        c.check(digest(c.path("replica")) == before, "%s: the replica was changed" % what)
        count += 1
    c.check(count > 40, "only %d cases" % count)


@case
def way_around(c):
    """A damaged file where others lead to the same state: 0, with a warning. Where none do: 5, and what is left."""
    good = good_pages(c)
    last = {**good, 2: bytes(PAGE)}
    target = c.path("target.db")
    files = {(0, 1, 1): ltx(good), (0, 2, 2): ltx({2: last[2]}, 2, 2, commit=len(good)), (9, 1, 2): ltx(last, 1, 2)}
    for what, spoil in {"cut": lambda d: d[:-1], "short": lambda d: d[:40], "a bit": lambda d: d[:300] + b"?" + d[301:],
                        "another magic": lambda d: b"LTX9" + d[4:]}.items():
        for bad in ((9, 1, 2), (0, 2, 2)):
            put(c, {**files, bad: spoil(files[bad])})
            out = c.run("restore", "-o", target, c.url)
            c.expect(out, 0)
            c.check(pages(target) == last, "%s in %s: restored something else" % (what, bad))
            os.remove(target)
            c.check(("a file of the replica is damaged" in out.text) == (bad[0] == 9),
                    "%s in %s: %s" % (what, bad, out.text))
        put(c, {key: spoil(data) if key[2] == 2 else data for key, data in files.items()})
        out = c.run("restore", "-o", target, c.url)
        c.expect(out, 5, "-txid 0000000000000001")
        c.check(not os.path.exists(target), "%s: an older state is there" % what)
        c.expect(c.run("restore", "-txid", "0000000000000001", "-o", target, c.url), 0)
        c.check(pages(target) == good, "%s: restored something else" % what)
        os.remove(target)


def around(c):
    """Everything in the work directory but logs, as it is now."""
    return sorted(os.path.join(d, f) for d, _, files in os.walk(c.work) for f in files)


@case
def evil_listing(c):
    """A bucket that lists paths, absurd sizes, endless pages, and XML that grows: nothing is written anywhere
    but the target; what is left is restored or it is refused."""
    good = good_pages(c)
    fake = fakes3.FakeS3(c.path("bucket"))
    url = fake.url("x")
    put(c, {(9, 1, 1): ltx(good)})
    os.makedirs(c.path("bucket"))
    os.rename(c.path("replica"), c.path("bucket", "x"))
    os.mkdir(c.path("there"))
    target = c.path("there", "target.db")
    name = "0000000000000002-0000000000000002.ltx"
    size = os.path.getsize(c.path("bucket", "x", "ltx", "9", "%016x-%016x.ltx" % (1, 1)))
    measured(c, "restore", "-o", target, url, env=KEYS)
    c.check(pages(target) == good, "the bucket of this test does not work")
    os.remove(target)
    all_levels, prefix = "x/000", "x/0000/"
    there = ("x/0009/%016x-%016x.ltx" % (1, 1), size)
    paths = sorted(prefix + p for p in ("../../../../../tmp/" + name, "../0000/" + name, "./" + name, "/etc/" + name,
                                  "%2e%2e%2f" + name, "..\\" + name, name + "/../../evil", "a/b/" + name, "..", ""))
    first = fakes3.listing([(prefix + name, size), there])
    lol = b"<!DOCTYPE l [<!ENTITY a0 'lollollollol'>" + b"".join(
        b"<!ENTITY a%d '%s'>" % (i, b"&a%d;" % (i - 1) * 10) for i in range(1, 12)) + b"]>"
    lies = {
        "paths": (lambda: fakes3.listing([*((p, size) for p in paths), there]), True),
        "of another prefix": (lambda: fakes3.listing([there, ("y/0000/" + name, size), ("/etc/passwd", 1)]), None),
        "of -1 bytes": (lambda: first.replace(b"<Size>%d" % size, b"<Size>-1", 1), False),
        "of 2^64 bytes": (lambda: first.replace(b"<Size>%d" % size, b"<Size>18446744073709551616", 1), False),
        "of 2^63 bytes": (lambda: first.replace(b"<Size>%d" % size, b"<Size>9223372036854775808", 1), False),
        "the same page again and again": (lambda: fakes3.listing([(prefix + name, size), there], "again"), False),
        "entities": (lambda: lol + b"<ListBucketResult>&a11;</ListBucketResult>", False),
        "not closed": (lambda: first[:-20], False),
        "deep": (lambda: b"<ListBucketResult>" + b"<a>" * 200000, False),
        "a key of a megabyte": (lambda: fakes3.listing([("x/0000/" + "a" * (1 << 20), size), there]), None),
        "a hundred thousand keys in a page": (
            lambda: fakes3.listing(("%s%016x-%016x.ltx" % (prefix, i, i), 1) for i in range(2, 100002)), False),
    }
    for what, (answer, fine) in lies.items():
        fake.lie = lambda method, path, query, said, answer=answer: \
            (200, [], answer()) if query.get("prefix") == all_levels else None
        before = around(c)
        out, memory = measured(c, "restore", "-o", target, url, env=KEYS)
        done = os.path.exists(target)
        c.check(out.code == 0 if fine else out.code not in (0, None, -11, -6) if fine is False else out.code is not None,
                "listing %s: exit code %s: %s" % (what, out.code, out.text))
        c.check(done == (out.code == 0), "listing %s: exit code %s, target %s" % (what, out.code, done))
        if done:
            c.check(pages(target) == good, "listing %s: restored something else" % what)
            os.remove(target)
        c.check("Error: " in out.text or out.code == 0, "listing %s: no reason: %s" % (what, out.text))
        c.check(memory < MEMORY_MIB, "listing %s: %d MiB of memory" % (what, memory))
        c.check(around(c) == before, "listing %s: files appeared: %s" % (what, set(around(c)) - set(before)))
    answers = {
        "longer than announced": lambda s: (s[0], s[1], s[2] + bytes(1 << 20), s[3]),
        "shorter than announced": lambda s: (s[0], [*s[1], ("Connection", "close")], s[2][:-50], s[3]),
        "of the whole object": lambda s: (200, s[1][:1], bytes(8 << 20)),
        "of another range": lambda s: (206, [("Content-Range", "bytes 0-0/99999999999999999999")], s[2]),
        "endless headers": lambda s: (s[0], [("X-%d" % i, "a" * 1000) for i in range(500)], s[2]),
        "nothing": lambda s: (206, s[1], b""),
    }
    for what, change in answers.items():
        fake.lie = lambda method, path, query, said, change=change: \
            change(said) if method == "GET" and path.endswith(".ltx") and said[0] in (200, 206) else None
        out, memory = measured(c, "restore", "-o", target, url, env=KEYS)
        if out.code == 0:  # it may take what it asked for and leave the rest
            c.check(pages(target) == good, "answer %s: restored something else" % what)
            os.remove(target)
        c.check(out.code == 0 or "Error: " in out.text, "answer %s: %s %s" % (what, out.code, out.text))
        c.check(not os.listdir(c.path("there")), "answer %s: left behind: %s" % (what, os.listdir(c.path("there"))))
        c.check(memory < MEMORY_MIB, "answer %s: %d MiB of memory" % (what, memory))
    fake.stop()

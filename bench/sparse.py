"""A database as large as is asked for, of a file that is mostly holes."""
import os
import sqlite3
import struct

PAGE = 4096
LEAVES = 1000  # of a trunk page, fewer than SQLite would put there


def make(path, size, leaves):
    """A database of `size` bytes whose `leaves` free pages are evenly spread; all else of it are pages
    that nothing refers to. See "The Freelist" and "The Database Header" in SQLite's file format."""
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("PRAGMA page_size=%d; PRAGMA journal_mode=delete; CREATE TABLE t(id INTEGER PRIMARY KEY, v)" % PAGE)
    db.close()
    with open(path, "r+b") as f:
        header = bytearray(f.read(100))
        used = os.path.getsize(path) // PAGE
        pages = size // PAGE
        os.truncate(path, size)
        lock = (1 << 30) // PAGE + 1  # page that SQLite never uses
        step = (pages - used - 1) // leaves
        free = [p for p in (used + 1 + i * step for i in range(leaves)) if p != lock]
        runs = [free[i:i + LEAVES + 1] for i in range(0, len(free), LEAVES + 1)]
        for i, run in enumerate(runs):
            following = runs[i + 1][0] if i + 1 < len(runs) else 0
            f.seek((run[0] - 1) * PAGE)
            f.write(struct.pack(">%dI" % (len(run) + 1), following, len(run) - 1, *run[1:]))
        changes = struct.unpack(">I", header[24:28])[0] + 1
        header[24:40] = struct.pack(">IIII", changes, pages, free[0], len(free))
        header[92:96] = struct.pack(">I", changes)
        f.seek(0)
        f.write(header)


def fill(path, rows):
    """Rows of about a page each, which no compressor can shorten, in pages from its beginning to its end."""
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("PRAGMA journal_mode=wal; BEGIN")
    db.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
               " INSERT INTO t SELECT i, randomblob(3000) FROM n", (rows,))
    db.execute("COMMIT")
    db.close()

"""The read phases of SQLite's speedtest1, and integrity_check, over a replica: the answers are those of the file."""
import random
import time

from vfs_copy import whole
from vfs_same import answer, same
from vfskit import case, one

ONES = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
        "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
TENS = ("", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SCHEMA = """
PRAGMA page_size=%d; PRAGMA journal_mode=wal;
CREATE TABLE z1(a INTEGER, b INTEGER, c TEXT);
CREATE TABLE z2(a INTEGER PRIMARY KEY, b INTEGER, c TEXT);
CREATE TABLE t3(a INTEGER PRIMARY KEY, b INTEGER, c TEXT);
CREATE TABLE t4(a INTEGER PRIMARY KEY, b INTEGER, c TEXT);
CREATE TABLE t5(a TEXT PRIMARY KEY, b TEXT) WITHOUT ROWID;
"""
INDEXES = """
CREATE INDEX t1b ON z1(b); CREATE INDEX t1c ON z1(c); CREATE UNIQUE INDEX t2b ON z2(b); CREATE INDEX t2c ON z2(c DESC);
CREATE INDEX t3bc ON t3(b, c);
"""
OF_Z1 = "SELECT count(*), avg(b), sum(length(c)), group_concat(%s) FROM z1 WHERE "


def name(n):
    """A number in words, by which speedtest1 has its texts."""
    parts = []
    for unit, word in ((1000000, "million"), (1000, "thousand"), (100, "hundred")):
        if n >= unit:
            parts += [name(n // unit), word]
            n %= unit
    if n >= 20:
        parts.append(TENS[n // 10])
        n %= 10
    return " ".join(parts + [ONES[n]]).strip()


def fill(db, rows, rnd):
    """In one order and another, with and without an index."""
    shuffled = rnd.sample(range(1, rows + 1), rows)
    db.execute("BEGIN")
    for i, x in enumerate(shuffled, 1):
        db.execute("INSERT INTO z1 VALUES(?, ?, ?)", (x, i, name(x)))
        db.execute("INSERT INTO z2 VALUES(?, ?, ?)", (i, x, name(x)))
        db.execute("INSERT INTO t3 VALUES(?, ?, ?)", (x, i, name(i)))
        db.execute("INSERT INTO t4 VALUES(?, ?, ?)", (i, rnd.randrange(1, rows), name(i)))
        db.execute("INSERT OR REPLACE INTO t5 VALUES(?, ?)", (name(x % (rows // 2)), name(i)))
    db.execute("COMMIT")


def phases(rows, rnd):
    """What speedtest1 calls its tests: (number and what it does, its statements)."""
    def between(count, sql, width):
        starts = [rnd.randrange(1, rows) for _ in range(count)]
        return [sql.format(i, i + rnd.randrange(1, width)) for i in starts]

    def like(count, sql):
        return [sql % name(rnd.randrange(1, rows)).replace(" ", "%") for _ in range(count)]

    def words(count, sql):
        return [sql.format(name(rnd.randrange(1, rows))) for _ in range(count)]

    return {
        False: [  # before there are indexes
            ("130 numeric BETWEEN, unindexed", between(25, OF_Z1 % "c" + "b BETWEEN {} AND {}", rows // 20)),
            ("140 LIKE, unindexed", like(10, OF_Z1 % "c" + "c LIKE '%%%s%%'")),
            ("142 ORDER BY, unindexed", like(10, "SELECT a, b, c FROM z1 WHERE c LIKE '%%%s%%' ORDER BY a")),
            ("145 ORDER BY and LIMIT", like(10, "SELECT a, b, c FROM z1 WHERE c LIKE '%%%s%%' ORDER BY a LIMIT 10"))],
        True: [
            ("160 numeric BETWEEN, indexed", between(200, OF_Z1 % "a" + "b BETWEEN {} AND {}", 60)),
            ("161 numeric BETWEEN, primary key", between(
                200, "SELECT count(*), avg(b), sum(length(c)), group_concat(a) FROM z2 WHERE a BETWEEN {} AND {}", 60)),
            ("170 text BETWEEN, indexed", words(200, OF_Z1 % "a" + "c BETWEEN '{0}' AND '{0}~'")),
            ("310 four-way joins", between(
                100, "SELECT z1.c FROM z1, z2, t3, t4 WHERE t4.a BETWEEN {} AND {} AND t3.a = t4.b AND z2.a = t3.b "
                "AND z1.c = z2.c ORDER BY t4.a", 10)),
            ("320 subquery in result set", [
                "SELECT sum(a), max(c), avg((SELECT a FROM z2 WHERE 5 + z2.b = z1.b) AND rowid < %d), max(c) FROM z1 "
                "WHERE rowid < %d" % (n, n) for n in (rows // 4, rows)]),
            ("510 on a text primary key", words(200, "SELECT b FROM t5 WHERE a = '{}'")),
            ("520 SELECT DISTINCT", ["SELECT DISTINCT b FROM t5", "SELECT DISTINCT b FROM t3"]),
            ("980 integrity_check", ["PRAGMA integrity_check", "PRAGMA quick_check", "PRAGMA foreign_key_check"])]}


@case
def the_read_phases_of_speedtest1(w):
    """With a cache for all pages, one for a few, and a local copy that is whole and mapped."""
    w.load()
    rows, rnd, asked, spent = 1000 if w.quick else 5000, random.Random(3), 0, 0.0
    path, url = w.path("app.db"), "file://" + w.path("replica")
    db = w.database(path, SCHEMA % 1024)
    fill(db, rows, rnd)
    questions = phases(rows, rnd)
    for indexed in (False, True):
        if indexed:
            db.executescript(INDEXES)
        w.once(path, url)
        for more in ({"cache_size": "64MiB"}, {"cache_size": "20000"}, {"hydration_enabled": "true"}):
            ours = w.open(url, **more)
            if "hydration_enabled" in more:
                ours.execute("PRAGMA mmap_size=100000000")
                whole(w, ours)
            w.check(one(ours, "PRAGMA integrity_check") == "ok", "damaged")
            before = time.monotonic()
            for what, statements in questions[indexed]:
                same(w, "%s, %s" % (what, more), ours, db, statements)
                asked += len(statements)
            spent += time.monotonic() - before
            ours.close()
    bad = [q for phase in questions.values() for _, sql in phase for q in sql if isinstance(answer(db, q), str)]
    w.check(not bad, "no question: %s" % bad[:1])
    w.notes.append("%d answers in %.1f s, both ways" % (asked, spent))



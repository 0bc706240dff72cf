"""Replicas on an S3 server that refuses, hangs, or is not there for a while."""
import os
import random
import sqlite3
import threading
import time

import fakes3
import kit
import store
from vfs_follow import CONFIG, SCHEMA, Writer
from vfskit import case, one

ACCESS, SECRET = "AKIDEXAMPLE", "a-very-secret-key"
CACHE = 20000             # bytes: a fifth of the database
FETCH, SLACK = 1.0, 1.0  # seconds: fetch_timeout, and what may come on top


def credentials(w, access=ACCESS, secret=SECRET):
    """In our environment, and in that of weir."""
    for env in (os.environ, w.clean):
        env.update(AWS_ACCESS_KEY_ID=access, AWS_SECRET_ACCESS_KEY=secret, NO_PROXY="*")
        env.pop("AWS_CA_BUNDLE", None)


def with_replica(w, server, line):
    """A database on the server, a connection that has read a part of it: (path, url, connection)."""
    credentials(w)
    path, url = w.path("app.db"), server.url("app")
    db = w.database(path, SCHEMA)
    db.execute("WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 80)"
               " INSERT INTO t(v) SELECT randomblob(900) FROM c")
    db.close()
    w.once(path, url)
    w.load()
    ours = w.open(server.url("app", line.endpoint), cache_size=CACHE, fetch_timeout="%dms" % (FETCH * 1000),
                  open_timeout="%dms" % (FETCH * 1000))
    w.check(one(ours, "SELECT sum(v) FROM account") == 6000, "before the outage")
    return path, url, ours


def refusing(status, code):
    answer = status, [], (fakes3.ERROR % (code, "not now")).encode()
    return lambda method, path, query, said: answer if method in ("GET", "HEAD") else said


def outage(w, what, db, path, begin, end):
    """Errors that come in time, lag that grows and says why, and then all is as before."""
    begin()
    time.sleep(0.3)
    lag = one(db, "SELECT weir_lag_ms()")
    before = time.monotonic()
    for _ in range(2):
        w.refused(what, FETCH + SLACK, lambda: one(db, "SELECT sum(length(v)) FROM t"))
    w.check(one(db, "SELECT weir_error()") != "", what + ": weir_error() is empty")
    w.refused(what + ", a state of the past", FETCH + SLACK, lambda: db.execute("SELECT weir_set_txid('1')").fetchall())
    w.refused(what + ", opened in the past", FETCH + SLACK,
              lambda: w.open(w.reached, name="past.db", open_timeout="1s", cache_size=CACHE, txid=1))
    grown, took = one(db, "SELECT weir_lag_ms()") - lag, (time.monotonic() - before) * 1000
    w.check(abs(grown - took) < 400, "%s: the lag grew by %d ms in %d" % (what, grown, took))
    said = w.refused(what + ", open", FETCH + SLACK, lambda: w.open(w.other, name="other.db", open_timeout="1s", cache_size=CACHE))
    w.check("unable to open" in said, "%s, open: %s" % (what, said))
    end()
    writer = Writer(path)
    source = w.database(path, "SELECT 1")
    writer.once(source)
    n = one(source, "SELECT n FROM meta")
    source.close()
    w.once(path, w.direct)

    def again():
        try:
            return one(db, "SELECT n FROM meta") == n and one(db, "SELECT weir_lag_ms()") < 2000
        except sqlite3.Error:
            return False
    before = time.monotonic()
    w.check(kit.wait_until(again, 25), "%s: it does not come back: %s" % (what, one(db, "SELECT weir_error()")))
    w.notes.append("%s: back in %.1f s" % (what, time.monotonic() - before))
    w.check(one(db, "PRAGMA quick_check") == "ok", what + ": damaged afterwards")
    w.check(one(db, "SELECT weir_error()") == "", "%s: %s, afterwards" % (what, one(db, "SELECT weir_error()")))


@case
def a_server_that_is_lost_for_a_while(w):
    """V-08, V-09: refused, silent, cut off, or full of errors."""
    server = fakes3.FakeS3(w.path("bucket"))
    line = fakes3.BadLine(server.endpoint)
    path, w.direct, db = with_replica(w, server, line)
    w.reached = server.url("app", line.endpoint)
    w.other = w.reached.replace("region=r&", "region=q&")  # nobody reads it yet

    def lie(status, code):
        server.lie = refusing(status, code) if status else None
    for mode in ("cut", "silent") if w.quick else ("cut", "silent", "lost"):
        outage(w, mode, db, path, lambda: line.become(mode), lambda: line.become("good"))
    answers = (403, "AccessDenied"), (503, "SlowDown"), (500, "InternalError"), (404, "NoSuchBucket")
    for status, code in answers[:2] if w.quick else answers:
        outage(w, str(status), db, path, lambda: lie(status, code), lambda: lie(0, ""))
    db.close()
    w.check(SECRET not in w.logged() and w.logged().count("\n") < 400, "the log: %d lines" % w.logged().count("\n"))


ETAGS = {
    "weak ones": lambda tag, n: ("W/" if n % 2 else "") + tag,
    "of packed answers": lambda tag, n: tag[:-1] + ("-gzip" if n % 2 else "") + tag[-1],
    "of two servers": lambda tag, n: tag if n % 2 else '"0011"',
    "of two servers, by chance": lambda tag, n: tag if random.random() < 0.5 else '"0011"',
    "another one each time": lambda tag, n: '"%032x"' % n,
    "none": lambda tag, n: "",
}


@case
def tags_that_are_not_the_same_in_each_answer(w):
    """What is between may change them; they tell nothing then, and all is read nevertheless."""
    server, asked = fakes3.FakeS3(w.path("bucket")), [0]
    with_replica(w, server, server)[2].close()
    for what, other in ETAGS.items():
        def lie(method, path, query, said):
            asked[0] += 1
            headers = [(k, other(v, asked[0]) if k == "ETag" else v) for k, v in said[1]]
            return (said[0], headers, *said[2:])
        server.lie = lie
        db = w.open(server.url("app"), cache_size=CACHE, name="etags-%d.db" % len(what))
        for _ in range(5):
            w.check(good(db), what + ": it is not read: %s" % one(db, "SELECT weir_error()"))
        db.close()


@case
def an_interrupt_while_the_server_is_silent(w):
    """The program ends a statement that waits, no later than fetch_timeout."""
    server = fakes3.FakeS3(w.path("bucket"))
    line = fakes3.BadLine(server.endpoint)
    _, _, db = with_replica(w, server, line)
    line.become("silent")
    threading.Timer(0.2, db.interrupt).start()
    w.refused("interrupt", FETCH + SLACK, lambda: one(db, "SELECT sum(length(v)) FROM t"))
    line.become("good")
    w.check(kit.wait_until(lambda: good(db), 20), "it does not come back")
    line.become("silent")
    before = time.monotonic()
    db.close()
    w.check(time.monotonic() - before < 2, "close: %.1f s, beside a request that hangs" % (time.monotonic() - before))


class SlowAnswers(store.SlowLine):
    """What comes from the server is slow, not what goes there."""

    def carry(self, a, b, slow):
        super().carry(a, b, not slow)


@case
def a_line_that_is_slow(w):
    """Reading ahead does not make a page come too late that by itself would come in time."""
    server = fakes3.FakeS3(w.path("bucket"))
    credentials(w)
    path = w.path("app.db")
    db = w.database(path, SCHEMA)
    db.execute("WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 800)"
               " INSERT INTO t(v) SELECT randomblob(900) FROM c")
    db.close()
    w.once(path, server.url("app"))
    w.load()
    line = SlowAnswers(server.endpoint, 100000)
    ours = w.open(server.url("app", line.endpoint), fetch_timeout="1s", poll_interval="1h")
    for _ in range(3):
        try:
            got = one(ours, "SELECT count(length(v)) FROM t")
        except sqlite3.Error as e:
            got = "%s: %s" % (e, one(ours, "SELECT weir_error()"))
        w.check(got == 801, "a scan of 800 kB, of which 100 come in a second: %s" % got)


@case
def what_is_cached_while_the_server_is_silent(w):
    """V-09: it is read, and does not wait for the server again and again."""
    server = fakes3.FakeS3(w.path("bucket"))
    line = fakes3.BadLine(server.endpoint)
    with_replica(w, server, line)[2].close()
    db = w.open(server.url("app", line.endpoint), cache_size=10000000)
    w.check(good(db), "before")
    line.become("silent")
    time.sleep(1)
    before = time.monotonic()
    for _ in range(10):
        w.check(good(db), "a page of the cache")
    took = time.monotonic() - before
    w.check(took < 3, "%.1f s for ten queries" % took)  # they wait for a look once, for 2 s
    w.check(one(db, "SELECT weir_lag_ms()") > 900, "the lag")
    line.become("good")


def good(db):
    try:
        return one(db, "SELECT count(*) FROM t") == 81
    except sqlite3.Error:
        return False


def error(status, code):
    return lambda said: (status, [], (fakes3.ERROR % (code, "not now")).encode())


FAULTS = {
    "403": error(403, "AccessDenied"), "404": error(404, "NoSuchKey"), "500": error(500, "InternalError"),
    "503": error(503, "SlowDown"),
    "an answer that ends early": lambda said: (said[0], said[1], said[2][:len(said[2]) // 2], len(said[2])),
    "an answer of something else": lambda said: (said[0], said[1], b"\xa5" * len(said[2])),
}


def sums(db):
    return db.execute("SELECT count(*), sum(length(v)), (SELECT sum(v) FROM account) FROM t").fetchone()


def right(db, want):
    try:
        return sums(db) == want
    except sqlite3.DatabaseError:  # on a machine that others share
        return False


@case
def each_request_fails_once(w):
    """The first, the second, ... in each way: what was asked for is right or an error, and what comes next is right."""
    server = fakes3.FakeS3(w.path("bucket"))
    _, url, db = with_replica(w, server, server)
    want, refused, runs = sums(db), 0, 0
    db.close()

    def lie(method, path, query, said):
        if method == "GET":
            seen.append(path)
        return fault(said) if len(seen) == nth else said
    for what, fault in FAULTS.items():
        nth, seen = 0, []
        while len(seen) >= nth:  # the last one had a fault
            nth, runs, seen, db, got = nth + 1, runs + 1, [], None, want
            server.lie, before = lie, time.monotonic()
            try:
                db = w.open(url, cache_size=CACHE, fetch_timeout="300ms", open_timeout="1s", poll_interval="1h")
                got = sums(db)
            except sqlite3.DatabaseError:  # what is there instead of a page is a damaged database to SQLite
                refused += 1
                w.check(db is None or one(db, "SELECT weir_error()"), "%s, request %d: no reason" % (what, nth))
            took = time.monotonic() - before
            w.check(got == want and took < 4, "%s, request %d: %s, not %s, in %.1f s" % (what, nth, got, want, took))
            server.lie = None
            db = db or w.open(url, cache_size=CACHE, poll_interval="1h")
            w.check(kit.wait_until(lambda: right(db, want), 10), "%s, request %d: not right afterwards" % (what, nth))
            db.close()
        w.check(nth > 5, "%s: only %d requests" % (what, nth))
    w.notes.append("%d runs, %d errors" % (runs, refused))


@case
def credentials_of_the_environment(w):
    """Those of AWS and of Litestream; wrong ones are an error at once, in which no secret is."""
    server = fakes3.FakeS3(w.path("bucket"))
    server.keys = {ACCESS}
    path, url, db = with_replica(w, server, server)
    db.close()
    credentials(w, "AKIDWRONG")
    said = w.refused("wrong keys", 3, lambda: w.open(url))
    w.check("unable to open" in said and "ExpiredToken" in w.logged() and SECRET not in w.logged(), "wrong keys: " + w.logged()[-300:])
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del os.environ[name]
    os.environ.update(LITESTREAM_ACCESS_KEY_ID=ACCESS, LITESTREAM_SECRET_ACCESS_KEY=SECRET)
    w.check(good(w.open(url)), "Litestream's names")


def on_the_server(w):
    """A real S3 server: a running weir, readers beside it, its credentials in the environment."""
    bucket = store.Store("vfs", w.found.work)
    os.environ.update(bucket.env)
    w.clean.update({k: v for k, v in bucket.env.items() if k.startswith("AWS_")})
    path, url = w.path("app.db"), bucket.url("a db/ü")
    w.database(path, SCHEMA).close()
    weir = w.replicate(path, url, CONFIG)
    w.load()
    db, writer = w.open(url, cache_size=CACHE), Writer(path)
    writer.start()
    reads, newest, end = 0, 0, time.monotonic() + (5 if w.quick else 12)
    while time.monotonic() < end:
        db.execute("BEGIN")
        n, _, rows, size = db.execute("SELECT * FROM meta").fetchone()
        got = db.execute("SELECT count(*), coalesce(sum(length(v)), 0) FROM t").fetchone()
        db.execute("COMMIT")
        w.check(got == (rows, size) and n >= newest, "%s, not %s; %d after %d" % (got, (rows, size), n, newest))
        newest, reads = n, reads + 1
    writer.stop()
    w.check(kit.wait_until(lambda: one(db, "SELECT n FROM meta") == writer.commits, 10), "it stays behind")
    w.check(one(db, "PRAGMA integrity_check") == "ok", "damaged")
    w.check(weir.stop() == 0, "weir: %s" % weir.lines()[-1:])
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ[name] = "wrong"
    w.refused("wrong keys", 5, lambda: w.open(url + "&sign-payload=true"))
    w.check(bucket.env["AWS_SECRET_ACCESS_KEY"] not in w.logged(), "a secret in the log")
    w.notes.append("%d commits, %d reads" % (writer.commits, reads))


on_the_server.s3 = True
case(on_the_server)

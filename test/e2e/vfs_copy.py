"""Local copies of replicas: killed, beside writers, on a disk that is full, and what they cost."""
import multiprocessing
import os
import random
import resource
import signal
import sqlite3
import time

import fakes3
import kit
import vfs_follow
from vfs_faults import credentials
from vfs_follow import CONFIG, SCHEMA, Writer
from vfskit import case, one

PAGE = 4096
FLIGHT = 4 * (4 << 20)  # bytes that may be under way, and are lost by a kill


class Counted:
    """A server that counts what is read of it, and takes its time."""

    def __init__(self, w):
        self.server, self.gets, self.bytes, self.wait = fakes3.FakeS3(w.path("bucket")), [], 0, 0.0
        self.answers = []
        self.server.lie = self.count

    def count(self, method, path, query, said):
        self.answers.append(path)
        if method == "GET" and said[0] == 206:
            self.gets.append((path, len(said[2])))
            self.bytes += len(said[2])
        if method == "GET":
            time.sleep(self.wait)
        return said

    def reset(self):
        self.gets, self.bytes = [], 0

    def quiet(self):
        """Wait until there are no requests any more of a client that was killed."""
        n = -1
        while n != len(self.server.requests) or n > len(self.answers):
            n = len(self.server.requests)
            time.sleep(0.5)


def progress(db):
    return float(one(db, "PRAGMA litestream_hydration_progress"))


def whole(w, db, seconds=60):
    return w.check(kit.wait_until(lambda: one(db, "SELECT 1 FROM sqlite_schema LIMIT 1") and progress(db) == 100.0, seconds),
                   "it stays at %s: %s" % (progress(db), one(db, "SELECT weir_error()")))


def large(w, server, pages):
    """A replica of a database with so many pages of noise, each of a row."""
    path, url = w.path("large.db"), server.server.url("large")
    db = w.database(path, "PRAGMA page_size=%d; PRAGMA journal_mode=wal; CREATE TABLE t(id INTEGER PRIMARY KEY, v)" % PAGE)
    db.execute("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?)"
               " INSERT INTO t SELECT i, randomblob(?) FROM c", (pages, PAGE - 100))
    w.once(path, url)
    return db, path, url


def copy_until(w, path, least, pipe):
    """Told to by a URL, copy, and say how far it is when that is enough; then go on until killed."""
    url = pipe.recv()
    w.load()
    db = w.open(url, hydration_enabled="true", hydration_path=path)
    while progress(db) < least:
        time.sleep(0.01)
    pipe.send(progress(db))
    time.sleep(60)


@case
def a_kill_while_it_is_copied(w):
    """What was there is not fetched again; progress goes on from there."""
    credentials(w)
    path, children = w.path("copy.db"), []
    for least in (25.0, 60.0):  # forked before there are threads
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.Process(target=copy_until, args=(w, path, least, theirs))
        process.start()
        theirs.close()
        children.append((ours, process))
    server = Counted(w)
    db, _, url = large(w, server, 8000 if w.quick else 12000)
    size, done = os.path.getsize(w.path("large.db")), 0.0
    server.wait = 0.25
    for ours, process in children:
        server.reset()
        ours.send(url)
        if not w.check(ours.poll(60), "no progress after %d bytes" % server.bytes):
            for _, p in children:
                p.kill()
            return
        now = ours.recv()
        process.kill()
        process.join()
        server.quiet()
        w.check(server.bytes < (now - done) / 100 * size * 1.1 + 2 * FLIGHT, "%d bytes from %.1f to %.1f %%" % (server.bytes, done, now))
        done = now
    server.reset()
    server.wait = 0.0
    w.load()
    ours = w.open(url, hydration_enabled="true", hydration_path=path)
    whole(w, ours)
    w.check(server.bytes < (100 - done) / 100 * size * 1.1 + (1 << 20), "%d bytes of %d after %.1f %%" % (server.bytes, size, done))
    w.notes.append("%d bytes of %d after %.1f %%" % (server.bytes, size, done))
    server.reset()
    w.check(one(ours, "PRAGMA integrity_check") == "ok", "damaged")
    w.check(one(ours, "SELECT sum(length(v)) FROM t") == one(db, "SELECT sum(length(v)) FROM t"), "other rows")
    w.check(server.bytes == 0, "%d bytes were fetched of a copy that is whole" % server.bytes)


@case
def thousands_of_pages_that_change_at_once(w):
    """V-16: 2001 requests and 43 s, in which nothing could be read."""
    credentials(w)
    server = Counted(w)
    db, path, url = large(w, server, 4000)
    w.load()
    ours = w.open(url, hydration_enabled="true")
    whole(w, ours)
    db.execute("UPDATE t SET v = randomblob(?) WHERE id % 2 = 1 OR id = 4000", (PAGE - 100,))
    before = one(ours, "SELECT weir_txid()")
    ours.execute("BEGIN")
    one(ours, "SELECT length(v) FROM t WHERE id = 2")
    server.reset()
    server.wait = 0.02
    w.once(path, url)
    other = w.open(url, name="other.db")
    slowest, end = 0.0, time.monotonic() + 20
    while (one(other, "SELECT weir_txid()") == before or progress(other) < 100) and time.monotonic() < end:
        began = time.monotonic()
        w.check(one(ours, "SELECT length(v) FROM t WHERE id = ?", random.randrange(1, 2000) * 2) == PAGE - 100, "a row")
        slowest = max(slowest, time.monotonic() - began)
        one(other, "SELECT 1 FROM sqlite_schema")
    whole(w, other)
    gets = [n for p, n in server.gets if n > 100000]
    w.check(len(gets) <= 4, "%d large requests: %s" % (len(gets), gets))
    w.check(len(server.gets) <= 12, "%d requests: %s" % (len(server.gets), server.gets))
    w.check(slowest < 0.5, "a query of a page that did not change took %.3f s" % slowest)
    w.check(one(ours, "SELECT weir_txid()") == before, "another state within a transaction")
    ours.execute("COMMIT")
    server.reset()
    w.check(one(other, "PRAGMA integrity_check") == "ok", "damaged")
    w.check(server.bytes == 0, "%d bytes were fetched of a copy that is whole" % server.bytes)
    w.notes.append("%d large requests, slowest query %.1f ms" % (len(gets), slowest * 1000))


def read_copy(w, url, primary, seed, path, stop, out):
    os.environ["LITESTREAM_HYDRATION_ENABLED"] = "true"
    if path:
        os.environ["LITESTREAM_HYDRATION_PATH"] = path
    vfs_follow.read_on(w, url, primary, seed, stop, out)


@case
def copies_while_files_are_merged_deleted_and_the_database_shrinks(w):
    """V-10 to V-12: as the case without copies; two of the readers ask for the same file."""
    path, url = w.path("app.db"), "file://" + w.path("replica")
    w.database(path, SCHEMA).close()
    weir = w.replicate(path, url, CONFIG)
    kit.wait_until(lambda: kit.txids(w.path("replica")))
    stop, out = multiprocessing.Event(), multiprocessing.Queue()
    paths = (w.path("copy"), w.path("copy"), None)
    readers = [multiprocessing.Process(target=read_copy, args=(w, url, path, i, p, stop, out)) for i, p in enumerate(paths)]
    for r in readers:
        r.start()
    writer = Writer(path)
    writer.start()
    time.sleep(5 if w.quick else 20)
    writer.stop()
    stop.set()
    looks = 0
    for _ in readers:
        wrong, n, lost, behind, _ = out.get(timeout=60)
        looks += n
        for line in wrong:
            w.found.add("a reader: " + line)
        w.check(n > 10 and behind < vfs_follow.BEHIND, "%d looks, %.1f s behind" % (n, behind))
    for r in readers:
        r.join(10)
    weir.stop()
    w.check(w.logged().count("held by another process") > 0, "nobody was told that the file is in use")
    w.notes.append("%d commits, %d reads" % (writer.commits, looks))


@case
def a_reader_that_is_killed_again_and_again(w):
    """Beside a writer, at any moment of the copying: what the next one is given is a state, and a new one."""
    path, url, copy = w.path("app.db"), "file://" + w.path("replica"), w.path("copy")
    w.database(path, SCHEMA).close()
    weir = w.replicate(path, url, CONFIG)
    kit.wait_until(lambda: kit.txids(w.path("replica")))
    writer, rnd = Writer(path), random.Random(7)
    writer.start()
    settings = {"LITESTREAM_HYDRATION_ENABLED": "true", "LITESTREAM_HYDRATION_PATH": copy}
    for i in range(8 if w.quick else 30):
        process = multiprocessing.Process(target=vfs_follow.read_until_killed,
                                          args=(w, url, path, i, copy + ".wrong", settings))
        process.start()
        time.sleep(rnd.random() * 1.2)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    writer.stop()
    if os.path.exists(copy + ".wrong"):
        for line in kit.read(copy + ".wrong").decode().splitlines()[:5]:
            w.found.add("a reader: " + line)
    w.load()
    db = w.open(url, hydration_enabled="1", hydration_path=copy)
    w.check(kit.wait_until(lambda: one(db, "SELECT n FROM meta") == writer.commits, 20), "it stays behind")
    whole(w, db)
    w.check(one(db, "PRAGMA integrity_check") == "ok", "damaged")
    w.check(os.stat(copy).st_mode & 0o777 == 0o600 and os.stat(copy + ".meta").st_mode & 0o777 == 0o600, "modes")
    weir.stop()


@case
def a_disk_that_is_full(w):
    """The copy ends with a word, and reading goes on."""
    path, url = w.path("app.db"), "file://" + w.path("replica")
    db = w.database(path, SCHEMA)
    db.execute("WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 3000)"
               " INSERT INTO t(v) SELECT randomblob(900) FROM c")
    w.once(path, url)
    w.load()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
    ours = w.open(url, hydration_enabled="true", hydration_path=w.path("copy"))
    w.check(kit.wait_until(lambda: "File too large" in one(ours, "SELECT weir_error()"), 20),
            "no word: %r, %s" % (one(ours, "SELECT weir_error()"), progress(ours)))
    w.check(one(ours, "PRAGMA integrity_check") == "ok" and progress(ours) < 100, "reading")
    ours.close()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    w.check("given up" in w.logged(), "no word in the log")
    ours = w.open(url, hydration_enabled="true", hydration_path=w.path("copy"))
    whole(w, ours)
    w.check(one(ours, "PRAGMA integrity_check") == "ok", "when there is room again")
    try:
        one(ours, "INSERT INTO t(v) VALUES(1)")
        w.found.add("it can be written to")
    except sqlite3.OperationalError:
        pass

"""Readers of a replica while a writer commits, and levels, retention, VACUUM and shrinking go on."""
import multiprocessing
import os
import random
import sqlite3
import subprocess
import time

import kit
import writer as writers
from follow import ACCOUNTS, CONFIG, TOTAL
from vfskit import case, one, read_only, remove

SECONDS, READERS = 20, 3
KEPT = 2.0        # seconds for which a transaction is surely there: those that read for longer may lose it
BEHIND = 4.0      # seconds: with sanitizers, on a machine that others share
SCHEMA = """
PRAGMA page_size=1024; PRAGMA auto_vacuum=full; PRAGMA journal_mode=wal;
CREATE TABLE account(id INTEGER PRIMARY KEY, v); CREATE INDEX av ON account(v);
WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 59) INSERT INTO account SELECT i, 100 FROM c;
CREATE TABLE t(id INTEGER PRIMARY KEY, v); CREATE TABLE meta(n, time, rows, bytes);
INSERT INTO meta VALUES(0, 0, 0, 0);
CREATE TRIGGER ti AFTER INSERT ON t BEGIN UPDATE meta SET rows = rows + 1, bytes = bytes + length(new.v); END;
CREATE TRIGGER td AFTER DELETE ON t BEGIN UPDATE meta SET rows = rows - 1, bytes = bytes - length(old.v); END;
"""


class Writer(writers.Writer):
    """Each transaction raises the count, moves money, and adds to t or deletes most of it."""

    def __init__(self, path, seed=1, pause=0.02):
        super().__init__(path, seed, pause)
        self.daemon, self.vacuums = True, 0

    def once(self, db):
        rnd = self.rnd
        db.execute("BEGIN IMMEDIATE")
        self.move_money(db, ACCOUNTS)
        db.execute("INSERT INTO t(v) VALUES(?)", (rnd.randbytes(rnd.choice((20, 900, 30000))),))
        if rnd.random() < 0.05:
            db.execute("DELETE FROM t WHERE id % ? > 0", (rnd.randrange(2, 9),))
        db.execute("UPDATE meta SET n = n + 1, time = ?", (time.time(),))
        db.execute("COMMIT")
        self.commits += 1
        if rnd.random() < 0.02:
            db.execute("VACUUM")
            self.vacuums += 1

    def stop(self):
        self.ended.set()
        self.join()


class Reader:
    """What a reading process saw that it should not have."""

    def __init__(self, w, url, primary, seed):
        self.w, self.url, self.rnd = w, url, random.Random(seed)
        self.cache = (4096, 200000, 20000000)[seed % 3]
        self.db, self.primary = None, primary
        self.wrong, self.looks, self.newest, self.txid, self.lost, self.behind, self.lag_ms = [], 0, 0, 0, 0, 0.0, 0

    def once(self):
        rnd, before = self.rnd, time.monotonic()
        try:
            if self.db is None or rnd.random() < 0.02:
                self.db = self.w.open(self.url, cache_size=self.cache)
            self.transaction()
        except sqlite3.Error as e:
            took = time.monotonic() - before
            why = one(self.db, "SELECT weir_error()") if self.db else ""
            self.db = None
            if took > KEPT and "is not in the replica any more" in why:
                self.lost += 1
            else:
                self.wrong.append("%s (%s) after %.1f s" % (e, why, took))

    def transaction(self):
        db, rnd = self.db, self.rnd
        db.execute("BEGIN")
        n, then, rows, size = db.execute("SELECT * FROM meta").fetchone()
        truth = self.primary.execute("SELECT n FROM meta").fetchone()[0]
        if truth > n > 0:
            self.behind = max(self.behind, time.time() - then)
        txid = int(one(db, "SELECT weir_txid()"), 16)
        r = rnd.random()
        time.sleep(3.5 if r < 0.02 else 0.6 if r < 0.1 else r * 0.02)
        got = [one(db, "SELECT sum(v) FROM account"), *db.execute("SELECT count(*), coalesce(sum(length(v)), 0) FROM t").fetchone()]
        if rnd.random() < 0.2:
            got.append(one(db, "PRAGMA integrity_check"))
        again = one(db, "SELECT n FROM meta"), int(one(db, "SELECT weir_txid()"), 16)
        self.lag_ms = max(self.lag_ms, one(db, "SELECT weir_lag_ms()"))
        db.execute("COMMIT")
        if got[:3] != [TOTAL, rows, size] or got[3:] not in ([], ["ok"]) or again != (n, txid):
            self.wrong.append("%s, not %s; then %s after %s" % (got, [TOTAL, rows, size], again, (n, txid)))
        if n < self.newest or txid < self.txid:
            self.wrong.append("count %d, transaction %x after %d, %x" % (n, txid, self.newest, self.txid))
        self.newest, self.txid, self.looks = n, txid, self.looks + 1


def read_until_killed(w, url, primary, seed, wrong, settings):
    """In a process with these variables. What is wrong goes to a file; a kill leaves it."""
    os.environ.update(settings)
    w.load()
    r = Reader(w, url, read_only(primary), seed)
    told = 0
    with open(wrong, "a", buffering=1) as out:
        while True:
            r.once()
            for line in r.wrong[told:]:
                out.write(line + "\n")
            told = len(r.wrong)


def read_on(w, url, path, seed, stop, out):
    w.load()
    r = Reader(w, url, read_only(path), seed)
    while not stop.is_set() and len(r.wrong) < 5:
        r.once()
    end = time.monotonic() + 10  # nobody writes any more
    last = r.primary.execute("SELECT n FROM meta").fetchone()[0]
    while r.newest < last and time.monotonic() < end and len(r.wrong) < 5:
        r.once()
        time.sleep(0.01)
    if r.newest != last:
        r.wrong.append("it stays at %d, not %d" % (r.newest, last))
    out.put((r.wrong, r.looks, r.lost, r.behind, r.lag_ms))


@case
def readers_while_files_are_merged_deleted_and_the_database_shrinks(w):
    """V-02 to V-06: each transaction one state, counts that never go back, nobody wedged."""
    path, url = w.path("app.db"), "file://" + w.path("replica")
    w.database(path, SCHEMA).close()
    weir = w.replicate(path, url, CONFIG)
    kit.wait_until(lambda: kit.txids(w.path("replica")))
    stop, out = multiprocessing.Event(), multiprocessing.Queue()
    readers = [multiprocessing.Process(target=read_on, args=(w, url, path, i, stop, out)) for i in range(READERS)]
    for r in readers:
        r.start()
    writer = Writer(path)
    writer.start()
    time.sleep(6 if w.quick else SECONDS)
    writer.stop()
    w.check(not writer.error, "the writer was told: %s" % writer.error)
    stop.set()
    looks = lost = 0
    for _ in readers:
        wrong, n, gone, behind, lag_ms = out.get(timeout=60)
        looks, lost = looks + n, lost + gone
        for line in wrong:
            w.found.add("a reader: " + line)
        w.check(n > 10, "a reader looked %d times" % n)
        w.check(behind < BEHIND and lag_ms < BEHIND * 1000, "%.1f s behind, lag %d ms" % (behind, lag_ms))
        w.notes.append("%.1f s behind" % behind)
    for r in readers:
        r.join(10)
        w.check(r.exitcode == 0, "a reader ended with %s" % r.exitcode)
    weir.stop()
    levels = {key[0] for key in kit.objects(w.path("replica"))[0]}
    w.check({1, 2, 9} <= levels and writer.vacuums, "levels %s, %d VACUUMs" % (levels, writer.vacuums))
    w.notes.append("%d commits, %d reads, %d lost" % (writer.commits, looks, lost))


@case
def a_reader_that_was_stopped_for_longer_than_files_are_kept(w):
    """V-06: it goes on in the same connection, at the newest state."""
    path, url = w.path("app.db"), "file://" + w.path("replica")
    w.database(path, SCHEMA).close()
    weir = w.replicate(path, url, CONFIG)
    kit.wait_until(lambda: kit.txids(w.path("replica")))
    w.load()
    db, idle = w.open(url, cache_size=4096), w.open(url)
    primary = read_only(path)
    writer = Writer(path)
    writer.start()
    one(db, "SELECT sum(length(v)) FROM t")
    me = os.getpid()
    helper = subprocess.Popen(["sh", "-c", "kill -STOP %d; sleep 8; kill -CONT %d" % (me, me)])
    # The writer is stopped with us; what goes on is weir, whose snapshots and retention do.
    helper.wait()
    for what, x in (("after the stop", db), ("idle all the while", idle)):
        n = one(primary, "SELECT n FROM meta")
        x.execute("PRAGMA cache_size=5")
        w.check(one(x, "PRAGMA integrity_check") == "ok", what + ": damaged")
        w.check(kit.wait_until(lambda: one(x, "SELECT n FROM meta") >= n, 10), what + ": it stays behind")
    writer.stop()
    weir.stop()


@case
def a_replica_that_begins_anew(w):
    """V-07: fewer transactions, another database, the same place: it is seen, and nothing is spliced."""
    path, url = w.path("app.db"), "file://" + w.path("replica")
    db = w.database(path, SCHEMA)
    weir = w.replicate(path, url, CONFIG)
    writer = Writer(path)
    for _ in range(150):
        writer.once(db)
    db.close()
    newest = kit.wait_until(lambda: kit.txids(w.path("replica")))
    w.load()
    reader = w.open(url)
    w.check(kit.wait_until(lambda: one(reader, "SELECT n FROM meta") == 150), "the first one is not seen")
    epoch, txid = one(reader, "SELECT weir_epoch()"), int(one(reader, "SELECT weir_txid()"), 16)
    weir.stop()
    for name in ("app.db", "app.db-wal", "app.db-shm"):
        if os.path.exists(w.path(name)):
            os.remove(w.path(name))
    remove(w.path("replica"))
    for name in os.listdir(w.found.work):
        if name.startswith(".app.db-"):  # what weir knows of the first one
            remove(w.path(name))
    db = w.database(path, "PRAGMA page_size=1024; PRAGMA journal_mode=wal; CREATE TABLE other(a); INSERT INTO other VALUES(1)")
    weir = w.replicate(path, url, CONFIG)

    def is_other():
        try:
            return one(reader, "SELECT max(a) FROM other")
        except sqlite3.OperationalError:
            return None
    # It lists every 15 s.
    w.check(kit.wait_until(is_other, 25), "the second one is not seen: %s" % one(reader, "SELECT weir_error()"))
    w.check(one(reader, "SELECT weir_epoch()") > epoch, "the epoch is still %d" % epoch)
    for i in range(txid + 30):  # beyond the first one's transactions
        db.execute("INSERT INTO other VALUES(?)", (i,))
        if i % 20 == 0:
            w.check(one(reader, "PRAGMA integrity_check") == "ok", "spliced at %d" % i)
        time.sleep(0.01)
    want = db.execute("SELECT a FROM other").fetchall()
    w.check(kit.wait_until(lambda: reader.execute("SELECT a FROM other").fetchall() == want), "not the second one's rows")
    w.check(one(reader, "PRAGMA integrity_check") == "ok", "the second one is damaged")
    weir.stop()
    w.notes.append("%x transactions, then others" % (newest[-1] if newest else 0))

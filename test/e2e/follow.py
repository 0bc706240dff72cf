#!/usr/bin/python3
"""`weir restore -f`: a copy that others read while it advances, and that is killed again and again.

usage: follow.py WEIR [--seconds N] [--seed N] [--s3]

--s3        through the S3 endpoint in WEIR_TEST_S3_ENDPOINT, _ACCESS and _SECRET (radosgw.sh)

A primary with random transactions, VACUUMs, growth and shrinking goes on all the time under a real
`weir replicate`, with levels and retention of seconds. Judged, meanwhile and at the end:

  readers in other processes, with Python's own SQLite, see in each transaction one state of the
      primary: the sum over all accounts never differs, the count that each transaction raises never
      goes back and is that of every table, and now and then PRAGMA integrity_check says ok
  they are never told that the copy is damaged, or cannot be read
  whenever the follower is killed with SIGKILL the next one goes on; -txid never goes back
  a second follower into the same copy is refused, and does not disturb the first
  one that was stopped for longer than files are kept catches up, in the same file
  SIGTERM ends it at once, with exit code 0
  in the end the copy is the primary, byte for byte but for what makes it a copy
  a copy that somebody has written to is refused, and is left as it is

Prints one line per finding and exits 1 when there was any.
"""
import argparse
import json
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import time

import kit
import store as stores
import writer as writers
from history import Configured

CONFIG = """
levels: [{interval: 500ms}, {interval: 2s}]
snapshot: {interval: 2s, retention: 3s}
l0-retention: 1s
retention: {grace: 1s}
dbs:
  - path: %s
    replica: {url: "%s", sync-interval: 30ms}
"""
GONE_SECONDS = 60    # at most, until no file is left that goes on from where a copy is
ACCOUNTS, TOTAL = 60, 6000
READERS = 3
OURS = ((18, 20), (24, 32), (40, 44), (92, 96))  # bytes of page 1 that are the copy's own


class Writer(writers.Writer):
    """Money goes to and fro; each transaction raises both counts."""

    def __init__(self, path, seed):
        super().__init__(path, seed, 0.02)

    def once(self, db):
        rnd = self.rnd
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE count SET n = n + 1")
        db.execute("UPDATE other SET n = n + 1")
        self.move_money(db, ACCOUNTS)
        db.execute("INSERT INTO t(v) VALUES(?)", (rnd.randbytes(rnd.choice((20, 900, 30000))),))
        if rnd.random() < 0.07:
            db.execute("DELETE FROM t WHERE id % 3 = ?", (rnd.randrange(3),))
        if rnd.random() < 0.02:
            db.execute("CREATE TABLE IF NOT EXISTS x%d(a)" % rnd.randrange(5))
            db.execute("DROP TABLE IF EXISTS x%d" % rnd.randrange(5))
        db.execute("COMMIT")
        self.commits += 1
        if rnd.random() < 0.02:
            db.execute("DELETE FROM t WHERE id % 2 = 0")
            db.execute("VACUUM")


def read_on(path, seed, stop, out):
    """One reader: what it saw that it should not have, how often it looked, and the newest count."""
    rnd = random.Random(seed)
    wrong, looks, newest, waits = [], 0, 0, 0
    db = None
    while not stop.is_set() and len(wrong) < 5:
        try:
            if db is None or rnd.random() < 0.05:
                db = sqlite3.connect("file:%s?mode=ro" % path, uri=True, isolation_level=None,
                                     timeout=20)
            db.execute("BEGIN")
            total = db.execute("SELECT sum(v) FROM account").fetchone()[0]
            n = db.execute("SELECT n FROM count").fetchone()[0]
            if rnd.random() < 0.3:
                stop.wait(rnd.random() * 0.03)
            if rnd.random() < 0.1:
                said = db.execute("PRAGMA integrity_check").fetchone()[0]
                if said != "ok":
                    wrong.append("integrity_check: " + said)
            if rnd.random() < 0.5:
                db.execute("SELECT sum(length(v)) FROM t").fetchone()
            m = db.execute("SELECT n FROM other").fetchone()[0]
            db.execute("COMMIT")
            if total != TOTAL or m != n or n < newest:
                wrong.append("sum %s, counts %s and %s after %s" % (total, n, m, newest))
            newest = max(newest, n)
            looks += 1
        except sqlite3.OperationalError as e:
            # A reader that may not write leaves a killed follower's journal to the next one.
            if "readonly" not in str(e) and "unable to open" not in str(e) and "locked" not in str(e):
                wrong.append(str(e))
            waits += 1
            db = None
            stop.wait(0.05)
        except sqlite3.Error as e:
            wrong.append(str(e))
            db = None
        stop.wait(rnd.random() * 0.02)
    out.put((wrong, looks, newest, waits))


class Run:
    def __init__(self, args, found):
        self.args, self.found, self.rnd = args, found, random.Random(args.seed)
        self.path = found.path("app.db")
        self.store = stores.Store("follow" if args.s3 else None, found.work)
        os.environ.update(self.store.env or {})
        self.copy, self.log = found.path("copy", "standby.db"), found.path("follow.log")
        self.url = self.store.url("replica")
        config = found.path("weir.yml")
        with open(config, "w") as f:
            f.write(CONFIG % (self.path, self.url))
        self.weir = Configured(args.weir, self.path, self.url, found.path("log"), config)
        self.follower, self.newest, self.kills, self.port = None, 0, 0, kit.free_port()
        db = sqlite3.connect(self.path, isolation_level=None)
        db.executescript(
            "PRAGMA page_size=1024; PRAGMA journal_mode=wal; CREATE TABLE account(id INTEGER PRIMARY KEY, v);"
            "CREATE TABLE count(n); INSERT INTO count VALUES(0); CREATE TABLE t(id INTEGER PRIMARY KEY, v);"
            "CREATE TABLE other(n); INSERT INTO other VALUES(0)")
        db.executemany("INSERT INTO account VALUES(?, ?)",
                       [(i, TOTAL // ACCOUNTS) for i in range(ACCOUNTS)])
        db.close()

    def command(self, *flags):
        return [self.args.weir, "restore", "-f", "-follow-interval", "40ms", "-o", self.copy, *flags,
                self.url]

    def start(self, *flags):
        with open(self.log, "ab") as out:
            self.follower = subprocess.Popen(self.command("-addr", "127.0.0.1:%d" % self.port, *flags),
                                             stdout=out, stderr=out)

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read().splitlines()

    def txid(self):
        """What -txid says; it never goes back."""
        try:
            with open(self.copy + "-txid") as f:
                txid = int(f.read(), 16)
        except FileNotFoundError:
            return 0
        self.found.check(txid >= self.newest, "-txid went back from %x to %x" % (self.newest, txid))
        self.newest = max(self.newest, txid)
        return txid

    def alive(self, what):
        code = self.follower.poll()
        self.found.check(code is None, "%s: the follower ended with %s: %s" % (what, code, self.said()[-1:]))
        return code is None

    def stop(self):
        before = time.monotonic()
        self.follower.send_signal(signal.SIGTERM)
        try:
            code = self.follower.wait(20)
        except subprocess.TimeoutExpired:
            self.follower.kill()
            code = self.follower.wait()
        took = time.monotonic() - before
        self.found.check(code == 0 and took < 5, "SIGTERM: exit code %s after %.1f s: %s" % (
            code, took, self.said()[-1:]))

    def kill(self):
        self.follower.kill()
        self.follower.wait()
        self.kills += 1

    def files(self):
        """The first and the last TXID of each file of the replica."""
        if not self.args.s3:
            return [key[1:] for key in kit.objects(self.found.path("replica"))[0]]
        names = (kit.LTX_NAME.search(k) for k in self.store.keys("replica/"))
        return [(int(n.group(1), 16), int(n.group(2), 16)) for n in names if n]

    def stored(self):
        """Every TXID at which a file of the replica ends, ascending."""
        return sorted({last for _, last in self.files()})

    def away(self):
        """Killed, until no file but snapshots goes on from where the copy can be."""
        self.kill()
        at = self.stored()[-1]
        self.found.check(kit.wait_until(lambda: all(first == 1 or first > at + 1 for first, _ in self.files()),
                                        GONE_SECONDS, 0.1), "files from TXID %x on are kept for ever" % at)

    def moves(self, seconds=20):
        was = self.txid()
        return kit.wait_until(lambda: self.txid() > was, seconds, 0.02)

    def second(self):
        r = subprocess.run(self.command(), capture_output=True, text=True, timeout=30)
        self.found.check(r.returncode == 1 and "another process follows" in r.stderr,
                         "a second follower: %d, %s" % (r.returncode, r.stderr))

    def storm(self):
        end = time.monotonic() + self.args.seconds
        away = 0
        while time.monotonic() < end and not self.found.lines:
            r = self.rnd.random()
            if r < 0.1:
                self.second()
            elif r < 0.2 and self.rnd.random() < 0.3 or not away and time.monotonic() > end - self.args.seconds / 2:
                self.away()
                away += 1
                self.start()
            elif r < 0.3:
                self.stop()
                self.start()
            elif r < 0.75:
                self.kill()
                self.start()
            time.sleep(self.rnd.random() * 0.4)
            if self.alive("after %d kills" % self.kills):
                self.found.check(r >= 0.6 or self.moves(), "the copy stays at %x: %s" % (
                    self.newest, self.said()[-1:]))

    def judge_end(self):
        """The copy is the primary."""
        db = sqlite3.connect(self.path, isolation_level=None, timeout=20)
        want = bytearray(kit.image(db))
        db.close()

        def same():
            got = bytearray(kit.read(self.copy))
            if len(got) != len(want):
                return False
            for a, b in OURS:
                got[a:b] = want[a:b]
            return got == want

        self.found.check(kit.wait_until(same, 20, 0.05), "the copy is not the primary at its end")
        self.found.check(kit.wait_until(lambda: self.txid() == self.stored()[-1], 5),
                         "-txid is not that of the replica")
        self.judge_monitoring()
        journal = self.copy + "-journal"
        beside = {self.copy, self.copy + "-follow", self.copy + "-txid"}
        left = {os.path.join(os.path.dirname(self.copy), name)
                for name in os.listdir(os.path.dirname(self.copy))}
        self.found.check(left - {journal} == beside, "files left: %s" % sorted(left))
        self.found.check(journal not in left or os.path.getsize(journal) == 0,
                         "a journal is left that is not empty")

    def judge_monitoring(self):
        want = 200, "ready: at %016x\n" % self.txid()
        self.found.check(kit.wait_until(lambda: kit.get(self.port, "/readyz") == want, 5),
                         "/readyz: %s, not %s" % (kit.get(self.port, "/readyz"), want))
        status, text = kit.get(self.port, "/metrics")
        for name, value in (("txid", self.txid()), ("newest_txid", self.txid()), ("lag_seconds", 0), ("ready", 1)):
            line = 'weir_follow_%s{db="%s"} %d\n' % (name, self.copy, value)
            self.found.check(status == 200 and line in text, "/metrics: %s, no line %r" % (status, line))
        self.found.check('phase="current"} 1\n' in text, "/metrics: it is not current: %s" % text)

    def judge_changed(self):
        db = sqlite3.connect(self.copy, isolation_level=None)
        db.execute("INSERT INTO t(v) VALUES('mine')")
        db.close()
        before = kit.read(self.copy)
        r = subprocess.run(self.command(), capture_output=True, text=True, timeout=30)
        self.found.check(r.returncode == 1 and "something else has written to it" in r.stderr
                         and "-force" in r.stderr, "a changed copy: %d, %s" % (r.returncode, r.stderr))
        self.found.check(kit.read(self.copy) == before, "a changed copy was not left as it is")
        self.start("-force", "-json")
        self.found.check(kit.wait_until(lambda: kit.read(self.copy) != before), "-force did nothing")
        kit.wait_until(lambda: "up to date" in self.said()[-1])
        self.stop()
        said = "\n".join(self.said())
        told = json.loads(said[said.rindex("\n{"):])
        self.found.check(int(told["txid"], 16) == self.txid(), "-json: %s" % told)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("weir")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--s3", action="store_true")
    args = parser.parse_args()
    found = kit.Findings("follow")
    run = Run(args, found)
    stop, out = multiprocessing.Event(), multiprocessing.Queue()

    run.weir.start()
    kit.wait_until(run.stored)
    run.start()
    found.check(kit.wait_until(run.txid), "no copy: %s" % run.said()[-1:])
    readers = [multiprocessing.Process(target=read_on, args=(run.copy, args.seed + i, stop, out))
               for i in range(READERS)]
    for r in readers:
        r.start()
    writer = Writer(run.path, args.seed)
    writer.start()
    run.storm()
    writer.ended.set()
    writer.join()
    found.check(not writer.error, "the writer was told: %s" % writer.error)
    run.judge_end()
    stop.set()
    looks = waits = 0
    for _ in readers:
        wrong, n, newest, waited = out.get(timeout=60)
        looks, waits = looks + n, waits + waited
        for w in wrong:
            found.add("a reader: " + w)
        found.check(n > 0, "a reader saw nothing")
    for r in readers:
        r.join()
    run.stop()
    run.judge_changed()
    found.check(run.weir.stop() == 0, "weir: %s" % run.weir.lines()[-1:])
    anew = sum("as a whole" in line for line in run.said())
    found.check(anew > 0 or args.seconds < 15, "no copy was away for so long that its files were gone")
    print("%d commits, %d kills, %d reads, %d to be repeated, fetched anew %d times" % (
        writer.commits, run.kills, looks, waits, anew))
    raise SystemExit(found.end())


if __name__ == "__main__":
    main()

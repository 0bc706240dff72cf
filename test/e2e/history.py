#!/usr/bin/python3
"""Levels, snapshots and retention of a real `weir replicate` that is killed again and again.

usage: history.py WEIR [--seconds N] [--seed N] [--cache DIR]

The times are those of a day, made short: levels of 1, 3 and 9 seconds, a snapshot every 8, kept for 12, level 0
for 2. A writer goes on all the time. Judged, while that happens and at its end:

  a TXID restores to the same database whenever it is asked for, whichever files it is made of by then
  the count that each transaction raises never goes back from one TXID to the next
  every point that is promised restores: all of level 0 for 2 seconds, of the levels above for 12
  what is old goes: level 0 and the snapshots stay few
  the levels follow each other, but for the places where weir was killed
  in the end our restore and Litestream's are the database, byte for byte
  and from a snapshot and the files of one level alone, each in turn, both restore what the whole replica does
  nothing was logged that is an error, no snapshot sent that was not due

Litestream is fetched as oracle.py does it; WEIR_SKIP_ORACLE=1 leaves it out. Prints one line per finding and
exits 1 when there was any.
"""
import argparse
import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import time

import kit
import oracle
import writer as writers

CONFIG = """
levels: [{interval: 1s}, {interval: 3s}, {interval: 9s}]
snapshot: {interval: 8s, retention: 12s}
l0-retention: 2s
retention: {grace: 2s}
dbs:
  - path: %s
    replica: {url: "%s", sync-interval: 50ms}
"""
L0_SECONDS, KEEP_SECONDS, GRACE_SECONDS = 2, 12, 2


class Configured(kit.Weir):
    """The same with a configuration file."""

    def __init__(self, exe, db, url, log, config):
        super().__init__(exe, db, url, log)
        self.config = config

    def start(self):
        self.log_start = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen([self.exe, "replicate", "-config", self.config],
                                            stdout=out, stderr=out)


class Writer(writers.Writer):
    """Raises a count with each transaction, beside all else that SQLite can do."""

    def __init__(self, path, seed):
        super().__init__(path, seed, 0.03)

    def once(self, db):
        rnd = self.rnd
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE count SET n = n + 1")
        for _ in range(rnd.randrange(1, 4)):
            db.execute("INSERT INTO t(v) VALUES(?)", (rnd.randbytes(rnd.choice((20, 900, 9000))),))
            db.execute("UPDATE t SET v = randomblob(length(v)) WHERE id % 97 = ?",
                       (rnd.randrange(97),))
        if rnd.random() < 0.1:
            db.execute("DELETE FROM t WHERE id % 3 = ?", (rnd.randrange(3),))
        db.execute("COMMIT")
        if rnd.random() < 0.02:
            db.execute("VACUUM")


class Run:
    def __init__(self, args, found):
        self.args, self.found = args, found
        self.rnd = random.Random(args.seed)
        self.path, self.replica = found.path("app.db"), found.path("replica")
        self.out = found.path("restored")
        config = found.path("weir.yml")
        with open(config, "w") as f:
            f.write(CONFIG % (self.path, "file://" + self.replica))
        self.weir = Configured(args.weir, self.path, "file://" + self.replica, found.path("log"), config)
        self.states = {}  # TXID: what it gave, and the count in it
        self.kills = 0
        self.deltas = []  # bytes kept by each restore over an older state
        db = sqlite3.connect(self.path, isolation_level=None)
        db.executescript("PRAGMA journal_mode=wal; CREATE TABLE count(n); INSERT INTO count VALUES(0);"
                         "CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
        db.close()

    def restore(self, txid=None):
        """Over what the last one gave, in every second case with its help."""
        url = "file://" + self.replica
        if not os.path.exists(self.out) or self.rnd.random() < 0.5:
            return kit.restore(self.args.weir, url, self.out, txid)
        r = subprocess.run([self.args.weir, "restore", "-json", "-delta", "-o", self.out, url]
                           + (["-txid", "%016x" % txid] if txid else []), capture_output=True, text=True)
        if r.returncode == 0:
            self.deltas.append(json.loads(r.stdout)["bytes_kept"])
        return r.returncode, r.stderr.strip()

    def ask(self, txid, promised):
        """Restore `txid`, and compare with what it gave before and with its neighbours."""
        code, said = self.restore(txid)
        if code == 3 and not promised:
            return
        if not self.found.check(code == 0, "txid %x: restore says %s" % (txid, said)):
            return
        digest = hashlib.sha256(kit.read(self.out)).digest()
        db = sqlite3.connect(self.out)
        count = db.execute("SELECT n FROM count").fetchone()[0]
        whole = db.execute("PRAGMA quick_check").fetchone()[0]
        db.close()
        self.found.check(whole == "ok", "txid %x: %s" % (txid, whole))
        was = self.states.setdefault(txid, (digest, count))
        self.found.check(was[0] == digest, "txid %x gives another database than before" % txid)
        for other, (_, n) in self.states.items():
            if (other < txid and n > count) or (other > txid and n < count):
                self.found.add("txid %x has the count %d, but %x has %d" % (txid, count, other, n))

    def promised(self, files):
        """TXIDs that must restore: young by the time of their files, with a margin."""
        times = {}
        for k, p in files.items():
            try:
                times[k] = os.path.getmtime(p)
            except FileNotFoundError:
                pass  # retention goes on
        newest = max(times.values())
        return sorted({k[2] for k, t in times.items()
                       if t > newest - (L0_SECONDS if k[0] == 0 else KEEP_SECONDS)})

    def look(self):
        """A few points, some of them promised."""
        files = kit.objects(self.replica)[0]
        if not files:
            return
        for txid in self.rnd.sample(sorted({k[2] for k in files}), 1):
            self.ask(txid, False)
        # by now some may be old: only those that are still there as they were are promised
        for txid in self.rnd.sample(self.promised(files), 1):
            before = set(files)
            code, _ = kit.restore(self.args.weir, "file://" + self.replica, self.out, txid)
            if code == 0:
                self.ask(txid, False)
            elif txid in self.promised(kit.objects(self.replica)[0]):
                self.found.add("txid %x was promised and does not restore (%d files)" % (
                    txid, len(before)))

    def kill(self):
        self.kills += self.weir.kill()
        time.sleep(self.rnd.random() * 0.3)
        self.weir.start()

    def live(self):
        writer = Writer(self.path, self.args.seed)
        self.weir.start()
        writer.start()
        end = time.monotonic() + self.args.seconds
        next_kill = time.monotonic() + 4
        while time.monotonic() < end:
            time.sleep(0.2)
            self.look()
            if time.monotonic() > next_kill and time.monotonic() < end - 10:
                self.kill()
                next_kill = time.monotonic() + 2 + 6 * self.rnd.random()
        writer.ended.set()
        writer.join()
        self.found.check(not writer.error, "the application: %s" % writer.error)

    def judge_levels(self):
        files = kit.objects(self.replica)[0]
        count = {level: sum(k[0] == level for k in files) for level in range(10)}
        helped = sum(kept > 0 for kept in self.deltas)
        print("files a level: %s, kills %d, points asked for %d, %d of %d older states were of help" % (
            {k: v for k, v in count.items() if v}, self.kills, len(self.states), helped, len(self.deltas)))
        self.found.check(helped > 0, "no older state was of help")
        for level in (1, 2, 3, 9):
            self.found.check(count[level] > 0, "level %d has no file" % level)
        # 20 files a second; what is found old is deleted when it was so for its grace, once a second or so
        self.found.check(count[0] < 30 * (L0_SECONDS + GRACE_SECONDS + 6),
                         "%d files of level 0 are left" % count[0])
        self.found.check(count[9] <= 6, "%d snapshots are left" % count[9])
        for level in (1, 2, 3):
            run = sorted((k[1], k[2]) for k in files if k[0] == level)
            self.found.check(all(a[1] < b[0] for a, b in zip(run, run[1:])),
                             "files of level %d overlap: %s" % (level, run))

    def chain_of(self, files, level):
        """A snapshot, and what of that level follows it without a hole: the longest such run."""
        best = []
        for s in (k for k in files if k[0] == 9):
            run = [s]
            while step := [k for k in files if k[0] == level and k[1] == run[-1][2] + 1]:
                run.append(max(step, key=lambda k: k[2]))
            best = max(best, run, key=len)
        return best

    def judge_each_level(self):
        """Litestream's restore, and ours, of what that level has."""
        for level in (1, 2, 3):
            files = kit.objects(self.replica)[0]
            run, top = self.chain_of(files, level), self.found.path("level-%d" % level)
            if not self.found.check(len(run) > 1, "no file of level %d follows a snapshot" % level):
                continue
            for k in run:
                to = os.path.join(top, os.path.relpath(files[k], self.replica))
                os.makedirs(os.path.dirname(to), exist_ok=True)
                shutil.copy2(files[k], to)
            ours, theirs, all_of_it = (self.found.path("%s-%d" % (n, level)) for n in ("ours", "theirs", "all"))
            code, said = kit.restore(self.args.weir, "file://" + top, ours)
            self.found.check(code == 0, "level %d alone: restore says %s" % (level, said))
            problem = oracle.hydrate(oracle.fetch(self.args.cache), "file://" + top, theirs, None, 60)
            if self.found.check(not problem, "level %d alone: Litestream cannot restore: %s" % (level, problem)):
                self.found.check(not kit.same_bytes(ours, theirs), "level %d alone: Litestream's restore differs" % level)
            code, said = kit.restore(self.args.weir, "file://" + self.replica, all_of_it, run[-1][2])
            if self.found.check(code == 0, "txid %x: restore says %s" % (run[-1][2], said)):
                self.found.check(not kit.same_bytes(ours, all_of_it), "level %d alone gives another database" % level)
            print("level %d alone: a snapshot and %d files, to txid %x" % (level, len(run) - 1, run[-1][2]))

    def judge_end(self):
        code = self.weir.stop()
        self.found.check(code == 0, "weir ended with %s" % code)
        files = kit.objects(self.replica)[0]
        for txid in self.promised(files)[::7]:
            self.ask(txid, True)
        self.found.check(kit.checkpointed(self.path), "cannot checkpoint the source")
        code, said = self.restore()
        self.found.check(code == 0, "restore says %s" % said)
        difference = kit.same_bytes(self.path, self.out)
        self.found.check(not difference, "our restore differs, %s" % difference)
        if os.environ.get("WEIR_SKIP_ORACLE") != "1":
            theirs = self.found.path("theirs")
            problem = oracle.hydrate(oracle.fetch(self.args.cache), "file://" + self.replica, theirs, None, 60)
            if self.found.check(not problem, "Litestream cannot restore: %s" % problem):
                difference = kit.same_bytes(self.out, theirs)
                self.found.check(not difference, "Litestream's restore differs, %s" % difference)
            self.judge_each_level()
        with open(self.weir.log, errors="replace") as f:
            for line in f:
                self.found.check("level=ERROR" not in line and "level=WARN" not in line, "weir logged: " + line)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weir")
    p.add_argument("--seconds", type=int, default=45)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--cache", default=os.environ.get("WEIR_ORACLE_CACHE", "."))
    found = kit.Findings("history")
    run = Run(p.parse_args(), found)
    run.live()
    run.judge_levels()
    run.judge_end()
    raise SystemExit(found.end())


if __name__ == "__main__":
    main()

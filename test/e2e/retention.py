#!/usr/bin/python3
"""What `weir replicate` keeps of each day, week and month, while its clock goes on for months.

usage: retention.py WEIR SKEWED_CLOCK [--steps N] [--seed N]

Only weir sees another time (skewed_clock.c): each step goes on by some hours, by days, or by weeks. The
application commits, weir sends that and makes the snapshot of the day; now and then it is restarted or
killed. Files that are too old are really deleted. Judged after each step:

  what `weir retention` says would go goes, and what it says would stay stays
  of all points that ever were, those that the rules promise restore as they did when they were new
  what is kept is no more than the rules, and the day that the time begins with, can need

and at the end that our restore is the database, byte for byte, and that nothing warned.
Prints one line per finding and exits 1 when there was any.
"""
import argparse
import datetime
import hashlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import time

import kit

CONFIG = """
levels: [{interval: 500ms}, {interval: 1h}]
snapshot: {interval: 24h, retention: 24h, keep: 2, keep-daily: 4}
l0-retention: 5m
retention: {grace: 1s}
dbs:
  - path: %s
    snapshot: {keep-weekly: 3, keep-monthly: 3}
    replica: {url: "%s", sync-interval: 20ms}
"""
NEWEST, DAILY, WEEKLY, MONTHLY = 2, 4, 3, 3
HOUR, DAY = 3600, 86400
SNAPSHOT = 9


def utc(ms):
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc)


RULES = (
    (DAILY, lambda ms: utc(ms).date()),
    (WEEKLY, lambda ms: tuple(utc(ms).isocalendar())[:2]),
    (MONTHLY, lambda ms: (utc(ms).year, utc(ms).month)),
)


class Configured(kit.Weir):
    """With a configuration file, and a clock that is not the machine's."""

    def __init__(self, exe, db, url, log, config, env):
        super().__init__(exe, db, url, log, env=env)
        self.config = config

    def start(self):
        self.log_start = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen([self.exe, "replicate", "-config", self.config],
                                            stdout=out, stderr=out, env=self.env)


class Run:
    def __init__(self, args, found):
        self.args, self.found = args, found
        self.rnd = random.Random(args.seed)
        self.path, self.replica, self.out = found.path("app.db"), found.path("replica"), found.path("restored")
        self.url = "file://" + self.replica
        self.skew, self.skew_file = 0, found.path("skew")
        asan = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        self.env = dict(os.environ, LD_PRELOAD=args.skewed_clock, WEIR_TEST_CLOCK=self.skew_file, ASAN_OPTIONS=asan)
        self.config = found.path("weir.yml")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(CONFIG % (self.path, self.url))
        self.set_clock()
        self.weir = Configured(args.weir, self.path, self.url, found.path("log"), self.config, self.env)
        self.ever = {}   # (level, min, max): Unix ms
        self.digest = {}  # TXID: of what it restored to when it was new
        self.most = 0
        self.db = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        self.db.executescript("PRAGMA journal_mode=wal; CREATE TABLE t(id INTEGER PRIMARY KEY, v);")

    def set_clock(self):
        with open(self.skew_file + "~", "w", encoding="utf-8") as f:
            f.write("%d" % self.skew)
        os.rename(self.skew_file + "~", self.skew_file)

    def now_ms(self):
        return (time.time() + self.skew) * 1000

    def files(self):
        """What is there, by level and TXIDs, with its time."""
        there = {}
        for k, path in kit.objects(self.replica)[0].items():
            try:
                there[k[:3]] = os.stat(path).st_mtime_ns // 1000000
            except FileNotFoundError:
                pass
        self.ever.update(there)
        return there

    def commit(self):
        before = max((k[2] for k in self.files()), default=0)
        for _ in range(self.rnd.randrange(1, 4)):
            self.db.execute("INSERT INTO t(v) VALUES(?)", (self.rnd.randbytes(self.rnd.randrange(20, 3000)),))
            self.found.check(kit.wait_until(lambda: max((k[2] for k in self.files()), default=0) > before),
                             "a commit was not sent: %s" % self.weir.lines()[-2:])
            before = max(k[2] for k in self.files())

    def start(self):
        self.weir.start()
        self.found.check(kit.wait_until(lambda: self.weir.logged("replica joined")),
                         "no replication: %s" % self.weir.lines()[-2:])

    def wait_for_snapshot(self, txid):
        """Of what the day before ended with, or of something newer."""
        self.found.check(kit.wait_until(lambda: any(k[0] == SNAPSHOT and k[2] >= txid for k in self.files())),
                         "no snapshot is made of txid %x or later" % txid)

    def has_snapshot_of_today(self):
        return any(k[0] == SNAPSHOT and utc(ms).date() == utc(self.now_ms()).date() for k, ms in self.files().items())

    def restored(self, txid):
        code, said = kit.restore(self.args.weir, self.url, self.out, txid)
        if not self.found.check(code == 0, "txid %x does not restore: %s" % (txid, said)):
            return None
        return hashlib.sha256(kit.read(self.out)).digest()

    def promised(self):
        """The TXIDs that the rules by number name, of all files that ever were: {TXID: its file}."""
        snapshots = sorted((k for k in self.ever if k[0] == SNAPSHOT), key=lambda k: k[2])
        points = {k[2]: k for k in snapshots[-NEWEST:]}
        for count, period_of in RULES:
            periods = {}
            for k, ms in self.ever.items():
                periods.setdefault(period_of(ms), []).append(k)
            for period in sorted(periods)[-count:]:
                best = max(periods[period], key=lambda k: (k[0] == SNAPSHOT, k[2], k[0]))
                points[best[2]] = best
        return points

    def dry_run(self):
        r = subprocess.run([self.args.weir, "retention", "-json", "-all", "-config", self.config, self.path],
                           capture_output=True, text=True, env=self.env, check=False)
        if not self.found.check(r.returncode == 0, "weir retention says " + r.stderr):
            return {}
        one = json.loads(r.stdout)[0]
        stay = {(f["level"], int(f["min_txid"], 16), int(f["max_txid"], 16)): f["kept"]
                for f in one["files"] if f["kept"]}
        self.found.check(one["delete_count"] == one["file_count"] - len(stay), "the counts are not the files'")
        return stay

    def judge(self):
        before = set(self.files())
        stay = self.dry_run()

        def gone():  # it looks for what can be deleted when it has sent a file of a level
            self.commit()
            return not (before - set(stay)) & set(self.files())

        self.found.check(kit.wait_until(gone), "is there, though weir retention says that it goes: %s" % sorted(
            (before - set(stay)) & set(self.files())))
        there, promised = self.files(), self.promised()
        # the newest of a level, and the way to it, give way to the next one
        lost = {k: why for k, why in stay.items() if k not in there and why not in ("newest", "chain")}
        self.found.check(not lost, "is gone, though weir retention says that it stays: %s" % lost)
        for txid, k in sorted(promised.items()):
            if k[0] == SNAPSHOT:
                self.found.check(k in there, "the snapshot %s was promised and is gone" % (k,))
            if txid not in self.digest:
                self.digest[txid] = self.restored(txid)
        for txid in self.rnd.sample(sorted(promised), min(2, len(promised))):
            self.found.check(self.restored(txid) == self.digest[txid], "txid %x is not what it was" % txid)
        snapshots = sum(k[0] == SNAPSHOT for k in there)
        self.most = max(self.most, snapshots)
        self.found.check(snapshots <= NEWEST + DAILY + WEEKLY + MONTHLY + 1, "%d snapshots are left" % snapshots)

    def step(self, i):
        self.last = self.rnd.choice((3 * HOUR, 11 * HOUR, DAY, DAY, DAY, 2 * DAY, 9 * DAY, 33 * DAY))
        self.skew += self.last
        self.found.where = "step %d, %s: " % (i, utc(self.now_ms()).date())
        txid, day = max(k[2] for k in self.files()), utc(self.now_ms() - 1000 * self.last).date()
        self.set_clock()
        self.commit()
        # For the process no time has passed: it would hold the clock for wrong (src/engine/latest.h). The next one
        # finds a file of today; and perhaps no snapshot, if that of the new day was made before the first commit.
        self.weir.stop()
        self.start()
        self.commit()
        if day != utc(self.now_ms()).date():
            self.wait_for_snapshot(txid)
            self.found.check(kit.wait_until(self.has_snapshot_of_today), "no snapshot is made today")
        txid = max(k[2] for k in self.files())
        self.digest[txid] = self.restored(txid)
        self.judge()
        if i % 6 == 2:
            self.weir.kill()
            self.start()
        elif i % 6 == 5:
            self.found.check(self.weir.stop() == 0, "weir did not end well")
            self.start()

    def end(self):
        self.found.where = "end: "
        self.found.check(self.weir.stop() == 0, "weir did not end well")
        self.db.close()
        self.found.check(kit.checkpointed(self.path), "cannot checkpoint the source")
        code, said = kit.restore(self.args.weir, self.url, self.out)
        self.found.check(code == 0, "restore says %s" % said)
        difference = kit.same_bytes(self.path, self.out)
        self.found.check(not difference, "the restore differs, %s" % difference)
        with open(self.weir.log, encoding="utf-8", errors="replace") as f:
            for line in f:
                self.found.check("level=ERROR" not in line and "level=WARN" not in line, "weir logged: " + line)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weir", type=os.path.abspath)
    p.add_argument("skewed_clock", type=os.path.abspath)
    p.add_argument("--steps", type=int, default=30)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    found = kit.Findings("retention")
    run = Run(args, found)
    run.start()
    run.commit()
    for i in range(args.steps):
        run.step(i)
    print("steps=%d days=%d files_ever=%d files_left=%d snapshots_at_most=%d" % (
        args.steps, run.skew // DAY, len(run.ever), len(run.files()), run.most), flush=True)
    run.end()
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

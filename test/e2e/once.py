#!/usr/bin/python3
"""What `weir replicate -once` does for the history of a database, run after run, as cron would.

usage: once.py WEIR [--runs N]

On a directory, and on an S3 server of a kind, beside an application that commits all the time:

  levels      each run sends a transaction or a few; files of levels 1 and 2 come all the same
  snapshot    -force-snapshot sends one, and none when there is one of that state
  retention   only -enforce-retention deletes; what went was not needed a grace period before
  restores    files that a restore has planned with a moment ago stay while the grace period lasts
  refusals    neither flag goes without -once

and at the end that the newest state is the database, byte for byte, and that `weir verify` agrees.
Prints one line per finding and exits 1 when there was any.
"""
import argparse
import os
import sqlite3
import subprocess
import sys
import threading
import time

import fakes3
import kit

CONFIG = """
levels: [{interval: 500ms}, {interval: 3s}]
snapshot: {interval: 24h, retention: %ds}
l0-retention: 500ms
retention: {grace: %s}
dbs: [{path: %s, replica: {url: "%s"}}]
"""
KEEP, GRACE = 2, 3  # seconds


class Application(threading.Thread):
    """Commits until it is told to stop."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.over = path, threading.Event()

    def run(self):
        db = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        while not self.over.wait(0.05):
            db.execute("INSERT INTO t(v) VALUES(randomblob(700))")
            db.execute("DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY id DESC LIMIT 1 OFFSET 300)")
        db.close()

    def stop(self):
        self.over.set()
        self.join()


class Run:
    def __init__(self, args, found, name, url, env=None):
        self.args, self.found, self.url = args, found, url
        self.path, self.top = found.path(name + ".db"), found.path(name)
        self.out, self.env = found.path(name + ".restored"), env
        db = sqlite3.connect(self.path, isolation_level=None)
        db.executescript("PRAGMA journal_mode=wal; CREATE TABLE t(id INTEGER PRIMARY KEY, v);")
        db.close()
        self.set_grace("%ds" % GRACE)

    def set_grace(self, grace):
        self.config = self.found.path(os.path.basename(self.top) + ".yml")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(CONFIG % (KEEP, grace, self.path, self.url))

    def once(self, *flags):
        """Its log."""
        r = subprocess.run([self.args.weir, "replicate", "-once", *flags, "-config", self.config],
                           capture_output=True, text=True, env=self.env, timeout=120, check=False)
        self.found.check(r.returncode == 0, "-once %s ends with %d: %s" % (" ".join(flags), r.returncode, r.stderr))
        for line in r.stdout.splitlines():
            self.found.check("level=ERROR" not in line and "level=WARN" not in line, "weir logged: " + line)
        return r.stdout.splitlines()

    def files(self, level=None):
        return {k for k in kit.objects(self.top)[0] if level is None or k[0] == level}

    def newest(self):
        return max(k[2] for k in self.files())

    def levels(self):
        ever = set()
        for _ in range(self.args.runs):
            self.once()
            time.sleep(0.2)
            self.found.check(ever <= self.files(), "a run without -enforce-retention deleted something")
            ever = self.files()
        ones, twos = len(self.files(1)), len(self.files(2))
        self.found.check(ones >= self.args.runs // 12 and ones <= self.args.runs // 2, "level 1 has %d files" % ones)
        self.found.check(twos >= 1, "level 2 has no file")
        self.found.check(len(self.files(9)) == 1, "level 9 has %d files" % len(self.files(9)))

    def snapshot(self):
        self.once("-force-snapshot")
        there = self.files(9)
        self.found.check(len(there) == 2, "no snapshot was sent: %s" % sorted(there))
        self.found.check(max(k[2] for k in there) > 1, "no new one")

    def snapshot_of_the_same(self):
        """Nobody writes meanwhile."""
        self.once("-force-snapshot")
        there = self.files()
        self.found.check(max(k[2] for k in self.files(9)) == self.newest(), "the snapshot is not of the newest state")
        self.once("-force-snapshot")
        self.found.check(there == self.files(), "a second snapshot of the same state, or more: %s" % (
            self.files() ^ there))

    def retention(self):
        self.set_grace("1h")
        there = self.files()
        log = self.once("-force-snapshot", "-enforce-retention")
        self.found.check(there <= self.files(), "a file went that a restore may have planned with")
        self.found.check(any("enforcing retention" in line for line in log), "it does not say so")
        self.set_grace("%ds" % GRACE)
        was = []  # the newest snapshot, by time
        seen = {}  # files of level 0, since when
        deleted = 0
        longest = 0  # seconds between two looks
        for _ in range(20):
            log = self.once("-force-snapshot", "-enforce-retention")
            said = [line for line in log if "retention enforced" in line]
            if self.found.check(len(said) == 1, "no count: %s" % log[-3:]):
                deleted += int(kit.fields(said[0])["files_deleted"])
            now = time.monotonic()
            longest = max(longest, now - was[-1][0]) if was else 0
            for then, newest in was:
                there, age = (9, 1, newest) in self.files(), now - then
                if age < GRACE:  # it was the plan of the newest state
                    self.found.check(there, "the snapshot of %.1f seconds ago went" % age)
                elif age > KEEP + GRACE + 1 + 3 * longest:
                    self.found.check(not there, "the snapshot of %.1f seconds ago is there" % age)
            was.append((time.monotonic(), max(k[2] for k in self.files(9))))
            for k in self.files(0):
                age = now - seen.setdefault(k, now)
                # A run merges it, one sees that it is merged for long enough, one that nothing needs it,
                # and one that the grace period is over.
                self.found.check(age <= GRACE + 2 + 5 * longest, "%s of level 0 is %.1f seconds old" % (k, age))
            time.sleep(0.5)
        self.found.check(deleted > self.args.runs, "%d files were deleted" % deleted)
        return deleted

    def end(self):
        self.once()
        r = subprocess.run([self.args.weir, "verify", self.url], capture_output=True, text=True,
                           env=self.env, timeout=120, check=False)
        self.found.check(r.returncode == 0, "verify says %s" % (r.stdout + r.stderr))
        self.found.check(kit.checkpointed(self.path), "cannot checkpoint the source")
        code, said = kit.restore(self.args.weir, self.url, self.out, env=self.env)
        if self.found.check(code == 0, "restore says %s" % said):
            difference = kit.same_bytes(self.path, self.out)
            self.found.check(not difference, "the restore differs, %s" % difference)

    def all(self):
        app = Application(self.path)
        app.start()
        self.levels()
        self.snapshot()
        deleted = self.retention()
        app.stop()
        self.snapshot_of_the_same()
        self.end()
        print("%s runs=%d files_left=%d deleted=%d" % (
            os.path.basename(self.top), self.args.runs, len(self.files()), deleted), flush=True)


def refusals(args, found):
    for flag in ("-force-snapshot", "-enforce-retention"):
        r = subprocess.run([args.weir, "replicate", flag, found.path("no.db"), "file:///no"], capture_output=True,
                           text=True, timeout=60, check=False)
        found.check(r.returncode == 1 and "cannot specify %s flag without -once" % flag in r.stderr,
                    "%s: %d, %s" % (flag, r.returncode, r.stderr))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weir", type=os.path.abspath)
    p.add_argument("--runs", type=int, default=36)
    args = p.parse_args()
    found = kit.Findings("once")
    found.where = "file: "
    Run(args, found, "file", "file://" + found.path("file")).all()
    found.where = "s3: "
    s3 = fakes3.FakeS3(found.work)
    env = dict(os.environ, AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="s")
    Run(args, found, "s3", s3.url("s3"), env).all()
    s3.stop()
    refusals(args, found)
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

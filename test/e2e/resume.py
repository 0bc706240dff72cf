#!/usr/bin/python3
"""A restore that is killed is resumed by the same command, from a replica that has moved on.

usage: resume.py WEIR [--mb N]

kill      `weir restore` of a database of N MB is killed with SIGKILL when about half of it is
          there, twice, with commits to the replica in between. The third run must say that it
          resumes, read much less than all, and give the database byte for byte.
stop      The same with SIGINT: it says what it keeps, and where.
other     Another replica's restore to the same path takes nothing from what is there.

Prints one line per finding and exits 1 when there was any.
"""
import argparse
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time

import kit

ENTRY = 12  # bytes of the map for a page
PAGE = 4096


def grow(path, megabytes):
    """Add so much noise, in the database file, not its WAL."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v)")
    for _ in range(megabytes):
        db.execute("INSERT INTO t(v) VALUES(randomblob(1000000))")
    db.commit()
    db.close()


class Case:
    def __init__(self, args, found):
        self.args, self.found = args, found
        self.path, self.target = found.path("app.db"), found.path("restored.db")
        self.url = "file://" + found.path("replica")

    def replicate(self, path=None, url=None):
        r = subprocess.run([self.args.weir, "replicate", "-once", path or self.path, url or self.url],
                           capture_output=True, text=True)
        self.found.check(r.returncode == 0, "replicate: %s %s" % (r.returncode, r.stderr))

    def left(self):
        """The names beside the target."""
        return sorted(n for n in os.listdir(self.found.work) if ".tmp-" in n)

    def reach(self):
        """How many pages the map beside the target tells of."""
        for name in self.left():
            if name.endswith("-map"):
                try:
                    with open(self.found.path(name), "rb") as f:
                        entries = f.read()
                    return len(entries) // ENTRY - entries.count(bytes(ENTRY))
                except FileNotFoundError:
                    pass
        return 0

    def interrupted(self, sig, pages):
        """Restore, and send the signal when so many pages are there: what it said, or None."""
        for _ in range(5):  # it may be through before we look
            p = subprocess.Popen([self.args.weir, "restore", "-parallelism", "1", "-o", self.target, self.url],
                                 stderr=subprocess.PIPE, text=True)
            while p.poll() is None and self.reach() < pages:
                time.sleep(0.0005)
            p.send_signal(sig)
            said = p.communicate()[1]
            if p.returncode != 0:
                return said
            os.remove(self.target)
        self.found.add("restores faster than it can be killed: give it more than %d MB" % self.args.mb)
        return None

    def resumed(self, *flags):
        """Restore to the end: the result as JSON."""
        r = subprocess.run([self.args.weir, "restore", "-json", *flags, "-o", self.target, self.url],
                           capture_output=True, text=True)
        if not self.found.check(r.returncode == 0, "restore: %s %s" % (r.returncode, r.stderr)):
            return {"bytes_read": 0, "bytes_resumed": 0}
        return json.loads(r.stdout)

    def same(self):
        self.found.check(kit.checkpointed(self.path), "cannot checkpoint")
        diff = kit.same_bytes(self.path, self.target)
        self.found.check(not diff, "the restored database differs: %s" % diff)
        self.found.check(not self.left(), "left behind: %s" % self.left())
        os.remove(self.target)


def kill(x):
    x.found.where = "kill: "
    pages = x.args.mb * 1000000 // PAGE
    for share in (3, 2):
        x.interrupted(signal.SIGKILL, pages // share)
        x.found.check(len(x.left()) == 2, "after a kill there are %s" % x.left())
        grow(x.path, 1)
        x.replicate()
    r = subprocess.run([x.args.weir, "restore", "-o", x.target, x.url], capture_output=True, text=True)
    x.found.check(r.returncode == 0, "restore: %s %s" % (r.returncode, r.stderr))
    here = re.search(r"resuming: (\d+) MB of (\d+) MB already here", r.stderr)
    x.found.check(here and int(here.group(1)) > int(here.group(2)) * 4 // 10, "does not resume: " + r.stderr)
    x.found.check("fetched by an earlier run" in r.stderr, "does not say that it resumed: " + r.stderr)
    x.same()


def stop(x):
    x.found.where = "stop: "
    said = x.interrupted(signal.SIGINT, x.args.mb * 1000000 // PAGE * 9 // 10)
    names = x.left()
    if x.found.check(len(names) == 2, "after an interrupt there are %s: %s" % (names, said)):
        x.found.check(x.found.path(names[0]) in said and "goes on from there" in said, "does not say so: %s" % said)
    r = x.resumed("-integrity-check", "quick")
    total = r["bytes_read"] + r["bytes_resumed"]
    x.found.check(r["bytes_read"] < total // 4, "read %d of %d bytes again" % (r["bytes_read"], total))
    x.same()


def other(x):
    x.found.where = "other: "
    x.interrupted(signal.SIGKILL, x.args.mb * 1000000 // PAGE // 2)
    x.path, x.url = x.found.path("other.db"), "file://" + x.found.path("other")
    grow(x.path, 70)  # enough to have a map
    x.replicate()
    r = x.resumed()
    x.found.check(r["bytes_resumed"] == 0, "took %d bytes of another database" % r["bytes_resumed"])
    x.same()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("weir", type=os.path.abspath)
    parser.add_argument("--mb", type=int, default=160)
    args = parser.parse_args()
    found = kit.Findings("resume")
    x = Case(args, found)
    grow(x.path, args.mb)
    x.replicate()
    for part in (kill, stop, other):
        part(x)
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

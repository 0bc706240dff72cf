#!/usr/bin/python3
"""`weir replicate` and `weir verify` of a database of 10 GB, in bounded memory.

usage: vast.py WEIR [--gigabytes N] [--seconds N] [--memory MIB]

The file is sparse, and its free pages are spread over all of it, so that ordinary inserts change pages from
its beginning to its end. A writer does, from before the first snapshot on, which takes a while to be read, until
--seconds after it, and until there is a file of each of the levels of 1, 3 and 9 seconds. Judged:

  neither the daemon nor verify ever had more memory than that (--memory, VmHWM of the process); that is enough with
    sanitizers, too, as these are told to keep little of what was freed
  the WAL never was longer than that at which it is cut whatever an application does, with a transaction to spare
  the database was sent once: one snapshot, but for those that spare a restore what the writer has changed
    since, and not the levels above it as well
  every level was made, and every restore point gives the database that was captured (verify, the rolling checksum)
  the application was never told that the database is busy, and nothing was logged that is an error

Prints one line per finding and exits 1 when there was any.
"""
import argparse
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import kit

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
sys.dont_write_bytecode = True

import sparse  # noqa: E402

PAGES = 20000  # that the writer may use; each is a piece of the file, and takes the file system its time in the end
LONGEST_WAL = (64 * 800 + 1000) * sparse.PAGE  # 64 times min-checkpoint-page-count

CONFIG = """
levels: [{interval: 1s}, {interval: 3s}, {interval: 9s}]
snapshot: {interval: 24h}
dbs:
  - path: %s
    replica: {url: "%s", sync-interval: 50ms}
"""


class Writer(threading.Thread):
    """Commits rows of about a page each, many in a transaction, at random among those that are there."""

    def __init__(self, path, rows):
        super().__init__()
        self.path, self.rows, self.done, self.ended, self.error = path, rows, 0, threading.Event(), None
        self.longest = 0  # bytes of the WAL

    def run(self):
        rnd = random.Random(1)
        db = sqlite3.connect(self.path, timeout=20, isolation_level=None)
        db.execute("PRAGMA journal_mode=wal")
        try:
            while not self.ended.is_set():
                db.execute("BEGIN IMMEDIATE")
                for _ in range(rnd.choice((1, 10, 300))):
                    key = rnd.randrange(self.rows)
                    db.execute("INSERT OR REPLACE INTO t VALUES(?, ?)", (key, rnd.randbytes(3000)))
                db.execute("COMMIT")
                self.done += 1
                self.longest = max(self.longest, os.path.getsize(self.path + "-wal"))
                time.sleep(0.05)
        except sqlite3.Error as e:
            self.error = e
        db.close()


def peak_mib(pid):
    """The most memory that a process had, by now."""
    with open("/proc/%d/status" % pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:")) / 1024


def verify(args, url, found):
    p = subprocess.Popen([args.weir, "verify", url], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said, peak = [], 0.0

    def read():
        said.extend(p.stdout)

    reader = threading.Thread(target=read)
    reader.start()
    while p.poll() is None:
        try:
            peak = max(peak, peak_mib(p.pid))
        except (OSError, StopIteration):
            break
        time.sleep(0.02)
    reader.join()
    found.check(p.wait() == 0, "verify ends with %d: %s" % (p.returncode, " ".join(said[-3:])))
    return peak, said


def levels_of(replica):
    count = {}
    for level, _, _ in kit.objects(replica)[0]:
        count[level] = count.get(level, 0) + 1
    return count


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weir")
    p.add_argument("--gigabytes", type=float, default=10)
    p.add_argument("--seconds", type=int, default=20)
    p.add_argument("--memory", type=int, default=100)
    args = p.parse_args()
    found = kit.Findings("vast")
    path, replica, log, config = (found.path(n) for n in ("app.db", "replica", "log", "weir.yml"))
    url = "file://" + replica
    size = int(args.gigabytes * (1 << 30)) // sparse.PAGE * sparse.PAGE
    sparse.make(path, size, PAGES)
    with open(config, "w") as f:
        f.write(CONFIG % (path, url))
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4"
    begun = time.monotonic()
    with open(log, "ab") as out:
        daemon = subprocess.Popen([args.weir, "replicate", "-config", config], stdout=out, stderr=out)
    writer = Writer(path, PAGES * 4 // 5)
    writer.start()
    sent = kit.wait_until(lambda: levels_of(replica).get(9), 400, 0.2)
    found.check(sent, "no snapshot after 400 s")
    took = time.monotonic() - begun
    first = sum(os.path.getsize(p) for p in kit.objects(replica)[0].values())
    alone = peak_mib(daemon.pid)
    while_sent = writer.done
    time.sleep(args.seconds)
    kit.wait_until(lambda: levels_of(replica).get(3), 60, 0.2)  # later on a busy machine
    writer.ended.set()
    writer.join()
    found.check(not writer.error, "the application: %s" % writer.error)
    peak = peak_mib(daemon.pid)
    daemon.terminate()
    found.check(daemon.wait(60) == 0, "weir ended with %s" % daemon.returncode)
    count = levels_of(replica)
    for level in (0, 1, 2, 3, 9):
        found.check(count.get(level), "level %d has no file" % level)
    with open(log, errors="replace") as f:
        dear = f.read().count("that a restore takes long, sending another")
    found.check(count.get(9, 0) <= 1 + dear, "%s snapshots, %d of them since much had changed" % (count.get(9), dear))
    for (level, low, high), name in kit.objects(replica)[0].items():
        found.check(level == 9 or low > 1 or high == 1 or os.path.getsize(name) < first,
                    "level %d has the whole database once more" % level)
    checked, _ = verify(args, url, found)
    found.check(while_sent > 10, "%d commits beside the snapshot" % while_sent)
    found.check(writer.longest <= LONGEST_WAL, "a WAL of %d bytes" % writer.longest)
    print("%.1f GB: sent in %.1f s as %.1f MB beside %d commits, %d in all, the longest WAL %.1f MB; files a level %s; "
          "memory %.0f MiB then, %.0f MiB in the end, verify %.0f MiB"
          % (size / (1 << 30), took, first / 1e6, while_sent, writer.done, writer.longest / 1e6,
             dict(sorted(count.items())), alone, peak, checked))
    found.check(max(peak, checked) <= args.memory, "more than %d MiB of memory" % args.memory)
    with open(log, errors="replace") as f:
        for line in f:
            late = "commits are late in the replica" in line  # the first look at such a file takes a minute
            found.check("level=ERROR" not in line and ("level=WARN" not in line or late), "weir logged: " + line)
    raise SystemExit(found.end())


if __name__ == "__main__":
    main()

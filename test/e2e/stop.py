#!/usr/bin/python3
"""A weir that is stopped (SIGSTOP) at random points does not stop the application.

usage: stop.py WEIR [--stops N] [--seed N]

Hostile writers go on while weir is stopped N times, for tenths of a second or for seconds, and continues.
It may be stopped inside a barrier, where it has the writer lock for some milliseconds; /proc/locks tells.
Judged:

  no writer waits for a lock longer than a bound, unless weir was stopped inside the barrier
  nothing is lost: after each continuation it catches up, without a warning or a snapshot; at the end
  each TXID restores, its watermarks agree, and the newest is the database byte for byte

A stop inside the barrier holds up writers until SIGCONT: nothing in weir sees to that. The longest such
wait is printed, and so is how far the WAL grew, since nobody can checkpoint meanwhile.

Prints one line per finding and exits 1 when there was any.
"""
import argparse
import multiprocessing
import os
import random
import signal
import sqlite3
import sys
import time

import kill9
import kit
import storm

WAIT = 1.0        # seconds that a commit beside three hot writers may take on a busy machine
STOPPED = 0.4     # seconds, at the most; but each LONG-th time 2 * WAIT
LONG = 6
WRITE_LOCK = 120  # WAL_WRITE_LOCK in the -shm file


def write(path, writer, seed, stop, out):
    """Time each commit: (end, seconds) of the slow ones."""
    rnd = random.Random(seed * 1000 + writer)
    db = storm.connect(path, writer)
    seq, slow, errors = 1, [], []
    while not stop.is_set():
        start = time.monotonic()
        try:
            seq = storm.transaction(db, rnd, writer, seq)
        except sqlite3.Error as e:
            errors.append(str(e))
            if db.in_transaction:
                db.execute("ROLLBACK")
        took = time.monotonic() - start
        if took > STOPPED / 2:
            slow.append((start, took))
        time.sleep(rnd.random() * 0.01)
    db.close()
    out.put((writer, seq - 1, slow, errors))


def has_writer_lock(pid, shm):
    """Whether the process has byte 120 of that file."""
    inode = ":%d" % os.stat(shm).st_ino
    with open("/proc/locks", encoding="utf-8") as f:
        for line in f:
            _, kind, _, mode, owner, where, low, high = [p for p in line.split() if p != "->"][:8]
            if (kind == "POSIX" and mode == "WRITE" and int(owner) == pid and where.endswith(inode)
                    and int(low) <= WRITE_LOCK <= int(high)):
                return True
    return False


def stopped_now(pid):
    with open("/proc/%d/stat" % pid, encoding="utf-8") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "T"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weir", type=os.path.abspath)
    p.add_argument("--stops", type=int, default=20)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    found = kit.Findings("stop")
    case = kill9.Case(args, found, "stop")
    rnd, weir, shm = case.rnd, case.weir, case.path + "-shm"
    stop, out = multiprocessing.Event(), multiprocessing.Queue()
    weir.start()
    case.joined()
    writers = [multiprocessing.Process(target=write, args=(case.path, w, args.seed, stop, out))
               for w in range(storm.WRITERS)]
    for w in writers:
        w.start()
    inside, stopped, wal = [], 0, 0
    for i in range(args.stops):
        found.where = "stop %d: " % i
        time.sleep(rnd.random() * 0.2)
        if i % 4 == 3:  # try to meet a barrier
            kit.wait_until(lambda: has_writer_lock(weir.process.pid, shm), 0.3, 0)
        weir.process.send_signal(signal.SIGSTOP)
        start = time.monotonic()
        kit.wait_until(lambda: stopped_now(weir.process.pid), 1, 0)
        held = has_writer_lock(weir.process.pid, shm)
        time.sleep(2 * WAIT if i % LONG == 1 else rnd.random() * STOPPED)
        wal = max(wal, os.path.getsize(case.path + "-wal"))
        weir.process.send_signal(signal.SIGCONT)
        stopped += time.monotonic() - start
        if held:
            inside.append((start, time.monotonic()))
        before = kit.txids(case.replica)
        found.check(kit.wait_until(lambda: kit.txids(case.replica) != before, 20),
                    "nothing was sent after SIGCONT: %s" % weir.lines()[-1:])
    found.where = "end: "
    stop.set()
    done, longest, outside = {}, 0, 0
    for _ in writers:
        w, seq, slow, errors = out.get(timeout=60)
        done[w] = seq
        for e in errors:
            found.add("writer %d saw: %s" % (w, e))
        for start, took in slow:
            if any(start < b and a < start + took for a, b in inside):
                longest = max(longest, took)
            else:
                outside = max(outside, took)
                found.check(took < WAIT, "writer %d waited %.2f s, and weir was not inside the barrier" % (w, took))
    for w in writers:
        w.join()
    case.matches()
    case.stop()
    case.judge_start("run")
    marks = case.judge_txids()
    found.check(marks == [done[w] for w in range(storm.WRITERS)],
                "the newest TXID has %s, the writers committed %s" % (marks, done))
    print("stops=%d stopped_s=%.1f in_barrier=%d longest_wait_there_s=%.2f elsewhere_s=%.2f commits=%d wal_max=%d" % (
        args.stops, stopped, len(inside), longest, outside, sum(done.values()), wal), flush=True)
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

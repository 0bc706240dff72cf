#!/usr/bin/python3
"""A weir that is stopped (SIGSTOP) at random points does not stop the application for good.

usage: stop.py WEIR [--stops N] [--seed N]

Hostile writers go on while weir is stopped N times, for tenths of a second or for seconds, and continues.
It may be stopped inside a barrier, where it has the writer lock for some milliseconds; /proc/locks tells.
Each fourth time it is not continued: a service manager with a watchdog, which this script plays, misses
its signs of life, kills it and starts it anew. Judged:

  no writer waits for a lock longer than a bound, unless weir was stopped inside the barrier
  nor then for much longer than the watchdog does
  signs of life come while it runs, and none while it is stopped
  nothing is lost: after each continuation or start it catches up, without a warning or a snapshot; at the
  end each TXID restores, its watermarks agree, and the newest is the database byte for byte

The longest waits are printed, and how far the WAL grew, since nobody can checkpoint meanwhile.

Prints one line per finding and exits 1 when there was any.
"""
import argparse
import collections
import multiprocessing
import os
import random
import signal
import socket
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
WATCHDOG = 1.5    # seconds without a sign of life


class Manager:
    """What a service manager hears (sd_notify(3))."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.env = {**os.environ, "NOTIFY_SOCKET": path, "WATCHDOG_USEC": "%d" % (WATCHDOG * 1e6)}
        self.heard = collections.Counter()

    def hear(self, seconds):
        """What comes in that time; the first word ends the wait. Whether there was one."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            self.heard.update(self.socket.recv(4096).decode().splitlines())
            return True
        except TimeoutError:
            return False

    def catch_up(self):
        """Hear what was said before."""
        while self.hear(0):
            pass

    def lose_patience(self):
        """Wait until there was no sign of life for the time of the watchdog."""
        self.catch_up()
        return not self.hear(WATCHDOG)


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
    manager = Manager(found.path("notify"))
    weir.env = manager.env
    stop, out = multiprocessing.Event(), multiprocessing.Queue()
    weir.start()
    case.joined()
    writers = [multiprocessing.Process(target=write, args=(case.path, w, args.seed, stop, out), daemon=True)
               for w in range(storm.WRITERS)]
    for w in writers:
        w.start()
    inside, stopped, wal, killed, beats = [], 0, 0, 0, 0
    for i in range(args.stops):
        found.where = "stop %d: " % i
        time.sleep(rnd.random() * 0.2)
        if i % 4 == 3:  # try to meet a barrier
            kit.wait_until(lambda: has_writer_lock(weir.process.pid, shm), 0.3, 0)
        weir.process.send_signal(signal.SIGSTOP)
        start = time.monotonic()
        kit.wait_until(lambda: stopped_now(weir.process.pid), 1, 0)
        held = has_writer_lock(weir.process.pid, shm)
        if i % 4 == 3:
            found.check(manager.lose_patience(), "a sign of life from a stopped process")
            found.check(manager.heard["WATCHDOG=1"] > beats, "no sign of life before it was stopped")
            beats = manager.heard["WATCHDOG=1"]
        else:
            time.sleep(2 * WAIT if i % LONG == 1 else rnd.random() * STOPPED)
            manager.catch_up()  # its queue is short
        wal = max(wal, os.path.getsize(case.path + "-wal"))
        if i % 4 == 3:
            weir.kill()
            case.judge_start("run")
            weir.start()
            killed += 1
        else:
            weir.process.send_signal(signal.SIGCONT)
        stopped += time.monotonic() - start
        if held:
            inside.append((start, time.monotonic()))
        before = kit.txids(case.replica)
        found.check(kit.wait_until(lambda: kit.txids(case.replica) != before, 20),
                    "nothing was sent afterwards: %s" % weir.lines()[-1:])
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
                found.check(took < max(WATCHDOG, 2 * WAIT) + WAIT, "writer %d waited %.2f s" % (w, took))
            else:
                outside = max(outside, took)
                found.check(took < WAIT, "writer %d waited %.2f s, and weir was not inside the barrier" % (w, took))
    for w in writers:
        w.join()
    case.matches()
    case.stop()
    case.judge_start("run")
    manager.catch_up()
    found.check(manager.heard["READY=1"] == killed + 1 and manager.heard["STOPPING=1"] == 1,
                "the service manager heard %s of %d starts" % (manager.heard, killed + 1))
    marks = case.judge_txids()
    found.check(marks == [done[w] for w in range(storm.WRITERS)],
                "the newest TXID has %s, the writers committed %s" % (marks, done))
    print("stops=%d killed=%d stopped_s=%.1f in_barrier=%d longest_wait_there_s=%.2f elsewhere_s=%.2f commits=%d wal_max=%d" % (
        args.stops, killed, stopped, len(inside), longest, outside, sum(done.values()), wal), flush=True)
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""SQLite's WAL-reset bug (3.7.0 to 3.51.2) corrupts databases; beside `weir replicate` it cannot.

usage: walreset.py WEIR SLOW_VFS [--runs N] [--seconds N] [--controls N] [--seed N]

Two processes write and a third checkpoints (PASSIVE). In all of them slow_vfs.c makes the race likely. It
takes two checkpointers, or one that is not the writer: an old header, a reset in between, and pages that
are taken for checkpointed and are lost with the next reset.

control   Without weir, on the system's SQLite: must become corrupt, or the test proves nothing. Skipped
          when that SQLite has the fix.
run       With weir, which in every second run is stopped for milliseconds again and again, so that its
          own checkpoints are slow, too. The database must pass integrity_check, no writer may see an
          error, every TXID must restore, and the newest must be the database byte for byte.

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

CONTROL_SECONDS = 60
FIXED = ((3, 44, 6), (3, 45, 0)), ((3, 50, 7), (3, 51, 0)), ((3, 51, 3), (99, 0, 0))


def fixed():
    version = sqlite3.sqlite_version_info
    return any(low <= version < high for low, high in FIXED)


def preloaded(library):
    """Start again with the slow VFS, which whatever forks from here has, too."""
    if "WEIR_TEST_PRELOADED" not in os.environ:
        os.environ.update(WEIR_TEST_PRELOADED="1", LD_PRELOAD=library)
        os.execv(sys.executable, [sys.executable, *sys.argv])
    del os.environ["LD_PRELOAD"]  # weir has none of it
    try:
        sqlite3.connect("file::memory:?vfs=slow", uri=True).close()
    except sqlite3.OperationalError:
        kit.skip("walreset", "Python has another SQLite than the system")


def write(path, writer, seed, stop, out):
    """Small commits, and now and then one of many pages: the WAL must be longer before a reset than
    after it."""
    rnd = random.Random(seed * 1000 + writer)
    db = storm.connect(path, 1)
    db.execute("PRAGMA wal_autocheckpoint=0")
    seq, errors = 1, []
    while not stop.is_set() and not errors:
        try:
            seq = storm.transaction(db, rnd, writer, seq)
            if rnd.random() < 0.3:
                db.execute("UPDATE churn SET v = randomblob(length(v)) WHERE id %% 5 = %d" % rnd.randrange(5))
        except sqlite3.Error as e:
            errors.append(str(e))
        time.sleep(rnd.random() * 0.004)
    db.close()
    out.put((writer, seq - 1, errors))


def checkpoint(path, stop, out):
    db = storm.connect(path, 1)
    done, errors = 0, []
    while not stop.is_set():
        try:
            done += db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0] == 0
        except sqlite3.Error as e:
            errors.append(str(e))
            break
    db.close()
    out.put((None, done, errors))


class Application:
    def __init__(self, path, seed):
        self.stop, self.out = multiprocessing.Event(), multiprocessing.Queue()
        self.processes = [multiprocessing.Process(target=write, args=(path, w, seed, self.stop, self.out))
                          for w in (0, 1)]
        self.processes.append(multiprocessing.Process(target=checkpoint, args=(path, self.stop, self.out)))
        for p in self.processes:
            p.start()

    def end(self):
        """({writer: commits, None: checkpoints}, errors)"""
        self.stop.set()
        said = [self.out.get(timeout=60) for _ in self.processes]
        for p in self.processes:
            p.join()
        return {who: n for who, n, _ in said}, [e for _, _, errors in said for e in errors]


def broken(path):
    """Why this database is corrupt, or None."""
    db = sqlite3.connect(path, timeout=20)
    try:
        said = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        return None if said == "ok" else said
    except sqlite3.DatabaseError as e:
        return str(e)
    finally:
        db.close()


def control(found, i, seed):
    """Seconds until the database was corrupt."""
    path = found.path("control%d.db" % i)
    storm.setup(path)
    start = time.monotonic()
    app = Application(path, seed)
    why = None
    while not why and time.monotonic() - start < CONTROL_SECONDS and not app.out.qsize():
        time.sleep(0.3)
        why = broken(path)
    took = time.monotonic() - start
    errors = app.end()[1]
    found.check(why or errors, "not corrupt after %d s without weir: this proves nothing" % took)
    return took


def run(args, found, i):
    case = kill9.Case(args, found, "run%d" % i)
    case.weir.args[1] = "200ms"
    case.weir.start()
    found.check(case.joined(), "no replication: %s" % case.weir.lines()[-1:])
    app = Application(case.path, args.seed * 100 + i)
    end = time.monotonic() + args.seconds
    while (left := end - time.monotonic()) > 0:
        if i % 2:
            case.weir.process.send_signal(signal.SIGSTOP)
            time.sleep(case.rnd.random() * 0.006)
            case.weir.process.send_signal(signal.SIGCONT)
        time.sleep(min(left, case.rnd.random() * (0.02 if i % 2 else 1)))
    done, errors = app.end()
    for e in errors:
        found.add("the application saw: " + e)
    why = broken(case.path)
    found.check(not why, "the database is corrupt: %s" % why)
    case.matches()
    case.stop()
    case.judge_start("run")
    resets = sum(int(kit.fields(line)["wal_resets"]) for line in case.weir.logged("wal_resets="))
    found.check(resets > 0, "the WAL was never reset: this run proves nothing")
    marks = case.judge_txids()
    found.check(marks[:2] == [done[0], done[1]], "the newest has %s, committed were %s" % (marks, done))
    return done[0] + done[1], resets, bool(why)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weir", type=os.path.abspath)
    p.add_argument("slow_vfs", type=os.path.abspath)
    p.add_argument("--runs", type=int, default=12)
    p.add_argument("--seconds", type=float, default=1)
    p.add_argument("--controls", type=int, default=1)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    preloaded(args.slow_vfs)
    found = kit.Findings("walreset")
    if fixed():
        print("skipped walreset's control: SQLite %s has the fix" % sqlite3.sqlite_version)
    for i in range(0 if fixed() else args.controls):
        found.where = "control %d: " % i
        print("control: corrupt after %.1f s" % control(found, i, args.seed * 100 + i), flush=True)
    results = []
    for i in range(args.runs):
        found.where = "run %d: " % i
        results.append(run(args, found, i))
    print("sqlite=%s runs=%d commits=%d resets=%d corrupt=%d" % (
        sqlite3.sqlite_version, len(results), *(sum(r[k] for r in results) for k in range(3))), flush=True)
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

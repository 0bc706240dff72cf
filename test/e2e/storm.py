#!/usr/bin/python3
"""Hostile writers beside `weir replicate`; then every TXID of the replica is restored and judged.

usage: storm.py WEIR SECONDS [SEED] [--slow]

Three processes write for SECONDS: small inserts, deletes, large and rolled-back transactions,
VACUUM, explicit checkpoints of all kinds, an automatic checkpoint after 50 pages, reconnects. Every
transaction moves a watermark: a row, the writer's counter and its progress change together, so a
state that never existed shows. Judged:

  no writer saw an error
  the commits captured are as many as the wal-index counted
  each TXID restores, passes SQLite's integrity_check, and its watermarks agree and never go back
  the newest one is the database, byte for byte

With --slow the replica is a bucket behind a slow line (radosgw.sh), and the first snapshot takes most
of the time. That the WAL is checkpointed meanwhile is judged, too; VACUUM is rare then, since each
writes all of a larger database into the WAL.

Prints one line per finding and exits 1 when there was any.
"""
import argparse
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

import store as stores

WRITERS = 3
SLOW_BYTES = 40 << 20  # of the database at first, none of which can be compressed
SLOW_SHARE = 0.6       # of the time, for its snapshot
SLOW_WAL = 0.75        # of all that is written, at the most in the WAL; without checkpoints it is 1,
                       # with them 0.07, or 0.5 where sanitizers and other tests leave weir little time
FRAME = 4096 + 24


def connect(path, writer):
    db = sqlite3.connect(path, timeout=20, isolation_level=None)
    db.execute("PRAGMA journal_mode=wal").fetchone()
    db.execute("PRAGMA synchronous=normal")
    db.execute("PRAGMA cache_size=50")
    if writer % 2 == 0:
        db.execute("PRAGMA wal_autocheckpoint=50")
    return db


def setup(path, filler=0):
    db = connect(path, 1)
    db.execute("CREATE TABLE t(writer, seq, v BLOB, PRIMARY KEY(writer, seq))")
    db.execute("CREATE TABLE counter(writer PRIMARY KEY, n)")
    db.execute("CREATE TABLE progress(writer PRIMARY KEY, seq)")
    db.execute("CREATE TABLE churn(id INTEGER PRIMARY KEY, v BLOB)")
    for w in range(WRITERS):
        db.execute("INSERT INTO counter VALUES(?, 0)", (w,))
        db.execute("INSERT INTO progress VALUES(?, 0)", (w,))
    db.execute("CREATE TABLE filler(v BLOB)")
    for _ in range(filler >> 20):
        db.execute("INSERT INTO filler VALUES(randomblob(1 << 20))")
    db.close()


def transaction(db, rnd, writer, seq):
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO t VALUES(?, ?, randomblob(?))", (writer, seq, rnd.randint(1, 4000)))
    db.execute("UPDATE counter SET n = n + 1 WHERE writer = ?", (writer,))
    for _ in range(rnd.choice((0, 1, 1, 3, 120 if rnd.random() < 0.05 else 2))):
        db.execute("INSERT INTO churn(v) VALUES(randomblob(?))", (rnd.randint(10, 6000),))
    if rnd.random() < 0.3:
        db.execute("DELETE FROM churn WHERE id IN (SELECT id FROM churn ORDER BY random() LIMIT 30)")
    db.execute("UPDATE progress SET seq = ? WHERE writer = ?", (seq, writer))
    if rnd.random() < 0.1:
        db.execute("ROLLBACK")
        return seq
    db.execute("COMMIT")
    return seq + 1


def write(path, seconds, writer, seed, vacuum, out):
    rnd = random.Random(seed * 1000 + writer)
    db = connect(path, writer)
    seq = 1
    errors = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            r = rnd.random()
            if r < 0.93:
                seq = transaction(db, rnd, writer, seq)
            elif r < 0.96:
                mode = rnd.choice(("PASSIVE", "FULL", "RESTART", "TRUNCATE"))
                db.execute("PRAGMA wal_checkpoint(%s)" % mode).fetchall()
            elif r < 0.96 + vacuum:
                db.execute("VACUUM")
            elif r < 0.975:
                db.close()
                db = connect(path, writer)
            elif r < 0.98:
                time.sleep(rnd.random() * 0.05)
        except sqlite3.Error as e:
            errors.append(str(e))
            if db.in_transaction:
                db.execute("ROLLBACK")
    out.put((writer, seq - 1, errors))
    db.close()


def state(path):
    db = sqlite3.connect(path)
    found = []
    if db.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
        found.append("integrity_check fails")
    marks = []
    for w in range(WRITERS):
        n, top = db.execute("SELECT count(*), coalesce(max(seq), 0) FROM t WHERE writer = ?", (w,)).fetchone()
        counter = db.execute("SELECT n FROM counter WHERE writer = ?", (w,)).fetchone()[0]
        progress = db.execute("SELECT seq FROM progress WHERE writer = ?", (w,)).fetchone()[0]
        if not n == top == counter == progress:
            found.append("writer %d: %d rows, highest %d, counter %d, progress %d" % (w, n, top, counter, progress))
        marks.append(progress)
    db.close()
    return marks, found


def restore(weir, url, env, out, txid):
    args = [weir, "restore", "-quiet", "-force", "-o", out]
    if txid:
        args += ["-txid", txid]
    r = subprocess.run(args + [url], capture_output=True, text=True, env=env)
    return r.returncode, r.stderr.strip()


def txids(weir, url, env, failures):
    r = subprocess.run([weir, "ltx", "-level", "all", "-json", url], capture_output=True, text=True, env=env)
    if r.returncode != 0:
        failures.append("weir ltx says %d: %s" % (r.returncode, r.stderr))
    return sorted({f["max_txid"] for f in json.loads(r.stdout)}) if r.returncode == 0 else []


def judge(weir, url, env, work, path, done, failures):
    names = txids(weir, url, env, failures)
    out = os.path.join(work, "restored.db")
    before = [0] * WRITERS
    for txid in names:
        code, text = restore(weir, url, env, out, txid)
        if code != 0:
            failures.append("txid %s: restore says %d: %s" % (txid, code, text))
            continue
        marks, found = state(out)
        failures += ["txid %s: %s" % (txid, f) for f in found]
        if any(a > b for a, b in zip(before, marks)):
            failures.append("txid %s: a watermark went back" % txid)
        before = marks
    if before != [done[w] for w in range(WRITERS)]:
        failures.append("newest txid has %s, writers committed %s" % (before, done))
    code, text = restore(weir, url, env, out, None)
    if code != 0:
        failures.append("newest: restore says %d: %s" % (code, text))
    db = connect(path, 1)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    with open(path, "rb") as a, open(out, "rb") as b:
        if a.read() != b.read():
            failures.append("the newest restored state is not the database, byte for byte")
    return len(names)


def watch_wal(path, longest, stop):
    """The longest that the WAL ever was."""
    while not stop.wait(0.02):
        try:
            longest[0] = max(longest[0], os.path.getsize(path + "-wal"))
        except OSError:
            pass


def main():
    p = argparse.ArgumentParser()
    p.add_argument("weir")
    p.add_argument("seconds", type=float)
    p.add_argument("seed", type=int, nargs="?", default=1)
    p.add_argument("--slow", action="store_true")
    args = p.parse_args()
    weir, seconds, seed = args.weir, args.seconds, args.seed
    work = tempfile.mkdtemp(prefix="weir-storm-")
    path = os.path.join(work, "app.db")
    store = stores.Store("storm" if args.slow else None, work)
    url = near = store.url("replica")
    failures = []
    setup(path, SLOW_BYTES if args.slow else 0)
    if args.slow:
        line = stores.SlowLine(store.endpoint, SLOW_BYTES / (seconds * SLOW_SHARE))
        near = store.url("replica", line.endpoint)
    longest, stop = [0], threading.Event()
    threading.Thread(target=watch_wal, args=(path, longest, stop), daemon=True).start()
    log = open(os.path.join(work, "weir.log"), "w")
    daemon = subprocess.Popen([weir, "replicate", "-sync-interval", "20ms", "-shutdown-sync-timeout", "60s", path, near], stdout=log, stderr=log,
                              env=store.env)
    out = multiprocessing.Queue()
    writers = [multiprocessing.Process(target=write, args=(path, seconds, w, seed, 0.0001 if args.slow else 0.002, out)) for w in range(WRITERS)]
    for p in writers:
        p.start()
    done = {}
    for _ in writers:
        w, seq, errors = out.get(timeout=seconds + 120)
        done[w] = seq
        failures += ["writer %d saw: %s" % (w, e) for e in errors]
    for p in writers:
        p.join()
    stop.set()
    if args.slow:
        line.rate = 1 << 30  # what is left goes fast
    daemon.send_signal(signal.SIGTERM)
    if daemon.wait(90) != 0:
        failures.append("weir ended with %d" % daemon.returncode)
    log.close()
    text = open(log.name).read()
    m = re.search(r'msg="closed db".* commits=(\d+) wal_index_commits=(\d+) .*', text)
    if not m:
        failures.append("weir did not log its totals")
    elif m.group(1) != m.group(2):
        failures.append("captured %s commits, the wal-index counted %s" % m.groups())
    for line in text.splitlines():
        if "level=ERROR" in line or "level=WARN" in line:
            failures.append("weir logged: " + line)
    kept, frames = (re.search(r" %s=(\d+)" % name, text) for name in ("kept_pages", "frames"))
    if args.slow and frames and longest[0] > int(frames.group(1)) * FRAME * SLOW_WAL:
        failures.append("the WAL grew to %d bytes with %s frames written" % (longest[0], frames.group(1)))
    if args.slow and not (kept and int(kept.group(1)) > 0):
        failures.append("no checkpoint ran while the snapshot was sent: this run proves nothing")
    count = judge(weir, url, store.env, work, path, done, failures)
    print("transactions=%d txids=%d wal_max=%d %s" % (
        sum(done.values()), count, longest[0], m.group(0) if m else ""))
    for f in failures[:20]:
        print("FOUND " + f)
    if failures:
        print("kept " + work)
        return 1
    shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""Hostile writers beside `weir replicate`; then every TXID of the replica is restored and judged.

usage: storm.py WEIR SECONDS [SEED]

Three processes write for SECONDS: small inserts, deletes, large and rolled-back transactions,
VACUUM, explicit checkpoints of all kinds, an automatic checkpoint after 50 pages, reconnects. Every
transaction moves a watermark: a row, the writer's counter and its progress change together, so a
state that never existed shows. Judged:

  no writer saw an error
  the commits captured are as many as the wal-index counted
  each TXID restores, passes SQLite's integrity_check, and its watermarks agree and never go back
  the newest one is the database, byte for byte

Prints one line per finding and exits 1 when there was any.
"""
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
import time

WRITERS = 3


def connect(path, writer):
    db = sqlite3.connect(path, timeout=20, isolation_level=None)
    db.execute("PRAGMA journal_mode=wal").fetchone()
    db.execute("PRAGMA synchronous=normal")
    db.execute("PRAGMA cache_size=50")
    if writer % 2 == 0:
        db.execute("PRAGMA wal_autocheckpoint=50")
    return db


def setup(path):
    db = connect(path, 1)
    db.execute("CREATE TABLE t(writer, seq, v BLOB, PRIMARY KEY(writer, seq))")
    db.execute("CREATE TABLE counter(writer PRIMARY KEY, n)")
    db.execute("CREATE TABLE progress(writer PRIMARY KEY, seq)")
    db.execute("CREATE TABLE churn(id INTEGER PRIMARY KEY, v BLOB)")
    for w in range(WRITERS):
        db.execute("INSERT INTO counter VALUES(?, 0)", (w,))
        db.execute("INSERT INTO progress VALUES(?, 0)", (w,))
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


def write(path, seconds, writer, seed, out):
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
            elif r < 0.962:
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


def restore(weir, url, out, txid):
    args = [weir, "restore", "-quiet", "-force", "-o", out]
    if txid:
        args += ["-txid", txid]
    r = subprocess.run(args + [url], capture_output=True, text=True)
    return r.returncode, r.stderr.strip()


def judge(weir, url, replica, work, path, done, failures):
    names = []
    for level in os.listdir(os.path.join(replica, "ltx")):
        for name in os.listdir(os.path.join(replica, "ltx", level)):
            m = re.fullmatch(r"[0-9a-f]{16}-([0-9a-f]{16})\.ltx", name)
            if m:
                names.append(m.group(1))
            else:
                failures.append("unexpected file " + name)
    out = os.path.join(work, "restored.db")
    before = [0] * WRITERS
    for txid in sorted(set(names)):
        code, text = restore(weir, url, out, txid)
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
    code, text = restore(weir, url, out, None)
    if code != 0:
        failures.append("newest: restore says %d: %s" % (code, text))
    db = connect(path, 1)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    with open(path, "rb") as a, open(out, "rb") as b:
        if a.read() != b.read():
            failures.append("the newest restored state is not the database, byte for byte")
    return len(set(names))


def main():
    weir, seconds = sys.argv[1], float(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    work = tempfile.mkdtemp(prefix="weir-storm-")
    path, replica = os.path.join(work, "app.db"), os.path.join(work, "replica")
    url = "file://" + replica
    failures = []
    setup(path)
    log = open(os.path.join(work, "weir.log"), "w")
    daemon = subprocess.Popen([weir, "replicate", "-sync-interval", "20ms", path, url], stdout=log, stderr=log)
    out = multiprocessing.Queue()
    writers = [multiprocessing.Process(target=write, args=(path, seconds, w, seed, out)) for w in range(WRITERS)]
    for p in writers:
        p.start()
    done = {}
    for _ in writers:
        w, seq, errors = out.get(timeout=seconds + 120)
        done[w] = seq
        failures += ["writer %d saw: %s" % (w, e) for e in errors]
    for p in writers:
        p.join()
    daemon.send_signal(signal.SIGTERM)
    if daemon.wait(60) != 0:
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
    count = judge(weir, url, replica, work, path, done, failures)
    print("transactions=%d txids=%d %s" % (sum(done.values()), count, m.group(0) if m else ""))
    for f in failures[:20]:
        print("FOUND " + f)
    if failures:
        print("kept " + work)
        return 1
    shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())

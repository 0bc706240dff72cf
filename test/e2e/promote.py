#!/usr/bin/python3
"""`weir promote`: failovers with real processes, and what was acknowledged.

usage: promote.py WEIR [--rounds N] [--seed N] [--how WAY,...] [--s3]

Each round has a primary under `weir replicate` with a control socket, writers that note a commit as
acknowledged when the socket has answered that it is in the replica, and a copy under `weir restore
-f`. Then the primary is, by chance

  killed     with SIGKILL, and started again after the promotion
  racing     killed, and started again while the promotion runs
  paused     with SIGSTOP, and resumed after the promotion
  alive      left alone: its writers go on, and see it stop

(--how names those that may come)

and the copy is promoted; some promotions are killed on the way, and run again. The promoted
database is the next round's primary. Judged, in each round:

  every commit that was acknowledged, before the promotion or after, is in the new primary
  the old one says that another was promoted, acknowledges nothing more, and is unharmed: it has all
      that was committed to it, and PRAGMA integrity_check says ok
  after the first file of an epoch no file under the name that comes next is another node's
  the new one has sent what changed, and not all of it; what it has sent restores byte for byte, and
      `weir verify` proves every point

Prints one line per finding and exits 1 when there was any.
"""
import argparse
import http.client
import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import kit
import store as stores

CONFIG = """
socket: {enabled: true, path: %s}
dbs:
  - path: %s
    replica: {url: "%s", sync-interval: %dms}
"""
WRITERS = 3
WAYS = "killed", "racing", "paused", "alive"


class Link(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Node:
    """One database on its way: a copy, the primary, the old primary."""

    def __init__(self, run, n):
        self.run, self.n = run, n
        self.db = run.found.path("n%d" % n, "app.db")
        os.makedirs(os.path.dirname(self.db))
        self.socket, self.log = run.found.path("n%d" % n, "sock"), run.found.path("n%d" % n, "log")
        self.config = run.found.path("n%d" % n, "weir.yml")
        with open(self.config, "w") as f:
            f.write(CONFIG % (self.socket, self.db, run.url, run.rnd.choice(run.intervals_ms)))
        self.process = self.follower = None
        self.committed, self.acked = set(), set()
        self.stop_writing = threading.Event()
        self.writers, self.errors = [], []

    def spawn(self, *args):
        with open(self.log, "ab") as out:
            return subprocess.Popen([self.run.exe, *args], stdout=out, stderr=out)

    def replicate(self):
        self.process = self.spawn("replicate", "-config", self.config)

    def follow(self):
        self.follower = self.spawn("restore", "-f", "-follow-interval", "30ms", "-o", self.db, self.run.url)

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def sync(self):
        """Whether all that was committed before is in the replica."""
        try:
            link = Link(self.socket)
            try:
                link.request("POST", "/sync", json.dumps({"path": self.db, "wait": True, "timeout": 15}))
                return link.getresponse().status == 200
            finally:
                link.close()
        except OSError:
            return False
        except http.client.HTTPException:
            return False

    def write(self, who, seed):
        rnd = random.Random(seed)
        n = 0
        try:
            db = sqlite3.connect(self.db, isolation_level=None, timeout=30)
            while not self.stop_writing.wait(rnd.random() * 0.03):
                n += 1
                row = (self.n, who, n)
                db.execute("INSERT INTO t(node, who, n, b) VALUES(?, ?, ?, ?)",
                           (*row, rnd.randbytes(rnd.choice((10, 300, 9000)))))
                self.committed.add(row)
                if self.sync():
                    self.acked.add(row)
            db.close()
        except sqlite3.Error as e:
            self.errors.append(str(e))

    def begin_to_write(self):
        self.writers = [threading.Thread(target=self.write, args=(i, self.run.rnd.random()))
                        for i in range(WRITERS)]
        for w in self.writers:
            w.start()

    def end_to_write(self):
        self.stop_writing.set()
        for w in self.writers:
            w.join()
        self.writers = []

    def rows(self):
        db = sqlite3.connect(self.db, isolation_level=None, timeout=30)
        try:
            return set(db.execute("SELECT node, who, n FROM t"))
        finally:
            db.close()


def node_of(ltx):
    """Who wrote an LTX file, by its header."""
    return ltx[72:80].hex()


class Run:
    def __init__(self, args, found):
        self.args, self.found, self.rnd = args, found, random.Random(args.seed)
        self.store = stores.Store("promote" if args.s3 else None, found.work)
        os.environ.update(self.store.env or {})
        self.exe, self.url = args.weir, self.store.url("replica")
        self.intervals_ms = (0, 20, 100)
        self.counts = {}
        self.killed_promotions = self.late = self.acked = 0
        self.epochs = []  # first TXID of each promotion that is done, and its node
        self.nodes = []

    def object(self, name):
        """What is in the replica under this name, from its beginning on."""
        if self.args.s3:
            return self.store.ask("GET", "replica/" + name)
        return kit.read(self.found.path("replica", name))

    def lease(self):
        return json.loads(self.object("lease.json"))

    def taken(self):
        """Every epoch that some promotion says it got."""
        return [int(n) for node in self.nodes for n in re.findall(r'msg="took the lease".* epoch=(\d+)', node.said())]

    def next_names(self):
        """Of level 0, by their TXIDs: (min, max, whose it is)."""
        if self.args.s3:
            top, names = "0000/", self.store.keys("replica/0000/")
        else:
            top = "ltx/0/"
            names = os.listdir(self.found.path("replica", top))
        found = (kit.LTX_NAME.search(name) for name in names if name.endswith(".ltx"))  # not one that is being written
        return sorted((int(m.group(1), 16), int(m.group(2), 16), node_of(self.object(top + m.group(0))))
                      for m in found if m)

    def promote(self, node):
        """Until it says that it is done; some are killed before."""
        command = ("promote", "-config", node.config, node.db)
        while self.rnd.random() < 0.4:
            p = node.spawn(*command)
            time.sleep(self.rnd.random() * 0.35)
            if "Promoted" in node.said():
                node.process = p
                break
            p.kill()
            p.wait()
            self.killed_promotions += 1
        if not node.process:
            node.process = node.spawn(*command)
        done = kit.wait_until(lambda: "romoted" in node.said() and "initialized db" in node.said()
                              or node.process.poll() is not None, 60)
        return self.found.check(done and node.process.poll() is None,
                                "no promotion: %s" % node.said()[-600:])

    def attack(self, old, how):
        if how in ("killed", "racing"):
            old.process.kill()
            old.process.wait()
        elif how == "paused":
            old.process.send_signal(signal.SIGSTOP)

    def judge_old(self, old, new, how):
        if how == "killed":
            old.replicate()
        elif how == "paused":
            old.process.send_signal(signal.SIGCONT)
        told = kit.wait_until(lambda: "promoted elsewhere" in old.said() and new.db in old.said(), 40)
        self.found.check(told, "%s: the old primary does not say what happened: %s" % (how, old.said()[-600:]))
        before = len(old.acked)
        time.sleep(0.3)
        old.end_to_write()
        self.found.check(len(old.acked) == before, "the old primary goes on to acknowledge")
        self.found.check(not old.sync(), "the old primary still says that all is in the replica")
        old.process.terminate()
        try:
            code = old.process.wait(40)
        except subprocess.TimeoutExpired:
            code = None
            old.process.kill()
        self.found.check(code is not None, "the old primary does not end")
        self.found.check(not old.errors, "the old primary's application: %s" % old.errors[:1])
        lost = old.committed - old.rows()
        self.found.check(not lost, "the old database lost %d of its own commits" % len(lost))
        db = sqlite3.connect(old.db)
        said = db.execute("PRAGMA integrity_check").fetchone()[0]
        db.close()
        self.found.check(said == "ok", "the old database: " + said)

    def judge_new(self, old, new):
        lost = sorted(old.acked - new.rows())
        self.found.check(not lost, "%d acknowledged commits are lost: %s" % (len(lost), lost[:3]))
        self.acked += len(old.acked)
        self.found.check(kit.wait_until(new.sync, 30, 0.1), "the new primary: %s" % new.said()[-600:])
        full = [line for line in new.said().splitlines() if kit.FULL_SEND in line]
        self.found.check(not full, "the new primary sent all pages")

    def judge_replica(self, new):
        """One writer at a time, and what it wrote is the database."""
        names, lease = self.next_names(), self.lease()
        own = [lo for lo, hi, node in names if node == lease["node"]]
        if not self.found.check(own, "no file of the lease's node"):
            return
        self.epochs.append((own[0], lease["node"]))
        for lo, hi, node in names:
            if lo == hi and lo >= own[0]:
                self.found.check(node == lease["node"], "two writers: %016x" % lo)
        self.found.check(new.sync(), "the new primary does not sync")
        db = sqlite3.connect(new.db)
        want = kit.image(db)
        db.close()
        out = self.found.path("restored.db")
        code, said = kit.restore(self.exe, self.url, out)
        self.found.check(code == 0 and kit.read(out) == want, "the replica is not the database: %d %s" % (code, said))
        r = subprocess.run([self.exe, "verify", self.url], capture_output=True, text=True)
        self.found.check(r.returncode == 0, "verify: %s" % (r.stdout + r.stderr)[-600:])

    def round(self, old, n):
        how = self.rnd.choice(self.args.how)
        self.found.where = "round %d, %s: " % (n, how)
        self.counts[how] = self.counts.get(how, 0) + 1
        new = Node(self, n)
        self.nodes.append(new)
        new.follow()
        self.found.check(kit.wait_until(lambda: os.path.exists(new.db + "-txid"), 30), "no copy: %s" % new.said()[-300:])
        old.begin_to_write()
        time.sleep(0.3 + self.rnd.random())
        self.attack(old, how)
        again = None
        if how == "racing":
            again = threading.Timer(self.rnd.random() * 0.5, old.replicate)
            again.start()
        promoted = self.promote(new)
        if again:
            again.join()
        if promoted:
            before = len(old.acked)
            self.judge_old(old, new, how)
            self.late += len(old.acked) - before
            self.judge_new(old, new)
        old.end_to_write()
        self.found.check(new.follower.wait(20) == 0, "the follower ended with %s" % new.follower.returncode)
        if promoted:
            self.judge_replica(new)
        return new


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("weir")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--how", type=lambda s: s.split(","), default=WAYS, help="default: " + ",".join(WAYS))
    parser.add_argument("--s3", action="store_true", help="the server that radosgw.sh names")
    args = parser.parse_args()
    found = kit.Findings("promote")
    run = Run(args, found)
    node = Node(run, 0)
    db = sqlite3.connect(node.db, isolation_level=None)
    db.executescript("PRAGMA journal_mode=wal; CREATE TABLE t(node, who, n, b); CREATE TABLE big(b);"
                     "INSERT INTO big VALUES(randomblob(3000000))")
    db.close()
    node.replicate()
    found.check(kit.wait_until(node.sync, 30, 0.1), "the first primary: %s" % node.said()[-300:])
    for n in range(1, args.rounds + 1):
        node = run.round(node, n)
        if found.lines:
            break
    if node.process:
        node.process.terminate()
        node.process.wait(40)
    found.where = ""
    if not found.lines:
        # A promotion that was killed may have taken the lease; it is not gone on with, but taken again.
        epoch, taken = run.lease()["epoch"], run.taken()
        found.check(len(run.epochs) == args.rounds <= epoch <= args.rounds + run.killed_promotions,
                    "%d rounds, %d promotions killed, and epoch %d" % (args.rounds, run.killed_promotions, epoch))
        found.check(len(taken) == len(set(taken)) and max(taken) == epoch, "epochs were given twice: %s" % sorted(taken))
        found.check(run.acked > args.rounds, "hardly anything was acknowledged: %d" % run.acked)
    print("%d failovers (%s), %d promotions killed, %d commits acknowledged" % (
        len(run.epochs), ", ".join("%d %s" % (v, k) for k, v in sorted(run.counts.items())),
        run.killed_promotions, run.acked))
    raise SystemExit(found.end())


if __name__ == "__main__":
    main()

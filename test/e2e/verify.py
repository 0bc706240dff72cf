#!/usr/bin/python3
"""`weir verify` of a replica that a real `weir replicate` writes to, and of that one damaged.

usage: verify.py WEIR [--seconds N] [--seed N]

The times are those of history.py: a day of levels, snapshots and retention in seconds. Judged:

  while the replica is written to, compacted and deleted from, and weir is killed now and then, nothing is found
  what is verified in the end restores: every point that the names promise, each to a database that is whole
  of a replica at rest each file that is deleted is missed
  a replica with one file damaged is never found whole: a flipped bit, a cut, a swap, a file of another database
  where a file is missing, what is found agrees with what restores
  in a bucket it is the same; a store that refuses is no damage
  what is found while weir runs, by validation.interval, on the way to the newest state, is mended by a snapshot
  -deep finds the database itself in the replica, also while it is written to; a page of it that has gone bad is told
  exit codes and JSON are what the manual says

Prints one line per finding and exits 1 when there was any.
"""
import argparse
import json
import os
import random
import shutil
import sqlite3
import subprocess
import time

import fakes3
import history
import kit


class Run:
    def __init__(self, args, found):
        self.args, self.found = args, found
        self.rnd = random.Random(args.seed)
        self.path, self.replica = found.path("app.db"), found.path("replica")
        self.url = "file://" + self.replica
        self.config = found.path("weir.yml")
        with open(self.config, "w") as f:
            f.write(history.CONFIG % (self.path, self.url))
        self.weir = history.Configured(args.weir, self.path, self.url, found.path("log"), self.config)
        self.times = self.compared = self.changing = 0
        db = sqlite3.connect(self.path, isolation_level=None)
        db.executescript("PRAGMA journal_mode=wal; CREATE TABLE count(n); INSERT INTO count VALUES(0);"
                         "CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
        db.close()

    def verify(self, *args):
        """The exit code, and the report; what is not JSON is a finding."""
        r = subprocess.run([self.args.weir, "verify", "-json", *args], capture_output=True, text=True)
        try:
            return r.returncode, json.loads(r.stdout)[0]
        except (ValueError, IndexError):
            self.found.add("verify %s: %d, %s %s" % (args, r.returncode, r.stdout, r.stderr))
            return r.returncode, None

    def good(self, when):
        code, report = self.verify(self.url)
        self.times += 1
        self.found.check(code == 0, "%s: verify says %d: %s" % (when, code, report))
        return report

    def live(self):
        writer = history.Writer(self.path, self.args.seed)
        self.weir.start()
        writer.start()
        kit.wait_until(lambda: kit.objects(self.replica)[0])
        end = time.monotonic() + self.args.seconds
        next_kill = time.monotonic() + 5
        while time.monotonic() < end:
            self.good("while it is written to")
            self.deep("while it is written to")
            if time.monotonic() > next_kill:
                self.weir.kill()
                self.good("after a kill")
                self.weir.start()
                next_kill = time.monotonic() + 5
        writer.ended.set()
        writer.join()
        self.found.check(not writer.error, "the application: %s" % writer.error)
        kit.wait_until(lambda: self.weir.logged("replicating to"))  # what has just begun dies of a signal
        code = self.weir.stop()
        self.found.check(code == 0, "weir ended with %s" % code)

    def deep(self, when, wait="20s"):
        code, report = self.verify("-deep", "-deep-wait", wait, "-config", self.config, self.path)
        if report:
            self.compared += report["live_pages"]
            self.changing += report["live_changing"]
        return self.found.check(code == 0 and report["live_txid"],
                                "%s: -deep says %d: %s" % (when, code, report))

    def judge_rot(self):
        """Bytes of the database file go bad. While weir runs it notices, and sends the page."""
        self.deep("at rest")
        before = os.stat(self.path)
        page = before.st_size // 4096 - 1
        with open(self.path, "r+b") as f:
            f.seek((page - 1) * 4096 + 500)
            f.write(b"rotten")
        code, report = self.verify("-deep", "-deep-wait", "1s", "-config", self.config, self.path)
        self.found.check(code == 5 and report["findings"][0]["kind"] == "live"
                         and "page %d the first" % page in report["findings"][0]["text"] and not report["live_txid"],
                         "of a database with a bad page: %d %s" % (code, report))
        os.rename(self.path, self.path + ".away")
        code, report = self.verify("-deep", "-config", self.config, self.path)
        os.rename(self.path + ".away", self.path)
        self.found.check(code == 1 and report["status"] == "failed" and report["points_proven"] > 0
                         and "compare with the database" in report["error"],
                         "without the database: %d %s" % (code, report))
        print("deep: %d pages compared, %d were being written" % (self.compared, self.changing))

    def judge_end(self):
        """All that was verified restores."""
        report = self.good("at the end")
        txids = kit.txids(self.replica)
        restored = [t for t in txids if self.restores(t)]
        print("verified %d times; at the end %d files, %d points, %d bytes in %d ms" % (
            self.times, report["files"], report["points"], report["bytes_read"], report["duration_ms"]))
        self.found.check(report["points"] == report["points_proven"] == len(restored),
                         "%d points, %d proven, %d restore" % (report["points"], report["points_proven"],
                                                               len(restored)))
        self.found.check(int(report["last_txid"], 16) == txids[-1], "not to the newest TXID")
        self.found.check(report["status"] == "ok" and report["findings"] == [], "status of a good replica")
        code, report = self.verify("-config", self.config, self.path)
        self.found.check(code == 0 and report["url"] == self.url, "by the database: %d %s" % (code, report))

    def restores(self, txid, url=None):
        out = self.found.path("restored")
        code, _ = kit.restore(self.args.weir, url or self.url, out, txid)
        if code != 0:
            return False
        db = sqlite3.connect(out)
        whole = db.execute("PRAGMA quick_check").fetchone()[0]
        db.close()
        self.found.check(whole == "ok", "txid %x: %s" % (txid, whole))
        return True

    # ---- damage ----

    def each_is_missed(self):
        """Of what the last process has sent, and has ended since, each file is missed, also where others lead there."""
        with open(os.path.join(self.replica, "extent.json")) as f:
            word = json.load(f)
        runs = {int(level): (int(r["from"], 16), int(r["to"], 16)) for level, r in word["runs"].items()}
        files = {k: name for k, name in kit.objects(self.replica)[0].items()
                 if k[0] in runs and runs[k[0]][0] <= k[1] and k[2] <= runs[k[0]][1] or k[0] == 9 and "snapshots" in word}
        self.found.check(len({k[0] for k in files} - {9}) > 1, "the last process speaks of levels %s" % runs)
        for key in self.rnd.sample(sorted(files), min(len(files), 60)):
            os.rename(files[key], self.found.path("aside"))
            code, report = self.verify(self.url)
            os.rename(self.found.path("aside"), files[key])
            self.found.check(code == 5 and report["findings"], "without %s: verify says %d" % (key, code))
        self.good("with all of them")
        print("missed: each of %d files" % min(len(files), 60))

    def damages(self, files):
        """(name, what it does to the replica in `top`): each must be told."""
        rnd, other = self.rnd, self.other()

        def path(top, key):
            return os.path.join(top, "ltx", str(key[0]), "%016x-%016x.ltx" % key[1:])

        def rewrite(change):
            def do(top, key):
                body = kit.read(path(top, key))
                with open(path(top, key), "wb") as f:
                    f.write(change(body))
            return do

        def flip(b):
            at = rnd.randrange(len(b))
            return b[:at] + bytes([b[at] ^ (1 << rnd.randrange(8))]) + b[at + 1:]

        def swap(top, key):
            a, b = path(top, key), path(top, rnd.choice([k for k in files if k != key]))
            os.rename(a, a + ".x")
            os.rename(b, a)
            os.rename(a + ".x", b)

        def stale(top, key):
            shutil.copy(rnd.choice(other), path(top, key))

        yield "a flipped bit", rewrite(flip)
        yield "a cut", rewrite(lambda b: b[:rnd.randrange(len(b))])
        yield "more at the end", rewrite(lambda b: b + b"x")
        yield "zeros", rewrite(lambda b: bytes(len(b)))
        yield "two files swapped", swap
        yield "a file of another database", stale
        yield "a file missing", lambda top, key: os.remove(path(top, key))

    def other(self):
        """The files of a replica of another database."""
        path, replica = self.found.path("other.db"), self.found.path("other")
        if not os.path.exists(replica):
            db = sqlite3.connect(path)
            db.executescript("PRAGMA journal_mode=wal; CREATE TABLE x(v); INSERT INTO x VALUES(1)")
            db.close()
            subprocess.run([self.args.weir, "replicate", "-once", path, "file://" + replica],
                           capture_output=True, check=True)
        return list(kit.objects(replica)[0].values())

    def useful(self):
        """Files that a restore can use, by their names."""
        files = kit.objects(self.replica)[0]
        points, grown = {0}, True
        while grown:
            grown = False
            for k in files:
                if k[2] not in points and any(k[1] - 1 <= p < k[2] for p in points):
                    points.add(k[2])
                    grown = True
        return [k for k in files if any(k[1] - 1 <= p < k[2] for p in points)]

    def harm(self):
        top = self.found.path("harmed")
        files = self.useful()
        told = 0
        for _ in range(self.args.rounds):
            for name, do in self.damages(files):
                key = self.rnd.choice(files)
                shutil.rmtree(top, ignore_errors=True)
                shutil.copytree(self.replica, top)
                do(top, key)
                code, report = self.verify("file://" + top)
                told += code == 5
                if name == "a file missing":
                    # some are retention's to delete; but what is found good restores
                    if code == 0 and self.rnd.random() < 0.3:
                        newest = int(report["last_txid"], 16)
                        self.found.check(self.restores(newest, "file://" + top),
                                         "%s of %s: verified, and %x does not restore" % (name, key, newest))
                    self.found.check(code in (0, 5), "%s: exit code %d" % (name, code))
                    continue
                told_so = code == 5 and report["status"] == "damaged" and report["findings"]
                self.found.check(told_so or name == "a flipped bit" and code == 0 and self.is_the_same(top, key),
                                 "%s in %s: verify says %d" % (name, key, code))
        print("damages told: %d" % told)

    def is_the_same(self, top, key):
        """Whether the file `key` in `top` still leads to the same database. A bit of an LZ4 block can say from where
        bytes are repeated, and other bytes there can be the same; an LTX file's checksum is of the pages."""
        results = []
        for source in (self.replica, top):
            only = self.found.path("only")
            shutil.rmtree(only, ignore_errors=True)
            shutil.copytree(source, only)
            for k, name in kit.objects(only)[0].items():
                if k != key and k[2] >= key[1]:
                    os.remove(name)
            out = self.found.path("same")
            code, _ = kit.restore(self.args.weir, "file://" + only, out, key[2])
            results.append(kit.read(out) if code == 0 else None)
        return results[0] is not None and results[0] == results[1]

    # ---- the same in a bucket ----

    def judge_bucket(self):
        """Over S3 it is the same; a storage that refuses is no damage; an object that is listed and not there is."""
        shutil.copytree(self.replica, self.found.path("bucket", "x"))
        fake = fakes3.FakeS3(self.found.path("bucket"))
        os.environ.update(AWS_ACCESS_KEY_ID="good", AWS_SECRET_ACCESS_KEY="x")
        report = self.verify(self.url)[1]
        code, over_s3 = self.verify(fake.url("x"))
        self.found.check(code == 0 and over_s3["points_proven"] == report["points_proven"],
                         "in a bucket: %d %s" % (code, over_s3))
        gets = [path for method, path in fake.requests if method == "GET" and path.endswith(".ltx")]
        self.found.check(len(gets) <= report["files"], "%d requests for %d files" % (len(gets), report["files"]))
        fake.keys = {"other"}
        code, over_s3 = self.verify(fake.url("x"))
        self.found.check(code == 4 and over_s3["status"] == "failed" and not over_s3["findings"],
                         "without a key: %d %s" % (code, over_s3))
        fake.keys, gone = None, gets[len(gets) // 2]
        fake.lie = lambda method, path, query, answer: (
            404, [], (fakes3.ERROR % ("NoSuchKey", "gone")).encode()) if method == "GET" and path == gone else None
        code, over_s3 = self.verify(fake.url("x"))
        self.found.check(code == 5 and "is not there" in over_s3["error"], "one is gone: %d %s" % (code, over_s3))
        fake.stop()

    def judge_codes(self):
        code, report = self.verify("file://" + self.found.path("none"))
        self.found.check(code == 3 and report["status"] == "no backup", "of nothing: %d %s" % (code, report))
        r = subprocess.run([self.args.weir, "verify", self.url], capture_output=True, text=True)
        self.found.check(r.returncode == 0 and "all proven" in r.stdout, "as text: %s %s" % (r.stdout, r.stderr))


HEALING = """
levels: []
snapshot: {interval: 24h}
validation: {interval: 1s}
dbs: [{path: %s, replica: {url: "%s", sync-interval: 20ms}}]
"""


def judge_healing(args, found):
    """A file of the way to the newest state is spoiled while weir runs: it finds that, sends a snapshot, and finds
    the newest state whole again. Then that snapshot, while nothing is written."""
    path, replica, config = found.path("heals.db"), found.path("heals"), found.path("heals.yml")
    url = "file://" + replica
    with open(config, "w") as f:
        f.write(HEALING % (path, url))
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("PRAGMA journal_mode=wal; CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    weir = history.Configured(args.weir, path, url, found.path("heals.log"), config)
    weir.start()
    for i in range(5):
        before = len(kit.txids(replica))
        db.execute("INSERT INTO t(v) VALUES(randomblob(3000))")
        found.check(kit.wait_until(lambda: len(kit.txids(replica)) > before), "commit %d was not sent" % i)
    for level in (0, 9):
        newest = max(k for k in kit.objects(replica)[0] if k[0] == level)
        name = kit.objects(replica)[0][newest]
        body = kit.read(name)
        with open(name, "wb") as f:
            f.write(body[:-1] + bytes([body[-1] ^ 1]))
        healing = len(weir.logged("sending a snapshot: from there on it is whole"))
        found.check(kit.wait_until(lambda: len(weir.logged("sending a snapshot: from there on")) > healing),
                    "no snapshot is announced for %s: %s" % (newest, weir.lines()[-3:]))
        found.check(kit.wait_until(lambda: max(k for k in kit.objects(replica)[0])[2] >= newest[2] + (level == 9)),
                    "no snapshot is sent for %s" % (newest,))
        code, said = kit.restore(args.weir, url, found.path("healed"))
        if found.check(code == 0, "after %s: restore says %s" % (newest, said)):
            is_there = sqlite3.connect(found.path("healed")).execute("SELECT count(*), sum(length(v)) FROM t").fetchone()
            found.check(is_there == (5, 15000), "restored is %s" % (is_there,))
        said = len(weir.logged("a replica is damaged"))  # the file still is
        found.check(kit.wait_until(lambda: len(weir.logged("a replica is damaged")) > said + 1), "it is not looked at again")
        found.check(len(weir.logged("sending a snapshot: from there on")) == healing + 1, "more than one snapshot")
    report = json.loads(subprocess.run([args.weir, "verify", "-json", url], capture_output=True, text=True).stdout)[0]
    # the state that both of them led to is lost, and stays so
    found.check(report["proven_txid"] == report["last_txid"] and report["points_lost"] == 1,
                "in the end %s" % report)
    code = weir.stop()
    found.check(code == 0, "weir ended with %s: %s" % (code, weir.lines()[-1:]))
    db.close()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weir")
    p.add_argument("--seconds", type=int, default=20)
    p.add_argument("--rounds", type=int, default=8)
    p.add_argument("--seed", type=int, default=1)
    found = kit.Findings("verify")
    args = p.parse_args()
    judge_healing(args, found)
    run = Run(args, found)
    try:
        run.live()
    finally:
        if run.weir.process.poll() is None:
            run.weir.kill()
    run.judge_end()
    run.each_is_missed()
    run.harm()
    run.judge_bucket()
    run.judge_codes()
    run.judge_rot()
    raise SystemExit(found.end())


if __name__ == "__main__":
    main()

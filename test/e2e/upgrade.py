#!/usr/bin/python3
"""weir takes the place of Litestream where it stands, and Litestream that of weir.

usage: upgrade.py WEIR [--cache DIR]

Replicas are made by the real ones: of 0.5 by the SQLite extension that oracle.py fetches, which writes
when told to, and by what is in test/data; of 0.3 by its daemon, the npm package
@flydotio/litestream-linux-x64. Both are fetched once into DIR (default $WEIR_ORACLE_CACHE, else the
working directory); WEIR_SKIP_ORACLE=1 in the environment skips all of it by intent.

  0.5  a database that is the replica's newest state, or was written to since: the pages that differ are
       sent and no more, and each TXID restores to what it was, with weir and with Litestream
       one that nothing proves: all pages are sent; another one: refused
       Litestream goes on behind weir, and weir behind Litestream
       both restore what weir has made levels of and snapshots, and deleted from, in a replica that Litestream began
  0.3  a new history beside the old one, which weir and 0.3.13 itself still restore
  what Litestream left beside the database is not touched
  0.5's own daemon before, behind, and between, also for longer than it keeps single transactions (only where PyPI
       is reached)

Prints the bytes that were sent, one line per finding, and exits 1 when there was any; 77 when skipped.
"""
import argparse
import glob
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time

import history
import kit
import oracle

PACKAGE, VERSION = "@flydotio/litestream-linux-x64", "1.0.1"  # has 0.3.13
OLD_SHA256 = "bbd8b9baa5bd9ae35318bececace384247b71fed4269a3e3cb8a8ac3f6c957bb"
DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data")
ROWS = 300
FIRST = ("CREATE TABLE t(id INTEGER PRIMARY KEY, v);"
         "INSERT INTO t(v) SELECT randomblob(2000) FROM generate_series(1,%d);" % ROWS)
LATER = ("UPDATE t SET v=randomblob(2000) WHERE id%50=0;", "INSERT INTO t(v) VALUES(randomblob(9000));")


def tree(path):
    """What is in a directory: names, contents, times."""
    found = {}
    for directory, _, names in os.walk(path):
        for name in names:
            file = os.path.join(directory, name)
            found[os.path.relpath(file, path)] = (hashlib.sha256(kit.read(file)).digest(), os.stat(file).st_mtime_ns)
    return found


def sql(path, text):
    db = sqlite3.connect(path, timeout=20, isolation_level=None)
    db.execute("PRAGMA wal_autocheckpoint=0")
    db.executescript(text)
    db.close()


def image(path):
    """The database as it is with its WAL, which stays. In another process: to close a file here drops
    the locks of SQLite on it."""
    code = "import sqlite3,sys; sys.stdout.buffer.write(sqlite3.connect(sys.argv[1]).serialize())"
    return subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True).stdout


class Place:
    """A database, its replica, and what each TXID gives."""

    def __init__(self, weir, so, found, name):
        self.weir, self.so, self.found, self.name = weir, so, found, name
        found.where = name + ": "
        self.dir = found.path(name)
        os.mkdir(self.dir)
        self.path, self.replica = os.path.join(self.dir, "app.db"), os.path.join(self.dir, "replica")
        self.url, self.out = "file://" + self.replica, os.path.join(self.dir, "out.db")
        self.left = os.path.join(self.dir, ".app.db-litestream")  # what Litestream leaves beside the database
        self.states = {}

    def litestream(self, text):
        """One transaction by Litestream 0.5, on its own: into the replica."""
        log = os.path.join(self.dir, "litestream.log")
        env = dict(os.environ, LITESTREAM_REPLICA_URL=self.url, LITESTREAM_WRITE_ENABLED="true",
                   LITESTREAM_SYNC_INTERVAL="100ms", LITESTREAM_BUFFER_PATH=os.path.join(self.dir, "buffer"),
                   LITESTREAM_LOG_LEVEL="DEBUG", LITESTREAM_LOG_FILE=log)
        before = kit.txids(self.replica)
        r = subprocess.run(["sqlite3"], input=".load %s\n.open file:x.db?vfs=litestream\n%s\n" % (self.so, text),
                           capture_output=True, text=True, env=env, timeout=60)
        self.found.check(r.returncode == 0 and not r.stderr and len(kit.txids(self.replica)) == len(before) + 1,
                         "Litestream did not write: %s %s %s" % (r.stdout, r.stderr, kit.read(log)[-500:]))

    def left_by_litestream(self):
        """The replica of a database that Litestream had; its newest state here, and its local files."""
        self.litestream(FIRST)
        for text in LATER:
            self.litestream(text)
        self.begin_here()

    def begin_here(self):
        for txid in kit.txids(self.replica):
            self.states[txid] = self.restore(txid)
        with open(self.path, "wb") as f:
            f.write(self.states[max(self.states)])
        sql(self.path, "PRAGMA journal_mode=wal")
        # Of the daemon there are copies of what it sent last.
        shutil.copytree(os.path.join(self.replica, "ltx"), os.path.join(self.left, "ltx"))

    def restore(self, txid=None):
        code, said = kit.restore(self.weir, self.url, self.out, txid)
        return kit.read(self.out) if self.found.check(code == 0, "restore %s: %s" % (txid, said)) else b""

    def take_over(self, code=0, flags=()):
        """`replicate -once`: what it said, and the bytes that it sent."""
        r = subprocess.run([self.weir, "replicate", "-once", *flags, self.path, self.url],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=90)
        self.found.check(r.returncode == code, "ended with %d, not %d: %s" % (r.returncode, code, r.stdout))
        m = re.search(r'msg="closed replica".* bytes_up=(\d+)', r.stdout)
        return r.stdout, int(m.group(1)) if m else -1

    def report(self, sent, what):
        print("%-28s %8d of %8d bytes sent, %s" % (self.name, sent, len(image(self.path)), what), flush=True)

    def judge(self, litestream=True):
        """The newest state is the database, for both; all that was is there."""
        want = image(self.path)
        self.found.check(self.restore() == want, "the newest state is not the database")
        if litestream:
            problem = oracle.hydrate(self.so, self.url, self.out, None, 60)
            self.found.check(not problem, "Litestream cannot restore: %s" % problem)
            self.found.check(kit.read(self.out) == want, "Litestream's restore is not the database")
        for txid, was in self.states.items():
            self.found.check(self.restore(txid) == was, "txid %d is not what it was" % txid)
        self.verify()

    def verify(self):
        """The report: of a whole replica."""
        r = subprocess.run([self.weir, "verify", "-json", self.url], capture_output=True, text=True, timeout=60)
        self.found.check(r.returncode == 0, "verify: %s" % r.stdout)
        return json.loads(r.stdout)[0]


def same_state(place):
    place.left_by_litestream()
    before = tree(place.left)
    _, sent = place.take_over()
    place.found.check(sent < len(place.states[3]) // 50, "%d bytes were sent" % sent)
    place.report(sent, "0.5, the same state")
    place.judge()
    sql(place.path, LATER[0])
    text, sent = place.take_over()
    place.found.check(sent < len(place.states[3]) // 5 and "newest state" not in text, "again: %s" % text)
    place.judge()
    place.found.check(tree(place.left) == before, "Litestream's own files were changed")


def written_since(place):
    """The application went on between the two."""
    place.left_by_litestream()
    sql(place.path, "UPDATE t SET v=randomblob(2000) WHERE id IN (3, 33, 133); DELETE FROM t WHERE id=77")
    text, sent = place.take_over()
    place.found.check(sent < len(place.states[3]) // 10, "%d bytes were sent" % sent)
    place.found.check("level=WARN" not in text, "it complained: %s" % text)
    place.report(sent, "0.5, written to since")
    place.judge()


def while_it_is_written(place):
    """As a service, beside an application that does not wait."""
    place.left_by_litestream()
    weir = kit.Weir(place.weir, place.path, place.url, os.path.join(place.dir, "log"))
    db = sqlite3.connect(place.path, timeout=20, isolation_level=None)
    db.execute("PRAGMA wal_autocheckpoint=0")
    weir.start()
    end = time.monotonic() + 2
    while time.monotonic() < end:
        db.execute("UPDATE t SET v=randomblob(2000) WHERE id=abs(random())%300")
        time.sleep(0.01)
    place.found.check(weir.stop() == 0, "weir: %s" % weir.lines())
    line = weir.logged('msg="closed replica"')
    place.report(int(kit.fields(line[0])["bytes_up"]) if line else -1, "0.5, under load, later changes included")
    place.found.check(not weir.logged(kit.FULL_SEND), "all pages were sent")
    db.close()
    place.judge()


def of_test_data(place):
    """What 0.5.17 wrote once; it shrank and grew, which leaves pages that no proof covers."""
    shutil.copytree(os.path.join(DATA, "ltx", "real-0.5.17-write"), place.replica)
    place.begin_here()
    _, sent = place.take_over()
    place.report(sent, "0.5, test/data")
    place.judge()


def not_proven(place):
    """More to read than to send: all pages go, once."""
    place.left_by_litestream()
    for _ in range(8):
        place.litestream("UPDATE t SET v=randomblob(2000) WHERE id%2=0;")
    shutil.rmtree(place.left)
    place.begin_here()
    text, sent = place.take_over()
    place.found.check(kit.FULL_SEND in text and "is not compared" in text, "nothing was said: %s" % text)
    place.found.check(sent > len(place.states[3]) // 2, "%d bytes were sent" % sent)
    place.report(sent, "0.5, too much to read: all pages")
    place.judge()


def damaged(place):
    """A file of Litestream's that is no good: a snapshot, which needs none of them."""
    place.left_by_litestream()
    last = sorted(glob.glob(os.path.join(place.replica, "ltx", "0", "*.ltx")))[-1]
    data = bytearray(kit.read(last))
    data[-1] ^= 1
    with open(last, "wb") as f:
        f.write(data)
    del place.states[3]
    _, sent = place.take_over()
    place.report(sent, "0.5, damaged: a snapshot")
    place.found.check(place.restore() == image(place.path), "the newest state is not the database")
    for txid, was in place.states.items():
        place.found.check(place.restore(txid) == was, "txid %d is not what it was" % txid)


def another_one(place):
    """The replica of another database stays what it is."""
    place.left_by_litestream()
    os.remove(place.path)
    sql(place.path, "PRAGMA journal_mode=wal; " + FIRST.replace(" t(", " u(").replace("generate_series(1,%d)" % ROWS,
        "(WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<300) SELECT x FROM c)"))
    before = tree(place.replica)
    text, _ = place.take_over(7)
    place.found.check("another database" in text and tree(place.replica) == before, "it was taken over: %s" % text)


def there_and_back(place):
    """Litestream goes on where weir ended, weir where Litestream ended."""
    place.left_by_litestream()
    for _ in range(2):
        _, sent = place.take_over()
        place.found.check(sent < len(place.states[3]) // 10, "%d bytes were sent" % sent)
        newest = kit.txids(place.replica)[-1]
        place.states[newest] = image(place.path)
        place.judge()
        place.litestream(LATER[1])
        newest = kit.txids(place.replica)[-1]
        place.states[newest] = place.restore(newest)
        place.found.check(sqlite3.connect(place.out).execute("PRAGMA integrity_check").fetchall() == [("ok",)],
                          "what Litestream wrote behind weir is no database")
        for tail in ("", "-wal", "-shm"):
            if os.path.exists(place.path + tail):
                os.remove(place.path + tail)
        with open(place.path, "wb") as f:  # what its daemon would have here
            f.write(place.states[newest])
    _, sent = place.take_over()
    place.report(sent, "0.5, after going back, twice")
    place.judge()


def with_its_history(place):
    """weir makes levels and snapshots behind what Litestream has written, and deletes that in the end."""
    place.left_by_litestream()
    theirs = set(kit.objects(place.replica)[0])
    config = os.path.join(place.dir, "weir.yml")
    with open(config, "w", encoding="utf-8") as f:
        f.write(history.CONFIG % (place.path, place.url))
    weir = history.Configured(place.weir, place.path, place.url, os.path.join(place.dir, "log"), config)
    for when in ("first", "again"):
        place.states = {}  # what was before gets too old
        begun = set(kit.objects(place.replica)[0])
        weir.start()
        write_for(place.path, 1)
        kit.wait_until(lambda: set(kit.objects(place.replica)[0]) - begun)
        report = place.verify()
        if theirs <= set(kit.objects(place.replica)[0]):  # yet
            proven, structure = report["points_proven"], report["points_structure"]
            place.found.check(proven and structure and proven + structure == report["points"],
                              "%s: which points are proven: %s" % (when, report))
            place.found.check(int(report["structure_last_txid"], 16) == max(k[2] for k in theirs),
                              "%s: the last of Litestream's: %s" % (when, report))
        end = time.monotonic() + 60
        while time.monotonic() < end and theirs & set(kit.objects(place.replica)[0]):
            write_for(place.path, 1)
        place.found.check(weir.stop() == 0, "weir: %s" % weir.lines())
        there = set(kit.objects(place.replica)[0])
        place.found.check(not theirs & there, "%s: not deleted: %s" % (when, theirs & there))
        place.found.check({k[0] for k in there} == {0, 1, 2, 3, 9}, "%s: levels: %s" % (when, sorted(there)))
        place.found.check(not [x for x in weir.lines() if "level=WARN" in x or "level=ERROR" in x], "%s: it complained: %s"
                          % (when, weir.lines()))
        place.judge()
        print("%-28s %d files of weir's own, in place of %d" % (place.name, len(there), len(theirs)), flush=True)
        place.litestream(LATER[1])
        theirs = set(kit.objects(place.replica)[0]) - there
        for tail in ("", "-wal", "-shm"):
            if os.path.exists(place.path + tail):
                os.remove(place.path + tail)
        with open(place.path, "wb") as f:  # what its daemon would have here
            f.write(place.restore())
    place.judge()


class Old:
    """A daemon of Litestream for the database and the replica of a place."""

    def __init__(self, exe, place, key, top=""):
        self.exe, self.place = exe, place
        self.config, self.log = os.path.join(place.dir, "litestream.yml"), os.path.join(place.dir, "old.log")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(top + "dbs:\n - path: %s\n   %s\n      path: %s\n      sync-interval: 100ms\n"
                    % (place.path, key, place.replica))

    def run(self, seconds, work):
        with open(self.log, "ab") as out:
            p = subprocess.Popen([self.exe, "replicate", "-config", self.config], stdout=out, stderr=out)
        time.sleep(1)
        work()
        time.sleep(seconds)
        p.terminate()
        p.wait(30)

    def restore(self):
        """The newest that it has; None when it cannot."""
        if os.path.exists(self.place.out):
            os.remove(self.place.out)
        r = subprocess.run([self.exe, "restore", "-config", self.config, "-o", self.place.out, self.place.path],
                           capture_output=True, text=True, timeout=60)
        return kit.read(self.place.out) if r.returncode == 0 else None


OF_0_3, OF_0_5 = "replicas:\n    - type: file", "replica:\n      type: file"


def rows(data, place):
    with open(place.out, "wb") as f:
        f.write(data)
    db = sqlite3.connect(place.out)
    found = db.execute("SELECT count(*), sum(length(v)) FROM t").fetchone()
    db.close()
    return found


def from_0_3(place, exe):
    """Another format: a new history beside the old one."""
    sql(place.path, ROWS_HERE)
    old = Old(exe, place, OF_0_3)
    old.run(2, lambda: sql(place.path, LATER[0]))
    was = old.restore()
    if not place.found.check(was is not None, "0.3.13 has no backup: %s" % kit.read(old.log)[-500:]):
        return
    was_rows, left = rows(was, place), tree(place.left)
    old_files = tree(os.path.join(place.replica, "generations"))
    place.found.check(old_files and left, "0.3.13 left nothing")
    place.found.check(rows(place.restore(), place) == was_rows, "weir does not restore what 0.3 left")
    time.sleep(1.1)
    between = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    time.sleep(1.1)
    sql(place.path, "DELETE FROM t WHERE id<=100")
    _, sent = place.take_over()
    place.report(sent, "0.3, a new history")
    place.judge()
    place.found.check(tree(place.left) == left, "0.3's own files were changed")
    place.found.check(tree(os.path.join(place.replica, "generations")) == old_files, "the old history was changed")
    r = subprocess.run([place.weir, "restore", "-quiet", "-force", "-o", place.out, "-timestamp", between, place.url],
                       capture_output=True, text=True, timeout=60)
    place.found.check(r.returncode == 0 and rows(kit.read(place.out), place) == was_rows,
                      "the state before cannot be restored: %s" % r.stderr)
    again = old.restore()
    place.found.check(again is not None and rows(again, place) == was_rows, "0.3.13 does not restore its own any more")
    for name, now in (("generations", "weir points"), ("snapshots", "weir ltx -level 9")):
        r = subprocess.run([place.weir, name, place.path], capture_output=True, text=True, timeout=60)
        place.found.check(r.returncode == 1 and now in r.stderr and not r.stdout, "%s: %s" % (name, r.stderr))
    # And back: 0.3 does not see what weir wrote, and begins a generation of its own.
    old.run(3, lambda: sql(place.path, LATER[1]))
    again = old.restore()
    place.found.check(again is not None and rows(again, place) == rows(image(place.path), place),
                      "0.3.13 does not go on: %s" % kit.read(old.log)[-500:])


def write_for(path, seconds):
    db = sqlite3.connect(path, timeout=20, isolation_level=None)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        db.execute("UPDATE t SET v=randomblob(2000) WHERE id=abs(random())%300")
        time.sleep(0.05)
    db.close()


ROWS_HERE = ("PRAGMA journal_mode=wal; CREATE TABLE t(id INTEGER PRIMARY KEY, v);"
             "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<300) "
             "INSERT INTO t(v) SELECT randomblob(2000) FROM c")


def by_its_daemon(place, exe):
    """What the daemon of 0.5 leaves, here and in the replica, and back to it and again, with its local state and
    without."""
    sql(place.path, ROWS_HERE)
    old = Old(exe, place, OF_0_5)
    for state in ("first", "kept", "removed"):
        if state == "removed":
            shutil.rmtree(place.left)
        old.run(2, lambda: write_for(place.path, 2))
        again = old.restore()
        if not place.found.check(again is not None and rows(again, place) == rows(image(place.path), place),
                                 "%s: 0.5 does not go on: %s" % (state, kit.read(old.log)[-500:])):
            return
        place.states = {txid: place.restore(txid) for txid in kit.txids(place.replica)[-3:]}
        before = tree(place.left)
        text, sent = place.take_over()
        place.report(sent, "0.5, its daemon; local state: " + state)
        place.found.check(state == "kept" or kit.FULL_SEND not in text, "%s: all pages were sent: %s" % (state, text))
        place.found.check(before and tree(place.left) == before, "Litestream's own files were changed")
        write_for(place.path, 0.3)
        place.take_over()
        place.judge()
        again = old.restore()
        place.found.check(again is not None and rows(again, place) == rows(image(place.path), place),
                          "%s: 0.5 does not restore what weir wrote" % state)


def for_longer(place, exe):
    """Back to the daemon of 0.5 as docs/upgrading.md says, for longer than it keeps files of level 0: it goes by
    level 1, which does not lead to where weir took over. Without a snapshot nobody could restore after that."""
    times = "levels: [{interval: 1s}]\nsnapshot: {interval: 24h}\nl0-retention: 1s\n"
    sql(place.path, ROWS_HERE)
    config = os.path.join(place.dir, "weir.yml")
    with open(config, "w", encoding="utf-8") as f:
        f.write(times + "dbs:\n - path: %s\n   replica: {url: '%s', sync-interval: 50ms}\n" % (place.path, place.url))
    old = Old(exe, place, OF_0_5, times + "l0-retention-check-interval: 500ms\n")
    old.run(2, lambda: write_for(place.path, 1))
    weir = history.Configured(place.weir, place.path, place.url, os.path.join(place.dir, "log"), config)
    weir.start()
    write_for(place.path, 4)
    place.found.check(weir.stop() == 0, "weir does not take over: %s" % weir.lines()[-2:])
    r = subprocess.run([place.weir, "replicate", "-once", "-force-snapshot", "-config", config],
                       capture_output=True, text=True, check=False)
    place.found.check(r.returncode == 0, "no snapshot: " + r.stdout + r.stderr)
    shutil.rmtree(place.left)
    old.run(4, lambda: write_for(place.path, 1))
    again = old.restore()
    place.found.check(again is not None and rows(again, place) == rows(image(place.path), place),
                      "0.5 does not restore after its l0-retention: %s" % kit.read(old.log)[-500:])
    place.restore()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weir", type=os.path.abspath)
    p.add_argument("--cache", default=os.environ.get("WEIR_ORACLE_CACHE", "."))
    args = p.parse_args()
    if os.environ.get("WEIR_SKIP_ORACLE") == "1":
        kit.skip("e2e/upgrade", "WEIR_SKIP_ORACLE=1")
    cache = os.path.abspath(args.cache)
    so = oracle.fetch(cache)
    old = oracle.fetch_package("upgrade", cache, PACKAGE, VERSION, "litestream",
                               os.path.join(cache, "litestream-0.3.13", "litestream"), OLD_SHA256)
    found = kit.Findings("upgrade")
    for case in (same_state, written_since, while_it_is_written, of_test_data, not_proven, damaged, another_one,
                 there_and_back, with_its_history):
        case(Place(args.weir, so, found, case.__name__))
    from_0_3(Place(args.weir, so, found, "from_0_3"), old)
    daemon, why = oracle.fetch_daemon(cache)
    if daemon:
        by_its_daemon(Place(args.weir, so, found, "by_its_daemon"), daemon)
        for_longer(Place(args.weir, so, found, "for_longer"), daemon)
    else:
        print("upgrade: not tried with the daemon of 0.5, which PyPI has: %s" % why, flush=True)
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

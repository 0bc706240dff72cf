"""Databases come and go in a directory that is watched, while `weir replicate` runs.

usage: watch.py WEIR [--many N]

They appear at the top, in new directories below it, as files that become databases later, and many
at once; one is moved away, one is deleted, one is replaced. What is there is replicated within
seconds, what is gone is not any more, and in the end each replica gives what its database held.
"""
import argparse
import http.client
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys

import kit


class Watched:
    def __init__(self, exe, found):
        self.exe, self.found = exe, found
        self.top, self.config = found.path("top"), found.path("weir.yml")
        self.socket, self.log = found.path("sock"), found.path("log")
        self.twin, self.addr = found.path("twin"), "127.0.0.1:%d" % kit.free_port()
        os.mkdir(self.top)
        os.mkdir(self.twin)
        with open(self.config, "w", encoding="utf-8") as f:
            f.write("socket: {enabled: true, path: %s}\naddr: '%s'\n"
                    "dbs:\n- dir: %s\n  pattern: '*.db'\n  recursive: true\n  watch: true\n"
                    "  replica: {path: %s, sync-interval: 50ms}\n"
                    "- dir: %s\n  pattern: '*.db'\n  watch: true\n  replica: {path: %s, sync-interval: 50ms}\n"
                    % (self.socket, self.addr, self.top, found.path("replica"), self.twin, found.path("replica")))
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen([exe, "replicate", "-config", self.config], stdout=out, stderr=out)

    def path(self, name):
        return os.path.join(self.top, name)

    def create(self, name, rows=1):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        db = sqlite3.connect(self.path(name), isolation_level=None)
        db.execute("PRAGMA journal_mode=wal")
        db.execute("CREATE TABLE t(x)")
        for i in range(rows):
            db.execute("INSERT INTO t VALUES(?)", (i,))
        db.close()

    def listed(self):
        r = subprocess.run([self.exe, "list", "-socket", self.socket, "-json"], capture_output=True, text=True)
        if r.returncode != 0:
            return None
        return {os.path.relpath(d["path"], self.top) for d in json.loads(r.stdout)["databases"]}

    def asked(self, target):
        """Status and text of the listener for monitoring."""
        link = http.client.HTTPConnection(self.addr, timeout=10)
        try:
            link.request("GET", target)
            r = link.getresponse()
            return r.status, r.read().decode()
        finally:
            link.close()

    def becomes(self, want, what):
        self.found.check(kit.wait_until(lambda: self.listed() == want, 30, 0.1),
                         "%s: has %s, not %s" % (what, self.listed(), want))

    def count(self, text):
        return kit.read(self.log).decode().count(text)

    def restored(self, name):
        """The number of rows that its replica gives, or why there is none."""
        out = self.found.path("restored")
        code, said = kit.restore(self.exe, "file://" + self.found.path("replica", name), out)
        if code != 0:
            return said
        db = sqlite3.connect(out)
        n = db.execute("SELECT count(*) FROM t").fetchone()[0]
        db.close()
        return n


def clash(w, found):
    """One in another directory would have the replica of a.db. It is refused for all to see, what comes with it
    is replicated, and when it is gone all is well."""
    bad = os.path.join(w.twin, "a.db")
    w.create("../twin/a.db")
    w.create("../twin/fine.db", 6)
    found.check(kit.wait_until(lambda: w.restored("fine.db") == 6), "a clash keeps others from being replicated")
    status, text = w.asked("/readyz")
    found.check(status == 503 and bad + ": not replicated: " in text and "same replica" in text,
                "readyz: %d %s" % (status, text))
    found.check("\nweir_databases_absent 1\n" in w.asked("/metrics")[1], "no metric tells of it")
    for cmd, words in (("list", bad + " [failed]"), ("list", "same replica"), ("status", bad + "  error")):
        flags = ["-socket", w.socket] if cmd == "list" else ["-config", w.config]
        r = subprocess.run([w.exe, cmd, *flags], capture_output=True, text=True)
        # Of the configuration as it is now status can tell nothing: a start would refuse it.
        found.check(words in r.stdout or (cmd == "status" and "same replica" in r.stderr),
                    "%s: %s %s" % (cmd, r.stdout, r.stderr))
    os.remove(bad)
    found.check(kit.wait_until(lambda: w.asked("/readyz")[0] == 200, 20, 0.2),
                "not ready when it is gone: %s" % w.asked("/readyz")[1])
    found.check("\nweir_databases_absent 0\n" in w.asked("/metrics")[1], "the metric still tells of it")


def run(w, many, found):
    w.becomes(set(), "at first")
    w.create("a.db")
    w.create("deep/er/b.db", 2)
    with open(w.path("later.db"), "wb"):
        pass
    w.create("other.sqlite")
    w.becomes({"a.db", "deep/er/b.db"}, "two came")
    os.unlink(w.path("later.db"))
    w.create("later.db", 3)
    w.becomes({"a.db", "deep/er/b.db", "later.db"}, "a file became a database")

    # A directory that is moved in is there at once, with all that is in it.
    os.makedirs(found.path("aside/x"))
    shutil.copy(w.path("a.db"), found.path("aside/x/moved.db"))
    os.rename(found.path("aside"), w.path("in"))
    w.becomes({"a.db", "deep/er/b.db", "later.db", "in/x/moved.db"}, "a directory was moved in")

    # A database that is replaced stays; it has two rows more then.
    w.create("../new.db", 4)
    os.rename(found.path("new.db"), w.path("a.db"))
    found.check(kit.wait_until(lambda: w.restored("a.db") == 4), "the one that replaced a.db is not replicated")

    os.rename(w.path("deep"), found.path("deep"))
    os.unlink(w.path("later.db"))
    w.becomes({"a.db", "in/x/moved.db"}, "two have gone")

    names = {"many/%03d.db" % i for i in range(many)}
    for name in names:
        w.create(name)
    w.becomes(names | {"a.db", "in/x/moved.db"}, "many came")

    begun = w.count('msg="initialized db"')
    w.process.send_signal(signal.SIGHUP)
    found.check(kit.wait_until(lambda: w.count("msg=reloaded") == 1), "not reloaded")
    found.check(w.count('msg="initialized db"') == begun, "the reload has begun databases anew")
    w.create("last.db", 5)
    w.becomes(names | {"a.db", "in/x/moved.db", "last.db"}, "one came after the reload")

    clash(w, found)

    w.process.send_signal(signal.SIGTERM)
    found.check(w.process.wait(60) == 0, "it failed at the end")
    want = {"a.db": 4, "deep/er/b.db": 2, "later.db": 3, "in/x/moved.db": 1, "last.db": 5, **{n: 1 for n in names}}
    for name, rows in want.items():
        got = w.restored(name)
        found.check(got == rows, "%s gives %s rows, not %d" % (name, got, rows))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("weir")
    p.add_argument("--many", type=int, default=60)
    args = p.parse_args()
    found = kit.Findings("watch")
    w = Watched(args.weir, found)
    try:
        run(w, args.many, found)
    finally:
        if w.process.poll() is None:
            w.process.kill()
            w.process.wait()
    sys.exit(found.end())


main()

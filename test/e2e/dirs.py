#!/usr/bin/python3
"""A directory of databases goes to its replica, and comes back from there when it is gone.

usage: dirs.py WEIR [--databases N]

All databases of a tree are written to while `weir replicate` runs with `dir:` in its configuration,
beside files that only look like databases. It is stopped, the tree is moved away, and each database
is restored by its path alone, from a configuration that names none of them. Each must have the last
commit. Then the tree that was restored is replicated on.

While it runs the second time a database is added to the tree and the configuration read again
(SIGHUP): that one is replicated too, and no lock is lost on the others, which a look at their
headers would cost.

Prints one line per finding and exits 1 when there was any.
"""
import argparse
import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import time

import kit

COMMITS = 20
SHARED_FIRST, SHARED_SIZE = 0x40000002, 510  # the bytes that whoever has a database open locks


def rows(path):
    db = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
    try:
        return db.execute("SELECT count(*), coalesce(max(v), -1) FROM t").fetchone()
    finally:
        db.close()


def is_locked(path):
    """Whether another process has it open by SQLite. Nothing of this one's is open then."""
    with open(path, "r+b") as f:
        try:
            fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, SHARED_SIZE, SHARED_FIRST)
        except OSError:
            return True
    return False


class Tree:
    def __init__(self, args, found):
        self.args, self.found = args, found
        self.top, self.config = found.path("tenants"), found.path("weir.yml")
        self.names = ["t%d/%s.db" % (i % 4, "app" if i < 4 else "extra %d" % i)
                      for i in range(args.databases)]
        for name in self.names:
            os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
            db = sqlite3.connect(self.path(name))
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("CREATE TABLE t(v)")
            db.commit()
            db.close()
        with open(self.path("t0/notes.db"), "w", encoding="utf-8") as f:
            f.write("no database")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write("dbs:\n- dir: %s\n  pattern: '*.db'\n  recursive: true\n  meta-dir: %s\n"
                    "  replica: {path: %s, sync-interval: 50ms}\n"
                    % (self.top, found.path("state"), found.path("replica")))

    def path(self, name):
        return os.path.join(self.top, name)

    def weir(self, *args):
        r = subprocess.run([self.args.weir, *args, "-config", self.config], capture_output=True,
                           text=True)
        self.found.check(r.returncode == 0, "%s: %s %s" % (args, r.returncode, r.stderr))
        return r.stdout

    def log(self):
        with open(self.found.path("log"), encoding="utf-8") as f:
            return f.read()

    def reload(self, p):
        """A database comes into the tree, and the configuration is read again."""
        self.found.check(kit.wait_until(lambda: all(is_locked(self.path(n)) for n in self.names)),
                         "not all are open")
        old, new = list(self.names), "t9/late.db"
        os.makedirs(self.path("t9"))
        db = sqlite3.connect(self.path(new))
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE t(v)")
        db.executemany("INSERT INTO t VALUES(?)", [(i,) for i in range(COMMITS)])
        db.commit()
        db.close()
        p.send_signal(signal.SIGHUP)
        ok = kit.wait_until(lambda: self.log().count("msg=reloaded") == 1)
        self.found.check(ok, "not reloaded: " + self.log()[-500:])
        for name in old:
            self.found.check(is_locked(self.path(name)), name + " has lost its lock")
        self.found.check(kit.wait_until(lambda: is_locked(self.path(new))), "the new one is not open")
        self.names.append(new)

    def replicate(self, first, reload=False):
        """Commit to all databases while they are replicated."""
        with open(self.found.path("log"), "ab") as log:
            p = subprocess.Popen([self.args.weir, "replicate", "-config", self.config], stdout=log,
                                 stderr=log)
        if reload:
            self.reload(p)
        handles = [sqlite3.connect(self.path(n), timeout=30) for n in self.names]
        for i in range(first, first + COMMITS):
            for db in handles:
                db.execute("INSERT INTO t VALUES(?)", (i,))
                db.commit()
            time.sleep(0.02)
        for db in handles:
            db.close()
        p.send_signal(signal.SIGTERM)
        self.found.check(p.wait(60) == 0, "replicate: exit code %s" % p.returncode)

    def listed(self):
        lines = self.weir("databases", "-json")
        return sum(line.count('"path"') for line in lines.splitlines())


def run(args, found):
    tree = Tree(args, found)
    found.check(tree.listed() == len(tree.names), "databases: %d of %d" % (tree.listed(), len(tree.names)))
    tree.replicate(0)
    found.check(not [n for n in os.listdir(tree.path("t0")) if n.startswith(".")], "state is not in meta-dir")
    for attempt in ("gone", "gone again"):
        found.where = attempt + ": "
        want = {n: rows(tree.path(n)) for n in tree.names}
        os.rename(tree.top, found.path(attempt))
        for name in tree.names:
            os.makedirs(os.path.dirname(tree.path(name)), exist_ok=True)
            subprocess.run([args.weir, "restore", "-quiet", "-config", tree.config, tree.path(name)],
                           check=False)
            if found.check(os.path.exists(tree.path(name)), name + " is not restored"):
                got = rows(tree.path(name))
                found.check(got == want[name], "%s has %s, not %s" % (name, got, want[name]))
        if found.lines:
            return
        if attempt == "gone":
            tree.replicate(COMMITS, reload=True)
    found.check(want[tree.names[0]] == (2 * COMMITS, 2 * COMMITS - 1), "the test lost commits")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("weir")
    p.add_argument("--databases", type=int, default=12)
    args = p.parse_args()
    found = kit.Findings("dirs")
    run(args, found)
    sys.exit(found.end())


if __name__ == "__main__":
    main()

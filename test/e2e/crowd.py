#!/usr/bin/env python3
"""Many databases of one process, of which one is written to without a pause and some are broken: the
quiet ones are replicated as if they were alone.

usage: crowd.py WEIR [--seconds N]

Broken are: no database, a header and rubbish behind it, a database that another process holds for
itself, a replica below a file, a directory in place of the database. Each is told with its reason, the
log repeats none of them, and the process goes on, as alive as before. A commit of a quiet database is
in its replica within seconds, each of them; what is there in the end is what was written. The busy one
becomes ready, though at no moment everything of it is in its replica. The process has all descriptors
that it may have, not the usual 1,024.

Prints one line for each finding and exits 1 when there was any.
"""
import argparse
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import kit

QUIET = 5
LATE_S = 5  # a loaded machine, and sanitizers; alone it is a fifth of a second


def connect(path):
    db = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    db.execute("PRAGMA journal_mode=wal")
    db.execute("PRAGMA synchronous=off")
    db.execute("CREATE TABLE IF NOT EXISTS t(x)")
    return db


def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


class Crowd:
    def __init__(self, exe, found):
        self.exe, self.found = exe, found
        self.socket, self.log = found.path("sock"), found.path("log")
        self.port = kit.free_port()
        self.process = self.holder = None

    def path(self, name):
        return self.found.path(name + ".db")

    def replica(self, name):
        return self.found.path("file" if name == "below" else "r", name)

    def break_some(self):
        with open(self.path("text"), "w", encoding="utf-8") as f:
            f.write("no database, but long enough to be one. " * 500)
        with open(self.path("rubbish"), "wb") as f:
            f.write(b"SQLite format 3\0" + b"\xa5" * 20000)
        os.mkdir(self.path("directory"))
        connect(self.path("below")).execute("INSERT INTO t VALUES(1)")
        with open(self.found.path("file"), "wb"):
            pass
        held = connect(self.path("held"))
        held.close()
        self.holder = subprocess.Popen([sys.executable, "-c", "import sqlite3, sys\n"
                                        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
                                        "db.execute('PRAGMA locking_mode=exclusive')\n"
                                        "db.execute('INSERT INTO t VALUES(1)')\n"
                                        "print('held', flush=True)\nsys.stdin.read()", self.path("held")],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.holder.stdout.readline()
        return ["text", "rubbish", "directory", "below", "held"]

    def start(self, names):
        config = self.found.path("weir.yml")
        with open(config, "w", encoding="utf-8") as f:
            f.write("socket: {enabled: true, path: %s}\naddr: '127.0.0.1:%d'\ndbs:\n" % (self.socket, self.port))
            for name in names:
                f.write("- {path: %s, replica: {path: %s, sync-interval: 50ms}}\n" % (self.path(name), self.replica(name)))
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen([self.exe, "replicate", "-config", config], stdout=out, stderr=out,
                                            preexec_fn=few_descriptors)

    def list(self):
        r = subprocess.run([self.exe, "list", "-json", "-socket", self.socket], capture_output=True, text=True, timeout=60)
        if not self.found.check(r.returncode == 0, "list: " + r.stderr):
            return {}
        return {os.path.basename(d["path"])[:-3]: d for d in json.loads(r.stdout)["databases"]}

    def newest(self, name):
        return max(kit.txids(self.replica(name)) or [0])

    def commit(self, name, db):
        """In how many seconds it is in the replica."""
        before, start = self.newest(name), time.monotonic()
        db.execute("INSERT INTO t VALUES(1)")
        kit.wait_until(lambda: self.newest(name) > before, 30)
        return time.monotonic() - start

    def judge(self, broken, quiet):
        entries = self.list()
        for name in broken:
            errors = [entries.get(name, {}).get("error")] + [r.get("error") for r in entries.get(name, {}).get("replicas", [])]
            self.found.check(any(errors), "%s is not told: %s" % (name, entries.get(name)))
        for name in quiet:
            self.found.check(not entries.get(name, {}).get("error"), "%s: %s" % (name, entries.get(name)))
        text = kit.read(self.log).decode()
        for name in broken:
            lines = [x for x in text.splitlines() if "level=INFO" not in x and name + ".db" in x]
            self.found.check(1 <= len(lines) <= 6, "%s has %d lines: %s" % (name, len(lines), lines[:3]))
        self.found.check(kit.get(self.port, "/healthz")[0] == 200, "not alive")
        status, ready = kit.get(self.port, "/readyz")
        self.found.check(status == 503, "ready with broken databases: " + ready)
        # Nor the one that is never seen with nothing missing.
        well = lambda: not any(self.path(name) + ":" in kit.get(self.port, "/readyz")[1] for name in ["busy", *quiet])
        self.found.check(kit.wait_until(well, 20, 0.3), "/readyz has one that is well: " + kit.get(self.port, "/readyz")[1])
        soft, hard = resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE)
        self.found.check(soft == hard, "%d descriptors of %d" % (soft, hard))

    def end(self, dbs):
        self.holder.stdin.close()
        self.holder.wait()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.found.check(code == 8, "exit code %d though some never had their last sync" % code)
        for name, db in dbs.items():
            want = db.execute("SELECT count(*) FROM t").fetchone()[0]
            out = self.found.path("out")
            r = subprocess.run([self.exe, "restore", "-quiet", "-force", "-o", out, "file://" + self.replica(name)],
                               capture_output=True, text=True, timeout=120)
            if self.found.check(r.returncode == 0, "%s: %s" % (name, r.stderr)):
                got = sqlite3.connect(out).execute("SELECT count(*) FROM t").fetchone()[0]
                self.found.check(got == want, "%s: %d rows of %d" % (name, got, want))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("weir")
    p.add_argument("--seconds", type=float, default=8)
    args = p.parse_args()
    found = kit.Findings("crowd")
    c = Crowd(os.path.abspath(args.weir), found)
    dbs = {name: connect(c.path(name)) for name in ["busy"] + ["quiet%d" % i for i in range(QUIET)]}
    quiet = [name for name in dbs if name != "busy"]
    broken = c.break_some()
    c.start([*broken[:2], "busy", *quiet, *broken[2:]])
    found.check(kit.wait_until(lambda: all(c.newest(x) for x in dbs), 30), "not all began: " + kit.read(c.log).decode()[-900:])
    over = threading.Event()
    written = [0]

    def write():
        while not over.is_set():
            dbs["busy"].execute("INSERT INTO t VALUES(randomblob(3000))")
            written[0] += 1
    writer = threading.Thread(target=write)
    writer.start()
    took = []
    start = time.monotonic()
    while time.monotonic() < start + args.seconds:
        for name in quiet:
            took.append(c.commit(name, dbs[name]))
            time.sleep(0.05)
    c.judge(broken, quiet)
    over.set()
    writer.join()
    found.check(max(took) < LATE_S, "a quiet database waited for %.1f s" % max(took))
    found.check(written[0] > 200, "%d commits keep nobody busy" % written[0])
    c.end(dbs)
    took.sort()
    print("%d commits beside %d of a busy database: in the replica after %.2f s, at worst %.2f"
          % (len(took), written[0], took[len(took) // 2], took[-1]), flush=True)
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

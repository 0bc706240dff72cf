"""SIGHUP and `weir reload`: the configuration file is read again while its databases are written to.

usage: reload.py WEIR

Databases come, go, and get another replica; a file that is not meant changes nothing; whoever is
not concerned is not disturbed. In the end each replica gives what its database held when it left.
"""
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys

import kit


class Daemon:
    """`weir replicate -config` over databases below a directory."""

    def __init__(self, exe, found):
        self.exe, self.found = exe, found
        self.config = found.path("weir.yml")
        self.log = found.path("log")
        self.port, self.socket = kit.free_port(), found.path("socket")
        self.doors = "addr: 127.0.0.1:%d\nsocket: {enabled: true, path: %s}\n" % (self.port, self.socket)
        self.process = None

    def database(self, name):
        db = sqlite3.connect(self.found.path(name), isolation_level=None)
        db.execute("PRAGMA journal_mode=wal")
        db.execute("CREATE TABLE IF NOT EXISTS t(x)")
        db.execute("INSERT INTO t VALUES(1)")
        return db

    def write(self, replicas, extra=""):
        """`replicas`: {database: replica}, both names below the directory."""
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(extra + "dbs:\n" if replicas else extra)
            for db, replica in replicas.items():
                f.write("  - path: %s\n    replica: {url: 'file://%s', sync-interval: 50ms}\n"
                        % (self.found.path(db), self.found.path(replica)))

    def start(self):
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen([self.exe, "replicate", "-config", self.config], stdout=out, stderr=out)

    def said(self, text):
        return kit.read(self.log).decode().count(text)

    def reload(self, *texts):
        """SIGHUP, until each text was logged once more."""
        before = [self.said(t) for t in texts]
        self.process.send_signal(signal.SIGHUP)
        for text, n in zip(texts, before):
            self.found.check(kit.wait_until(lambda t=text, n=n: self.said(t) > n), "not logged: " + text)
        self.found.check(self.process.poll() is None, "it ended")

    def command(self, name, *args):
        r = subprocess.run([self.exe, name, "-socket", self.socket, *args], capture_output=True, text=True)
        self.found.check(r.returncode == 0, "%s: %s" % (name, r.stderr))
        return r.stdout

    def expect_refused(self, refused):
        """Whether all who can be asked tell that the file was refused; it stays ready."""
        # What has just begun is looked at when somebody asks, and not at the next turn.
        kit.wait_until(lambda: kit.get(self.port, "/readyz")[0] == 200, 3)
        status, ready = kit.get(self.port, "/readyz")
        self.found.check(status == 200 and ("was refused" in ready) == refused, "readyz: %d %s" % (status, ready))
        metrics = kit.get(self.port, "/metrics")[1]
        self.found.check("weir_config_last_reload_successful %d\n" % (not refused) in metrics, "wrong metric")
        for command in ("list", "info"):
            r = subprocess.run([self.exe, command, "-socket", self.socket], capture_output=True, text=True)
            self.found.check(r.returncode == 0 and ("refused the configuration" in r.stderr) == refused,
                             "%s: %s" % (command, r.stderr))
            self.found.check(not refused or "not found" in r.stderr, "not why: " + r.stderr)

    def holds(self, replica, want, what):
        """Whether a replica gives a database with the sum of all x, soon."""
        out = self.found.path("restored")

        def right():
            code, _ = kit.restore(self.exe, "file://" + self.found.path(replica), out)
            if code != 0:
                return False
            db = sqlite3.connect(out)
            got = db.execute("SELECT sum(x) FROM t").fetchone()[0]
            db.close()
            return got == want
        self.found.check(kit.wait_until(right), what)


def serve(d, found, dbs):
    """Followers are served elsewhere, or, where that cannot be, as before; the answer says so."""
    def write(port):
        d.write(dbs, d.doors + "serve: {addr: '127.0.0.1:%d', token: a-token-of-some-length}\n" % port)
    here = kit.free_port()
    write(here)
    d.command("reload")
    found.check(kit.get(here, "/feed/a.db")[0] == 401, "followers are not served")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        write(taken.getsockname()[1])
        for flags in ((), ("-json",)):
            r = subprocess.run([d.exe, "reload", "-socket", d.socket, *flags], capture_output=True, text=True)
            failed = json.loads(r.stdout)["failed"][0] if flags else r.stdout
            found.check(r.returncode == 1 and "Error: serve failed" in r.stderr and
                        ("has the port" in failed["error"] and failed["path"] == "serve" if flags
                         else "  failed    serve: cannot listen on" in failed), "reload says %s" % r)
        found.check(kit.get(here, "/feed/a.db")[0] == 401, "followers are not served any more")
    d.command("reload")
    found.check(kit.get(here, "/feed/a.db")[0] != 401, "followers are served where they were")


def run(d, found):
    dbs = {name: d.database(name) for name in ("a.db", "b.db", "c.db")}

    d.write({"a.db": "ra", "b.db": "rb"}, d.doors)
    d.start()
    found.check(kit.wait_until(lambda: kit.get(d.port, "/readyz")[0] == 200, 30), "it never was ready")
    d.expect_refused(False)
    d.holds("ra", 1, "a is not replicated at the start")
    d.holds("rb", 1, "b is not replicated at the start")

    d.write({"b.db": "rb", "c.db": "rc"})
    dbs["a.db"].execute("INSERT INTO t VALUES(10)")  # has to be in its last sync
    d.reload("database removed", "database added", "msg=reloaded")
    dbs["a.db"].execute("INSERT INTO t VALUES(100)")
    dbs["b.db"].execute("INSERT INTO t VALUES(10)")
    d.holds("ra", 11, "a does not end with what it had when it was removed")
    d.holds("rb", 11, "b was disturbed")
    d.holds("rc", 1, "c was not added")
    found.check(d.said('"initialized db" path=' + found.path("b.db")) == 1, "b began anew for no reason")

    for text in ("dbs: [\n", "dbs: 7\n", "dbs:\n  - pth: /x\n"):
        with open(d.config, "w", encoding="utf-8") as f:
            f.write(text)
        d.reload("nothing has changed")
    os.unlink(d.config)
    d.reload("nothing has changed")
    d.expect_refused(True)
    r = subprocess.run([d.exe, "reload", "-socket", d.socket], capture_output=True, text=True)
    found.check(r.returncode == 1 and "was refused, nothing has changed" in r.stderr and "not found" in r.stderr,
                "reload of no file: %d %s" % (r.returncode, r.stderr))
    dbs["b.db"].execute("INSERT INTO t VALUES(100)")
    d.holds("rb", 111, "a bad file stopped b")

    d.write({"b.db": "rb2", "c.db": "rc"}, "exec: sleep 1\n")
    d.reload("database changed", "key=exec", "msg=reloaded")
    d.expect_refused(False)
    dbs["b.db"].execute("INSERT INTO t VALUES(1000)")
    d.holds("rb2", 1111, "b has not gone to its new replica")
    d.holds("rb", 111, "b's old replica was changed")

    d.write({}, "addr: :1\n")
    said = d.command("reload")
    want = ["reloaded: 0 databases", "  removed   " + found.path("b.db"), "  removed   " + found.path("c.db"),
            "  restart   addr", "  restart   exec"]
    found.check(said.splitlines() == want, "reload says " + said)
    d.holds("rc", 1, "c's replica was changed")
    d.write({"a.db": "ra", "c.db": "rc"})
    said = json.loads(d.command("reload", "-json"))
    found.check(said["added"] == [found.path("a.db"), found.path("c.db")] and said["databases"] == 2,
                "reload says %s" % said)
    found.check(d.command("reload") == "reloaded: 2 databases, none has changed\n", "it does not say that nothing has")
    d.write({"a.db": "ra", "c.db": "rc2"})
    said = d.command("reload")
    found.check(said == "reloaded: 2 databases\n  changed   %s (replica.url)\n" % found.path("c.db"),
                "of a new URL it says " + said)
    d.write({"a.db": "ra", "c.db": "rc"})
    d.command("reload")
    dbs["a.db"].execute("INSERT INTO t VALUES(1000)")
    d.holds("ra", 1111, "a has not come back")

    # Another database has the URL, which the file does not know. When that is gone nobody has to ask.
    d.command("register", "-replica", "file://" + found.path("rd"), found.path("other.db"))
    dbs["d.db"] = d.database("d.db")
    d.write({"a.db": "ra", "c.db": "rc", "d.db": "rd"}, d.doors)
    d.reload("a change has failed", "msg=reloaded")
    found.check("%s [failed]" % found.path("d.db") in d.command("list"), "d is not told")
    status, ready = kit.get(d.port, "/readyz")
    found.check(status == 503 and "d.db: not replicated" in ready, "readyz: %d %s" % (status, ready))
    d.command("unregister", found.path("other.db"))
    d.holds("rd", 1, "d is not tried again")
    found.check(kit.wait_until(lambda: kit.get(d.port, "/readyz")[0] == 200), "d is not ready")
    found.check(d.said("is replicated from now on") == 1, "it is not told that d has come")

    serve(d, found, {"a.db": "ra", "c.db": "rc", "d.db": "rd"})

    dbs["c.db"].execute("INSERT INTO t VALUES(10)")
    d.process.send_signal(signal.SIGTERM)
    found.check(d.process.wait(60) == 0, "it failed at the end")
    d.holds("rc", 11, "c's last sync was not made")


def main():
    found = kit.Findings("reload")
    d = Daemon(sys.argv[1], found)
    try:
        run(d, found)
    finally:
        if d.process and d.process.poll() is None:
            d.process.kill()
            d.process.wait()
    sys.exit(found.end())


main()

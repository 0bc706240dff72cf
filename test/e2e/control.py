"""The control socket of a real daemon, through the real commands, and through bytes that are none.

usage: control.py WEIR

What a command says was done is proven by a restore from the replica. Clients that send nonsense, too
much, too slowly, or all at once disturb nobody. The socket's file: who may open it, who else may
have it, and what else may be there.
"""
import concurrent.futures
import http.client
import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time

import kit

HOUR = "1h"  # nothing is uploaded by itself in this test


class Link(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path, seconds=30):
        super().__init__("localhost", timeout=seconds)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Daemon:
    """`weir replicate` over databases below a directory, with a control socket."""

    def __init__(self, exe, found, name="d", sock="sock", extra=""):
        self.exe, self.found = exe, found
        self.config, self.log = found.path(name + ".yml"), found.path(name + ".log")
        self.socket = found.path(sock)
        self.extra = extra
        self.process = None
        self.log_start = 0

    def start(self, replicas, interval=HOUR, umask=-1):
        """`replicas`: {database: replica}. Ready when it answers, or has said why it will not."""
        self.write(replicas, interval)
        self.log_start = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen([self.exe, "replicate", "-config", self.config], stdout=out,
                                            stderr=out, umask=umask)
        self.found.check(kit.wait_until(lambda: self.said("control socket listening") or self.said("no control socket")),
                         "neither a socket nor a reason")

    def write(self, replicas, interval=HOUR):
        with open(self.config, "w", encoding="utf-8") as f:
            f.write("socket: {enabled: true, path: %s%s}\ndbs:\n" % (self.socket, self.extra))
            for db, replica in replicas.items():
                f.write("  - path: %s\n    replica: {url: 'file://%s', sync-interval: %s}\n"
                        % (self.found.path(db), self.found.path(replica), interval))

    def said(self, text):
        """Since the last start."""
        return text in kit.read(self.log)[self.log_start:].decode()

    def cli(self, *args, code=0):
        """A command at this socket; its output. `code` is what it should exit with."""
        r = subprocess.run([self.exe, args[0], "-socket", self.socket, *args[1:]], capture_output=True, text=True,
                           timeout=120)
        self.found.check(r.returncode == code, "%s: exit code %d, not %d: %s%s"
                         % (" ".join(args), r.returncode, code, r.stdout, r.stderr))
        return r.stdout + r.stderr

    def json(self, *args):
        try:
            return json.loads(self.cli(args[0], "-json", *args[1:]))
        except ValueError as e:
            self.found.add("%s is no JSON: %s" % (args, e))
            return {}

    def ask(self, method, target, body=None, seconds=30):
        """Status, headers and text of the answer."""
        link = Link(self.socket, seconds)
        try:
            link.request(method, target, body)
            r = link.getresponse()
            return r.status, r.headers, r.read().decode()
        finally:
            link.close()

    def entry(self, db):
        for e in self.json("list").get("databases", []):
            if e["path"] == self.found.path(db):
                return e
        return {}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.found.check(self.process.wait(60) == 0, "it failed at the end")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Test:
    def __init__(self, exe, found):
        self.exe, self.found = exe, found
        self.daemons = []
        self.dbs = {}
        self.before_mb = 0

    def daemon(self, **more):
        self.daemons.append(Daemon(self.exe, self.found, **more))
        return self.daemons[-1]

    def write(self, db, x):
        """A row, committed."""
        if db not in self.dbs:
            self.dbs[db] = sqlite3.connect(self.found.path(db), isolation_level=None)
            self.dbs[db].execute("PRAGMA journal_mode=wal")
            self.dbs[db].execute("CREATE TABLE IF NOT EXISTS t(x)")
        self.dbs[db].execute("INSERT INTO t VALUES(?)", (x,))

    def sum_of(self, replica):
        """What a restore from the replica gives; None: nothing."""
        out = self.found.path("restored")
        code, _ = kit.restore(self.exe, "file://" + self.found.path(replica), out)
        if code != 0:
            return None
        db = sqlite3.connect(out)
        ok = db.execute("PRAGMA integrity_check").fetchone()[0]
        got = db.execute("SELECT sum(x) FROM t").fetchone()[0]
        db.close()
        self.found.check(ok == "ok", "the restored database is damaged")
        return got

    def holds(self, replica, want, what):
        """Now, not soon."""
        got = self.sum_of(replica)
        self.found.check(got == want, "%s: %s instead of %s" % (what, got, want))

    def comes(self, replica, want, what):
        self.found.check(kit.wait_until(lambda: self.sum_of(replica) == want), what)

    # ---- what the commands do ----

    def look(self):
        self.write("a.db", 1)
        d = self.daemon()
        d.start({"a.db": "ra"})
        self.comes("ra", 1, "a is not replicated at the start")
        mode = stat.S_IMODE(os.lstat(d.socket).st_mode)
        self.found.check(mode == 0o600, "the socket's mode is %o" % mode)

        info = d.json("info")
        self.found.check(info.get("pid") == d.process.pid and info.get("database_count") == 1, "info: %s" % info)
        self.found.check(d.cli("info").startswith("weir "), "info's text")
        text = d.cli("list").splitlines()
        self.found.check(text[0].startswith(self.found.path("a.db") + " [replicating] (last sync: 20"), "list: %s" % text)
        self.found.check(text[1].startswith("  file://%s: has all, txid " % self.found.path("ra")), "list: %s" % text)

        r = subprocess.run([self.exe, "status", "-config", d.config], capture_output=True, text=True)
        lines = [line.split() for line in r.stdout.splitlines()]
        self.found.check(lines[0][-2:] == ["replica", "lag"] and lines[1][1] == "ok" and len(lines[1][2]) == 16
                         and lines[1][-1] == "0s", "status: " + r.stdout + r.stderr)
        # By -config, from another directory, by a relative path, as litestream.
        link = self.found.path("litestream")
        os.symlink(os.path.abspath(self.exe), link)
        r = subprocess.run([link, "sync", "-config", d.config, "a.db"], cwd=self.found.work, capture_output=True, text=True)
        self.found.check(r.returncode == 0 and r.stdout.startswith("db_path: " + self.found.path("a.db")),
                         "a relative path: " + r.stdout + r.stderr)
        return d

    def sync(self, d):
        a = self.found.path("a.db")
        before = d.entry("a.db")["txid"]
        self.write("a.db", 10)
        got = d.json("sync", a)
        self.found.check(got.get("txid", 0) > before and "replica_txid" not in got, "sync: %s" % got)
        self.comes("ra", 11, "what sync captured is not sent")
        for i in range(20):
            self.write("a.db", 0 if i else 10)
            got = d.json("sync", "-wait", a)
            self.found.check(got.get("replica_txid") == got.get("txid"), "sync -wait: %s" % got)
            self.holds("ra", 21, "sync -wait came back too early")
        text = d.cli("sync", "-wait", a).splitlines()
        self.found.check([line.split(":")[0] for line in text] == ["db_path", "txid", "replica_txid", "duration_ms"],
                         "sync's text: %s" % text)
        snapshots = sum(k[0] == 9 for k in kit.objects(self.found.path("ra"))[0])
        got = d.json("sync", "-snapshot", a)
        there = [k[2] for k in kit.objects(self.found.path("ra"))[0] if k[0] == 9]
        self.found.check(got.get("snapshot_txid") == got.get("txid") == max(there) and len(there) == snapshots + 1,
                         "sync -snapshot: %s, snapshots %s" % (got, there))
        got = d.json("sync", "-snapshot", a)
        self.found.check(got.get("snapshot_txid") == max(there), "sync -snapshot again: %s" % got)
        for cmd in ("sync", "wait"):
            text = d.cli(cmd, self.found.path("none.db"), code=1)
            self.found.check("%s failed: database not found: %s" % (cmd, self.found.path("none.db")) in text, text)

    def wait(self, d):
        """Nothing is uploaded for it, so with an hour between uploads it is in vain."""
        a = self.found.path("a.db")
        self.write("a.db", 100)
        files = kit.txids(self.found.path("ra"))
        start = time.monotonic()
        text = d.cli("wait", "-timeout", "1", a, code=8)
        self.found.check("wait failed: " in text and 0.9 < time.monotonic() - start < 6, "wait: " + text)
        self.found.check(kit.txids(self.found.path("ra")) == files, "wait has forced an upload")
        text = d.cli("wait", "-txid", str(files[-1] + 1000), a, code=1)
        self.found.check("does not exist yet" in text, text)
        for shown in ("%016x", "%d"):
            text = d.cli("wait", "-txid", shown % files[-1], a)
            self.found.check("replica_txid: %d" % files[-1] in text, "wait for what is there: " + text)
        # One that is under way ends when another's upload comes.
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(d.json, "wait", "-timeout", "30s", a)
            time.sleep(0.3)
            self.found.check(not waiting.done(), "wait has not waited")
            d.cli("sync", a)
            got = waiting.result(30)
        self.found.check(got.get("replica_txid", 0) > files[-1], "wait: %s" % got)
        self.holds("ra", 121, "wait came back too early")

    def start_and_stop(self, d):
        a = self.found.path("a.db")
        self.write("a.db", 1000)
        got = d.json("stop", a)
        self.found.check(got.get("status") == "stopped" and got.get("state") == "stopped" and got.get("socket") == d.socket,
                         "stop: %s" % got)
        self.holds("ra", 1121, "the last sync of stop was not made")
        self.found.check(d.json("stop", a).get("status") == "already_stopped", "stop again")
        self.found.check(d.entry("a.db").get("status") == "stopped", "list after stop")
        self.write("a.db", 10000)
        text = d.cli("sync", "-wait", a, code=1)
        self.found.check("sync failed: database not open: " + a in text, text)
        self.holds("ra", 1121, "it is replicated though it was stopped")
        got = d.json("start", a)
        self.found.check(got.get("status") == "started" and got.get("state") == "running", "start: %s" % got)
        self.found.check(d.json("start", a).get("status") == "already_running", "start again")
        d.cli("sync", "-wait", a)
        self.holds("ra", 11121, "start has not begun again")
        for cmd in ("start", "stop"):
            text = d.cli(cmd, self.found.path("none.db"), code=1)
            self.found.check("%s failed: database not found" % cmd in text, text)

    def endpoints(self, d):
        """What the commands do not show of them: fields, and statuses, as Litestream has them."""
        a, none = self.found.path("a.db"), self.found.path("none.db")

        def expect(code, method, target, body=None, **fields):
            got, headers, text = d.ask(method, target, None if body is None else json.dumps(body))
            self.found.check(got == code and headers.get("Content-Type") == "application/json",
                             "%s %s: %s %s" % (method, target, got, text))
            said = json.loads(text)
            for name, value in fields.items():
                self.found.check(said.get(name) == value, "%s %s: %s" % (method, target, text))
            return said

        txid = expect(200, "GET", "/txid?path=" + a)["txid"]
        self.found.check(txid == kit.txids(self.found.path("ra"))[-1], "txid: %s" % txid)
        entry = expect(200, "GET", "/debug/sync-status?path=" + a)["databases"]
        self.found.check(len(entry) == 1 and entry[0].get("path") == a and entry[0].get("active") is False
                         and entry[0].get("txid") == txid, "sync-status: %s" % entry)
        self.found.check(expect(200, "GET", "/debug/sync-status")["databases"] == entry, "sync-status of all")
        expect(404, "GET", "/debug/sync-status?path=" + none, error="database not found")
        expect(404, "GET", "/txid?path=" + none, error="database not found")
        for target in ("/start", "/stop"):
            expect(500, "POST", target, {"path": none}, error="database not found: " + none)
        expect(404, "POST", "/sync", {"path": none}, error="database not found: " + none)
        expect(404, "POST", "/wait", {"path": none}, error="database not found: " + none)
        expect(400, "POST", "/register", {"path": none}, error="replica_url required")
        expect(400, "POST", "/register", {"replica_url": "file:///x"}, error="path required")
        expect(200, "POST", "/unregister", {"path": none}, status="already_unregistered", txid=0)
        expect(200, "POST", "/start", {"path": a}, status="already_running", path=a, txid=txid)
        expect(200, "POST", "/stop", {"path": a}, status="stopped", path=a, txid=txid)
        expect(200, "POST", "/stop", {"path": a}, status="already_stopped", path=a, txid=txid)
        expect(200, "GET", "/txid?path=" + a, txid=txid)
        expect(409, "POST", "/sync", {"path": a}, error="database not open: " + a)
        expect(409, "POST", "/wait", {"path": a}, error="database not open: " + a)
        expect(200, "POST", "/start", {"path": a}, status="started", path=a, txid=txid)
        expect(200, "POST", "/sync", {"path": a, "wait": True}, path=a, txid=txid, replicated_txid=txid)
        expect(200, "POST", "/reload", {}, status="reloaded", databases=1)

    def register(self, d):
        b, url = self.found.path("b.db"), "file://" + self.found.path("rb")
        self.write("b.db", 5)
        got = d.json("register", "-replica", url, b)
        self.found.check(got == {"status": "registered", "db_path": b, "replica": url, "socket": d.socket}, "register: %s" % got)
        self.comes("rb", 5, "what was registered is not replicated")
        self.found.check("status: already registered\n" in d.cli("register", "-replica", url, b), "register again")
        text = d.cli("register", "-replica", url + "x", b, code=1)
        self.found.check("another URL" in text, text)
        text = d.cli("register", "-replica", "gopher://x", b + "2", code=1)
        self.found.check("register failed: invalid replica url" in text, text)
        self.write("b.db", 50)
        got = d.json("unregister", b)
        self.found.check(got.get("status") == "unregistered" and got.get("final_txid", 0) > 0, "unregister: %s" % got)
        self.holds("rb", 55, "the last sync of unregister was not made")
        self.found.check(not d.entry("b.db"), "it is in the list though it was unregistered")
        got = d.json("unregister", b)
        self.found.check(got.get("status") == "already_unregistered" and got.get("final_txid") == 0, "again: %s" % got)
        # One that does not exist yet, under a name that a URL could not have.
        odd = self.found.path("c ü?%#.db")
        d.cli("register", "-replica", "file://" + self.found.path("rc"), odd)
        self.write("c ü?%#.db", 7)
        self.comes("rc", 7, "what appeared after register is not replicated")
        self.found.check(d.json("unregister", odd).get("status") == "unregistered", "an odd name")

    def persist(self, _):
        """What was registered to stay outlives a kill, a restart, and a file that is no good."""
        kept, db = self.found.path("kept", "registered.json"), self.found.path("p.db")
        d = self.daemon(name="p", sock="psock", extra=", registry: " + kept)
        d.start({"q.db": "rq"})
        self.write("p.db", 3)
        self.write("q.db", 1)
        url = "file://" + self.found.path("rp")
        got = d.json("register", "-persist", "-replica", url, db)
        self.found.check(got.get("status") == "registered" and got.get("persist") is True, "register: %s" % got)
        d.cli("register", "-replica", url + "2", self.found.path("passing.db"))
        d.cli("register", "-persist", "-replica", url + "3", self.found.path("gone.db"))
        d.cli("unregister", self.found.path("gone.db"))
        d.kill()
        self.found.check(os.stat(kept).st_mode & 0o777 == 0o600, "others can read %s" % kept)
        d.start({"q.db": "rq"})
        self.write("p.db", 4)
        self.comes("rp", 7, "what was registered to stay is not replicated")
        names = sorted(os.path.basename(e["path"]) for e in d.json("list")["databases"])
        self.found.check(names == ["p.db", "q.db"], "after a restart there are %s" % names)
        d.stop()
        # The configuration has the URL by now: that one counts, and when it goes nobody has to ask.
        d.start({"q.db": "rq", "taker.db": "rp"})
        self.found.check(d.entry("p.db").get("status") == "failed", "not failed: %s" % d.entry("p.db"))
        d.cli("unregister", self.found.path("taker.db"))
        self.found.check(kit.wait_until(lambda: d.entry("p.db").get("status") == "replicating", 30, 0.1),
                         "not tried again: %s" % d.entry("p.db"))
        self.write("p.db", 5)
        self.comes("rp", 12, "what was tried again is not replicated")
        d.stop()
        d.start({"q.db": "rq", "taker.db": "rp"})
        self.found.check(d.entry("p.db").get("status") == "failed", "not failed: %s" % d.entry("p.db"))
        d.write({"q.db": "rq"})
        d.process.send_signal(signal.SIGHUP)
        self.found.check(kit.wait_until(lambda: d.entry("p.db").get("status") == "replicating", 8),
                         "not tried at a reload: %s" % d.entry("p.db"))
        d.stop()
        with open(kept, "r+b") as f:
            f.truncate(os.path.getsize(kept) - 3)
        torn = kit.read(kept)
        d.start({"q.db": "rq"})
        self.found.check(d.said("repair it, or move it away"), "a bad file is not told")
        self.found.check(d.entry("q.db") and not d.entry("p.db"), "the others are not replicated")
        text = d.cli("register", "-persist", "-replica", url + "4", self.found.path("new.db"), code=1)
        self.found.check("repair it, or move it away" in text and kit.read(kept) == torn, "a bad file was written to: " + text)
        d.stop()
        os.remove(kept)
        d.start({"q.db": "rq"})
        d.cli("register", "-persist", "-replica", url, db)
        d.cli("unregister", db)
        d.stop()
        d.start({"q.db": "rq"})
        self.found.check(not d.entry("p.db"), "what was unregistered is there again")
        d.stop()
        text = self.daemons[0].cli("register", "-persist", "-replica", url, db, code=1)
        self.found.check("socket.registry" in text, "without a registry: " + text)

    # ---- clients that do not behave ----

    def raw(self, d, data, seconds=20):
        """Send bytes, half-close; all that comes back."""
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(seconds)
        s.connect(d.socket)
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has had enough
        got = b""
        try:
            while True:
                piece = s.recv(65536)
                if not piece:
                    break
                got += piece
        except socket.timeout:
            self.found.add("no answer and no end to %r" % data[:60])
        except OSError:
            pass
        s.close()
        return got

    def alive(self, d, when):
        start = time.monotonic()
        status, _, text = d.ask("GET", "/info")
        self.found.check(status == 200 and json.loads(text)["pid"] == d.process.pid, "not alive " + when)
        self.found.check(time.monotonic() - start < 5, "slow " + when)

    def malformed(self, d):
        a = self.found.path("a.db")
        expect = (
            ("POST", "/sync", "", 400), ("POST", "/sync", "{", 400), ("POST", "/sync", "[]", 400),
            ("POST", "/sync", '{"path":7}', 400), ("POST", "/sync", '{"path":""}', 400), ("POST", "/sync", "{}", 400),
            ("POST", "/sync", '{"path":"%s","wait":"x"}' % a, 400), ("POST", "/sync", '{"path":"%s","timeout":"x"}' % a, 400),
            ("POST", "/sync", '{"path":"%s","timeout":1e99}' % a, 400), ("POST", "/wait", '{"path":"%s","txid":-1}' % a, 400),
            ("POST", "/sync", '{"path":"%s\\u0000x"}' % a, 400), ("POST", "/sync", b'{"path":"\xff"}', 400),
            ("POST", "/sync", '{"path":"/none.db"}', 404), ("GET", "/txid?path=/none.db", None, 404), ("GET", "/txid", None, 400),
            ("GET", "/nothing", None, 404), ("GET", "/", None, 404), ("GET", "/../info", None, 404), ("GET", "/sync", None, 405),
            ("POST", "/list", "{}", 405), ("DELETE", "/list", None, 405),
            ("POST", "/sync", '{"path":"%s","unknown":[{}]}' % a, 200), ("POST", "/sync", "[" * 60000, 400),
            ("POST", "/sync", '{"path":"%s"}' % ("x" * 70000), 413), ("POST", "/sync", b"x" * 900000, 413),
        )
        for method, target, body, want in expect:
            try:
                status, headers, text = d.ask(method, target, body)
            except OSError as e:
                status, headers, text = 0, {}, str(e)
            shown = "%s %s %s" % (method, target, str(body)[:50])
            self.found.check(status == want, "%s: %d instead of %d: %s" % (shown, status, want, text))
            if status in (400, 413, 500, 409):
                self.found.check("error" in json.loads(text) and text.endswith("\n"), "%s: %r" % (shown, text))
            if status == 405:
                self.found.check(headers["Allow"] in ("GET", "POST"), "%s: %s" % (shown, headers))
        self.alive(d, "after requests that are refused")
        for data in (b"", b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\0" * 5000, b"GET /info HTTP/9.9\r\n\r\n",
                     b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"GET /info HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
                     b"POST /sync HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n{}",
                     b"POST /sync HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
                     b"POST /sync HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{}",
                     b"POST /sync HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
                     b"POST /sync HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 3000000):
            self.raw(d, data)
            self.found.check(d.process.poll() is None, "it died of %r" % data[:60])
        self.alive(d, "after what is no request")

    def slow(self, d):
        """A byte now and then, and nothing at all: the others do not notice, and it ends."""
        drips = []
        for _ in range(20):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            s.settimeout(1)
            s.connect(d.socket)
            drips.append(s)
        for c in b"POST /sync HTTP/1.1\r\nHost: x\r\nContent-Le":
            for s in drips[:10]:
                s.send(bytes([c]))
            self.alive(d, "beside slow clients")
        start = time.monotonic()

        def closed():
            for s in drips[:]:
                try:
                    if s.recv(1000) == b"":
                        drips.remove(s)
                except socket.timeout:
                    return False
                except OSError:
                    drips.remove(s)
            return not drips
        self.found.check(kit.wait_until(closed, 40), "%d silent clients are kept" % len(drips))
        self.found.check(time.monotonic() - start < 40, "silent clients are kept for long")
        # One that asks, and leaves without the answer: what it asked for is done.
        self.write("a.db", 100000)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.connect(d.socket)
        body = json.dumps({"path": self.found.path("a.db"), "wait": True}).encode()
        s.sendall(b"POST /sync HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        time.sleep(0.05)
        s.close()
        self.comes("ra", 111121, "what a client asked for that left was not done")

    def crowd(self, d):
        """More clients than there is room for, never silent for long and never done: after a while
        there is room again."""
        crowd = []
        while len(crowd) < 300:
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            s.setblocking(False)

            def joined(s=s):
                try:
                    s.connect(d.socket)
                except OSError:
                    return False  # the queue is full
                return True
            crowd.append(s)
            if not kit.wait_until(joined, 1):
                break

        done = threading.Event()

        def drip():
            while not done.wait(1):
                for s in crowd:
                    try:
                        s.send(b"G")
                    except OSError:
                        pass  # that one is through

        def answers():
            try:
                return d.ask("GET", "/info", seconds=5)[0] == 200
            except OSError:
                return False
        start = time.monotonic()
        threading.Thread(target=drip, daemon=True).start()
        self.found.check(not answers(), "%d clients are no crowd" % len(crowd))
        self.found.check(kit.wait_until(answers, 60, 0.5), "a crowd keeps it from answering")
        self.found.check(time.monotonic() - start < 40, "a crowd keeps it from answering for long")
        done.set()
        for s in crowd:
            s.close()
        self.alive(d, "after a crowd")

    def many(self, d):
        a = self.found.path("a.db")
        asks = [("GET", "/list", None), ("GET", "/info", None), ("POST", "/sync", json.dumps({"path": a})),
                ("POST", "/sync", json.dumps({"path": a, "wait": True}))]
        with concurrent.futures.ThreadPoolExecutor(100) as pool:
            for i in range(100):
                if i % 10 == 0:
                    self.write("a.db", 0)
            results = [pool.submit(d.ask, *asks[i % 4]) for i in range(100)]
            statuses = [r.result(60)[0] for r in results]
        self.found.check(statuses == [200] * 100, "of 100 at once: %s" % sorted(set(statuses)))
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            for r in [pool.submit(self.change, d, ("stop", "start")[i % 2], a) for i in range(20)]:
                r.result(60)
        d.cli("start", a)
        d.cli("sync", "-wait", a)
        self.holds("ra", 111121, "after all that")

    def change(self, d, cmd, path):
        """One of several at once: done, or refused since another one is at it."""
        r = subprocess.run([self.exe, cmd, "-socket", d.socket, path], capture_output=True, text=True, timeout=60)
        self.found.check(r.returncode == 0 or "is being started, stopped or removed, try again" in r.stderr,
                         "%s: %s" % (cmd, r.stderr))

    # ---- the file ----

    def memory(self, d):
        """What was asked in all these ways has not made it grow without end. A sanitizer keeps what is
        freed for a while, so the limit is a generous one: 300 clients with the largest body are 20 MB."""
        grown = self.peak_mb(d) - self.before_mb
        print("grown by %d MB" % grown, flush=True)
        self.found.check(grown < 150, "requests have made it grow by %d MB" % grown)

    @staticmethod
    def peak_mb(d):
        text = kit.read("/proc/%d/status" % d.process.pid)
        return int(text.split(b"VmHWM:")[1].split()[0]) >> 10

    def second(self, d):
        """Another daemon with the same socket: it does not take it, and replicates without."""
        self.write("z.db", 3)
        e = self.daemon(name="e")
        e.start({"z.db": "rz"})
        self.found.check(e.said("another process listens on " + d.socket), "the second daemon does not say it")
        self.comes("rz", 3, "without a socket it does not replicate")
        self.found.check(d.json("info").get("pid") == d.process.pid, "the socket was taken")
        e.stop()
        self.found.check(d.json("info").get("pid") == d.process.pid, "the socket was removed by the other one")

    def reset(self, d):
        a, state = self.found.path("a.db"), self.found.path(".a.db-weir")
        for where in (d.socket, self.found.path("nobody")):
            r = subprocess.run([self.exe, "reset", "-socket", where, a], capture_output=True, text=True)
            self.found.check(r.returncode == 6 and "is being replicated by" in r.stderr and not r.stdout,
                             "reset beside the daemon: %d %s" % (r.returncode, r.stderr))
        self.write("a.db", 1000000)
        d.stop()
        self.found.check(not os.path.lexists(d.socket), "the socket is left")
        self.found.check(os.path.getsize(os.path.join(state, "ledger")) > 0, "there is no state to be reset")
        r = subprocess.run([self.exe, "reset", a], capture_output=True, text=True)
        self.found.check(r.returncode == 0 and "Reset complete." in r.stdout, "reset: " + r.stdout + r.stderr)
        left = {name: os.path.getsize(os.path.join(state, name)) for name in os.listdir(state)}
        self.found.check({name for name, size in left.items() if size and name != "outbox"} == {"node"}, "left: %s" % left)
        self.write("a.db", 10000000)
        d.start({"a.db": "ra"})
        d.cli("sync", "-wait", a)
        self.holds("ra", 11111121, "after a reset")

    def stale(self, d):
        """A daemon that was killed leaves its socket; the next one takes it. It keeps no open mode."""
        d.kill()
        self.found.check(stat.S_ISSOCK(os.lstat(d.socket).st_mode), "no stale socket to be tried")
        text = d.cli("list", code=1)
        self.found.check("Connection refused (is weir replicate running with socket.enabled: true?" in text, text)
        d.extra = ", permissions: 0660"
        d.start({"a.db": "ra"}, umask=0o077)
        self.alive(d, "on a stale socket's path")
        mode = stat.S_IMODE(os.lstat(d.socket).st_mode)
        self.found.check(mode == 0o660, "permissions 0660 gave %o" % mode)
        d.stop()
        text = d.cli("list", code=1)
        self.found.check("No such file or directory (is weir replicate running" in text, text)

    def other_file(self, d):
        for make, what in ((lambda p: open(p, "w", encoding="utf-8").write("precious"), "a file"), (os.mkdir, "a directory"),
                           (lambda p: os.symlink(self.found.path("elsewhere"), p), "a link")):
            make(d.socket)
            before = os.lstat(d.socket)
            self.write("a.db", 0)
            d.start({"a.db": "ra"})
            self.found.check(d.said("socket path exists but is not a socket: " + d.socket), what + " at the socket's path is not told")
            self.found.check(d.process.poll() is None, what + " ends it")
            d.stop()
            after = os.lstat(d.socket)
            self.found.check((before.st_ino, before.st_mode, before.st_size) == (after.st_ino, after.st_mode, after.st_size),
                             what + " was changed")
            if stat.S_ISDIR(after.st_mode):
                os.rmdir(d.socket)
            else:
                os.unlink(d.socket)

    def run(self):
        d = self.look()
        for part in (self.sync, self.wait, self.start_and_stop, self.endpoints, self.register, self.persist, self.malformed, self.slow,
                     self.crowd, self.many, self.memory, self.second, self.reset, self.stale, self.other_file):
            start = time.monotonic()
            self.found.where = part.__name__ + ": "
            if part == self.malformed:
                self.before_mb = self.peak_mb(d)
            part(d)
            print("%-14s %.1f s" % (part.__name__, time.monotonic() - start), flush=True)

    def end(self):
        for d in self.daemons:
            d.kill()


def main():
    found = kit.Findings("control")
    test = Test(sys.argv[1], found)
    try:
        test.run()
    finally:
        test.end()
    sys.exit(found.end())


main()

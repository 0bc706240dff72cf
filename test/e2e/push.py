#!/usr/bin/python3
"""`serve:` and `weir restore -f http://...`: followers of a primary, which is killed, cut off and
comes back.

usage: push.py WEIR [--followers N] [--commits N] [--cut SECONDS]

Real daemons and real followers, on loopback. Judged:

  a follower whose configuration has the primary as the source of its database, by TLS through a proxy, is with the
      primary, and one that does not trust the certificate is not, and has the bucket
  a wrong token, and none, are refused with 401, and a follower with one says so and has the bucket
  each commit is seen by all followers long before the sync interval of ten seconds has passed
  the primary is killed: all go on from the bucket, and are with it again when it is back
  the network is cut between the primary and one, without a word: it goes on from the bucket, and is
      with the primary again when the network is back
  a follower that is stopped until what it needs is not in memory any more is sent to the bucket
  one that never reads its answers is cut off, and holds up neither the application nor the others
  one more than max-followers allows is refused with 503
  SIGHUP with another token shuts the old one out
  in the end all copies are the primary, as SQLite sees it
  a copy is promoted that has commits the replica never got: the replica is whole afterwards, and the same

The latency from a commit to its being seen is printed, and judged by nobody: it is the machine's.
Prints one line per finding and exits 1 when there was any.
"""
import argparse
import os
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request

import kit
import network

TOKEN, OTHER = "correct-horse-battery", "another-token-of-24-char"
CONFIG = """
addr: localhost:%d
serve: {addr: "127.0.0.1:%d", token: "${PUSH_TOKEN}", max-followers: %d}
snapshot: {interval: 1h}
dbs:
  - path: %s
    replica: {url: "file://%s", sync-interval: %s}
"""


class Primary:
    def __init__(self, args, found):
        self.exe, self.found, self.max = args.weir, found, getattr(args, "followers", 20) + 4
        self.port, self.metrics = kit.free_port(), kit.free_port()
        self.db, self.replica = found.path("app.db"), found.path("replica")
        self.config, self.log = found.path("weir.yml"), found.path("primary.log")
        self.env = dict(os.environ, PUSH_TOKEN=TOKEN)
        self.process = None
        self.configure("10s", TOKEN)
        with sqlite3.connect(self.db) as db:
            db.executescript("PRAGMA journal_mode=wal; CREATE TABLE t(id INTEGER PRIMARY KEY, b)")
        db.close()

    def configure(self, interval, token):
        with open(self.config, "w") as f:
            f.write((CONFIG % (self.metrics, self.port, self.max, self.db, self.replica, interval))
                    .replace("${PUSH_TOKEN}", "${PUSH_TOKEN}" if token == TOKEN else token))

    def start(self):
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen([self.exe, "replicate", "-config", self.config],
                                            stdout=out, stderr=out, env=self.env)
        if not kit.wait_until(lambda: kit.get(self.metrics, "/readyz")[0] == 200, 30):
            self.found.add("the primary does not get ready: " + kit.get(self.metrics, "/readyz")[1])

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.found.check(self.process.wait(60) == 0, "the primary ends with an error")

    def ask(self, query, token):
        request = urllib.request.Request("http://127.0.0.1:%d/feed/%s" % (self.port, query))
        if token:
            request.add_header("Authorization", "Bearer " + token)
        try:
            with urllib.request.urlopen(request, timeout=20) as r:
                return r.status, r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.read()
        except OSError as e:  # it begins to listen anew
            return 0, str(e).encode()

    def metric(self, name):
        for line in kit.get(self.metrics, "/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        return None


class Relay(threading.Thread):
    """A wire to the primary that can be cut: then nothing comes through, and nobody is told."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.to, self.cut, self.ended = port, False, False
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = self.door.getsockname()[1]
        self.other = {}
        self.start()

    def forget(self, s):
        for x in (s, self.other.pop(s, s)):
            self.other.pop(x, None)
            x.close()

    def run(self):
        while not self.ended:
            if self.cut:
                time.sleep(0.02)
                continue
            for s in select.select([self.door, *self.other], [], [], 0.02)[0]:
                try:
                    if s is self.door:
                        a, b = s.accept()[0], socket.create_connection(("127.0.0.1", self.to))
                        self.other[a], self.other[b] = b, a
                    elif s in self.other:
                        data = s.recv(1 << 16)
                        if data:
                            self.other[s].sendall(data)
                        else:
                            self.forget(s)
                except OSError:
                    if s is not self.door:
                        self.forget(s)


class Proxy:
    """TLS in front of the primary."""

    def __init__(self, port, tls):
        self.to, self.tls = port, tls
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = self.door.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            threading.Thread(target=self.serve, args=(self.door.accept()[0],), daemon=True).start()

    def serve(self, plain):
        try:
            with self.tls.wrap_socket(plain, server_side=True) as a, \
                    socket.create_connection(("127.0.0.1", self.to)) as b:
                threading.Thread(target=self.pump, args=(b, a), daemon=True).start()
                self.pump(a, b)
        except OSError:
            pass

    def pump(self, a, b):
        try:
            while data := a.recv(1 << 16):
                b.sendall(data)
        except OSError:
            pass


class Follower:
    def __init__(self, primary, i, token=TOKEN, flags=(), port=None):
        self.port = port or primary.port
        self.primary, self.copy = primary, primary.found.path("copy%d" % i, "app.db")
        self.log = primary.found.path("follower%d.log" % i)
        self.env = dict(os.environ, WEIR_TOKEN=token)
        self.flags, self.process, self.reader = flags, None, None

    def start(self):
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                [self.primary.exe, "restore", "-f", "-follow-interval", "200ms", "-o", self.copy,
                 *self.flags, "http://127.0.0.1:%d/app.db" % self.port],
                stdout=out, stderr=out, env=self.env)

    def newest(self):
        try:
            if self.reader is None:
                self.reader = sqlite3.connect("file:%s?mode=ro" % self.copy, uri=True, timeout=5,
                                              isolation_level=None)
            return self.reader.execute("SELECT max(id) FROM t").fetchone()[0] or 0
        except sqlite3.OperationalError:
            return -1

    def logged(self, text):
        with open(self.log, errors="replace") as f:
            return sum(text in line for line in f)

    def stop(self):
        if self.reader:
            self.reader.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


class Run:
    def __init__(self, args, found, primary=Primary):
        self.args, self.found, self.p = args, found, primary(args, found)
        self.app = sqlite3.connect(self.p.db, isolation_level=None, timeout=20)
        self.id = 0

    def commit(self, n=300):
        self.id += 1
        self.app.execute("INSERT INTO t VALUES(?, ?)", (self.id, os.urandom(n)))

    def all_see(self, followers, seconds, what):
        for i, f in enumerate(followers):
            if not kit.wait_until(lambda: f.newest() == self.id, seconds, 0.002):
                self.found.add("%s: follower %d is at %d of %d" % (what, i, f.newest(), self.id))

    def tokens(self):
        for token in (None, "x", TOKEN[:-1], TOKEN + "x", OTHER):
            for query in ("app.db", "nothing", "app.db?after=1&id=1&life=0&part=0&wait=0"):
                status, body = self.p.ask(query, token)
                self.found.check(status == 401 and b"app" not in body,
                                 "with token %s, %s: %s %s" % (token, query, status, body))
        status, body = self.p.ask("app.db", TOKEN)
        self.found.check(status == 200 and b"replica file://" in body, "about: %s %s" % (status, body))
        status, body = self.p.ask("nothing", TOKEN)
        self.found.check(status == 404 and b"app.db" in body, "404: %s %s" % (status, body))
        f = Follower(self.p, 900, OTHER, ("-replica", "file://" + self.p.replica))
        f.start()
        self.found.check(kit.wait_until(lambda: f.logged("refuses the token"), 20),
                         "a follower does not say that its token is refused")
        self.found.check(kit.wait_until(lambda: f.newest() >= 0, 20),
                         "a follower without the token has no copy of the bucket")
        f.stop()

    def listed(self):
        """Two that have it in their configuration: one knows who signed the proxy's certificate."""
        if not shutil.which("openssl"):
            print("skipped: TLS needs openssl")
            return
        ours = network.Authority(self.found, "authority")
        proxy = Proxy(self.p.port, ours.server("proxy", "IP:127.0.0.1", 2))
        for i, trusted in enumerate((True, False)):
            f = Follower(self.p, 903 + i)
            config = self.found.path("follower%d.yml" % i)
            with open(config, "w") as out:
                out.write("dbs: [{path: '%s', source: 'https://127.0.0.1:%d/app.db', replica: {path: '%s'}}]\n" % (
                    f.copy, proxy.port, self.p.replica))
            env = dict(f.env, SSL_CERT_FILE=ours.ca) if trusted else f.env
            with open(f.log, "ab") as out:
                f.process = subprocess.Popen([self.p.exe, "restore", "-f", "-config", config, f.copy], stdout=out,
                                             stderr=out, env=env)
            self.found.check(kit.wait_until(lambda: f.newest() >= 0, 30), "no copy by a configuration")
            if trusted:
                self.found.check(kit.wait_until(lambda: f.logged("with the primary"), 30), "not with the primary by TLS")
                self.commit()
                self.all_see([f], 8, "by TLS")
            else:
                self.found.check(kit.wait_until(lambda: f.logged("without the primary"), 30) and
                                 not f.logged("with the primary"), "a certificate of nobody is good")
            self.found.check(f.stop() == 0, "a follower with a configuration ends with an error")

    def latency(self, followers):
        times = []
        for _ in range(self.args.commits):
            began = time.monotonic()
            self.commit()
            self.all_see(followers[-1:], 8, "a commit")
            times.append((time.monotonic() - began) * 1000)
            time.sleep(0.02)
        self.all_see(followers, 8, "commits")
        times.sort()
        print("%d followers: p50 %.1f ms, p90 %.1f ms, longest %.1f ms from a commit to the last one's "
              "reader" % (len(followers), times[len(times) // 2], times[len(times) * 9 // 10],
                          times[-1]), flush=True)

    def away(self, followers):
        self.p.kill()
        self.commit()
        for f in followers:
            self.found.check(kit.wait_until(lambda: f.logged("without the primary"), 30),
                             "a follower does not say that the primary is away")
        # Another process keeps the bucket going, of which nobody can follow the stream.
        other = kit.Weir(self.p.exe, self.p.db, "file://" + self.p.replica, self.found.path("log"))
        other.start()
        for _ in range(5):
            self.commit()
            time.sleep(0.1)
        self.all_see(followers, 30, "without the primary")
        self.found.check(other.stop() == 0, "the replacement ends with an error")
        was = [f.logged("with the primary") for f in followers]
        self.p.start()
        self.commit()
        self.all_see(followers, 40, "with the primary again")
        for f, n in zip(followers, was):
            self.found.check(kit.wait_until(lambda: f.logged("with the primary") > n, 40),
                             "a follower does not come back to the primary")

    def cut_off(self):
        relay = Relay(self.p.port)
        f = Follower(self.p, 901, port=relay.port)
        f.start()
        self.all_see([f], 60, "through a wire")
        kit.wait_until(lambda: f.logged("with the primary"), 30)
        self.commit()
        self.all_see([f], 8, "through a wire")
        relay.cut = True
        end = time.monotonic() + self.args.cut
        while time.monotonic() < end:
            self.commit()
            time.sleep(0.5)
        self.found.check(f.logged("without the primary"), "nothing is said of a cut wire")
        self.all_see([f], 25, "while the wire is cut")
        was, relay.cut = f.logged("with the primary"), False
        self.found.check(kit.wait_until(lambda: f.logged("with the primary") > was, 60),
                         "a follower does not come back when the wire is whole")
        self.commit()
        self.all_see([f], 8, "when the wire is whole")
        self.found.check(f.stop() == 0, "a follower behind a wire ends with an error")
        relay.ended = True

    def left_behind(self, follower, others):
        """More than is kept in memory goes by while it is stopped."""
        follower.process.send_signal(signal.SIGSTOP)
        for _ in range(40):
            self.commit(450000)
        self.all_see(others, 60, "beside a stopped follower")
        follower.process.send_signal(signal.SIGCONT)
        self.all_see([follower], 60, "after it was stopped")

    def never_reads(self, others):
        """It asks for everything, again and again, and reads nothing."""
        silent = socket.create_connection(("127.0.0.1", self.p.port))
        request = ("GET /feed/app.db?id=77&after=1&life=0&part=0&wait=8000 HTTP/1.1\r\nHost: x\r\n"
                   "Authorization: Bearer %s\r\n\r\n" % TOKEN).encode()
        silent.sendall(request * 50)
        worst = 0
        for _ in range(50):
            began = time.monotonic()
            self.commit(20000)
            worst = max(worst, time.monotonic() - began)
            time.sleep(0.01)
        self.all_see(others, 20, "beside one that never reads")
        self.found.check(worst < 2, "a commit took %.1f s beside one that never reads" % worst)
        silent.close()

    def too_many(self):
        got = []
        for i in range(self.p.max + 4):
            status, _ = self.p.ask("app.db?id=%x&after=1&life=0&part=0&wait=0" % (i + 1000), TOKEN)
            got.append(status)
        self.found.check(got[-1] == 503, "one follower too many: %s" % got)

    def reload(self):
        self.p.configure("1s", OTHER)
        self.p.process.send_signal(signal.SIGHUP)
        self.found.check(kit.wait_until(lambda: self.p.ask("app.db", OTHER)[0] == 200, 30),
                         "the new token is not taken")
        self.found.check(self.p.ask("app.db", TOKEN)[0] == 401, "the old token is still good")

    def promoted(self):
        """The primary dies with commits that a follower has, and the replica never got."""
        f = Follower(self.p, 902)
        f.start()
        self.all_see([f], 60, "before a promotion")
        kit.wait_until(lambda: f.logged("with the primary"), 30)
        safe = self.id
        for _ in range(2):  # the first one may be uploaded at once
            self.commit()
            self.all_see([f], 8, "before a promotion")
        self.p.kill()
        self.found.check(f.stop() == 0, "a follower ends with an error")
        url = "file://" + self.p.replica
        r = subprocess.run([self.p.exe, "promote", "-no-replicate", f.copy, url], capture_output=True,
                           text=True)
        self.found.check(r.returncode == 0, "promote: %d %s" % (r.returncode, r.stderr))
        db = sqlite3.connect(f.copy)
        n = db.execute("SELECT max(id) FROM t").fetchone()[0]
        self.found.check(safe <= n <= self.id, "promoted at %d, %d was safe" % (n, safe))
        db.close()
        out = self.found.path("promoted.db")
        code, said = kit.restore(self.p.exe, url, out)
        if self.found.check(code == 0, "what was promoted cannot be restored: " + said):
            db = sqlite3.connect(out)
            m = db.execute("SELECT max(id) FROM t").fetchone()[0]
            self.found.check(m == n, "the replica has %d and the promoted one %d" % (m, n))
            db.close()
        r = subprocess.run([self.p.exe, "verify", url], capture_output=True, text=True)
        self.found.check(r.returncode == 0, "verify: %d %s" % (r.returncode, r.stdout + r.stderr))
        print("promoted at commit %d of %d" % (n, self.id), flush=True)

    def go(self):
        self.p.start()
        self.commit()
        self.tokens()
        self.listed()
        followers = [Follower(self.p, i) for i in range(self.args.followers)]
        for f in followers:
            f.start()
        self.all_see(followers, 60, "at first")
        for f in followers:
            self.found.check(kit.wait_until(lambda: f.logged("with the primary"), 60),
                             "a follower is not with the primary")
        self.latency(followers)
        self.found.check(self.p.metric("weir_followers") >= len(followers),
                         "weir_followers is %s" % self.p.metric("weir_followers"))
        self.cut_off()
        self.left_behind(followers[0], followers[1:3])
        self.never_reads(followers[1:])
        self.away(followers[:3])
        self.reload()
        self.commit()
        self.all_see(followers, 60, "with a token that is not good any more")
        for i, f in enumerate(followers):
            self.found.check(f.stop() == 0, "follower %d ends with an error" % i)
        self.p.configure("1s", TOKEN)
        self.p.process.send_signal(signal.SIGHUP)
        kit.wait_until(lambda: self.p.ask("app.db", TOKEN)[0] == 200, 30)
        self.too_many()
        self.end()
        self.same(followers)
        self.p.configure("20s", TOKEN)
        self.p.start()
        self.promoted()

    def end(self):
        """The primary ends; who waits for something new does not hold it up."""
        txid = self.p.ask("app.db", TOKEN)[1].split()[1].decode()
        waiting = [threading.Thread(target=self.p.ask, args=(
            "app.db?id=%x&after=%s&life=0&part=0&wait=8000" % (i + 1000, txid), TOKEN)) for i in range(3)]
        for w in waiting:
            w.start()
        time.sleep(0.5)
        self.found.check(all(w.is_alive() for w in waiting), "nobody waits")
        began = time.monotonic()
        self.p.stop()
        took = time.monotonic() - began
        self.found.check(took < 5, "the primary has waited %.1f s for followers" % took)
        for w in waiting:
            w.join()

    def same(self, followers):
        want = self.app.execute("SELECT group_concat(hex(b)) FROM (SELECT b FROM t ORDER BY id)").fetchone()
        for i, f in enumerate(followers):
            db = sqlite3.connect(f.copy)
            self.found.check(db.execute("PRAGMA integrity_check").fetchone()[0] == "ok",
                             "copy %d is damaged" % i)
            got = db.execute("SELECT group_concat(hex(b)) FROM (SELECT b FROM t ORDER BY id)").fetchone()
            self.found.check(got == want, "copy %d is not the primary" % i)
            db.close()
        for name in ("primary.log", "follower0.log"):
            self.found.check(TOKEN.encode() not in kit.read(self.found.path(name)),
                             name + " has the token")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("weir")
    parser.add_argument("--followers", type=int, default=20)
    parser.add_argument("--commits", type=int, default=60)
    parser.add_argument("--cut", type=float, default=15)
    args = parser.parse_args()
    found = kit.Findings("push")
    Run(args, found).go()
    return found.end()


if __name__ == "__main__":
    raise SystemExit(main())

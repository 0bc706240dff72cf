#!/usr/bin/python3
"""`serve:` with cert-file and key-file: followers of a primary over TLS, with an authority of our own.

usage: push_tls.py WEIR

Real daemons and real followers, on loopback; certificates by openssl. Judged:

  a commit is seen, long before the sync interval, by who trusts the authority, with -ca-file or SSL_CERT_FILE
  who does not trust it refuses, and says so: with the replica's URL it goes on from there
  plain HTTP to this port ends at once, and a follower says what may be wrong
  those who stall in the handshake hold up nobody, and are cut off within half a minute
  SIGHUP takes a certificate that was renewed under its name; one for another host is refused by followers
  SIGHUP with half of a renewal, the key of another one: an error, and all as before
  a start with such files: an error, and replication goes on; `weir check` says it before
  no log has anything of the key

Prints one line per finding and exits 1 when there was any.
"""
import argparse
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import kit
import push

HERE = "IP:127.0.0.1,DNS:localhost"
STALLED = 30
CUT_S = 35  # a request has 20 s, and this machine may be slow
CONFIG = """
addr: localhost:%d
serve:
  addr: "127.0.0.1:%d"
  token: "${PUSH_TOKEN}"
  cert-file: %s
  key-file: $PUSH_DIR/server.key
dbs:
  - path: %s
    replica: {url: "file://%s", sync-interval: 1m}
"""


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


class Authority:
    def __init__(self, found):
        self.found = found
        self.ca, self.key = found.path("ca.pem"), found.path("ca.key")
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out", self.ca, "-days", "30",
                "-subj", "/CN=weir test authority")

    def make(self, host, days=30):
        """The contents of a certificate and of its key."""
        key, request, extra, out = (self.found.path("new" + end) for end in (".key", ".csr", ".ext", ".pem"))
        with open(extra, "w", encoding="utf-8") as f:
            f.write("subjectAltName=" + host)
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request,
                "-subj", "/CN=weir test")
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial",
                "-extfile", extra, "-days", str(days), "-out", out)
        return kit.read(out), kit.read(key)


class Primary(push.Primary):
    def __init__(self, args, found):
        self.cert, self.key = found.path("server.pem"), found.path("server.key")
        super().__init__(args, found)
        self.env["PUSH_DIR"] = found.work

    def configure(self, interval, token):
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(CONFIG % (self.metrics, self.port, self.cert, self.db, self.replica))

    def give(self, cert=None, key=None):
        for path, data in ((self.cert, cert), (self.key, key)):
            if data:
                with open(path + ".new", "wb") as f:
                    f.write(data)
                os.chmod(path + ".new", 0o600)
                os.rename(path + ".new", path)

    def hangup(self):
        self.process.send_signal(signal.SIGHUP)

    def shows(self):
        """The certificate that those who connect are shown."""
        try:
            return ssl.get_server_certificate(("127.0.0.1", self.port)).split()
        except OSError:  # it begins to listen anew
            return None

    def logged(self, text):
        with open(self.log, errors="replace", encoding="utf-8") as f:
            return sum(text in line for line in f)


class Follower(push.Follower):
    def __init__(self, primary, i, ca=None, flags=(), scheme="https", env=None):
        super().__init__(primary, i, flags=(*(("-ca-file", ca) if ca else ()), *flags))
        self.env.update(env or {})
        self.url = "%s://127.0.0.1:%d/app.db" % (scheme, primary.port)

    def start(self):
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                [self.primary.exe, "restore", "-f", "-follow-interval", "200ms", "-o", self.copy, *self.flags, self.url],
                stdout=out, stderr=out, env=self.env)

    def refuses(self, *words):
        """It ends, and why is in its log."""
        self.start()
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        for word in words:
            self.primary.found.check(code == 1 and self.logged(word),
                                     "%s: exit %d without \"%s\": %s" % (self.url, code, word, kit.read(self.log)))


class Run(push.Run):
    def __init__(self, args, found):
        self.authority = Authority(found)
        super().__init__(args, found, Primary)

    def over_tls(self, context, token=push.TOKEN):
        request = urllib.request.Request("https://127.0.0.1:%d/feed/app.db" % self.p.port)
        request.add_header("Authorization", "Bearer " + token)
        try:
            with urllib.request.urlopen(request, timeout=20, context=context) as r:
                return r.status, r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.read()
        except OSError as e:
            return 0, str(e).encode()

    def asked(self):
        trusting = ssl.create_default_context(cafile=self.authority.ca)
        status, body = self.over_tls(trusting)
        self.found.check(status == 200 and b"replica file://" in body, "about: %s %s" % (status, body))
        self.found.check(self.over_tls(trusting, push.OTHER)[0] == 401, "another token is good")
        status, body = self.p.ask("app.db", push.TOKEN)
        self.found.check(status == 0 and b"replica" not in body, "plain HTTP: %s %s" % (status, body))

    def strangers(self):
        Follower(self.p, 900).refuses("certificate is not trusted", "ca-file")
        Follower(self.p, 901, self.authority.key).refuses("holds no certificates")
        Follower(self.p, 902, self.found.path("none.pem")).refuses("cannot read the CA certificates in")
        Follower(self.p, 903, scheme="http").refuses("as with a port that speaks https")
        Follower(self.p, 904, self.authority.ca, scheme="http").refuses("-ca-file is for a primary with TLS")
        f = Follower(self.p, 905, flags=("-replica", "file://" + self.p.replica))
        f.start()
        self.found.check(kit.wait_until(lambda: f.newest() >= 0 and f.logged("certificate is not trusted"), 30),
                         "without the authority a follower has no copy of the bucket, or does not say why")
        self.found.check(f.stop() == 0, "a follower without the authority ends with an error")

    def listed(self):
        """The primary's URL is in the configuration of who follows."""
        f = Follower(self.p, 907, self.authority.ca)
        config = self.found.path("follower.yml")
        with open(config, "w", encoding="utf-8") as out:
            out.write("dbs: [{path: '%s', source: '%s', replica: {path: '%s'}}]\n" % (f.copy, f.url, self.p.replica))
        with open(f.log, "ab") as out:
            f.process = subprocess.Popen([self.p.exe, "restore", "-f", "-config", config, *f.flags, f.copy], stdout=out,
                                         stderr=out, env=dict(f.env, SSL_CERT_FILE=""))
        self.found.check(kit.wait_until(lambda: f.logged("with the primary"), 30), "source: it is not with the primary")
        self.commit()
        self.all_see([f], 8, "by source")
        self.found.check(f.stop() == 0, "a follower with source ends with an error")

    def stall(self):
        began, sockets = time.monotonic(), []
        for i in range(STALLED):
            s = socket.create_connection(("127.0.0.1", self.p.port))
            s.setblocking(False)
            if i % 2:
                s.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            sockets.append(s)
        return began, sockets

    def cut(self, began, sockets):
        """All have been, by now or soon."""
        def left():
            return [s for s in sockets if not ended(s)]
        self.found.check(kit.wait_until(lambda: not left(), max(1, began + CUT_S - time.monotonic())),
                         "%d of those who stall in the handshake are not cut off" % len(left()))

    def renewed(self, followers):
        self.p.give(*self.authority.make(HERE))
        self.p.hangup()
        want = kit.read(self.p.cert).decode().split()
        self.found.check(kit.wait_until(lambda: self.p.shows() == want, 30), "a renewed certificate is not taken")
        self.again(followers, "after a renewal")

    def again(self, followers, what):
        """All are with the primary, after it has begun to listen anew."""
        self.commit()
        self.all_see(followers, 60, what)
        self.commit()
        self.all_see(followers, 20, what)

    def half_renewed(self, followers):
        was, key = self.p.shows(), kit.read(self.p.key)
        self.p.give(key=self.authority.make(HERE)[1])
        self.p.hangup()
        self.found.check(kit.wait_until(lambda: self.p.logged("is not that of the first certificate"), 30),
                         "nothing is said of another one's key")
        self.found.check(self.p.shows() == was, "with another one's key it is not as before")
        self.again(followers, "with half of a renewal")
        r = subprocess.run([self.p.exe, "check", "-no-probe", "-config", self.p.config], capture_output=True, text=True,
                           env=self.p.env)
        self.found.check(r.returncode == 1 and "is not that of the first certificate" in r.stdout,
                         "check: %d %s" % (r.returncode, r.stdout + r.stderr))
        self.p.stop()
        self.p.start()
        self.found.check(self.p.logged("followers are not served, replication goes on without"),
                         "a start with another one's key says nothing")
        self.p.give(key=key)
        os.chmod(self.p.key, 0o644)
        self.p.hangup()
        self.found.check(kit.wait_until(lambda: self.p.shows() == was, 30), "what is repaired is not taken")
        self.found.check(self.p.logged("all users of this machine can read the private key"),
                         "nothing is said of a key that all can read")
        self.again(followers, "with the right key")

    def another_host(self):
        self.p.give(*self.authority.make("DNS:other.example"))
        self.p.hangup()
        want = kit.read(self.p.cert).decode().split()
        kit.wait_until(lambda: self.p.shows() == want, 30)
        Follower(self.p, 906, self.authority.ca).refuses("TLS: the server's certificate is not trusted")

    def go(self):
        self.p.give(*self.authority.make(HERE))
        self.p.start()
        self.commit()
        self.asked()
        followers = [Follower(self.p, 0, self.authority.ca),
                     Follower(self.p, 1, env={"SSL_CERT_FILE": self.authority.ca})]
        for f in followers:
            f.start()
        self.all_see(followers, 60, "at first")
        for f in followers:
            self.found.check(kit.wait_until(lambda: f.logged("with the primary"), 60), "it is not with the primary")
        stalled = self.stall()
        self.latency(followers)
        self.strangers()
        self.listed()
        self.cut(*stalled)
        self.renewed(followers)
        self.half_renewed(followers)
        self.another_host()
        for i, f in enumerate(followers):
            self.found.check(f.stop() == 0, "follower %d ends with an error" % i)
        self.p.stop()
        self.same(followers)
        for line in kit.read(self.p.key).split(b"\n")[1:-2]:
            for name in ("primary.log", "follower0.log"):
                self.found.check(line not in kit.read(self.found.path(name)), name + " has the key")


def ended(s):
    try:
        return not s.recv(4096)
    except BlockingIOError:
        return False
    except OSError:
        return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("weir")
    args = parser.parse_args()
    args.commits = 20
    if not shutil.which("openssl"):
        kit.skip("push_tls", "needs openssl")
    found = kit.Findings("push_tls")
    Run(args, found).go()
    return found.end()


if __name__ == "__main__":
    raise SystemExit(main())

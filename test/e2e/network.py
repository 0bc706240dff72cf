#!/usr/bin/python3
"""Bad networks, bad credentials and bad certificates between weir and its bucket.

usage: network.py WEIR [--seconds N] [--seed N] [CASE...]

faults       The line is cut, silent (half-open), slow (one byte a second), resets connections, loses
             answers, while an application writes. Judged as by kill9.py: weir says so, makes few
             connections, the application sees no error, and when the line is good again weir catches up
             by itself; nothing is overwritten, every TXID restores.
hung         Connections that are never answered and never closed: it gives up on them by itself.
             Takes more than a minute; only when asked for.
credentials  They expire while weir runs: said, without the secret; new ones in the credentials file
             are taken without a restart.
role         There are no keys, but a service that hands some out: asked once, and again when the store
             refuses them.
profile      A profile of the files leads to the keys: to a program, which fails at first, and to a role for
             who has the keys of another profile, by a signature that STS can verify.
tls          Expired, for another host, self-signed, of an unknown authority: refused, with the reason and
             what to do, and no request is sent. With the authority in ca-file it works.
redirect     To another server: refused, and the other one hears nothing.

Prints one line per finding and exits 1 when there was any.
"""
import argparse
import hashlib
import hmac
import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

import fakes3
import kill9
import kit

CONNECTIONS = 40  # a second, at the most, while nothing works
CATCH_UP = 30     # seconds

SECRET = "canary-secret"


def case_with(args, found, name, fake, endpoint=None):
    """A case whose weir replicates to the fake, where the judges read files."""
    case = kill9.Case(args, found, name)
    case.weir.url = fake.url(os.path.basename(case.replica), endpoint)
    case.weir.env = dict(os.environ, AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY=SECRET)
    return case


def caught_up(case):
    """How long that took."""
    start = time.monotonic()
    case.matches(CATCH_UP)
    return time.monotonic() - start


def faults(args, found):
    fake = fakes3.FakeS3(found.work)
    line = fakes3.BadLine(fake.endpoint)
    case = case_with(args, found, "faults", fake, line.endpoint)
    weir = case.weir
    weir.start()
    caught_up(case)
    for mode in ("cut", "silent", "slow", "resets", "lost"):
        found.where = "faults, %s: " % mode
        case.note_objects()
        logged, made = len(weir.lines()), line.made
        line.become(mode)
        end = time.monotonic() + args.seconds
        while time.monotonic() < end:
            case.change(2)
            time.sleep(0.1)
        made = line.made - made
        # what is sent a second later is tried a few times before that is said
        told = kit.wait_until(lambda: any("retrying" in text or "repeated" in text for text in weir.lines()[logged:]),
                              0 if mode in ("silent", "slow", "resets") else 10)
        new = weir.lines()[logged:]
        found.check(weir.process.poll() is None, "weir ended: %s" % new[-1:])
        found.check(mode in ("silent", "slow", "resets") or told, "it does not say that it tries again: %s" % new[-3:])
        found.check(made < CONNECTIONS * args.seconds, "%d connections in %s s" % (made, args.seconds))
        line.become("good")
        took = caught_up(case)
        print("faults: %-6s connections=%d caught_up_s=%.1f" % (mode, made, took), flush=True)
    case.stop()
    case.note_objects()
    case.judge_txids()
    found.check(SECRET not in "".join(weir.lines()), "the secret is in the log")
    fake.stop()


def hung(args, found):
    fake = fakes3.FakeS3(found.work)
    line = fakes3.BadLine(fake.endpoint)
    case = case_with(args, found, "hung", fake, line.endpoint)
    case.weir.start()
    caught_up(case)
    line.become("silent")
    case.change(3)
    start = time.monotonic()
    kit.wait_until(lambda: case.weir.logged("retrying"), 200, 0.1)
    said = time.monotonic() - start
    line.become("good")
    took = caught_up(case)
    case.stop()
    print("hung: said_s=%.1f caught_up_s=%.1f" % (said, took), flush=True)
    fake.stop()


def credentials(args, found):
    fake = fakes3.FakeS3(found.work)
    case = case_with(args, found, "credentials", fake)
    name = found.path("credentials.ini")

    def write(key):
        with open(name + "~", "w", encoding="utf-8") as f:
            f.write("[default]\naws_access_key_id = %s\naws_secret_access_key = %s-%s\n" % (key, SECRET, key))
        os.rename(name + "~", name)

    weir = case.weir
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del weir.env[variable]
    weir.env["AWS_SHARED_CREDENTIALS_FILE"] = name
    write("first")
    fake.keys = {"first"}
    weir.start()
    caught_up(case)
    for key in ("second", "third"):
        found.where = "credentials, %s: " % key
        case.note_objects()
        fake.keys = {key}
        case.change(3)
        found.check(kit.wait_until(lambda: weir.logged("ExpiredToken"), 20),
                    "does not say that they expired: %s" % weir.lines()[-2:])
        requests = len(fake.requests)
        time.sleep(args.seconds)
        requests = len(fake.requests) - requests
        found.check(requests < CONNECTIONS * args.seconds, "%d requests while they are expired" % requests)
        case.change(2)
        write(key)
        took = caught_up(case)
        print("credentials: requests=%d caught_up_s=%.1f" % (requests, took), flush=True)
    case.stop()
    case.judge_txids()
    found.check(SECRET not in "".join(weir.lines()), "a secret is in the log")
    fake.stop()


class Answering(http.server.BaseHTTPRequestHandler):
    """One of a service at a port of loopback."""

    def answer(self, good, body):
        self.send_response(200 if good else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def serve(handler):
    """The server, and where it is."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, "http://127.0.0.1:%d" % server.server_port


class Agent:
    """What knows the role of a container, at a port of loopback."""

    def __init__(self):
        self.key, self.seconds, self.asked, agent = "", 3600, 0, self

        class Handler(Answering):
            def do_GET(self):
                agent.asked += 1
                known = self.path == "/role" and self.headers["Authorization"] == SECRET + "-agent"
                ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + agent.seconds))
                body = json.dumps({"AccessKeyId": agent.key, "SecretAccessKey": SECRET + "-" + agent.key,
                                   "Token": SECRET + "-session", "Expiration": ends}).encode()
                self.answer(known, body)

        self.server, url = serve(Handler)
        self.url = url + "/role"


def role(args, found):
    fake, agent = fakes3.FakeS3(found.work), Agent()
    case = case_with(args, found, "role", fake)
    weir = case.weir
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del weir.env[variable]
    weir.env.update(HOME="/nonexistent", AWS_CONTAINER_CREDENTIALS_FULL_URI=agent.url,
                    AWS_CONTAINER_AUTHORIZATION_TOKEN=SECRET + "-agent")
    agent.key = "first"
    fake.keys = {"first"}
    weir.start()
    caught_up(case)
    found.check(agent.asked == 1, "the agent was asked %d times" % agent.asked)
    case.note_objects()
    agent.key, fake.keys = "second", {"second"}
    case.change(3)
    caught_up(case)
    found.check(agent.asked == 2, "the agent was asked %d times once the keys were refused" % agent.asked)
    # From here on a set is good for two minutes, and renewed after half of them: it is not asked more often.
    agent.key, fake.keys, agent.seconds = "third", {"third"}, 120
    for _ in range(5):
        case.change(1)
        caught_up(case)
    found.check(agent.asked == 3, "the agent was asked %d times for keys of two minutes" % agent.asked)
    print("role: asked=%d" % agent.asked, flush=True)
    case.stop()
    case.judge_txids()
    found.check(SECRET not in "".join(weir.lines()), "a secret is in the log")
    agent.server.shutdown()
    fake.stop()


def signature(request, form, secret):
    """That of a request as AWS computes it, from what was sent, and what it is in the end."""
    given = request.headers["Authorization"].split(" ", 1)
    fields = dict(f.strip().split("=", 1) for f in given[1].split(","))
    scope = fields["Credential"].split("/", 1)[1]
    names = fields["SignedHeaders"].split(";")
    canonical = "\n".join(["POST", "/", "", *("%s:%s" % (n, request.headers[n].strip()) for n in names), "",
                           ";".join(names), hashlib.sha256(form).hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), fields["Signature"]


class Sts:
    """What hands out a role to who signs by the keys of `base`, at a port of loopback."""

    def __init__(self):
        self.key, self.asked, sts = "", [], self

        class Handler(Answering):
            def do_POST(self):
                form = self.rfile.read(int(self.headers["Content-Length"]))
                wanted, is_ = signature(self, form, SECRET + "-base")
                good = wanted == is_ and self.headers["x-amz-security-token"] == SECRET + "-token"
                sts.asked.append(dict(urllib.parse.parse_qsl(form.decode())) if good else None)
                body = ("<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>%s</AccessKeyId>"
                        "<SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s"
                        "</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>" % (
                            sts.key, SECRET + "-role", SECRET + "-session",
                            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600)))).encode()
                self.answer(good, body)

        self.server, self.url = serve(Handler)


HELPER = """echo x >> '%s'
echo 'not yet: %s' >&2
%s
cat <<END
{"Version": 1, "AccessKeyId": "%s", "SecretAccessKey": "%s", "SessionToken": "%s"}
END
"""


def profile(args, found):
    fake, sts = fakes3.FakeS3(found.work), Sts()
    case = case_with(args, found, "profile", fake)
    weir, runs, helper, config = case.weir, found.path("runs"), found.path("helper.sh"), found.path("config")

    def put(name, text):
        with open(name + "~", "w", encoding="utf-8") as f:
            f.write(text)
        os.rename(name + "~", name)

    def put_helper(key, how="", secret=SECRET):
        put(helper, HELPER % (runs, key, how, key, secret, SECRET + "-token"))

    def asked():
        return len(kit.read(runs)) // 2

    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del weir.env[variable]
    weir.env.update(HOME="/nonexistent", AWS_CONFIG_FILE=config, AWS_PROFILE="app", AWS_ENDPOINT_URL_STS=sts.url)
    program = "[profile %s]\ncredential_process = sh " + helper + " ; on this machine\n"
    put(config, program % "app")
    put_helper("first", "exit 7")
    fake.keys = {"first"}
    weir.start()
    # It reaps all children, and knows how this one ended all the same.
    found.check(kit.wait_until(lambda: weir.logged("exit code 7; it says: not yet: first"), 20),
                "does not say how it failed: %s" % weir.lines()[-2:])
    put_helper("first")
    caught_up(case)
    case.note_objects()
    before = asked()
    case.change(3)
    caught_up(case)
    found.check(asked() == before, "the program was run %d times for keys that are good" % (asked() - before))
    put_helper("second")
    fake.keys = {"second"}
    case.change(3)
    caught_up(case)
    print("profile: program=%d" % asked(), flush=True)

    # From now on the program has the keys of somebody who may take a role.
    put(config, program % "base" + "[profile app]\nrole_arn = arn:aws:iam::1:role/backup\nsource_profile = base\n"
               "region = eu-west-1\nexternal_id = a b\n")
    put_helper("base", secret=SECRET + "-base")
    sts.key, fake.keys = "third", {"third"}
    case.note_objects()
    case.change(3)
    caught_up(case)
    found.check(sts.asked == [{"Action": "AssumeRole", "Version": "2011-06-15", "ExternalId": "a b",
                               "RoleArn": "arn:aws:iam::1:role/backup", "RoleSessionName": "weir"}],
                "STS was asked for %s" % sts.asked)
    case.stop()
    case.judge_txids()
    found.check(SECRET not in "".join(weir.lines()), "a secret is in the log")
    sts.server.shutdown()
    fake.stop()
    print("profile: role=%d" % len(sts.asked), flush=True)


class Authority:
    """One that signs certificates for as long, and for whom, one wants."""

    def __init__(self, found, name):
        self.found, self.name = found, name
        self.ca, self.key = found.path(name + ".pem"), found.path(name + ".key")
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out", self.ca,
                "-days", "30", "-subj", "/CN=weir test " + name)

    def server(self, name, host, days):
        """An ssl.SSLContext with a certificate of ours."""
        key, request, extra, out = (self.found.path(name + end) for end in (".key", ".csr", ".ext", ".pem"))
        with open(extra, "w", encoding="utf-8") as f:
            f.write("subjectAltName=" + host)
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", "/CN=" + name)
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial",
                "-extfile", extra, "-days", str(days), "-out", out)
        return context(out, key)


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


def context(certificate, key):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(certificate, key)
    return c


def tls(args, found):
    if not shutil.which("openssl"):
        print("skipped tls: needs openssl")
        return
    ours, strangers = Authority(found, "ours"), Authority(found, "strangers")
    here = "IP:127.0.0.1"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", found.path("self.key"), "-out",
            found.path("self.pem"), "-days", "30", "-subj", "/CN=self", "-addext", "subjectAltName=" + here)
    servers = (
        ("good", ours.server("good", here, 30), None),
        ("expired", ours.server("expired", here, -1), ("expired",)),
        ("wrong host", ours.server("wrong", "DNS:other.example", 30), ("127.0.0.1", "certificate")),
        ("self-signed", context(found.path("self.pem"), found.path("self.key")), ("self-signed", "ca-file")),
        ("unknown authority", strangers.server("strange", here, 30), ("unable to get local issuer", "ca-file")),
    )
    path = found.path("tls.db")
    kill9.storm.setup(path)
    for name, server, refused in servers:
        found.where = "tls, %s: " % name
        fake = fakes3.FakeS3(found.work, server)
        env = dict(os.environ, AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY=SECRET)
        url = fake.url("tls-replica", None, "&ca-file=" + ours.ca)
        if not refused:
            r = subprocess.run([args.weir, "replicate", "-once", path, url], env=env, capture_output=True, text=True,
                               timeout=100)
            found.check(r.returncode == 0, "replicate: %s %s" % (r.returncode, r.stderr))
            code, said = kit.restore(args.weir, url, found.path("tls.restored"), env=env)
            found.check(code == 0, "restore: %s" % said)
        else:
            code, said = kit.restore(args.weir, url, found.path("tls.restored"), env=env)
            found.check(code not in (0, None), "restore goes on")
            weir = kit.Weir(args.weir, path, url, found.path("tls-%s.log" % name.replace(" ", "-")), env=env)
            weir.start()
            kit.wait_until(lambda: weir.logged("retrying"), 20)
            for text in refused:
                found.check(text in said, "restore does not say %r: %s" % (text, said))
                found.check(weir.logged(text), "replicate does not say %r: %s" % (text, weir.lines()[-2:]))
            found.check(weir.process.poll() is None, "weir ended: %s" % weir.lines()[-1:])
            weir.kill()
            found.check(not fake.requests, "it was sent %s" % fake.requests)
            code, said = kit.restore(args.weir, url + "&skip-verify=true", found.path("tls.restored"), env=env)
            found.check(code == 0 and fake.requests, "skip-verify does not help: %s" % said)
        fake.stop()
    print("tls: servers=%d" % len(servers), flush=True)


def redirect(args, found):
    found.where = "redirect: "
    fake, other = fakes3.FakeS3(found.work), fakes3.FakeS3(found.work)
    fake.lie = lambda method, path, query, said: (307, [("Location", other.endpoint + path)], b"")
    env = dict(os.environ, AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY=SECRET)
    code, said = kit.restore(args.weir, fake.url("x"), found.path("redirect.restored"), env=env)
    found.check(code not in (0, None) and "307" in said, "restore: %s %s" % (code, said))
    found.check(not other.requests, "the other server was asked: %s" % other.requests)
    fake.stop()
    other.stop()
    print("redirect: %s" % said, flush=True)


CASES = {f.__name__: f for f in (faults, credentials, role, profile, tls, redirect)}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weir", type=os.path.abspath)
    p.add_argument("cases", nargs="*", choices=[*CASES, "hung", []])
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE", "https_proxy"):
        os.environ.pop(name, None)
    found = kit.Findings("network")
    for name in args.cases or CASES:
        found.where = name + ": "
        {**CASES, "hung": hung}[name](args, found)
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

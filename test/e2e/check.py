#!/usr/bin/env python3
"""`weir check` against real files, processes and stores: usage check.py WEIR, under radosgw.sh.

What is claimed: it says who has a database open and with which SQLite, and leaves the writer alone;
a store that does what is needed passes, and nothing is left in it; one that refuses deletes, ignores
the condition of a write, does not know the keys or is not there fails, with the step, the right that
is missing, and no secret in the output; the policy it prints is enough for what the probe does.
"""
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import fakes3
import kit
import store

SECRET = "a-very-secret-key"
WRITER = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
n = 0
while True:
    db.execute("INSERT INTO t VALUES (?)", (n,))
    n += 1
    if n == 1:
        print("ready", flush=True)
    time.sleep(0.01)
"""


class Check:
    def __init__(self, exe, findings):
        self.exe, self.findings, self.out = exe, findings, None
        self.env = dict(os.environ, AWS_ACCESS_KEY_ID="AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY=SECRET,
                        NO_PROXY="*", HOME=findings.work)
        for name in ("AWS_CA_BUNDLE", "AWS_REGION", "WEIR_CONFIG", "LITESTREAM_CONFIG"):
            self.env.pop(name, None)

    def run(self, *args, env=None):
        """The exit code and what was printed."""
        done = subprocess.run([self.exe, "check", *args], capture_output=True, text=True, timeout=100,
                              env=env or self.env)
        self.out = done.stdout + done.stderr
        self.findings.check(SECRET not in self.out, "a secret was printed: " + self.out)
        return done.returncode, done.stdout

    def json(self, *args, env=None):
        code, out = self.run("-json", *args, env=env)
        try:
            return code, json.loads(out)
        except ValueError:
            self.findings.add("no JSON: " + self.out)
            return code, {"databases": [{"findings": [], "replicas": [{}], "open_in": []}], "findings": []}


def texts(report, level):
    found = report["findings"] + report["databases"][0]["findings"]
    return [f["text"] for f in found if f["level"] == level]


def steps(report):
    return {s["step"]: s for s in report["databases"][0]["replicas"][0].get("probe", [])}


def make_db(path):
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=wal")
    db.execute("CREATE TABLE t (n)")
    db.commit()
    db.close()


def has_reset_bug():
    """As users read it."""
    x, y, z = map(int, sqlite3.sqlite_version.split("."))
    return (x, y, z) < (3, 51, 3) and not (y == 44 and z >= 6) and not (y == 50 and z >= 7)


def processes(f, check):
    """A writer is found, with its SQLite, and neither stopped nor disturbed."""
    path = f.path("app.db")
    make_db(path)
    weir = kit.Weir(check.exe, path, "file://" + f.path("other"), f.path("log"))
    writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)
    try:
        writer.stdout.readline()
        locks = os.stat(path + "-shm").st_ino
        code, report = check.json(path, "file://" + f.path("replica"))
        mine = [p for p in report["databases"][0]["open_in"] if p["pid"] == writer.pid]
        f.check(mine and mine[0]["sqlite"] == sqlite3.sqlite_version,
                "the writer has SQLite %s, and check says %s" % (sqlite3.sqlite_version, mine))
        if has_reset_bug():
            f.check(code == 2 and any("checkpoint by another process" in t for t in texts(report, "warning")),
                    "no warning of the bug: %d %s" % (code, check.out))
        f.check(all(s["ok"] for s in steps(report).values()) and len(steps(report)) == 6,
                "a directory does not pass: %s" % check.out)
        weir.start()
        f.check(kit.wait_until(lambda: kit.txids(f.path("other"))), "weir does not replicate")
        code, report = check.json(path, "file://" + f.path("replica"))
        found = {p["pid"]: p["is_weir"] for p in report["databases"][0]["open_in"]}
        f.check(found == {writer.pid: False, weir.process.pid: True}, "beside weir: %s" % found)
        f.check(not any("(pid %d)" % weir.process.pid in t for t in texts(report, "warning")),
                "weir is warned of itself: " + check.out)
        f.check(weir.stop() == 0, "weir did not end well")
        f.check(not os.path.exists(f.path("replica")), "the probe left its directory")
        f.check(writer.poll() is None and os.stat(path + "-shm").st_ino == locks, "the writer was disturbed")
    finally:
        if weir.process:
            weir.kill()
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    db = sqlite3.connect(path)
    f.check(db.execute("PRAGMA integrity_check").fetchone()[0] == "ok", "it is damaged")
    db.close()
    code, report = check.json(path, "file://" + f.path("replica"))
    f.check(code == 0 and not report["databases"][0]["open_in"], "nobody has it open now: " + check.out)


class NoRemove:
    """While it lasts, deletes of the fake store do nothing."""

    def __enter__(self):
        self.real, fakes3.os.remove = fakes3.os.remove, lambda name: None

    def __exit__(self, *args):
        fakes3.os.remove = self.real


def left_in(top):
    return sum(len(files) for _, _, files in os.walk(top))


def bad_stores(f, check):
    path = f.path("app.db")
    s3 = fakes3.FakeS3(f.path("s3"))
    f.where = "s3: "
    code, report = check.json(path, s3.url("app"))
    f.check(code == 0 and len(steps(report)) == 6 and left_in(s3.top) == 0 and not s3.uploads,
            "a good store: %d, %d objects are left: %s" % (code, left_in(s3.top), check.out))
    f.check("clock_skew_ms" in report["databases"][0]["replicas"][0], "no word of the clock: " + check.out)

    f.where = "delete refused: "
    s3.lie = lambda method, path, query, said: \
        (403, [], (fakes3.ERROR % ("AccessDenied", "no")).encode()) if "delete" in query else None
    with NoRemove():
        code, report = check.json(path, s3.url("app"))
    f.check(code == 1 and steps(report)["delete"].get("needs") == "s3:DeleteObject", check.out)
    f.check(steps(report)["parts"]["ok"] and left_in(s3.top) == 3, "%d are left" % left_in(s3.top))
    for name in os.listdir(f.path("s3", "app")):
        f.check(name.startswith("weir-probe-"), "a strange name: " + name)
    # What is left is nobody's: neither a backup, nor in the way of one.
    done = subprocess.run([check.exe, "ltx", "-level", "all", s3.url("app")], capture_output=True, text=True,
                          env=check.env, timeout=60)
    f.check(done.returncode == 0 and "weir-probe" not in done.stdout, "ltx: " + done.stdout + done.stderr)
    done = subprocess.run([check.exe, "restore", "-o", f.path("none.db"), s3.url("app")], capture_output=True,
                          text=True, env=check.env, timeout=60)
    f.check(done.returncode == 3, "a restore found something: %d %s" % (done.returncode, done.stderr))
    with open(f.path("keep.yml"), "w", encoding="utf-8") as out:
        out.write("retention: {enabled: false}\ndbs: [{path: '%s', replica: {url: '%s'}}]\n" % (
            path, s3.url("app")))
    with NoRemove():
        code, report = check.json("-config", f.path("keep.yml"))
    f.check(code == 0, "who deletes nothing needs no right to: " + check.out)

    f.where = "deletes nothing, and says it did: "
    s3.lie = None
    with NoRemove():
        code, report = check.json(path, s3.url("liar"))
    f.check(code == 1 and any("still there" in t for t in texts(report, "error")), check.out)

    f.where = "conditions ignored: "
    s3.unconditional = True
    code, report = check.json(path, s3.url("b"))
    f.check(code == 2 and any("ignores the condition" in t for t in texts(report, "warning")), check.out)
    s3.unconditional = False

    f.where = "wrong keys: "
    s3.keys = ["SOMEBODYELSE"]
    code, report = check.json(path, s3.url("c"))
    f.check(code == 1 and steps(report)["put"].get("needs") == "s3:PutObject", check.out)
    f.check("delete" not in steps(report) and not steps(report)["list"]["ok"], check.out)
    s3.keys = None

    f.where = "no probe: "
    before = len(s3.requests)
    code, report = check.json("-no-probe", path, s3.url("d"))
    f.check(code == 0 and len(s3.requests) == before, "%d requests" % (len(s3.requests) - before))
    s3.stop()

    f.where = "unreachable: "
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        begin = time.monotonic()
        code, report = check.json("-timeout", "2s", path, s3.url("e", "http://127.0.0.1:%d" %
                                                                  closed.getsockname()[1]))
        f.check(code == 1 and time.monotonic() - begin < 20, "%d after %.0f s: %s" % (
            code, time.monotonic() - begin, check.out))
        f.check(len(texts(report, "error")) == 1, "more than one error: " + check.out)
    f.where = ""


def real_store(f, check):
    s = store.Store("check", f.work)
    f.where = "a real server: "
    code, report = check.json(f.path("app.db"), s.url("app"), env=s.env)
    f.check(code == 0 and len(steps(report)) == 6, "%d: %s" % (code, check.out))
    code, report = check.json(f.path("app.db"), s.url("app"), env=dict(s.env, AWS_SECRET_ACCESS_KEY=SECRET))
    f.check(code == 1 and not steps(report)["put"]["ok"], "%d: %s" % (code, check.out))
    code, report = check.json(f.path("app.db"), s.url("app").replace("/check/", "/no-such-bucket/"), env=s.env)
    f.check(code == 1 and any("does not exist" in t for t in texts(report, "error")), "%d: %s" % (code, check.out))
    f.where = ""


def policy(f, check):
    code, out = check.run("-policy", f.path("app.db"), "s3://bucket/a/b", "file:///r")
    said = json.loads(out)["Statement"] if code == 0 else []
    f.check([(s["Action"], s["Resource"]) for s in said] == [
        (["s3:ListBucket"], "arn:aws:s3:::bucket"),
        (["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"],
         "arn:aws:s3:::bucket/a/b/*")], "the policy: " + check.out)
    code, out = check.run("-policy", f.path("app.db"), "file:///r")
    f.check(code == 1 and "no replica in S3" in check.out, check.out)


def main():
    f = kit.Findings("check")
    check = Check(sys.argv[1], f)
    processes(f, check)
    bad_stores(f, check)
    real_store(f, check)
    policy(f, check)
    return f.end()


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""A whole fleet comes back from its replicas: `weir restore -all` and `-dir`.

usage: restore_all.py WEIR [--s3]

--s3        through the S3 endpoint in WEIR_TEST_S3_ENDPOINT, _ACCESS and _SECRET (radosgw.sh) alone

Databases of a directory, and one with an entry of its own, are replicated, to files and to an S3 of
ours, and then lost: all but one, which has changed since and must stay as it is. Some things are in
the way: a replica that is damaged, one of a database below a symbolic link, names in the store that
would lead out of the directory, an entry that never had a backup. None of them may keep the others
from coming back, or be passed over in silence, and nothing may appear where it does not belong.

Prints one line per finding and exits 1 when there was any.
"""
import argparse
import glob
import json
import os
import shutil
import sqlite3
import subprocess
import sys

import fakes3
import kit
import store as stores

NAMES = ["a.db", "t0/app.db", "t0/two words.db", "t1/app.db", "t1/deep/er/app.db", "t2/gr\u00fcn%20.db",
         "t3/damaged.db", "t4/linked.db", "t5/kept.db"]
LTX = "0000/0000000000000001-0000000000000001.ltx"
HOSTILE = ["../../evil.db", "/etc/evil.db", "t0/./evil.db", "t0//evil.db"]
RESTORED, OK, FAILED, NO_BACKUP, CORRUPT = "restored", 0, 1, 3, 5


def make(path, n):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE t(v)")
    db.executemany("INSERT INTO t VALUES(?)", [(i,) for i in range(n)])
    db.commit()
    db.close()


def rows(path):
    db = sqlite3.connect("file:%s?mode=ro" % path.replace("%", "%25"), uri=True)
    try:
        return db.execute("SELECT count(*) FROM t").fetchone()[0]
    finally:
        db.close()


class Fleet:
    def __init__(self, args, found, kind):
        self.args, self.found, self.kind = args, found, kind
        self.work = found.path(kind)
        self.top, self.own = self.path("tenants"), self.path("own.db")
        self.want = {n: i + 1 for i, n in enumerate(NAMES)}
        os.makedirs(self.work)
        self.store = self.path("bucket" if kind == "s3" else "replica")
        self.env = dict(os.environ, AWS_ACCESS_KEY_ID="AKIA", AWS_SECRET_ACCESS_KEY="secret")
        if kind == "s3":
            self.fake = fakes3.FakeS3(self.store)
            self.url = self.fake.url
        elif kind == "radosgw":
            self.real = stores.Store("restore-all", self.work)
            self.url, self.env = self.real.url, self.real.env
        else:
            self.url = lambda name: "file://%s/%s" % (self.store, name)
        for name, n in self.want.items():
            make(self.file(name), n)
        make(self.own, 77)
        self.write("first.yml")
        r = self.weir("replicate", "-once", "-config", self.path("first.yml"))
        found.check(r.returncode == OK, "replicate: %s %s" % (r.returncode, r.stderr[-500:]))
        self.write("weir.yml", "- {path: %s, replica: {url: '%s'}}\n" % (self.path("never.db"), self.url("never")))

    def path(self, *names):
        return os.path.join(self.work, *names)

    def file(self, name):
        return os.path.join(self.top, name)

    def write(self, name, more=""):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write("dbs:\n- {path: %s, replica: {url: '%s'}}\n"
                    "- dir: %s\n  pattern: '*.db'\n  recursive: true\n  meta-dir: %s\n  replica: {url: '%s'}\n%s"
                    % (self.own, self.url("own"), self.top, self.path("state"), self.url("tenants"), more))

    def weir(self, *args):
        return subprocess.run([self.args.weir, *args], capture_output=True, text=True, env=self.env, timeout=120)

    def restore(self, want_code, *args):
        """What became of each, by path, and the numbers."""
        r = self.weir("restore", "-json", *args)
        self.found.check(r.returncode == want_code, "%s: exit code %d, not %d: %s" % (
            args, r.returncode, want_code, r.stderr[-800:]))
        try:
            said = json.loads(r.stdout)
        except ValueError:
            self.found.add("%s: no JSON: %s %s" % (args, r.stdout[:300], r.stderr[-300:]))
            return {}, {}
        return {x["db_path"]: x for x in said["databases"]}, said

    def check(self, got, want):
        """`want`: the result of each path."""
        short = {path: x["result"] for path, x in got.items()}
        for path in sorted(set(short) | set(want)):
            self.found.check(short.get(path) == want.get(path),
                             "%s: %s, not %s" % (path, got.get(path), want.get(path)))
        for path, result in want.items():
            if result == RESTORED and path.startswith(self.top + "/"):
                n = self.want[os.path.relpath(path, self.top)]
                there = rows(path) if os.path.exists(path) else None
                self.found.check(there == n, "%s has %s rows, not %s" % (path, there, n))

    def lose(self):
        shutil.rmtree(self.top)
        os.remove(self.own)
        make(self.file("t5/kept.db"), 1000)
        os.makedirs(self.path("elsewhere"), exist_ok=True)
        os.symlink(self.path("elsewhere"), self.file("t4"))

    def damage(self):
        if self.kind == "radosgw":
            torn = [k for k in self.real.keys("tenants/") if "/damaged.db/" in k and k.endswith(".ltx")]
            self.found.check(torn, "nothing to damage")
            for k in torn:
                body = self.real.ask("GET", k)
                self.real.ask("PUT", k, body=body[:len(body) // 2])
            return
        for f in glob.glob(os.path.join(self.store, "**", "damaged.db", "**", "*.ltx"), recursive=True):
            with open(f, "r+b") as x:
                x.truncate(os.path.getsize(f) // 2)

    def strays(self):
        """What is nobody's."""
        self.found.check(not os.listdir(self.path("elsewhere")), "a link was followed")
        for directory, _, files in os.walk(self.found.work):
            for f in files:
                self.found.check("evil" not in f or directory.startswith(self.store),
                                 "%s has appeared in %s" % (f, directory))


def lie(fleet):
    """Names that only a store can have."""
    def told(method, path, query, answer):
        if method != "GET" or query.get("prefix") != "tenants/":
            return None
        keys = sorted([k for k in fleet.fake.keys_there() if k.startswith("tenants/")] +
                      ["tenants/%s/%s" % (name, LTX) for name in HOSTILE])
        return 200, [], fakes3.listing((k, 500) for k in keys)
    fleet.fake.lie = told


def run(args, found, kind):
    fleet = Fleet(args, found, kind)
    config = ["-config", fleet.path("weir.yml")]
    refused = []
    if found.lines:
        return
    fleet.lose()
    fleet.damage()
    if kind == "radosgw":
        for name in HOSTILE:
            fleet.real.ask("PUT", "tenants/%s/%s" % (name, LTX), body=b"x" * 500)
    if kind == "s3":
        lie(fleet)
    if kind != "file":
        refused = [fleet.top + "/" + n for n in HOSTILE]

    found.where = kind + ", -dry-run: "
    got, said = fleet.restore(FAILED, "-all", "-dry-run", *config)
    found.check(said.get("present") == 1 and sorted(os.listdir(fleet.top)) == ["t4", "t5"]
                and not os.path.exists(fleet.own), "wrote something: %s" % said)

    found.where = kind + ", -all: "
    want = {fleet.file(n): RESTORED for n in NAMES}
    want.update({fleet.own: RESTORED, fleet.path("never.db"): "no backup", fleet.file("t3/damaged.db"): "failed",
                 fleet.file("t4/linked.db"): "failed", fleet.file("t5/kept.db"): "present"})
    want.update({path: "failed" for path in refused})
    got, said = fleet.restore(FAILED, "-all", *config)
    fleet.check(got, want)
    found.check(rows(fleet.file("t5/kept.db")) == 1000, "what was there is not any more")
    found.check(os.path.exists(fleet.own) and rows(fleet.own) == 77, "own.db is not back")
    found.check(said.get("restored") == 7 and said.get("present") == 1 and said.get("no_backup") == 1 and
                said.get("failed") == 2 + len(refused), "the sums: %s" % {k: said.get(k) for k in said if k != "databases"})
    found.check("link" in str(got.get(fleet.file("t4/linked.db"))), "the link is not named: %s" % got)
    fleet.strays()

    found.where = kind + ", again: "
    os.remove(fleet.file("t4"))  # the link
    want = {path: "present" if x == RESTORED else x for path, x in want.items()}
    want[fleet.file("t4/linked.db")] = RESTORED
    fleet.check(fleet.restore(FAILED, "-all", "-parallel-dbs", "1", *config)[0], want)

    found.where = kind + ", -dir of the configuration: "
    for f in glob.glob(fleet.own + "*") + glob.glob(fleet.file("a.db*")):
        os.remove(f)  # a look at it has left a -wal
    shutil.rmtree(fleet.file("t1"))
    got, _ = fleet.restore(FAILED if refused else CORRUPT, "-dir", fleet.top, *config)
    want = {path: "present" if x == RESTORED else x for path, x in want.items() if path.startswith(fleet.top)}
    want.update({fleet.file(n): RESTORED for n in ("a.db", "t1/app.db", "t1/deep/er/app.db")})
    fleet.check(got, want)
    found.check(not os.path.exists(fleet.own), "-dir has restored what is not in it")

    found.where = kind + ", -force: "
    got, _ = fleet.restore(FAILED if refused else CORRUPT, "-dir", fleet.top, "-force", *config)
    want = {path: "failed" if x == "failed" else RESTORED for path, x in want.items()}
    fleet.check(got, want)

    found.where = kind + ", -dir of a URL: "
    fleet.top = fleet.path("copy")
    want = {fleet.file(n): "failed" if "damaged" in n else RESTORED for n in NAMES}
    want.update({fleet.top + "/" + n: "failed" for n in HOSTILE if refused})
    got, _ = fleet.restore(FAILED if refused else CORRUPT, "-dir", fleet.top, fleet.url("tenants"))
    fleet.check(got, want)
    fleet.strays()

    found.where = kind + ", nothing there: "
    r = fleet.weir("restore", "-dir", fleet.path("none"), fleet.url("nobody"))
    found.check(r.returncode == NO_BACKUP and not os.path.exists(fleet.path("none")),
                "%s %s" % (r.returncode, r.stderr))
    if kind == "s3":
        fleet.fake.stop()
        found.where = kind + ", the store is gone: "
        got, said = fleet.restore(FAILED, "-dir", fleet.path("none"), fleet.url("tenants"))
        found.check(said.get("failed") == 1 and fleet.path("none") in got, "%s" % said)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("weir")
    p.add_argument("--s3", action="store_true")
    args = p.parse_args()
    found = kit.Findings("restore-all")
    for kind in ("radosgw",) if args.s3 else ("file", "s3"):
        run(args, found, kind)
    sys.exit(found.end())


if __name__ == "__main__":
    main()

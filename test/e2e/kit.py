"""What the end-to-end scripts share: a real `weir replicate`, its log, its replica, restores.

Knows processes and files; refuses to know what is being proven.
"""
import datetime
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

os.environ["AWS_EC2_METADATA_DISABLED"] = "true"  # no test asks a real service for credentials

LTX_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.ltx")
FIELD = re.compile(r'([a-z_-]+)=("(?:[^"\\]|\\.)*"|\S*)')

# What the log calls the way in which a start found out where it stands.
GAP_REPAIRED = ": compared every page with the ledger"  # for one reason or another
FORK = "the database lost transactions that were already replicated"
FULL_SEND = "the replica's newest state is not in this database's known history"

SHOWN = 20  # findings; one cause may have hundreds


def private_mounts():
    """Start again in a mount namespace of our own: what is mounted there goes away with us, however
    we end. Does nothing where that is impossible."""
    again = ["unshare", "--mount", "--propagation", "private"]
    if os.getuid() == 0 and "WEIR_TEST_UNSHARED" not in os.environ:
        os.environ["WEIR_TEST_UNSHARED"] = "1"
        if subprocess.run([*again, "true"], capture_output=True).returncode == 0:
            os.execvp("unshare", [*again, sys.executable, *sys.argv])


def skip(name, why):
    """The end of a test that is impossible here. Counted and shown by ./check."""
    print("skipped %s: %s" % (name, why), flush=True)
    sys.exit(77)


def seed_of_today(parser):
    """Where a run takes only a part: another one each day, so that nothing is left out for good."""
    parser.add_argument("--seed", type=int, default=datetime.date.today().toordinal(),
                        help="which part; default: that of the day, %(default)s")


class Findings:
    """A work directory, and what was found in it; it is kept only when there is a finding."""

    def __init__(self, name):
        self.work = tempfile.mkdtemp(prefix="weir-" + name + "-")
        self.lines = []
        self.where = ""

    def add(self, text):
        self.lines.append(self.where + " ".join(text.split()))
        if len(self.lines) <= SHOWN:
            print("FOUND " + self.lines[-1], flush=True)

    def check(self, good, text):
        if not good:
            self.add(text)
        return good

    def path(self, *names):
        return os.path.join(self.work, *names)

    def end(self):
        if self.lines:
            print("%d findings, kept %s" % (len(self.lines), self.work))
            return 1
        shutil.rmtree(self.work)
        return 0


class Weir:
    """One `weir replicate` of one database, logging to a file that further starts append to.
    `tracer` comes before it on the command line, and must become it."""

    def __init__(self, exe, db, url, log, interval="20ms", flags=(), env=None):
        self.exe, self.db, self.url, self.log = exe, db, url, log
        self.args = ["-sync-interval", interval, *flags]
        self.env = env
        self.tracer = []
        self.process = None
        self.log_start = 0

    def start(self):
        self.log_start = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen([*self.tracer, self.exe, "replicate", *self.args, self.db,
                                             self.url], stdout=out, stderr=out, env=self.env)

    def kill(self):
        """SIGKILL; False when it had ended by itself before."""
        ended = self.process.poll() is not None
        if not ended:
            self.process.kill()
        self.process.wait()
        return not ended

    def stop(self, seconds=60):
        """SIGTERM, and the exit code; None when it had to be killed."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def lines(self):
        """What was logged since the last start."""
        with open(self.log, encoding="utf-8", errors="replace") as f:
            f.seek(self.log_start)
            return f.read().splitlines()

    def logged(self, text):
        return [line for line in self.lines() if text in line]


def fields(line):
    """The fields of a log line, quotes removed."""
    return {k: v.strip('"') for k, v in FIELD.findall(line)}


def wait_until(ready, seconds=20, pause=0.01):
    """Poll until `ready` returns something; what it returned last, false after the time."""
    end = time.monotonic() + seconds
    while True:
        value = ready()
        if value or time.monotonic() > end:
            return value
        time.sleep(pause)


def objects(replica):
    """The replica's LTX files: {(level, min, max): path}, and the names that are not one."""
    found, strange = {}, []
    top = os.path.join(replica, "ltx")
    for level in os.listdir(top) if os.path.isdir(top) else ():
        for name in os.listdir(os.path.join(top, level)):
            m = LTX_NAME.fullmatch(name)
            if m:
                key = int(level), int(m.group(1), 16), int(m.group(2), 16)
                found[key] = os.path.join(top, level, name)
            else:
                strange.append(os.path.join(level, name))
    return found, strange


def txids(replica):
    """Every TXID at which a file of the replica ends, ascending."""
    return sorted({key[2] for key in objects(replica)[0]})


def restore(exe, url, out, txid=None, flags=(), env=None):
    """`weir restore` over `out`: its exit code and what it said."""
    args = [exe, "restore", "-quiet", "-force", "-o", out, *flags]
    if txid:
        args += ["-txid", "%016x" % txid]
    r = subprocess.run(args + [url], capture_output=True, text=True, env=env)
    return r.returncode, r.stderr.strip()


given = set()  # ports that are not listened on yet, and that the system may name again


def free_port():
    """A port on loopback that nobody listens on at the moment, another one each time."""
    while True:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        if port not in given:
            given.add(port)
            return port


def get(port, path):
    """Status and text of what is answered over HTTP."""
    try:
        with urllib.request.urlopen("http://127.0.0.1:%d%s" % (port, path), timeout=20) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()
    except OSError as e:
        return 0, str(e)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def same_bytes(a, b):
    """Compare two files without holding them in memory; the first difference, or None."""
    if os.path.getsize(a) != os.path.getsize(b):
        return "sizes %d and %d" % (os.path.getsize(a), os.path.getsize(b))
    at = 0
    with open(a, "rb") as x, open(b, "rb") as y:
        while True:
            p, q = x.read(1 << 20), y.read(1 << 20)
            if p != q:
                return "from byte %d on" % (at + next(i for i in range(len(p)) if p[i] != q[i]))
            if not p:
                return None
            at += len(p)


def image(db):
    """The database as a connection sees it, WAL included, byte for byte."""
    return db.serialize()


def checkpointed(path):
    """Bring the WAL into the file and cut it. Nobody else may have the database open."""
    db = sqlite3.connect(path, timeout=20)
    busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    db.close()
    return not busy

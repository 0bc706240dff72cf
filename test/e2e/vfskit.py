"""What the scripts about the loadable extension share: programs that load it, and replicas for them.

Each case is a process of its own, made before anything is loaded: what one has loaded, leaked or
locked is not the next one's.
"""
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import traceback
import urllib.parse

import kit

CASES = []
CASE_SECONDS = 200
ENTRIES = ("sqlite3_weir_init", "sqlite3_litestream_init", "sqlite3_litestreamvfs_init")
OURS = ("LD_PRELOAD", "ASAN_OPTIONS", "WEIR_TEST_HOST")


def become_host(name, so):
    """Start again as a program that can load `so`: a Python whose SQLite loads extensions, with the
    sanitizer that `so` was built with. Skips where there is no such Python."""
    if "WEIR_TEST_HOST" in os.environ:
        return
    env = dict(os.environ, WEIR_TEST_HOST="1")
    if b"libasan.so" in kit.read(so):
        library = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True,
                                 check=True)
        env.update(LD_PRELOAD=library.stdout.strip(), ASAN_OPTIONS="detect_leaks=0")  # Python's own
    can = "import sqlite3; sqlite3.connect(':memory:').enable_load_extension(True)"
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", can], capture_output=True).returncode == 0:
            os.execve(python, [python, *sys.argv], env)
    kit.skip(name, "no Python here has an SQLite that loads extensions")


def case(function):
    CASES.append(function)
    return function


def read_only(path):
    return sqlite3.connect("file:%s?mode=ro" % path, uri=True, isolation_level=None, timeout=20)


class World:
    """Of one case: a directory, the programs under test, and what was found."""

    def __init__(self, name, args):
        self.weir, self.so, self.data, self.cache, self.quick = args.weir, args.so, args.data, args.cache, args.quick
        self.found = kit.Findings("vfs-" + name)
        self.found.where = name + ": "
        self.path, self.check = self.found.path, self.found.check
        self.tmp = self.path("tmp")
        os.mkdir(self.tmp)
        self.log = self.path("extension.log")
        self.notes = []
        self.clean = {k: v for k, v in os.environ.items() if k not in OURS}  # for weir itself
        os.environ.update(TMPDIR=self.tmp, LITESTREAM_LOG_FILE=self.log)

    def load(self, entry=None):
        """The connection that loaded the extension, an ordinary one."""
        db = sqlite3.connect(":memory:")
        db.enable_load_extension(True)
        if entry:
            db.execute("SELECT load_extension(?, ?)", (self.so, entry))
        else:
            db.load_extension(self.so)
        return db

    def uri(self, url, name="replica.db", **more):
        more = {"vfs": "weir", "replica_url": url, "poll_interval": "50ms", **more}
        return "file:%s?%s" % (name, urllib.parse.urlencode(more, quote_via=urllib.parse.quote))

    def open(self, url, name="replica.db", **more):
        db = sqlite3.connect(self.uri(url, name, **more), uri=True, isolation_level=None, timeout=5,
                             check_same_thread=False)
        db.execute("PRAGMA cache_size=5")  # pages are asked for again and again
        return db

    def refused(self, what, allowed, do):
        """What `do` was told, which must be an error and come within `allowed` seconds."""
        before = time.monotonic()
        try:
            do()
            said = None
        except sqlite3.Error as e:
            said = str(e)
        took = time.monotonic() - before
        self.check(said is not None, "%s: no error" % what)
        self.check(took < allowed, "%s: %.1f s until the error (%s), not %.1f" % (what, took, said, allowed))
        return said or ""

    def logged(self):
        return kit.read(self.log).decode() if os.path.exists(self.log) else ""

    def database(self, path, script):
        db = sqlite3.connect(path, isolation_level=None, timeout=20)
        db.executescript(script)
        return db

    def once(self, path, url, env=None):
        """Replicate what is there."""
        r = subprocess.run([self.weir, "replicate", "-once", path, url], capture_output=True, text=True,
                           env=env or self.clean, timeout=100)
        self.check(r.returncode == 0, "weir replicate -once: %d, %s" % (r.returncode, r.stderr[-400:]))

    def replicate(self, path, url, config, env=None):
        """A running `weir replicate` with a configuration file; `config` has two %s for path and URL."""
        name = path + ".yml"
        with open(name, "w") as f:
            f.write(config % (path, url))
        weir = Configured(self.weir, path, url, path + ".log", name, env or self.clean)
        weir.start()
        return weir

    def seen(self, db, txid, seconds=20):
        """Wait until `db` reads transaction `txid`, or a later one."""
        def ready():
            try:
                return int(one(db, "SELECT weir_txid()"), 16) >= txid
            except sqlite3.OperationalError:
                return False
        return self.check(kit.wait_until(ready, seconds), "transaction %x is not seen: %s" % (
            txid, one(db, "SELECT weir_error()")))


class Configured(kit.Weir):
    def __init__(self, exe, db, url, log, config, env):
        super().__init__(exe, db, url, log, env=env)
        self.config = config

    def start(self):
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen([self.exe, "replicate", "-config", self.config], stdout=out,
                                            stderr=out, env=self.env)


def one(db, sql, *values):
    return db.execute(sql, values).fetchone()[0]


def resources():
    """What this process has: threads, and descriptors by what they lead to."""
    descriptors = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            descriptors.append(os.readlink("/proc/self/fd/" + fd))
        except FileNotFoundError:  # that of the listing
            pass
    return len(os.listdir("/proc/self/task")), sorted(d for d in descriptors if not d.startswith("/proc/"))


def run_case(function, args):
    """In a process of its own. Its findings, and a line about what it did."""
    def child(pipe):
        os.setpgrp()  # what it starts ends with it
        w = World(function.__name__, args)
        try:
            function(w)
        except Exception:  # a broken case is a finding
            w.found.add("the case itself failed: " + traceback.format_exc())
        if w.found.lines:
            print(w.logged()[-3000:])
        w.found.end()
        pipe.send((w.found.lines, w.notes))

    ours, theirs = multiprocessing.Pipe(False)
    process = multiprocessing.Process(target=child, args=(theirs,))
    before = time.monotonic()
    process.start()
    theirs.close()
    lines, notes = ["%s: it hangs, or died" % function.__name__], []
    if ours.poll(CASE_SECONDS):
        try:
            lines, notes = ours.recv()
        except EOFError:
            pass
    process.join(10)
    if process.exitcode is None:
        lines.append("%s: it does not end" % function.__name__)
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    elif process.exitcode:
        lines.append("%s: it ended with %d" % (function.__name__, process.exitcode))
    print("%s: %s, %.1f s%s" % (function.__name__, "%d findings" % len(lines) if lines else "good",
                                time.monotonic() - before, "".join(", " + n for n in notes)), flush=True)
    return lines


def remove(path):
    shutil.rmtree(path, ignore_errors=True)

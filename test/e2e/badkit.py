"""What the bad-input cases share: a work directory, commands with their outcome, running programs.

Every output passes through here, so that two things are judged everywhere: no secret of ours shows
(all contain CANARY), and no assertion or sanitizer spoke.
"""
import hashlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys

import kit

CANARY = "canary"
CRASHES = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|Assertion .* failed")
NOBODY = 65534
QUICK = ("-sync-interval", "20ms")

CASES = []


def case(function):
    """Mark a function as a case; its name and docstring are what is reported."""
    CASES.append(function)
    return function


def slow(function):
    """A case that takes a minute: run when it is named only."""
    function.slow = True
    return case(function)


class Skip(Exception):
    """This case is impossible here."""


class Outcome:
    """How a command ended and what it said, both streams together."""

    def __init__(self, args, code, text):
        self.args, self.code, self.text = args, code, text


class Case(kit.Findings):
    """One case: what it makes lies in its own directory, which goes away unless it found something."""

    def __init__(self, exe, name, verbose=False):
        super().__init__("badinput-" + name)
        self.exe, self.name, self.verbose = exe, name, verbose
        self.where = name + ": "
        self.running, self.mounts = [], []
        self.url = "file://" + self.path("replica")

    def database(self, name="app.db", rows=3, mode="wal", page_size=4096):
        """A database with `rows` rows of half a page, checkpointed and closed."""
        path = self.path(name)
        db = sqlite3.connect(path)
        db.execute("PRAGMA page_size=%d" % page_size)
        db.execute("PRAGMA journal_mode=" + mode)
        db.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v)")
        db.commit()
        db.close()
        add(path, rows)
        return path

    def judge(self, args, text):
        if self.verbose:
            print("%s$ weir %s\n%s" % (self.where, " ".join(args), text), flush=True)
        self.check(CANARY not in text, "a secret shows: %s" % text)
        self.check(not CRASHES.search(text), "crashed: %s" % text)

    def command(self, args, user=None, exe=None):
        """The argument vector. `user`: as that user, when we are root."""
        command = [exe or self.exe, *args]
        if user and os.getuid() == 0:
            command = ["setpriv", "--reuid=%d" % user, "--regid=%d" % user, "--clear-groups", *command]
        return command

    def run(self, *args, env=None, user=None, seconds=30, exe=None):
        """Run weir to its end."""
        command = self.command(args, user, exe)
        try:
            r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds,
                               env={**os.environ, **(env or {})}, cwd=self.work)
        except subprocess.TimeoutExpired as e:
            text = (e.stdout or b"").decode("utf-8", "replace")
            self.add("weir %s does not end: %s" % (" ".join(args), text))
            return Outcome(args, None, text)
        out = Outcome(args, r.returncode, r.stdout.decode("utf-8", "replace"))
        self.judge(args, out.text)
        return out

    def expect(self, out, code, *texts):
        """The exit code, and all of `texts` in what it said, in any order."""
        said = " ".join(out.text.split())
        self.check(out.code == code, "weir %s: exit code %s, not %s: %s"
                   % (" ".join(out.args), out.code, code, said))
        for text in texts:
            self.check(text in out.text, "weir %s does not say %r: %s" % (" ".join(out.args), text, said))

    def refuses(self, code, args, *texts, **how):
        """Run it and expect it to fail like that."""
        out = self.run(*args, **how)
        self.expect(out, code, *texts)
        return out

    def start(self, *args, env=None, user=None, exe=None):
        p = Running(self, args, self.command(args, user, exe), env)
        self.running.append(p)
        return p

    def replicate(self, db, url=None, *flags):
        return self.start("replicate", *QUICK, *flags, db, url or self.url)

    def once(self, db, url=None, code=0, texts=()):
        out = self.run("replicate", "-once", db, url or self.url)
        self.expect(out, code, *texts)
        return out

    def restored(self, url=None, txid=None, flags=()):
        """Restore to a new file and return its path; None after a finding."""
        out = self.path("restored.db")
        args = ["restore", "-quiet", "-force", "-integrity-check", "full", "-o", out, *flags]
        if txid:
            args += ["-txid", "%016x" % txid]
        r = self.run(*args, url or self.url)
        return out if self.check(r.code == 0, "cannot restore: %s %s" % (r.code, r.text)) else None

    def nothing_lost(self, db, url=None):
        """The replica's newest state is the database as a connection sees it."""
        out = self.restored(url)
        if out:
            self.check(rows(out) == rows(db), "the restored database has rows %d to %d, not %d to %d"
                       % (*rows(out), *rows(db)))

    def untouched(self, path, before):
        """`path` has the digest it had, and nothing of ours lies beside it."""
        self.check(digest(path) == before, "%s was changed" % path)
        left = [n for n in os.listdir(os.path.dirname(path)) if ".tmp-" in n or ".old-" in n]
        self.check(not left, "left behind: %s" % left)

    def tmpfs(self, name, size):
        """A small file system of its own."""
        path = self.path(name)
        os.mkdir(path)
        if os.getuid() != 0:
            raise Skip("needs root for a small file system")
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d" % size, "tmpfs", path],
                          capture_output=True).returncode != 0:
            raise Skip("cannot mount")
        self.mounts.append(path)
        return path

    def end(self):
        for p in self.running:
            if p.process.poll() is None:
                p.process.kill()
            p.process.wait()
            self.judge(p.args, p.text())
        for path in self.mounts:
            subprocess.run(["umount", "-l", path], check=False)
        for directory, _, _ in os.walk(self.work):
            os.chmod(directory, 0o755)  # or it cannot be removed
        return super().end()


class Running:
    """A weir that runs until it is told to stop."""

    def __init__(self, box, args, command, env):
        self.box, self.args = box, args
        self.log = box.path("weir-%d.log" % len(box.running))
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, cwd=box.work,
                                            env={**os.environ, **(env or {})}, start_new_session=True)

    def text(self):
        return kit.read(self.log).decode("utf-8", "replace")

    def says(self, *texts, seconds=20):
        """Wait until all of `texts` were said; a finding if not."""
        good = kit.wait_until(lambda: all(t in self.text() for t in texts) or self.ended(), seconds)
        return self.box.check(good and all(t in self.text() for t in texts),
                              "weir %s does not say %s: %s" % (" ".join(self.args), texts, self.text()))

    def ended(self):
        return self.process.poll() is not None

    def has(self, db, url=None, seconds=20):
        """Wait until a restore has all rows of the database."""
        out = self.box.path("has.db")

        def caught_up():
            code, _ = kit.restore(self.box.exe, url or self.box.url, out)
            return code == 0 and rows(out) == rows(db)
        return self.box.check(kit.wait_until(caught_up, seconds, 0.1),
                              "the replica does not catch up: %s" % self.text())

    def wait(self, seconds=30):
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = None
        return Outcome(self.args, code, self.text())

    def stop(self, sig=signal.SIGTERM, seconds=30):
        if not self.ended():
            self.process.send_signal(sig)
        return self.wait(seconds)


def add(path, count):
    """Commit `count` rows, one transaction, on a connection that leaves the WAL to others."""
    db = sqlite3.connect(path, timeout=20)
    db.execute("PRAGMA wal_autocheckpoint=0")
    for _ in range(count):
        db.execute("INSERT INTO t(v) VALUES(randomblob(2000))")
    db.commit()
    db.close()


def rows(path):
    """How many rows and the newest one: enough to tell two of our databases apart."""
    db = sqlite3.connect(path, timeout=20)
    found = db.execute("SELECT count(*), coalesce(max(id), 0) FROM t").fetchone()
    db.close()
    return found


def digest(path):
    """Of a file, or of every file in a directory, names included."""
    h = hashlib.sha256()
    names = [path]
    if os.path.isdir(path):
        names = sorted(os.path.join(d, f) for d, _, files in os.walk(path) for f in files)
    for name in names:
        h.update(name.encode() + b"\0" + kit.read(name))
    return h.hexdigest()


def python(code, *args):
    """Another process that runs `code`; it has a line of standard output to say that it is ready."""
    p = subprocess.Popen([sys.executable, "-c", code, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    p.stdout.readline()
    return p


def let_go(p):
    """End such a process: its standard input ends."""
    p.stdin.close()
    p.stdout.close()
    p.wait(20)


def remove(path):
    for tail in ("", "-wal", "-shm", "-journal"):
        if os.path.exists(path + tail):
            os.remove(path + tail)


def copy_exe(box):
    """weir where any user may run it."""
    os.chmod(box.work, 0o755)
    to = box.path("weir")
    shutil.copy(box.exe, to)
    os.chmod(to, 0o755)
    return to

#!/usr/bin/python3
"""`weir run`: what stands for an application, as its parent, as its backup, and as the first process.

usage: run.py WEIR [-v] [CASE...]

Applications are small programs that say what they see. Judged are what they saw, when they began, how
weir ended, and what a restore has afterwards. The first process of a container is that of a PID
namespace, which needs root; where there is none it is said.
"""
import concurrent.futures
import os
import pty
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import traceback

import fakes3
import kit
from badkit import QUICK, Case, Skip, add, remove, rows

AT_ONCE = 4
CASES = []

# Commits at once and ends at once. "busy" is that its checkpoint could do nothing: weir is attached.
COMMIT = """
import sqlite3, sys
for path in sys.argv[1:]:
    db = sqlite3.connect(path, timeout=20)
    db.execute("INSERT INTO t(v) VALUES(1)")
    db.commit()
    busy, log, done = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    db.close()
    print("busy" if busy else "free", flush=True)
"""

# Tells each signal, and ends by its fourth argument.
LISTEN = """
import os, signal, sqlite3, sys
names = ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH", "TTIN", "TTOU")
def tell(number, frame):
    os.write(1, b"got %s\\n" % signal.Signals(number).name.encode())
for name in names:
    signal.signal(getattr(signal, "SIG" + name), tell)
print("child=%d" % os.getpid(), flush=True)
for line in sys.stdin:
    if line == "end\\n":
        break
sys.exit(int(sys.argv[1]))
"""

# Commits when it is told to stop.
LAST_WORDS = """
import signal, sqlite3, sys, time
def stop(number, frame):
    db = sqlite3.connect(sys.argv[1], timeout=20)
    db.execute("INSERT INTO t(v) VALUES(1)")
    db.commit()
    db.close()
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(100)
"""


def case(function):
    CASES.append(function)
    return function


def python(code, *args):
    return (sys.executable, "-c", code, *args)


def run_args(c, path, *command, url=None, flags=QUICK):
    return ("run", *flags, "-db", path, "-replica", url or c.url, "--", *command)


def run(c, path, *command, **how):
    return c.run(*run_args(c, path, *command, **how))


def nobody_there():
    """A bucket that is out of reach: connections are refused."""
    return "s3://bucket/app?endpoint=http://127.0.0.1:%d&region=r&force-path-style=true" % kit.free_port()


os.environ.update(AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="canary-run")


class Talk:
    """A run whose command is talked with: its standard input is ours, its output is read."""

    def __init__(self, c, args):
        self.c, self.err = c, c.path("talk.log")
        with open(self.err, "wb") as err:
            self.process = subprocess.Popen(c.command(args), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=err, start_new_session=True)

    def line(self):
        return self.process.stdout.readline().decode().strip()

    def hears(self, text):
        got = self.line()
        return self.c.check(got == text, "the command said %r, not %r: %s" % (got, text, kit.read(self.err)))

    def end(self, code):
        self.process.stdin.close()
        got = self.process.wait(30)
        self.c.check(got == code, "ended with %s, not %s: %s" % (got, code, kit.read(self.err).decode()))
        self.process.stdout.close()
        self.c.judge((), kit.read(self.err).decode())


@case
def restores_what_is_missing(c):
    """The command finds what the replica has, and what it adds is there for the next one."""
    path = c.database(rows=5)
    c.once(path)
    for count in range(6, 9):
        remove(path)
        shutil_rmtree(c.path(".app.db-weir"))
        out = run(c, path, *python(COMMIT, path))
        c.expect(out, 0, "busy", "restore completed")
        c.check(rows(path)[0] == count, "%s rows, not %d" % (rows(path), count))
        c.nothing_lost(path)


def shutil_rmtree(path):
    subprocess.run(["rm", "-rf", path], check=True)


@case
def no_backup_and_no_database(c):
    """A first start: the command makes the database, which is in the replica afterwards."""
    path = c.path("app.db")
    make = "import sqlite3,sys; db=sqlite3.connect(sys.argv[1]); db.execute('CREATE TABLE t(id INTEGER PRIMARY KEY, v)')"
    start = time.monotonic()
    c.expect(run(c, path, *python(make, path)), 0, "no backup found")
    c.check(time.monotonic() - start < 10, "it waited for a database that the command makes")
    c.nothing_lost(path)
    open(c.path("empty.db"), "wb").close()  # as some programs leave one
    start = time.monotonic()
    c.expect(run(c, c.path("empty.db"), "true", url="file://" + c.path("other")), 0)
    c.check(time.monotonic() - start < 10, "it waited for an empty database")


@case
def begins_when_attached(c):
    """Each commit is captured though the command lives for a moment; also of the second database."""
    path, other = c.database(), c.database("other.db")
    for i in range(6):
        out = run(c, path, *python(COMMIT, path))
        c.expect(out, 0, "busy")
        c.check("free" not in out.text, "round %d: not attached: %s" % (i, out.text))
        c.nothing_lost(path)
    config = c.path("weir.yml")
    with open(config, "w", encoding="utf-8") as f:
        f.write("dbs:\n- {path: %s, replica: {url: '%s'}}\n- {path: %s, replica: {path: %s}}\n" % (
            path, c.url, other, c.path("second")))
    for i in range(3):
        out = c.run("run", "-config", config, "--", *python(COMMIT, other, path))
        c.expect(out, 0, "busy\nbusy")
        c.nothing_lost(path)
        c.nothing_lost(other, "file://" + c.path("second"))


@case
def begins_after_a_full_read(c):
    """Written while weir was away: the command waits until that is found."""
    path = c.database(rows=3000)
    c.once(path)
    for _ in range(3):
        add(path, 5)
        c.check(kit.checkpointed(path), "cannot checkpoint")
        c.expect(run(c, path, *python(COMMIT, path)), 0, "busy")
        c.nothing_lost(path)


@case
def streams(c):
    """Standard input and output are the command's alone."""
    path = c.database()
    r = subprocess.run(c.command(run_args(c, path, "cat")), input=b"to you\n", capture_output=True, timeout=30)
    c.check(r.returncode == 0 and r.stdout == b"to you\n", "it said %r" % (r.stdout,))
    c.check(b"subprocess exited" in r.stderr, "no log: %r" % (r.stderr,))
    r = subprocess.run(c.command(run_args(c, path, "echo", "-h", "--", "-db", "a b")), capture_output=True, timeout=30)
    c.check(r.stdout == b"-h -- -db a b\n", "its arguments are %r" % (r.stdout,))


@case
def limit_of_descriptors(c):
    """weir raises its own, and the command has what it would have without weir."""
    path = c.database()
    limited = ["sh", "-c", "ulimit -Sn 300 && exec \"$@\"", "sh"]
    r = subprocess.run([*limited, *c.command(run_args(c, path, "sh", "-c", "ulimit -Sn"))], capture_output=True, timeout=30)
    c.check(r.returncode == 0 and r.stdout == b"300\n", "it has %r" % (r.stdout,))


@case
def exit_codes(c):
    path = c.database()
    for command, code in (("true", 0), ("exit 3", 3), ("kill -KILL $$", 137), ("kill -TERM $$", 143),
                          ("exit 127", 127)):
        add(path, 1)
        c.expect(run(c, path, "sh", "-c", command), code, 'msg="subprocess exited, weir shutting down" exit_code=%d' % code)
        c.nothing_lost(path)
    add(path, 1)
    c.expect(run(c, path, c.path("none")), 127, "cannot start exec command: " + c.path("none"), "No such file")
    c.nothing_lost(path)
    c.expect(run(c, path, c.work), 126, "cannot start exec command: " + c.work)


@case
def signals(c):
    """Each goes to the command, however often, and ends nothing by itself."""
    path = c.database()
    talk = Talk(c, run_args(c, path, *python(LISTEN, "5")))
    c.check(talk.line().startswith("child="), "it did not begin")
    for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH", "TTIN", "TTOU") * 2:
        talk.process.send_signal(getattr(signal, "SIG" + name))
        if not talk.hears("got SIG" + name):
            break
    c.check(talk.process.poll() is None, "weir has ended")
    add(path, 1)
    talk.process.stdin.write(b"end\n")
    talk.end(5)
    c.nothing_lost(path)


@case
def signals_of_a_group(c):
    """What ends it reaches all that it has started; what means something to it alone, it alone."""
    path = c.database()
    inner = shlex.join(python(LISTEN, "0"))
    for name, all_of_them in (("HUP", False), ("USR1", False), ("TERM", True), ("INT", True)):
        talk = Talk(c, run_args(c, path, "sh", "-c", "exec 3<&0; trap 'echo outer' %s; %s <&3 & wait; wait" % (name, inner)))
        c.check(talk.line().startswith("child="), "it did not begin")
        talk.process.send_signal(getattr(signal, "SIG" + name))
        want = ["got SIG" + name, "outer"] if all_of_them else ["outer"]
        got = sorted(talk.line() for _ in want)
        c.check(got == want, "SIG%s: %s" % (name, got))
        talk.end(0)


@case
def last_words(c):
    """What it commits when told to stop is in the last sync, also through a slow interval."""
    path = c.database()
    for _ in range(3):
        p = c.start(*run_args(c, path, *python(LAST_WORDS, path), flags=("-sync-interval", "1h")))
        p.says("ready")
        before = rows(path)[0]
        c.expect(p.stop(), 0)
        c.check(rows(path)[0] == before + 1, "it did not hear")
        c.nothing_lost(path)


@case
def out_of_reach(c):
    """A store that is not there keeps no application down; a database that is, does."""
    path, url = c.database(), nobody_there()
    flags = ("-ready-timeout", "700ms", "-shutdown-sync-timeout", "300ms")
    start = time.monotonic()
    out = run(c, path, "sh", "-c", "echo begun; exit 4", url=url, flags=flags)
    c.expect(out, 4, "begun", "the command starts before this is replicated", "db=" + path, "last sync failed")
    c.check(time.monotonic() - start > 0.7, "it did not wait")
    c.expect(run(c, path, *python(COMMIT, path), url=url, flags=flags), 8, "free", "last sync failed")
    c.once(path)
    c.nothing_lost(path)  # when it is back
    out = run(c, c.path("missing.db"), "echo", "begun", url=url, flags=flags)
    c.check(out.code == 1 and "restore failed" in out.text and "begun" not in out.text,
            "%s: began without its data: %s" % (out.code, out.text))


@case
def comes_back(c):
    """What was written without it is in the store once that is there: a directory that was not writable."""
    path, flags = c.database(), ("-ready-timeout", "300ms", *QUICK)
    with open(c.path("replica"), "wb"):
        pass  # in the way of the directory
    p = c.start(*run_args(c, path, *python(LAST_WORDS, path), flags=flags))
    p.says("the command starts before this is replicated", "ready")
    add(path, 2)
    os.remove(c.path("replica"))
    p.has(path, seconds=60)
    c.expect(p.stop(), 0)
    c.nothing_lost(path)


@case
def rival(c):
    """Another weir has the database: the command does not begin; a predecessor that goes is waited for."""
    path = c.database()
    p = c.replicate(path)
    p.has(path)
    out = run(c, path, "echo", "begun", flags=(*QUICK, "-ready-timeout", "6s"))
    c.expect(out, 6, "another process holds the checkpoint lock", "pid %d" % p.process.pid)
    c.check("begun" not in out.text and "the command starts" not in out.text, "it began: " + out.text)
    q = c.start(*run_args(c, path, *python(COMMIT, path)))
    time.sleep(2)
    c.check(not q.ended() and "busy" not in q.text(), "it did not wait: " + q.text())
    c.expect(p.stop(), 0)
    c.expect(q.wait(), 0, "busy")
    c.nothing_lost(path)


@case
def anothers_replica(c):
    """A replica of another database: known at once."""
    path, other = c.database(rows=40), c.path("other.db")
    c.once(path)
    db = sqlite3.connect(other)
    db.execute("PRAGMA journal_mode=wal")
    db.execute("CREATE TABLE u(v)")
    for _ in range(200):
        db.execute("INSERT INTO u VALUES(randomblob(3000))")
    db.commit()
    db.close()
    start = time.monotonic()
    out = run(c, other, "echo", "begun")
    c.expect(out, 7, "Error: ")
    c.check("begun" not in out.text and time.monotonic() - start < 20, "it began, or waited: " + out.text)
    c.nothing_lost(path)


@case
def no_database(c):
    path = c.path("text.db")
    with open(path, "w", encoding="utf-8") as f:
        f.write("no database at all\n" * 400)
    out = run(c, path, "echo", "begun")
    c.check(out.code == 1 and path in out.text and "begun" not in out.text, "%s: %s" % (out.code, out.text))


@case
def stopped_before_it_begins(c):
    """By a signal while it waits for a store, and while it restores: as if it had ended by that."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(16)
    url = "s3://bucket/app?endpoint=http://127.0.0.1:%d&region=r&force-path-style=true" % server.getsockname()[1]
    path = c.database()
    for sig, db in ((signal.SIGTERM, path), (signal.SIGINT, path), (signal.SIGQUIT, c.path("new.db"))):
        p = c.start(*run_args(c, db, "echo", "begun", url=url, flags=("-shutdown-sync-timeout", "300ms")))
        p.says("replicating to" if db == path else "attempting restore")
        for ignored in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):
            p.process.send_signal(ignored)
        time.sleep(0.2)
        c.check(not p.ended(), "it has ended by a signal that was for the command")
        out = p.stop(sig)
        c.check(out.code == 128 + sig and "begun" not in out.text, "%s: %s" % (out.code, out.text))
    server.close()


@case
def in_a_terminal(c):
    """Ctrl-C reaches the command once, from the terminal; weir makes its last sync."""
    path = c.database()
    pid, fd = pty.fork()
    if pid == 0:
        args = c.command(run_args(c, path, *python(LISTEN, "6"), flags=("-sync-interval", "1h")))
        os.execv(args[0], args)
    said = b""

    def hears(text, times=1):
        nonlocal said
        end = time.monotonic() + 20
        while len(re.findall(text, said)) < times and time.monotonic() < end:
            try:
                said += os.read(fd, 4096)
            except OSError:
                break
        return c.check(len(re.findall(text, said)) == times, "not %d times %s: %s" % (times, text, said))
    hears(b"child=")
    add(path, 1)
    os.write(fd, b"\x03")
    hears(b"got SIGINT")
    os.kill(pid, signal.SIGTERM)  # from elsewhere it has to be passed on
    hears(b"got SIGTERM")
    os.write(fd, b"end\n")
    hears(b"shut down")
    _, status = os.waitpid(pid, 0)
    c.check(os.waitstatus_to_exitcode(status) == 6, "ended with %s: %s" % (os.waitstatus_to_exitcode(status), said))
    c.check(said.count(b"got SIGINT") == 1 and said.count(b"got SIGTERM") == 1, "twice: %s" % said)
    c.nothing_lost(path)
    os.close(fd)


# The first process: orphans become its children. Prints how many were seen dead and not reaped.
ORPHANS = """
import os, signal, sys, time
def zombies():
    n = 0
    for name in os.listdir("/proc"):
        try:
            with open("/proc/%s/stat" % name) as f:
                state, parent = f.read().rsplit(")", 1)[1].split()[:2]
        except (OSError, ValueError):
            continue
        n += state == "Z" and parent == "1"
    return n
print("parent=%d" % os.getppid(), flush=True)
for i in range(40):
    pid = os.fork()
    if pid == 0:
        if os.fork() == 0:
            time.sleep(i % 4 * 0.05)
        os._exit(0)
    os.waitpid(pid, 0)
end = time.monotonic() + 10
time.sleep(0.3)
while zombies() and time.monotonic() < end:
    time.sleep(0.01)
print("zombies=%d" % zombies(), flush=True)
"""


# A credential_process that fails at first, and leaves an orphan each time.
PROGRAM = """(sleep 0.2 &)
echo x >> '%s'
[ $(wc -l < '%s') -gt 1 ] || exit 7
echo '{"Version":1,"AccessKeyId":"id","SecretAccessKey":"canary-run"}'
"""


def first_process(c, args):
    """As the first process of a PID namespace."""
    unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
        raise Skip("needs a PID namespace of its own")
    return [*unshare, *c.command(args)]


@case
def first_process_reaps(c):
    path = c.database()
    r = subprocess.run(first_process(c, run_args(c, path, *python(ORPHANS + COMMIT, path))), capture_output=True,
                       text=True, timeout=60)
    c.check(r.returncode == 0 and r.stdout == "parent=1\nzombies=0\nbusy\n", "%d: %s %s" % (
        r.returncode, r.stdout, r.stderr))
    c.judge((), r.stderr)
    c.nothing_lost(path)


@case
def first_process_leaves_orphans(c):
    """An orphan that outlives the command does not keep it from ending, and its exit code is not ours."""
    path = c.database()
    r = subprocess.run(first_process(c, run_args(c, path, "sh", "-c", "(sleep 100 &) ; (exit 7) & exit 3")),
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60)
    c.check(r.returncode == 3, "%d: %s" % (r.returncode, r.stderr))


@case
def first_process_asks_a_program(c):
    """Who reaps all learns how a credential_process ended all the same, and takes it for nothing else."""
    path, fake, runs, config = c.database(), fakes3.FakeS3(c.work), c.path("runs"), c.path("config")
    helper = c.path("helper")
    for name, text in ((helper, PROGRAM % (runs, runs)), (config, "[default]\ncredential_process = sh " + helper)):
        with open(name, "w", encoding="utf-8") as f:
            f.write(text)
    env = {k: v for k, v in os.environ.items() if k not in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    env.update(AWS_CONFIG_FILE=config, HOME="/nonexistent", AWS_EC2_METADATA_DISABLED="true")
    fake.keys = {"id"}
    command = python(ORPHANS + COMMIT, path)
    r = subprocess.run(first_process(c, run_args(c, path, *command, url=fake.url("app"))), capture_output=True,
                       text=True, timeout=90, env=env)
    c.check(r.returncode == 0 and r.stdout.startswith("parent=1\nzombies=0\n"), "%d: %s %s" % (
        r.returncode, r.stdout, r.stderr))
    c.check("credential_process: exit code 7" in r.stderr, r.stderr)
    c.check(fake.requests, "it never got its keys: %s" % r.stderr)
    c.judge((), r.stderr)
    fake.stop()


@case
def first_process_is_told(c):
    """The kernel keeps signals without a handler from a first process: not these, from in there or outside."""
    path = c.database()
    for outside in (True, False):
        script = "trap 'exit 9' TERM; echo ready >&2; %s while :; do sleep 0.05; done" % (
            "" if outside else "sleep 0.3; kill -TERM 1;")
        log = c.path("first.log")
        with open(log, "wb") as out:
            p = subprocess.Popen(first_process(c, run_args(c, path, "sh", "-c", script)), stdout=out, stderr=out)
        c.check(kit.wait_until(lambda: b"ready" in kit.read(log), 20), "not ready: %s" % kit.read(log))
        if outside:
            with open("/proc/%d/task/%d/children" % (p.pid, p.pid), encoding="utf-8") as f:
                os.kill(int(f.read().split()[0]), signal.SIGTERM)
        c.check(p.wait(30) == 9, "ended with %s: %s" % (p.returncode, kit.read(log)))
        c.judge((), kit.read(log).decode())
        c.nothing_lost(path)


def try_case(exe, function, verbose):
    box = Case(exe, "run-" + function.__name__, verbose)
    skipped = ""
    try:
        function(box)
    except Skip as why:
        skipped = "skipped e2e/run %s: %s" % (function.__name__, why)
    except Exception:  # a broken case is a finding, and the others still run
        box.add("the case itself failed: " + traceback.format_exc())
    return box.end(), skipped


def main():
    verbose = "-v" in sys.argv
    names = [a for a in sys.argv[1:] if a != "-v"]
    exe, wanted = os.path.abspath(names[0]), names[1:]
    for name in ("LITESTREAM_CONFIG", "WEIR_CONFIG", "LOG_LEVEL"):
        os.environ.pop(name, None)
    chosen = [f for f in CASES if not wanted or f.__name__ in wanted]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(lambda f: try_case(exe, f, verbose), chosen))
    for _, skipped in results:
        if skipped:
            print(skipped)
    bad = sum(r[0] for r in results)
    print("%d cases, %d failed" % (len(results), bad))
    return 1 if bad or not results else 0


if __name__ == "__main__":
    sys.exit(main())

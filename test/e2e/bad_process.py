"""Other processes: rivals for the database, the child of -exec, signals."""
import os
import shutil
import signal
import socket
import time

import kit
from badkit import add, case, digest, let_go, python, rows

# SQLite's checkpoint lock is byte 121 of the -shm file.
RIVAL = """
import fcntl, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("SELECT * FROM t LIMIT 1").fetchall()
f = open(sys.argv[1] + "-shm", "r+b")
fcntl.lockf(f, fcntl.LOCK_EX, 1, 121)
print("locked", flush=True)
sys.stdin.read()
"""


@case
def second_weir(c):
    """The second one names the first one's pid and ends with 6; the first goes on undisturbed."""
    path = c.database()
    p = c.replicate(path)
    p.has(path)
    pid = "pid %d" % p.process.pid
    for url in (c.url, "file://" + c.path("elsewhere")):
        c.refuses(6, ("replicate", *("-once",) * (url != c.url), path, url), path,
                  "another process holds the checkpoint lock", pid)
        add(path, 2)
        p.has(path)
    c.check("level=WARN" not in p.text() and "level=ERROR" not in p.text(), "disturbed: " + p.text())
    c.expect(p.stop(), 0)
    c.nothing_lost(path)


@case
def rival(c):
    """Something like Litestream holds the checkpoint lock for seconds: waited for, its pid named."""
    path = c.database()
    holder = python(RIVAL, path)
    p = c.replicate(path)
    p.says("another process holds the checkpoint lock of " + path, "pid %d" % holder.pid, "Litestream")
    c.check(not p.ended(), "it did not wait: " + p.text())
    add(path, 2)
    let_go(holder)
    p.has(path)
    c.expect(p.stop(), 0)
    c.nothing_lost(path)


@case
def exec_codes(c):
    """The child's exit code is ours; what it wrote is in the replica."""
    path = c.database()
    for command, code in (("true", 0), ("sh -c 'exit 3'", 3), ("sh -c 'kill -KILL $$'", 137),
                          ("sh -c 'kill -TERM $$'", 143)):
        add(path, 1)
        out = c.run("replicate", *("-exec", command), path, c.url)
        c.expect(out, code, 'msg="subprocess exited, weir shutting down" exit_code=%d' % code)
        c.nothing_lost(path)


@case
def exec_refused(c):
    path = c.database()
    c.refuses(1, ("replicate", "-exec", c.path("none"), path, c.url),
              "cannot start exec command: " + c.path("none"), "No such file or directory")
    c.refuses(1, ("replicate", "-exec", "a | b", path, c.url), "|", "sh -c")
    c.refuses(1, ("replicate", "-exec", "a 'b", path, c.url), "exec command")
    c.refuses(1, ("replicate", "-exec", " ", path, c.url), "exec command")
    c.refuses(1, ("replicate", "-exec", "true", "-once", path, c.url), "-once", "-exec")


@case
def exec_signal(c):
    """The first signal goes to the child, whose exit code is ours."""
    path = c.database()
    p = c.replicate(path, None, "-exec", "sh -c 'trap \"exit 5\" TERM; echo ready; while :; do sleep 0.05; done'")
    p.says("ready", "replica joined")
    add(path, 2)
    c.expect(p.stop(), 5, "signal=terminated")
    c.nothing_lost(path)


@case
def exec_child_killed(c):
    """SIGKILL of the child from outside: a last sync, and 137."""
    path = c.database()
    p = c.replicate(path, None, "-exec", "sh -c 'echo child=$$; exec sleep 100'")
    p.says("child=", "replica joined")
    child = int(p.text().split("child=")[1].split()[0])
    add(path, 2)
    os.kill(child, signal.SIGKILL)
    c.expect(p.wait(), 137, "exit_code=137")
    c.nothing_lost(path)


@case
def exec_stubborn(c):
    """The child ignores the first signal; the second ends weir at once, and reaches the child."""
    path = c.database()
    code = "trap : TERM; echo child=$$; while :; do sleep 0.05; done"
    p = c.replicate(path, None, "-exec", "sh -c '%s'" % code)
    p.says("child=", "replica joined")
    child = int(p.text().split("child=")[1].split()[0])
    p.process.send_signal(signal.SIGTERM)
    p.says("signal received")
    time.sleep(0.3)
    c.check(not p.ended(), "it did not wait for the child")
    c.expect(p.stop(), 8)
    os.kill(child, signal.SIGKILL)


@case
def signals(c):
    """The first signal ends it with a last sync."""
    path = c.database()
    for sig, name in ((signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupt"), (signal.SIGHUP, "hangup")):
        p = c.start("replicate", "-sync-interval", "1h", path, c.url)
        p.says("replica joined")
        add(path, 2)
        c.expect(p.stop(sig), 0, "signal=" + name, 'msg="weir shut down"')
        c.nothing_lost(path)


def hung_server():
    """It takes connections and never answers."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(16)
    return s, "s3://bucket/app?endpoint=http://127.0.0.1:%d&region=r&force-path-style=true" % s.getsockname()[1]


KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "canary-hung"}


@case
def second_signal(c):
    """A replica that does not answer: the first signal waits for the last sync, the second does not."""
    path = c.database()
    server, url = hung_server()
    for sig in (signal.SIGTERM, signal.SIGINT):
        p = c.start("replicate", *("-sync-interval", "20ms"), path, url, env=KEYS)
        p.says("replicating to")
        p.process.send_signal(sig)
        p.says("signal received")
        time.sleep(0.3)
        c.check(not p.ended(), "it did not try a last sync: " + p.text())
        start = time.monotonic()
        c.expect(p.stop(sig), 8)
        c.check(time.monotonic() - start < 2, "the second signal took %.1f s" % (time.monotonic() - start))
    server.close()


@case
def last_sync_times_out(c):
    path = c.database()
    server, url = hung_server()
    p = c.start("replicate", "-shutdown-sync-timeout", "300ms", path, url, env=KEYS)
    p.says("replicating to")
    start = time.monotonic()
    out = p.stop()
    c.expect(out, 8, "last sync failed", "Error: ", path)
    c.check(time.monotonic() - start < 5, "it took %.1f s" % (time.monotonic() - start))
    out = c.run("replicate", "-shutdown-sync-timeout", "300ms", "-exec", "true", path, url, env=KEYS)
    c.expect(out, 8, "last sync failed")
    out = c.run("replicate", "-shutdown-sync-timeout", "300ms", "-exec", "sh -c 'exit 3'", path, url, env=KEYS)
    c.expect(out, 3, "last sync failed")
    server.close()


@case
def restore_interrupted(c):
    """SIGINT while it reads: the target stays, nothing is left behind."""
    target = c.database("target.db")
    before = digest(target)
    server, url = hung_server()
    for path, flags in ((target, ("-force",)), (c.path("new.db"), ())):
        p = c.start("restore", *flags, "-o", path, url, env=KEYS)
        server.settimeout(20)
        connection, _ = server.accept()
        connection.recv(1)
        c.expect(p.stop(signal.SIGINT, 10), 1, "Error: ", "cancel")
        connection.close()
    c.untouched(target, before)
    c.check(not os.path.exists(c.path("new.db")), "a database appeared")
    server.close()


@case
def restore_interrupted_writing(c):
    """SIGINT while the temporary file grows."""
    path = c.database(rows=4000)
    c.once(path)
    target = c.database("target.db")
    before = digest(target)
    p = c.start("restore", "-force", "-parallelism", "1", "-o", target, c.url)
    kit.wait_until(lambda: p.ended() or any(".tmp-" in n for n in os.listdir(c.work)), 20, 0.001)
    out = p.stop(signal.SIGINT)
    left = [n for n in os.listdir(c.work) if ".tmp-" in n or ".old-" in n]
    c.check(not left, "left behind: %s" % left)
    if out.code == 0:
        c.check(rows(target) == rows(path), "done, but not the replica's state")
    else:
        c.expect(out, 1, "cancel")
        c.untouched(target, before)


@case
def killed(c):
    """SIGKILL of weir itself: the next start goes on where it was."""
    path = c.database()
    p = c.replicate(path)
    p.has(path)
    p.process.kill()
    p.wait()
    add(path, 3)
    p = c.replicate(path)
    p.has(path)
    c.expect(p.stop(), 0)
    c.nothing_lost(path)


@case
def many_at_once(c):
    """Started together on one database: one has it, the others end with 6; killed, it is succeeded."""
    path = c.database()
    for _ in range(3):
        started = [c.replicate(path) for _ in range(6)]
        kit.wait_until(lambda: sum(p.ended() for p in started) == 5, 30)
        running = [p for p in started if not p.ended()]
        if not c.check(len(running) == 1, "%d of six go on" % len(running)):
            return
        for p in started:
            if p.ended():
                c.expect(p.wait(), 6, path, "another process holds the checkpoint lock")
        add(path, 2)
        running[0].has(path)
        running[0].process.kill()
        running[0].wait()
    add(path, 1)
    c.once(path)
    c.nothing_lost(path)


@case
def second_weir_while_stopped(c):
    """The first one is stopped (SIGSTOP): it still has the database. Afterwards it goes on."""
    path = c.database()
    p = c.replicate(path)
    p.has(path)
    p.process.send_signal(signal.SIGSTOP)
    add(path, 2)
    c.refuses(6, ("replicate", path, "file://" + c.path("elsewhere")), path, "pid %d" % p.process.pid)
    c.check(not kit.txids(c.path("elsewhere")), "it was replicated all the same")
    p.process.send_signal(signal.SIGCONT)
    p.has(path)
    c.expect(p.stop(), 0)


@case
def twins(c):
    """A copy of the database with its local state replicates to the same URL, as after cloning a machine. One
    of them stops to, with the reason; nothing is overwritten, and what the other commits arrives."""
    path = c.database(rows=10)
    c.once(path)
    os.mkdir(c.path("clone"))
    copy = c.path("clone", "app.db")
    shutil.copy(path, copy)
    shutil.copytree(c.path(".app.db-weir"), c.path("clone", ".app.db-weir"))
    both = {path: c.replicate(path), copy: c.replicate(copy)}

    def lost(p):
        return "another process writes to this replica: stop it, or give each its own URL" in p.text()
    for p in both.values():
        p.says("replica joined")
    before = {key: digest(name) for key, name in kit.objects(c.path("replica"))[0].items()}
    for i in range(40):
        for which in both:
            add(which, 1 + i % 3)
        now = kit.objects(c.path("replica"))[0]
        for key, was in before.items():
            c.check(key in now and digest(now[key]) == was, "txid %016x was overwritten or removed" % key[2])
        before = {key: digest(name) for key, name in now.items()}
        if any(lost(p) for p in both.values()):
            break
        time.sleep(0.05)
    kit.wait_until(lambda: any(lost(p) for p in both.values()), 20)
    left = [which for which, p in both.items() if not lost(p)]
    if c.check(len(left) == 1, "%d of two go on" % len(left)):
        add(left[0], 2)
        both[left[0]].has(left[0])
        for which, p in both.items():
            c.expect(p.stop(), 0 if which == left[0] else 7)
    for txid in kit.txids(c.path("replica")):
        c.check(c.restored(txid=txid), "txid %016x does not restore" % txid)

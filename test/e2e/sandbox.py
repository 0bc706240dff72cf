#!/usr/bin/python3
"""Whether weir can do its work in the sandbox of its systemd unit, and how tight that is.

usage: sandbox.py WEIR UNIT AS_ROOT

score     systemd-analyze finds the unit at 2.0 or better
calls     the system calls of a life (restore, replicate to S3, metrics, socket, last sync), as strace
          sees them, are all in the unit's SystemCallFilter; so are its sockets' families
files     with everything read-only but the ReadWritePaths, and no powers, it replicates; as the
          databases' own user, and with as-root.conf's powers, and what it makes is that user's

Prints one line per finding and exits 1 when there was any; what cannot be looked at here is skipped
with a line.
"""
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import urllib.request

import fakes3
import kit

SCORE_MAX, ROOT_SCORE_MAX = 20, 21  # tenths
CALL = re.compile(r"^(?:\d+ +)?([a-z0-9_]+)\(")
RESUMED = re.compile(r"<\.\.\. ([a-z0-9_]+) resumed>")
FAMILY = re.compile(r"\bsocket\((AF_[A-Z0-9]+)")
SANITIZERS = {"sigaltstack", "personality"}  # of a test build; in systemd's set or not is no matter
OWNER = 12345
# Not root, where we are root: its SQLite makes calls that others' does not.
USER = ["setpriv", "--reuid=%d" % OWNER, "--regid=%d" % OWNER, "--clear-groups"] if os.getuid() == 0 else []
KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}


def run(args, **more):
    r = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **more)
    return r.returncode, r.stdout.strip()


def settings(*paths):
    """{key: [values]} of a unit and its drop-ins, as systemd reads them: an empty value clears."""
    read = {}
    for path in paths:
        with open(path, encoding="utf-8") as f:
            for line in f:
                key, equals, value = line.strip().partition("=")
                if equals and not key.startswith("#"):
                    read[key] = read.get(key, []) + [value] if value else []
    return read


def groups():
    """{@group: names} of systemd's system calls."""
    found, group = {}, None
    for line in run(["systemd-analyze", "syscall-filter", "--no-pager"])[1].splitlines():
        if line.startswith("@"):
            group = found.setdefault(line.strip(), set())
        elif line.startswith("    ") and not line.strip().startswith("#"):
            group.add(line.strip())
        elif not line.startswith(" "):
            group = set()
    return found


def names_of(known, word):
    if not word.startswith("@"):
        return {word}
    return set().union(*(names_of(known, w) for w in known[word]))


def allowed(unit):
    known, calls = groups(), set(names_of(groups(), "@default"))
    for value in unit["SystemCallFilter"]:
        for word in value.lstrip("~").split():
            calls = calls - names_of(known, word) if value[0] == "~" else calls | names_of(known, word)
    return calls


def score(found, unit, as_root):
    for text, most in ((kit.read(unit), SCORE_MAX), (kit.read(unit) + b"\n" + kit.read(as_root), ROOT_SCORE_MAX)):
        path = found.path("weir.service")
        with open(path, "wb") as f:
            f.write(text)
        code, said = run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                          "--threshold=%d" % most, path])
        found.check(code == 0, "above %.1f: %s" % (most / 10, said[-100:]))
    with open(path, "wb") as f:
        f.write(re.sub(rb"ExecStart=\S+", b"ExecStart=/bin/true", kit.read(unit)))
    code, said = run(["systemd-analyze", "verify", "--man=no", path])
    found.check(code == 0 and "weir.service" not in said, "systemd-analyze verify: %s" % said)


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def make(path, rows=50):
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=wal")
    db.execute("CREATE TABLE IF NOT EXISTS t(v)")
    db.executemany("INSERT INTO t VALUES(?)", [("x" * 900,)] * rows)
    db.commit()
    db.close()


def give(path):
    os.chown(path, OWNER, OWNER)
    return path


def private(path):
    """A new directory for an application's user."""
    os.mkdir(path, 0o700)
    return give(path) if os.getuid() == 0 else path


def rows(path):
    db = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
    n = db.execute("SELECT count(*) FROM t").fetchone()[0]
    db.close()
    return n


def life(found, exe, fake, trace):
    """Twice the same, the second time without the database; all system calls into `trace`."""
    data = private(found.path("life"))
    db, sock, port = os.path.join(data, "app.db"), os.path.join(data, "weir.sock"), kit.free_port()
    config = write(found.path("weir.yml"), """
dbs: [{path: %s, restore-if-db-not-exists: true, replica: {url: "%s", sync-interval: 50ms}}]
levels: [{interval: 1s}]
socket: {enabled: true, path: %s}
addr: 127.0.0.1:%d
validation: {interval: 1s}
""" % (db, fake.url("app"), sock, port))
    make(db)
    if os.getuid() == 0:
        give(db)
    env = dict(os.environ, **KEYS, ASAN_OPTIONS="detect_leaks=0")
    for turn in range(2):
        log = found.path("log%d" % turn)
        with open(log, "wb") as out:
            p = subprocess.Popen([*USER, "strace", "-D", "-f", "-qq", "-e", "signal=none", "-o", trace + str(turn),
                                  exe, "replicate", "-config", config], stdout=out, stderr=out, env=env)
        said = lambda: kit.read(log).decode(errors="replace")  # noqa: E731
        if not found.check(kit.wait_until(lambda: "replica joined" in said() or p.poll() is not None, 40)
                           and p.poll() is None, "it does not run: " + said()[-500:]):
            return
        make(db, 3000)
        code, text = run([exe, "sync", "-wait", "-socket", sock, db], env=env)
        found.check(code == 0, "sync: " + text)
        urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port, timeout=10).close()
        p.send_signal(signal.SIGHUP)
        found.check(kit.wait_until(lambda: "reloaded" in said(), 20), "no reload: " + said()[-300:])
        p.send_signal(signal.SIGTERM)
        found.check(p.wait(60) == 0, "it ends with %s: %s" % (p.returncode, said()[-300:]))
        shutil.rmtree(data)
        private(data)


def calls(found, exe, unit):
    if run(["strace", "-D", "-o", "/dev/null", "true"])[0] != 0:
        print("skipped e2e/sandbox: system calls, strace cannot be used here", flush=True)
        return
    fake, trace = fakes3.FakeS3(found.path("store")), os.path.join(private(found.path("traces")), "of")
    life(found, exe, fake, trace)
    fake.stop()
    made, families = set(), set()
    for turn in range(2):
        if os.path.exists(trace + str(turn)):
            text = kit.read(trace + str(turn)).decode(errors="replace")
            made |= {m[1] for line in text.splitlines() for m in (CALL.match(line),) if m}
            made |= set(RESUMED.findall(text))
            families |= set(FAMILY.findall(text))
    read = settings(unit)
    found.check(len(made) > 40 and {"pwrite64", "fsync", "connect"} & made == {"pwrite64", "fsync", "connect"},
                "strace saw too little: %s" % sorted(made))
    refused = made - allowed(read) - SANITIZERS
    found.check(not refused, "system calls that the unit refuses: %s" % sorted(refused))
    refused = families - set(" ".join(read["RestrictAddressFamilies"]).split())
    found.check({"AF_INET", "AF_UNIX"} <= families, "strace saw only sockets of %s" % families)
    # Without netlink the resolver takes both kinds of addresses to be in use, and asks for both.
    found.check(not refused - {"AF_NETLINK"}, "sockets that the unit refuses: %s" % refused)


def owned(found, name, directory):
    for above, dirs, names in os.walk(directory):
        for file in sorted(dirs + names):
            file = os.path.join(above, file)
            if os.path.lexists(file):  # SQLite's come and go
                uid = os.lstat(file).st_uid
                found.check(uid == OWNER, "%s: %s belongs to %d" % (name, file, uid))


def files(found, exe, unit, as_root):
    """A mount namespace in which nothing but one directory can be written to."""
    if os.getuid() != 0 or run(["unshare", "--mount", "true"])[0] != 0:
        print("skipped e2e/sandbox: files, no mount namespaces here", flush=True)
        return
    powers = "".join(",+" + c[4:].lower() for c in settings(unit, as_root)["CapabilityBoundingSet"][-1].split())
    kinds = {"as its user": [*USER[1:], "--bounding-set=-all"],
             "as root": ["--bounding-set=-all" + powers]}
    found.check(settings(unit)["CapabilityBoundingSet"] == [], "the unit keeps powers")
    for name, who in kinds.items():
        data, db = found.path(name), found.path(name, "app.db")
        replica = found.path(name + " replica")
        private(data)
        private(replica)
        script = ("mount --make-rprivate / && for d in \"$1\" \"$2\"; do mount --bind \"$d\" \"$d\"; done && "
                  "mount -o remount,ro,bind / && for m in /tmp /var/tmp /home; do mountpoint -q $m && "
                  "mount -o remount,ro,bind $m; done; ! touch /etc/written \"$1/../written\" 2>/dev/null || exit 90; "
                  "shift 2; exec setpriv --no-new-privs \"$@\"")
        inside = ["unshare", "--mount", "sh", "-c", script, "sh", data, replica, *who]
        env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0", HOME="/nonexistent")
        as_owner = [*USER, "python3", "-c",
                    "import sqlite3,sys; d=sqlite3.connect(sys.argv[1], timeout=10);"
                    "d.execute('PRAGMA journal_mode=wal');d.execute('CREATE TABLE IF NOT EXISTS t(v)');"
                    "d.execute('INSERT INTO t VALUES(1)');d.commit();d.close()", db]
        code, text = run(as_owner)
        found.check(code == 0, "%s: the application: %s" % (name, text))
        for turn in range(2):
            log = found.path(name + ".log")
            with open(log, "wb") as out:
                p = subprocess.Popen([*inside, exe, "replicate", "-restore-if-db-not-exists", "-sync-interval", "50ms",
                                      db, "file://" + replica], stdout=out, stderr=out, env=env)
            kit.wait_until(lambda: b"replica joined" in kit.read(log) or p.poll() is not None, 30)
            # weir was the first to open it: -wal and -shm must be the application's all the same, and what weir
            # itself needs is to be of use when it is started as another user, or by hand.
            owned(found, name, data)
            code, text = run(as_owner)
            found.check(code == 0, "%s: the application beside weir: %s" % (name, text))
            p.send_signal(signal.SIGTERM)
            found.check(p.wait(60) == 0, "%s: exit code %s: %s" % (name, p.returncode, kit.read(log).decode()[-500:]))
            owned(found, name, data)
            owned(found, name, replica)
            found.check(rows(db) == turn + 2, "%s: %d rows, not %d" % (name, rows(db), turn + 2))
            shutil.rmtree(data)  # the disk is lost
            private(data)


def main():
    exe, unit, as_root = map(os.path.abspath, sys.argv[1:4])
    found = kit.Findings("sandbox")
    os.chmod(found.work, 0o755)
    exe = shutil.copy(exe, found.path("weir"))  # where it was built others may have no access
    if shutil.which("systemd-analyze"):
        score(found, unit, as_root)
        calls(found, exe, unit)
    else:
        print("skipped e2e/sandbox: score and system calls, no systemd-analyze here", flush=True)
    files(found, exe, unit, as_root)
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

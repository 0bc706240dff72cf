"""Full disks: of the replica, of the local state, of the target of a restore."""
import os
import signal
import subprocess

import kit
from badkit import add, case, digest, rows

MIB = 1 << 20


def fill(directory):
    """Take what is left, and return the file to remove."""
    path = os.path.join(directory, "filler")
    with open(path, "wb", buffering=0) as f:
        try:
            while True:
                f.write(bytes(4096))
        except OSError:
            pass
    return path


def free(filler):
    """Give it back at once: a child of another case that has yet to become its program may have it open."""
    os.truncate(filler, 0)
    os.remove(filler)


@case
def replica_full(c):
    """Said, retried, nothing half written is listed; after space is freed all of it arrives."""
    path = c.database()
    disk = c.tmpfs("disk", 2 * MIB)
    url = "file://" + disk + "/replica"
    p = c.replicate(path, url)
    p.has(path, url)
    filler = fill(disk)
    add(path, 100)
    p.says("cannot send to the replica, retrying", "No space left on device", disk)
    c.check(not p.ended(), "it gave up: " + p.text())
    out = c.restored(url)
    c.check(out and rows(out) == (3, 3), "the state before cannot be restored")
    add(path, 10)
    free(filler)
    p.has(path, url)
    c.expect(p.stop(), 0)
    c.nothing_lost(path, url)
    strange = kit.objects(disk + "/replica")[1]
    c.check(not strange, "left in the replica: %s" % strange)


@case
def replica_full_at_the_end(c):
    """Full when it is told to stop: 8, and the next start sends the rest."""
    path = c.database()
    disk = c.tmpfs("disk", 2 * MIB)
    url = "file://" + disk + "/replica"
    c.once(path, url)
    filler = fill(disk)
    add(path, 100)
    p = c.replicate(path, url, "-shutdown-sync-timeout", "500ms")
    p.says("No space left on device")
    c.expect(p.stop(), 8, "last sync failed", "No space left on device")
    free(filler)
    c.once(path, url)
    c.nothing_lost(path, url)


@case
def local_state_full(c):
    """The disk of database and local state is full: said; it goes on by itself once there is room."""
    disk = c.tmpfs("disk", 3 * MIB)
    path = c.database("disk/app.db")
    p = c.replicate(path)
    p.has(path)
    add(path, 20)
    filler = fill(disk)
    for _ in range(3):
        try:
            add(path, 1)
        except Exception:  # the application's own business
            break
    free(filler)
    add(path, 5)
    p.has(path)
    c.expect(p.stop(), 0)
    c.nothing_lost(path)


@case
def meta_path_full(c):
    """Only the local state's disk is full, from the start."""
    disk = c.tmpfs("disk", MIB)
    path = c.database()
    filler = fill(disk)
    with open(c.path("weir.yml"), "w", encoding="utf-8") as f:
        f.write("dbs:\n  - path: %s\n    meta-path: %s/meta\n    replica: {url: '%s', sync-interval: 20ms}\n"
                % (path, disk, c.url))
    p = c.start("replicate", "-config", c.path("weir.yml"))
    p.says("No space left on device", disk)
    c.check(not p.ended(), "it gave up: " + p.text())
    add(path, 5)
    free(filler)
    p.has(path)
    filler = fill(disk)
    for _ in range(20):
        add(path, 2)
    p.says("local disk full", disk, "replication waits until there is room")
    free(filler)
    add(path, 3)
    p.has(path)
    c.expect(p.stop(), 0)
    c.nothing_lost(path)


@case
def both_full(c):
    """Files wait for a full replica, and the disk they should wait on is full, too."""
    disk, there = c.tmpfs("disk", MIB), c.tmpfs("there", 2 * MIB)
    path = c.database()
    url = "file://" + there + "/replica"
    with open(c.path("weir.yml"), "w", encoding="utf-8") as f:
        f.write("dbs:\n  - path: %s\n    meta-path: %s/meta\n    replica: {url: '%s', sync-interval: 20ms}\n"
                % (path, disk, url))
    p = c.start("replicate", "-config", c.path("weir.yml"))
    p.has(path, url)
    fillers = fill(there), fill(disk)
    for _ in range(8):
        add(path, 30)
    p.says("local disk full", disk)
    for filler in fillers:
        free(filler)
    p.has(path, url)
    c.expect(p.stop(), 0)
    c.nothing_lost(path, url)


@case
def restore_full(c):
    """No room for the restored database: the target stays, the temporary file is gone."""
    path = c.database(rows=600)
    c.once(path)
    disk = c.tmpfs("disk", MIB)
    target = c.database("disk/target.db", rows=2)
    before = digest(target)
    c.refuses(1, ("restore", "-force", "-o", target, c.url), target, "No space left on device")
    c.untouched(target, before)
    c.refuses(1, ("restore", "-o", disk + "/new.db", c.url), disk + "/new.db", "No space left on device")
    c.check(os.listdir(disk) == ["target.db"], "left behind: %s" % os.listdir(disk))
    c.refuses(1, ("replicate", "-restore-if-db-not-exists", "-once", disk + "/new.db", c.url),
              "restore failed", "No space left on device")
    c.check(os.listdir(disk) == ["target.db"], "left behind: %s" % os.listdir(disk))


def many(c):
    """The arguments of a command that prints more than is buffered, as JSON."""
    config = c.path("many.yml")
    with open(config, "w", encoding="utf-8") as f:
        f.write("dbs:\n")
        for i in range(200):
            f.write("  - {path: %s/%d.db, replica: {url: 'file://%s/r/%d'}}\n" % (c.path(), i, c.path(), i))
    return "databases", "-json", "-config", config


@case
def full_device(c):
    """Output to a full device is an error too."""
    path = c.database()
    c.once(path)
    for args in (("ltx", c.url), ("version",), ("restore", "-dry-run", "-o", c.path("x.db"), c.url), many(c)):
        out = c.run("full", *args, exe=script(c))
        c.expect(out, 1, "cannot write to standard output")


@case
def reader_gone(c):
    """Who reads the output has seen enough: no error, but an end as by that signal."""
    for args in (("completion", "bash"), many(c)):
        out, into = os.pipe()
        os.close(out)
        r = subprocess.run(c.command(args), stdout=into, stderr=subprocess.PIPE, timeout=30)
        os.close(into)
        c.check(r.returncode == -signal.SIGPIPE and r.stderr == b"", "it ends with %d: %r" % (r.returncode, r.stderr))


def script(c):
    """A shell script in place of weir, that sends standard output to /dev/full."""
    name = c.path("full.sh")
    with open(name, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\nshift\nexec %s \"$@\" >/dev/full\n" % c.exe)
    os.chmod(name, 0o755)
    return name

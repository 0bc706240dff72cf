#!/usr/bin/python3
"""The power is cut under an application and its `weir replicate`, again and again.

usage: powercut.py WEIR [--cuts N] [--seed N]

The database and weir's local state are on an ext4 file system in a file; the replica is elsewhere, as
it would be. A cut is the file system's own (EXT4_IOC_SHUTDOWN without flushing its log): what was not
synced is gone. Before it, single files and pieces of files are written back at random, as the kernel
may at any time. Then everything is killed, mounted again and started again. The application is at
synchronous=FULL in every second cycle, else at NORMAL. Judged after each cut:

  the database passes integrity_check, its watermarks agree
  with FULL it has every acknowledged commit, and the replica none that the database has not
  weir joins its replica; the newest restored state is then the database, byte for byte
  when the database lost commits that the replica has, the log says so
  no object of the replica has vanished or changed

and at the end of each disk (a new one after some cuts): every TXID restores, passes integrity_check,
and its watermarks go back at forks only.

Needs root and loop mounts, else it is skipped (exit status 77). Prints one line per finding and exits 1
when there was any.
"""
import argparse
import collections
import ctypes
import fcntl
import multiprocessing
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
import time

import kill9
import kit
import storm

CUTS_A_DISK = 20
DISK_MIB = 192

EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, uint32_t)
WITHOUT_LOG = 2                 # EXT4_GOING_FLAGS_NOLOGFLUSH
WRITE_BACK = 7                  # SYNC_FILE_RANGE_WAIT_BEFORE | WRITE | WAIT_AFTER


class Disk:
    """An ext4 file system in a file. Loop devices free themselves when they are unmounted."""

    def __init__(self, image, path):
        self.image, self.path = image, path
        with open(image, "wb") as f:
            f.truncate(DISK_MIB << 20)
        os.makedirs(path, exist_ok=True)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-J", "size=4", "-E", "lazy_itable_init=0,nodiscard",
                        image], check=True, stdin=subprocess.DEVNULL)

    def mount(self):
        subprocess.run(["mount", "-t", "ext4", "-o", "loop", self.image, self.path], check=True)

    def cut(self):
        """The power is off: nothing more reaches the disk."""
        assert os.path.ismount(self.path)  # never the file system that this one is mounted on
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("=I", WITHOUT_LOG))
        os.close(fd)

    def unmount(self):
        """Nobody uses it any more, but the kernel may need a moment to notice."""
        gone = kit.wait_until(
            lambda: subprocess.run(["umount", self.path], capture_output=True).returncode == 0, 10)
        if not gone:
            raise OSError("cannot unmount " + self.path)


def possible():
    """Why there can be no power cuts here, or None."""
    if os.getuid() != 0:
        return "needs root"
    if not shutil.which("mkfs.ext4"):
        return "needs mkfs.ext4"
    trial = kit.Findings("powercut")
    try:
        disk = Disk(trial.path("image"), trial.path("disk"))
        disk.mount()
    except (OSError, subprocess.CalledProcessError) as e:
        trial.end()
        return "no loop mounts here: %s" % e
    why = None
    try:
        disk.cut()
    except OSError as e:
        why = "ext4 has no shutdown here: %s" % e
    disk.unmount()
    trial.end()
    return why


def write(path, writer, seed, synchronous, out):
    """One hostile writer, until something goes wrong: a line for each acknowledged commit."""
    rnd = random.Random(seed)
    try:
        db = storm.connect(path, writer)
        db.execute("PRAGMA synchronous=" + synchronous)
        seq = db.execute("SELECT seq FROM progress WHERE writer = ?", (writer,)).fetchone()[0] + 1
        while True:
            done = storm.transaction(db, rnd, writer, seq)
            if done > seq:
                os.write(out, b"%.6f ack %d %d\n" % (time.monotonic(), writer, seq))
            seq = done
            time.sleep(0.001)  # three at full speed fill the disk before weir has attached
            if rnd.random() < 0.03:
                mode = rnd.choice(("PASSIVE", "FULL", "RESTART", "TRUNCATE"))
                db.execute("PRAGMA wal_checkpoint(%s)" % mode).fetchall()
            if rnd.random() < 0.02:
                db.close()
                db = storm.connect(path, writer)
                db.execute("PRAGMA synchronous=" + synchronous)
    except sqlite3.Error as e:
        os.write(out, b"%.6f error %d %s\n" % (time.monotonic(), writer, str(e).encode()))
    while True:  # closing would be more than a power cut lets one do
        time.sleep(60)


class Load:
    """The writers of one cycle, and what they said."""

    def __init__(self, path, seed, synchronous):
        ours, theirs = os.pipe()
        self.out = ours
        self.writers = [multiprocessing.Process(
            target=write, args=(path, w, "%s %d" % (seed, w), synchronous, theirs))
            for w in range(storm.WRITERS)]
        for w in self.writers:
            w.start()
        os.close(theirs)

    def killed(self, cut_at):
        """Kill them: ({writer: last acknowledged}, [what went wrong]), both before `cut_at`. A sync that
        is under way then may say that it succeeded: such a commit may be there or not."""
        for w in self.writers:
            w.kill()
        for w in self.writers:
            w.join()
        acked, errors = {}, []
        with open(self.out, encoding="utf-8") as f:
            for line in f:
                when, kind, writer, rest = line.rstrip("\n").split(" ", 3)
                if float(when) >= cut_at:
                    continue
                if kind == "ack":
                    acked[int(writer)] = int(rest)
                else:
                    errors.append("writer %s saw: %s" % (writer, rest))
        return acked, errors


def write_back(rnd, case, until):
    """Until then: let a file, or a piece of one, reach the disk. Never the database, whose locks
    closing it here would not harm, but which SQLite syncs itself."""
    libc = ctypes.CDLL(None, use_errno=True)
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, rnd.random() * 0.1))
        names = [case.path + "-wal"]
        for directory, _, files in os.walk(case.state_dir):
            names += [os.path.join(directory, f) for f in files]
        try:
            fd = os.open(rnd.choice(names), os.O_RDWR)
        except FileNotFoundError:
            continue
        if rnd.random() < 0.5:
            os.fdatasync(fd)
        else:
            page = rnd.randrange(os.fstat(fd).st_size // 4096 + 1)
            libc.sync_file_range(fd, ctypes.c_int64(page * 4096),
                                 ctypes.c_int64(4096 * rnd.randrange(1, 20)), WRITE_BACK)
        os.close(fd)


class Round:
    """One disk and its cuts."""

    def __init__(self, args, found, number, counts):
        self.args, self.found, self.counts = args, found, counts
        name = "disk%d" % number
        self.disk = Disk(found.path(name + ".image"), found.path(name))
        self.disk.mount()
        self.case = kill9.Case(args, found, "app%d" % number, name)
        self.case.weir.args[1] = "50ms"  # each TXID takes as long to judge as ten to make
        self.forks = []     # the newest TXID before each
        self.ahead = False  # the replica is, since a cut after which weir did not get to join

    def newest(self):
        """The watermarks of the replica's newest state, or None when it has none."""
        if not kit.txids(self.case.replica):
            return None
        code, said = kit.restore(self.args.weir, self.case.url, self.case.out)
        if not self.found.check(code == 0, "cannot restore the newest: " + said):
            return None
        return storm.state(self.case.out)[0]

    def after_cut(self, synchronous, acked):
        """What the disk has of the database: its marks, and whether the replica is ahead of them."""
        marks, wrong = storm.state(self.case.path)
        for w in wrong:
            self.found.add("the database: " + w)
        for w, seq in acked.items():
            self.found.check(synchronous != "FULL" or marks[w] >= seq,
                             "writer %d had %d acknowledged, %d is there" % (w, seq, marks[w]))
        there = self.newest()
        ahead = there and any(a > b for a, b in zip(there, marks))
        self.found.check(not ahead or self.ahead or synchronous != "FULL",
                         "the replica has %s, the database %s, at FULL" % (there, marks))
        return ahead

    def told(self):
        """The log since the start says that the database went back, or is not as it was."""
        for text, name in ((kit.FORK, "told"), (kit.FULL_SEND, "sent in full"),
                           (kit.GAP_REPAIRED, "repaired")):
            if self.case.weir.logged(text):
                self.counts["fork " + name] += 1
                return
        self.found.add("the database lost replicated commits and the log does not say so: %s"
                       % self.case.weir.lines())

    def cycle(self, synchronous, seed):
        """Start, write, cut; then mount and judge."""
        case, rnd, weir = self.case, self.case.rnd, self.case.weir
        early = rnd.random() < 0.25
        load = Load(case.path, seed, synchronous)
        if not weir.process:
            weir.start()
        if not early:
            case.joined()
        write_back(rnd, case, time.monotonic() + rnd.random() * (0.1 if early else 0.4))
        self.found.check(weir.process.poll() is None, "weir ended: %s" % weir.lines()[-1:])
        cut_at = time.monotonic()
        self.disk.cut()
        if rnd.random() < 0.3:  # the disk goes first, the rest a moment later
            time.sleep(rnd.random() * 0.1)
        weir.kill()
        weir.process = None
        acked, errors = load.killed(cut_at)
        for text in errors:
            self.found.add(text)
        self.disk.unmount()
        self.disk.mount()
        case.note_objects()
        held = case.connect() if rnd.random() < 0.6 else None  # or the WAL goes with the next close
        if held:
            held.execute("SELECT count(*) FROM t").fetchone()
        before = kit.txids(case.replica)
        ahead = self.ahead = self.after_cut(synchronous, acked)
        if rnd.random() < 0.75:
            weir.start()
            if self.found.check(case.joined(), "no replication after the cut: %s" % weir.lines()[-3:]):
                self.ahead = not case.matches()
            for line in weir.logged("level=ERROR"):
                self.found.add("weir logged: " + line)
            if ahead:
                self.told()
        if ahead:
            self.forks.append(before[-1])
            self.counts["forks"] += 1
        if held:
            held.close()
        self.counts["cuts"] += 1

    def end(self):
        case = self.case
        if not case.weir.process:
            case.weir.start()
            case.joined()
        case.matches()
        case.stop()
        case.note_objects()
        there = kit.txids(case.replica)
        case.judge_txids(may_go_back=[min((t for t in there if t > f), default=0) for f in self.forks])
        self.counts["txids"] += len(there)

    def away(self):
        if self.case.weir.process and self.case.weir.process.poll() is None:
            self.case.weir.kill()
        self.disk.unmount()
        if not self.found.lines:
            os.remove(self.disk.image)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weir", type=os.path.abspath)
    p.add_argument("--cuts", type=int, default=20)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    kit.private_mounts()
    why = possible()
    if why:
        kit.skip("powercut", why)
    found = kit.Findings("powercut")
    counts = collections.Counter()
    for number in range(0, args.cuts, CUTS_A_DISK):
        found.where = "disk %d: " % number
        r = Round(args, found, number, counts)
        try:
            for i in range(number, min(number + CUTS_A_DISK, args.cuts)):
                synchronous = ("FULL", "NORMAL")[i % 2]
                found.where = "cut %d, %s: " % (i, synchronous)
                r.cycle(synchronous, "%d %d" % (args.seed, i))
            found.where = "disk %d, end: " % number
            r.end()
        finally:
            r.away()
    print(" ".join("%s=%d" % (k.replace(" ", "_"), v) for k, v in sorted(counts.items())), flush=True)
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""weir is killed at each system call of a run; the next start goes on as if nothing had been.

usage: killsweep.py WEIR [--every K] [--seed N] [--only first|next|live|restore|replace]

A run is recorded with strace, then repeated from the same files, each time killed on entry to another
(call, n). strace counts by thread: n goes up to what the busiest thread made. Calls that change nothing
are among them, since the ledger is written through memory in between. With --every K only every K-th.

first    `replicate -once` of a new database
next     `replicate -once` after some commits, with a replica and local state
live     `replicate`, beside an application that makes it checkpoint the WAL
         Judged as by kill9.py: every object that was there stays as it is; the next start goes on
         without warning, snapshot or leftovers; each TXID restores and its watermarks agree; the
         newest is the database byte for byte.
restore  `restore` to a new path: either nothing or all of it is there, and the next one completes it
replace  `restore -force`: the old database or the new one is there, whole, and then the new one

Prints one line per finding and exits 1 when there was any; 77 when strace cannot be used here.
"""
import argparse
import collections
import multiprocessing
import os
import re
import shutil
import subprocess
import sys

import kill9
import kit

CALLS = ("close,fallocate,fchmod,fchown,fcntl,fdatasync,fsync,ftruncate,inotify_add_watch,link,linkat,mkdir,"
         "mkdirat,msync,munmap,openat,poll,pread64,pwrite64,rename,renameat,renameat2,rmdir,sync_file_range,"
         "unlink,unlinkat,utimensat,write")
STRACE = ["strace", "-D", "-f", "-qq", "-e", "signal=none"]  # -D: what is started is weir, not strace
CALLED = re.compile(r"^(\d+) +([a-z0-9_]+)\(")
MOST = 100  # kills at the same call, evenly spread
STARTED = re.compile(r"libsqlite3|libcurl|/lib/|/proc/|/etc/")  # of no interest to a kill


def no_leaks():
    """LeakSanitizer cannot work while it is traced."""
    return dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")


def points(trace):
    """Where to kill: (call, n)."""
    threads = collections.Counter()
    skipped = collections.Counter()
    with open(trace, encoding="utf-8", errors="replace") as f:
        for line in f:
            m = CALLED.match(line)
            if m:
                threads[m.groups()] += 1
                skipped[m.groups()] += bool(STARTED.search(line))
    most, least = collections.Counter(), collections.defaultdict(lambda: 1 << 30)
    for (thread, call), n in threads.items():
        most[call] = max(most[call], n)
        least[call] = min(least[call], skipped[thread, call])
    return sorted((call, n) for call in most
                  for n in range(least[call] + 1, most[call] + 1, 1 + (most[call] - least[call]) // MOST))


class Replicating:
    """A run of `replicate`, from the same files each time."""

    def __init__(self, args, found, name):
        self.args, self.found, self.name = args, found, name
        self.checkpoints = 0
        self.case = case = kill9.Case(args, found, name)
        case.weir.env = no_leaks()
        held = multiprocessing.Event()
        app = multiprocessing.Process(target=kill9.hold, args=(case.path, held))
        app.start()
        if name != "first":
            case.weir.start()
            case.matches()
            case.change(2)
            case.matches()
            case.stop()
        case.change(3)
        app.kill()  # or its end would checkpoint
        app.join()
        self.kept = kill9.copy_of(case, name + "-kept", name != "first")
        self.replica = found.path(name + "-kept-replica")
        if name != "first":
            shutil.copytree(case.replica, self.replica)

    def again(self):
        """All files as at first."""
        case = self.case
        shutil.rmtree(case.state_dir, ignore_errors=True)
        os.makedirs(case.state_dir)
        kill9.put_back(case, self.kept)
        if self.name == "first":
            os.rmdir(case.state_dir)
        shutil.rmtree(case.replica, ignore_errors=True)
        if os.path.isdir(self.replica):
            shutil.copytree(self.replica, case.replica)
        case.seen.clear()
        case.note_objects()

    def run(self, tracer):
        """Its exit code; negative when killed."""
        weir, case = self.case.weir, self.case
        weir.tracer = tracer
        flags = weir.args[:]
        if self.name != "live":
            weir.args += ["-once"]
        weir.start()
        if self.name == "live":
            self.live()
        try:
            code = weir.process.wait(60)
        except subprocess.TimeoutExpired:
            weir.kill()
            code = None
        weir.args, weir.tracer = flags, []
        return code

    def live(self):
        """An application that writes until the WAL is checkpointed, and a bit more."""
        case, weir = self.case, self.case.weir

        def ended():
            return weir.process.poll() is not None
        kit.wait_until(lambda: ended() or weir.logged(" by="))
        held = multiprocessing.Event()
        app = multiprocessing.Process(target=kill9.hold, args=(case.path, held))
        app.start()  # the WAL stays when we close
        db = case.connect()
        db.execute("CREATE TABLE big AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1"
                   " FROM n WHERE i < 300) SELECT randomblob(4000) AS v FROM n")
        for _ in range(4):  # more than 1,000 frames
            db.execute("UPDATE big SET v = zeroblob(4000)")
        db.execute("DROP TABLE big")
        db.close()
        self.checkpoints += bool(kit.wait_until(lambda: ended() or kill9.backfilled(case.path) > 0, 5))
        case.change(2)
        if not ended():
            weir.process.terminate()
        held.set()
        app.join()

    def judge(self):
        case = self.case
        case.note_objects()
        case.weir.start()
        if self.found.check(case.joined(), "no replication after the kill: %s" % case.weir.lines()[-2:]):
            case.matches()
        case.judge_start("start")
        case.change(1)
        case.matches()
        case.stop()
        case.note_objects()
        left = [n for n in kit.objects(case.replica)[1]
                if os.path.getsize(os.path.join(case.replica, "ltx", n)) > 0]
        self.found.check(not left, "cut off uploads are left in the replica: %s" % left)
        case.judge_txids()


class Restoring:
    """A run of `restore`, to a new path or over an older database."""

    def __init__(self, args, found, name):
        self.args, self.found, self.name = args, found, name
        self.case = case = kill9.Case(args, found, name)
        self.target = found.path(name + "-target", "app.db")
        self.old = None
        case.weir.start()
        for i in range(4):
            case.change(3)
            case.matches()
            if i == 1 and name == "replace":
                self.old = kit.read(case.out)
        case.stop()
        self.new = kit.read(case.out)

    def again(self):
        shutil.rmtree(os.path.dirname(self.target), ignore_errors=True)
        os.makedirs(os.path.dirname(self.target))
        if self.old:
            with open(self.target, "wb") as f:
                f.write(self.old)

    def run(self, tracer):
        force = ["-force"] if self.old else []
        return subprocess.run([*tracer, self.args.weir, "restore", "-quiet", *force, "-o", self.target,
                               self.case.url], env=no_leaks(), capture_output=True).returncode

    def judge(self):
        there = kit.read(self.target) if os.path.exists(self.target) else None
        self.found.check(there in (self.old, self.new), "what is at the target is neither old nor new")
        if there == self.new:
            os.remove(self.target)
        code = self.run([])
        if self.found.check(code == 0, "the next restore ends with %s" % code):
            self.found.check(kit.read(self.target) == self.new, "the next restore gives something else")
        names = os.listdir(os.path.dirname(self.target))
        self.found.check(names == ["app.db"], "left behind: %s" % names)


def sweep(args, found, name):
    kind = Restoring if name in ("restore", "replace") else Replicating
    found.where = name + ": "
    subject = kind(args, found, name)
    trace = found.path(name + ".trace")
    subject.again()
    code = subject.run([*STRACE, "-o", trace, "-e", "trace=" + CALLS])
    found.check(code == 0, "the recorded run ends with %s" % code)
    found.check(name != "live" or subject.checkpoints, "the recorded run has no checkpoint")
    where = points(trace)
    chosen = where[(args.seed * 7919) % min(args.every, len(where))::args.every]
    killed = 0
    for call, n in chosen:
        found.where = "%s, killed at %s %d: " % (name, call, n)
        subject.again()
        code = subject.run([*STRACE, "-o", "/dev/null", "-e", "trace=" + call, "-e",
                            "inject=%s:signal=KILL:when=%d" % (call, n)])
        found.check(code in (0, -9), "ends with %s" % code)  # 0: this time no thread made as many
        killed += code == -9
        subject.judge()
    print("%s: calls=%d tried=%d killed=%d" % (name, len(where), len(chosen), killed), flush=True)
    return killed


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weir", type=os.path.abspath)
    p.add_argument("--every", type=int, default=1)
    kit.seed_of_today(p)
    names = ("first", "next", "live", "restore", "replace")
    p.add_argument("--only", choices=names)
    args = p.parse_args()
    if not shutil.which("strace") or subprocess.run([*STRACE, "-o", "/dev/null", "true"]).returncode != 0:
        kit.skip("killsweep", "needs strace, and to be allowed to trace")
    found = kit.Findings("killsweep")
    print("killsweep: --seed %d" % args.seed, flush=True)
    killed = sum(sweep(args, found, name) for name in ((args.only,) if args.only else names))
    found.where = ""
    found.check(killed > 0, "nothing was killed")  # of a few calls in one kind of run maybe none
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

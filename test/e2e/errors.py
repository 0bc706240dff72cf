#!/usr/bin/python3
"""System calls of a running weir fail for a while; it says so, and goes on by itself afterwards.

usage: errors.py WEIR [--quick] [--seed N] [CALL...]

replicate   strace attaches to a running weir and lets one call fail, all of them or some: EIO as from a
            dying disk, a failed fsync, ENOSPC, no descriptors, no memory. Meanwhile the application
            commits, and enough for a checkpoint. Judged:
              the application sees no error, and weir does not end
              weir logs a warning or an error, unless it can do without
              when strace lets go it catches up without a restart: the newest restored state is the
              database, no object has vanished or changed, each TXID restores, as in kill9.py
restore     A call of `restore -force` fails: exit code 1, the reason in the message, the target as it
            was, nothing left behind; or it can do without the call, which it cannot where it writes, syncs
            or renames, and the target is the new one.

Full disks are in bad_disk.py. Prints one line per finding and exits 1 when there was any; 77 when
strace cannot be used here.
"""
import argparse
import os
import shutil
import signal
import subprocess
import sys
import time

import kill9
import killsweep
import kit

# Call, error, and which of its calls: all, or strace's `when`.
WHILE_RUNNING = (
    ("fsync", "EIO", ""), ("fsync", "EIO", ":when=1+3"), ("fdatasync", "EIO", ""), ("pwrite64", "EIO", ""),
    ("pwrite64", "EIO", ":when=2+5"), ("pwrite64", "ENOSPC", ""), ("pread64", "EIO", ""),
    ("pread64", "EIO", ":when=3+20"), ("openat", "EMFILE", ""), ("openat", "EIO", ""), ("renameat2", "EIO", ""),
    ("ftruncate", "EIO", ""), ("mmap", "ENOMEM", ""), ("getdents64", "EIO", ""), ("unlink,unlinkat", "EIO", ""),
    ("fsync,fdatasync,pwrite64,pread64", "EINTR", ":when=1+4"),
)
QUIET = ("mmap", "getdents64", "unlink,unlinkat")  # it can do without them
WHILE_RESTORING = (("pwrite64", "EIO"), ("pwrite64", "ENOSPC"), ("fsync", "EIO"), ("pread64", "EIO"),
                   ("ftruncate", "ENOSPC"), ("rename", "EIO"), ("openat", "EMFILE"), ("fchmod", "EIO"),
                   ("fchown", "EPERM"))
NEEDED = ("pwrite64", "fsync", "ftruncate", "rename")  # no restore is done without these
OF_THE_REPLICA = ("pread64", "openat")  # the loader makes such calls, too
PATIENCE = 20  # seconds until a call that is made now and then is made on a busy machine


def commits(case, app_errors):
    """Some small ones, and one after which a checkpoint is due."""
    try:
        case.change(3)
        db = case.connect()
        db.execute("UPDATE filler SET v = zeroblob(length(v))")
        db.execute("UPDATE filler SET v = randomblob(length(v))")
        db.close()
        case.change(2)
    except Exception as e:
        app_errors.append(str(e))


class Fault:
    """Calls of a running process fail until `end`."""

    def __init__(self, pid, call, error, when, log):
        self.log = log
        args = ["strace", "-f", "-qq", "-o", log, "-e", "trace=" + call, "-e", "signal=none", "-e",
                "inject=%s:error=%s%s" % (call, error, when), "-p", str(pid)]
        self.strace = subprocess.Popen(args, stderr=subprocess.DEVNULL)
        self.traced = kit.wait_until(lambda: tracer_of(pid) == self.strace.pid, 10)

    def struck(self):
        """How often, so far."""
        return kit.read(self.log).count(b"(INJECTED)")

    def end(self):
        self.strace.send_signal(signal.SIGINT)
        self.strace.wait(20)
        return self.struck()


def tracer_of(pid):
    with open("/proc/%d/status" % pid, encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("TracerPid"))


def running(args, found, number, call, error, when):
    found.where = "%s %s%s: " % (call, error, when)
    case = kill9.Case(args, found, "run%d" % number)
    found.where = "%s %s%s: " % (call, error, when)
    db = case.connect()
    db.execute("INSERT INTO filler WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)"
               " SELECT zeroblob(4000) FROM n")
    weir, said = case.weir, []
    weir.start()
    case.joined()
    case.matches()
    case.note_objects()
    fault = Fault(weir.process.pid, call, error, when, found.path("strace%d" % number))
    found.check(fault.traced, "strace does not attach")
    end = time.monotonic() + args.seconds
    while time.monotonic() < end or not fault.struck() and time.monotonic() < end + PATIENCE:
        commits(case, said)
        time.sleep(0.1)
    struck = fault.end()
    found.check(not said, "the application saw %s" % said)
    found.check(weir.process.poll() is None, "weir ended: %s" % weir.lines()[-1:])
    loud = [line for line in weir.lines() if "level=WARN" in line or "level=ERROR" in line]
    found.check(struck > 0, "no such call")
    found.check(loud or call in QUIET, "nothing was logged about it")
    commits(case, said)
    start = time.monotonic()
    case.matches()
    took = time.monotonic() - start
    db.close()
    case.stop()
    case.note_objects()
    case.judge_txids()
    print("%-34s struck=%d warned=%d caught_up_s=%.1f" % (
        call + " " + error + when, struck, len(loud), took), flush=True)
    return struck, len(loud)


def restoring(args, found, subject, call, error):
    """Each of the first few such calls alone, then all of them."""
    struck = refused = 0
    for when in [":when=%d" % n for n in (1, 2, 5)] + [""]:
        found.where = "restore, %s %s%s: " % (call, error, when)
        subject.again()
        log = found.path("restore.trace")
        paths = list(kit.objects(subject.case.replica)[0].values()) if call in OF_THE_REPLICA else []
        r = subprocess.run(["strace", "-f", "-qq", "-o", log, "-e", "trace=" + call, "-e", "signal=none", "-e",
                            "inject=%s:error=%s%s" % (call, error, when),
                            *(a for path in paths for a in ("-P", path)), args.weir, "restore", "-quiet", "-force",
                            "-o", subject.target, subject.case.url], capture_output=True, text=True,
                           env=killsweep.no_leaks(), timeout=60)
        hit = kit.read(log).count(b"(INJECTED)")
        struck += hit
        refused += r.returncode != 0
        now = kit.read(subject.target)
        found.check(r.returncode in (0, 1), "exit code %s: %s" % (r.returncode, r.stderr))
        found.check(r.returncode == 1 or not hit or call not in NEEDED, "it takes no notice: %s" % r.stderr)
        found.check(now == subject.new or r.returncode == 1 and now == subject.old, "the target is something else")
        found.check(now == subject.old or r.returncode == 0 or "sync" in r.stderr,
                    "refused, but the target is the new one: %s" % r.stderr)
        found.check(r.returncode == 0 or "Error: " in r.stderr, "no reason: %s" % r.stderr)
        names = os.listdir(os.path.dirname(subject.target))
        found.check(names == ["app.db"], "left behind: %s: %s" % (names, r.stderr))
    found.check(struck > 0, "restore, %s: no such call" % call)
    print("restore %-26s struck=%d refused=%d" % (call + " " + error, struck, refused), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weir", type=os.path.abspath)
    p.add_argument("calls", nargs="*")
    p.add_argument("--quick", action="store_true", help="every second fault of the running one")
    p.add_argument("--seconds", type=float, default=0.5)
    kit.seed_of_today(p)
    args = p.parse_args()
    trial = [*killsweep.STRACE, "-o", "/dev/null", "true"]
    if not shutil.which("strace") or subprocess.run(trial).returncode != 0:
        kit.skip("errors", "needs strace, and to be allowed to trace")
    found = kit.Findings("errors")
    print("errors: --seed %d" % args.seed, flush=True)
    sanitized = b"__asan_init" in kit.read(args.weir)  # which ends the program when mmap fails
    for number, (call, error, when) in enumerate(WHILE_RUNNING):
        if sanitized and call == "mmap":
            continue
        if call in args.calls or not args.calls and not (args.quick and (number + args.seed) % 2):
            running(args, found, number, call, error, when)
    subject = killsweep.Restoring(args, found, "replace")
    for call, error in WHILE_RESTORING:
        if not args.calls or call in args.calls:
            restoring(args, found, subject, call, error)
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

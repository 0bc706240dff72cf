#!/usr/bin/python3
"""Instructions and system calls for fixed work are no more than they were.

usage: counts.py WORK [--record]

Runs each kind of work (work.c) under callgrind and adds up what was executed in files of src/, headers included:
what the C library, SQLite, LZ4 and OpenSSL do is left out, as it depends on their versions and on the processor.
An instruction is no second, but the number is the same on a busy machine, and it shows a loop that became
quadratic, a checksum that is made twice, a lock that is taken for each page.

On a processor without carry-less multiplication checksums take far more: there instructions are not judged.

System calls are counted with strace, all of them. So are the bytes of code and constants that a program has of what is
below the command line: the goal for the whole of it is in bench/README.md, and it is passed by a little each day.

The budgets are in budgets.json, per unit of work. Another compiler gives other numbers, so SLACK more is allowed;
much less is told, too, so that what was won is kept: --record writes them anew.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

KINDS = {"encode": "page", "decode": "page", "merge": "page", "restore": "page", "capture": "commit",
         "idle": "look at a silent database"}
UNITS = KINDS | {"lone": "commit", "core": "program"}
THREADED = {"lone"}  # of which only system calls are counted, those of the main thread left out
CALL = re.compile(r"^(\d+)\s+(\w+)\((.*)")
BUDGETS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "budgets.json")
SLACK = 0.20
SLACK_BYTES = 0.08
SLACK_THREADED = 0.40  # how often threads meet at a lock, and look too early, depends on the neighbours
LINE = re.compile(r"^\s*([\d,]+) \(.*?%\)\s+(\S*/src/\S+?):(\S+)")


def count(work, kind):
    """Units of work, and for each function of ours what it executed itself."""
    with tempfile.TemporaryDirectory(prefix="weir-counts-") as home:
        out = os.path.join(home, "callgrind.out")
        r = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out, "--collect-atstart=no",
                            "--toggle-collect=counted", work, kind, home], capture_output=True, text=True, timeout=300)
        if r.returncode:
            sys.exit("counts: %s: %s" % (kind, r.stderr[-800:]))
        text = subprocess.run(["callgrind_annotate", "--threshold=100", out], capture_output=True, text=True, check=True,
                              timeout=120).stdout
    found = {}
    for line in text.splitlines():
        m = LINE.match(line)
        if m and "/sqlite3" not in m.group(2):
            name = m.group(2).rsplit("/src/", 1)[1] + ":" + m.group(3)
            found[name] = found.get(name, 0) + int(m.group(1).replace(",", ""))
    return int(r.stdout), found


def calls(work, kind):
    """Units of work, and how often each system call was made for them."""
    with tempfile.TemporaryDirectory(prefix="weir-counts-") as home:
        out = os.path.join(home, "strace.out")
        r = subprocess.run(["strace", "-f", "-qq", "-o", out, work, kind, home], capture_output=True, text=True, timeout=300)
        if r.returncode:
            sys.exit("counts: %s: %s" % (kind, r.stderr[-800:]))
        found, main = {}, None
        with open(out, encoding="utf-8", errors="replace") as f:
            for line in f:
                m = CALL.match(line)
                if m and m.group(3).startswith('-1, "begin"'):
                    main = m.group(1)
                elif m and m.group(3).startswith('-1, "end"'):
                    main = None
                elif m and main and (kind not in THREADED or m.group(1) != main):
                    found[m.group(2)] = found.get(m.group(2), 0) + 1
    return int(r.stdout), found


def size(program):
    """Bytes of each section that is loaded and never written."""
    r = subprocess.run(["size", "-A", "-d", program], capture_output=True, text=True, check=True, timeout=60)
    rows = [line.split() for line in r.stdout.splitlines()]
    return {row[0]: int(row[1]) for row in rows if row and row[0] in (".text", ".rodata", ".eh_frame", ".data.rel.ro")}


class Judge:
    def __init__(self, record):
        self.record, self.failed = record, 0
        with open(BUDGETS, encoding="utf-8") as f:
            self.budgets = json.load(f)

    def look(self, what, kind, units, found, digits):
        each, budget = sum(found.values()) / units, self.budgets.get(what, {}).get(kind, 0)
        slack = SLACK_THREADED if kind in THREADED else SLACK_BYTES if what == "bytes" else SLACK
        over = each > budget * (1 + slack) and not self.record
        print("%-8s %9.*f %s a %s, budget %.*f%s"
              % (kind, digits, each, what, UNITS[kind], digits, budget, ": OVER IT" if over else
                 ": less, record it" if each < budget * (1 - slack) else ""), flush=True)
        if over:
            self.failed += 1
            for name, n in sorted(found.items(), key=lambda x: -x[1])[:12]:
                print("  %9.*f %s" % (digits, n / units, name))
        self.budgets.setdefault(what, {})[kind] = round(each, digits)

    def end(self):
        if self.record:
            with open(BUDGETS, "w", encoding="utf-8") as f:
                json.dump(self.budgets, f, indent=4)
                f.write("\n")
        return 1 if self.failed else 0


def has_clmul():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            return "pclmulqdq" in f.read()
    except OSError:
        return False


def main():
    work, judge = sys.argv[1], Judge("--record" in sys.argv[2:])
    if has_clmul():
        for kind in KINDS:
            units, found = count(work, kind)
            if not found:
                sys.exit("counts: %s: nothing was counted" % kind)
            judge.look("instructions", kind, units, found, 0)
    else:
        print("counts: instructions are not judged: this processor has no carry-less multiplication", flush=True)
    for kind in ("restore", "capture", "idle", "lone"):
        units, found = calls(work, kind)
        if not found:
            sys.exit("counts: %s: no system call was counted" % kind)
        judge.look("system calls", kind, units, found, 3)
    judge.look("bytes", "core", 1, size(work), 0)
    return judge.end()


if __name__ == "__main__":
    sys.exit(main())

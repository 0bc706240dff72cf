#!/usr/bin/python3
"""Bad input of every kind: a clear message, the exit code the manual promises, and nothing lost.

usage: badinput.py WEIR [-v] [CASE...]

The cases are in the bad_*.py files beside this one; each judges the exit code, that the message says
what, where and what to do, and that databases and replicas are what they were. They mostly wait, so
several run at a time. -v shows every command and what it said.
"""
import concurrent.futures
import os
import sys
import time
import traceback

import bad_database
import bad_disk
import bad_process
import bad_replica
import bad_restore
import bad_usage
import kit
from badkit import CASES, Case, Skip

AT_ONCE = 6
PARTS = (bad_database, bad_disk, bad_process, bad_replica, bad_restore, bad_usage)


def run(exe, function, verbose):
    box = Case(exe, function.__name__, verbose)
    start = time.monotonic()
    skipped = ""
    try:
        function(box)
    except Skip as why:
        skipped = "skipped %s: %s" % (box.name, why)
    except Exception:  # a broken case is a finding, and the others still run
        box.add("the case itself failed: " + traceback.format_exc())
    took = time.monotonic() - start
    if verbose:
        print("%s%.1f s" % (box.where, took), flush=True)
    return box.end(), skipped


def main():
    kit.private_mounts()
    verbose = "-v" in sys.argv
    names = [a for a in sys.argv[1:] if a != "-v"]
    exe, wanted = os.path.abspath(names[0]), names[1:]
    for name in ("LITESTREAM_CONFIG", "LOG_LEVEL"):
        os.environ.pop(name, None)
    chosen = [f for f in CASES if f.__name__ in wanted or not wanted and not hasattr(f, "slow")]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(lambda f: run(exe, f, verbose), chosen))
    for _, skipped in results:
        if skipped:
            print(skipped)
    bad = sum(r[0] for r in results)
    print("%d cases, %d failed" % (len(results), bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

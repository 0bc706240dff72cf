#!/usr/bin/python3
"""The loadable extension in programs that others wrote: Python's SQLite, and the sqlite3 shell.

usage: vfs.py WEIR EXTENSION DATA [--quick] [--cache DIR] [--only CASE...]
       radosgw.sh vfs.py WEIR EXTENSION DATA --s3

Real replicas, written by `weir replicate` with levels and retention of seconds, or by Litestream (DATA is
test/data; its extension is fetched once into DIR, as by oracle.py). Each case is named after what the original
does wrong, and is a process of its own. Prints one line per case and finding, and exits 1 when there was any
finding.
"""
import argparse
import os
import sys

import vfskit
import vfs_copy  # noqa: F401 cases
import vfs_faults  # noqa: F401 cases
import vfs_follow  # noqa: F401 cases
import vfs_host  # noqa: F401 cases
import vfs_same  # noqa: F401 cases
import vfs_shared  # noqa: F401 cases
import vfs_speed  # noqa: F401 cases


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("weir")
    parser.add_argument("so")
    parser.add_argument("data")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--cache", default=os.environ.get("WEIR_ORACLE_CACHE", "."))
    parser.add_argument("--only", nargs="*")
    args = parser.parse_args()
    args.weir, args.so, args.data, args.cache = map(os.path.abspath, (args.weir, args.so, args.data, args.cache))
    vfskit.become_host("e2e/vfs", args.so)
    for name in list(os.environ):
        if name.startswith(("LITESTREAM_", "WEIR_REPLICA")):
            del os.environ[name]
    cases = [c for c in vfskit.CASES if hasattr(c, "s3") == args.s3 and (not args.only or c.__name__ in args.only)]
    bad = sum(bool(vfskit.run_case(c, args)) for c in cases)
    print("%d cases, %d failed" % (len(cases), bad))
    return 1 if bad or not cases else 0


if __name__ == "__main__":
    sys.exit(main())

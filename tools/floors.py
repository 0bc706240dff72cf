#!/usr/bin/env python3
"""Check who may know whom in src/: usage floors.py [ROOT], silent when all is well.

The sources are floors of a house. A file may include headers of its own floor and of the floors
listed for it below, which are all further up the list; nothing ever points down. Beside that:

- Only src/sqlite includes SQLite's headers, but for the one by which the extension has the SQLite of
  its host (src/vfs/host.h), and only it makes the names of a database's "-wal" and "-shm" files. Whoever opens one of those and closes it again drops every lock that this process
  has on the database.
- Only src/base/mem.c may name the C library's heap.
- Only the floors on top see the public header.
"""
import os
import re
import sys

MAY_SEE = {
    "base": set(),
    "run": {"base"},
    "net": {"base"},
    "ltx": {"base"},
    "sqlite": {"base"},
    "storage": {"base", "net"},
    "engine": {"base", "run", "ltx", "sqlite", "storage"},
    "vfs": {"base", "run", "ltx", "sqlite", "storage", "engine"},
    "api": {"base", "run", "storage", "engine"},
    "daemon": {"base"},
    "cli": {"base", "daemon"},
}
MAY_SEE_PUBLIC = {"vfs", "api", "daemon", "cli"}

# Where a string may contain "-wal" or "-shm" outside of src/sqlite, and why.
MAY_NAME_SIDECARS = {
    "daemon/config_dir.c": "passes over the files of a directory that have such names, opens none",
    "cli/": "messages that name the files to the user",
    "engine/place_check.c": "finds them beside a restore's target by stat(2), which opens nothing",
    "engine/place_swap.c": "moves those by rename(2), and tells which",
    "engine/leftovers.c": "what it opens ends in .tmp-<random>-wal and is nobody's",
}

MAY_NAME_HEAP = "base/mem.c"
HOST = "vfs/host.h"

# A comment, a string or a character: whichever starts first decides where it ends.
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*["<]([^">]+)[">]', re.M)
SIDECAR = re.compile(r"-(wal|shm)(?![-\w])")
HEAP = re.compile(r"^[ \t]*#[ \t]*define[ \t]+WR_MEM_IMPLEMENTATION\b", re.M)


def blank_comments(text):
    """The text with comments blanked out, lines kept."""

    def blank(match):
        token = match.group()
        return re.sub(r"[^\n]", " ", token) if token[0] == "/" else token

    return TOKEN.sub(blank, text)


def check_include(path, header):
    """What is wrong with a file including this header, or None."""
    floor = path.split("/")[0]
    if header == "sqlite3ext.h":
        return None if path == HOST else "only src/%s includes <%s>" % (HOST, header)
    if header == "sqlite3.h":
        return None if floor == "sqlite" else "only src/sqlite includes <%s>" % header
    if floor == "vfs" and header.startswith("sqlite/"):
        return 'vfs must not see "%s": it has the SQLite of its host' % header
    if header == "weir.h":
        return None if floor in MAY_SEE_PUBLIC else "%s is below the public header" % floor
    other = header.split("/")[0]
    if "/" not in header or other not in MAY_SEE or other == floor or other in MAY_SEE[floor]:
        return None
    return '%s must not see "%s"' % (floor, header)


def check_file(path, text):
    """The faults of one file: (line, what). `path` is relative to src/."""
    floor = path.split("/")[0]
    code = blank_comments(text)
    found = []

    def add(match, what):
        found.append((code.count("\n", 0, match.start()) + 1, what))

    if floor not in MAY_SEE:
        return [(1, "src/%s is no floor; tools/floors.py lists them" % floor)]
    for match in INCLUDE.finditer(code):
        fault = check_include(path, match.group(1))
        if fault:
            add(match, fault)
    if path != MAY_NAME_HEAP:
        for match in HEAP.finditer(code):
            add(match, "only src/%s may use the C library's heap" % MAY_NAME_HEAP)
    if floor != "sqlite" and not any(path.startswith(prefix) for prefix in MAY_NAME_SIDECARS):
        for match in TOKEN.finditer(code):
            if match.group()[0] == '"' and SIDECAR.search(match.group()):
                add(match, "only src/sqlite makes the name of a -wal or -shm file")
    return sorted(found)


def main():
    root = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else os.getcwd()
    src = os.path.join(root, "src")
    files = 0
    faults = 0

    for folder, folders, names in os.walk(src):
        folders.sort()
        for name in sorted(names):
            if not name.endswith((".c", ".h")):
                continue
            full = os.path.join(folder, name)
            with open(full, encoding="utf-8") as f:
                text = f.read()
            files += 1
            for line, what in check_file(os.path.relpath(full, src), text):
                print("%s:%d: %s" % (os.path.relpath(full, root), line, what))
                faults += 1
    if files == 0:
        print("no sources below %s" % src)
        faults += 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

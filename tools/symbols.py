#!/usr/bin/env python3
"""Check external symbols: usage symbols.py BUILD [ROOT], silent when all is well.

Reads, with nm, the objects that BUILD/compile_commands.json lists, so leftovers of deleted sources
do not count. Objects of sources below ROOT/src are the product, all others are tests.

- Every external symbol of the product starts wr_ or weir_, except main and what SQLite calls when
  it loads an extension: sqlite3_<name>_init.
- A wr_ symbol that no other source uses, of the product or of the tests, fails: make it static or
  delete it. weir_ is the public API; its users are elsewhere.
- A shared library exports weir_ symbols and nothing else, unless it is a test's, below BUILD/test.
  The extension exports what SQLite calls, and uses nothing of SQLite but by the table that it gets.
- No such library can be unmapped: SQLite keeps its VFSes for as long as the process lives.
"""
import json
import os
import re
import subprocess
import sys


SHARED = re.compile(r".*\.so(\.[0-9.]+)?")
STAYS = re.compile(r"\(FLAGS_1\).*\bNODELETE\b")
ENTRY = re.compile(r"sqlite3_[a-z0-9]+_init")


def read_symbols(paths, dynamic=False):
    """{path: (defined, used)}: the external names of objects, without the compiler's own."""
    symbols = {path: (set(), set()) for path in paths}
    command = ["nm", "-A", "-P", "-g"] + (["-D"] if dynamic else []) + paths
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)

    for line in result.stdout.splitlines():
        path, _, rest = line.partition(": ")
        name, kind = rest.split()[:2]
        if not name.startswith("_"):  # reserved: start-up code, what sanitizers and coverage add
            symbols[path][kind in "Uwv"].add(name)
    return symbols


def objects_of(build):
    """(source, object) for every source that is compiled, both absolute."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as f:
        for entry in json.load(f):
            here = entry["directory"]
            yield (
                os.path.realpath(os.path.join(here, entry["file"])),
                os.path.join(here, entry["output"]),
            )


def check_objects(build, root):
    """The faults of all objects, one line each."""
    src = os.path.join(root, "src") + os.sep
    definers = {}  # name: sources of the product
    users = {}  # name: any sources
    sources = {}  # object: source

    for source, obj in objects_of(build):
        if os.path.exists(obj):
            sources[obj] = source
        else:
            yield "%s is not built" % os.path.relpath(obj, build)
    if not any(source.startswith(src) for source in sources.values()):
        yield "no objects of %s in %s" % (src, build)
        return
    for obj, (defined, used) in read_symbols(list(sources)).items():
        for name in used:
            users.setdefault(name, set()).add(sources[obj])
        if sources[obj].startswith(src):
            for name in defined:
                definers.setdefault(name, set()).add(sources[obj])
    for name in sorted(definers):
        where = ", ".join(sorted(os.path.relpath(s, root) for s in definers[name]))
        if name == "main" or name.startswith("weir_") or ENTRY.fullmatch(name):
            continue
        if not name.startswith("wr_"):
            yield "%s: external symbol %s must start with wr_, or be static" % (where, name)
        elif not users.get(name, set()) - definers[name]:
            yield "%s: nobody else uses %s: make it static, or delete it" % (where, name)


def stays(path):
    """Whether a shared library is linked with -z nodelete."""
    result = subprocess.run(["readelf", "-W", "-d", path], stdout=subprocess.PIPE, text=True, check=True)
    return STAYS.search(result.stdout) is not None


def check_libraries(build):
    for folder, folders, names in os.walk(build):
        if folder == build and "test" in folders:
            folders.remove("test")
        for name in sorted(names):
            path = os.path.join(folder, name)
            if not SHARED.fullmatch(name) or os.path.islink(path):
                continue
            if not stays(path):
                yield "%s can be unmapped" % name
            defined, used = read_symbols([path], dynamic=True)[path]
            entries = {symbol for symbol in defined if ENTRY.fullmatch(symbol)}
            for symbol in sorted(defined - entries):
                if not symbol.startswith("weir_") or entries:
                    yield "%s exports %s" % (name, symbol)
            for symbol in sorted(used):
                if entries and symbol.startswith("sqlite3_"):
                    yield "%s uses %s of a SQLite of its own" % (name, symbol)


def main():
    build = os.path.realpath(sys.argv[1])
    root = os.path.realpath(sys.argv[2] if len(sys.argv) > 2 else os.getcwd())
    faults = list(check_objects(build, root)) + list(check_libraries(build))

    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

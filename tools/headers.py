#!/usr/bin/env python3
"""Check that each header compiles alone: usage headers.py [ROOT], silent when all is well.

A header that needs another one to come first breaks whoever sorts includes. Each is included twice,
so that a missing guard shows. include/weir.h must be C99 and C++ as well: it is for other people's
programs. The compiler is $CC or cc, for C++ $CXX or c++.
"""
import concurrent.futures
import os
import shlex
import subprocess
import sys

STRICT = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror"]
# As in meson.build.
DEFINES = ["-D_POSIX_C_SOURCE=200809L", "-D_FILE_OFFSET_BITS=64", '-DWEIR_VERSION_STRING="0"']
PUBLIC = "weir.h"


def dialects(name):
    """(compiler, flags) for all that the header must be."""
    cc = shlex.split(os.environ.get("CC", "cc"))
    cxx = shlex.split(os.environ.get("CXX", "c++"))

    yield cc, ["-std=c11", "-x", "c"] + DEFINES
    if name == PUBLIC:
        yield cc, ["-std=c99", "-pedantic", "-x", "c"]
        yield cxx, ["-std=c++11", "-pedantic", "-x", "c++"]


def compile_alone(root, name, compiler, flags):
    """What the compiler says, empty when it is content."""
    command = compiler + STRICT + flags
    command += ["-I", os.path.join(root, "include"), "-I", os.path.join(root, "src"), "-"]
    try:
        result = subprocess.run(
            command,
            input='#include "%s"\n#include "%s"\n' % (name, name),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    except OSError as error:
        return "%s: %s\n" % (compiler[0], error)
    if result.returncode == 0:
        return ""
    return "%s alone, as %s:\n%s" % (name, flags[0], result.stdout)


def find_headers(root):
    for top in ("include", "src"):
        start = os.path.join(root, top)
        for folder, _, names in os.walk(start):
            for name in names:
                if name.endswith(".h"):
                    yield os.path.relpath(os.path.join(folder, name), start)


def main():
    root = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else os.getcwd()
    names = sorted(find_headers(root))
    jobs = [(root, name, cc, flags) for name in names for cc, flags in dialects(name)]

    if not jobs:
        print("no headers below %s" % root)
        return 1
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        faults = [text for text in pool.map(lambda job: compile_alone(*job), jobs) if text]
    print("\n".join(faults), end="")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

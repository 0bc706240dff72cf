#!/usr/bin/env python3
"""Check what is loaded at first use: usage libraries.py PROGRAM LINKED FILE..., silent when all is well.

PROGRAM, and each FILE, an executable or a shared library, loads some of its libraries when it first
needs them, by a name that is written into it (src/base/library.h). LINKED is linked with all of these:
so the linker has written there by which names the libraries of this machine want to be found.

- PROGRAM has each of these names.
- Neither PROGRAM nor a FILE is linked with any of them.
"""
import re
import subprocess
import sys

NEEDED = re.compile(r"\(NEEDED\).*\[(.*)\]")
ALWAYS = re.compile(r"(libc|libm|libdl|libpthread|lib[a-z]*san|ld-linux.*|libgcov|libgcc_s)\.so\.\d+$")


def needed(path):
    """The libraries that a file is linked with, without the C library's."""
    result = subprocess.run(["readelf", "-W", "-d", path], stdout=subprocess.PIPE, text=True, check=True)
    return {name for name in NEEDED.findall(result.stdout) if not ALWAYS.match(name)}


def main():
    program, linked, files = sys.argv[1], sys.argv[2], sys.argv[3:]
    names = needed(linked)
    faults = 0

    with open(program, "rb") as f:
        code = f.read()
    if not names:
        print("%s is linked with nothing" % linked)
        faults += 1
    for name in sorted(names):
        if b"\0" + name.encode() + b"\0" not in code:
            print("%s does not know %s" % (program, name))
            faults += 1
    for path in [program] + files:
        for name in sorted(needed(path) & names):
            print("%s is linked with %s" % (path, name))
            faults += 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

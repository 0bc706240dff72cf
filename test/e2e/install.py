#!/usr/bin/python3
"""What `meson install` leaves behind, and whether it works from there.

usage: install.py BUILD

The list of files is compared with the one below, the program is run from where it was installed,
and a small C program is compiled against the header, the pkg-config file and the library, and
replicates a database. BUILD must be built; it is installed from as it is, sanitizers and all. Whether
the name `litestream` is an option of choice is looked up in another, fresh build directory, which is
not built.

Prints one line per finding and exits 1 when there was any.
"""
import fnmatch
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys

import kit

WANTED = """
bin/weir
include/weir.h
lib/*libweir.so
lib/*libweir.so.0
lib/*libweir.so.0.1.0
lib/*pkgconfig/weir.pc
lib/*weir/weir.so
lib/systemd/system/weir.service
lib/sysusers.d/weir.conf
share/bash-completion/completions/weir
share/doc/weir/LICENSE
share/doc/weir/README.md
share/doc/weir/examples/as-root.conf
share/doc/weir/examples/docker/Dockerfile
share/doc/weir/examples/docker/compose.yml
share/doc/weir/examples/docker/weir.yml
share/doc/weir/examples/fly/Dockerfile
share/doc/weir/examples/fly/fly.toml
share/doc/weir/examples/fly/start.sh
share/doc/weir/examples/kubernetes/app.yml
share/doc/weir/examples/weir.yml
share/doc/weir/vfs.md
share/fish/vendor_completions.d/weir.fish
share/man/man1/weir.1
share/man/man5/weir.yml.5
share/man/man7/weir-monitoring.7
share/man/man7/weir-vfs.7
share/zsh/site-functions/_weir
""".split()

PROGRAM = r"""
#include <stdio.h>
#include <weir.h>

int main(int argc, char **argv)
{
    weir *w; weir_db *db; weir_error err;
    if (argc != 3 || weir_open(NULL, &w, &err) || weir_db_add(w, argv[1], NULL, &db, &err) ||
        weir_db_add_replica(db, argv[2], NULL, &err) || weir_close(w, 20000, &err))
        return fprintf(stderr, "%s\n", err.message), 1;
    return printf("%s %s\n", WEIR_VERSION, weir_version()) < 0;
}
"""


def run(args, **more):
    r = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, **more)
    return r.returncode, r.stdout.strip()


def installed(top):
    return sorted(os.path.relpath(os.path.join(at, name), top)
                  for at, _, names in os.walk(top) for name in names)


def compare(found, names):
    for pattern in WANTED:
        if len(fnmatch.filter(names, pattern)) != 1:
            found.add("not installed: %s" % pattern)
    for name in names:
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in WANTED):
            found.add("installed, and not in the list: %s" % name)


def sanitized(library):
    """The flags with which a program must be compiled for it; [] for an ordinary build."""
    code, text = run(["readelf", "-d", library])
    found = [what for so, what in (("libasan", "address"), ("libubsan", "undefined")) if so in text]
    return ["-fsanitize=" + ",".join(found)] if code == 0 and found else []


def flags(found, top, *what):
    """What pkg-config says of the installed library, wherever it lies."""
    pc = [n for n in installed(top) if n.endswith("weir.pc")]
    if not pc:
        return []
    at = os.path.join(top, os.path.dirname(pc[0]))
    code, text = run(["pkg-config", "--define-variable=prefix=" + top, *what, "weir"],
                     env=dict(os.environ, PKG_CONFIG_PATH=at))
    found.check(code == 0, "pkg-config: %s" % text)
    return shlex.split(text) if code == 0 else []


def try_program(found, exe, version):
    """The installed program copies a database and brings it back."""
    db, out = found.path("app.db"), found.path("back.db")
    con = sqlite3.connect(db)
    con.execute("PRAGMA journal_mode=wal")
    con.execute("CREATE TABLE t AS SELECT 'installed' AS v")
    con.commit()
    con.close()
    code, text = run([exe, "version"])
    found.check(code == 0 and version in text, "the installed program says %s: %s" % (code, text))
    code, text = run([exe, "replicate", "-once", db, "file://" + found.path("replica")])
    found.check(code == 0, "replicate: %s %s" % (code, text))
    code, text = kit.restore(exe, "file://" + found.path("replica"), out)
    found.check(code == 0, "restore: %s %s" % (code, text))
    if code == 0:
        found.check(sqlite3.connect(out).execute("SELECT v FROM t").fetchall() == [("installed",)],
                    "the installed program lost data")


def try_library(found, exe, top, version):
    libraries = [n for n in installed(top) if n.endswith("libweir.so.0")]
    if not found.check(libraries, "no library to link"):
        return
    library = os.path.join(top, libraries[0])
    source, program = found.path("small.c"), found.path("small")
    with open(source, "w", encoding="utf-8") as f:
        f.write(PROGRAM)
    command = shlex.split(os.environ.get("CC", "cc")) + ["-std=c99", "-Wall", "-Werror", *sanitized(library),
               *flags(found, top, "--cflags"), source, "-o", program, *flags(found, top, "--libs")]
    code, text = run(command)
    if not found.check(code == 0, "a program cannot be compiled: %s" % text):
        return
    env = dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(library))
    replica = found.path("of-small")
    code, text = run([program, found.path("app.db"), "file://" + replica], env=env)
    found.check((code, text) == (0, "%s %s" % (version, version)), "the small program: %s %s" % (code, text))
    code, text = kit.restore(exe, "file://" + replica, found.path("small.db"))
    found.check(code == 0, "what the small program replicated does not restore: %s" % text)
    code, text = run(["c++", "-x", "c++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                      *flags(found, top, "--cflags"), os.path.join(top, "include", "weir.h")])
    found.check(code == 0, "the header is not C++: %s" % text)


def try_option(found, build, source):
    """`litestream` is installed by those who ask for it only."""
    code, text = run(["meson", "introspect", build, "--installed"])
    found.check(code == 0 and "litestream" not in text, "litestream is installed by default")
    other = found.path("build")
    code, text = run(["meson", "setup", other, source, "-Dtests=false", "-Dlitestream=true"])
    if not found.check(code == 0, "meson setup: %s" % text[-300:]):
        return
    install = kit.read(os.path.join(other, "meson-private", "install.dat"))
    found.check(b"litestream.1" in install and re.search(rb"litestream[^.]", install),
                "-Dlitestream=true installs no litestream")


def main():
    build = os.path.abspath(sys.argv[1])
    found = kit.Findings("install")
    dest = found.path("dest")
    code, text = run(["meson", "install", "-C", build, "--no-rebuild", "--destdir", dest, "--quiet"])
    found.check(code == 0, "meson install: %s" % text[-500:])
    code, text = run(["meson", "introspect", build, "--buildoptions"])
    prefix = re.search(r'"name": "prefix", "value": "([^"]*)"', text).group(1)
    code, text = run(["meson", "introspect", build, "--projectinfo"])
    version = re.search(r'"version": "([^"]*)"', text).group(1)
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    top = dest + prefix
    if os.path.isdir(top):
        names = installed(top)
        compare(found, names)
        found.check(sorted(os.listdir(dest)) == [prefix.split("/")[1]], "outside of the prefix: %s" % os.listdir(dest))
        unit = kit.read(os.path.join(top, "lib/systemd/system/weir.service")).decode()
        found.check("ExecStart=%s/bin/weir replicate" % prefix in unit, "the unit does not start %s/bin/weir" % prefix)
        exe = os.path.join(top, "bin", "weir")
        try_program(found, exe, version)
        try_library(found, exe, top, version)
    try_option(found, build, source)
    shutil.rmtree(dest, ignore_errors=True)
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

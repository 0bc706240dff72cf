#!/usr/bin/python3
"""The Debian packages that tools/deb.sh makes, and whether they work.

usage: deb.py TREE

They are built from the tree. What is in them is compared with the list below; unpacked below a
directory the program replicates and restores, and a C program is built against the library and does
so, too. Then they are installed, upgraded, removed and purged by dpkg, on an overlay over this very
system that goes away with the test; that needs root, and overlays.

Prints one line per finding and exits 1 when there was any; 77 when skipped.
"""
import glob
import os
import re
import shutil
import sqlite3
import subprocess
import sys

import kit

WANTED = {
    "weir": """
lib/systemd/system/weir.service
usr/bin/weir
usr/lib/sysusers.d/weir.conf
usr/share/bash-completion/completions/weir
usr/share/doc/weir/README.md.gz
usr/share/doc/weir/changelog.gz
usr/share/doc/weir/copyright
usr/share/doc/weir/examples/as-root.conf
usr/share/doc/weir/examples/docker/Dockerfile
usr/share/doc/weir/examples/docker/compose.yml
usr/share/doc/weir/examples/docker/weir.yml
usr/share/doc/weir/examples/fly/Dockerfile
usr/share/doc/weir/examples/fly/fly.toml
usr/share/doc/weir/examples/fly/start.sh
usr/share/doc/weir/examples/kubernetes/app.yml
usr/share/doc/weir/examples/weir.yml
usr/share/doc/weir/vfs.md.gz
usr/share/fish/vendor_completions.d/weir.fish
usr/share/man/man1/weir.1.gz
usr/share/man/man5/weir.yml.5.gz
usr/share/man/man7/weir-monitoring.7.gz
usr/share/zsh/site-functions/_weir
""",
    "libweir0": """
usr/lib/ARCH/libweir.so.0
usr/lib/ARCH/libweir.so.0.1.0
usr/share/doc/libweir0/changelog.gz
usr/share/doc/libweir0/copyright
""",
    "libsqlite3-mod-weir": """
usr/lib/ARCH/weir/weir.so
usr/share/doc/libsqlite3-mod-weir/changelog.gz
usr/share/doc/libsqlite3-mod-weir/copyright
usr/share/man/man7/weir-vfs.7.gz
""",
    "libweir-dev": """
usr/include/weir.h
usr/lib/ARCH/libweir.so
usr/lib/ARCH/pkgconfig/weir.pc
usr/share/doc/libweir-dev/changelog.gz
usr/share/doc/libweir-dev/copyright
""",
}

# What dpkg-shlibdeps does not see: it is loaded at first use.
LOADED = {
    "weir": ["libcurl.so.4", "libcrypto.so.3", "libmicrohttpd.so.12"],
    "libweir0": ["libcurl.so.4", "libcrypto.so.3"],
    "libsqlite3-mod-weir": ["libcurl.so.4", "libcrypto.so.3"],
}

PROGRAM = r"""
#include <stdio.h>
#include <weir.h>

int main(int argc, char **argv)
{
    weir *w; weir_db *db; weir_error err;
    if (argc != 3 || weir_open(NULL, &w, &err) || weir_db_add(w, argv[1], NULL, &db, &err) ||
        weir_db_add_replica(db, argv[2], NULL, &err) || weir_close(w, 20000, &err))
        return fprintf(stderr, "%s\n", err.message), 1;
    return 0;
}
"""


def run(args, **more):
    r = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=500, **more)
    return r.returncode, r.stdout


def contents(package):
    _, text = run(["dpkg-deb", "-c", package])
    names = [line.split(None, 5)[5] for line in text.splitlines()]
    return sorted(re.sub(r" -> .*", "", n)[2:] for n in names if not n.endswith("/"))


def check_contents(found, packages, arch):
    for name, wanted in WANTED.items():
        want = sorted(wanted.replace("ARCH", arch).split())
        got = contents(packages[name])
        found.check(got == want, "%s lacks %s and has %s" % (name, set(want) - set(got), set(got) - set(want)))
    _, text = run(["dpkg-deb", "-f", packages["weir"], "Depends"])
    for library in ("libsqlite3-0", "libyaml-0-2"):
        found.check(library in text, "weir does not depend on %s: %s" % (library, text))
    for name, sonames in LOADED.items():
        _, text = run(["dpkg-deb", "-f", packages[name], "Depends"])
        for soname in sonames:
            owner = run(["dpkg", "-S", "/usr/lib/%s/%s" % (arch, soname)])[1].split(":")[0]
            found.check(owner and owner in text, "%s does not depend on %s, which has %s: %s" % (name, owner, soname, text))
    if shutil.which("lintian"):
        code, text = run(["lintian", "--fail-on", "error", "--suppress-tags",  # who maintains it is open
                          "bogus-mail-host,bogus-mail-host-in-debian-changelog", *packages.values()])
        found.check(code == 0, "lintian: " + text)
    else:
        print("not installed, so not asked: lintian")


def database(path, rows):
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=wal")
    db.execute("CREATE TABLE IF NOT EXISTS t(v)")
    for _ in range(rows):
        db.execute("INSERT INTO t VALUES(randomblob(100))")
    db.commit()
    found = db.execute("SELECT count(*) FROM t").fetchone()[0]
    db.close()
    return found


def rows_in(path):
    db = sqlite3.connect(path)
    found = db.execute("SELECT count(*) FROM t").fetchone()[0]
    db.close()
    return found


def check_unpacked(found, packages, arch):
    root = found.path("root")
    for package in packages.values():
        code, text = run(["dpkg", "-x", package, root])
        found.check(code == 0, "dpkg -x: " + text)
    weir, path, url = os.path.join(root, "usr/bin/weir"), found.path("app.db"), "file://" + found.path("replica")
    rows = database(path, 10)
    code, text = run([weir, "replicate", "-once", path, url])
    found.check(code == 0, "replicate: " + text)
    # The library, as a program that is built against it.
    with open(found.path("program.c"), "w", encoding="utf-8") as f:
        f.write(PROGRAM)
    lib = os.path.join(root, "usr/lib", arch)
    code, text = run(["cc", "-I" + os.path.join(root, "usr/include"), "-o", found.path("program"), found.path("program.c"),
                      "-L" + lib, "-lweir"])
    found.check(code == 0, "cc: " + text)
    rows = database(path, 5)
    code, text = run([found.path("program"), path, url], env=dict(os.environ, LD_LIBRARY_PATH=lib))
    found.check(code == 0, "the program: " + text)
    code, text = run([weir, "restore", "-o", found.path("out.db"), url])
    found.check(code == 0 and rows_in(found.path("out.db")) == rows, "restore: " + text)
    unit = kit.read(os.path.join(root, "lib/systemd/system/weir.service")).decode()
    found.check("ExecStart=/usr/bin/weir replicate\n" in unit, "the unit starts another program")


def check_installed(found, packages):
    """By dpkg, on a copy of this system."""
    over = found.path("over")
    os.mkdir(over)
    code, text = run(["mount", "-t", "tmpfs", "tmpfs", over])
    top = os.path.join(over, "root")
    for name in ("up", "work", "root"):
        os.mkdir(os.path.join(over, name))
    if code == 0:
        code, text = run(["mount", "-t", "overlay", "overlay", "-o", "lowerdir=/,upperdir=%s/up,workdir=%s/work"
                          % (over, over), top])
    if code != 0:
        print("skipped e2e/deb, the installation: no overlay: " + text.strip())
        return
    inside = os.path.join(top, "packages")
    os.mkdir(inside)
    for name in ("proc", "dev"):
        run(["mount", "--rbind", "/" + name, os.path.join(top, name)])
    for package in packages.values():
        shutil.copy(package, inside)
    names = ["/packages/" + os.path.basename(p) for p in packages.values()]

    def chroot(*args):
        return run(["chroot", top, *args], env=dict(os.environ, DEBIAN_FRONTEND="noninteractive", LC_ALL="C"))

    def step(*args):
        code, text = chroot(*args)
        found.check(code == 0, "%s: %s" % (" ".join(args), text))
        return text
    step("dpkg", "-i", *names)
    found.check("weir 0.1.0" in step("weir", "version", "-verbose"), "it is not on the path")
    found.check("/var/lib/weir" in step("getent", "passwd", "weir"), "the user is not there")
    found.check(not glob.glob(os.path.join(top, "etc/systemd/system/*.wants/weir.service")), "it is enabled")
    step("dpkg", "-i", *names)  # over itself, as an upgrade
    step("dpkg", "--purge", *packages)
    left = [n for n in contents(packages["weir"]) if os.path.exists(os.path.join(top, n))]
    found.check(not left, "left behind: %s" % left)
    shutil.rmtree(inside)


def main():
    kit.private_mounts()
    tree = os.path.abspath(sys.argv[1])
    if not shutil.which("dh") or not shutil.which("dpkg-buildpackage"):
        kit.skip("e2e/deb", "needs debhelper and dpkg-dev")
    found = kit.Findings("deb")
    code, text = run([os.path.join(tree, "tools", "deb.sh"), found.path("packages")])
    if not found.check(code == 0, "tools/deb.sh: " + text[-2000:]):
        return found.end()
    _, arch = run(["dpkg-architecture", "-qDEB_HOST_MULTIARCH"])
    packages = {name: glob.glob(found.path("packages", name + "_*.deb"))[0] for name in WANTED}
    check_contents(found, packages, arch.strip())
    check_unpacked(found, packages, arch.strip())
    if os.getuid() == 0:
        check_installed(found, packages)
    else:
        print("skipped e2e/deb, the installation: needs root")
    run(["umount", "-R", found.path("over", "root")])
    run(["umount", found.path("over")])
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Check the manual pages of docs/man: usage manuals.py ROOT WEIR, silent when all is well.

- mandoc has nothing to warn of. Where there is none that is left out, and said.
- What a page refers to is there: a page of ours, a section of its own.
- Each command that the program WEIR tells of has a section in weir(1), with all of its flags.
- Each key of the configuration that is read, or known and without effect, is in weir.yml(5).
"""
import glob
import os
import re
import shutil
import subprocess
import sys

TABLE = re.compile(r"const struct wr_key (\w+)_keys\[\] = \{\n(.*?)\n\};", re.S)
KEY = re.compile(r'\{\.name = "([^"]+)",\s*\.use = ([A-Z0-9_ |]+)')
HERE = {"READ", "IDLE", "ALL", "S3", "FILE"}  # of storage that is supported; or of none

# Tables that are not called as a mapping; None: of the entries of a list, told with that.
PLACES = {"wr_config_top": "", "wr_config_db": "", "wr_config_replica": "", "level": None}


def words(line):
    """What a line of mdoc says, without macros in it that only put it into another font."""
    return [word for word in line.split() if word not in (",", ".", "Ns", "No")]


def outline(lines):
    """The headings of a page, each with its lines."""
    found = {}
    title = ""
    for line in lines:
        if line.startswith((".Sh ", ".Ss ")):
            title = line[4:].strip().strip('"')
        found.setdefault(title, []).append(line)
    return found


def references(name, pages):
    """Pages and sections that are spoken of, and are not there."""
    headings = outline(pages[name])
    for number, line in enumerate(pages[name], 1):
        said = words(line)
        if line.startswith(".Xr weir") and ".".join(said[1:3]) not in pages:
            yield "%s:%d: there is no page %s(%s)" % (name, number, said[1], said[2])
        if line.startswith(".Sx ") and re.sub(r"( [.,;:)]+)+$", "", line[4:]) not in headings:
            yield "%s:%d: there is no section %s" % (name, number, line[4:])


def titles(name, lines):
    """What man(1) looks for is what the page calls itself."""
    title, section = name.rsplit(".", 1)
    if ".Dt %s %s" % (title.upper(), section) not in lines or ".Nm %s" % title not in lines:
        yield "%s: is not called %s(%s)" % (name, title, section)


def output(*args):
    return subprocess.run(args, stdout=subprocess.PIPE, text=True, check=True).stdout


def commands(weir, lines):
    """Each command with its flags, as the program explains itself."""
    sections = outline(lines)
    names = re.findall(r"^  ([a-z]+)  +\S", output(weir, "help"), re.M)
    if len(names) < 2:
        yield "%s: tells of no commands" % weir
    for name in names:
        if name == "help":
            continue
        mine = [text for title, text in sections.items()
                if title.startswith("weir ") and name in re.split(r"[ ,]+", title[5:])]
        text = "\n".join(line for part in mine for line in part)
        if not mine:
            yield "weir.1: there is no section weir %s" % name
            continue
        for flag in re.findall(r"^  -([a-z0-9-]+)", output(weir, name, "-h"), re.M):
            if not re.search(r"(?m)^\..*\bFl %s(\s|$)" % re.escape(flag), text):
                yield "weir.1: weir %s has no flag -%s" % (name, flag)


def keys(root, lines):
    """Each key of the tables, by all of its name."""
    said = {word for line in lines if re.match(r"\.(It )?Ic ", line) for word in words(line)}
    found = 0
    for path in sorted(glob.glob(os.path.join(root, "src", "daemon", "config_*.c"))):
        with open(path, encoding="utf-8") as f:
            tables = TABLE.findall(f.read())
        for table, text in tables:
            place = PLACES.get(table, table + ".")
            if place is None:
                continue
            for key, use in KEY.findall(text):
                uses = {re.sub(r"^WR_KEY_(FOR_)?", "", one) for one in use.split() if one != "|"}
                found += 1
                if place == "" and any(word.startswith(key + ".") for word in said):
                    continue  # a mapping
                if uses & HERE and place + key not in said:
                    yield "weir.yml.5: there is no key %s" % (place + key)
    if found == 0:
        yield "src/daemon: there are no keys"


def main():
    root, weir = sys.argv[1:3]
    paths = sorted(glob.glob(os.path.join(root, "docs", "man", "*.[1-9]")))
    pages = {}
    for path in paths:
        with open(path, encoding="utf-8") as f:
            pages[os.path.basename(path)] = f.read().split("\n")

    faults = [fault for name, lines in pages.items()
              for check in (titles(name, lines), references(name, pages)) for fault in check]
    faults += commands(weir, pages.get("weir.1", []))
    faults += keys(root, pages.get("weir.yml.5", []))
    mandoc = shutil.which("mandoc")
    if mandoc and paths:
        lint = subprocess.run([mandoc, "-Tlint", "-Wwarning"] + paths, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False).stdout
        # Style of the whole system, not of a page: whether it has an index, and other people's pages.
        faults += [line for line in lint.splitlines() if "mandoc.db" not in line]
    if not mandoc:
        print("skipped mandoc -Tlint: there is no mandoc")
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

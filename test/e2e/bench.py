"""The harness that measures: every row of it in tiny, and what it makes of figures, failures and requests.

usage: bench.py WEIR EXTENSION

What it measures is not judged here: see bench/README.md. That bench/run, bench/scale and bench/vfs can be run at all, say
when a row fails, and reach right verdicts, is.
"""
import http.client
import json
import os
import signal
import subprocess
import sys
import types
import urllib.parse
import xml.dom.minidom
from pathlib import Path

import kit

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))
sys.dont_write_bytecode = True

import bucket  # noqa: E402
import figures  # noqa: E402
import fit  # noqa: E402
import rig  # noqa: E402
import rows  # noqa: E402


def run(found, exe, *more):
    command = [sys.executable, str(BENCH / "run"), "--quick", "--alone", "--weir", exe, "--build", found.work, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=500)


def check_rows(found, exe):
    r = run(found, exe)
    found.check(r.returncode == 0, "bench/run --quick ended with %d: %s%s" % (r.returncode, r.stdout, r.stderr[-2000:]))
    said = json.loads(Path(found.work, "result.json").read_text())["rows"]
    found.check(list(said) == list(rows.ROWS), "rows %s" % list(said))
    for name, row in said.items():
        found.check(not row["failed"], "%s: %s" % (name, row["failed"]))
        found.check(row["figures"], "%s has no figures" % name)
        measured = {s for f in row["figures"] for s in f["values"]}
        found.check("weir" in measured or name == "yardsticks", "%s measured %s" % (name, measured))
        found.check(not any(f["goals"] for f in row["figures"]), "%s: tiny sizes were judged" % name)
        picture = xml.dom.minidom.parse(str(Path(found.work, "plots", name + ".svg")))
        bars = sum(x.getAttribute("class") in ("bar", "mine") for x in picture.getElementsByTagName("rect"))
        found.check(bars == sum(len(f["values"]) for f in row["figures"]), "%s: %d bars" % (name, bars))
    found.check(not list(Path(found.work).glob("work-*")), "databases were left behind")


def check_scale(found, exe):
    """What a database costs, at a few of them; and that they share connections."""
    command = [sys.executable, str(BENCH / "scale"), "--quick", "--weir", exe, "--build", found.work]
    r = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found.check(r.returncode == 0, "bench/scale --quick ended with %d: %s%s" % (r.returncode, r.stdout, r.stderr[-2000:]))
    said = json.loads(Path(found.work, "scale.json").read_text())["rows"]
    found.check(list(said) == ["open", "quiet", "nodes", "far", "size"], "rows %s" % list(said))
    for name, row in said.items():
        found.check(not row["failed"], "%s: %s" % (name, row["failed"]))
        xs = {len(f["points"]) for f in row["figures"]}
        found.check(2 in xs, "%s has figures of %s sizes" % (name, xs))
    of = {f["label"]: f for f in said["open"]["figures"]}
    found.check(of["start: PUT"]["line"]["b"] == 2 and of["start: PUT"]["line"]["worst"] == 0,
                "a snapshot each, and a sign: %s" % of["start: PUT"])
    most = dict(of["start: connections"]["points"])[60]
    found.check(most < 60, "60 databases made %d connections" % most)
    found.check(not list(Path(found.work).glob("work-*")), "databases were left behind")


def check_vfs(found, exe, so):
    """The extension, by itself, in a host that has the sanitizer it was built with."""
    env = dict(os.environ)
    if b"libasan.so" in kit.read(so):
        library = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
        env.update(LD_PRELOAD=library.stdout.strip(), ASAN_OPTIONS="detect_leaks=0")
    command = [sys.executable, str(BENCH / "vfs"), "--quick", "--alone", "--weir", exe, "--so", so, "--build", found.work]
    r = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)
    found.check(r.returncode == 0, "bench/vfs --quick ended with %d: %s%s" % (r.returncode, r.stdout, r.stderr[-2000:]))
    said = json.loads(Path(found.work, "vfs.json").read_text())["rows"]
    found.check({"open-s3", "warm", "copy", "applied", "fetched", "outage"} <= set(said), "rows %s" % list(said))
    for name, row in said.items():
        found.check(not row["failed"], "%s: %s" % (name, row["failed"]))
        found.check(all("weir" in f["values"] for f in row["figures"]), "%s is not measured" % name)
    of = {f["label"]: f["values"]["weir"] for row in said.values() for f in row["figures"] if "weir" in f["values"]}
    found.check(0.5 < of["medium, all rows: read of the bucket, of its files"][0] < 1.5, "read: %s" % of)


def check_fit(found):
    same = lambda got, want: found.check(got == want, "the line is %s, not %s" % (got, want))  # noqa: E731
    same(fit.line([(1, 5), (2, 7), (4, 11)]), (3, 2, 0, 4))
    same(fit.line([(0, 0), (0, 2), (2, 1)]), (1, 0, 1, 0))
    same(fit.line([(3, 1)]), None)
    same(fit.line([]), None)


def check_failure(found, exe):
    """A program that fails ends its row, and the others are measured."""
    fake = Path(found.work, "weir-that-fails")
    fake.write_text('#!/bin/sh\n[ "$1" = replicate ] && exit 3\nexec %s "$@"\n' % exe)
    fake.chmod(0o755)
    r = run(found, str(fake), "--rows", "lag,yardsticks")
    found.check(r.returncode == 1, "exit status %d where a row failed" % r.returncode)
    found.check("FAILED: weir ended early" in r.stdout, "a failure was not told: %s" % r.stdout)
    found.check("cp+fsync" in r.stdout, "the row after one that failed was not measured")
    r = run(found, exe, "--rows", "none")
    found.check(r.returncode == 2 and "no row 'none'" in r.stderr, "an unknown row: %d %s" % (r.returncode, r.stderr))


DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('replicating to', flush=True); time.sleep(600)"


def check_no_end(found):
    """A program that did not end when it was asked to held up all that is measured behind it."""
    program = types.SimpleNamespace(name="deaf", strict=False, config=lambda *a: None,
                                    replicate=lambda config: [sys.executable, "-c", DEAF])
    rig.END_SECONDS = 0.2
    d = rig.Daemon(types.SimpleNamespace(work=Path(found.work)), program, [])
    found.check(kit.wait_until(lambda: d.ready_ns), "it does not say that it is ready: " + d.said())
    d.stop()
    found.check(d.status == -signal.SIGKILL, "it ended with %s" % d.status)


def verdicts(weir, other, more, goal):
    f = figures.Figure("what", "s", more, [goal])
    for system, values in (("weir", weir), ("ls-0", other)):
        for v in values:
            f.add(system, v)
    return [(against, ok) for against, _, ok in f.verdicts()]


def check_verdicts(found):
    cases = [
        ([3, 1, 2], [], False, figures.Most(2), [("", True)]),
        ([3, 1, 2.1], [], False, figures.Most(2), [("", False)]),
        ([3, 1, 2], [], True, figures.Least(2), [("", True)]),
        ([3, 1, 1.9], [], True, figures.Least(2), [("", False)]),
        # Run by run: the ratio of the medians would be 1.
        ([1, 4, 20], [2, 8, 4], False, figures.Ratio(0.5), [("ls-0", True)]),
        ([1, 4, 20], [2, 8, 4], False, figures.Ratio(0.4), [("ls-0", False)]),
        ([4, 4, 4], [1, 2, 8], True, figures.Ratio(2), [("ls-0", True)]),
        ([4, 4, 4], [1, 2, 8], True, figures.Ratio(2.1), [("ls-0", False)]),
        ([4], [], True, figures.Ratio(2), []),
        ([4], [0], True, figures.Ratio(2), [("ls-0", None)]),
        ([], [1], False, figures.Most(2), [("", None)]),
    ]
    for weir, other, more, goal, want in cases:
        got = verdicts(weir, other, more, goal)
        name = "%s %s" % (type(goal).__name__, goal.limit)
        found.check(got == want, "%s of %s against %s: %s, not %s" % (name, weir, other, got, want))


class Client:
    def __init__(self, endpoint):
        self.c = http.client.HTTPConnection(urllib.parse.urlsplit(endpoint).netloc, timeout=20)

    def ask(self, method, path, body=None, **fields):
        self.c.request(method, "/bucket" + path, body, {k.replace("_", "-"): v for k, v in fields.items()})
        r = self.c.getresponse()
        return r.status, r.read()


def check_bucket(found):
    """What no row would notice if it were wrong: ranges over parts, conditions, lists, and what is counted."""
    top = Path(found.work, "bucket")
    top.mkdir()
    Path(top, "was", "ltx", "0").mkdir(parents=True)
    Path(top, "was", "ltx", "0", "a.ltx").write_bytes(b"there")
    with bucket.Bucket(top) as b:
        s = Client(b.endpoint)
        same = lambda got, want: found.check(got == want, "the bucket said %r, not %r" % (got, want))  # noqa: E731
        same(s.ask("GET", "/was/0000/a.ltx"), (200, b"there"))
        before = b.classes()
        status, said = s.ask("POST", "/big?uploads")
        name = said.split(b"<UploadId>")[1].split(b"<")[0].decode()
        for n in (2, 1):
            s.ask("PUT", "/big?partNumber=%d&uploadId=%s" % (n, name), bytes([n]) * 100000)
        same(s.ask("POST", "/big?uploadId=" + name, b"<x/>")[0], 200)
        same(s.ask("GET", "/big", Range="bytes=99998-100001"), (206, b"\1\1\2\2"))
        same(s.ask("GET", "/big", Range="bytes=-3"), (206, b"\2\2\2"))
        same(s.ask("GET", "/big"), (200, b"\1" * 100000 + b"\2" * 100000))
        same(s.ask("GET", "/big", Range="bytes=200000-")[0], 416)
        chunks = b"5;chunk-signature=x\r\nhello\r\n0;chunk-signature=x\r\n\r\n"
        same(s.ask("PUT", "/dir/x", chunks, content_encoding="aws-chunked")[0], 200)
        same(s.ask("GET", "/dir/x"), (200, b"hello"))
        same(s.ask("PUT", "/dir/x", b"again", if_none_match="*")[0], 412)
        same(s.ask("PUT", "/dir/y", b"more", if_none_match="*")[0], 200)
        listed = s.ask("GET", "?list-type=2&delimiter=/&max-keys=1")[1]
        same((listed.count(b"<Contents>"), b"<IsTruncated>true" in listed), (1, True))
        listed = s.ask("GET", "?list-type=2&delimiter=/&start-after=big")[1]
        same((listed.count(b"<Contents>"), listed.count(b"<CommonPrefixes>")), (0, 2))
        listed = s.ask("GET", "?list-type=2&prefix=dir/")[1]
        same(listed.count(b"<Contents>"), 2)
        same([a.key for a in b.arrivals()], ["big", "dir/x", "dir/y"])
        s.ask("POST", "?delete", b"<Delete><Object><Key>dir/x</Key></Object></Delete>")
        same(s.ask("GET", "/dir/x")[0], 404)
        same([Path(a.files[0]).read_bytes() for a in b.arrivals() if a.key == "dir/x"], [b"hello"])
        count, up, _ = bucket.traffic(before, b.classes())
        same(count, {"begin": 1, "part": 2, "complete": 1, "get": 6, "put": 3, "list": 3, "delete": 1})
        same(up > 200000, True)


def main():
    exe, so = map(os.path.abspath, sys.argv[1:3])
    found = kit.Findings("bench")
    check_verdicts(found)
    check_fit(found)
    check_bucket(found)
    check_failure(found, exe)
    check_no_end(found)
    check_rows(found, exe)
    check_scale(found, exe)
    check_vfs(found, exe, so)
    sys.exit(found.end())


main()

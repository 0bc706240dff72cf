"""The measurements of extensions that read a replica. Each takes the places (databases and their
replicas), the extensions (weir's first) and sizes, and makes figures as those of bench/run do.
"""
import functools
import json
import os
import sqlite3
import subprocess
import sys

import rig as r
import vfs_copies
from bucket import Bucket
from failed import Failed, need
from figures import Most, Least, Ratio
from programs import Directory
from rig import MB, turns
from rows.restore import add_increments

CACHE = 10 * MB  # for all rows: it is Litestream's default


class Extension:
    """What is loaded; the same parameters do for all."""

    def __init__(self, name, so):
        self.name, self.so = name, str(so)


class Plain:
    """SQLite alone, reading the database itself."""

    name, so = "sqlite", None


def interpreter():
    """A Python whose SQLite loads extensions: many builds leave that out."""
    for python in (sys.executable, "/usr/bin/python3"):
        test = "import sqlite3; sqlite3.Connection.enable_load_extension"
        if subprocess.run([python, "-c", test], capture_output=True).returncode == 0:
            return python
    raise Failed("no Python here has sqlite3 with enable_load_extension; Debian's has")


class Places:
    """Databases and their replicas, each made when it is first asked for."""

    def __init__(self, rig, weir, size):
        self.rig, self.weir, self.size = rig, weir, size
        self.top = rig.work / "replicas"
        self.python = interpreter()

    def database(self, name):
        return self.rig.work / f"{name}.db"

    def replica(self, name):
        if not (self.top / name).exists():
            self.make(name)
        return self.top / name

    def bucket(self, *names):
        """A bucket far away with these replicas, and those that were made before."""
        for name in names:
            self.replica(name)
        return Bucket(self.top, self.size.delay_ms)

    def make(self, name):
        s = self.size
        db, replica = self.database(name), self.top / name
        made = {"small": s.small_bytes, "medium": s.medium_bytes, "big": s.big_bytes,
                "tiny-pages": s.tiny_pages_bytes, "increments": s.small_bytes, "thousand": s.small_bytes,
                "changed": s.medium_bytes}
        more = {"increments": s.increments, "thousand": s.many_increments}
        if name == "tiny-pages":
            c = sqlite3.connect(db)
            c.execute("PRAGMA page_size = 512")
            c.execute("VACUUM")
            c.close()
        self.rig.load(db, "insert", count=1)  # which makes the index
        self.rig.load(db, "fill", bytes=made[name])
        with r.Daemon(self.rig, self.weir, [(db, Directory(replica))], "1s") as d:
            d.await_snapshots()
            d.stop()
        if name in more:
            add_increments(self.rig, self.weir, db, Directory(replica), more[name])

    def fresh(self, name):
        """A path that is free, with nothing beside it."""
        path = self.rig.work / name
        for end in ("", ".meta"):
            path.with_name(name + end).unlink(missing_ok=True)
        return path

    def host(self, host, what, url, **options):
        """One measurement by one extension, in a process of its own."""
        o = {"what": what, "so": host.so, "url": str(url), "cache": CACHE, **options}
        return subprocess.Popen([self.python, str(r.HERE / "vfs_host.py"), json.dumps(o)], env=r.clean_env(),
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, cwd=self.rig.work)

    def ask(self, host, what, url, **options):
        return self.said(self.host(host, what, url, **options), host, what)

    def said(self, p, host, what):
        try:
            out, err = p.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            p.kill()
            p.communicate()
            raise Failed(f"{host.name}: {what} took more than 300 s") from None
        need(p.returncode == 0, f"{host.name}: {what}: {(err + out)[-600:]}")
        return json.loads(out.splitlines()[-1])


def measure(places, hosts, size, name, what, bucket=None, **options):
    """Everybody in turn, run after run."""
    runs = []
    replica = places.replica(name)
    for n in range(size.runs):
        for h in turns(hosts, n):
            url = places.database(name) if not h.so else bucket.url(name) if bucket else f"file://{replica}"
            before = bucket.requests() if bucket else 0
            if "copy" in options:
                places.fresh("copy")
            x = places.ask(h, what, url, seed=n + 1, **options)
            x |= {"program": h.name, "place": name, "what": what, "run": n}
            if bucket:
                x["requests"] = bucket.requests() - before
            runs.append(x)
    answers = {tuple(x["answer"]) for x in runs if "answer" in x}
    need(len(answers) < 2, f"{name}: {what}: not all read the same: {answers}")
    return runs


def of(runs, key, name):
    return [x[key] for x in runs if x["program"] == name]


def put(figures, runs, hosts, label, key, unit, limit=None, factor=None, scale=1, more=False):
    """A figure of all of them; `limit` and `factor` are goals: by what factor weir is to do better than each peer."""
    goals = [] if limit is None else [Least(limit) if more else Most(limit)]
    peers = [h.name for h in hosts[1:] if h.so]
    if factor:
        goals += [Ratio(factor if more else 1 / factor, name) for name in peers]
    figure = figures(label, unit, more, goals)
    for h in hosts:
        for value in of(runs, key, h.name):
            figure.add(h.name, value / scale)


# ---- the library ----


def load(figures, places, hosts, size):
    runs = measure(places, hosts, size, "small", "first")
    for x in runs:
        so = next(h.so for h in hosts if h.name == x["program"])
        x["so_bytes"] = os.path.getsize(so)
    put(figures, runs, hosts, "size of the library", "so_bytes", "MB", 1.5, 14, MB)
    put(figures, runs, hosts, "load", "load_s", "ms", 12, 15, 1e-3)
    put(figures, runs, hosts, "load, resident", "load_kb", "MB", 9, 8, 1024)


# ---- opening ----


def open_row(figures, places, hosts, size):
    for name in ("medium", "big"):
        runs = measure(places, hosts, size, name, "first")
        put(figures, runs, hosts, f"{name}, file: open", "open_s", "ms", scale=1e-3)
        put(figures, runs, hosts, f"{name}, file: first row", "row_s", "ms", scale=1e-3)


def open_s3(figures, places, hosts, size):
    cases = (("medium", "medium", 110, 5), ("increments", f"{size.increments} files of level 0", 600, 20),
             ("thousand", f"{size.many_increments} files of level 0", 1500, 25))
    with places.bucket(*(name for name, *_ in cases)) as bucket:
        for name, label, limit, factor in cases:
            runs = measure(places, hosts, size, name, "first", bucket)
            put(figures, runs, hosts, f"{label}: load, open, first row", "all_s", "ms", limit, factor, 1e-3)
            put(figures, runs, hosts, f"{label}: open", "open_s", "ms", scale=1e-3)
            put(figures, runs, hosts, f"{label}: requests", "requests", "")


# ---- reading ----


def index(figures, places, hosts, size):
    for name in ("big", "tiny-pages"):
        runs = measure(places, hosts, size, name, "index")
        label = f"{name} ({runs[0]['pages']} pages), a page"
        put(figures, runs, hosts, label, "bytes_a_page", "bytes", 4, 30)


def rates(figures, runs, hosts, label, limit, factor):
    """Thousands a second of the clock, and of a processor."""
    put(figures, runs, hosts, f"{label}, a second", "per_s", "k", limit, factor, 1000, more=True)
    put(figures, runs, hosts, f"{label}, a CPU second", "per_cpu_s", "k", scale=1000, more=True)


def warm(figures, places, hosts, size):
    hosts = [*hosts, Plain]
    for name, factor in {"medium": 35, "big": 380, "tiny-pages": 3700}.items():
        runs = measure(places, hosts, size, name, "warm", seconds=size.warm_s)
        rates(figures, runs, hosts, name, 200, factor)


def cold(figures, places, hosts, size):
    hosts = [*hosts, Plain]
    runs = measure(places, hosts, size, "big", "cold", queries=size.cold_queries)
    rates(figures, runs, hosts, "big, random rows", 4, 8)


def scan(figures, places, hosts, size):
    hosts = [*hosts, Plain]
    runs = measure(places, hosts, size, "big", "scan")
    put(figures, runs, hosts, "big", "seconds", "s", 2.5, 2.3)
    put(figures, runs, hosts, "big, CPU", "cpu_s", "s")
    put(figures, runs, hosts, "big, resident after it", "kb", "MB", 45, 11, 1024)


def late(figures, places, hosts, size):
    """What takes many requests, each of which takes its time."""
    cases = (
        ("medium", "range", f"medium, {size.range_rows} rows in order", size.range_rows, 0.2, 10),
        ("small", "scan", "small, all rows", 0, 0.3, 26),
        ("medium", "indexed", f"medium, {size.indexed_rows} rows by an index", size.indexed_rows, None, 2.9),
        ("medium", "scan", "medium, all rows", 0, 12, None),
    )
    with places.bucket("medium", "small") as bucket:
        for name, what, label, n, limit, factor in cases:
            # All rows of medium are some 20,000 requests for the original, one after the other.
            runs = measure(places, hosts if factor else hosts[:1], size, name, what, bucket, rows=n)
            put(figures, runs, hosts, label, "seconds", "s", limit, factor)
            put(figures, runs, hosts, label + ": requests", "requests", "")


# ---- many connections ----


def connections(figures, places, hosts, size):
    runs = measure(places, hosts, size, "medium", "connections", connections=size.connections)
    put(figures, runs, hosts, "medium, each after the first", "kb", "MB", 0.3, 20, 1024)


def one_idle(places, host, bucket, size):
    """Requests a minute: right after a query, and when there has been none for half a minute."""
    settle = min(2, size.idle_s)
    pause = max(0, 33 - settle - size.idle_s) if size.idle_s > 2 else 1
    waits = [settle, size.idle_s, pause, size.idle_s]
    p = places.host(host, "idle", bucket.url("medium"), connections=size.connections, waits=waits)
    seen = []
    for _ in waits:
        need(p.stdout.readline() == "mark\n", f"{host.name}: idle ended: {p.poll()}")
        seen.append(bucket.requests())
        p.stdin.write("\n")
        p.stdin.flush()
    p.communicate(timeout=60)
    return {"program": host.name, "soon": (seen[1] - seen[0]) * 60 / size.idle_s,
            "later": (seen[3] - seen[2]) * 60 / size.idle_s}


def idle(figures, places, hosts, size):
    with places.bucket("medium") as bucket:
        runs = [one_idle(places, h, bucket, size) for h in hosts]
    label = f"{size.connections} connections, requests a minute"
    put(figures, runs, hosts, f"{label}, at first", "soon", "", 60, 32)
    put(figures, runs, hosts, f"{label}, after 33 s", "later", "", 0)


ROWS = {
    "load": load,
    "open": open_row,
    "open-s3": open_s3,
    "index": index,
    "warm": warm,
    "cold": cold,
    "scan": scan,
    "late": late,
    "connections": connections,
    "idle": idle,
}
for _row in (vfs_copies.copy, vfs_copies.applied, vfs_copies.fetched, vfs_copies.outage):
    ROWS[_row.__name__] = functools.partial(_row, of=sys.modules[__name__])

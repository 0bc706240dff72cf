"""The measurements of extensions that read a replica. Each takes the places (databases and their
replicas), the extensions (weir's first) and sizes, and returns what those of rows.py return.
"""
import json
import os
import sqlite3
import subprocess
import sys
import urllib.request

import rig as r
import rows
from rig import need
from rows import of, spread, turns

MB = 1 << 20
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
    raise r.Failed("no Python here has sqlite3 with enable_load_extension; Debian's has")


class Bucket:
    """slow_s3.py over all replicas; `with` ends it."""

    def __init__(self, top, delay_ms):
        self.process = subprocess.Popen(
            [sys.executable, str(r.HERE / "slow_s3.py"), str(top), str(delay_ms)],
            stdout=subprocess.PIPE, text=True,
        )
        self.port = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.process.kill()
        self.process.wait()

    def url(self, name):
        return f"s3://bucket/{name}?endpoint=http://127.0.0.1:{self.port}&region=r&force-path-style=true"

    def requests(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/count") as said:
            return int(said.read())


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

    def make(self, name):
        s = self.size
        db, replica = self.database(name), self.top / name
        made = {"small": s.small_bytes, "medium": s.medium_bytes, "big": s.big_bytes,
                "tiny-pages": s.tiny_pages_bytes, "increments": s.small_bytes}
        if name == "tiny-pages":
            c = sqlite3.connect(db)
            c.execute("PRAGMA page_size = 512")
            c.execute("VACUUM")
            c.close()
        self.rig.load(db, "insert", count=1)  # which makes the index
        self.rig.load(db, "fill", bytes=made[name])
        with r.Daemon(self.rig, self.weir, db, replica, "1s"):
            pass
        if name == "increments":
            rows.add_increments(self.rig, self.weir, db, replica, s.increments)

    def host(self, host, what, url, **options):
        """One measurement by one extension, in a process of its own."""
        o = {"what": what, "so": host.so, "url": str(url), "cache": CACHE, **options}
        env = {k: v for k, v in r.clean_env().items() if not k.startswith("AWS_")}
        env |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
        return subprocess.Popen([self.python, str(r.HERE / "vfs_host.py"), json.dumps(o)], env=env,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, cwd=self.rig.work)

    def ask(self, host, what, url, **options):
        p = self.host(host, what, url, **options)
        try:
            out, err = p.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            p.kill()
            p.communicate()
            raise r.Failed(f"{host.name}: {what} took more than 300 s") from None
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
            x = places.ask(h, what, url, seed=n + 1, **options)
            x |= {"program": h.name, "place": name, "what": what, "run": n}
            if bucket:
                x["requests"] = bucket.requests() - before
            runs.append(x)
    answers = {tuple(x["answer"]) for x in runs if "answer" in x}
    need(len(answers) < 2, f"{name}: {what}: not all read the same: {answers}")
    return runs


def lines(runs, hosts, label, key, unit, goal="", aim="", scale=1, digits=1, more=False):
    """A line for each, and by what factor weir does better, run by run."""
    table = []
    mine = of(runs, key, program=hosts[0].name)
    for h in hosts:
        his = of(runs, key, program=h.name)
        table.append((label, h.name, spread(his, unit, digits, scale), goal if h is hosts[0] else ""))
    for h in hosts[1:]:
        his = of(runs, key, program=h.name)
        if h.so:
            better = [(a / b if more else b / a) for a, b in zip(mine, his) if a and b]
            table.append((label + ", better by", h.name, spread(better, "x"), aim) if better else
                         (label + ", better by", h.name, "no ratio", aim))
    return table


# ---- the library ----


def load(places, hosts, size):
    runs = measure(places, hosts, size, "small", "first")
    for x in runs:
        so = next(h.so for h in hosts if h.name == x["program"])
        x["so_bytes"] = os.path.getsize(so)
    table = lines(runs, hosts, "size of the library", "so_bytes", "MB", "<= 1.5 MB", ">= 14 x", MB, 2)
    table += lines(runs, hosts, "load", "load_s", "ms", "<= 12 ms", ">= 15 x", 1e-3)
    table += lines(runs, hosts, "load, resident", "load_kb", "MB", "<= 9 MB", ">= 8 x", 1024)
    return {"table": table, "runs": runs}


# ---- opening ----


def open_row(places, hosts, size):
    runs, table = [], []
    for name in ("medium", "big"):
        part = measure(places, hosts, size, name, "first")
        table += lines(part, hosts, f"{name}, file: open", "open_s", "ms", scale=1e-3)
        table += lines(part, hosts, f"{name}, file: first row", "row_s", "ms", scale=1e-3)
        runs += part
    return {"table": table, "runs": runs}


def open_s3(places, hosts, size):
    runs, table = [], []
    with Bucket(places.top, size.delay_ms) as bucket:
        for name in ("medium", "increments"):
            label = "medium" if name == "medium" else f"{size.increments} files of level 0"
            goal, aim = ("<= 110 ms", ">= 5 x") if name == "medium" else ("<= 600 ms", ">= 20 x")
            part = measure(places, hosts, size, name, "first", bucket)
            table += lines(part, hosts, f"{label}: load, open, first row", "all_s", "ms", goal, aim, 1e-3)
            table += lines(part, hosts, f"{label}: open", "open_s", "ms", scale=1e-3)
            table += lines(part, hosts, f"{label}: requests", "requests", "", digits=0)
            runs += part
    return {"table": table, "runs": runs}


# ---- reading ----


def index(places, hosts, size):
    runs, table = [], []
    for name in ("big", "tiny-pages"):
        part = measure(places, hosts, size, name, "index")
        label = f"{name} ({part[0]['pages']} pages), a page"
        table += lines(part, hosts, label, "bytes_a_page", "bytes", "<= 4", ">= 30 x")
        runs += part
    return {"table": table, "runs": runs}


def warm(places, hosts, size):
    runs, table = [], []
    aims = {"medium": ">= 35 x", "big": ">= 380 x", "tiny-pages": ">= 3700 x"}
    for name, aim in aims.items():
        part = measure(places, [*hosts, Plain], size, name, "warm", seconds=size.warm_s)
        table += lines(part, [*hosts, Plain], f"{name}, a second", "per_s", "k", ">= 200 k", aim, 1000, 2,
                       more=True)
        table += lines(part, [*hosts, Plain], f"{name}, a CPU second", "per_cpu_s", "k", "", "", 1000, 2,
                       more=True)
        runs += part
    return {"table": table, "runs": runs}


def cold(places, hosts, size):
    runs = measure(places, [*hosts, Plain], size, "big", "cold", queries=size.cold_queries)
    table = lines(runs, [*hosts, Plain], "big, random rows, a second", "per_s", "k", ">= 4 k", ">= 8 x", 1000,
                  2, more=True)
    table += lines(runs, [*hosts, Plain], "big, random rows, a CPU second", "per_cpu_s", "k", "", "", 1000, 2,
                   more=True)
    return {"table": table, "runs": runs}


def scan(places, hosts, size):
    runs = measure(places, [*hosts, Plain], size, "big", "scan")
    table = lines(runs, [*hosts, Plain], "big", "seconds", "s", "<= 2.5 s", ">= 2.3 x", 1, 2)
    table += lines(runs, [*hosts, Plain], "big, CPU", "cpu_s", "s", "", "", 1, 2)
    table += lines(runs, [*hosts, Plain], "big, resident after it", "kb", "MB", "<= 45 MB", ">= 11 x", 1024)
    return {"table": table, "runs": runs}


def late(places, hosts, size):
    """What takes many requests, each of which takes its time."""
    runs, table = [], []
    indexed = f"medium, {size.indexed_rows} rows by an index"
    cases = (
        ("medium", "range", f"medium, {size.range_rows} rows in order", size.range_rows, "<= 0.2 s", ">= 10 x"),
        ("small", "scan", "small, all rows", 0, "<= 0.3 s", ">= 26 x"),
        ("medium", "indexed", indexed, size.indexed_rows, "", ">= 2.9 x"),
    )
    with Bucket(places.top, size.delay_ms) as bucket:
        for name, what, label, n, goal, aim in cases:
            part = measure(places, hosts, size, name, what, bucket, rows=n)
            table += lines(part, hosts, label, "seconds", "s", goal, aim, 1, 2)
            table += lines(part, hosts, label + ": requests", "requests", "", digits=0)
            runs += part
    return {"table": table, "runs": runs}


# ---- many connections ----


def connections(places, hosts, size):
    runs = measure(places, hosts, size, "medium", "connections", connections=size.connections)
    table = lines(runs, hosts, "medium, each after the first", "kb", "MB", "<= 0.3 MB", ">= 20 x", 1024, 2)
    return {"table": table, "runs": runs}


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


def idle(places, hosts, size):
    places.replica("medium")
    with Bucket(places.top, size.delay_ms) as bucket:
        runs = [one_idle(places, h, bucket, size) for h in hosts]
    label = f"{size.connections} connections, requests a minute"
    table = lines(runs, hosts, f"{label}, at first", "soon", "", "<= 60", ">= 32 x", digits=0)
    table += lines(runs, hosts, f"{label}, after 33 s", "later", "", "0", digits=0)
    return {"table": table, "runs": runs}


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

"""A program that reads a replica through an extension: one measurement, in a process of its own.

    vfs_host.py '{"what": "warm", "so": ".../weir.so", "url": "file:///...", "cache": 10485760, ...}'

Without "so" it opens "url" as a path, with nothing but SQLite: what there is to compare with.
Prints one line of JSON. Knows nothing of which extension it has loaded.
"""
import json
import random
import re
import sqlite3
import sys
import time
import urllib.parse
from pathlib import Path

POINT = "SELECT tag FROM note WHERE id = ?"
SCAN = "SELECT count(*), sum(length(text)), sum(tag) FROM note NOT INDEXED"
RANGE = "SELECT count(*), sum(length(text)) FROM note WHERE id BETWEEN ? AND ?"
INDEXED = "SELECT count(*), sum(length(text)) FROM (SELECT text FROM note WHERE tag > ? ORDER BY tag LIMIT ?)"


def memory():
    """kB that are resident, and those of them that no file stands behind."""
    text = Path("/proc/self/smaps_rollup").read_text()
    return [int(re.search(rf"^{k}:\s+(\d+) kB", text, re.M)[1]) for k in ("Rss", "Anonymous")]


class Host:
    def __init__(self, o):
        self.o = o
        self.random = random.Random(o.get("seed", 1))
        self.loader = sqlite3.connect(":memory:")
        self.load_s, self.load_kb = 0.0, 0
        if o.get("so"):
            self.load()

    def load(self):
        before, start = memory()[0], time.perf_counter()
        self.loader.enable_load_extension(True)
        self.loader.load_extension(self.o["so"])
        self.load_s = time.perf_counter() - start
        self.load_kb = memory()[0] - before

    def open(self):
        if not self.o.get("so"):
            return sqlite3.connect(f"file:{self.o['url']}?mode=ro", uri=True)
        say = {"vfs": "litestream", "replica_url": self.o["url"]}
        if self.o.get("cache"):
            say["cache_size"] = self.o["cache"]
        if self.o.get("poll"):
            say["poll_interval"] = self.o["poll"]
        if self.o.get("copy"):
            say |= {"hydration_enabled": "true", "hydration_path": self.o["copy"]}
        return sqlite3.connect("file:bench.db?" + urllib.parse.urlencode(say), uri=True)

    def opened(self):
        """A connection that has read one row."""
        db = self.open()
        assert db.execute(POINT, (1,)).fetchone()
        return db

    def rows(self, db):
        """The greatest id: found on the way along the right edge of the table."""
        return db.execute("SELECT max(id) FROM note").fetchone()[0]

    # ---- what can be measured ----

    def first(self):
        start = time.perf_counter()
        db = self.open()
        opened = time.perf_counter()
        db.execute(POINT, (self.o.get("id", 1),)).fetchone()
        end = time.perf_counter()
        return {"open_s": opened - start, "row_s": end - opened, "all_s": self.load_s + end - start}

    def index(self):
        before = memory()[1]
        db = self.opened()
        time.sleep(0.5)
        kb = memory()[1] - before
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        return {"pages": pages, "kb": kb, "bytes_a_page": kb * 1024 / pages}

    def warm(self):
        db = self.opened()
        row = self.rows(db) // 2
        queries, cpu, start = 0, time.process_time(), time.perf_counter()
        while time.perf_counter() - start < self.o["seconds"]:
            for _ in range(20):
                db.execute(POINT, (row,)).fetchone()
            queries += 20
        return self.rates(queries, start, cpu)

    def rates(self, queries, start, cpu):
        """A second of the clock, and of a processor: neighbours slow down the former only."""
        return {"per_s": queries / (time.perf_counter() - start),
                "per_cpu_s": queries / (time.process_time() - cpu)}

    def cold(self):
        db = self.opened()
        top = self.rows(db)
        ids = [self.random.randint(1, top) for _ in range(self.o["queries"])]
        cpu, start = time.process_time(), time.perf_counter()
        for i in ids:
            db.execute(POINT, (i,)).fetchone()
        return self.rates(len(ids), start, cpu)

    def timed(self, db, sql, args=()):
        cpu, start = time.process_time(), time.perf_counter()
        answer = db.execute(sql, args).fetchone()
        return {"seconds": time.perf_counter() - start, "cpu_s": time.process_time() - cpu,
                "answer": answer}

    def scan(self):
        before = memory()[0]
        db = self.opened()
        said = self.timed(db, SCAN)
        return said | {"kb": memory()[0], "more_kb": memory()[0] - before}

    def range(self):
        db = self.opened()
        low = self.rows(db) // 3
        return self.timed(db, RANGE, (low, low + self.o["rows"] - 1))

    def indexed(self):
        return self.timed(self.opened(), INDEXED, (1 << 30, self.o["rows"]))

    # ---- a local copy ----

    def progress(self, db):
        return float(db.execute("PRAGMA litestream_hydration_progress").fetchone()[0])

    def whole(self, db):
        """Wait until the copy is. The worst of the queries that were made meanwhile, by one row and another."""
        slowest, top = 0.0, self.rows(db)
        while self.progress(db) < 100:
            before = time.perf_counter()
            db.execute(POINT, (self.random.randint(1, top),)).fetchone()
            slowest = max(slowest, time.perf_counter() - before)
            time.sleep(0.01)
        return slowest

    def copy(self):
        """Until all is in a local copy; then one row, as `warm`, and rows at random."""
        start = time.perf_counter()
        db = self.opened()
        row = time.perf_counter() - start
        pages, page_size = (db.execute(f"PRAGMA {x}").fetchone()[0] for x in ("page_count", "page_size"))
        slowest = self.whole(db)
        seconds = time.perf_counter() - start
        db.execute("PRAGMA mmap_size=4000000000").fetchone()
        top, n = self.rows(db), self.o["queries"]
        said = {}
        for what, ids in (("same", [top // 2] * n), ("random", [self.random.randint(1, top) for _ in range(n)])):
            cpu, start = time.process_time(), time.perf_counter()
            for i in ids:
                db.execute(POINT, (i,)).fetchone()
            said |= {f"{what}_{k}": v for k, v in self.rates(n, start, cpu).items()}
        return said | {"row_s": row, "seconds": seconds, "slowest_s": slowest, "bytes_s": pages * page_size / seconds}

    def applied(self):
        """From when the replica has what changed in thousands of pages until the copy has it, beside queries."""
        db = self.opened()
        self.whole(db)
        sql = "SELECT tag FROM note WHERE id = 1"
        was = db.execute(sql).fetchone()
        print("mark", flush=True)
        sys.stdin.readline()
        start, slowest, now = time.perf_counter(), 0.0, was
        while now == was or self.progress(db) < 100:
            before = time.perf_counter()
            now = db.execute(sql).fetchone()
            slowest = max(slowest, time.perf_counter() - before)
            time.sleep(0.001)
        return {"seconds": time.perf_counter() - start, "slowest_s": slowest}

    # ---- without the replica ----

    def outage(self):
        """What a query is told of a store that does not answer, and when."""
        db = self.opened()
        print("mark", flush=True)
        sys.stdin.readline()
        start = time.perf_counter()
        try:
            db.execute(SCAN).fetchone()
            return {}
        except sqlite3.Error as e:
            return {"seconds": time.perf_counter() - start, "error": str(e)}

    def connections(self):
        """What the second and later ones take, each having read the same rows."""
        dbs, n, more = [], self.o["connections"], 0
        for i in range(n):
            dbs.append(self.opened())
            self.rows(dbs[-1])
            if i == 0:
                time.sleep(0.5)
                more = -memory()[0]
        time.sleep(0.5)
        return {"kb": (more + memory()[0]) / (n - 1)}

    def idle(self):
        """Stays open; says when each window of silence begins and ends, for who counts requests."""
        dbs = [self.opened() for _ in range(self.o["connections"])]
        for seconds in self.o["waits"]:
            time.sleep(seconds)
            print("mark", flush=True)
            sys.stdin.readline()
        return {"connections": len(dbs)}


def main():
    o = json.loads(sys.argv[1])
    host = Host(o)
    said = getattr(host, o["what"])()
    print(json.dumps(said | {"load_s": host.load_s, "load_kb": host.load_kb}), flush=True)


if __name__ == "__main__":
    main()

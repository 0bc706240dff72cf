"""Rows of vfs_rows.py's kind: local copies of replicas, what is fetched, and a store that is silent."""
import json
import signal
import sqlite3
import subprocess

from failed import need
from figures import Most
from programs import Prefix
from rig import MB, Daemon, turns

OUTAGE_S = 240  # nobody waits for longer
TURNED = "CASE WHEN substr(text, 1, 1) = 'x' THEN 'y' ELSE 'x' END || substr(text, 2)"


def read(bucket):
    """Bytes, so far."""
    return sum(out for name, (_, _, out) in bucket.classes().items() if name == "get")


def copy(figures, places, hosts, size, of):
    """A large replica in a directory into a file; then rows at random from it."""
    runs = of.measure(places, hosts, size, "big", "copy", queries=size.cold_queries, copy=str(places.rig.work / "copy"))
    of.put(figures, runs, hosts, "big, copied in a second", "bytes_s", "MB", 300, 3.8, MB, more=True)
    of.put(figures, runs, hosts, "big: first row, beside copying", "row_s", "ms", scale=1e-3)
    of.put(figures, runs, hosts, "big: the slowest row while it is copied", "slowest_s", "ms", scale=1e-3)
    for label, what, limit, factor in (("one row", "same", 400, 1000), ("random rows", "random", None, None)):
        of.put(figures, runs, hosts, f"big, {label} of the copy, a second", what + "_per_s", "k", limit, factor, 1000, True)
        of.put(figures, runs, hosts, f"big, {label} of the copy, a CPU second", what + "_per_cpu_s", "k", scale=1000, more=True)


def change(db, pages):
    """As many pages of the table, and the row that is looked at. Rows are about 300 bytes."""
    c = sqlite3.connect(db, isolation_level=None)
    size = c.execute("PRAGMA page_size").fetchone()[0]
    c.execute("BEGIN")
    c.execute(f"UPDATE note SET text = {TURNED} WHERE id % ? = 1 AND id < ?", (size // 300, pages * (size // 300)))
    c.execute("UPDATE note SET tag = tag + 1 WHERE id = 1")
    c.execute("COMMIT")
    c.close()


def applied(figures, places, hosts, size, of):
    """A commit that changes thousands of pages of a replica that is copied, from the commit on."""
    places.replica("changed")
    db, runs = places.database("changed"), []
    with places.bucket("changed") as bucket:
        for n in range(size.runs):
            for h in turns(hosts, n):
                with Daemon(places.rig, places.weir, [(db, Prefix(bucket, "changed"))], "10ms") as d:
                    p = places.host(h, "applied", bucket.url("changed"), poll="100ms", copy=str(places.fresh("copy")))
                    need(p.stdout.readline() == "mark\n", f"{h.name}: no copy: {p.poll()}")
                    before = read(bucket)
                    p.stdin.write("\n")
                    p.stdin.flush()
                    change(db, size.changed_pages)
                    said = places.said(p, h, "applied")
                    d.stop()
                runs.append(said | {"program": h.name, "read": read(bucket) - before})
    label = f"{size.changed_pages} pages change, {size.delay_ms} ms"
    of.put(figures, runs, hosts, f"{label}: in the copy after", "seconds", "s", 0.3, 140)
    of.put(figures, runs, hosts, f"{label}: slowest query meanwhile", "slowest_s", "ms", 5, 140, 1e-3)
    of.put(figures, runs, hosts, f"{label}: read of the bucket", "read", "MB", scale=MB)


def outage(figures, places, hosts, size, of):
    """The bucket is stopped, and a query needs pages."""
    runs = []
    for n in range(min(size.runs, 1)):
        for h in turns(hosts, n):
            with places.bucket("medium") as bucket:
                p = places.host(h, "outage", bucket.url("medium"))
                need(p.stdout.readline() == "mark\n", f"{h.name}: outage: {p.poll()}")
                bucket.process.send_signal(signal.SIGSTOP)
                p.stdin.write("\n")
                p.stdin.flush()
                try:
                    said = json.loads(p.communicate(timeout=OUTAGE_S)[0].splitlines()[-1])
                except subprocess.TimeoutExpired:
                    p.kill()
                    p.communicate()
                    said = {"seconds": OUTAGE_S}  # and more
            need("seconds" in said, f"{h.name}: a query was answered by a stopped server")
            runs.append(said | {"program": h.name})
    of.put(figures, runs, hosts, "a store that does not answer: the query's error after", "seconds", "s", 11, 10)


def fetched(figures, places, hosts, size, of):
    """Bytes read of a bucket, of what the replica's files have."""
    stored = sum(x.stat().st_size for x in places.replica("medium").rglob("*.ltx"))
    with places.bucket("medium") as bucket:
        bucket.delay(0)
        runs = []
        for h in hosts:
            before = read(bucket)
            places.ask(h, "scan", bucket.url("medium"))
            runs.append({"program": h.name, "read": read(bucket) - before})
    figure = figures("medium, all rows: read of the bucket, of its files", "x", goals=[Most(1.1)])
    for x in runs:
        figure.add(x["program"], x["read"] / stored)

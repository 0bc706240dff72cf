"""Many databases that each have a commit now and then, to a bucket."""
import sqlite3
import time

import proc
from bucket import traffic
from figures import Ratio
from programs import Prefix
from rig import Daemon


def seed_many(rig, name, n):
    """A directory with that many small databases: their paths."""
    home, db = rig.seeded(name, rows=20)
    data, paths = db.read_bytes(), [home / f"{i:05}.db" for i in range(n)]
    for path in paths:
        path.write_bytes(data)
    return paths


def fleet(figures, rig):
    for run in range(rig.size.runs):
        for p in rig.turns(run):
            with rig.bucket() as bucket:
                one_fleet(figures, rig, p, bucket)


def write(dbs, seconds):
    """A commit a second to each."""
    start = time.monotonic()
    for i in range(len(dbs) * seconds):
        dbs[i % len(dbs)].execute("INSERT INTO note(tag, text) VALUES (random(), hex(randomblob(100)))")
        time.sleep(max(0, start + (i + 1) / len(dbs) - time.monotonic()))


def one_fleet(figures, rig, p, bucket):
    s = rig.size
    paths = seed_many(rig, "fleet", s.fleet_n)
    with Daemon(rig, p, [(x, Prefix(bucket, x.stem)) for x in paths]) as d:
        d.await_snapshots()
        dbs = [sqlite3.connect(x, isolation_level=None, timeout=60) for x in paths]
        write(dbs, s.fleet_warm_s)
        before, cpu, start = bucket.classes(), proc.cpu_seconds(d.pid), time.monotonic()
        write(dbs, s.fleet_s)
        seconds = time.monotonic() - start
        requests, up, _ = traffic(before, bucket.classes())
        what = f"{s.fleet_n} databases, a commit a second each"
        figures(f"{what}: CPU", "% of a core", goals=[Ratio(1 / 20)]).add(
            p.name, (proc.cpu_seconds(d.pid) - cpu) / seconds * 100)
        figures(f"{what}: memory", "MB", goals=[Ratio(1 / 15)]).add(p.name, proc.rss_mb(d.pid))
        figures(f"{what}: requests a second", "").add(p.name, sum(requests.values()) / seconds)
        figures(f"{what}: sent", "KB/s").add(p.name, up / 1024 / seconds)
        for db in dbs:
            db.close()
        d.stop()

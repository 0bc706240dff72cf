"""A minute of an application that writes much, to a bucket: what replicating it takes."""
import sqlite3
import time

import proc
from arrivals import Watch, commit_one, read
from bucket import traffic
from figures import Ratio
from programs import Litestream3, Prefix
from rig import MB, Daemon, ltx_pages


def minute(figures, rig):
    for run in range(rig.size.runs):
        for p in rig.turns(run):
            with rig.bucket() as bucket:
                one_minute(figures, rig, p, bucket)


def database(rig):
    """One of which a tenth is at work. It is not copied: what the kernel caches of a copy are large pieces, and it
    counts all of a piece as written of which a page was."""
    db = rig.fresh("minute") / "app.db"
    rig.load(db, "fill", bytes=rig.size.minute_bytes * 9 // 10)
    c = sqlite3.connect(db)
    c.execute("ALTER TABLE note RENAME TO ballast")
    c.close()
    rig.load(db, "insert", count=1)  # which makes the index
    rig.load(db, "fill", bytes=rig.size.minute_bytes // 10)
    return db


def one_minute(figures, rig, p, bucket):
    s, db = rig.size, database(rig)
    replica = Prefix(bucket, "app")
    with Daemon(rig, p, [(db, replica)]) as d:
        d.settle(rig)
        time.sleep(1)
        proc.forget_peak(d.pid)
        cpu, written, before = proc.cpu_seconds(d.pid), proc.written_mb(d.pid), bucket.classes()
        with Watch(rig, p, replica) as watch:
            rig.load(db, "both", rate=s.minute_rate, count=s.minute_rate * s.minute_s, seed=11)
            at, word, c = commit_one(db)
            watch.arrival_of(word, at, 60, f"{p.name}: the last commit")
            came = watch.seen.all()
        requests, up, down = traffic(before, bucket.classes())
        what = f"{s.minute_rate} tx/s for {s.minute_s} s"
        figures(f"{what}: CPU", "s", goals=[Ratio(0.2)]).add(p.name, proc.cpu_seconds(d.pid) - cpu)
        figures(f"{what}: peak memory", "MB", goals=[Ratio(0.2)]).add(p.name, proc.peak_mb(d.pid))
        figures(f"{what}: sent to the bucket", "MB", goals=[Ratio(0.57)]).add(p.name, up / MB)
        figures(f"{what}: of that, increments", "MB", goals=[Ratio(0.57)]).add(
            p.name, sum(len(read(a.files)) for a in came if p.level0.search(a.key)) / MB)
        figures(f"{what}: read from the bucket", "MB").add(p.name, down / MB)
        figures(f"{what}: requests", "").add(p.name, sum(requests.values()))
        figures(f"{what}: written to disk", "MB").add(p.name, proc.written_mb(d.pid) - written)
        if not isinstance(p, Litestream3):  # whose files do not say which pages they have
            figures(f"{what}: sent, by the bytes of the pages that changed", "x").add(
                p.name, up / max(changed(p, came), 1))
        c.close()
        d.stop()


def changed(p, came):
    """Bytes of the pages in increments: each counted once in each of them."""
    pages = [ltx_pages(read(a.files)) for a in came if p.level0.search(a.key)]
    return sum(size * n for size, n in pages)

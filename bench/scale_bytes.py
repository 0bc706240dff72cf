"""One large database, of a file that is mostly holes: what its size costs in memory, on the disk, and to read."""
import sqlite3
import time

import proc
import sparse
from bucket import traffic
from failed import until
from programs import Prefix
from rig import MB, Daemon, remove_db
from scale_many import calm

GB = 1 << 30
PATIENCE_S = 3600


def large(series, rig):
    for gb in rig.size.gigabytes:
        one(series, rig, gb)


def one(series, rig, gb):
    s, home = rig.size, rig.fresh("large")
    db = home / "app.db"
    sparse.make(db, int(gb * GB) // sparse.PAGE * sparse.PAGE, s.leaves)
    sparse.fill(db, s.rows)
    series("file: on the disk", "MB", gb, db.stat().st_blocks * 512 / MB, False)
    with rig.bucket() as bucket:
        replica = Prefix(bucket, "app")
        with Daemon(rig, rig.weir, [(db, replica)]) as d:
            first(series, gb, d, bucket, replica)
            calm(d, bucket, s.quiet_s)
            series("memory after it", "MB", gb, proc.rss_mb(d.pid))
            series("memory of its own (RssAnon)", "MB", gb, proc.status_kb(d.pid, "RssAnon") / 1024)
            commits(series, s, gb, d, bucket, db)
            d.stop()
        ledger = home / ".app.db-weir" / "ledger"
        series("ledger", "MB", gb, ledger.stat().st_size / MB)
        series("ledger: on the disk", "MB", gb, ledger.stat().st_blocks * 512 / MB)
        starts(series, rig, gb, db, replica)
        if gb <= s.restore_max_gb:
            restore(series, rig, gb, db, replica)


def first(series, gb, d, bucket, replica):
    until(lambda: d.alive() and d.program.snapshot_taken(replica), PATIENCE_S, "first snapshot", 0.05)
    count, up, _ = traffic({}, bucket.classes())
    series("first snapshot: time", "s", gb, (bucket.arrivals()[-1].at - d.started_ns) / 1e9)
    series("first snapshot: CPU", "s", gb, proc.cpu_seconds(d.pid))
    series("first snapshot: sent", "MB", gb, up / MB)
    series("first snapshot: requests", "", gb, sum(count.values()))
    series("first snapshot: read", "MB", gb, proc.read_mb(d.pid))
    series("first snapshot: peak memory", "MB", gb, proc.peak_mb(d.pid))


def commits(series, s, gb, d, bucket, db):
    c = sqlite3.connect(db, isolation_level=None, timeout=60)
    before, cpu = bucket.classes(), proc.cpu_seconds(d.pid)
    for i in range(s.commit_s):
        c.execute("UPDATE t SET v = randomblob(3000) WHERE id = ?", (1 + i % s.rows,))
        time.sleep(1)
    count, up, _ = traffic(before, bucket.classes())
    series("a commit a second: PUT a commit", "", gb, count.get("put", 0) / s.commit_s, False)
    series("a commit a second: sent a commit", "bytes", gb, up / s.commit_s, False)
    series("a commit a second: CPU a commit", "ms", gb, (proc.cpu_seconds(d.pid) - cpu) / s.commit_s * 1e3, False)
    series("a commit a second: memory", "MB", gb, proc.rss_mb(d.pid))
    c.close()


def starts(series, rig, gb, db, replica):
    """How the last process ended, and what became of the files since, is how the next one finds them."""
    term, kill = (lambda d: d.stop()), (lambda d: d.kill())
    c = sqlite3.connect(db, isolation_level=None, timeout=60)
    again(series, rig, gb, db, c, replica, "restart", kill)
    again(series, rig, gb, db, c, replica, "kill -9, and start", kill)
    commit(c)
    c.close()  # the last one: SQLite puts the WAL into the database, and removes it
    c = sqlite3.connect(db, isolation_level=None, timeout=60)
    again(series, rig, gb, db, c, replica, "kill -9, the application ended, and start", term)
    (db.parent / f".{db.name}-weir" / "ledger").unlink()
    again(series, rig, gb, db, c, replica, "start without the ledger", term)
    c.close()


def commit(c):
    c.execute("UPDATE t SET v = randomblob(3000) WHERE id = 1")


def again(series, rig, gb, db, c, replica, what, end):
    """Until a commit that was made meanwhile is up."""
    commit(c)
    bucket, before, seen = replica.bucket, replica.bucket.classes(), len(replica.bucket.arrivals())
    with Daemon(rig, rig.weir, [(db, replica)]) as d:
        until(lambda: d.alive() and len(bucket.arrivals()) > seen, PATIENCE_S, f"{what}: the commit", 0.02)
        series(f"{what}: until the commit is up", "s", gb, (bucket.arrivals()[seen].at - d.started_ns) / 1e9)
        calm(d, bucket, rig.size.quiet_s)
        count, up, down = traffic(before, bucket.classes())
        series(f"{what}: requests", "", gb, sum(count.values()))
        series(f"{what}: sent", "MB", gb, up / MB)
        series(f"{what}: received", "MB", gb, down / MB)
        series(f"{what}: read", "MB", gb, proc.read_mb(d.pid))
        series(f"{what}: peak memory", "MB", gb, proc.peak_mb(d.pid))
        end(d)


def restore(series, rig, gb, db, replica):
    bucket, target = replica.bucket, db.parent / "restored.db"
    before = bucket.classes()
    seconds, _, peak = rig.spent(rig.weir.restore(rig.work / "weir.yml", db, target), "restore").values()
    count, _, down = traffic(before, bucket.classes())
    series("restore: time", "s", gb, seconds)
    series("restore: peak memory", "MB", gb, peak)
    series("restore: requests", "", gb, sum(count.values()))
    series("restore: received", "MB", gb, down / MB)
    remove_db(target)

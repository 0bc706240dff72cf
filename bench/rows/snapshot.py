"""The first snapshot of a large database, from the start of the program until the replica has all of it."""
import shutil
import time

import proc
from failed import until
from figures import Ratio
from programs import Directory, Prefix
from rig import MB, Daemon


def snapshot(figures, rig):
    home = rig.fresh("snapshot")
    db = home / "app.db"
    rig.load(db, "fill", bytes=rig.size.big_bytes)
    for run in range(rig.size.runs):
        for p in rig.turns(run):
            one(figures, rig, p, db, Directory(rig.fresh("snapshot-replica")), "to a directory")
            with rig.bucket() as bucket:
                one(figures, rig, p, db, Prefix(bucket, "app"), "to a bucket")


def one(figures, rig, p, db, replica, where):
    """Everybody at its shortest interval: Litestream waits for one before it begins."""
    forget(db)
    with Daemon(rig, p, [(db, replica)], p.shortest) as d:
        until(lambda: d.alive() and p.snapshot_taken(replica), 300, f"{p.name}: first snapshot", 0.002)
        end, cpu, peak = time.monotonic_ns(), proc.cpu_seconds(d.pid), proc.peak_mb(d.pid)
        if isinstance(replica, Prefix):
            end = replica.bucket.arrivals()[-1].at
        d.stop()
    seconds, size = (end - d.started_ns) / 1e9, db.stat().st_size
    what = f"{size / MB:.0f} MB {where}"
    figures(f"{what}: rate", "GB/s", True, [Ratio(3.5)]).add(p.name, size / seconds / 1e9)
    figures(f"{what}: time", "s").add(p.name, seconds)
    figures(f"{what}: CPU", "s").add(p.name, cpu)
    figures(f"{what}: peak memory", "MB").add(p.name, peak)


def forget(db):
    """What a program keeps beside the database: nobody is to find where it, or another, was."""
    for x in db.parent.iterdir():
        if x.is_dir():
            shutil.rmtree(x)

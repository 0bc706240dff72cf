"""What compaction takes: the same load with files of two levels above the increments, and with none."""
import time

import proc
from arrivals import read
from bucket import traffic
from figures import Most, Ratio
from programs import Litestream3, Prefix
from rig import MB, Daemon


def levels(figures, rig):
    for run in range(rig.size.runs):
        for p in rig.turns(run):
            if isinstance(p, Litestream3):  # which has no levels
                continue
            for on in (True, False):
                with rig.bucket() as bucket:
                    one_load(figures, rig, p, bucket, on)


def one_load(figures, rig, p, bucket, on):
    s, db = rig.size, rig.fresh("levels") / "app.db"
    replica = Prefix(bucket, "app")
    every = f"{s.levels_s / 6:g}s", f"{s.levels_s / 2:g}s"
    head = "levels: [{interval: %s}, {interval: %s}]\n" % (every if on else ("1h", "2h"))
    rig.load(db, "fill", bytes=s.levels_bytes)
    with Daemon(rig, p, [(db, replica)], interval="1s", head=head) as d:
        d.settle(rig)
        time.sleep(1)
        proc.forget_peak(d.pid)
        cpu, before, known = proc.cpu_seconds(d.pid), bucket.classes(), len(bucket.arrivals())
        rig.load(db, "both", rate=s.levels_rate, count=s.levels_rate * s.levels_s, seed=11)
        time.sleep(2)
        requests, _, down = traffic(before, bucket.classes())
        what = f"{s.levels_rate} tx/s for {s.levels_s} s, levels of {' and '.join(every)}"
        figures(f"{what}: CPU" if on else f"{what}, without them: CPU", "s").add(p.name, proc.cpu_seconds(d.pid) - cpu)
        if on:
            came = [a for a in bucket.arrivals()[known:] if p.level.search(a.key)]
            figures(f"{what}: peak memory", "MB", goals=[Ratio(0.5)]).add(p.name, proc.peak_mb(d.pid))
            figures(f"{what}: read from the bucket", "MB", goals=[Most(0.1)]).add(p.name, down / MB)
            figures(f"{what}: files of the levels", "").add(p.name, len(came))
            figures(f"{what}: sent in them", "MB").add(p.name, sum(len(read(a.files)) for a in came) / MB)
            figures(f"{what}: requests", "").add(p.name, sum(requests.values()))
        d.stop()

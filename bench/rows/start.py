"""Starting: until it says so, until the first object is there, and until what was committed meanwhile is up."""
from arrivals import Watch, commit_one
from failed import need, until
from figures import Most, Ratio
from programs import Prefix
from rig import Daemon


def start(figures, rig):
    for run in range(rig.size.runs):
        for p in rig.turns(run):
            with rig.bucket() as bucket:
                one_start(figures, rig, p, Prefix(bucket, "app"))


def one_start(figures, rig, p, replica):
    home, db = rig.seeded("start")
    with Daemon(rig, p, [(db, replica)]) as d:
        until(lambda: d.alive() and d.ready_ns, 60, f"{p.name}: ready")
        until(lambda: d.alive() and replica.bucket.arrivals(), 60, f"{p.name}: first object", 0.02)
        first = replica.bucket.arrivals()[0].at
        figures("from the start until it says that it replicates", "ms", goals=[Most(6)]).add(
            p.name, (d.ready_ns - d.started_ns) / 1e6)
        figures("from the start until the first object is there", "ms", goals=[Most(20), Ratio(1 / 50)]).add(
            p.name, (first - d.started_ns) / 1e6)
        d.settle(rig)
        with Watch(rig, p, replica) as watch:
            at, word, c = commit_one(db)
            watch.arrival_of(word, at, 30, f"{p.name}: a commit")
        d.stop()
    # The connection stays open: the last one to close would empty the WAL.
    again(figures, rig, p, replica, db, "restart", lambda d: d.kill())
    again(figures, rig, p, replica, db, "kill -9, and start", lambda d: d.stop())
    c.close()


def again(figures, rig, p, replica, db, how, end):
    """Start it with a commit that was made while there was none; how it ends is how the next one finds things."""
    _, word, c = commit_one(db)
    with Watch(rig, p, replica) as watch, Daemon(rig, p, [(db, replica)]) as d:
        up = watch.arrival_of(word, d.started_ns, 60, f"{p.name}: a commit made meanwhile")
        need(up > 0, f"{p.name}: the commit was there before the start")
        figures(f"{how}, until a commit made meanwhile is up", "ms", goals=[Most(5), Ratio(1 / 200)]).add(p.name, up)
        end(d)
    c.close()

"""How long a commit is at risk: from its return until the replica has it."""
import random
import time

import proc
from arrivals import Watch, commit_one, token
from failed import need
from figures import Most, Ratio
from programs import Directory, Prefix
from rig import Daemon


def quantile(values, part):
    v = sorted(values)
    return v[min(len(v) - 1, int(len(v) * part))]


def lag(figures, rig):
    """Commits at a low rate, a replica in a directory, everybody at the shortest interval."""
    for run in range(rig.size.runs):
        for p in rig.turns(run):
            one_lag(figures, rig, p, run)


def one_lag(figures, rig, p, run):
    s = rig.size
    home, db = rig.seeded("lag", "append")
    replica, times = Directory(home / "replica"), home / "times"
    with Daemon(rig, p, [(db, replica)], p.shortest) as d:
        d.settle(rig)
        time.sleep(1)
        with Watch(rig, p, replica) as watch:
            before, start = proc.cpu_seconds(d.pid), time.monotonic()
            rig.load(db, "token", seed=run + 1, times=times, rate=s.lag_rate, count=s.lag_rate * s.lag_s)
            cpu = (proc.cpu_seconds(d.pid) - before) / (time.monotonic() - start)
            time.sleep(min(2, s.lag_s))
            commits = memoryview(times.read_bytes()).cast("Q")
            lags, missing = watch.lags_ms(commits, [token(run + 1, k) for k in range(len(commits))])
        d.stop()
    need(lags, f"{p.name}: no commit was found in the replica")
    what = f"{s.lag_rate} commits/s"
    figures(f"{what}: p50", "ms", goals=[Most(1), Ratio(1 / 6)]).add(p.name, quantile(lags, 0.5))
    figures(f"{what}: p99", "ms", goals=[Most(3), Ratio(1 / 20)]).add(p.name, quantile(lags, 0.99))
    figures(f"{what}: longest", "ms").add(p.name, max(lags))
    figures(f"{what}: CPU", "% of a core", goals=[Most(3)]).add(p.name, cpu * 100)
    figures(f"{what}: not found in any file", "commits", goals=[Most(0)]).add(p.name, missing)


def lone(figures, rig):
    """One commit now and then, a bucket, everybody as it comes."""
    chance = random.Random(1)
    for run in range(rig.size.runs):
        for p in rig.turns(run):
            home, db = rig.seeded("lone", "append")
            with rig.bucket() as bucket, Daemon(rig, p, [(db, Prefix(bucket, "app"))]) as d:
                d.settle(rig)
                lags, puts = [], 0
                for _ in range(rig.size.lone_commits):
                    time.sleep(1.5 + chance.random())
                    before = bucket.requests()
                    with Watch(rig, p, Prefix(bucket, "app")) as watch:
                        at, word, c = commit_one(db)
                        lags.append(watch.arrival_of(word, at, 30, f"{p.name}: a lone commit"))
                        c.close()
                    puts += bucket.requests() - before
                d.stop()
            # On loopback a round trip is a fraction of a millisecond: see `yardsticks`.
            figures("a lone commit is in the bucket after, median", "ms", goals=[Most(2.5), Ratio(1 / 200)]).add(
                p.name, quantile(lags, 0.5))
            figures("a lone commit is in the bucket after, longest", "ms").add(p.name, max(lags))
            figures("requests for each", "", goals=[Ratio(1)]).add(p.name, puts / len(lags))

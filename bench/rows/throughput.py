"""What an application notices: flat out, paced, and how far behind the replica is afterwards.

Replicas are directories on the database's own disk, whose flushes compete with the application's: the worst case.
"""
import contextlib

import proc
from arrivals import Watch, commit_one
from figures import Most, Ratio
from programs import Directory
from rig import MB, Daemon, finish_load

NONE = "none"  # no replicator at all


@contextlib.contextmanager
def replicating(rig, program, db, home):
    """The daemon at work, or None where nobody replicates."""
    if program is None:
        yield None
        return
    with Daemon(rig, program, [(db, Directory(home / "replica"))], rig.size.interval) as d:
        d.settle(rig)
        yield d
        d.stop()


def throughput(figures, rig):
    """Writers flat out, each a process with a connection."""
    s = rig.size
    goals = {("NORMAL", 1): Ratio(1.1, NONE), ("FULL", 1): Ratio(0.95, NONE)}
    for run in range(s.runs):
        for sync, writers in s.throughput_cases:
            for p in rig.turns(run, None):
                one_flood(figures, rig, p, sync, writers, goals.get((sync, writers)))


def one_flood(figures, rig, program, sync, writers, goal):
    home, db = rig.seeded("throughput")
    with replicating(rig, program, db, home):
        loads = [rig.start_load(db, "insert", sync, seconds=rig.size.throughput_s, seed=n + 1) for n in range(writers)]
        said = [finish_load(x) for x in loads]
    name = program.name if program else NONE
    what = f"{sync}, {writers} writer{'s' if writers > 1 else ''}"
    alone = writers == 1
    figures(f"{what}: throughput", "tx/s", True, [goal] if goal else []).add(
        name, sum(x["transactions"] / x["seconds"] for x in said))
    figures(f"{what}: p99.9", "ms").add(name, max(x["p999_us"] for x in said) / 1000)
    figures(f"{what}: longest commit", "ms", goals=[Most(20)] if alone else []).add(
        name, max(x["max_us"] for x in said) / 1000)
    figures(f"{what}: greatest WAL", "MB", goals=[Most(64)] if alone else []).add(
        name, max(x["wal_max"] for x in said) / MB)


def paced(figures, rig):
    """One writer with a fixed rate, which leaves the machine to others most of the time."""
    s = rig.size
    for run in range(s.runs):
        for p in rig.turns(run, None):
            home, db = rig.seeded("paced")
            with replicating(rig, p, db, home):
                x = rig.load(db, "both", rate=s.paced_rate, count=s.paced_rate * s.paced_s)
            name, what = p.name if p else NONE, f"{s.paced_rate} tx/s"
            figures(f"{what}: p50", "ms").add(name, x["p50_us"] / 1000)
            figures(f"{what}: p99.9", "ms", goals=[Ratio(0.2, NONE)]).add(name, x["p999_us"] / 1000)
            figures(f"{what}: longest commit", "ms", goals=[Most(5)]).add(name, x["max_us"] / 1000)


def readers(figures, rig):
    """One writer, and reads that overlap, so that there hardly ever is none: what that makes of the WAL."""
    s = rig.size
    for run in range(s.runs):
        for p in rig.turns(run, None):
            home, db = rig.seeded("readers")
            with replicating(rig, p, db, home) as d:
                before = proc.cpu_seconds(d.pid) if d else 0
                reads = [rig.start_load(db, "read", seconds=s.readers_s, seed=n + 1) for n in range(s.readers)]
                x = rig.load(db, "both", cap=s.readers_rate, seconds=s.readers_s)
                for r in reads:
                    finish_load(r)
                cpu = proc.cpu_seconds(d.pid) - before if d else 0
            name = p.name if p else NONE
            figures("greatest WAL", "MB", goals=[Ratio(2, NONE)]).add(name, x["wal_max"] / MB)
            figures("longest commit", "ms").add(name, x["max_us"] / 1000)
            if p:
                figures("CPU", "% of a core").add(name, 100 * cpu / x["seconds"])


def drain(figures, rig):
    """One writer flat out, everybody at the shortest interval; then one more commit, and when the replica has it."""
    s = rig.size
    for run in range(s.runs):
        for p in rig.turns(run):
            home, db = rig.seeded("drain")
            replica = Directory(home / "replica")
            with Daemon(rig, p, [(db, replica)], p.shortest) as d:
                d.settle(rig)
                proc.forget_peak(d.pid)
                before, written = proc.cpu_seconds(d.pid), proc.written_mb(d.pid)
                with Watch(rig, p, replica) as watch:
                    x = rig.load(db, "insert", seconds=s.drain_s)
                    at, word, c = commit_one(db)
                    behind = watch.arrival_of(word, at, 300, f"{p.name}: the last commit")
                    c.close()
                cpu = proc.cpu_seconds(d.pid) - before
                tx = x["transactions"]
                figures("last commit is in the replica after", "ms", goals=[Most(200), Ratio(0.01)]).add(p.name, behind)
                figures("greatest WAL", "MB", goals=[Most(64)]).add(p.name, x["wal_max"] / MB)
                figures("peak memory", "MB").add(p.name, proc.peak_mb(d.pid))
                figures("CPU for 100,000 transactions", "s").add(p.name, cpu / tx * 1e5)
                figures("written to disk for a transaction", "KB").add(
                    p.name, (proc.written_mb(d.pid) - written) * 1024 / tx)
                d.stop()

"""Databases that nothing happens to, replicated to a bucket: what a replicator takes for being there."""
import contextlib
import os
import resource
import time

import proc
from bucket import traffic
from figures import Most
from programs import Directory, Prefix, Program
from rig import Daemon
from rows.fleet import seed_many

MEMORY_MB = {1: 8, 100: 16, 1000: 64}  # goals, with replicas in directories


def idle(figures, rig):
    """All programs at once, each with databases of its own, since idle ones do not disturb each other."""
    for n in rig.size.idle_n:
        with contextlib.ExitStack() as open_ones:
            daemons = []
            for p in rig.programs:
                paths = seed_many(rig, f"idle-{p.name}", n)
                bucket = open_ones.enter_context(rig.bucket())
                d = Daemon(rig, p, [(x, Prefix(bucket, x.stem)) for x in paths])
                daemons.append((open_ones.enter_context(d), bucket))
            here = open_ones.enter_context(in_directories(rig, n))
            for d in (here, *(d for d, _ in daemons)):
                d.await_snapshots()
            time.sleep(rig.size.idle_settle_s)
            what = f"{n} idle database{'s' if n > 1 else ''}"
            silence(figures, rig, what, daemons)
            goals = [Most(MEMORY_MB[n])] if n in MEMORY_MB else []
            figures(f"{what}, replicas in directories: memory", "MB", goals=goals).add(
                rig.weir.name, proc.rss_mb(here.pid))
            for d in (here, *(d for d, _ in daemons)):
                d.stop()


def in_directories(rig, n):
    """weir once more, with replicas beside the databases: what it takes without a bucket's libraries."""
    again = Program(f"{rig.weir.name}-here", rig.weir.path)  # whose configuration and log are files of their own
    paths, home = seed_many(rig, "idle-here", n), rig.fresh("idle-replicas")
    return Daemon(rig, again, [(x, Directory(home / x.stem)) for x in paths])


def silence(figures, rig, what, daemons):
    """Windows of it, as many as there are runs. What comes once a minute is in one of them and not in the others, so
    that their median has none of it: wake-ups and requests are those of all windows together."""
    before, start = [(proc.switches(d.pid), b.classes()) for d, b in daemons], time.monotonic()
    for _ in range(rig.size.runs):
        window(figures, rig, what, daemons)
    s = time.monotonic() - start
    for (d, b), (switches, classes) in zip(daemons, before):
        figures(f"{what}: wake-ups a second", "", goals=[Most(0)]).add(
            d.program.name, proc.switched(switches, proc.switches(d.pid)) / s)
        figures(f"{what}: requests a second", "", goals=[Most(0)]).add(
            d.program.name, sum(traffic(classes, b.classes())[0].values()) / s)


def window(figures, rig, what, daemons):
    before = [proc.cpu_seconds(d.pid) for d, _ in daemons]
    time.sleep(rig.size.idle_s)
    for (d, _), cpu in zip(daemons, before):
        figures(f"{what}: CPU", "% of a core").add(
            d.program.name, (proc.cpu_seconds(d.pid) - cpu) / rig.size.idle_s * 100)
        figures(f"{what}: memory", "MB").add(d.program.name, proc.rss_mb(d.pid))


def many(figures, rig):
    """More than most have, of weir alone: all held open where descriptors allow, and as few as it is told."""
    s = rig.size
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    cases = [s.many_open]
    if hard == resource.RLIM_INFINITY or s.many_n * 8 + 64 <= hard:
        cases.append(0)
    for open_max in cases:
        head, rule = (f"open-max: {open_max}", f", open-max: {open_max}") if open_max else ("", "")
        what, name = f"{s.many_n} idle databases{rule}", rig.weir.name
        with rig.bucket() as bucket:
            paths = seed_many(rig, "many", s.many_n)
            start = time.monotonic()
            with Daemon(rig, rig.weir, [(x, Prefix(bucket, x.stem)) for x in paths], None, head) as d:
                d.await_snapshots()
                figures(f"{what}: all first snapshots", "s").add(name, time.monotonic() - start)
                time.sleep(s.idle_settle_s)
                silence(figures, rig, what, [(d, bucket)])
                figures(f"{what}: peak memory", "MB", goals=[Most(150)] if open_max else []).add(
                    name, proc.peak_mb(d.pid))
                figures(f"{what}: descriptors", "").add(name, len(os.listdir(f"/proc/{d.pid}/fd")))
                d.stop()

"""Many small databases, to a bucket: what a start, silence, writing and a restart take."""
import contextlib
import resource
import sqlite3
import time
import urllib.request

import proc
from bucket import traffic
from failed import until
from programs import Prefix
from rig import MB, Daemon, free_port
from rows.fleet import seed_many, write

CLASSES = ("list", "get", "head", "put", "delete")
PER_DATABASE = 8  # descriptors of one that is held open
SPARE = 64  # of the process


def held_open(series, rig):
    for n in allowed(rig.size.numbers):
        one(series, rig, n, "")


def quiet(series, rig):
    for n in rig.size.numbers:
        if n >= rig.size.open_max:
            one(series, rig, n, f"open-max: {rig.size.open_max}")


def allowed(numbers):
    """Those for which there are descriptors, and where there are too few the most for which there are."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY:
        return list(numbers)
    most = (hard - SPARE) // PER_DATABASE
    return sorted({min(n, most // 100 * 100 or most) for n in numbers})


def one(series, rig, n, head):
    s, port = rig.size, free_port()
    head = f'{head}\naddr: "127.0.0.1:{port}"'
    with rig.bucket() as bucket:
        paths = seed_many(rig, "many", n)
        pairs = [(x, Prefix(bucket, x.stem)) for x in paths]
        with Daemon(rig, rig.weir, pairs, None, head) as d:
            first_start(series, s, n, d, bucket)
            standing(series, n, d, port)
            silence(series, s, n, d, bucket)
            kernel, start = proc.kernel_mb(), time.monotonic()
            d.stop()
            series("stop", "s", n, time.monotonic() - start)
            series("kernel's memory that its end gave back", "MB", n, kernel - proc.kernel_mb(), False)
        local(series, n, paths)
        before = bucket.classes()
        with Daemon(rig, rig.weir, pairs, None, head) as d:
            restart(series, s, n, d, bucket, before)
            writing(series, s, n, d, bucket, paths)
            series("after writing: memory", "MB", n, proc.rss_mb(d.pid))
            series("peak memory", "MB", n, proc.peak_mb(d.pid))
            d.stop()


def calm(d, bucket, seconds):
    """Until there was no request for so long."""
    seen, since = -1, 0

    def is_calm():
        nonlocal seen, since
        d.alive()
        count = bucket.requests()
        if count != seen:
            seen, since = count, time.monotonic()
        return time.monotonic() - since >= seconds

    until(is_calm, 1800, "no request for a while", 0.1)
    return time.monotonic() - since


def snapshots(bucket, program):
    return len({a.key for a in bucket.arrivals() if program.snapshot.search(a.key)})


def requests(series, what, n, before, bucket):
    """Of each class, and the bytes; what was asked for since `before`."""
    count, up, down = traffic(before, bucket.classes())
    for c in CLASSES:
        if count.get(c):
            series(f"{what}: {c.upper()}", "", n, count[c])
    series(f"{what}: sent", "MB", n, up / MB)
    series(f"{what}: received", "MB", n, down / MB)
    return count


def first_start(series, s, n, d, bucket):
    start = time.monotonic()
    until(lambda: d.alive() and d.ready_ns, 600, "ready")
    series("start: until it says that it is at work", "s", n, (d.ready_ns - d.started_ns) / 1e9)
    until(lambda: d.alive() and snapshots(bucket, d.program) >= n, 600 + n / 10, "all first snapshots", 0.2)
    series("start: until all snapshots are there", "s", n, time.monotonic() - start)
    calm(d, bucket, s.quiet_s)
    cpu = proc.cpu_seconds(d.pid)
    requests(series, "start", n, {}, bucket)
    series("start: connections", "", n, bucket.connections(), False)
    series("start: CPU", "s", n, cpu)
    series("start: peak memory", "MB", n, proc.peak_mb(d.pid))


def standing(series, n, d, port):
    """What it has while it is there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=120) as said:
        text = said.read()
    series("memory", "MB", n, proc.rss_mb(d.pid))
    series("memory of its own (RssAnon)", "MB", n, proc.status_kb(d.pid, "RssAnon") / 1024)
    series("page tables", "MB", n, proc.status_kb(d.pid, "VmPTE") / 1024)
    series("descriptors", "", n, proc.descriptors(d.pid))
    series("inotify watches", "", n, proc.watches(d.pid))
    series("mappings", "", n, proc.mappings(d.pid))
    series("threads", "", n, proc.threads(d.pid), False)
    series("a scrape of /metrics", "MB", n, len(text) / MB, False)


def silence(series, s, n, d, bucket):
    time.sleep(s.settle_s)
    before, cpu, switches = bucket.classes(), proc.cpu_seconds(d.pid), proc.switches(d.pid)
    time.sleep(s.idle_s)
    count, _, _ = traffic(before, bucket.classes())
    series("idle: requests an hour", "", n, sum(count.values()) * 3600 / s.idle_s)
    series("idle: CPU", "% of a core", n, (proc.cpu_seconds(d.pid) - cpu) / s.idle_s * 100)
    series("idle: switches a second", "", n, proc.switched(switches, proc.switches(d.pid)) / s.idle_s, False)
    series("idle: memory", "MB", n, proc.rss_mb(d.pid))
    series("idle: threads", "", n, proc.threads(d.pid), False)
    series("idle: descriptors", "", n, proc.descriptors(d.pid))


def writing(series, s, n, d, bucket, paths):
    """A commit a second to each of some of them. By the database that is written to, since these are as many."""
    some = paths[:: max(1, len(paths) // s.writers)][: s.writers]
    with contextlib.ExitStack() as open_ones:
        dbs = [open_ones.enter_context(contextlib.closing(sqlite3.connect(x, isolation_level=None, timeout=60)))
               for x in some]
        write(dbs, s.warm_s)
        before, cpu, start = bucket.classes(), proc.cpu_seconds(d.pid), time.monotonic()
        write(dbs, s.write_s)
        seconds = time.monotonic() - start
        count, up, _ = traffic(before, bucket.classes())
        commits = len(dbs) * s.write_s
        what = "written once a second, of each"
        for c in CLASSES:
            if count.get(c):
                series(f"{what}: {c.upper()} a commit", "", n, count[c] / commits, False)
        series(f"{what}: sent a commit", "bytes", n, up / commits, False)
        series(f"{what}: CPU a commit", "ms", n, (proc.cpu_seconds(d.pid) - cpu) / commits * 1e3, False)
        series(f"{what}: seconds that took", "", n, seconds, False)


def local(series, n, paths):
    """What lies beside the databases."""
    files = [f for x in paths for f in x.with_name(f".{x.name}-weir").rglob("*") if f.is_file()]
    series("local state: files", "", n, len(files))
    series("local state: on the disk", "MB", n, sum(f.stat().st_blocks * 512 for f in files) / MB)


def restart(series, s, n, d, bucket, before):
    """Of databases that nobody has written to meanwhile."""
    start = time.monotonic()
    until(lambda: d.alive() and d.ready_ns, 600, "ready")
    waited = calm(d, bucket, s.quiet_s)
    series("restart: until the last request", "s", n, time.monotonic() - start - waited)
    requests(series, "restart", n, before, bucket)
    series("restart: CPU", "s", n, proc.cpu_seconds(d.pid))


def far(series, rig):
    """A store that takes its time: what bounds a process then is how many requests it has under way."""
    s = rig.size
    for n in s.far_numbers:
        with rig.bucket() as bucket:
            bucket.delay(s.far_ms)
            paths = seed_many(rig, "far", n)
            with Daemon(rig, rig.weir, [(x, Prefix(bucket, x.stem)) for x in paths]) as d:
                start = time.monotonic()
                until(lambda: snapshots(bucket, d.program) >= n, 1200, "all first snapshots", 0.05)
                calm(d, bucket, s.quiet_s)
                series("start: until all snapshots are there", "s", n, (bucket.arrivals()[-1].at / 1e9) - start)
                before = bucket.classes()
                dbs = [sqlite3.connect(x, isolation_level=None, timeout=60) for x in paths]
                start = time.monotonic()
                write(dbs, s.far_s)
                ended = time.monotonic()
                count, _, _ = traffic(before, bucket.classes())
                series("a commit a second each: PUT a second", "", n, count.get("put", 0) / (ended - start), False)
                calm(d, bucket, s.quiet_s)
                last = [a.at for a in bucket.arrivals() if d.program.level0.search(a.key)][-1]
                series("and after the last commit, until all are up", "s", n, max(0, last / 1e9 - ended), False)
                series("threads", "", n, proc.threads(d.pid), False)
                series("memory", "MB", n, proc.rss_mb(d.pid), False)
                for c in dbs:
                    c.close()
                d.stop()


def nodes(series, rig):
    """Daemons with databases of their own, all in one bucket: what one asks for does not depend on the others."""
    s = rig.size
    for k in s.nodes:
        with rig.bucket() as bucket, contextlib.ExitStack() as open_ones:
            daemons = []
            for i in range(k):
                paths = seed_many(rig, f"node-{i}", s.node_n)
                daemons.append(open_ones.enter_context(
                    Daemon(rig, rig.weir, [(x, Prefix(bucket, f"tenants/node-{i}-{x.stem}")) for x in paths])))
            until(lambda: snapshots(bucket, rig.weir) >= k * s.node_n, 600, "all first snapshots", 0.2)
            calm(daemons[0], bucket, s.quiet_s)
            requests(series, "start", k, {}, bucket)
            series("start: CPU of all", "s", k, sum(proc.cpu_seconds(d.pid) for d in daemons))
            for d in daemons:
                d.stop()

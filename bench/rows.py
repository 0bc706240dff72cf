"""The measurements. Each takes the rig, the programs (weir first) and sizes, and returns

    {"table": [(what, program, value, goal or "")], "runs": [raw numbers of every run]}

where a value is text for people. Whatever is compared is measured in turn within one run, because
the machine's mood changes by the minute; figures are medians, with the extremes in brackets.
"""
import itertools
import json
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import time

import rig as r
from rig import need, until

MB = 1 << 20


def spread(values, unit="", digits=1, scale=1):
    v = sorted(x / scale for x in values)
    text = f"{statistics.median(v):.{digits}f}"
    if len(v) > 1:
        text += f" ({v[0]:.{digits}f}-{v[-1]:.{digits}f})"
    return f"{text} {unit}".rstrip()


def of(runs, key, **match):
    return [x[key] for x in runs if all(x.get(k) == v for k, v in match.items()) and key in x]


def quantile(values, part):
    v = sorted(values)
    return v[min(len(v) - 1, int(len(v) * part))]


def seeded(rig, name, kind="insert", rows=2000):
    """A directory with a small database in WAL mode; (directory, database, replica)."""
    home = rig.fresh(name)
    rig.load(home / "app.db", kind, count=rows)
    return home, home / "app.db", home / "replica"


def turns(programs, run):
    """Everybody in turn, in another order each run: nobody always comes first."""
    k = run % len(programs)
    return programs[k:] + programs[:k]


# ---- 1 ----


def one_writer(rig, program, sync, seconds):
    home, db, replica = seeded(rig, "throughput")
    if program is None:
        return rig.load(db, "insert", sync, seconds=seconds)
    with r.Daemon(rig, program, db, replica, "1s") as d:
        before = r.cpu_seconds(d.pid)
        x = rig.load(db, "insert", sync, seconds=seconds)
        x["daemon_cpu"] = r.cpu_seconds(d.pid) - before
        d.stop()
        x["exit"] = d.status
        return x | {f"log_{k}": v for k, v in d.closing_line().items()}


def throughput(rig, programs, size):
    runs, table = [], []
    for sync, run in itertools.product(("NORMAL", "FULL"), range(size.runs)):
        for p in turns([None, *programs], run):
            x = one_writer(rig, p, sync, size.throughput_s)
            x |= {"sync": sync, "run": run, "program": p.name if p else "none"}
            x["tps"] = x["transactions"] / x["seconds"]
            runs.append(x)
    for sync, name in itertools.product(("NORMAL", "FULL"), ["none", *(p.name for p in programs)]):
        mine = {"sync": sync, "program": name}
        base = of(runs, "tps", sync=sync, program="none")
        # Run by run: whatever slowed the machine slowed its neighbour, too.
        ratio = [a / b for a, b in zip(of(runs, "tps", **mine), base)]
        what = f"throughput, {sync}"
        table.append((what, name, spread(of(runs, "tps", **mine), "tx/s", 0), ""))
        if name != "none":
            table.append((what + ", ratio to none", name, spread(ratio, "x", 2), ">= 1 x"))
        for label, key, unit, digits, scale in (
            ("p99", "p99_us", "us", 0, 1), ("max", "max_us", "ms", 1, 1000),
            ("WAL max", "wal_max", "MB", 1, MB), ("WAL end", "wal_end", "MB", 1, MB),
        ):
            text = spread(of(runs, key, **mine), unit, digits, scale)
            table.append((f"{what}, {label}", name, text, ""))
    return {"table": table, "runs": runs}


# ---- 2 ----


def lags_ms(program, replica, seen, times, seed):
    """Of each transaction, from COMMIT's return to the first file that has its token in it."""
    with open(times, "rb") as f:
        commits = memoryview(f.read()).cast("Q")
    lags, i = [], 0
    tokens = [r.token(seed, k) for k in range(len(commits))]
    for line in seen.read_text().splitlines()[1:]:
        at, name = line.split(" ", 1)
        data = (program.level0_dir(replica) / name).read_bytes()
        while i < len(commits) and tokens[i] in data:
            lags.append((int(at) - commits[i]) / 1e6)
            i += 1
    return lags, len(commits) - i


def one_lag(rig, program, size, run):
    home, db, replica = seeded(rig, "lag", kind="append")
    times, seen = home / "times", home / "seen"
    with r.Daemon(rig, program, db, replica, program.shortest) as d:
        rig.load(db, "append", count=1)  # the directory of level 0 comes with the first file
        level0 = program.level0_dir(replica)
        until(lambda: any(level0.glob("*" + program.suffix)), 30, f"{program.name}: first file")
        time.sleep(1)
        watch = rig.watch(level0, program.suffix, seen)
        before = r.cpu_seconds(d.pid), time.monotonic()
        rig.load(db, "token", seed=run + 1, times=times, rate=size.lag_rate,
                 count=size.lag_rate * size.lag_s)
        cpu = (r.cpu_seconds(d.pid) - before[0]) / (time.monotonic() - before[1])
        time.sleep(2)
        watch.communicate()
        need(watch.returncode == 0, "watch failed")
        lags, missing = lags_ms(program, replica, seen, times, run + 1)
    need(lags, f"{program.name}: no token found")
    return {
        "program": program.name, "run": run, "commits": len(lags), "missing": missing,
        "p50": quantile(lags, 0.5), "p99": quantile(lags, 0.99), "max": max(lags), "cpu": cpu * 100,
    }


def lag(rig, programs, size):
    runs = [one_lag(rig, p, size, n) for n in range(size.runs) for p in turns(programs, n)]
    table = []
    for p in programs:
        for key, goal in (("p50", "< 5 ms"), ("p99", ""), ("max", "")):
            text = spread(of(runs, key, program=p.name), "ms", 2)
            table.append((f"lag at {size.lag_rate} commits/s, {key}", p.name, text, goal))
        text = spread(of(runs, "cpu", program=p.name), "% of a core", 1)
        table.append((f"lag at {size.lag_rate} commits/s, CPU", p.name, text, ""))
        lost = sum(of(runs, "missing", program=p.name))
        table.append((f"lag at {size.lag_rate} commits/s, not found", p.name, str(lost), "0"))
    return {"table": table, "runs": runs}


# ---- 3 ----


def one_flood(rig, program, size, run):
    home, db, replica = seeded(rig, "flood")
    with r.Daemon(rig, program, db, replica, "1s") as d:
        start = r.status_kb(d.pid, "VmHWM")
        load = rig.load(db, "insert", seconds=size.flood_s)
        x = {
            "program": program.name, "run": run, "start_mb": start / 1024,
            "peak_mb": r.status_kb(d.pid, "VmHWM") / 1024,
            "written_mb": r.written_bytes(d.pid) / MB, "transactions": load["transactions"],
            "end_kb": r.smaps(d.pid),
        }
        x["cpu"], x["exit"] = d.stop(), d.status
        x |= {f"log_{k}": v for k, v in d.closing_line().items()}
    x["cpu_100k"] = x["cpu"] / load["transactions"] * 1e5
    x["written_kb_tx"] = x["written_mb"] * 1024 / load["transactions"]
    return x


def flood(rig, programs, size):
    runs = [one_flood(rig, p, size, n) for n in range(size.runs) for p in turns(programs, n)]
    table = []
    for p in programs:
        for what, key, unit, goal in (
            ("memory after the snapshot", "start_mb", "MB", ""),
            ("peak memory, flat out", "peak_mb", "MB", "< 16 MB"),
            ("CPU per 100,000 transactions", "cpu_100k", "s", ""),
            ("written to disk per transaction", "written_kb_tx", "KB", ""),
        ):
            table.append((what, p.name, spread(of(runs, key, program=p.name), unit, 2), goal))
    return {"table": table, "runs": runs}


# ---- 4 ----


def idle(rig, programs, size):
    """All at once: those that do nothing do not disturb each other, and it takes a minute."""
    daemons, runs, table = [], [], []
    try:
        for p in programs:
            home, db, replica = seeded(rig, f"idle-{p.name}")
            daemons.append(r.Daemon(rig, p, db, replica, "1s").__enter__())
            rig.load(db, "insert", count=50)
        time.sleep(size.settle_s)
        before = [(r.switches(d.pid), r.cpu_seconds(d.pid)) for d in daemons]
        time.sleep(size.idle_s)
        for d, (switches, cpu) in zip(daemons, before):
            x = {"switches": r.switches(d.pid) - switches, "cpu": r.cpu_seconds(d.pid) - cpu}
            x |= {"program": d.program.name, "memory": r.smaps(d.pid)}
            runs.append(x)
    finally:
        for d in daemons:
            d.__exit__(None, None, None)
    for x in runs:
        what = f"idle for {size.idle_s} s, "
        table.append((what + "context switches", x["program"], str(x["switches"]), "0"))
        table.append((what + "CPU", x["program"], f"{x['cpu']:.2f} s", "0"))
        table.append((what + "memory", x["program"], f"{x['memory']['Rss'] / 1024:.1f} MB", ""))
    return {"table": table, "runs": runs}


# ---- 5 ----


class Fleet(r.Program):
    """A program that replicates all databases of a directory, each to one below `replica`."""

    def __init__(self, program, names, head=""):
        super().__init__(program.name, program.path)
        self.program, self.names, self.head, self.strict = program, names, head, program.strict
        self.first_s = program.first_s + len(names) / 10

    def replicate(self, work, home, replica, interval):
        how = self.program
        if how.config(home, replica, interval) is None:
            how = r.Litestream5(self.name, self.path)  # weir understands that one's, too
        texts = (how.config(home / n, replica / n, interval) for n in self.names)
        file = work / f"{self.name}-fleet.yml"
        file.write_text(self.head + "dbs:\n" + "".join(t.removeprefix("dbs:\n") for t in texts))
        return [self.path, "replicate", "-config", str(file)]

    def snapshot_taken(self, replica):
        while self.names and self.program.snapshot_taken(replica / self.names[-1]):
            self.names.pop()
        return not self.names


def one_fleet(rig, program, n, seconds, open_max=0):
    home, db, replica = seeded(rig, "fleet", rows=20)
    data = db.read_bytes()
    names = [f"{i:05}.db" for i in range(n)]
    for name in names:
        (home / name).write_bytes(data)
    head = f"open-max: {open_max}\n" if open_max else ""
    start = time.monotonic()
    with r.Daemon(rig, Fleet(program, names, head), home, replica, "1s") as d:
        taken = time.monotonic() - start
        time.sleep(seconds / 2)
        before = r.cpu_seconds(d.pid)
        time.sleep(seconds / 2)
        x = {
            "program": program.name, "databases": n, "open_max": open_max,
            "memory": r.smaps(d.pid), "snapshots_s": taken,
            "peak_mb": r.status_kb(d.pid, "VmHWM") / 1024, "threads": r.status_kb(d.pid, "Threads"),
            "descriptors": len(os.listdir(f"/proc/{d.pid}/fd")),
            "cpu": r.cpu_seconds(d.pid) - before,
        }
        d.stop()
    shutil.rmtree(home)
    return x


def room_for(n):
    """Whether a process may have the descriptors that so many open databases need."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return hard == resource.RLIM_INFINITY or n * 8 + 64 <= hard


def fleet(rig, programs, size):
    weir = programs[0]
    runs = [one_fleet(rig, p, size.fleet_n, size.fleet_s) for p in programs]
    runs.append(one_fleet(rig, weir, size.fleet_n, size.fleet_s, size.fleet_open))
    if room_for(size.many_n):
        runs.append(one_fleet(rig, weir, size.many_n, size.fleet_s))
    runs.append(one_fleet(rig, weir, size.many_n, size.fleet_s, size.fleet_open))
    table = []
    for x in runs:
        rule = f", open-max {x['open_max']}" if x["open_max"] else ""
        what = f"{x['databases']} idle databases{rule}: "
        many = x["databases"] == size.many_n
        goal = "" if many and not rule else "< 150 MB" if many else "< 100 MB"
        rss, anon = (x["memory"][k] / 1024 for k in ("Rss", "Anonymous"))
        table.append((what + "memory", x["program"], f"{rss:.1f} MB, {anon:.1f} of it its own", ""))
        table.append((what + "peak memory", x["program"], f"{x['peak_mb']:.1f} MB", goal))
        each = f"{x['descriptors']} descriptors, {x['threads']} threads"
        table.append((what + "open", x["program"], each, ""))
        part = f"{x['cpu'] / size.fleet_s * 200:.2f} % of a core"
        table.append((what + "CPU", x["program"], part, ""))
        table.append((what + "all snapshots after", x["program"], f"{x['snapshots_s']:.1f} s", ""))
    return {"table": table, "runs": runs}


# ---- 6 ----


def timed_restore(rig, program, replica, target, *flags):
    target.unlink(missing_ok=True)
    args = [program.path, "restore", *flags, "-o", str(target), f"file://{replica}"]
    start = time.monotonic()
    log = rig.work / "restore.log"
    with open(log, "wb") as out:
        p = subprocess.Popen(args, stdout=out, stderr=out, env=r.clean_env())
        _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    need(p.returncode == 0, f"{program.name} restore failed: {log.read_text()[-500:]}")
    return {
        "seconds": time.monotonic() - start, "cpu": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }


def same_rows(source, restored):
    sql = "SELECT count(*), sum(id), sum(tag) FROM note"
    answers = set()
    # Read where it stands, the restored one gets no WAL beside it, which the next run would refuse.
    for path, how in ((source, "mode=rw"), (restored, "immutable=1")):
        db = sqlite3.connect(f"file:{path}?{how}", uri=True)
        answers.add(db.execute(sql).fetchone())
        db.close()
    return len(answers) == 1


def cold(paths):
    for path in paths:
        r.forget(path)


ONE_STREAM = "one stream"  # weir, which reads and decodes one thing after the other


def restore_and_copy(rig, programs, home, db, label, size):
    """Everybody in turn: cp + fsync of the database, each program's restore of it, and one without threads."""
    runs = []
    target = home / "out.db"
    for state, n in itertools.product(("cold", "warm"), range(size.runs)):
        for p in turns([None, ONE_STREAM, *programs], n):
            name, flags = (p, ("-parallelism", "1")) if p == ONE_STREAM else (p and p.name, ())
            p = programs[0] if p == ONE_STREAM else p
            replica = home / f"replica-{p.name}" if p else None
            sources = [x for x in replica.rglob("*") if x.is_file()] if p else [db]
            target.unlink(missing_ok=True)
            if state == "cold":
                cold(sources)
            if p is None:
                x = {"program": "cp+fsync", "seconds": r.copy_synced(db, target)}
            else:
                x = timed_restore(rig, p, replica, target, *flags)
                x |= {"program": name, "files": len(sources)}
                need(n or same_rows(db, target), f"{p.name}: the restored database differs")
            runs.append(x | {"state": state, "run": n, "what": label})
    target.unlink(missing_ok=True)
    return runs


def add_increments(rig, program, db, replica, count):
    """Files of level 0 on top of the snapshot, one a transaction as far as the program lets."""
    with r.Daemon(rig, program, db, replica, program.shortest):
        level0 = program.level0_dir(replica)
        for n in range(20):
            have = len(list(level0.glob("*" + program.suffix))) if level0.exists() else 0
            if have >= count:
                return
            rig.load(db, "update", cap=200, count=count - have + 20, seed=1000 + n)
            time.sleep(0.5)
    raise r.Failed(f"{program.name}: no {count} increments")


def fetched(program, home, db, replica):
    """Bytes that a restore of the newest state reads, against a snapshot of nothing else."""
    url, whole = f"file://{replica}", home / "replica-whole"
    said, _, _ = run_weir(program, "restore", "-json", "-o", home / "fetched.db", url)
    run_weir(program, "replicate", "-once", "-force-snapshot", db, f"file://{whole}")
    least = sum(x.stat().st_size for x in whole.rglob("*.ltx"))
    for path in (home / "fetched.db", home / "fetched.db-wal", home / "fetched.db-shm"):
        path.unlink(missing_ok=True)
    return said["bytes_read"] / least


def restore(rig, programs, size):
    programs = [p for p in programs if not isinstance(p, r.Litestream3)]
    home = rig.fresh("restore")
    db = home / "app.db"
    rig.load(db, "fill", bytes=size.restore_bytes)
    runs, table = [], []
    for p in programs:
        start = time.monotonic()
        with r.Daemon(rig, p, db, home / f"replica-{p.name}", "1s") as d:
            x = {"program": p.name, "snapshot_s": time.monotonic() - start}
            x["cpu"] = d.stop()
        runs.append(x)
    runs += restore_and_copy(rig, programs, home, db, "snapshot", size)
    # One database cannot have two histories: the increments are measured for weir alone.
    add_increments(rig, programs[0], db, home / f"replica-{programs[0].name}", size.increments)
    runs += restore_and_copy(rig, programs[:1], home, db, "increments", size)
    read = fetched(programs[0], home, db, home / f"replica-{programs[0].name}")
    big = f"{size.restore_bytes / MB:.0f} MB"
    for x in runs[: len(programs)]:
        text = f"{x['snapshot_s']:.2f} s, CPU {x['cpu']:.2f} s"
        table.append((f"first snapshot of {big}, from the start", x["program"], text, ""))
    for what, state in itertools.product(("snapshot", "increments"), ("cold", "warm")):
        where = {"what": what, "state": state}
        base = of(runs, "seconds", program="cp+fsync", **where)
        one = of(runs, "seconds", program=ONE_STREAM, **where)
        table.append((f"{big}, {what}, {state}", "cp+fsync", spread(base, "s", 2), ""))
        table.append((f"{big}, {what}, {state}", ONE_STREAM, spread(one, "s", 2), ""))
        for p in programs:
            mine = where | {"program": p.name}
            if not of(runs, "seconds", **mine):
                continue
            files = of(runs, "files", **mine)[0]
            label = f"restore {big}, {what} ({files} files), {state}"
            ratio = [a / b for a, b in zip(of(runs, "seconds", **mine), base)]
            table.append((label, p.name, spread(of(runs, "seconds", **mine), "s", 2), ""))
            table.append((label + ", ratio", p.name, spread(ratio, "x", 2), "<= 1.5 x"))
            faster = [b / a for a, b in zip(of(runs, "seconds", **mine), one)]
            table.append((label + ", faster than one stream", p.name, spread(faster, "x", 2), ""))
            table.append((label + ", CPU", p.name, spread(of(runs, "cpu", **mine), "s", 2), ""))
            memory = spread(of(runs, "peak_mb", **mine), "MB")
            table.append((label + ", memory", p.name, memory, ""))
    label = f"bytes fetched with {size.increments} increments, against one snapshot of that state"
    table.append((label, programs[0].name, f"{read:.3f} x", ""))
    return {"table": table, "runs": runs, "fetched": read}


# ---- 7 ----


def run_weir(program, *args):
    """A command of weir's: its JSON, seconds, MB of memory at most."""
    start = time.monotonic()
    p = subprocess.Popen([program.path, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         env=r.clean_env())
    said = p.stdout.read()
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    need(p.returncode == 0, f"{args[0]} ended with {p.returncode}")
    return json.loads(said) if "-json" in args else None, time.monotonic() - start, usage.ru_maxrss / 1024


def stale(rig, programs, size):
    """Of a copy that a hundredth of the pages is missing in: how much is fetched; and the proof of it all."""
    weir = programs[0]
    home = rig.fresh("stale")
    db, old, out = home / "app.db", home / "old.db", home / "out.db"
    url = f"file://{home / 'replica'}"
    rig.load(db, "fill", bytes=size.restore_bytes)
    with r.Daemon(rig, weir, db, home / "replica", "1s"):
        pass
    run_weir(weir, "restore", "-json", "-o", old, url)
    with r.Daemon(rig, weir, db, home / "replica", "1s"):
        rig.load(db, "update", rate=500, count=max(old.stat().st_size // 4096 // 100 // 2, 1), seed=3)
    runs = []
    for n in range(size.runs):
        shutil.copyfile(old, out)
        said, seconds, memory = run_weir(weir, "restore", "-json", "-delta", "-o", out, url)
        full, full_s, _ = run_weir(weir, "restore", "-json", "-force", "-o", home / "full.db", url)
        need(n or same_rows(db, out), "the restored database differs")
        proof, proof_s, proof_mb = run_weir(weir, "verify", "-json", url)
        runs.append({
            "run": n, "kept": said["bytes_kept"] / said["size"], "fetched": said["bytes_read"] / full["bytes_read"],
            "seconds": seconds, "full_s": full_s, "memory": memory, "verify_s": proof_s, "verify_mb": proof_mb,
            "verified": proof[0]["bytes_read"],
        })
    big = f"{size.restore_bytes / MB:.0f} MB"
    table = [
        (f"{big}, stale: pages kept", weir.name, spread(of(runs, "kept"), "x", 4), ""),
        ("stale: fetched, of all", weir.name, spread(of(runs, "fetched"), "x", 4), "<= 0.02 x"),
        ("stale: restore -delta", weir.name, spread(of(runs, "seconds"), "s", 2), ""),
        ("stale: restore -force", weir.name, spread(of(runs, "full_s"), "s", 2), ""),
        ("stale: memory of -delta", weir.name, spread(of(runs, "memory"), "MB"), ""),
        (f"verify {runs[0]['verified'] / MB:.0f} MB", weir.name, spread(of(runs, "verify_s"), "s", 2), ""),
        ("verify: memory", weir.name, spread(of(runs, "verify_mb"), "MB"), ""),
    ]
    return {"table": table, "runs": runs}


# ---- 8 -----


def one_upload(rig, program, kind, interval, size):
    home, db, replica = seeded(rig, "upload", kind="append", rows=50_000)
    level0 = program.level0_dir(replica)
    with r.Daemon(rig, program, db, replica, interval) as d:
        time.sleep(1)
        before = set(level0.glob("*.ltx"))  # the database as it was found, with some
        count = size.upload_rate * size.upload_s
        rig.load(db, kind, rate=size.upload_rate, count=count, seed=7)
        d.stop()
    files = [f for f in level0.glob("*.ltx") if f not in before]
    changed = pages = 0
    for f in files:
        page_size, n = r.ltx_pages(f)
        pages += n
        changed += n * page_size
    uploaded = sum(f.stat().st_size for f in files)
    return {
        "program": program.name, "kind": kind, "interval": interval,
        "files": len(files), "pages": pages, "changed": changed, "uploaded": uploaded,
        "part": uploaded / changed, "per_tx": uploaded / count,
    }


def upload(rig, programs, size):
    runs, table = [], []
    programs = [p for p in programs if not isinstance(p, r.Litestream3)]
    cases = itertools.product(("update", "append"), ("1s", "shortest"), programs)
    for kind, interval, p in cases:
        each = p.shortest if interval == "shortest" else interval
        x = one_upload(rig, p, kind, each, size)
        runs.append(x)
        what = f"{kind}, {interval} interval"
        text = f"{x['uploaded'] / MB:.1f} of {x['changed'] / MB:.1f} MB, {x['part']:.2f} x"
        table.append((what + ", uploaded of changed", p.name, text, ""))
        text = f"{x['per_tx']:.0f} bytes in {x['files']} files"
        table.append((what + ", uploaded per transaction", p.name, text, ""))
    return {"table": table, "runs": runs}


ROWS = {
    "throughput": throughput,
    "lag": lag,
    "flood": flood,
    "idle": idle,
    "fleet": fleet,
    "restore": restore,
    "stale": stale,
    "upload": upload,
}

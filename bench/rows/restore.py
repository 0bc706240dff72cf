"""Restoring, into a new file and with all that makes it durable: from a snapshot, and from what came after it.

Each program wrote its replica into a directory; the bucket that is restored from has the same files.
"""
import json
import sqlite3
import subprocess

from failed import Failed, need
from figures import Most, Ratio
from bucket import Bucket, traffic
from programs import Directory, Litestream3, Prefix
from rig import MB, ROOT, Daemon, clean_env, remove_db, sync_copy, turns

COPY = "cp+fsync"
STREAM = "one stream"  # stream.c
CRC = ROOT / "src/base/crc64.c"
NO_LEVELS = "levels: []\n"
FAR_LEVELS = "levels: [{interval: 24h}]\n"  # Litestream 0.5 cannot do without levels


def same_rows(source, restored):
    """Read where it stands, the restored one gets no WAL beside it, which the next run would refuse."""
    sql, answers = "SELECT count(*), sum(id), sum(tag), sum(length(text)) FROM note", set()
    for path, how in ((source, "mode=rw"), (restored, "immutable=1")):
        db = sqlite3.connect(f"file:{path}?{how}", uri=True)
        answers.add(db.execute(sql).fetchone())
        db.close()
    return len(answers) == 1


def restore(figures, rig):
    """A large database that has a snapshot and nothing else. What changed it is in there already."""
    home, replicas = rig.fresh("restore"), rig.fresh("replicas")
    db = home / "app.db"
    rig.load(db, "fill", bytes=rig.size.big_bytes)
    rig.load(db, "append", count=1)
    for p in rig.programs:
        with Daemon(rig, p, [(db, Directory(replicas / p.name))], p.shortest) as d:
            d.await_snapshots()
            d.stop()
    what = f"{rig.size.big_bytes / MB:.0f} MB from a snapshot"
    with Bucket(replicas) as bucket:
        for run in range(rig.size.runs):
            for p, where, replica in turns([(None, "a directory", None), *places(rig, replicas, bucket)], run):
                target = home / "out.db"
                remove_db(target)
                if p:
                    add(figures, f"{what} in {where}", p, one(rig, p, replica, db, target, run), [Ratio(1 / 3.4)])
                else:
                    figures(f"{what} in {where}: time", "s").add(COPY, sync_copy(db, target))


def places(rig, replicas, bucket):
    """[(program, where, replica)] of everybody."""
    return [(p, where, replica) for p in rig.programs for where, replica in (
        ("a directory", Directory(replicas / p.name)), ("a bucket", Prefix(bucket, p.name)))]


def syncs(figures, rig):
    """A database whose commits were replicated one by one."""
    s, replicas, dbs = rig.size, rig.fresh("replicas"), {}
    for p in rig.programs:
        dbs[p.name] = rig.fresh(f"syncs-{p.name}") / "app.db"
        rig.load(dbs[p.name], "fill", bytes=s.syncs_bytes)
        # Else it were chance whether there is a file of level 1 in place of most of them.
        head = "" if isinstance(p, Litestream3) else FAR_LEVELS
        replica = Directory(replicas / p.name)
        add_increments(rig, p, dbs[p.name], replica, s.syncs, head)
        need(not any(p.level.search(x) for x in replica.names()), f"{p.name}: made a file of a level above 0")
    with Bucket(replicas) as bucket:
        for run in range(s.runs):
            late = [(p, f"a bucket, {s.late_ms} ms a request", Prefix(bucket, p.name)) for p in rig.programs]
            for p, where, replica in turns([*places(rig, replicas, bucket), *late], run):
                bucket.delay(s.late_ms if where.endswith("request") else 0)
                db, before = dbs[p.name], bucket.requests()
                x = one(rig, p, replica, db, db.with_name("out.db"), run)
                add(figures, f"{s.syncs} syncs in {where}", p, x, [Ratio(1 / 15)])
                if "bucket" in where:
                    figures(f"{s.syncs} syncs in {where}: requests", "").add(p.name, bucket.requests() - before)
                remove_db(db.with_name("out.db"))


def increments(figures, rig):
    """A large database from its snapshot, and with many increments on top of it: beside copying it, and beside one
    stream that decodes one file after the other. Of weir alone: the others have the same with fewer (syncs)."""
    s, p = rig.size, rig.weir
    db, replicas = rig.fresh("increments") / "app.db", rig.fresh("replicas")
    replica, what = Directory(replicas / p.name), f"{s.history_bytes / MB:.0f} MB"
    rig.load(db, "fill", bytes=s.history_bytes)
    with Daemon(rig, p, [(db, replica)], p.shortest, NO_LEVELS) as d:
        d.await_snapshots()
        d.stop()
    beside(figures, rig, db, replica, f"{what} from a snapshot")
    add_increments(rig, p, db, replica, s.increments, NO_LEVELS)
    what = f"{what} and {s.increments} increments"
    beside(figures, rig, db, replica, what)
    with Bucket(replicas) as bucket:
        before = bucket.classes()
        one(rig, p, Prefix(bucket, p.name), db, db.with_name("out.db"), 0)
        _, _, down = traffic(before, bucket.classes())
    remove_db(db.with_name("out.db"))
    figures(f"{what}: read of a bucket, of a snapshot of that state", "x").add(
        p.name, down / snapshot_size(rig, p, db))


def beside(figures, rig, db, replica, what):
    p, target = rig.weir, db.with_name("out.db")
    names = plan(p, replica, rig.work / "plan")
    stream = rig.compile("stream", str(CRC), f"-I{ROOT / 'src'}", f"-I{ROOT / 'include'}", "-llz4")
    for run in range(rig.size.runs):
        for system in turns([COPY, STREAM, p.name], run):
            remove_db(target)
            if system == COPY:
                figures(f"{what}: time", "s").add(COPY, sync_copy(db, target))
                continue
            if system == STREAM:
                x = rig.spent([stream, target, names], STREAM)
                need(run or same_rows(db, target), f"{STREAM}: the restored database differs")
            else:
                x = one(rig, p, replica, db, target, run)
            figures(f"{what}: time", "s", goals=[Ratio(1.5, COPY), Ratio(1, STREAM)]).add(system, x["seconds"])
            figures(f"{what}: CPU", "s").add(system, x["cpu"])
            figures(f"{what}: peak memory", "MB").add(system, x["peak_mb"])
    remove_db(target)


def plan(p, replica, out):
    """A file with the names of those that a restore reads, as they apply."""
    said = subprocess.run([p.path, "restore", "-dry-run", "-json", "-o", str(out), f"file://{replica.path}"],
                          check=True, capture_output=True, env=clean_env())
    files = json.loads(said.stdout)["files"]
    out.write_text("".join(f"{replica.path}/ltx/{f['level']}/{f['name']}\n" for f in files))
    return out


def snapshot_size(rig, p, db):
    """Bytes of a file that has each page of the database once and nothing else."""
    top = rig.fresh("snapshot-of-it")
    subprocess.run([p.path, "replicate", "-once", str(db), f"file://{top}"], check=True, capture_output=True,
                   env=clean_env())
    return sum(x.stat().st_size for x in top.rglob("*.ltx"))


def add(figures, what, p, x, goals):
    figures(f"{what}: time", "s", goals=goals).add(p.name, x["seconds"])
    figures(f"{what}: CPU", "s").add(p.name, x["cpu"])
    figures(f"{what}: peak memory", "MB", goals=[Most(32)]).add(p.name, x["peak_mb"])


def one(rig, p, replica, db, target, run):
    remove_db(target)
    config = p.config(rig.work / f"{p.name}-restore.yml", [(db, replica)])
    x = rig.spent(p.restore(config, db, target), f"{p.name} restore")
    need(run or same_rows(db, target), f"{p.name}: the restored database differs")
    return x


def add_increments(rig, program, db, replica, count, head=""):
    """As many increments after the snapshot, one a transaction as far as the program lets."""
    with Daemon(rig, program, [(db, replica)], program.shortest, head) as d:
        d.settle(rig)
        for n in range(20):
            have = sum(1 for x in replica.names() if program.level0.search(x))
            if have >= count:
                return d.stop()
            rig.load(db, "update", cap=200, count=count - have + 20, seed=1000 + n)
    raise Failed(f"{program.name}: no {count} increments")

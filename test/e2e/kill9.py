#!/usr/bin/python3
"""`weir replicate` is killed with SIGKILL again and again; nothing it delivered is lost.

usage: kill9.py WEIR [--quick] [--kills N] [--seed N] [--only storm|state|noted|fork]

storm     Hostile writers go on (automatic checkpoints after 50 pages, explicit ones of all kinds)
          while weir is killed N times: at any time, as soon as an upload begins, as soon as an
          object appears (before weir can have noted it), during its orderly end. While it is dead
          the WAL is reset, or not. Judged:
            each start went on from where it was, or repaired the gap by its ledger: never a full
            upload, never a fork, no warning
            every object that was there at a kill is there at the end, unchanged
            each TXID restores, passes integrity_check, and its watermarks never go back
            the newest one is the database, byte for byte
            uploads that a kill cut off leave nothing in the replica after the next start that sends
state     Local state deleted, cut or damaged at random bytes while weir is dead.
noted     Killed when changes were captured and checkpointed but are in no TXID yet.
fork      The database is rolled back to an older copy: alone, with weir's local state, or its WAL
          alone as a power cut would. The next TXID must be what the database is now, what came
          before must stay restorable, and the log must say so.

Prints one line per finding and exits 1 when there was any.
"""
import argparse
import ctypes
import hashlib
import multiprocessing
import os
import random
import select
import shutil
import sqlite3
import struct
import sys
import time

import kit
import storm

BALLAST = 3 << 20  # bytes that nobody changes: a file of that size was a full upload
ALLOWED_AGE = 20   # seconds in which a start must have delivered something

IN_CREATE, IN_MOVED_TO = 0x100, 0x80


class Watch:
    """inotify on one directory: a kill must come within microseconds of a file's appearance."""

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.fd < 0 or libc.inotify_add_watch(self.fd, os.fsencode(path),
                                                 IN_CREATE | IN_MOVED_TO) < 0:
            raise OSError(ctypes.get_errno(), "inotify", path)

    def wait(self, ending, seconds):
        """Until a file with a name of that ending appears: a new name, or a renamed one."""
        end = time.monotonic() + seconds
        seen = False
        while not seen and select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
            events, at = os.read(self.fd, 1 << 16), 0
            while at < len(events):
                size = struct.unpack_from("iIII", events, at)[3]
                name = events[at + 16:at + 16 + size].rstrip(b"\0").decode()
                seen = seen or name.endswith(ending)
                at += 16 + size
        os.close(self.fd)
        return seen


def write(path, writer, seed, stop, pause, out):
    """One hostile writer, until told to stop; it rests while told to pause."""
    rnd = random.Random("%s %d" % (seed, writer))
    db = storm.connect(path, writer)
    seq, errors = 1, []
    while not stop.is_set():
        while pause.is_set() and not stop.is_set():
            stop.wait(0.005)
        try:
            r = rnd.random()
            if r < 0.9:
                seq = storm.transaction(db, rnd, writer, seq)
            elif r < 0.94:
                mode = rnd.choice(("PASSIVE", "FULL", "RESTART", "TRUNCATE"))
                db.execute("PRAGMA wal_checkpoint(%s)" % mode).fetchall()
            elif r < 0.95:
                db.execute("DELETE FROM churn WHERE id % 2 = 0")
            elif r < 0.96:
                db.close()
                db = storm.connect(path, writer)
            stop.wait(rnd.random() * 0.02)
        except sqlite3.Error as e:
            errors.append(str(e))
            if db.in_transaction:
                db.execute("ROLLBACK")
    db.close()
    out.put((writer, seq - 1, errors))


def digest(path):
    return hashlib.sha256(kit.read(path)).digest()


class Case:
    """A database with ballast, its weir, and what was ever seen in its replica. `home`: where in the
    work directory the database and the local state are."""

    def __init__(self, args, found, name, home=""):
        self.args, self.found, self.name = args, found, name
        self.rnd = random.Random("%d %s" % (args.seed, name))
        self.path, self.replica = found.path(home, name + ".db"), found.path(name + "-replica")
        self.state_dir = found.path(home, "." + name + ".db-weir")
        self.out = found.path(name + ".restored")
        self.url = "file://" + self.replica
        self.weir = kit.Weir(args.weir, self.path, self.url, found.path(name + ".log"),
                             flags=("-log-level", "debug"))
        self.seen = {}
        found.where = name + ": "
        storm.setup(self.path)
        db = self.connect()
        db.execute("CREATE TABLE ballast(v)")
        db.execute("INSERT INTO ballast VALUES(?)", (self.rnd.randbytes(BALLAST),))
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        db.close()

    def connect(self):
        return storm.connect(self.path, 1)

    def change(self, transactions):
        """Some transactions of writer 0, whose progress the watermarks show."""
        db = self.connect()
        seq = db.execute("SELECT seq FROM progress WHERE writer = 0").fetchone()[0] + 1
        end = seq + transactions
        while seq < end:
            seq = storm.transaction(db, self.rnd, 0, seq)
        db.close()

    def note_objects(self):
        """Remember what the replica holds; what was there before must still be, unchanged."""
        now, strange = kit.objects(self.replica)
        for name in strange:
            if not name.endswith(".tmp"):  # an upload that the kill cut off
                self.found.add("unexpected file in the replica: " + name)
        for key, was in self.seen.items():
            if key not in now:
                self.found.add("level %d, txid %016x-%016x has vanished" % key)
            elif digest(now[key]) != was:
                self.found.add("level %d, txid %016x-%016x was overwritten" % key)
        for key, path in now.items():
            if key not in self.seen:
                self.seen[key] = digest(path)

    def joined(self):
        return kit.wait_until(lambda: self.weir.logged(" by="), ALLOWED_AGE)

    def matches(self, seconds=ALLOWED_AGE):
        """Whether the newest restored state is the database, within that time. Nobody writes
        meanwhile."""
        db = self.connect()
        want = kit.image(db)
        db.close()
        said = [None]

        def there():
            code, said[0] = kit.restore(self.args.weir, self.url, self.out)
            return code == 0 and kit.read(self.out) == want

        if kit.wait_until(there, seconds, 0.05):
            return True
        self.found.add("the newest restored state is not the database: %s" % (
            said[0] or "other bytes"))
        return False

    def stop(self):
        code = self.weir.stop()
        self.found.check(code == 0, "weir ended with %s: %s" % (code, self.weir.lines()[-1:]))

    def judge_txids(self, may_go_back=()):
        """Restore every TXID; its watermarks agree, and do not go back but where they may."""
        before = [0] * storm.WRITERS
        for txid in kit.txids(self.replica):
            code, said = kit.restore(self.args.weir, self.url, self.out, txid)
            if not self.found.check(code == 0, "txid %016x: restore says %s" % (txid, said)):
                continue
            marks, wrong = storm.state(self.out)
            for w in wrong:
                self.found.add("txid %016x: %s" % (txid, w))
            if any(a > b for a, b in zip(before, marks)) and txid not in may_go_back:
                self.found.add("txid %016x: watermarks %s went back from %s" % (txid, marks, before))
            before = marks
        return before

    def judge_start(self, what):
        """A start with an intact ledger: it knows where it is."""
        for line in self.weir.lines():
            if "level=WARN" in line or "level=ERROR" in line:
                self.found.add("%s: weir logged: %s" % (what, line))
            elif " by=snapshot" in line and self.seen:
                self.found.add("%s: a snapshot where a replica was: %s" % (what, line))


def storm_cases(args, found):
    """A new database for each hundred kills: it grows with each, and each of its TXIDs is restored in the end."""
    for first in range(0, args.kills, 100):
        storm_case(args, found, "storm%d" % first if first else "storm", min(100, args.kills - first))


def storm_case(args, found, name, kills):
    case = Case(args, found, name)
    rnd, weir = case.rnd, case.weir
    stop, pause, out = multiprocessing.Event(), multiprocessing.Event(), multiprocessing.Queue()
    writers = [multiprocessing.Process(target=write, args=(case.path, w, case.rnd.random(), stop, pause, out))
               for w in range(storm.WRITERS)]
    for w in writers:
        w.start()
    level0 = os.path.join(case.replica, "ltx", "0")
    counts = {"anytime": 0, "begun": 0, "appeared": 0, "ending": 0, "repaired": 0, "went on": 0}
    for i in range(kills):
        kind = rnd.choice(("anytime", "anytime", "begun", "appeared", "appeared", "ending"))
        found.where = "%s, kill %d, %s: " % (name, i, kind)
        before = kit.txids(case.replica)
        watch = Watch(level0) if os.path.isdir(level0) else None
        weir.start()
        if not watch:
            kind = "anytime"
        if kind == "anytime":
            if watch:
                os.close(watch.fd)
            time.sleep(rnd.choice((0.01, 0.05, 0.3, 0.8)) * rnd.random())
        elif not watch.wait(".tmp" if kind == "begun" else ".ltx", ALLOWED_AGE):
            found.add("nothing was delivered after the start")
        elif kind == "ending":
            weir.process.terminate()
            time.sleep(rnd.random() * 0.03)
        quiet = rnd.random() < 0.4  # nobody writes while it is dead: it can go on
        if quiet:
            pause.set()
        ended = not weir.kill()
        found.check(not ended or kind == "ending", "weir ended by itself: %s" % weir.lines()[-1:])
        counts[kind] += 1
        case.judge_start("start")
        repaired = bool(weir.logged(kit.GAP_REPAIRED))
        counts["repaired"] += repaired
        counts["went on"] += not repaired and bool(weir.logged("changed_pages="))
        case.note_objects()
        found.check(not before or kit.txids(case.replica)[:len(before)] == before, "TXIDs vanished")
        if not quiet and rnd.random() < 0.5:
            db = case.connect()
            mode = rnd.choice(("PASSIVE", "RESTART", "TRUNCATE"))
            db.execute("PRAGMA wal_checkpoint(%s)" % mode).fetchall()
            db.close()
        if not quiet and rnd.random() < 0.5:
            time.sleep(rnd.random() * 0.15)
        elif quiet and rnd.random() < 0.5:
            weir.start()
            case.joined()
            weir.kill()
            counts["repaired"] += bool(weir.logged(kit.GAP_REPAIRED))
            counts["went on"] += not weir.logged(kit.GAP_REPAIRED)
            case.judge_start("start while nobody writes")
        pause.clear()
    found.where = "%s, end: " % name
    weir.start()
    stop.set()
    done = {}
    for _ in writers:
        w, seq, errors = out.get(timeout=60)
        done[w] = seq
        for e in errors:
            found.add("writer %d saw: %s" % (w, e))
    for w in writers:
        w.join()
    case.joined()
    case.matches()
    case.stop()
    case.judge_start("last start")
    case.note_objects()
    for (level, low, high), _ in case.seen.items():
        size = os.path.getsize(os.path.join(level0, "%016x-%016x.ltx" % (low, high))) \
            if level == 0 else 0
        found.check(size < BALLAST, "txid %016x has %d bytes: a full upload" % (high, size))
    found.check(counts["repaired"] > 0 and counts["went on"] > 0,
                "the test did not see both ways to continue: %s" % counts)
    marks = case.judge_txids()
    found.check(marks == [done[w] for w in range(storm.WRITERS)],
                "the newest TXID has %s, the writers committed %s" % (marks, done))
    weir.start()
    case.change(1)
    case.matches()
    case.stop()
    # An empty one may be another writer's that has yet to lock it; that costs nothing.
    left = [n for n in kit.objects(case.replica)[1]
            if os.path.getsize(os.path.join(case.replica, "ltx", n)) > 0]
    found.check(not left, "cut off uploads are left in the replica: %s" % left)
    print("%s: transactions=%d txids=%d %s" % (
        name, sum(done.values()), len(kit.txids(case.replica)),
        " ".join("%s=%d" % (k.replace(" ", "_"), v) for k, v in counts.items())), flush=True)


def damage(rnd, directory):
    """Hurt the local state in one of many ways; says how."""
    name = rnd.choice(("ledger", "ledger", "journal.0", "journal.1", "outbox"))
    path = os.path.join(directory, name)
    if name == "outbox":
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, "leftover"), "wb") as f:
            f.write(rnd.randbytes(1000))
        return "a file left in the outbox"
    data = bytearray(kit.read(path))
    how = rnd.choice(("cut", "flip", "header", "garbage", "zeros", "empty", "longer", "gone", "tail"))
    if not data:
        how = rnd.choice(("garbage", "gone"))
    at = rnd.randrange(len(data)) if data else 0
    if how == "cut":
        del data[at:]
    elif how == "flip":
        for _ in range(rnd.choice((1, 1, 3))):
            data[rnd.randrange(len(data))] ^= 1 << rnd.randrange(8)
    elif how == "header":
        data[rnd.randrange(min(len(data), 88))] ^= 1 << rnd.randrange(8)
    elif how == "garbage":
        data[at:at + 200] = rnd.randbytes(200)
    elif how == "zeros":
        data[at:at + 4096] = bytes(len(data[at:at + 4096]))
    elif how == "empty":
        data.clear()
    elif how == "longer":
        data += rnd.randbytes(rnd.randrange(1, 9000))
    elif how == "tail":
        del data[-rnd.randrange(1, 40):]
    if how == "gone":
        os.remove(path)
    else:
        with open(path, "wb") as f:
            f.write(data)
    return "%s: %s at %d" % (name, how, at)


def state_case(args, found, rounds):
    case = Case(args, found, "state")
    rnd, weir = case.rnd, case.weir
    ways = {"full": 0, "repaired": 0, "went on": 0}
    weir.start()
    case.joined()
    for i in range(rounds):
        case.change(rnd.randrange(1, 6))
        if rnd.random() < 0.5:
            case.matches()
        weir.kill()
        case.note_objects()
        if i == 0:
            shutil.rmtree(case.state_dir)
            how = "deleted"
        else:
            how = damage(rnd, case.state_dir)
        found.where = "state, round %d, %s: " % (i, how)
        if rnd.random() < 0.7:
            case.change(rnd.randrange(1, 4))
        if rnd.random() < 0.5:
            kit.checkpointed(case.path)
        weir.start()
        if not found.check(case.joined(), "no replication after the start: %s" % weir.lines()[-1:]):
            break
        if not case.matches():
            break
        case.change(2)
        case.matches()
        full = weir.logged(kit.FULL_SEND)
        ways["full" if full else "repaired" if weir.logged(kit.GAP_REPAIRED) else "went on"] += 1
        for line in weir.lines():
            if kit.FORK in line:
                found.add("a fork that was none: " + line)
            elif "level=ERROR" in line or "level=WARN" in line and line not in full:
                found.add("weir logged: " + line)
    found.where = "state, end: "
    case.stop()
    case.note_objects()
    case.judge_txids()
    print("state: rounds=%d txids=%d %s" % (rounds, len(kit.txids(case.replica)), " ".join(
        "%s=%d" % (k.replace(" ", "_"), v) for k, v in ways.items())), flush=True)


def backfilled(path):
    """How many frames of the WAL are in the database, as the wal-index tells. Opens the -shm file:
    no connection of this process may be open, whose locks that would drop."""
    return struct.unpack_from("=I", kit.read(path + "-shm"), 96)[0]


def noted_case(args, found, rounds):
    """Killed with changes captured and checkpointed, in no TXID: only the journal knows them."""
    case = Case(args, found, "noted")
    rnd, weir = case.rnd, case.weir
    checkpoints = repaired = 0
    for i in range(rounds):
        found.where = "noted, round %d: " % i
        case.note_objects()
        weir.args[1] = "1h"
        weir.start()
        case.joined()
        # An application that stays: the WAL outlives the connections that come and go.
        held = multiprocessing.Event()
        app = multiprocessing.Process(target=hold, args=(case.path, held))
        app.start()
        for _ in range(rnd.randrange(1, 4)):
            case.change(rnd.randrange(1, 10))
            db = case.connect()
            db.execute("UPDATE churn SET v = zeroblob(length(v))")
            db.execute("CREATE TABLE big AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1"
                       " FROM n WHERE i < 300) SELECT randomblob(4000) FROM n")
            db.execute("DROP TABLE big")
            db.close()
            if rnd.random() < 0.8:
                checkpoints += bool(kit.wait_until(lambda: backfilled(case.path) > 0, 1))
        weir.kill()
        if rnd.random() < 0.3:
            case.change(1)
        weir.args[1] = "20ms"
        weir.start()
        case.joined()
        repaired += bool(weir.logged(kit.GAP_REPAIRED))
        case.judge_start("start")
        case.matches()
        held.set()
        app.join()
        case.stop()
    found.where = "noted, end: "
    found.check(checkpoints > 0, "the test saw no checkpoint before a kill")
    case.note_objects()
    case.judge_txids()
    print("noted: rounds=%d checkpoints=%d repaired=%d" % (rounds, checkpoints, repaired),
          flush=True)


def hold(path, until):
    db = storm.connect(path, 1)
    db.execute("SELECT count(*) FROM t").fetchone()
    until.wait(120)
    db.close()


def copy_of(case, name, with_state):
    """Set the database aside as it is on disk, with weir's state if wanted; weir is dead."""
    kept = case.found.path(name)
    os.makedirs(kept)
    for suffix in ("", "-wal"):
        if os.path.exists(case.path + suffix):
            shutil.copy(case.path + suffix, os.path.join(kept, "db" + suffix))
    if with_state:
        shutil.copytree(case.state_dir, os.path.join(kept, "state"))
    return kept


def put_back(case, kept):
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(case.path + suffix):
            os.remove(case.path + suffix)
        if os.path.exists(os.path.join(kept, "db" + suffix)):
            shutil.copy(os.path.join(kept, "db" + suffix), case.path + suffix)
    if os.path.exists(os.path.join(kept, "state")):
        shutil.rmtree(case.state_dir)
        shutil.copytree(os.path.join(kept, "state"), case.state_dir)


def fork_case(args, found, name, with_state, hold_wal, delete_state=False, go_on=False):
    """Go back to an older copy. `hold_wal`: an open reader keeps the WAL from being reset, so that
    the copy is an earlier part of the same WAL, as after a power cut. `go_on`: the application writes
    on before weir is back, past the place where weir had been."""
    case = Case(args, found, name)
    weir = case.weir
    weir.start()
    case.joined()
    case.change(5)
    case.matches()
    reader = case.connect()
    if hold_wal:
        case.change(1)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM t").fetchone()
        case.matches()
    weir.kill()
    kept = copy_of(case, name + "-copy", with_state)
    weir.start()
    case.joined()
    case.change(4)
    case.matches()
    lost = kit.txids(case.replica)[-1]
    lost_digest = digest(case.out)
    weir.kill()
    case.note_objects()
    if hold_wal:
        reader.execute("COMMIT")
    reader.close()
    put_back(case, kept)
    if delete_state:
        shutil.rmtree(case.state_dir)
    if go_on:
        reader = case.connect()
        reader.execute("SELECT count(*) FROM t").fetchone()
        case.change(30)
    weir.start()
    case.joined()
    if go_on:
        reader.close()
    case.matches()
    case.change(3)
    case.matches()
    new = [t for t in kit.txids(case.replica) if t > lost]
    found.check(new, "the rolled back database has no TXID of its own")
    said = weir.logged(kit.FORK) + weir.logged(kit.FULL_SEND) + weir.logged(kit.GAP_REPAIRED)
    found.check(said, "the log does not say that the database was rolled back")
    if hold_wal and not with_state and not delete_state:
        found.check(weir.logged(kit.FORK), "the log does not call it a fork: %s" % said)
    case.stop()
    case.note_objects()
    case.judge_txids(may_go_back=new[:1])
    code, text = kit.restore(args.weir, case.url, case.out, lost)
    found.check(code == 0 and digest(case.out) == lost_digest,
                "the state before the rollback is no longer restorable: %s" % text)
    print("%s: %s" % (name, kit.fields(said[0]).get("msg", "")[:60] if said else "nothing said"),
          flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weir")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--kills", type=int)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--only", choices=("storm", "state", "noted", "fork"))
    args = p.parse_args()
    args.weir = os.path.abspath(args.weir)
    if args.kills is None:
        args.kills = 15 if args.quick else 100
    found = kit.Findings("kill9")
    if args.only in (None, "storm"):
        storm_cases(args, found)
    if args.only in (None, "state"):
        state_case(args, found, 8 if args.quick else 60)
    if args.only in (None, "noted"):
        noted_case(args, found, 6 if args.quick else 40)
    if args.only in (None, "fork"):
        fork_case(args, found, "rolled-back", False, False)
        fork_case(args, found, "rolled-back-with-state", True, False)
        fork_case(args, found, "rolled-back-no-state", False, False, delete_state=True)
        fork_case(args, found, "power-cut", False, True)
        fork_case(args, found, "power-cut-and-on", False, True, go_on=True)
        fork_case(args, found, "power-cut-with-state", True, True)
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

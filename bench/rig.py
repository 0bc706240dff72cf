"""What the measurements stand on: a place to work in, the load, and programs that replicate.

Knows no measurement; see rows/.
"""
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bucket import Bucket
from failed import Failed, need, until

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MB = 1 << 20
READY = b"replicating to"  # all programs say so
END_SECONDS = 60           # for a program that was asked to end


def clean_env():
    env = {k: v for k, v in os.environ.items() if not k.startswith(("LITESTREAM_", "WEIR_", "AWS_"))}
    return env | {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_REGION": "us-east-1",
                  "AWS_EC2_METADATA_DISABLED": "true"}


def free_port():
    """A port on loopback that nobody listens on at the moment."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def turns(systems, run):
    """Everybody in turn, in another order each run: nobody always comes first, or after the same one."""
    return random.Random(run).sample(systems, len(systems))


class Daemon:
    """A program that replicates: `pairs` of a database and its replica. `with` ends it with SIGTERM."""

    def __init__(self, rig, program, pairs, interval=None, head=""):
        self.program, self.pairs = program, pairs
        self.log = rig.work / f"{program.name}.log"
        config = program.config(rig.work / f"{program.name}.yml", pairs, interval, head)
        self.status, self.ready_ns = None, 0
        self.started_ns = time.monotonic_ns()
        self.process = subprocess.Popen(program.replicate(config), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, env=clean_env())
        self.pid = self.process.pid
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        """Keep what it says; note when it said that it is at work."""
        with open(self.log, "wb", buffering=0) as log:
            while data := os.read(self.process.stdout.fileno(), 1 << 16):
                if not self.ready_ns and READY in data:
                    self.ready_ns = time.monotonic_ns()
                log.write(data)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.status is None:
            self.end(signal.SIGKILL if kind else signal.SIGTERM)

    def said(self):
        return self.log.read_text(errors="replace")[-2000:]

    def has_ended(self):
        # It stays to be waited for: Popen's poll() would do that, and nobody would learn what it took.
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

    def alive(self):
        if self.has_ended():
            self.reader.join(10)  # it may be behind, or not have begun
            raise Failed(f"{self.program.name} ended early:\n{self.said()}")
        return True

    def await_snapshots(self, seconds=120):
        """Until every database has a snapshot in its replica."""
        left = list(self.pairs)

        def all_taken():
            self.alive()
            while left and self.program.snapshot_taken(left[-1][1]):
                left.pop()
            return not left

        until(all_taken, seconds + len(left) / 10, f"{self.program.name}: first snapshot")
        return self

    def settle(self, rig, seconds=60):
        """Until the snapshot of its only database is taken, and a commit after it is an increment."""
        self.await_snapshots()
        (db, replica), = self.pairs
        rig.load(db, "append", count=1)
        until(lambda: self.alive() and any(self.program.level0.search(n) for n in replica.names()), seconds,
              f"{self.program.name}: first increment", 0.02)
        return self

    def end(self, sig):
        """What is asked to end and does not is killed: Litestream 0.3.13 may wait for itself for ever."""
        os.kill(self.pid, sig)
        try:
            until(self.has_ended, END_SECONDS, f"{self.program.name}: its end")
        except Failed:
            os.kill(self.pid, signal.SIGKILL)
        _, status, self.usage = os.wait4(self.pid, 0)
        self.status = self.process.returncode = os.waitstatus_to_exitcode(status)
        self.reader.join()
        self.process.stdout.close()

    def stop(self):
        """Its CPU seconds over its whole life."""
        self.alive()
        self.end(signal.SIGTERM)
        need(self.status == 0 or not self.program.strict, f"{self.program.name} failed:\n{self.said()}")
        return self.usage.ru_utime + self.usage.ru_stime

    def kill(self):
        self.end(signal.SIGKILL)


class Rig:
    """A place to work in, what is compared, how much of everything, and the C programs built for it."""

    def __init__(self, build, work, programs, size, so=None):
        self.build, self.work, self.programs, self.size = Path(build), Path(work), programs, size
        self.so = so
        self.weir = programs[0]
        self.compile("load", "-lsqlite3")
        self.compile("watch")
        self.compile("spent")

    def compile(self, name, *more):
        source, out = HERE / f"{name}.c", self.build / f"bench-{name}"
        if not out.exists() or out.stat().st_mtime < source.stat().st_mtime:
            flags = ["-O2", "-std=c11", "-D_POSIX_C_SOURCE=200809L"]
            subprocess.run(["cc", *flags, "-o", str(out), str(source), *more], check=True)
        return str(out)

    def turns(self, run, *more):
        """The programs, and what else is compared, in the order of that run."""
        return turns([*more, *self.programs], run)

    def fresh(self, name):
        """An empty directory; what an earlier run left there is gone, and the disk has nothing left to write for it."""
        path = self.work / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        os.sync()
        return path

    def clear(self):
        """Nothing is left of what was made so far."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True, exist_ok=True)

    def seeded(self, name, kind="insert", rows=2000):
        """A directory with a small database in WAL mode: (directory, database)."""
        home = self.fresh(name)
        self.load(home / "app.db", kind, count=rows)
        return home, home / "app.db"

    def start_load(self, db, kind, sync="NORMAL", **options):
        words = [f"{k}={v}" for k, v in options.items()]
        return subprocess.Popen([str(self.build / "bench-load"), str(db), kind, sync, *words],
                                stdout=subprocess.PIPE, text=True)

    def load(self, db, kind, sync="NORMAL", **options):
        """Run it to its end; what it says."""
        return finish_load(self.start_load(db, kind, sync, **options))

    @contextlib.contextmanager
    def memory(self):
        """An empty directory, in memory where there is room."""
        memory = Path("/dev/shm")
        room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 << 30
        top = tempfile.mkdtemp(prefix="weir-bench-", dir=memory if room else self.work)
        try:
            yield Path(top)
        finally:
            shutil.rmtree(top, ignore_errors=True)

    @contextlib.contextmanager
    def bucket(self):
        """An empty bucket; the disk is the database's."""
        with self.memory() as top, Bucket(top) as b:
            yield b

    def spent(self, command, name):
        """Run a command to its end: seconds, CPU seconds, MB of memory at most."""
        log = self.work / "spent.log"
        with open(log, "wb") as err:
            p = subprocess.run([str(self.build / "bench-spent"), *map(str, command)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=err, env=clean_env(), timeout=900)
        need(p.returncode == 0, f"{name} failed with {p.returncode}: {log.read_text(errors='replace')[-500:]}")
        return json.loads(p.stdout.splitlines()[-1])


def finish_load(process):
    out = process.communicate()[0]
    need(process.returncode == 0, f"the load failed with {process.returncode}")
    return json.loads(out)


def build_weir(build, what="weir"):
    """A release binary of this tree."""
    if not (build / "build.ninja").exists():
        quietly(["meson", "setup", str(build), str(ROOT), "--buildtype=release", "-Doptimization=2", "-Dtests=false",
                 "-Db_ndebug=false"])
    quietly(["ninja", "-C", str(build), what])
    return build / what


def quietly(command):
    """What it says is said only if it fails, which ends all."""
    try:
        p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    except OSError as e:
        sys.exit(f"{e}; ./quickstart build installs what building needs")
    if p.returncode:
        sys.exit(f"{p.stdout[-4000:]}{' '.join(command)} failed; ./quickstart build installs what building needs")


def remove_db(path):
    for tail in ("", "-wal", "-shm", "-txid"):
        Path(f"{path}{tail}").unlink(missing_ok=True)


def sync_copy(source, target):
    """cp, then fsync: what any restore that keeps its promise must at least do. Seconds."""
    start = time.monotonic()
    subprocess.run(["cp", "--reflink=never", str(source), str(target)], check=True)
    with open(target, "rb") as f:
        os.fsync(f.fileno())
    return time.monotonic() - start


def ltx_pages(data):
    """(page size, number of pages) of an LTX file, from its header and its page index."""
    need(data[:4] == b"LTX1", "not an LTX file")
    page_size = int.from_bytes(data[8:12], "big")
    end = len(data) - 16 - 8
    index = data[end - int.from_bytes(data[end : end + 8], "big") : end - 1]
    # Three varints a page, and each varint ends with its only byte below 0x80.
    return page_size, sum(byte < 0x80 for byte in index) // 3

"""What the measurements stand on: programs under test, the load, and what /proc says about both.

Knows no measurement; see rows.py. Linux only: /proc and inotify.
"""
import json
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TICKS = os.sysconf("SC_CLK_TCK")
MASK64 = (1 << 64) - 1


class Failed(Exception):
    """A measurement that could not be made; the text says why."""


def need(condition, text):
    if not condition:
        raise Failed(text)


# ---- programs under test ----


class Program:
    """A program that replicates and restores with weir's command line and file format."""

    level0 = "ltx/0"
    suffix = ".ltx"
    shortest = "1ns"  # it ships as soon as it can: 0 is refused, as the original does
    first_s = 120  # the longest that it may take for its first snapshots
    strict = True  # its exit status must be 0; of others it is only noted

    def __init__(self, name, path):
        self.name = name
        self.path = str(path)

    def config(self, db, replica, interval):
        """Text of a configuration file; None: the command line will do."""
        return None

    def replicate(self, work, db, replica, interval):
        """The command, having written the configuration file that it needs."""
        text = self.config(db, replica, interval)
        if text is None:
            url = f"file://{replica}"
            return [self.path, "replicate", "-sync-interval", interval, str(db), url]
        file = work / f"{self.name}.yml"
        file.write_text(text)
        return [self.path, "replicate", "-config", str(file)]

    def snapshot_taken(self, replica):
        return any((replica / "ltx/9").glob("*.ltx"))

    def level0_dir(self, replica):
        return replica / self.level0


class Litestream5(Program):
    """Litestream 0.5: the same files; an interval must be set where it looks, too."""

    shortest = "1ms"
    strict = False

    def config(self, db, replica, interval):
        return (
            f"dbs:\n  - path: {db}\n    monitor-interval: {interval}\n"
            f"    replica:\n      type: file\n      path: {replica}\n"
            f"      sync-interval: {interval}\n"
        )


class Litestream3(Program):
    """Litestream 0.3: WAL segments under a generation."""

    suffix = ".wal.lz4"
    shortest = "1ms"
    strict = False

    def config(self, db, replica, interval):
        return (
            f"dbs:\n  - path: {db}\n    monitor-interval: {interval}\n"
            f"    replicas:\n      - type: file\n        path: {replica}\n"
            f"        sync-interval: {interval}\n"
        )

    def snapshot_taken(self, replica):
        return any(replica.glob("generations/*/snapshots/*.snapshot.lz4"))

    def level0_dir(self, replica):
        return next(replica.glob("generations/*/wal"), replica / "generations/none/wal")


def peer(path):
    """The adapter for whatever Litestream `path` is."""
    p = subprocess.run([path, "version"], capture_output=True, text=True, check=True)
    out = p.stdout.strip()
    version = out.removeprefix("v")
    need(re.fullmatch(r"0\.[35]\.\d+", version), f"{path}: no adapter for version {out!r}")
    kind = Litestream3 if version.startswith("0.3") else Litestream5
    return kind(f"ls-{version}", path)


# ---- /proc ----


def read_proc(pid, name):
    return Path(f"/proc/{pid}/{name}").read_text()


def cpu_seconds(pid):
    """User and system time of all threads, those that ended included; in steps of 1/TICKS."""
    fields = read_proc(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def status_kb(pid, key):
    match = re.search(rf"^{key}:\s+(\d+)", read_proc(pid, "status"), re.M)
    return int(match.group(1)) if match else 0


def switches(pid):
    """How often its threads were taken off a processor, of their own accord or not."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = (task / "status").read_text()
        total += sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", status))
    return total


def smaps(pid):
    """kB by kind of memory, of what is resident now."""
    names = ("Rss", "Pss", "Private_Clean", "Private_Dirty", "Anonymous")
    text = read_proc(pid, "smaps_rollup")
    return {n: int(re.search(rf"^{n}:\s+(\d+) kB", text, re.M)[1]) for n in names}


def written_bytes(pid):
    """Bytes this process caused to be sent to the disk."""
    return int(re.search(r"^write_bytes: (\d+)", read_proc(pid, "io"), re.M)[1])


def busy_seconds():
    """Of all processors, since boot."""
    user, nice, system, _, _, irq, soft, *_ = (
        int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + soft) / TICKS


class Foreign:
    """The share of the machine that others used while a row was measured."""

    def __init__(self):
        self.start = (time.monotonic(), busy_seconds(), self.own())

    @staticmethod
    def own():
        used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(u.ru_utime + u.ru_stime for u in used)

    def share(self):
        wall, busy, own = (
            b - a for a, b in zip(self.start, (time.monotonic(), busy_seconds(), self.own()))
        )
        return max(0.0, (busy - own) / (max(wall, 0.001) * os.cpu_count()))


# ---- running things ----


class Daemon:
    """A replicating program from its first snapshot on; `with` ends it with SIGTERM."""

    def __init__(self, rig, program, db, replica, interval):
        self.program, self.replica = program, Path(replica)
        self.log = rig.work / f"{program.name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                program.replicate(rig.work, db, replica, interval),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=clean_env(),
            )
        self.pid = self.process.pid
        self.usage = None
        self.status = None

    def __enter__(self):
        try:
            until(lambda: self.alive() and self.program.snapshot_taken(self.replica),
                  self.program.first_s, f"{self.program.name}: first snapshot")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        return self

    def __exit__(self, kind, value, trace):
        if self.status is None:
            self.stop()

    def alive(self):
        if self.process.poll() is not None:
            raise Failed(f"{self.program.name} ended early:\n{self.log.read_text()[-2000:]}")
        return True

    def stop(self):
        """Its CPU seconds over its whole life."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        _, status, self.usage = os.wait4(self.pid, 0)
        self.status = self.process.returncode = os.waitstatus_to_exitcode(status)
        need(self.status == 0 or not self.program.strict,
             f"{self.program.name} failed:\n{self.log.read_text()[-2000:]}")
        return self.usage.ru_utime + self.usage.ru_stime

    def closing_line(self):
        """Numbers of weir's "closed db" record; {} for others."""
        lines = [x for x in self.log.read_text().splitlines() if 'msg="closed db"' in x]
        return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)(?= |$)", lines[-1])} if lines else {}


def clean_env():
    return {k: v for k, v in os.environ.items() if not k.startswith(("LITESTREAM_", "WEIR_"))}


def until(what, seconds, name):
    end = time.monotonic() + seconds
    while not what():
        need(time.monotonic() < end, f"timed out: {name}")
        time.sleep(0.005)


class Rig:
    """A place to work in, and the C programs built for it."""

    def __init__(self, build, work):
        self.build, self.work = Path(build), Path(work)
        for name, libs in (("load", ["-lsqlite3"]), ("watch", [])):
            self.compile(name, libs)

    def compile(self, name, libs):
        source, out = HERE / f"{name}.c", self.build / f"bench-{name}"
        if out.exists() and out.stat().st_mtime > source.stat().st_mtime:
            return
        flags = ["-O2", "-std=c11", "-D_POSIX_C_SOURCE=200809L"]
        subprocess.run(["cc", *flags, "-o", str(out), str(source), *libs], check=True)

    def fresh(self, name):
        """An empty directory; what an earlier run left there is gone."""
        path = self.work / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def start_load(self, db, kind, sync="NORMAL", **options):
        words = [f"{k}={v}" for k, v in options.items()]
        return subprocess.Popen(
            [str(self.build / "bench-load"), str(db), kind, sync, *words],
            stdout=subprocess.PIPE, text=True,
        )

    def load(self, db, kind, sync="NORMAL", **options):
        """Run it to its end; what it says."""
        return finish_load(self.start_load(db, kind, sync, **options))

    def watch(self, directory, suffix, out):
        """A process that writes into `out` when files appear. Closing its stdin ends it."""
        with open(out, "wb") as f:
            p = subprocess.Popen(
                [str(self.build / "bench-watch"), str(directory), suffix],
                stdin=subprocess.PIPE, stdout=f,
            )
        until(lambda: out.stat().st_size > 0 or p.poll() is not None, 10, "watch")
        need(p.poll() is None, f"cannot watch {directory}")
        return p


def finish_load(process):
    out = process.communicate()[0]
    need(process.returncode == 0, f"the load failed with {process.returncode}")
    return json.loads(out)


def build_weir(build, what="weir"):
    """A release binary of this tree."""
    if not (build / "build.ninja").exists():
        subprocess.run(
            ["meson", "setup", str(build), str(ROOT), "--buildtype=release", "-Dtests=false",
             "-Db_ndebug=false"], check=True, stdout=subprocess.DEVNULL,
        )
    subprocess.run(["ninja", "-C", str(build), what], check=True, stdout=subprocess.DEVNULL)
    return build / what


# ---- files ----


def mix(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK64
    return x ^ (x >> 31)


def token(seed, i):
    """What load.c wrote in transaction `i`."""
    return b"".join(struct.pack("<Q", mix((mix(seed * 2 + half) + i) & MASK64)) for half in (0, 1))


def ltx_pages(path):
    """(page size, number of pages) of an LTX file, from its header and its page index."""
    data = Path(path).read_bytes()
    need(data[:4] == b"LTX1", f"{path}: not an LTX file")
    page_size = struct.unpack_from(">I", data, 8)[0]
    end = len(data) - 16 - 8
    index = data[end - struct.unpack_from(">Q", data, end)[0] : end - 1]
    # Three varints a page, and each varint ends with its only byte below 0x80.
    pages = sum(byte < 0x80 for byte in index) // 3
    return page_size, pages


def forget(path):
    """Ask the kernel to drop its cached pages of this file only: others use the machine too."""
    with open(path, "rb") as f:
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def copy_synced(source, target):
    """cp, then fsync: what any restore that keeps its promise must at least do. Seconds."""
    start = time.monotonic()
    subprocess.run(["cp", "--reflink=never", str(source), str(target)], check=True)
    with open(target, "rb") as f:
        os.fsync(f.fileno())
    return time.monotonic() - start

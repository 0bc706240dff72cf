"""The programs under test: how each is told what to replicate where, and what its files are called.

All of them are told by a configuration file, and are restored from by it.
"""
import re
import subprocess
from pathlib import Path

from failed import need


class Directory:
    """A replica in a directory."""

    def __init__(self, path):
        self.path = Path(path)

    def settings(self):
        return {"type": "file", "path": self.path}

    def names(self):
        return [str(x.relative_to(self.path)) for x in self.path.rglob("*") if x.is_file()]


class Prefix:
    """A replica in a bucket: see bucket.py."""

    def __init__(self, bucket, name):
        self.bucket, self.name = bucket, name

    def settings(self):
        return {"type": "s3", "bucket": "bucket", "path": self.name, "region": "us-east-1",
                "endpoint": self.bucket.endpoint, "force-path-style": "true"}

    def names(self):
        """Of the objects that came since the bucket is there."""
        start = self.name + "/"
        return [a.key[len(start):] for a in self.bucket.arrivals() if a.key.startswith(start)]


class Program:
    """weir: Litestream 0.5's configuration and file format."""

    shortest = "1ns"  # it ships as soon as it can: 0 is refused, as the original does
    polls = False  # whether an interval must be set where it looks, too
    strict = True  # its exit status must be 0; of others it is only noted
    level0 = re.compile(r"(^|/)(ltx/0|0000)/[^/]+\.ltx$")
    level = re.compile(r"(^|/)(ltx/[1-8]|000[1-8])/[^/]+\.ltx$")  # one above the increments
    snapshot = re.compile(r"(^|/)(ltx/9|0009)/[^/]+\.ltx$")
    suffix = ".ltx"

    def __init__(self, name, path):
        self.name, self.path = name, str(path)

    def entry(self, db, replica, interval):
        """The lines of one database. Without an interval, all is left as the program has it."""
        monitor = [f"    monitor-interval: {interval}"] if interval and self.polls else []
        sync = {"sync-interval": interval} if interval else {}
        inside = [f"      {k}: {v}" for k, v in (replica.settings() | sync).items()]
        return [f"  - path: {db}", *monitor, "    replica:", *inside]

    def config(self, file, pairs, interval=None, head=""):
        """Write the configuration of databases and their replicas."""
        lines = [line for db, replica in pairs for line in self.entry(db, replica, interval)]
        file.write_text("\n".join([head, "dbs:", *lines, ""]))
        return file

    def replicate(self, config):
        return [self.path, "replicate", "-config", str(config)]

    def restore(self, config, db, target):
        return [self.path, "restore", "-config", str(config), "-o", str(target), str(db)]

    def snapshot_taken(self, replica):
        return any(self.snapshot.search(n) for n in replica.names())

    def level0_dir(self, replica):
        """Where its increments appear in a replica that is a directory."""
        return replica.path / "ltx/0"


class Litestream5(Program):
    """Litestream 0.5."""

    shortest, polls, strict = "1ms", True, False


class Litestream3(Program):
    """Litestream 0.3: a list of replicas, and WAL segments under a generation."""

    shortest, polls, strict = "1ms", True, False
    level0 = re.compile(r"generations/[^/]+/wal/[^/]+\.wal\.lz4$")
    snapshot = re.compile(r"generations/[^/]+/snapshots/[^/]+\.snapshot\.lz4$")
    suffix = ".wal.lz4"

    def entry(self, db, replica, interval):
        lines = super().entry(db, replica, interval)
        at = lines.index("    replica:")
        inside = [f"  {x}" for x in lines[at + 1 :]]
        inside[0] = inside[0].replace("        ", "      - ", 1)
        return [*lines[:at], "    replicas:", *inside]

    def level0_dir(self, replica):
        return next(replica.path.glob("generations/*/wal"), replica.path / "generations/none/wal")


def peer(path):
    """The adapter for whatever Litestream `path` is."""
    p = subprocess.run([path, "version"], capture_output=True, text=True, check=True)
    out = p.stdout.strip()
    version = out.removeprefix("v")
    need(re.fullmatch(r"0\.[35]\.\d+", version), f"{path}: no adapter for version {out!r}")
    kind = Litestream3 if version.startswith("0.3") else Litestream5
    return kind(f"ls-{version}", path)

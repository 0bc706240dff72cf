"""When a commit is in a replica: each has 16 random bytes, which no compressor can shorten, and is there when
the first file appears that has these bytes in it. So nothing is assumed about which file has which."""
import os
import sqlite3
import struct
import subprocess
import time

from bucket import Arrival
from failed import Failed, need, until
from programs import Directory

MASK64 = (1 << 64) - 1


def mix(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK64
    return x ^ (x >> 31)


def token(seed, i):
    """What load.c wrote in transaction `i`."""
    return b"".join(struct.pack("<Q", mix((mix(seed * 2 + half) + i) & MASK64)) for half in (0, 1))


def commit_one(db):
    """A transaction of one row: when its COMMIT returned, and its token."""
    word = os.urandom(16)
    c = sqlite3.connect(db, isolation_level=None, timeout=60)
    try:
        c.execute("PRAGMA synchronous = NORMAL")
        c.execute("BEGIN IMMEDIATE")
        c.execute("INSERT INTO note(tag, text) VALUES (1, ?)", (word,))
        c.execute("COMMIT")
        return time.monotonic_ns(), word, c  # left open: closing the last one would checkpoint
    except sqlite3.Error as e:
        c.close()
        raise Failed(f"{db}: {e}") from None


class InDirectory:
    """Names that appear among the increments of a directory, as watch.c sees them."""

    def __init__(self, rig, program, replica):
        self.home, self.out = program.level0_dir(replica), rig.work / "arrivals"
        self.suffix, self.looked = program.suffix, set()
        with open(self.out, "wb") as f:
            self.process = subprocess.Popen([str(rig.build / "bench-watch"), str(self.home), self.suffix],
                                            stdin=subprocess.PIPE, stdout=f)
        until(lambda: self.out.stat().st_size > 0 or self.process.poll() is not None, 10, "watch")
        need(self.process.poll() is None, f"cannot watch {self.home}")

    def stop(self):
        if self.process.returncode is None:
            self.process.communicate()
        return self.process.returncode

    def all(self):
        """Ends the watching."""
        need(self.stop() == 0, "watch failed: events were lost")
        lines = [x.split(" ", 1) for x in self.out.read_text().splitlines()[1:]]
        return [Arrival(int(at), name, [self.home / name]) for at, name in lines]

    def has(self, word, since_s):
        """Whether a file that is new since then (time.time) has it; each is looked at once."""
        for e in os.scandir(self.home):
            if e.name.endswith(self.suffix) and e.name not in self.looked and e.stat().st_mtime >= since_s:
                self.looked.add(e.name)
                if contains([e.path], word):
                    return True
        return False


class InBucket:
    """Objects that come into a bucket from now on."""

    def __init__(self, bucket):
        self.bucket = bucket
        self.first = self.looked = len(bucket.arrivals())

    def stop(self):
        pass

    def all(self):
        return self.bucket.arrivals()[self.first :]

    def has(self, word, since_s):
        came = self.bucket.arrivals()
        start, self.looked = self.looked, len(came)
        return any(contains(a.files, word) for a in came[start:])


class Watch:
    """Files that appear in a replica; `with` ends it."""

    def __init__(self, rig, program, replica):
        self.seen = InDirectory(rig, program, replica) if isinstance(replica, Directory) else InBucket(replica.bucket)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.seen.stop()

    def arrival_of(self, word, committed_ns, seconds, name):
        """Milliseconds from the commit until it was in the replica; ends the watching."""
        since = time.time() - (time.monotonic_ns() - committed_ns) / 1e9 - 0.05
        until(lambda: self.seen.has(word, since), seconds, name, 0.02)
        time.sleep(0.02)  # the name is seen by watch, too
        for a in self.seen.all():
            if a.at > committed_ns - 50_000_000 and contains(a.files, word):
                return (a.at - committed_ns) / 1e6
        raise Failed(f"{name}: it came, but was not seen to come")

    def lags_ms(self, commits, words):
        """Of each commit, and how many were not found; ends the watching."""
        lags, i = [], 0
        for a in self.seen.all():
            data = read(a.files)
            while i < len(commits) and words[i] in data:
                lags.append((a.at - commits[i]) / 1e6)
                i += 1
        return lags, len(commits) - i


def read(files):
    out = []
    for path in files:
        try:
            with open(path, "rb") as f:
                out.append(f.read())
        except FileNotFoundError:
            pass  # deleted by who wrote it: counts as not found
    return b"".join(out)


def contains(files, word):
    return word in read(files)

"""A bucket on loopback, seen by who measures: s3_server.py in a process of its own."""
import collections
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

Arrival = collections.namedtuple("Arrival", "at key files")  # at: CLOCK_MONOTONIC nanoseconds


class Bucket:
    """Its objects are below `top`, where files may be already; `with` ends it."""

    def __init__(self, top, delay_ms=0):
        server = Path(__file__).with_name("s3_server.py")
        self.process = subprocess.Popen([sys.executable, str(server), str(top), str(delay_ms)],
                                        stdout=subprocess.PIPE, text=True)
        self.endpoint = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.came, self.looked = [], 0

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def ask(self, what):
        with urllib.request.urlopen(f"{self.endpoint}/-/{what}", timeout=60) as said:
            return said.read()

    def url(self, name):
        return f"s3://bucket/{name}?endpoint={self.endpoint}&region=r&force-path-style=true"

    def requests(self):
        return int(self.ask("count"))

    def classes(self):
        """Of each class of requests: [how many, bytes in, bytes out]."""
        return json.loads(self.ask("classes"))

    def connections(self):
        """How many were made that had a request."""
        return int(self.ask("connections"))

    def delay(self, ms):
        self.ask(f"delay?ms={ms}")

    def arrivals(self):
        """Every object that came, in the order in which it was there to be read."""
        lines = json.loads(self.ask(f"log?from={self.looked}"))
        self.looked += len(lines)
        self.came += [Arrival(done, key, files) for _, done, _, key, status, _, _, files in lines
                      if files and status == 200]
        return self.came


def traffic(before, after):
    """What happened between two classes(): requests of each class; bytes in and out of all."""
    zero = [0, 0, 0]
    change = {k: [b - a for a, b in zip(before.get(k, zero), v)] for k, v in after.items()}
    return ({k: v[0] for k, v in change.items() if v[0]}, sum(v[1] for v in change.values()),
            sum(v[2] for v in change.values()))

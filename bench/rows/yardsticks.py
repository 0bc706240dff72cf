"""What this machine can do at best, for what the other rows do: no replicator is measured."""
import http.client
import json
import sqlite3
import subprocess
import time
import urllib.parse

from rig import MB, ROOT, remove_db, sync_copy

CRC = ROOT / "src/base/crc64.c"


def yardsticks(figures, rig):
    home = rig.fresh("yardsticks")
    db, out = home / "app.db", home / "out.db"
    rig.load(db, "fill", bytes=rig.size.big_bytes)
    yard = rig.compile("yard", str(CRC), f"-I{ROOT / 'src'}", f"-I{ROOT / 'include'}", "-llz4")
    gb, what = db.stat().st_size / 1e9, f"{rig.size.big_bytes / MB:.0f} MB"
    for run in range(rig.size.runs):
        for name, copy in (("cp+fsync", sync_copy), (".backup", backup)):
            figures(f"copy of {what}", "GB/s", True).add(name, gb / copy(db, out))
            remove_db(out)
        said = json.loads(subprocess.run([yard, str(db)], check=True, capture_output=True).stdout)
        for name, rate in said.items():
            figures(f"pages of {what}, one core", "GB/s", True).add(name, rate)
        with rig.bucket() as bucket:
            for name, us in round_trips(bucket, rig.size.round_trips).items():
                figures("request to the bucket on loopback, one connection, median", "us").add(name, us)


def backup(source, target):
    """What sqlite3's .backup does. Seconds."""
    start = time.monotonic()
    a, b = sqlite3.connect(source), sqlite3.connect(target)
    a.backup(b)
    b.close()
    a.close()
    return time.monotonic() - start


def round_trips(bucket, n):
    """Microseconds by kind of request, the client's own included."""
    c = http.client.HTTPConnection(urllib.parse.urlsplit(bucket.endpoint).netloc)
    took = {}
    for i in range(n):
        for method, body in (("PUT", b"x" * 9000), ("GET", None)):
            start = time.monotonic_ns()
            c.request(method, f"/bucket/yard/{i}", body)
            c.getresponse().read()
            took.setdefault(f"{method} of 9 KB", []).append((time.monotonic_ns() - start) / 1e3)
    c.close()
    return {k: sorted(v)[len(v) // 2] for k, v in took.items()}

"""What a first start sends: a database that was there before, of which little changes meanwhile, and its first levels."""
import json
import subprocess
import time

from bucket import traffic
from figures import Most
from programs import Litestream3, Prefix
from rig import MB, ROOT, Daemon

LEVELS = "levels: [{interval: 1s}, {interval: 3s}, {interval: 9s}]\n"  # of those that know levels


def first(figures, rig):
    for run in range(rig.size.runs):
        for p in rig.turns(run):
            with rig.bucket() as bucket:
                one_first(figures, rig, p, bucket)


def one_first(figures, rig, p, bucket):
    s, db = rig.size, rig.fresh("first") / "app.db"
    rig.load(db, "fill", bytes=s.first_bytes)
    least = packed(rig, db)
    with Daemon(rig, p, [(db, Prefix(bucket, "app"))], head="" if isinstance(p, Litestream3) else LEVELS) as d:
        d.await_snapshots()
        rig.load(db, "update", rate=2, count=2 * s.first_s)
        time.sleep(1)
        d.stop()
    requests, up, _ = traffic({}, bucket.classes())
    what = f"first start of {s.first_bytes / MB:.0f} MB, and {s.first_s} s"
    figures(f"{what}: sent, of its pages as LZ4 leaves them", "x", goals=[Most(1.05)]).add(p.name, up / least)
    figures(f"{what}: requests", "").add(p.name, sum(requests.values()))


def packed(rig, db):
    """Bytes of all pages of the database, each compressed by itself."""
    yard = rig.compile("yard", str(ROOT / "src/base/crc64.c"), f"-I{ROOT / 'src'}", f"-I{ROOT / 'include'}", "-llz4")
    said = subprocess.run([yard, "-size", str(db)], check=True, capture_output=True)
    return json.loads(said.stdout)["packed"]

"""A copy that a hundredth of the pages is missing in: what bringing it up to date fetches; and the proof of it all.
Of weir alone: nobody else does."""
import json
import shutil
import subprocess

from failed import need
from figures import Most
from programs import Directory
from rig import MB, Daemon, clean_env
from rows.restore import same_rows


def command(program, *words):
    """The JSON that a command of weir's says."""
    p = subprocess.run([program.path, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       env=clean_env(), timeout=900)
    need(p.returncode == 0, f"{words[0]} ended with {p.returncode}: {p.stderr[-500:].decode(errors='replace')}")
    return json.loads(p.stdout)


def stale(figures, rig):
    weir, home = rig.weir, rig.fresh("stale")
    db, old, out, full = (home / n for n in ("app.db", "old.db", "out.db", "full.db"))
    replica = Directory(home / "replica")
    url = f"file://{replica.path}"
    rig.load(db, "fill", bytes=rig.size.history_bytes)
    with Daemon(rig, weir, [(db, replica)], rig.size.interval) as d:
        d.settle(rig)
        command(weir, "restore", "-json", "-o", old, url)
        rig.load(db, "update", rate=500, count=max(old.stat().st_size // 4096 // 100 // 2, 1), seed=3)
        d.stop()
    what = f"{rig.size.history_bytes / MB:.0f} MB"
    for run in range(rig.size.runs):
        whole = command(weir, "restore", "-json", "-force", "-o", full, url)
        shutil.copyfile(old, out)
        said = command(weir, "restore", "-json", "-delta", "-o", out, url)
        need(run or same_rows(db, out), "the restored database differs")
        figures(f"{what}: fetched by restore -delta, of a whole restore", "x", goals=[Most(0.02)]).add(
            weir.name, said["bytes_read"] / whole["bytes_read"])
        cases = (("restore -delta", ["restore", "-delta", "-o", out, url]),
                 ("restore -force", ["restore", "-force", "-o", full, url]), ("verify", ["verify", url]))
        shutil.copyfile(old, out)
        for label, words in cases:
            x = rig.spent([weir.path, *words], label)
            figures(f"{what}, {label}: time", "s").add(weir.name, x["seconds"])
            figures(f"{what}, {label}: peak memory", "MB").add(weir.name, x["peak_mb"])

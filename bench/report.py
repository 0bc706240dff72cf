"""What was measured, for people; and on what machine, with who else at work."""
import datetime
import os
import platform
import subprocess
import sys
import time
import traceback
from pathlib import Path

import plot
import proc
from failed import Failed
from figures import Figures

TRUST = 0.15  # of the machine may be used by others


def processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "?")


def machine(work):
    df = ["df", "--output=source,fstype", str(work)]
    disk = subprocess.run(df, capture_output=True, text=True)
    return {
        "processor": processor(), "processors": os.cpu_count(), "kernel": platform.release(),
        "disk": " ".join(disk.stdout.split()[2:]), "load": os.getloadavg(),
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def show_machine(m):
    print(f"{m['processors']} x {m['processor']}, {m['disk']}, load {m['load'][0]:.1f}")


def measure(row, judge, *args):
    """Run a row; what there is to keep of it. What failed keeps the figures that it had."""
    foreign, start, figures, failed = proc.Foreign(), time.monotonic(), Figures(judge), None
    try:
        row(figures, *args)
    except Failed as e:
        failed = str(e)
    except Exception:  # whatever it is, the other rows are measured
        failed = traceback.format_exc()
    return {"figures": figures, "failed": failed, "seconds": time.monotonic() - start, "foreign": foreign.share(),
            "load": os.getloadavg()[0]}


def show(name, said):
    others = said["foreign"]
    print(f"\n{name}: {said['seconds']:.0f} s, load {said['load']:.1f}, others used {others:.0%} of the machine"
          + (" - too much: do not trust this" if others > TRUST else ""))
    if said["failed"]:
        print(f"  FAILED: {said['failed']}")
    lines = [line for f in said["figures"] for line in f.lines()]
    widths = [max((len(line[i]) for line in lines), default=0) for i in range(3)]
    for f in said["figures"]:
        print(f"  {f.label} ({f.unit})" if f.unit else f"  {f.label}")
        for line in f.lines():
            cells = [f"{cell:<{width}}" for cell, width in zip(line, widths)]
            print(("    " + "  ".join([*cells, line[3]])).rstrip())
    sys.stdout.flush()


def kept(said):
    return {**said, "figures": [f.json() for f in said["figures"]]}


def draw(directory, prefix, name, said):
    """One picture of the row. Returns its path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{prefix}{name}.svg"
    path.write_text(plot.svg(name, said["figures"]))
    return path


def conclude(rows):
    """The last lines: how many goals are reached, and which are not. The exit status."""
    verdicts = [(name, f.label, *v) for name, said in rows.items() for f in said["figures"] for v in f.verdicts()]
    missed = [v for v in verdicts if v[4] is False]
    if verdicts:
        print(f"\n{sum(v[4] is True for v in verdicts)} goals reached, {len(missed)} not, "
              f"{sum(v[4] is None for v in verdicts)} not measured")
    for name, label, other, text, _ in missed:
        print(f"  {name}: {label}{', against ' + other if other else ''}: {text}")
    return 1 if any(said["failed"] for said in rows.values()) else 0

"""What was measured, for people; and on what machine, with who else at work."""
import datetime
import os
import platform
import subprocess
import sys
import time
import traceback
from pathlib import Path

import rig


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


def show(name, result):
    others = result["foreign"]
    print(f"\n{name}: {result['seconds']:.0f} s, load {result['load']:.1f}, "
          f"others used {others:.0%} of the machine"
          + (" - too much: do not trust this" if others > 0.15 else ""))
    if "failed" in result:
        print(f"  FAILED: {result['failed']}")
    table = result.get("table", [])
    width = max((len(line[0]) for line in table), default=0)
    names = max([10, *(len(line[1]) for line in table)])
    for what, program, value, goal in table:
        aim = f"(goal {goal})" if goal else ""
        print(f"  {what:<{width}}  {program:<{names}} {value:<28} {aim}".rstrip())
    sys.stdout.flush()


def measure(row, bench, programs, size):
    foreign, start = rig.Foreign(), time.monotonic()
    try:
        result = row(bench, programs, size)
    except rig.Failed as e:
        result = {"failed": str(e)}
    except (OSError, subprocess.SubprocessError):
        result = {"failed": traceback.format_exc()}
    result |= {"seconds": time.monotonic() - start, "foreign": foreign.share(),
               "load": os.getloadavg()[0]}
    return result

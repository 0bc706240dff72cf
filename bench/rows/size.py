"""What is installed, without the symbols that a debugger wants."""
import subprocess

from failed import Failed
from figures import Most
from rig import MB


def stripped_mb(rig, path):
    out = rig.work / "stripped"
    try:
        subprocess.run(["strip", "-o", str(out), str(path)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as e:
        raise Failed(f"strip {path}: {e}") from None
    return out.stat().st_size / MB


def size(figures, rig):
    for p in rig.programs:
        figures("program", "MB", goals=[Most(1)]).add(p.name, stripped_mb(rig, p.path))
    if rig.so:
        figures("weir.so", "MB", goals=[Most(1.5)]).add(rig.weir.name, stripped_mb(rig, rig.so))
    for _ in range(rig.size.runs):
        for p in rig.programs:
            x = rig.spent([p.path, "version"], f"{p.name} version")
            figures("to say its version: time", "ms").add(p.name, x["seconds"] * 1000)
            figures("to say its version: memory", "MB").add(p.name, x["peak_mb"])

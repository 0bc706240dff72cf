"""What the two command lines, run and vfs, have in common."""
import argparse
import contextlib
import dataclasses
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import report
import rig


def parser(doc, rows):
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", default=",".join(rows), metavar="NAME,...", help="default: %(default)s")
    p.add_argument("--runs", type=int, metavar="N", help="runs of each row; default: 5")
    p.add_argument("--quick", action="store_true", help="tiny sizes and one run")
    p.add_argument("--alone", action="store_true", help="fetch no Litestream to compare with")
    p.add_argument("--peer", action="append", default=[], metavar="PATH",
                   help="measure this Litestream, too; may be repeated")
    p.add_argument("--dir", metavar="DIR", help="where to put databases; default: in the build directory")
    p.add_argument("--build", metavar="DIR", default=str(rig.ROOT / "build-bench"),
                   help="where to build, and to leave the results; default: build-bench")
    p.add_argument("--json", metavar="FILE", help="every single run; default: in the build directory")
    return p


def parse(p, rows):
    a = p.parse_args()
    a.rows, a.build = a.rows.split(","), Path(a.build).resolve()
    for name in a.rows:
        if name not in rows:
            p.error(f"no row {name!r}: choose from {', '.join(rows)}")
    return a


@contextlib.contextmanager
def work_directory(a):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or nothing would be cleared away
    a.build.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=a.dir or a.build))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def measure(a, name, rows, size, work, *args):
    """All rows, each printed and drawn when it is done. The exit status."""
    machine, done = report.machine(work), {}
    out = Path(a.json) if a.json else a.build / f"{name}.json"
    report.show_machine(machine)
    for row in a.rows:
        done[row] = report.measure(rows[row], not a.quick, *args)
        report.show(row, done[row])
        report.draw(a.build / "plots", "" if name == "result" else f"{name}-", row, done[row])
        # Anew after each: who ends it early keeps what was measured.
        kept = {row: report.kept(said) for row, said in done.items()}
        out.write_text(json.dumps({"machine": machine, "size": dataclasses.asdict(size), "rows": kept}, indent=1))
    status = report.conclude(done)
    print(f"\nall runs: {out}; pictures: {a.build / 'plots'}")
    return status

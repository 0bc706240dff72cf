"""Figures over a number of databases, or a size: tables with the line that fits each."""
import fit
import report


class Series:
    """Of each label: [(x, y), ...], in the order in which they were measured."""

    def __init__(self):
        self.all = {}  # label: (unit, whether a line is meant to fit, points)

    def __call__(self, label, unit, x, y, fits=True):
        self.all.setdefault(label, (unit, fits, []))[2].append((x, y))

    def xs(self):
        return sorted({x for _, _, points in self.all.values() for x, _ in points})

    def json(self):
        out = []
        for label, (unit, fits, points) in self.all.items():
            line = fit.line(points) if fits else None
            out.append({"label": label, "unit": unit, "points": points, "line": line._asdict() if line else None})
        return out


def number(x):
    x = 0 if abs(x) < 1e-9 else x  # of floating point, not of what was measured
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"


def words(series):
    """The table's cells, a list a line; the first is the head."""
    xs = series.xs()
    yield ["", *map(number, xs), "line", "off by at most"]
    for label, (unit, fits, points) in series.all.items():
        at, line = dict(points), fit.line(points) if fits else None
        cells = [number(at[x]) if x in at else "" for x in xs]
        said = [f"{number(line.a)} + {number(line.b)} x", f"{number(line.worst)} at {number(line.at)}"] if line else ["", ""]
        yield [f"{label} ({unit})" if unit else label, *cells, *said]


def show(name, said, series):
    others = said["foreign"]
    print(f"\n{name}: {said['seconds']:.0f} s, others used {others:.0%} of the machine"
          + (" - do not trust what takes time" if others > report.TRUST else ""))
    if said["failed"]:
        print(f"  FAILED: {said['failed']}")
    lines = list(words(series))
    widths = [max(len(x[i]) for x in lines) for i in range(len(lines[0]))]
    for cells in lines:
        first, *rest = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths))]
        print(f"  {first}  {'  '.join(rest)}", flush=True)

"""Figures: what was measured of each system, run by run, the goals, and whether they are reached.

Whatever is compared was measured in turn within one run, because the machine's mood changes by the
minute: ratios are formed run by run, and figures are medians with the extremes in brackets.
"""
import statistics

PEERS = "ls-"  # what the names of all peers begin with


class Most:
    """weir's median is at most that."""

    def __init__(self, limit):
        self.limit = limit

    def against(self, systems):
        return [""]

    def verdict(self, figure, other):
        mine = figure.values.get(figure.mine)
        if not mine:
            return f"goal <= {short(self.limit)}: not measured", None
        ok = statistics.median(mine) <= self.limit * (1 + 1e-9)
        return f"goal <= {short(self.limit)}: {word(ok)}", ok


class Least(Most):
    """weir's median is at least that."""

    def verdict(self, figure, other):
        mine = figure.values.get(figure.mine)
        if not mine:
            return f"goal >= {short(self.limit)}: not measured", None
        ok = statistics.median(mine) >= self.limit * (1 - 1e-9)
        return f"goal >= {short(self.limit)}: {word(ok)}", ok


class Ratio:
    """weir's figure is that many times the other's: at least where more is better, or else at most.
    `to` is the name of a system, or how the names of several begin."""

    def __init__(self, limit, to=PEERS):
        self.limit, self.to = limit, to

    def against(self, systems):
        return [s for s in systems if s.startswith(self.to)]

    def verdict(self, figure, other):
        sign = ">=" if figure.more else "<="
        ratios = figure.ratios(other)
        if not ratios:
            return f"goal {sign} {short(self.limit)} x: not measured", None
        middle = statistics.median(ratios)
        ok = middle >= self.limit if figure.more else middle <= self.limit
        return f"goal {sign} {short(self.limit)} x: {word(ok)}", ok


def word(ok):
    return "reached" if ok else "NOT REACHED"


def short(x):
    """A number with three digits that count."""
    if x == 0 or abs(x) >= 100:
        return f"{x:,.0f}"
    return f"{x:.3g}"


def spread(values):
    v = sorted(values)
    return short(statistics.median(v)) + (f" ({short(v[0])}-{short(v[-1])})" if len(v) > 1 else "")


class Figure:
    def __init__(self, label, unit, more=False, goals=(), mine="weir"):
        self.label, self.unit, self.more, self.goals, self.mine = label, unit, more, goals, mine
        self.values = {}  # of a system: one a run

    def add(self, system, value):
        self.values.setdefault(system, []).append(value)

    def ratios(self, other):
        """weir's by the other's, run by run."""
        mine, his = self.values.get(self.mine, []), self.values.get(other, [])
        return [a / b for a, b in zip(mine, his) if b]

    def verdicts(self):
        """[(system it is against or "", text, True, False or None)] of all goals."""
        return [(other, *g.verdict(self, other)) for g in self.goals for other in g.against(self.values)]

    def lines(self):
        """[system, figure, how many times weir's is of it, goals] for the table; weir first."""
        said = self.verdicts()
        order = sorted(self.values, key=lambda s: s != self.mine)
        out = []
        for s in order:
            ratio = self.ratios(s) if s != self.mine else []
            goals = [text for other, text, _ in said if other == s or (s == order[0] and not other)]
            out.append([s, spread(self.values[s]), f"{spread(ratio)} x" if ratio else "", "; ".join(goals)])
        return out

    def json(self):
        return {"label": self.label, "unit": self.unit, "more_is_better": self.more, "values": self.values,
                "goals": [{"against": o, "said": t, "reached": ok} for o, t, ok in self.verdicts()]}


class Figures:
    """Those of one row, in the order in which they are first asked for. Of tiny sizes nothing is judged."""

    def __init__(self, judge=True):
        self.all, self.judge = {}, judge

    def __call__(self, label, unit, more=False, goals=()):
        figure = self.all.setdefault(label, Figure(label, unit, more))
        if goals and self.judge:
            figure.goals = goals
        return figure

    def __iter__(self):
        return iter(self.all.values())

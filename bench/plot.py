"""A row as a picture: for each figure a bar per system, with whiskers from the least to the greatest run and
a dashed line where an absolute goal is. Plain SVG, which takes the colours of a light or a dark page."""
import statistics
from xml.sax.saxutils import escape

from figures import Most

WIDTH, LEFT, RIGHT = 760, 120, 210
BAR, GAP, HEAD, FOOT = 16, 6, 34, 14

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; } .quiet { fill: #59636e; }
.back { fill: #ffffff; } .bar { fill: #9aa7b5; } .mine { fill: #1a7f6b; }
.whisker { stroke: #1f2328; stroke-width: 1.5; } .goal { stroke: #bc4c00; stroke-width: 1.5; stroke-dasharray: 4 3; }
.reached { fill: #1a7f37; } .missed { fill: #bc4c00; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .quiet { fill: #9198a1; } .back { fill: #0d1117; } .bar { fill: #57606a; }
  .mine { fill: #2ea78c; } .whisker { stroke: #e6edf3; } .goal { stroke: #f0883e; }
  .reached { fill: #3fb950; } .missed { fill: #f0883e; }
}
"""


def text(x, y, said, kind="", anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" text-anchor="{anchor}">{escape(said)}</text>'


def line(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def panel(figure, top):
    """(height, elements) of one figure."""
    lines = figure.lines()
    better = "more is better" if figure.more else "less is better"
    unit = ", ".join(x for x in (figure.unit, better) if x)
    out = [text(10, top + 16, figure.label, "title"), text(WIDTH - 10, top + 16, unit, "quiet", "end")]
    limits = [g.limit for g in figure.goals if isinstance(g, Most)]
    greatest = max([v for values in figure.values.values() for v in values] + limits + [1e-12])
    scale = (WIDTH - LEFT - RIGHT) / greatest
    y = top + HEAD
    for system, said, _, _ in lines:
        values = figure.values[system]
        middle, kind = statistics.median(values), "mine" if system == figure.mine else "bar"
        out.append(text(LEFT - 8, y + 13, system, "", "end"))
        out.append(f'<rect x="{LEFT}" y="{y}" width="{max(middle * scale, 1):.1f}" height="{BAR}" class="{kind}"/>')
        low, high, centre = LEFT + min(values) * scale, LEFT + max(values) * scale, y + BAR / 2
        out += [line(low, centre, high, centre, "whisker"), line(low, centre - 4, low, centre + 4, "whisker"),
                line(high, centre - 4, high, centre + 4, "whisker")] if len(values) > 1 else []
        out.append(text(WIDTH - RIGHT + 12, y + 13, said))
        y += BAR + GAP
    out += [line(LEFT + x * scale, top + HEAD - 4, LEFT + x * scale, y, "goal") for x in limits]
    for other, said, ok in figure.verdicts():
        kind = "quiet" if ok is None else "reached" if ok else "missed"
        out.append(text(LEFT, y + 12, f"against {other}: {said}" if other else said, kind))
        y += 16
    return y - top + FOOT, out


def svg(title, figures):
    y, out = 40, [text(10, 24, title, "title")]
    for figure in figures:
        height, elements = panel(figure, y)
        out += elements
        y += height
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">'
            f"<title>{escape(title)}</title><style>{STYLE}</style>"
            f'<rect width="{WIDTH}" height="{y}" class="back"/>' + "\n".join(out) + "</svg>\n")

"""A line through figures: by least squares, and how far the figures are from it. Pure."""
import collections

# `worst` is the greatest distance of a figure from the line, `at` where that is.
Line = collections.namedtuple("Line", "a b worst at")


def line(points):
    """y = a + b * x through [(x, y), ...]; None where they do not tell: there must be two x at least."""
    n = len(points)
    if len({x for x, _ in points}) < 2:
        return None
    mx, my = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    b = sum((x - mx) * (y - my) for x, y in points) / sum((x - mx) ** 2 for x, _ in points)
    a = my - b * mx
    worst, at = max((abs(a + b * x - y), x) for x, y in points)
    return Line(a, b, worst, at)

"""What a million tenants come to, by what one database costs. Pure; docs/scale.md says where each figure is from."""
import dataclasses

MONTH_S = 30 * 24 * 3600
S3_PUTS, S3_GETS = 3500, 5500  # a second and partition of a bucket, LIST among the latter
PUT_USD, GET_USD, GB_USD = 0.005 / 1000, 0.0004 / 1000, 0.023  # Amazon S3, us-east-1, list prices; LIST is as PUT


@dataclasses.dataclass
class Given:
    tenants: float = 1e6
    nodes: float = 100
    busy: float = 0.001  # the share that is written to each second, at any moment
    daily: float = 0.1  # that is written to in a day
    commits: float = 100  # of each of these in a day, seconds apart
    mb: float = 10  # of a database
    open_max: float = 500
    request_ms: float = 30
    descriptors: float = 524288  # what systemd's LimitNOFILE= may have; 0: not looked at


@dataclasses.dataclass
class Database:
    """As measured: see docs/scale.md."""

    start_lists: float = 2
    start_gets: float = 2  # of a restart
    busy_puts: float = 3762  # an hour, written each second
    busy_lists: float = 0.8
    busy_gets: float = 156  # HEAD included
    process_mb: float = 16
    open_kb: float = 46
    cold_kb: float = 15
    open_descriptors: float = 8
    state_kb: float = 12  # on the disk, of a small one
    idle_cpu: float = 5e-7  # of a core
    commit_ms: float = 1  # of CPU, with all that follows from it
    net_threads: float = 16  # of a process


def plan(g, d=Database()):
    """[(what, figure, unit, limit or None)]"""
    n = g.tenants / g.nodes
    is_open = min(n, max(g.open_max, n * g.busy))
    start = n * (d.start_lists + d.start_gets) * g.request_ms / 1000 / d.net_threads
    puts = g.tenants * g.busy * d.busy_puts / 3600
    quiet = g.tenants * (g.daily - min(g.busy, g.daily)) * g.commits  # commits of those that are not busy
    usd = (puts * MONTH_S * PUT_USD + g.tenants * g.busy * (d.busy_lists * PUT_USD + d.busy_gets * GET_USD) * MONTH_S / 3600
           + (quiet + g.tenants * g.daily) * 30 * PUT_USD)
    return [
        ("databases of a node", n, "", None),
        ("start of a node, requests alone", start / 60, "minutes", None),
        ("start of all nodes at once: requests a second", g.nodes * d.net_threads * 1000 / g.request_ms, "", S3_GETS),
        ("start of all: requests", g.tenants * (d.start_lists + d.start_gets), "", None),
        ("start of all: price", g.tenants * (d.start_lists * PUT_USD + d.start_gets * GET_USD), "$", None),
        ("PUT a second, all nodes", puts + quiet / 86400, "", S3_PUTS),
        ("the same of a node", (puts + quiet / 86400) / g.nodes, "", d.net_threads * 1000 / g.request_ms),
        ("levels and snapshots that fall due at midnight, all nodes", g.tenants * g.daily, "PUT", None),
        ("requests", usd, "$ a month", None),
        ("stored, two snapshots each, as large as the database", g.tenants * g.mb / 1000 * 2 * GB_USD, "$ a month", None),
        ("memory of a node", d.process_mb + (is_open * d.open_kb + (n - is_open) * d.cold_kb) / 1000, "MB", None),
        ("descriptors of a node", is_open * d.open_descriptors + 64, "", g.descriptors or None),
        ("CPU of a node, silent", n * d.idle_cpu * 100, "% of a core", None),
        ("CPU of a node, commits", (n * g.busy + quiet / 86400 / g.nodes) * d.commit_ms / 10, "% of a core", None),
        ("local state of a node", n * d.state_kb / 1000, "MB", None),
    ]


def given(text):
    """tenants=1e6,nodes=100"""
    pairs = (x.split("=") for x in text.split(",") if x)
    return Given(**{k: float(v) for k, v in pairs})


def lines(g):
    for what, figure, unit, limit in plan(g):
        over = "" if limit is None else f"  of {limit:,.0f}" + (": TOO MANY" if figure > limit else "")
        yield f"{what:<58} {figure:>14,.1f} {unit}{over}".rstrip()

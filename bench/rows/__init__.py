"""The measurements, a file each subject. A row is a function of the figures that it makes and of the rig,
which has the programs, weir first, and the sizes.

Every database is in WAL mode with pages of 4096 bytes.
"""
from rows import (first, fleet, idle, lag, levels, minute, push, restore, size, snapshot, stale, start, throughput,
                  yardsticks)

ROWS = {
    "throughput": throughput.throughput,
    "paced": throughput.paced,
    "readers": throughput.readers,
    "drain": throughput.drain,
    "lag": lag.lag,
    "lone": lag.lone,
    "push": push.push,
    "start": start.start,
    "minute": minute.minute,
    "levels": levels.levels,
    "fleet": fleet.fleet,
    "idle": idle.idle,
    "many": idle.many,
    "snapshot": snapshot.snapshot,
    "first": first.first,
    "restore": restore.restore,
    "increments": restore.increments,
    "syncs": restore.syncs,
    "stale": stale.stale,
    "size": size.size,
    "yardsticks": yardsticks.yardsticks,
}

"""How much of everything bench/scale has."""
import dataclasses


@dataclasses.dataclass
class Size:
    runs: int = 1
    numbers: tuple = (10, 100, 1000, 10000)
    open_max: int = 100
    nodes: tuple = (1, 2, 4, 8)
    node_n: int = 100  # databases of each
    quiet_s: float = 5  # without a request: the start is over
    settle_s: int = 140  # a minute of silence, the checkpoint after it, and another until the watcher rests
    idle_s: int = 60  # one look of the watcher, one of each database
    writers: int = 50  # databases that are written to, a commit a second each
    warm_s: int = 32  # past the first compaction, which looks at what is there
    write_s: int = 60  # two compactions
    far_ms: int = 100  # that a request takes: so long that nothing else bounds anything
    far_numbers: tuple = (20, 40, 80, 160)
    far_s: int = 20
    gigabytes: tuple = (1, 10, 100)
    leaves: int = 60000  # free pages all over the file
    rows: int = 1000  # of a page each
    commit_s: int = 20
    restore_max_gb: float = 10  # a restore writes all of it

    @staticmethod
    def quick():
        return Size(numbers=(4, 60), open_max=4, nodes=(1, 2), node_n=3, far_ms=2, far_numbers=(2, 4), far_s=1, quiet_s=0.5, settle_s=1, idle_s=1, writers=3,
                    warm_s=1, write_s=2, gigabytes=(0.01, 0.02), leaves=200, rows=20, commit_s=1)

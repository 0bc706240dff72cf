"""How much of everything; the fields of one row share its name."""
import dataclasses

MB = 1 << 20


@dataclasses.dataclass
class Size:
    runs: int = 5
    interval: str = "1s"  # where it is not each program's own, or the shortest
    throughput_s: int = 6
    throughput_cases: tuple = (("NORMAL", 1), ("FULL", 1), ("NORMAL", 4), ("FULL", 4))  # and writers
    paced_rate: int = 500
    paced_s: int = 10
    readers: int = 3
    readers_rate: int = 800
    readers_s: int = 20
    drain_s: int = 10
    lag_rate: int = 40
    lag_s: int = 10
    lone_commits: int = 5
    followers: tuple = (1, 20, 100)
    pushed: int = 30
    minute_bytes: int = 64 * MB
    minute_rate: int = 500
    minute_s: int = 60
    levels_bytes: int = 64 * MB
    levels_rate: int = 100
    levels_s: int = 30
    fleet_n: int = 100
    fleet_warm_s: int = 32  # past the first compaction, which looks at what is there
    fleet_s: int = 30  # one compaction
    idle_n: tuple = (1, 100, 1000)
    idle_settle_s: int = 140  # a minute of silence, the checkpoint after it, and another until the watcher rests
    idle_s: int = 15  # of a window: five are more than the minute after which all look once
    many_n: int = 10000
    many_open: int = 100
    big_bytes: int = 512 * MB
    first_bytes: int = 64 * MB
    first_s: int = 15  # past the first files of three levels
    history_bytes: int = 1024 * MB
    increments: int = 10000
    syncs_bytes: int = 16 * MB
    syncs: int = 3900
    late_ms: int = 20
    round_trips: int = 1000

    @staticmethod
    def quick():
        return Size(runs=1, interval="10ms", throughput_s=1, throughput_cases=(("NORMAL", 1), ("FULL", 4)), paced_s=1, readers_s=1, drain_s=1, lag_s=1, lone_commits=1, followers=(1, 3), pushed=2, minute_bytes=4 * MB,
                    minute_s=1, levels_bytes=MB, levels_s=2, fleet_n=5, fleet_warm_s=1, fleet_s=1, idle_n=(1, 5), idle_settle_s=2, idle_s=1, many_n=20, many_open=5,
                    big_bytes=8 * MB, first_bytes=MB, first_s=1, history_bytes=8 * MB, increments=40, syncs_bytes=MB, syncs=40, late_ms=2, round_trips=50)

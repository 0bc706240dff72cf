"""How long until a commit is seen in copies that follow the primary's stream."""
import signal
import subprocess

import proc
from failed import Failed, need, until
from figures import Most
from programs import Directory
from rig import Daemon, clean_env, free_port
from rows.lag import quantile

TOKEN = "a-token-of-the-benchmark"


class Follower:
    def __init__(self, rig, url, copy):
        self.copy, self.log = copy, copy.with_suffix(".log")
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen([rig.weir.path, "restore", "-f", "-o", str(copy), url],
                                            stdout=out, stderr=out, env=clean_env() | {"WEIR_TOKEN": TOKEN})

    def follows(self):
        if self.process.poll() is not None:
            raise Failed("a follower ended early:\n" + self.log.read_text(errors="replace")[-2000:])
        return b"with the primary" in self.log.read_bytes()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def push(figures, rig):
    """No other program has this: the goal is a figure. All copies are in one directory, in memory where there
    is room, so that it is the program and the system that are measured, and not what a disk takes to sync."""
    for _ in range(rig.size.runs):
        for n in rig.size.followers:
            one_push(figures, rig, n)


def one_push(figures, rig, n):
    with rig.memory() as home:
        db, copies = home / "app.db", [home / f"copy{i}.db" for i in range(n)]
        rig.load(db, "append", count=100)
        port = free_port()
        serve = f'serve: {{addr: "127.0.0.1:{port}", token: {TOKEN}, max-followers: {n}}}'
        seen = subprocess.Popen([rig.compile("seen", "-lsqlite3"), str(db), str(rig.size.pushed), *map(str, copies)],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        need(seen.stdout.readline() == "ready\n", "seen does not begin")
        with Daemon(rig, rig.weir, [(db, Directory(home / "replica"))], head=serve) as d:
            d.settle(rig)
            followers = []
            try:
                for copy in copies:
                    followers.append(Follower(rig, f"http://127.0.0.1:{port}/app.db", copy))
                for f in followers:
                    until(f.follows, 60, "a follower is with the primary", 0.02)
                pids = [d.pid, *(f.process.pid for f in followers)]
                before = [proc.run_seconds(pid) for pid in pids]
                times = sorted(map(float, seen.communicate("\n")[0].split()))
                need(seen.returncode == 0, "a commit was not seen")
                spent = [proc.run_seconds(pid) - b for pid, b in zip(pids, before)]
            finally:
                for f in followers:
                    f.end()
            d.stop()
    what = f"{n} followers" if n > 1 else "1 follower"
    figures(f"{what}: p50", "ms", goals=[Most(10)]).add("weir", quantile(times, 0.5))
    figures(f"{what}: p99", "ms").add("weir", quantile(times, 0.99))
    figures(f"{what}: CPU of the primary for a commit", "ms").add("weir", spent[0] * 1e3 / rig.size.pushed)
    figures(f"{what}: CPU of a follower for a commit", "ms").add("weir", sum(spent[1:]) * 1e3 / n / rig.size.pushed)

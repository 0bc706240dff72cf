"""What /proc says about a process and about the machine. Linux only."""
import contextlib
import os
import re
import resource
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def read_proc(pid, name):
    return Path(f"/proc/{pid}/{name}").read_text()


def cpu_seconds(pid):
    """User and system time of all threads, those that ended included; in steps of 1/TICKS."""
    fields = read_proc(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def run_seconds(pid):
    """The same of the threads that are there, to the nanosecond, where the kernel counts that."""
    tasks = [t.name for t in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(read_proc(f"{pid}/task/{t}", "schedstat").split()[0]) for t in tasks) / 1e9


def status_kb(pid, key):
    match = re.search(rf"^{key}:\s+(\d+)", read_proc(pid, "status"), re.M)
    return int(match.group(1)) if match else 0


def rss_mb(pid):
    return status_kb(pid, "VmRSS") / 1024


def peak_mb(pid):
    return status_kb(pid, "VmHWM") / 1024


def forget_peak(pid):
    """The peak is the greatest from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def switches(pid):
    """How often each of its threads was taken off a processor, of its own accord or not, by its number."""
    each = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended since it was listed
            status = (task / "status").read_text()
            each[task.name] = sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", status))
    return each


def switched(before, after):
    """Between the two, without those of threads that ended: nothing counts them any more."""
    return sum(max(n - before.get(thread, 0), 0) for thread, n in after.items())


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid):
    return status_kb(pid, "Threads")


def mappings(pid):
    return read_proc(pid, "maps").count("\n")


def watches(pid):
    """Of inotify: files and directories, of all its instances."""
    n = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{fd}") == "anon_inode:inotify":
                n += read_proc(pid, f"fdinfo/{fd}").count("inotify ")
        except FileNotFoundError:
            pass  # closed since it was listed
    return n


def read_mb(pid):
    """What it asked the kernel for by read() and its like, cached or not, of files and of sockets."""
    return int(re.search(r"^rchar: (\d+)", read_proc(pid, "io"), re.M)[1]) / (1 << 20)


def written_mb(pid):
    """What this process caused to be sent to the disk."""
    return int(re.search(r"^write_bytes: (\d+)", read_proc(pid, "io"), re.M)[1]) / (1 << 20)


def kernel_mb():
    """What the kernel has in objects that it cannot give back on demand, of the whole machine."""
    return int(re.search(r"^SUnreclaim:\s+(\d+)", Path("/proc/meminfo").read_text(), re.M)[1]) / 1024


def busy_seconds():
    """Of all processors, since boot."""
    user, nice, system, _, _, irq, soft, *_ = (
        int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + soft) / TICKS


class Foreign:
    """The share of the machine that others used while a row was measured."""

    def __init__(self):
        self.start = (time.monotonic(), busy_seconds(), self.own())

    @staticmethod
    def own():
        used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(u.ru_utime + u.ru_stime for u in used)

    def share(self):
        wall, busy, own = (
            b - a for a, b in zip(self.start, (time.monotonic(), busy_seconds(), self.own()))
        )
        return max(0.0, (busy - own) / (max(wall, 0.001) * os.cpu_count()))

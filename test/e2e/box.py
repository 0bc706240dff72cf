"""A container of a kind: the machine's own files, but a /data, an /etc and a /usr/local/bin of its own,
and process 1 of its own. What a script does with such paths it does there.
"""
import os
import shutil
import signal
import subprocess

import kit

# $1: where the pieces are. Links to what the machine has, and our own files beside them.
SETUP = r"""
set -e
top=$1 command=$2; shift 2
mount --make-rprivate /
mkdir -p "$top/root" && mount -t tmpfs tmpfs "$top/root"
cd "$top/root"
for d in /*; do
    [ -e "$d" ] || [ -L "$d" ] || continue
    case $d in /data | /etc) continue ;; esac
    if [ -L "$d" ]; then cp -P "$d" .; elif [ -d "$d" ]; then mkdir ".$d" && mount --rbind "$d" ".$d"; fi
done
for d in /etc /usr/local/bin; do
    name=.was$(echo $d | tr / -)
    mkdir -p "$name" && mount --bind "$d" "$name"
    mkdir "$top/root/.new" && mount -t tmpfs tmpfs "$top/root/.new"
    for f in "$d"/* ; do ln -s "/$name/${f##*/}" .new/; done
    mkdir -p ".$d" && mount --move .new ".$d" && rmdir .new
    cp -P "$top$d"/* ".$d/" 2>/dev/null || true
done
mkdir data && mount --bind "$top/data" data
exec chroot . "$command" "$@"
"""


def possible():
    return os.getuid() == 0 and subprocess.run(["unshare", "--mount", "--pid", "--fork", "--mount-proc", "true"],
                                               capture_output=True).returncode == 0


class Box:
    """`names` are what weir is called in it. Files may be added below /etc and /usr/local/bin."""

    def __init__(self, found, exe, *names):
        self.found, self.top = found, found.path("box")
        for name in ("data", "etc", "usr/local/bin"):
            os.makedirs(self.inside(name))
        self.file("usr/local/bin/weir", kit.read(exe))
        for name in names:
            os.symlink("weir", self.inside("usr/local/bin", name))
        self.process = self.log = None
        self.runs = 0

    def inside(self, *names):
        return os.path.join(self.top, *names)

    def file(self, name, data):
        with open(self.inside(name), "wb") as f:
            f.write(data)
        os.chmod(self.inside(name), 0o755)

    def lose_disk(self):
        shutil.rmtree(self.inside("data"))
        os.mkdir(self.inside("data"))

    def start(self, *command, env=None):
        self.runs += 1
        self.log = self.found.path("box-%d.log" % self.runs)
        env = {**os.environ, **(env or {}), "PATH": "/usr/local/bin:" + os.environ["PATH"]}
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", SETUP, "sh",
                 self.top, *command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env,
                start_new_session=True)

    def text(self):
        return kit.read(self.log).decode("utf-8", "replace")

    def says(self, *texts, seconds=30):
        """Wait until all were said, or it has ended."""
        kit.wait_until(lambda: all(t in self.text() for t in texts) or self.process.poll() is not None, seconds)
        return self.found.check(all(t in self.text() for t in texts),
                                "it does not say %s: %s" % (texts, self.text()[-900:]))

    def first(self):
        """Process 1 of the box, by the number that it has outside."""
        children = "/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)
        return int(kit.read(children).split()[0])

    def stop(self, sig=signal.SIGTERM):
        """Tell process 1; the exit code."""
        try:
            os.kill(self.first(), sig)
        except (IndexError, OSError) as e:
            self.found.add("process 1 is gone: %s: %s" % (e, self.text()[-900:]))
        return self.wait()

    def wait(self, seconds=60):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

#!/usr/bin/python3
"""Entrypoint scripts made for Litestream, unchanged, with weir under its name.

usage: radosgw.sh entrypoints.py WEIR SCRIPTS

Each script is the first process of a container of a kind (box.py), with the paths that it has, and a
real S3 server for the replica:

  first start     no backup yet: the application begins with an empty database; SIGTERM
  second start    the disk is still there; the application ends by itself, with a code
  third start     the disk was lost: all rows are back; the application is killed

Each time the exit code of the container is the application's. Prints one line per finding and exits
1 when there was any; 77 when skipped.
"""
import glob
import os
import shutil
import subprocess
import sys
import time

import box
import kit
import store

# Rows: one for each start. -migrate: the table only. It ends by itself with $APP_EXIT, if that is set.
MYAPP = b"""#!/usr/bin/python3
import os, signal, sqlite3, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
db = sqlite3.connect(sys.argv[sys.argv.index("-db") + 1], timeout=20)
db.execute("PRAGMA journal_mode=wal")
db.execute("CREATE TABLE IF NOT EXISTS starts(id INTEGER PRIMARY KEY)")
db.commit()
if "-migrate" in sys.argv:
    sys.exit(0)
print("rows before:", db.execute("SELECT count(*) FROM starts").fetchone()[0], flush=True)
db.execute("INSERT INTO starts DEFAULT VALUES")
db.commit()
print("ready, process", os.getpid(), flush=True)
if os.environ.get("APP_WAITS"):
    time.sleep(float(os.environ["APP_WAITS"]))
if os.environ.get("APP_EXIT"):
    sys.exit(int(os.environ["APP_EXIT"]))
if os.environ.get("APP_DIES"):
    os.kill(os.getpid(), signal.SIGKILL)
while True:
    time.sleep(60)
"""
COMMAND = {"command.sh": ["myapp", "-db", "/data/db"]}
# The replication ends with the container, so what it has not sent by then is lost.
BEHIND = {"background.sh"}


def life(found, exe, script, bucket):
    name = os.path.basename(script)
    found.where = name + ": "
    b = box.Box(found, exe, "litestream")
    b.file("etc/litestream.yml", kit.read(os.path.join(os.path.dirname(script), "litestream.yml")))
    b.file("usr/local/bin/myapp", MYAPP)
    b.file("usr/local/bin/entrypoint.sh", kit.read(script))
    env = {"LITESTREAM_BUCKET": bucket.bucket, "LITESTREAM_PATH": name, "LITESTREAM_ENDPOINT": bucket.endpoint,
           "LITESTREAM_ACCESS_KEY_ID": bucket.env["AWS_ACCESS_KEY_ID"],
           "LITESTREAM_SECRET_ACCESS_KEY": bucket.env["AWS_SECRET_ACCESS_KEY"], "REPLICA_URL": bucket.url(name),
           "ASAN_OPTIONS": "detect_leaks=0"}  # of processes that are killed with the container
    command = ["/usr/local/bin/entrypoint.sh", *COMMAND.get(name, [])]
    wait = {"APP_WAITS": "4"} if name in BEHIND else {}

    b.start(*command, env=env)
    b.says("rows before: 0", "ready")
    if wait:
        time.sleep(3)
    code = b.stop()
    found.check(code == 7, "SIGTERM: exit code %s, not the application's: %s" % (code, b.text()[-900:]))

    b.start(*command, env={**env, **wait, "APP_EXIT": "3"})
    code = b.wait()
    found.check(code == 3, "it ends by itself: exit code %s: %s" % (code, b.text()[-900:]))
    b.says("rows before: 1")

    b.lose_disk()
    first = name in BEHIND  # the application is process 1, which cannot kill itself
    b.start(*command, env={**env, "APP_EXIT": "9"} if first else {**env, "APP_DIES": "yes"})
    code = b.wait()
    found.check(code == (9 if first else 137), "killed: exit code %s: %s" % (code, b.text()[-900:]))
    b.says("rows before: 2")
    shutil.rmtree(b.top)


def main():
    exe, scripts = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    if not box.possible():
        kit.skip("e2e/entrypoints", "no containers without root and namespaces")
    found = kit.Findings("entrypoints")
    bucket = store.Store("entrypoints", found.work)
    paths = sorted(glob.glob(os.path.join(scripts, "*.sh")))
    found.check(len(paths) >= 7, "only %d scripts" % len(paths))
    for path in paths:
        found.check(subprocess.run(["sh", "-n", path]).returncode == 0, "%s: not a script" % path)
        life(found, exe, path, bucket)
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

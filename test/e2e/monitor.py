"""What monitoring sees of a real daemon: health, readiness, figures, and the heartbeat.

usage: monitor.py WEIR

A replica that takes nothing any more is found by the watcher: /readyz names it, the log has one error,
the heartbeat stops; and all is well again when it is.
"""
import http.server
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import kit


class Switch(http.server.BaseHTTPRequestHandler):
    """A dead man's switch."""

    beats = 0

    def do_GET(self):
        Switch.beats += 1
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        pass


def value(text, series):
    """Of one line; None: it is not there."""
    for line in text.splitlines():
        if line.startswith(series + " "):
            return float(line.rsplit(" ", 1)[1])
    return None


def run(found, process, port, log):
    path, replica = found.path("a.db"), found.path("r")
    of_db = '{db="%s"}' % path
    of_replica = '{db="%s",replica="file://%s"}' % (path, replica)
    db = sqlite3.connect(path, isolation_level=None)
    ready = lambda: kit.get(port, "/readyz")[0] == 200

    found.check(kit.wait_until(ready, 30), "it never was ready: %s" % (kit.get(port, "/readyz"),))
    found.check(kit.get(port, "/healthz") == (200, "ok\n"), "it is not alive")
    found.check(kit.get(port, "/nothing")[0] == 404, "it serves what there is not")
    found.check(kit.wait_until(lambda: Switch.beats > 0, 30), "no heartbeat came")
    for i in range(200):
        db.execute("INSERT INTO t VALUES(randomblob(3000))")
    synced = lambda: value(kit.get(port, "/metrics")[1], "weir_replica_txid" + of_replica) == value(
        kit.get(port, "/metrics")[1], "litestream_txid" + of_db)
    time.sleep(2)
    found.check(kit.wait_until(synced, 20), "the replica's figure never was the database's")
    text = kit.get(port, "/metrics")[1]
    found.check(value(text, "litestream_total_wal_bytes" + of_db) > 600000, "nothing was captured")
    found.check(value(text, 'weir_requests_total{class="put"}') >= 2, "no request was counted")
    puts = '{replica_type="file",operation="PUT"}'
    found.check(value(text, "litestream_replica_operation_duration_seconds_count" + puts) >= 2 and
                value(text, "litestream_replica_operation_duration_seconds_sum" + puts) > 0, "no request was timed")
    l0 = of_replica[:-1] + ',status="%s"}'
    found.check(all(value(text, "litestream_l0_retention_files_total" + l0 % word) is not None
                    for word in ("eligible", "not_compacted", "too_recent")), "no files of level 0")
    found.check(value(text, "weir_db_ready" + of_db) == 1, "its figures do not say that it is ready")
    found.check(value(text, "process_open_fds") > 5, "the process has no figures")

    os.rename(replica, replica + "-aside")
    with open(replica, "w", encoding="utf-8"):
        pass
    db.execute("INSERT INTO t VALUES(1)")
    found.check(kit.wait_until(lambda: not ready(), 60), "it stayed ready with a broken replica")
    status, text = kit.get(port, "/readyz")
    found.check(status == 503 and path + ": behind for" in text and "Not a directory" in text,
                "the reason is not told: %d %s" % (status, text))
    found.check(kit.get(port, "/healthz")[0] == 200, "a broken replica is no reason to restart")
    text = kit.get(port, "/metrics")[1]
    found.check(value(text, "weir_uncaptured_seconds" + of_db) > 29, "the time is not told")
    found.check(value(text, "weir_replica_failing" + of_replica) == 1, "the replica does not fail")
    found.check('litestream_replica_operation_errors_total{replica_type="file",operation=' in text and
                'code="io"}' in text, "failed requests are not counted by code")
    time.sleep(7)
    with open(log, encoding="utf-8") as f:
        found.check(f.read().count("nothing moves") == 1, "it was not told once")

    os.unlink(replica)
    os.rename(replica + "-aside", replica)
    found.check(kit.wait_until(ready, 90), "it never got well again")
    with open(log, encoding="utf-8") as f:
        found.check("commits are in every replica again" in f.read(), "that it is well was not told")
    db.close()
    process.send_signal(signal.SIGTERM)
    found.check(process.wait(60) == 0, "it failed at the end")


def at_localhost(found, exe):
    """Where that name has two addresses, as on most machines, it is the one of IPv4, as with Litestream: who asks for
    127.0.0.1 found nobody there. Who asks for the name tries both."""
    port, hosts = kit.free_port(), found.path("hosts")
    with open(hosts, "w", encoding="utf-8") as f:
        f.write("::1 localhost\n127.0.0.1 localhost\n")
    inside = ["unshare", "--mount", "sh", "-c", 'mount --bind "$1" /etc/hosts && shift && exec "$@"', "sh", hosts]
    if os.getuid() != 0 or subprocess.run([*inside, "true"], capture_output=True).returncode != 0:
        print("skipped e2e/monitor: localhost, no mount namespaces here", flush=True)
        return
    other = found.path("localhost.yml")
    with open(other, "w", encoding="utf-8") as f:
        f.write("addr: localhost:%d\ndbs: [{path: %s, replica: {url: 'file://%s'}}]\n"
                % (port, found.path("none.db"), found.path("none")))
    process = subprocess.Popen([*inside, exe, "replicate", "-config", other], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    found.check(kit.wait_until(lambda: kit.get(port, "/healthz")[0] == 200, 20),
                "at localhost it does not answer to 127.0.0.1")
    process.send_signal(signal.SIGTERM)
    found.check(process.wait(60) == 0, "at localhost it failed at the end")


def main():
    found = kit.Findings("monitor")
    at_localhost(found, sys.argv[1])
    switch = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Switch)
    threading.Thread(target=switch.serve_forever, daemon=True).start()
    port, log, config = kit.free_port(), found.path("log"), found.path("c.yml")
    db = sqlite3.connect(found.path("a.db"))
    db.execute("PRAGMA journal_mode=wal")
    db.execute("CREATE TABLE t(a)")
    db.close()
    with open(config, "w", encoding="utf-8") as f:
        f.write("addr: 127.0.0.1:%d\nheartbeat-url: http://127.0.0.1:%d/secret\ndbs:\n- path: %s\n"
                "  replica: {url: 'file://%s'}\n" % (port, switch.server_address[1],
                                                     found.path("a.db"), found.path("r")))
    with open(log, "wb") as out:
        process = subprocess.Popen([sys.argv[1], "replicate", "-config", config], stdout=out,
                                   stderr=out, env=dict(os.environ, NO_PROXY="*"))
    try:
        run(found, process, port, log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        switch.shutdown()
    sys.exit(found.end())


main()

"""What the extension does to the program that loads it: other databases, forks, threads, bad settings."""
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import threading
import time

import kit
from vfs_follow import CONFIG, SCHEMA, Writer
from vfskit import ENTRIES, case, one, read_only, resources

HANGS = 20  # seconds
BAD = {  # parameter: value, and what the log is to say of it
    "poll_interval": ("0s", "-1s", "5", "abc", "", "1us"),
    "fetch_timeout": ("0s", "-5s", "x"),
    "open_timeout": ("0s", "-1s", "forever"),
    "cache_size": ("lots", "-1"),
    "txid": ("0", "xyz", "-1"),
    "time": ("yesterday-ish", "2026-13-45"),
    "write_enabled": ("true", "maybe"),
    "hydration_enabled": ("maybe",),
    "pol_interval": ("1s",),
}
URLS = ("", "/x", "foo://bar", "s3://", "file://", "://", "s3://bucket/x?endpoint=", "file://%00", "http://127.0.0.1/x")


def small(w, name="app", rows=300):
    """A database with a replica: its path, and the URL."""
    path, url = w.path(name + ".db"), "file://" + w.path(name + "-replica")
    db = w.database(path, SCHEMA)
    for i in range(rows // 10):
        db.execute("INSERT INTO t(v) VALUES(randomblob(500))")
    w.once(path, url)
    return db, path, url


@case
def ordinary_databases_open_after_it_was_loaded(w):
    """V-01; and what is attached to a replica, or made from one, is a file."""
    source, _, url = small(w)
    for _ in range(20):
        w.load().close()
        for name in (":memory:", w.path("plain.db"), ""):
            db = sqlite3.connect(name)
            db.execute("CREATE TABLE IF NOT EXISTS p(a)")
            db.execute("INSERT INTO p VALUES(1)")
            db.commit()
            db.close()
    w.check(one(sqlite3.connect(w.path("plain.db")), "SELECT count(*) FROM p") == 20, "rows of an ordinary database")
    db = w.open(url)
    db.execute("ATTACH ? AS plain", (w.path("plain.db"),))
    w.check(one(db, "SELECT count(*) FROM plain.p") == 20, "an attached database")
    db.execute("INSERT INTO plain.p SELECT id FROM main.t")
    w.check(one(db, "SELECT count(*) FROM plain.p") == 50, "an attached database that is written to")
    db.execute("CREATE TEMP TABLE x AS SELECT * FROM t ORDER BY v")
    w.check(one(db, "SELECT count(*) FROM x") == 30, "a temporary table")
    for i, name in enumerate((w.path("into.db"), "file:%s?vfs=unix" % w.path("into2.db"))):
        db.execute("VACUUM INTO ?", (name,))
        copy = read_only(w.path("into2.db" if i else "into.db"))
        w.check(copy.execute("SELECT * FROM t").fetchall() == source.execute("SELECT * FROM t").fetchall(),
                "VACUUM INTO: other rows")
        w.check(one(copy, "PRAGMA integrity_check") == "ok", "VACUUM INTO: damaged")
    copy = sqlite3.connect(w.path("backup.db"))
    db.backup(copy)
    w.check(copy.execute("SELECT * FROM t").fetchall() == source.execute("SELECT * FROM t").fetchall(), "backup")
    plain = sqlite3.connect(w.path("plain.db"), uri=True, isolation_level=None)
    plain.execute("ATTACH ? AS r", (w.uri(url),))
    w.check(one(plain, "SELECT count(*) FROM r.t") == 30, "a replica that is attached")
    w.check(one(plain, "SELECT weir_txid('r')") == one(plain, "PRAGMA r.litestream_txid"), "functions of what is attached")
    for sql in ("INSERT INTO main.t(v) VALUES(1)", "VACUUM", "DROP TABLE main.t", "PRAGMA user_version=3"):
        said = w.refused(sql, 5, lambda: db.execute(sql))
        w.check("readonly" in said, "%s: %s" % (sql, said))
    os.environ["LITESTREAM_REPLICA_URL"] = url
    env = sqlite3.connect("file:of-environment.db?vfs=litestream", uri=True)
    w.check(one(env, "SELECT count(*) FROM t") == 30, "the replica of the environment")
    env.execute("ATTACH ? AS plain", (w.path("plain.db"),))
    w.check(one(env, "SELECT count(*) FROM plain.p") == 50, "a file that is there, beside a replica of the environment")


def in_child(w, what, do):
    """Fork and `do`, which must end soon and return true; multiprocessing would go the same way."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if do() else 2
        finally:
            os._exit(code)
    end = time.monotonic() + HANGS
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            w.check(status == 0, "%s: status %d" % (what, status))
            return
        time.sleep(0.01)
    w.found.add(what + ": it hangs")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def fails(db):
    before = time.monotonic()
    try:
        one(db, "SELECT sum(length(v)) FROM t")
    except sqlite3.Error:
        return time.monotonic() - before < 2
    return False


def ends(db):
    """By an error, or from what SQLite has of the transaction's pages itself."""
    before = time.monotonic()
    fails(db)
    return time.monotonic() - before < 2


def reads(w, url):
    db = w.open(url)
    ok = one(db, "PRAGMA integrity_check") == "ok" and one(db, "SELECT sum(v) FROM account") == 6000
    db.close()
    return ok


@case
def a_process_that_forks(w):
    """V-27: before, after and while a replica is read; inherited connections say so, own ones read."""
    _, path, url = small(w)
    # Another process: SQLite itself does not bear a fork while other threads are within it.
    writer = multiprocessing.Process(target=lambda: Writer(path).run())
    w.load()
    in_child(w, "before anything is opened", lambda: reads(w, url))
    # Its thread sleeps: the allocator of AddressSanitizer does not survive a fork amid a call.
    db = w.open(url, poll_interval="1h")
    one(db, "SELECT count(*) FROM t")
    weir = w.replicate(path, url, CONFIG)
    writer.start()
    for _ in range(20):
        in_child(w, "a connection of its own", lambda: reads(w, url))
        in_child(w, "an inherited connection", lambda: fails(db))
        in_child(w, "both, and a grandchild", lambda: fails(db) and reads(w, url) and subprocess.run(["true"]).returncode == 0)
    db.execute("BEGIN")
    one(db, "SELECT count(*) FROM t")
    in_child(w, "within a transaction", lambda: ends(db) and reads(w, url))
    db.execute("COMMIT")
    w.check(one(db, "PRAGMA integrity_check") == "ok", "the parent reads no more")
    for how in ("fork", "spawn"):
        with multiprocessing.get_context(how).Pool(3, initializer=initialize, initargs=(w.so,)) as pool:
            sums = pool.map_async(total, [w.uri(url)] * 30).get(60)
        w.check(sums == [6000] * 30, "multiprocessing, %s: %s" % (how, sums))
    writer.kill()
    writer.join()
    weir.stop()


def initialize(so):
    db = sqlite3.connect(":memory:")
    db.enable_load_extension(True)
    db.load_extension(so)


def total(uri):
    db = sqlite3.connect(uri, uri=True)
    value = one(db, "SELECT sum(v) FROM account")
    db.close()
    return value


@case
def settings_that_are_wrong(w):
    """V-28, V-29: an error at once that names the setting, each time, and the program goes on."""
    _, _, url = small(w)
    w.load()
    for _ in range(3 if w.quick else 10):
        for key, values in BAD.items():
            for value in values:
                said = w.refused("%s=%s" % (key, value), 1, lambda: w.open(url, **{key: value}))
                w.check("unable to open" in said, "%s=%s: %s" % (key, value, said))
                last = w.logged().splitlines()[-1]
                w.check(key in last and "cannot be opened" in last, "%s=%s: the log says: %s" % (key, value, last))
        for bad in URLS:
            w.refused("replica_url=" + bad, 3, lambda: w.open(bad, open_timeout="300ms"))
            w.check(one(sqlite3.connect(":memory:"), "SELECT 1") == 1, "an ordinary database")
    for name, value in (("AWS_CA_BUNDLE", "/nonexistent"), ("LITESTREAM_REPLICA_URL", "foo://x")):
        os.environ[name] = value
        w.refused(name, 3, lambda: w.open("s3://bucket/x?endpoint=http://127.0.0.1:1", open_timeout="300ms"))
        del os.environ[name]
    db = w.open(url)
    w.check(one(db, "SELECT count(*) FROM t") == 30, "a good one afterwards")
    w.check(db.execute("PRAGMA weir_nothing").fetchall() == [], "a pragma that there is not")


@case
def a_replica_that_is_not_there(w):
    """V-30: bounded by open_timeout; and one that comes is read."""
    w.load()
    url = "file://" + w.path("app-replica")
    for ms in (300, 1500):
        before = time.monotonic()
        w.refused("no replica, %d ms" % ms, ms / 1000 + 1, lambda: w.open(url, open_timeout="%dms" % ms))
        w.check(time.monotonic() - before > ms / 1000 - 0.1, "%d ms were not waited for" % ms)
    os.makedirs(w.path("app-replica", "ltx", "0"))
    w.refused("an empty replica", 1.5, lambda: w.open(url, open_timeout="500ms"))
    got = []
    waiting = threading.Thread(target=lambda: got.append(one(w.open(url, open_timeout="30s"), "SELECT count(*) FROM t")))
    waiting.start()
    time.sleep(0.3)
    small(w)
    waiting.join(20)
    w.check(got == [30], "a replica that comes while it is waited for: %s" % got)


@case
def travel_in_time(w):
    """V-17: not within a transaction or a cursor; each transaction reads as it was."""
    path, url = w.path("app.db"), "file://" + w.path("replica")
    w.database(path, SCHEMA).close()
    weir = w.replicate(path, url, "dbs: [{path: %s, replica: {url: '%s', sync-interval: 10ms}}]")
    kit.wait_until(lambda: kit.txids(w.path("replica")))
    w.load()
    db, writer, states = w.open(url), Writer(path), {}
    source = sqlite3.connect(path, isolation_level=None, timeout=20)
    for _ in range(15):
        writer.once(source)
        n = one(source, "SELECT n FROM meta")
        w.check(kit.wait_until(lambda: one(db, "SELECT n FROM meta") == n), "transaction %d is not seen" % n)
        time.sleep(0.02)
        states[one(db, "SELECT weir_txid()")] = (n, one(db, "SELECT weir_time()"))
    newest = one(db, "SELECT weir_txid()")
    for txid, (n, when) in states.items():
        db.execute("SELECT weir_set_txid(?)", (txid,))
        w.check(one(db, "SELECT n FROM meta") == n and one(db, "PRAGMA integrity_check") == "ok", "at %s: not %d" % (txid, n))
        w.check(one(db, "SELECT litestream_time()") == when, "at %s: time %s, not %s" % (txid, one(db, "SELECT litestream_time()"), when))
        db.execute("SELECT litestream_set_time(?)", (when,))  # strictly before
        w.check(one(db, "SELECT n FROM meta") == n - 1 or txid == min(states), "before %s: not %d" % (when, n - 1))
        own = w.open(url, txid=txid)
        w.check(one(own, "SELECT n FROM meta") == n, "opened at %s: not %d" % (txid, n))
        own.close()
    first, (then, when) = min(states.items())
    w.check(db.execute("PRAGMA litestream_txid = '%s'" % first).fetchall() == [(first,)], "what a pragma that sets returns")
    db.execute("BEGIN")
    w.check(one(db, "SELECT n FROM meta") == then, "the first state")
    for sql in ("SELECT litestream_set_time('latest')", "SELECT weir_set_txid('%s')" % newest, "PRAGMA litestream_time = 'latest'",
                "PRAGMA weir_txid = 'latest'"):
        said = w.refused(sql, 2, lambda: db.execute(sql).fetchall())
        w.check("inside a transaction" in said, "%s: %s" % (sql, said))
        w.check(one(db, "SELECT n FROM meta") == then, "%s: another state" % sql)
    db.execute("COMMIT")
    cursor = db.execute("SELECT id FROM account ORDER BY v")
    cursor.fetchone()
    w.check("inside a transaction" in w.refused("a cursor", 2, lambda: db.execute("SELECT weir_set_txid('latest')")), "a cursor")
    cursor.fetchall()
    db.execute("SELECT litestream_set_time('latest')")
    w.check(one(db, "SELECT n FROM meta") == 15, "the latest state again")
    for value in ("x", "", "hier", "tomorrowish", "-10m", "12345"):
        w.refused("time " + value, 2, lambda: db.execute("SELECT litestream_set_time(?)", (value,)))
    w.refused("a time before all", 3, lambda: db.execute("SELECT litestream_set_time('2001-01-01T00:00:00Z')"))
    w.refused("a transaction to come", 3, lambda: db.execute("SELECT weir_set_txid('7fffffff')"))
    w.check(one(db, "SELECT n FROM meta") == 15, "the latest state after errors")
    w.check(one(db, "SELECT litestream_lag()") >= 0, "lag")
    weir.stop()


def shell(w, *lines, env=None):
    env = dict(os.environ, **(env or {}))
    r = subprocess.run(["sqlite3", "-batch"], input="\n".join(lines) + "\n", capture_output=True, text=True, env=env,
                       timeout=60)
    return r.returncode, r.stdout, r.stderr


@case
def the_sqlite3_shell(w):
    """V-01: .load by each entry point, once and twice, then replicas and ordinary databases."""
    if kit.shutil.which("sqlite3") is None:
        w.found.add("no sqlite3 shell here")
        return
    _, _, url = small(w)
    plain = w.path("shell.db")
    opened = [".open '%s'" % w.uri(url), "SELECT count(*), sum(v) FROM account;", "PRAGMA integrity_check;",
              "SELECT litestream_txid() = weir_txid();", ".open " + plain, "CREATE TABLE IF NOT EXISTS p(a);",
              "INSERT INTO p VALUES(1);", "SELECT 'rows ' || (count(*) > 0) FROM p;"]
    want = "60|6000\nok\n1\nrows 1\n"
    loads = [[".load %s" % w.so]] + [[".load %s %s" % (w.so, e)] for e in ENTRIES]
    loads += [[".load %s" % w.so] * 2, [".load %s %s" % (w.so, e) for e in ENTRIES]]
    for load in loads:
        code, out, err = shell(w, *load, *opened)
        w.check((code, out, err) == (0, want, ""), "%s: %d, %s, %s" % (load, code, out, err))
    # Opened anew, after each the other; the shell loads into a connection that then goes.
    code, out, err = shell(w, *loads[0], *(opened * 10))
    w.check((code, out, err) == (0, want * 10, ""), "ten times: %d, %s, %s" % (code, out[-200:], err))
    code, out, err = shell(w, *loads[0], ".open 'file:x?vfs=litestream'", "SELECT count(*) FROM account;",
                           env={"LITESTREAM_REPLICA_URL": url})
    w.check((code, out, err) == (0, "60\n", ""), "by the environment: %d, %s, %s" % (code, out, err))
    code, out, err = shell(w, *loads[0], ".open 'file:x?vfs=weir&replica_url=foo://x'", "SELECT 1;", ".open :memory:", "SELECT 2;")
    w.check(out.endswith("2\n") and "unable to open" in err, "a bad URL: %d, %s, %s" % (code, out, err))


@case
def a_hundred_loads_and_closes_leave_nothing(w):
    """No thread, no descriptor, no file in the temporary directory, and no growth."""
    db, path, url = small(w)

    def round_trip(i):
        loader = w.load(ENTRIES[i % 3])
        reader = w.open(url)
        reader.execute("CREATE TEMP TABLE x AS SELECT * FROM t ORDER BY v")
        w.check(one(reader, "SELECT count(*) FROM x") == 30, "rows")
        other = w.open(url, name="other.db")
        one(other, "SELECT count(*) FROM t")
        for c in (loader, reader, other):
            c.close()
        try:
            w.open("file://" + w.path("none"), open_timeout="1ms")
        except sqlite3.OperationalError:
            pass

    for i in range(5):
        round_trip(i)
    before = resources()
    for i in range(100):
        round_trip(i)
    w.check(resources() == before, "left: %s, before: %s" % (resources(), before))
    w.check(before[0] == 1, "%d threads when nothing is open" % before[0])
    w.check(os.listdir(w.tmp) == [], "files in the temporary directory: %s" % os.listdir(w.tmp))
    for name in ("replica.db", "other.db"):
        w.check(not os.path.exists(name), "a file " + name)

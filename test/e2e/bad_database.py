"""Databases that are missing, empty, none at all, locked, or changed behind our back."""
import os
import random
import shutil
import sqlite3
import time

import kit
from badkit import NOBODY, QUICK, add, case, copy_exe, digest, python, let_go, remove, rows, slow

EXCLUSIVE = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("PRAGMA locking_mode=EXCLUSIVE")
db.execute("INSERT INTO t(v) VALUES(1)")
db.commit()
print("locked", flush=True)
sys.stdin.read()
"""


@case
def missing(c):
    """It waits for the database and says so; then it replicates it."""
    path = c.path("app.db")
    p = c.replicate(path)
    p.says('msg="waiting for the database"', path, "No such file or directory")
    c.check(not p.ended(), "it did not wait: " + p.text())
    c.database()
    p.has(path)
    c.expect(p.stop(), 0)


@case
def missing_once(c):
    path = c.path("app.db")
    c.once(path, code=8, texts=(path, "No such file or directory"))
    c.check(not os.path.exists(path), "it created the database")
    c.refuses(8, ("replicate", "-once", c.path("none", "app.db"), c.url), "No such file or directory")


@case
def empty(c):
    """An empty file is a database that nobody wrote to yet."""
    path = c.path("app.db")
    open(path, "w").close()
    c.once(path, code=8, texts=(path, "the file is empty, nothing was written yet"))
    p = c.replicate(path)
    p.says("the file is empty, nothing was written yet")
    c.database()
    p.has(path)
    c.expect(p.stop(), 0)


@case
def not_a_database(c):
    path = c.path("app.db")
    with open(path, "wb") as f:
        f.write(b"what you asked for is in the other drawer\n" * 300)
    before = digest(path)
    for flags in (("-once",), ()):
        out = c.refuses(8 if flags else 1, ("replicate", *flags, path, c.url),
                        path, "not an SQLite database, or it is encrypted")
        c.check(out.text.count("\nError: ") == 1, "not one error: " + out.text)
    c.check(digest(path) == before, "the file was changed")
    c.check(sorted(os.listdir(c.work)) == ["app.db"], "left behind: %s" % os.listdir(c.work))


@case
def directory(c):
    os.mkdir(c.path("app.db"))
    c.refuses(1, ("replicate", c.path("app.db"), c.url), c.path("app.db"), "it is a directory")
    c.once(c.path("app.db"), code=8, texts=("it is a directory",))


@case
def rollback_journal(c):
    path = c.database(mode="delete")
    out = c.once(path)
    c.expect(out, 0, 'msg="switched the database to WAL mode"', "app.db")
    c.nothing_lost(path)
    c.check("switched" not in c.once(path).text, "switched twice")


@case
def hot_journal(c):
    """A writer died in the middle of a transaction: what it did not commit is not replicated."""
    path = c.database(rows=20, mode="delete")
    code = ("import os, sqlite3, sys\n"
            "db = sqlite3.connect(sys.argv[1])\n"
            "db.execute('PRAGMA cache_size=1')\n"
            "db.execute('UPDATE t SET v = randomblob(1900)')\n"
            "db.execute('DELETE FROM t WHERE id > 3')\n"
            "print('x', flush=True)\n"
            "sys.stdin.read()\n"
            "os._exit(0)\n")
    let_go(python(code, path))
    c.check(os.path.getsize(path + "-journal") > 0, "the case is not what it should be")
    c.once(path)
    c.check(rows(path) == (20, 20), "the database lost rows")
    c.nothing_lost(path)


@case
def exclusive(c):
    """Another process has it for itself: said clearly, waited for."""
    path = c.database()
    p = c.replicate(path)
    p.has(path)
    c.expect(p.stop(), 0)
    holder = python(EXCLUSIVE, path)
    p = c.replicate(path)
    p.says("database is locked: another process holds it exclusively", "locking_mode=EXCLUSIVE", path)
    c.check(not p.ended(), "it did not wait: " + p.text())
    let_go(holder)
    p.has(path)
    c.expect(p.stop(), 0)


@case
def exclusive_once(c):
    path = c.database()
    holder = python(EXCLUSIVE, path)
    c.once(path, code=6, texts=(path, "another process holds it exclusively"))
    let_go(holder)
    c.once(path)
    c.nothing_lost(path)


@case
def read_only_directory(c):
    exe = copy_exe(c)
    os.mkdir(c.path("ro"))
    os.mkdir(c.path("replica"))
    os.chmod(c.path("replica"), 0o777)
    path = c.database("ro/app.db")
    os.chmod(path, 0o644)
    os.chmod(c.path("ro"), 0o555)
    before = digest(c.path("ro"))
    out = c.refuses(1, ("replicate", path, c.url), path, "read-only for this user", user=NOBODY, exe=exe)
    c.refuses(8, ("replicate", "-once", path, c.url), path, "read-only for this user", user=NOBODY, exe=exe)
    c.check(digest(c.path("ro")) == before, "the directory was changed: " + out.text)
    os.chmod(c.path("ro"), 0o755)
    os.chmod(path, 0o000)
    c.refuses(1, ("replicate", path, c.url), path, user=NOBODY, exe=exe)


@case
def read_only_replica(c):
    """The database is fine, its replica may not be written: said, retried, and then all is sent."""
    exe = copy_exe(c)
    os.mkdir(c.path("db"))
    path = c.database("db/app.db")
    for name, mode in (("db", 0o777), ("db/app.db", 0o666)):
        os.chmod(c.path(name), mode)
    os.mkdir(c.path("closed"), 0o555)
    url = "file://" + c.path("closed", "r")
    p = c.start("replicate", *QUICK, path, url, user=NOBODY, exe=exe)
    p.says("cannot send to the replica, retrying", c.path("closed", "r"), "Permission denied")
    os.chmod(c.path("closed"), 0o777)
    p.has(path, url)
    c.expect(p.stop(), 0)
    os.chmod(c.path("closed"), 0o555)
    os.chmod(c.path("closed", "r", "ltx"), 0o555)
    add(path, 1)
    p = c.start("replicate", *QUICK, "-shutdown-sync-timeout", "300ms", path, url, user=NOBODY, exe=exe)
    p.says("cannot send to the replica, retrying", "Permission denied")
    c.expect(p.stop(), 8, "last sync failed", "Permission denied", path)


def two_states(c):
    """A replicated database, and another file that will take its place."""
    path = c.database(rows=5)
    other = c.database("other.db", rows=40)
    p = c.replicate(path)
    p.has(path)
    return path, other, p


@case
def deleted(c):
    """Deleted while it runs: said, waited for, what is in the replica stays; a new one is taken."""
    path, other, p = two_states(c)
    replica = kit.objects(c.path("replica"))[0]
    for tail in ("", "-wal", "-shm"):
        os.remove(path + tail)
    p.says("the database file was replaced or deleted", 'msg="waiting for the database"')
    c.check(not p.ended(), "it did not wait: " + p.text())
    now = kit.objects(c.path("replica"))[0]
    c.check(set(replica) <= set(now), "files of the replica are gone")
    newest = max(kit.txids(c.path("replica")))
    c.check(rows(c.restored()) == (5, 5), "the deleted database cannot be restored")
    os.rename(other, path)
    add(path, 1)
    p.has(path)
    c.expect(p.stop(), 0)
    c.check(rows(c.restored(txid=newest)) == (5, 5), "the deleted database cannot be restored any more")


@case
def renamed_over(c):
    """Replaced by rename while it runs: the new one becomes the next transaction."""
    path, other, p = two_states(c)
    newest = max(kit.txids(c.path("replica")))
    os.remove(path + "-wal")
    os.remove(path + "-shm")
    os.rename(other, path)
    add(path, 2)
    p.says("was replaced or deleted")  # the WAL, where weir looks before the rename
    p.has(path)
    c.expect(p.stop(), 0)
    c.nothing_lost(path)
    c.check(rows(c.restored(txid=newest)) == (5, 5), "the old database cannot be restored any more")


@case
def copied_over(c):
    """Another file's bytes copied over it while weir runs, its -wal and -shm removed."""
    path, other, p = two_states(c)
    newest = max(kit.txids(c.path("replica")))
    for name in (path + "-wal", path + "-shm"):
        os.remove(name)
    with open(other, "rb") as f, open(path, "r+b") as g:
        shutil.copyfileobj(f, g)
        g.truncate()
    p.has(path)
    add(path, 2)
    p.has(path)
    c.expect(p.stop(), 0)
    c.nothing_lost(path)
    c.check(rows(c.restored(txid=newest)) == (5, 5), "the old database cannot be restored any more")


@case
def page_size_changed(c):
    path = c.database(rows=30)
    c.once(path)
    old = max(kit.txids(c.path("replica")))
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=delete")
    db.execute("PRAGMA page_size=8192")
    db.execute("VACUUM")
    db.execute("PRAGMA journal_mode=wal")
    db.close()
    add(path, 3)
    c.once(path)
    out = c.restored()
    if out:
        db = sqlite3.connect(out)
        c.check(db.execute("PRAGMA page_size").fetchone()[0] == 8192, "not the new page size")
        db.close()
    c.nothing_lost(path)
    out = c.restored(txid=old)
    c.check(out and rows(out) == (30, 30), "the state before cannot be restored any more")
    add(path, 1)
    c.once(path)
    c.nothing_lost(path)


@case
def page_size_changed_while_running(c):
    path = c.database(rows=30)
    other = c.database("other.db", rows=31, page_size=1024)
    p = c.replicate(path)
    p.has(path)
    remove(path)
    os.rename(other, path)
    p.has(path)
    c.expect(p.stop(), 0)
    c.nothing_lost(path)


@case
def foreign_replica(c):
    """Two databases to one URL: the second is refused and the first's replica stays as it is."""
    first, second = c.database("first.db", rows=20), c.database("second.db", rows=25)
    c.once(first)
    before = digest(c.path("replica"))
    for flags in (("-once",), ()):
        c.refuses(7, ("replicate", *flags, second, c.url), second, c.url,
                  "the replica holds another database", "Use another URL")
        c.check(digest(c.path("replica")) == before, "the first one's replica was changed")
    add(first, 1)
    c.once(first)
    c.nothing_lost(first)


@case
def small_database_on_another_machine(c):
    """Restored, and changed in its only page before weir attaches: the same database all the same."""
    path = c.database(rows=1)
    c.once(path)
    other = c.path("other.db")
    os.rename(c.restored(), other)
    add(other, 1)
    c.once(other)
    c.nothing_lost(other)


@case
def vacuumed_on_another_machine(c):
    """Restored, and rewritten before weir attaches: that looks like another database, and it can be said that it
    is not."""
    path = c.database(rows=40)
    c.once(path)
    old = max(kit.txids(c.path("replica")))
    other = c.path("other.db")
    os.rename(c.restored(), other)
    db = sqlite3.connect(other)
    db.execute("UPDATE t SET v = v || 'x'")
    db.commit()
    db.close()
    c.refuses(7, ("replicate", "-once", other, c.url), other, "the replica holds another database", "-adopt")
    c.expect(c.run("replicate", "-once", "-adopt", other, c.url), 0)
    c.nothing_lost(other)
    c.once(other)  # from now on nobody asks
    was = c.restored(txid=old)
    c.check(was and rows(was) == rows(path), "the past cannot be restored any more")


@case
def foreign_replica_beside_a_good_one(c):
    """It is no success, though the other replica gets everything: of -once, and of the last sync."""
    first, second = c.database("first.db", rows=20), c.database("second.db", rows=25)
    good = "file://" + c.path("good")
    c.once(first)
    before = digest(c.path("replica"))
    texts = (c.url, "the replica holds another database", "Use another URL")
    out = c.run("replicate", "-once", second, good, c.url)
    c.expect(out, 7, second, *texts)
    c.check("one-shot replication complete" not in out.text, "it was said to be complete")
    c.nothing_lost(second, good)
    p = c.start("replicate", second, good, c.url)
    add(second, 3)
    p.has(second, good)
    c.check(not p.ended(), "it does not serve the other replica")
    add(second, 2)
    c.expect(p.stop(), 7, "last sync", *texts)
    c.nothing_lost(second, good)
    c.check(digest(c.path("replica")) == before, "the first one's replica was changed")


@case
def foreign_replica_in_use(c):
    """The same while the first one is being replicated."""
    first, second = c.database("first.db", rows=20), c.database("second.db", rows=25)
    p = c.replicate(first)
    p.has(first)
    c.refuses(7, ("replicate", second, c.url), second, "the replica holds another database")
    add(first, 2)
    p.has(first)
    c.expect(p.stop(), 0)
    c.nothing_lost(first)


@case
def replaced_between(c):
    """Replaced while nothing runs, the local state of the old one beside it: the new one arrives, or it is
    refused as another database; the old one stays restorable in either case."""
    for rows_there in (1, 40):
        path = c.database(rows=5)
        c.once(path)
        old = max(kit.txids(c.path("replica")))
        other = c.database("other.db", rows=rows_there)
        remove(path)
        os.rename(other, path)
        out = c.run("replicate", "-once", path, c.url)
        if out.code == 0:
            c.nothing_lost(path)
        else:
            c.expect(out, 7, path, c.url, "the replica holds another database")
        was = c.restored(txid=old)
        c.check(was and rows(was) == (5, 5), "the old database cannot be restored any more")
        remove(path)
        shutil.rmtree(c.path(".app.db-weir"))
        shutil.rmtree(c.path("replica"))


@case
def replaced_again_and_again(c):
    """Replaced by rename five times while it runs and others write, at any moment."""
    path, _, p = two_states(c)
    rnd = random.Random(1)
    for i in range(5):
        other = c.database("next.db", rows=3 + i)
        time.sleep(rnd.random() * 0.3)
        add(path, 1)
        for tail in ("-wal", "-shm"):
            if os.path.exists(path + tail):
                os.remove(path + tail)
        os.rename(other, path)
        add(path, 1)
    p.has(path)
    c.check(not p.ended(), "it ended: " + p.text())
    c.expect(p.stop(), 0)
    c.nothing_lost(path)
    for txid in kit.txids(c.path("replica")):
        c.check(c.restored(txid=txid), "txid %016x does not restore" % txid)


@slow
def directory_replaced(c):
    """The database's directory is renamed, and another one takes its place: seen at the next slow look, within
    a minute, since what is watched is the directory."""
    for name in ("here", "other"):
        os.mkdir(c.path(name))
    path = c.database("here/app.db", rows=5)
    c.database("other/app.db", rows=9)
    p = c.replicate(path)
    p.has(path, seconds=90)
    os.rename(c.path("here"), c.path("gone"))
    os.rename(c.path("other"), c.path("here"))
    add(path, 2)
    p.has(path, seconds=90)
    add(c.path("gone", "app.db"), 3)
    p.has(path, seconds=90)
    c.check(not p.ended(), "it ended: " + p.text())
    c.expect(p.stop(), 0)
    c.nothing_lost(path)

"""Pages in a directory that processes share: fetched once, never wrong, whoever is killed while it writes."""
import multiprocessing
import os
import signal
import time

import kit
import vfs_follow
from vfs_copy import Counted, large
from vfs_faults import credentials
from vfs_follow import CONFIG, SCHEMA, Writer
from vfskit import case, one


def read_when_told(w, more, pipe):
    """Told by a URL, read all rows, and say their bytes and how long it took."""
    while True:
        url = pipe.recv()
        w.load().close()
        before = time.monotonic()
        db = w.open(url, poll_interval="1h", **more)
        total = one(db, "SELECT sum(length(v)) FROM t")
        pipe.send((total, time.monotonic() - before))
        db.close()


@case
def pages_that_another_process_has_fetched(w):
    """They are not fetched again, by another process, or by the same one later."""
    credentials(w)
    shelf, children = w.path("shelf"), []
    os.mkdir(shelf)
    for more in ({"cache_dir": shelf}, {"cache_dir": shelf, "cache_dir_size": "64MiB"}, {}):  # forked before there are threads
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.Process(target=read_when_told, args=(w, more, theirs), daemon=True)
        process.start()
        children.append(ours)
    server = Counted(w)
    db, path, url = large(w, server, 1000)
    size = os.path.getsize(path)
    want = one(db, "SELECT sum(length(v)) FROM t")

    def ask(child, least, most, what):
        server.reset()
        child.send(url)
        if w.check(child.poll(60), what + ": no answer"):
            total, took = child.recv()
            w.check(total == want, "%s: %s bytes of rows, not %s" % (what, total, want))
            w.check(least * size <= server.bytes <= most * size, "%s: %d bytes of %d were fetched" % (what, server.bytes, size))
            w.notes.append("%s: %.2f of it, %d requests, %.2f s" % (what, server.bytes / size, len(server.gets), took))
    a, b, c = children
    ask(a, 0.9, 1.2, "the first")
    ask(b, 0, 0.1, "another")
    ask(a, 0, 0.1, "the first again")
    ask(c, 0.9, 1.2, "one that does not share")
    db.execute("UPDATE t SET v = randomblob(5000) WHERE id % 10 = 0")
    want = one(db, "SELECT sum(length(v)) FROM t")
    w.once(path, url)
    ask(b, 0.02, 0.5, "another, after a tenth has changed")
    ask(a, 0, 0.1, "the first then")
    w.check(os.path.getsize(os.path.join(shelf, "weir-pages-4096")) <= 1 << 30, "larger than it may be")
    w.check(os.listdir(w.tmp) == [], "files in the temporary directory: %s" % os.listdir(w.tmp))
    w.load()
    said = w.refused("a directory that is not there", 2, lambda: w.open(url, cache_dir=w.path("nowhere")))
    w.check("unable to open" in said, "a directory that is not there: " + said)


@case
def readers_that_share_a_directory_and_are_killed(w):
    """Beside a writer, levels, retention: each transaction is one state, in a directory with room for a few pages."""
    path, url, shelf = w.path("app.db"), "file://" + w.path("replica"), w.path("shelf")
    os.mkdir(shelf)
    w.database(path, SCHEMA).close()
    with open(os.path.join(shelf, "weir-pages-1024"), "wb") as f:  # of 200 pages: they go over each other
        f.write(b"weir pages 1".ljust(16, b"\0") + (200).to_bytes(8, "big") + bytes(40))
    weir = w.replicate(path, url, CONFIG)
    kit.wait_until(lambda: kit.txids(w.path("replica")))
    writer = Writer(path)
    writer.start()
    readers = []
    for i in range(12 if w.quick else 40):
        readers.append(multiprocessing.Process(
            target=vfs_follow.read_until_killed, args=(w, url, path, i, shelf + ".wrong", {"WEIR_CACHE_DIR": shelf})))
        readers[-1].start()
        time.sleep(0.4)
        if i >= 2:
            os.kill(readers[i - 2].pid, signal.SIGKILL)
    for r in readers[-2:]:
        os.kill(r.pid, signal.SIGKILL)
    for r in readers:
        r.join()
    writer.stop()
    weir.stop()
    for line in kit.read(shelf + ".wrong").decode().splitlines()[:5]:
        w.found.add("a reader: " + line)
    w.check(os.path.getsize(os.path.join(shelf, "weir-pages-1024")) == 64 + 200 * 1088, "the file has another size")

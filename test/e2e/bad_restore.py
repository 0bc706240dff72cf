"""What a restore refuses: targets that exist, states that do not, replicas that are damaged."""
import datetime
import json
import os
import random
import shutil
import time

import fakes3
import kit
from badkit import add, case, digest, rows

HEADER, TRAILER = 100, 16
AT_LEAST = 4  # files of a replica with several transactions


def replicated(c, transactions=AT_LEAST, count=20):
    """A database and its replica, which is stopped."""
    path = c.database(rows=count)
    for _ in range(transactions):
        c.once(path)
        add(path, 3)
    c.once(path)
    return path


@case
def over_a_database(c):
    path = replicated(c)
    target = c.database("target.db", rows=1)
    add(target, 1)
    before = digest(target)
    c.refuses(1, ("restore", "-o", target, c.url), target, "already exists", "Use -force to overwrite")
    c.untouched(target, before)
    c.expect(c.run("restore", "-if-db-not-exists", "-o", target, c.url), 0, "database already exists")
    c.untouched(target, before)
    c.expect(c.run("restore", "-force", "-o", target, c.url), 0, "restored " + target)
    c.check(rows(target) == rows(path), "not the replica's state")
    c.refuses(1, ("restore", "-force", "-o", c.work, c.url), c.work, "is a directory")
    c.refuses(1, ("restore", "-o", target + "/x.db", c.url), target, "Not a directory")
    c.expect(c.run("restore", "-o", c.path("new", "er", "x.db"), c.url), 0)


@case
def leftover_sidecars(c):
    """A -wal without its database would be played into the restored one."""
    path = replicated(c)
    for tail in ("-wal", "-shm", "-journal"):
        target = c.path("target.db")
        with open(target + tail, "wb") as f:
            f.write(b"x" * 100)
        c.refuses(1, ("restore", "-o", target, c.url), target + tail, "already exists", "-force")
        c.check(not os.path.exists(target) and os.path.getsize(target + tail) == 100, "something was done")
        c.expect(c.run("restore", "-force", "-o", target, c.url), 0)
        c.check(not os.path.exists(target + tail), target + tail + " is still there")
        c.check(rows(target) == rows(path), "not the replica's state")
        os.remove(target)


@case
def long_names(c):
    """What SQLite can open can be restored; what it cannot is refused before anything is fetched."""
    path = replicated(c)
    for n in (235, 247, 251):
        target = c.path("x" * (n - 3) + ".db")
        for flags in ((), ("-force",), ("-delta",), ("-force", "-integrity-check", "full")):
            c.expect(c.run("restore", *flags, "-o", target, c.url), 0)
        c.check(rows(target) == rows(path), "not the replica's state")
    c.refuses(1, ("restore", "-o", c.path("x" * 252), c.url), "too long", "252", "251", "shorter name")
    c.refuses(1, ("restore", "-f", "-o", c.path("x" * 248), c.url), "too long", "247 leave room")
    c.check(not [n for n in os.listdir(c.work) if "~" in n], "files are left: %s" % os.listdir(c.work))


@case
def names_that_are_no_utf8(c):
    """A directory with names of another encoding comes back as it was; what is printed has ? in them."""
    names = ["ok.db", os.fsdecode(b"b\xe4r.db"), os.fsdecode(b"\x83e\x83X.db"), "caf\u00e9.db"]
    os.mkdir(c.path("d"))
    for i, name in enumerate(names):
        os.rename(c.database("new.db", rows=i + 1), c.path("d", name))
    with open(c.path("weir.yml"), "w") as f:
        f.write("dbs:\n  - dir: %s\n    pattern: '*.db'\n    replica:\n      url: %s\n" % (c.path("d"), c.url))
    c.expect(c.run("replicate", "-once", "-config", c.path("weir.yml")), 0)
    for args in (("-all", "-config", c.path("weir.yml")), ("-dir", c.path("d"), "-json", c.url)):
        shutil.rmtree(c.path("d"))
        out = c.run("restore", *args)
        c.expect(out, 0, c.path("d", "b?r.db"), c.path("d", "?e?X.db"))
        c.check(sorted(os.listdir(c.path("d"))) == sorted(names), "there are %s" % os.listdir(c.path("d")))
        for i, name in enumerate(names):
            os.rename(c.path("d", name), c.path("x.db"))
            c.check(rows(c.path("x.db"))[0] == i + 1, "%r is another one" % name)
            os.remove(c.path("x.db"))
        if "-json" in args:
            c.check(json.loads(out.text)["restored"] == len(names), out.text)


@case
def nothing_to_restore(c):
    target = c.path("target.db")
    url = "file://" + c.path("none")
    c.refuses(3, ("restore", "-o", target, url), "no matching backup files available", url)
    c.refuses(3, ("restore", "-dry-run", "-o", target, url), "no matching backup files available", url)
    c.expect(c.run("restore", "-if-replica-exists", "-o", target, url), 0, "no matching backups found", url)
    out = c.run("restore", "-if-replica-exists", "-json", "-o", target, url)
    c.expect(out, 0)
    c.check(not os.path.exists(target), "a database appeared")
    c.check(not os.path.exists(c.path("none")), "restoring made a replica")
    p = c.replicate(c.database(), url, "-restore-if-db-not-exists")
    p.says("database exists, skipping restore", "replica joined")
    c.expect(p.stop(), 0)


@case
def local_path_leads_nowhere(c):
    """A directory or a database that is a link to a volume that is not mounted: refused, not "no backup"."""
    path = replicated(c)
    volume = c.path("volume")
    os.symlink(volume, c.path("data"))
    os.symlink(os.path.join(volume, "app.db"), c.path("link.db"))
    for target in (c.path("data", "app.db"), c.path("link.db")):
        for flags in ((), ("-if-replica-exists",), ("-force",)):
            c.refuses(1, ("restore", *flags, "-o", target, c.url), "leads nowhere")
        c.refuses(7, ("replicate", "-restore-if-db-not-exists", "-exec", "touch " + c.path("started"), target, c.url),
                  "leads nowhere")
    c.check(not os.path.exists(c.path("started")), "the application was started")
    c.check(os.path.islink(c.path("link.db")), "the link is gone")
    os.mkdir(volume)
    c.expect(c.run("restore", "-o", c.path("data", "app.db"), c.url), 0)
    c.expect(c.run("restore", "-force", "-o", c.path("link.db"), c.url), 0)
    c.check(os.path.islink(c.path("link.db")) and rows(os.path.join(volume, "app.db")) == rows(path),
            "not restored where the link leads")


@case
def no_such_state(c):
    path = replicated(c)
    target = c.path("target.db")
    newest = max(kit.txids(c.path("replica")))
    c.refuses(3, ("restore", "-o", target, "-txid", "%016x" % (newest + 1), c.url), c.url,
              "transaction not available: %016x" % (newest + 1), "nearest one before it is %016x" % newest)
    c.refuses(3, ("restore", "-o", target, "-timestamp", "2001-01-01T00:00:00Z", c.url), c.url,
              "no matching backup files available")
    c.expect(c.run("restore", "-if-replica-exists", "-o", target, "-timestamp", "2001-01-01T00:00:00Z", c.url),
             0, "no matching backups found")
    c.check(not os.path.exists(target), "a database appeared")
    c.expect(c.run("restore", "-o", target, "-timestamp", "2101-01-01T00:00:00Z", c.url), 0,
             "txid %016x" % newest)
    c.check(rows(target) == rows(path), "not the newest state")


def damages(size):
    """(name, what to do with the bytes): each must be noticed."""
    rnd = random.Random(size)

    def flip(at):
        return lambda b: b[:at] + bytes([b[at] ^ (1 << rnd.randrange(8))]) + b[at + 1:]
    where = {"magic": 0, "header": rnd.randrange(4, 76), "page header": HEADER + 3, "page": size // 2,
             "index": size - TRAILER - rnd.randrange(10, 18), "trailer": size - rnd.randrange(1, 17)}
    for name, at in where.items():
        yield "bit flipped in the " + name, flip(at)
    for at in (0, 1, HEADER - 1, HEADER, size // 2, size - TRAILER, size - 1):
        yield "cut to %d bytes" % at, lambda b, at=at: b[:at]
    yield "zeros in the middle", lambda b: b[:size // 2] + bytes(64) + b[size // 2 + 64:]
    yield "more at the end", lambda b: b + b"x"
    yield "all zeros", lambda b: bytes(len(b))


@case
def damaged(c):
    """Every damage of every file is refused with 5, naming it; the target stays as it is."""
    path = replicated(c, 2)
    replica = c.path("replica")
    target = c.database("target.db", rows=1)
    before = digest(target)
    files = kit.objects(replica)[0]
    for name in (min(files.values()), max(files.values())):
        whole = kit.read(name)
        for what, damage in damages(len(whole)):
            with open(name, "wb") as f:
                f.write(damage(whole))
            out = c.run("restore", "-force", "-o", target, c.url)
            said = "%s, %s: %s" % (os.path.basename(name), what, out.text)
            c.check(out.code == 5, "exit code %s: %s" % (out.code, said))
            c.check(os.path.basename(name)[:33] in out.text or level_range(name) in out.text, "names no file: " + said)
            c.untouched(target, before)
        with open(name, "wb") as f:
            f.write(whole)
    c.nothing_lost(path)


def level_range(name):
    lo, hi = os.path.basename(name)[:-4].split("-")
    return "min=%s max=%s" % (lo, hi)


@case
def missing_file(c):
    """A file in the middle is gone: what lies after the gap is not restored in silence."""
    path = replicated(c)
    files = kit.objects(c.path("replica"))[0]
    for key in [k for k in files if 0 < k[0] < 9]:  # each half minute level 1 gets a file, which would lead over the gap
        os.remove(files.pop(key))
    gone = sorted(files)[1]
    os.rename(files[gone], c.path("aside"))
    target = c.path("target.db")
    out = c.refuses(5, ("restore", "-o", target, c.url), "%016x" % (gone[1] - 1),
                    "%016x" % (gone[1] + 1), c.url)
    c.check(not os.path.exists(target), "a database appeared: " + out.text)
    os.rename(c.path("aside"), files[gone])
    c.nothing_lost(path)


@case
def absurd_names(c):
    """Names that are almost ours, foreign files, directories, links: ignored, and left alone."""
    path = replicated(c)
    replica = c.path("replica")
    level0, level9 = os.path.join(replica, "ltx", "0"), os.path.join(replica, "ltx", "9")
    one = sorted(kit.objects(replica)[0].values())[0]
    names = ["0000000000000002-0000000000000001.ltx", "0000000000000000-0000000000000000.ltx",
             "ffffffffffffffff-fffffffffffffffff.ltx", "0000000000000001-0000000000000001.ltx.bak",
             "000000000000000G-0000000000000001.ltx", "1-2.ltx", ".ltx", "\n", "a" * 255, "\xff\xfe",
             "..ltx", "0000000000000001-0000000000000001.LTX", "%00", "README"]
    for level in (level0, level9):
        for name in names:
            shutil.copy(one, os.path.join(level, name))
    os.makedirs(os.path.join(level0, "0000000000000001-0000000000000009.ltx.d", "x"))
    os.makedirs(os.path.join(replica, "ltx", "17"))
    shutil.copy(one, os.path.join(replica, "ltx", "17", os.path.basename(one)))
    shutil.copy(one, os.path.join(replica, "notes.txt"))
    os.symlink(replica, os.path.join(replica, "loop"))
    foreign = digest(replica)
    c.nothing_lost(path)
    c.expect(c.run("ltx", "-level", "all", c.url), 0)
    c.check(digest(replica) == foreign, "foreign files were changed")
    add(path, 1)
    c.once(path)
    c.nothing_lost(path)
    c.check(os.path.exists(os.path.join(level0, "README")), "a foreign file is gone")


@case
def absurd_txid(c):
    """A copy of a file under a name far beyond the others: refused by name, and gone when removed."""
    path = replicated(c)
    newest = max(kit.txids(c.path("replica")))
    one = c.path("replica", "ltx", "0", "%016x-%016x.ltx" % (newest, newest))
    target = c.path("target.db")
    for txid in ("f" * 16, "7" + "f" * 15, "0" * 12 + "1000"):
        name = os.path.join(os.path.dirname(one), txid + "-" + txid + ".ltx")
        shutil.copy(one, name)
        c.refuses(5, ("restore", "-o", target, c.url), txid, c.url)
        c.check(not os.path.exists(target), "a database appeared")
        out = c.restored(txid=newest)
        c.check(out and rows(out) == rows(path), "the newest real state cannot be restored")
        before = digest(c.path("replica"))
        p = c.replicate(path)
        p.says("cannot list the replica, retrying", txid, "remove it")
        c.check(digest(c.path("replica")) == before, "it wrote behind the absurd file")
        os.remove(name)
        p.says("replica joined")
        c.expect(p.stop(), 0)
    add(path, 1)
    c.once(path)
    c.nothing_lost(path)


@case
def newest_damaged(c):
    """The newest object is not what its name says: a snapshot goes over it; nothing is overwritten."""
    path = replicated(c)
    replica = c.path("replica")

    def damage(how):
        newest = max(kit.txids(replica))
        name = kit.objects(replica)[0][0, newest, newest]
        data = how(kit.read(name))
        with open(name, "wb") as f:
            f.write(data)
        add(path, 3)
        return name, data

    for what, how in (("zeros", lambda b: bytes(len(b))), ("empty", lambda b: b""), ("cut", lambda b: b[:HEADER - 1]),
                      ("flipped", lambda b: bytes([b[0] ^ 1]) + b[1:])):
        name, data = damage(how)
        start = time.monotonic()
        c.once(path, texts=("the newest is damaged", "sending a snapshot"))
        c.check(time.monotonic() - start < 30, "%s: it took %.1f s" % (what, time.monotonic() - start))
        c.check(kit.read(name) == data, what + ": the damaged object was overwritten")
        c.nothing_lost(path)
        add(path, 1)  # and what comes next follows that snapshot
        c.once(path)
        c.nothing_lost(path)
    # So it is by a daemon.
    name, data = damage(lambda b: bytes(len(b)))
    p = c.replicate(path)
    p.has(path)
    c.expect(p.stop(), 0)
    c.check(kit.read(name) == data, "the damaged object was overwritten")
    c.nothing_lost(path)


@case
def only_one_damaged(c):
    """There is no other file that could tell: said at once, with what to do; 5; nothing is written."""
    path = c.database()
    c.once(path)
    replica = c.path("replica")
    (name,) = kit.objects(replica)[0].values()
    whole = kit.read(name)
    add(path, 3)
    with open(name, "wb") as f:
        f.write(bytes(len(whole)))
    before = digest(replica)
    c.refuses(5, ("replicate", "-once", path, c.url), path, c.url, os.path.basename(name), "remove it")
    c.check(digest(replica) == before, "it wrote to the replica")
    c.expect(c.run("verify", c.url), 5, os.path.basename(name), "asks to remove a file")
    # A replica that is well gets everything all the same.
    other = "file://" + c.path("other")
    c.refuses(5, ("replicate", "-once", path, c.url, other), c.url, os.path.basename(name))
    c.nothing_lost(path, other)
    # While it runs, doing what the message says is enough.
    p = c.replicate(path)
    p.says("cannot list the replica, retrying", os.path.basename(name), "remove it")
    os.remove(name)
    p.has(path)
    c.expect(p.stop(), 0)
    c.nothing_lost(path)


def has_machine_id():
    """As containers seldom have."""
    try:
        return os.path.getsize("/etc/machine-id") > 16
    except OSError:
        return False


@case
def newest_damaged_and_unknown(c):
    """The same behind its header, and the local state is gone: a snapshot, which needs none of the rest."""
    path = replicated(c)
    for what, damage in (("cut", lambda b: b[:len(b) // 2]),
                         ("zeros", lambda b: b[:HEADER] + bytes(len(b) - HEADER))):
        name = max(kit.objects(c.path("replica"))[0].items(), key=lambda o: o[0][2])[1]
        data = damage(kit.read(name))
        with open(name, "wb") as f:
            f.write(data)
        shutil.rmtree(c.path(".app.db-weir"))
        add(path, 3)
        if has_machine_id():
            c.once(path, texts=("sending a snapshot",))
        else:  # so nothing tells whose it is
            c.once(path, code=7, texts=("Nothing was overwritten", "-adopt"))
            c.expect(c.run("replicate", "-once", "-adopt", path, c.url), 0, "sending a snapshot")
        c.nothing_lost(path)
        c.check(kit.read(name) == data, what + ": the damaged object was overwritten")


@case
def not_a_replica(c):
    """A file where the replica's directory should be."""
    path = c.database()
    with open(c.path("replica"), "w") as f:
        f.write("x")
    out = c.run("restore", "-o", c.path("target.db"), c.url)
    c.check(out.code in (1, 3) and c.path("replica") in out.text, "%s: %s" % (out.code, out.text))
    p = c.replicate(path)
    p.says("Not a directory", c.path("replica"))
    os.remove(c.path("replica"))
    p.has(path)
    c.expect(p.stop(), 0)


@case
def replica_deleted(c):
    """Somebody deletes the replica while weir runs: the next start notices that its beginning is gone."""
    path = c.database(rows=20)
    p = c.replicate(path)
    p.has(path)
    shutil.rmtree(c.path("replica"))
    add(path, 1)
    p.stop()
    if os.path.exists(c.path("replica")):
        out = c.run("restore", "-o", c.path("target.db"), c.url)
        c.check(out.code in (3, 5) or rows(c.path("target.db")) == rows(path), "restored something else")
    c.once(path)
    c.nothing_lost(path)


@case
def replica_deleted_between(c):
    """The same while nothing runs: all of it is sent again."""
    path = replicated(c)
    shutil.rmtree(c.path("replica"))
    add(path, 1)
    c.once(path)
    c.nothing_lost(path)


@case
def restore_json(c):
    """Results and refusals as JSON stay parseable."""
    replicated(c)
    target = c.path("target.db")
    out = c.run("restore", "-json", "-quiet", "-o", target, c.url)
    c.expect(out, 0)
    c.check(json.loads(out.text)["txid"], "no txid: " + out.text)
    out = c.run("restore", "-json", "-quiet", "-if-db-not-exists", "-o", target, c.url)
    c.expect(out, 0)
    json.loads(out.text)


def just_after(stamp):
    when = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")) + datetime.timedelta(milliseconds=1)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def points_of(c, url):
    out = c.run("points", "-json", url)
    c.expect(out, 0)
    return json.loads(out.text)[0]


@case
def points(c):
    """What `points` lists is what restores give, by TXID and by time, from a directory and from S3."""
    fake = fakes3.FakeS3(c.path("bucket"))
    urls = c.url, fake.url("x", more="&access-key-id=key&secret-access-key=secret")
    path = c.database(rows=20)
    for _ in range(AT_LEAST):
        add(path, 3)
        for url in urls:
            c.once(path, url)
    for url in urls:
        replica, target = points_of(c, url), c.path("target.db")
        listed = replica["points"]
        c.check(len(listed) >= AT_LEAST, "too few points: %s" % listed)
        c.check(replica["newest_txid"] == listed[-1]["txid"] and not replica["gap_txid"], "%s" % replica)
        for p in listed:
            found = []
            for flags in (("-txid", p["txid"]), ("-timestamp", just_after(p["timestamp"]))):
                out = c.run("restore", "-json", "-quiet", "-force", "-o", target, *flags, url)
                c.expect(out, 0)
                found.append((json.loads(out.text)["txid"], json.loads(out.text)["timestamp"], rows(target)))
            c.check(found[0][0] == found[1][0] == p["txid"] and found[0][2] == found[1][2],
                    "%s gives %s" % (p, found))
            c.check(found[1][1] == p["timestamp"], "%s gives %s" % (p, found))
        text = c.run("points", url)
        c.expect(text, 0, listed[0]["txid"], listed[-1]["timestamp"], "newest: " + listed[-1]["txid"])
    fake.requests.clear()
    c.run("points", urls[1])
    heads = [r for r in fake.requests if r[0] == "HEAD"]
    c.check(len(heads) < len(listed), "asks for each file: %s" % fake.requests)
    fake.stop()


@case
def points_that_are_missing(c):
    """A gap is named, with what can still be had; where there is nothing the exit code says so."""
    c.refuses(3, ("points", c.url), c.url, "no matching backup files available", "weir ltx -level all")
    replicated(c)
    listed = points_of(c, c.url)["points"]
    lost = int(listed[-2]["txid"], 16)
    for (_, _, high), name in kit.objects(c.path("replica"))[0].items():
        if high == lost:
            os.remove(name)
    out = c.refuses(5, ("points", "-all", c.url), listed[0]["txid"], "TXIDs from " + listed[-1]["txid"],
                    "restore -o /path/to/db -txid " + listed[-3]["txid"])
    c.check("\n" + listed[-1]["txid"] not in out.text, "lists what is lost: " + out.text)
    c.refuses(5, ("restore", "-o", c.path("target.db"), c.url), listed[-1]["txid"])
    c.check(c.restored(txid=int(listed[-3]["txid"], 16)), "not what was promised")

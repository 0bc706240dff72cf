#!/usr/bin/python3
"""weir's wall clock jumps, forward and back, while it runs and while it does not.

usage: clock.py WEIR SKEWED_CLOCK [--seed N]

Only weir sees another time (skewed_clock.c). After each jump the application commits, weir sends that,
and warns of nothing but a clock that was ahead. In between it is restarted, or killed. Judged at the end:

  the times of the TXIDs go back with the clock by more than ten minutes, or not at all, and no TXID is lost by them
  restore -timestamp of the time of a TXID gives a state at or before it, or is refused; never another
  and just the one that points says, which lists every TXID
  each TXID restores, its watermarks agree, and the newest is the database byte for byte

Prints one line per finding and exits 1 when there was any.
"""
import argparse
import datetime
import json
import os
import sqlite3
import subprocess
import sys

import fakes3
import kill9
import kit
import storm

DAY = 86400
JUMPS = (0, 3600, -3600, 3650 * DAY, 0, -365 * DAY, -365 * DAY + 1, 30 * DAY, -20000 * DAY, 0, 7200, 0)


def quiet(found, weir):
    for line in weir.lines():
        found.check(("level=WARN" not in line or "the clock was ahead" in line) and "level=ERROR" not in line,
                    "weir logged: " + line)


def moment(stamp):
    return datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00"))


def just_after(stamp):
    after = moment(stamp) + datetime.timedelta(milliseconds=1)
    return after.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def goes_back(a, b):
    """By so little that it would have been hidden."""
    return datetime.timedelta(0) < moment(a) - moment(b) <= datetime.timedelta(minutes=9)


def judge_points(found, exe, case, txids):
    r = subprocess.run([exe, "points", "-json", case.url], capture_output=True, text=True)
    points = json.loads(r.stdout)[0]["points"]
    found.check({p["txid"] for p in points} == txids, "points lists others than ltx: %s" % points)
    for p in points:
        found.where = "point %s, %s: " % (p["txid"], p["timestamp"])
        r = subprocess.run([exe, "restore", "-dry-run", "-json", "-o", case.out, "-timestamp",
                            just_after(p["timestamp"]), case.url], capture_output=True, text=True)
        ends = json.loads(r.stdout)["max_txid"] if r.returncode == 0 else ""
        found.check(ends == p["timestamp_txid"], "its time restores %r, not %r" % (ends, p["timestamp_txid"]))


def ages_by_another_clock(found, args, asan):
    """An age counts back from this machine's clock, which is wrong: that is said, whatever comes of it."""
    fake = fakes3.FakeS3(found.path("bucket"))
    db, skew = found.path("aged.db"), found.path("restoring")
    con = sqlite3.connect(db)
    con.execute("CREATE TABLE t(x)")
    con.commit()
    con.close()
    env = dict(os.environ, LD_PRELOAD=args.skewed_clock, WEIR_TEST_CLOCK=skew, ASAN_OPTIONS=asan,
               AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="secret")
    for seconds, word in ((0, None), (-3600, "behind"), (3600, "ahead")):
        found.where = "an age, the clock %d s off: " % seconds
        with open(skew, "w", encoding="utf-8") as f:
            f.write("%d" % seconds)
        url = fake.url("aged%d" % seconds)
        subprocess.run([args.weir, "replicate", "-once", db, url], env=dict(env, WEIR_TEST_CLOCK="/"), check=True,
                       capture_output=True)
        for command in (["restore", "-dry-run", "-o", found.path("old.db"), "-timestamp", "1ms ago"],
                        ["points", "-since", "2m ago"]):
            r = subprocess.run([args.weir, *command, url], env=env, capture_output=True, text=True)
            said = [line for line in r.stderr.splitlines() if "clock" in line]
            found.check(len(said) == (1 if word else 0), "%s said: %s" % (command, r.stderr))
            found.check(not word or word in said[0] and "3600" in said[0] or "359" in said[0], "it said: %s" % said)
    fake.stop()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weir", type=os.path.abspath)
    p.add_argument("skewed_clock", type=os.path.abspath)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    found = kit.Findings("clock")
    case = kill9.Case(args, found, "clock")
    weir, skew = case.weir, found.path("skew")
    asan = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    weir.env = dict(os.environ, LD_PRELOAD=args.skewed_clock, WEIR_TEST_CLOCK=skew, ASAN_OPTIONS=asan)
    runs, start = [], 1
    for i, seconds in enumerate(JUMPS):
        found.where = "jump %d, to %+d days: " % (i, seconds // DAY)
        with open(skew + "~", "w", encoding="utf-8") as f:
            f.write("%d" % seconds)
        os.rename(skew + "~", skew)
        if not weir.process:
            weir.start()
            found.check(case.joined(), "no replication: %s" % weir.lines()[-2:])
        case.change(2)
        case.matches(5)
        case.note_objects()
        if i == 0:
            year = kit.fields(weir.lines()[0])["time"][:4]
        if i == 3:
            found.check(any(kit.fields(line).get("time", "")[:4] > year for line in weir.lines()),
                        "its clock did not jump")
        if i % 4 == 3:  # and so at last
            if i % 8 == 3:
                case.stop()
            else:
                weir.kill()
            quiet(found, weir)
            weir.process = None
            runs.append((start, kit.txids(case.replica)[-1]))
            start = runs[-1][1] + 1
    found.where = "end: "
    marks = case.judge_txids()
    r = subprocess.run([args.weir, "ltx", "-level", "all", "-json", case.url], capture_output=True, text=True)
    listed = sorted((f["max_txid"], f["timestamp"]) for f in json.loads(r.stdout))
    for low, high in runs:
        times = [t for txid, t in listed if low <= int(txid, 16) <= high]
        found.check(not any(goes_back(a, b) for a, b in zip(times, times[1:])),
                    "the times of %016x to %016x go back: %s" % (low, high, times))
    back = sum(a > b for (_, a), (_, b) in zip(listed, listed[1:]))
    judge_points(found, args.weir, case, {txid for txid, _ in listed})
    refused = 0
    for txid, stamp in listed:
        found.where = "timestamp of %s, %s: " % (txid, stamp)
        flags = ("-timestamp", just_after(stamp))
        code, said = kit.restore(args.weir, case.url, case.out, flags=flags)
        refused += code != 0
        if code == 0:
            state, wrong = storm.state(case.out)
            found.check(not wrong, "restores a state that never was: %s" % wrong)
            found.check(state <= marks, "restores what is not there yet")
        else:
            found.check("Error: " in said, "no reason: %s" % said)
    ages_by_another_clock(found, args, asan)
    print("jumps=%d txids=%d times_back=%d timestamps_refused=%d" % (
        len(JUMPS), len(listed), back, refused), flush=True)
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

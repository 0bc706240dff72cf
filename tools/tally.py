#!/usr/bin/env python3
"""Sum up Meson's logs of tests: usage tally.py LOG.json...

Prints what failing tests said, then "N passed, N failed", counting the subtests of tests that speak
TAP and any other test as one. What was skipped is named, with the reason if the test gave one (a line
"skipped WHAT: WHY", or the end of a TAP line), and ", N skipped" follows. Exits with 0 only if none
failed and at least one passed.
"""
import json
import re
import sys

TAP = re.compile(r"^(not )?ok\b(.*)$", re.M)
SKIPPED = re.compile(r"^(?:skipped|ok\b.*# SKIP) +(.*)$", re.M)
SHOWN_MAX = 200  # lines of a failing test's output


def count(entry):
    """(passed, failed) of one test."""
    good = entry["result"] in ("OK", "EXPECTEDFAIL")
    skipped = entry["result"] == "SKIP"
    subtests = [m for m in TAP.finditer(entry.get("stdout", "")) if "# SKIP" not in m.group(2)]
    failed = sum(1 for m in subtests if m.group(1))
    passed = len(subtests) - failed

    if not subtests:
        return (1, 0) if good else (0, 0) if skipped else (0, 1)
    if not good and not skipped and not failed:
        failed = 1  # it crashed, hung, or ended early: the subtests before that passed
    return passed, failed


def skips(entry):
    """What this test left out: one line each."""
    said = SKIPPED.findall(entry.get("stdout", ""))
    if entry["result"] == "SKIP" and not said:
        said = (entry.get("stdout", "").split("\n\n")[0].splitlines() or [""])[-1:]
    return ["%s: %s" % (entry["name"], why) for why in said]


def show(entry):
    text = entry.get("stdout", "") + entry.get("stderr", "")
    lines = [line for line in text.splitlines() if not line.startswith("ok ")]

    print("--- %s: %s (exit %s)" % (entry["name"], entry["result"], entry.get("returncode")))
    if len(lines) > SHOWN_MAX:
        print("... %d lines left out" % (len(lines) - SHOWN_MAX))
    print("\n".join(lines[-SHOWN_MAX:]))


def entries_of(path):
    """All of a log; None when there is none."""
    try:
        with open(path, encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.strip()]
    except OSError as error:
        print("the tests did not run: %s" % error)
        return None


def main():
    passed = 0
    failed = 0
    skipped = 0

    logs = [entries_of(path) for path in sys.argv[1:]]
    failed += logs.count(None)
    for entry in [entry for log in logs if log for entry in log]:
        good, bad = count(entry)
        passed += good
        failed += bad
        for line in skips(entry):
            skipped += 1
            print("skipped " + line)
        if bad:
            show(entry)
    print("%d passed, %d failed%s" % (passed, failed, ", %d skipped" % skipped if skipped else ""))
    return 0 if passed > 0 and failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())

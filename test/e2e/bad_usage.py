"""Command lines and configuration files that cannot be meant, and secrets, which must never show."""
import os
import threading

import kit
from badkit import CANARY, case

USAGE = (
    # arguments, exit code, what it says
    ((), 1, ("Usage:", "replicate", "restore")),
    (("-bogus",), 1, ("the command comes before its flags: -bogus", "Try: weir help")),
    (("replicat",), 1, ("replicat: unknown command (did you mean replicate?)",)),
    (("xyzzy",), 1, ("xyzzy: unknown command",)),
    (("help", "restor"), 1, ("did you mean restore?",)),
    (("help",), 0, ("Usage:",)),
    (("replicate", "-h"), 0, ("Usage:", "-sync-interval")),
    (("replicate", "-onc", "{db}", "{url}"), 1, ("-onc (did you mean -once?)", "Try: weir replicate -h")),
    (("restore", "--tixd", "1", "{url}"), 1, ("-tixd (did you mean -txid?)", "Try: weir restore -h")),
    (("replicate", "{db}", "{url}", "-exec"), 1, ("flag needs an argument: -exec",)),
    (("replicate", "-once=maybe", "{db}", "{url}"), 1, ("maybe", "-once", "true or false")),
    (("replicate", "---once", "{db}", "{url}"), 1, ("bad flag syntax: ---once",)),
    (("replicate", "{db}"), 1, ("must specify at least one replica URL for {db}", "Try: weir replicate")),
    (("replicate", "{db}", "{replica}"), 1, ("not a replica URL: {replica} (write {url})",)),
    (("replicate", "{db}", "ftp://host/x"), 1, ('"ftp"', "there are file:// and s3://", "{db}")),
    (("replicate", "{db}", "S4://b/x"), 1, ("there are file:// and s3://",)),
    (("replicate", "{db}", "s3://"), 1, ("the URL names no bucket", "s3://bucket/path")),
    (("replicate", "{db}", "file://"), 1, ("file://",)),
    (("replicate", "{db}", "s3://b/x?regoin=eu"), 1, ("regoin", "region")),
    (("restore", "-o", "{out}", "ftp://host/x"), 1, ('"ftp"', "there are file:// and s3://")),
    (("ltx", "ftp://host/x"), 1, ('"ftp"', "there are file:// and s3://")),
    (("replicate", "-sync-interval", "10", "{db}", "{url}"), 1, ("-sync-interval", "10", "such as 1s")),
    (("replicate", "-sync-interval", "-1s", "{db}", "{url}"), 1, ("-sync-interval", "-1s", "0 for at once")),
    (("replicate", "-sync-interval", "99999999999h", "{db}", "{url}"), 1, ("-sync-interval",)),
    (("replicate", "-sync-interval", "1s"), 1, ("-sync-interval needs DB_PATH and REPLICA_URL",)),
    (("replicate", "-shutdown-sync-timeout", "x", "{db}", "{url}"), 1, ("-shutdown-sync-timeout", "30s")),
    (("replicate", "-config", "{out}", "{db}", "{url}"), 1, ("-config",)),
    (("restore",), 1, ("database path or replica URL required", "Try: weir restore")),
    (("restore", "{url}"), 1, ("-o is required", "Try: weir restore -o")),
    (("restore", "-o", "{out}", "a", "b"), 1, ("too many arguments",)),
    (("restore", "-o", "{out}", "-txid", "9", "{url}"), 1, ('"9"', "-txid", "16 hex digits")),
    (("restore", "-o", "{out}", "-txid", "0" * 16, "{url}"), 1, ("-txid", "not all 0")),
    (("restore", "-o", "{out}", "-timestamp", "yesterday", "{url}"), 1, ("-timestamp", "ISO 8601", "-2h")),
    (("restore", "-o", "{out}", "-txid", "0" * 15 + "1", "-timestamp", "-1h", "{url}"), 1,
     ("cannot specify both -txid and -timestamp",)),
    (("restore", "-o", "{out}", "-integrity-check", "some", "{url}"), 1, ("-integrity-check", "some")),
    (("restore", "-o", "{out}", "-parallelism", "0", "{url}"), 1, ("-parallelism", "from 1")),
    (("verify",), 1, ("database path or replica URL required", "Try: weir verify")),
    (("verify", "ftp://host/x"), 1, ('"ftp"', "there are file:// and s3://")),
    (("verify", "-parallelism", "0", "{url}"), 1, ("-parallelism", "from 1")),
    (("verify", "{url}"), 3, ("no matching backup files available", "{url}")),
    (("ltx", "-level", "10", "{url}"), 1, ("-level", "between 0 and 9")),
    (("retention",), 1, ("database path or replica URL required", "Try: weir retention")),
    (("retention", "-keep-daily", "x", "{url}"), 1, ("snapshot.keep-daily", '"x"', "a number up to 100000")),
    (("retention", "-keep", "100001", "{url}"), 1, ("snapshot.keep: ", '"100001"', "a number up to 100000")),
    (("retention", "-retention", "7", "{url}"), 1, ("snapshot.retention", '"7"', "such as 1s")),
    (("replicate", "-config", "{out}"), 1, ("config file not found: {out}",)),
    (("databases", "-config", "{out}"), 1, ("config file not found: {out}",)),
)


@case
def usage(c):
    names = {"db": c.path("app.db"), "url": c.url, "replica": c.path("replica"), "out": c.path("out")}
    c.database()
    for args, code, texts in USAGE:
        c.refuses(code, [a.format(**names) for a in args], *[t.format(**names) for t in texts])
    c.check(not os.path.exists(c.path("out")), "something was written")
    c.check(not os.path.exists(c.path("replica")), "something was replicated")


CONFIGS = (
    # the file, exit code, what it says; {f} is the file's name
    ("dbs:\n  - path: {db}\n    replicas:\n      - url: {url}\n        sync-intervall: 1s\n", 1,
     ("{f}:5:9: ", '"sync-intervall"', "sync-interval")),
    ("dbs:\n  - path: {db}\n    replica: {{url: '{url}'}}\n    meta-pth: x\n", 1,
     ("{f}:4:5: ", '"meta-pth"', '"meta-path"')),
    ("dbz: []\n", 1, ("{f}:1:1: ", '"dbz"', "dbs")),
    ("color: red\n", 0, ("Warning: {f}:1:1: ", '"color" is ignored')),
    ("dbs: [{{monitor-interval: 1s, path: {db}, replica: {{url: '{url}'}}}}]\n", 0,
     ("Warning: {f}:1:8: ", '"monitor-interval" has no effect: ')),
    ("dbs:\n  - {{path: /a, replica: {{path: /r}}}}\n  - {{path: /b, replica: {{url: 'file:///r/'}}}}\n", 1,
     ("{f}:3:", "/a and /b have the same replica")),
    ("dbs: [{{dir: {db}.d, replica: {{path: /r}}}}]\n", 1, ("{f}:1:", "'pattern' is required")),
    ("dbs: [{{dir: {db}.d, pattern: x, replica: {{path: /r}}}}]\n", 0,
     ("Warning: failed to scan directory {db}.d: ",)),
    ("dbs:\n  - path: {db}\n    replica: {{url: '{url}'}}\n  - path: {db}\n    replica: {{url: '{url}2'}}\n", 1,
     ("{f}:4:", "{db}")),
    ("dbs:\n  - replica: {{url: '{url}'}}\n", 1, ("{f}:2:", "path")),
    ("dbs:\n  - path: {db}\n", 1, ("{f}:2:", "replica")),
    ("dbs:\n  - path: {db}\n    replica: {{url: '{url}', sync-interval: 10}}\n", 1,
     ("{f}:3:", "sync-interval", '"10"', "such as 1s")),
    ("dbs:\n  - path: {db}\n    replica: {{type: s3, path: x}}\n", 1, ("{f}:3:", "bucket required")),
    ("dbs:\n  - path: {db}\n    replica: {{type: tape, path: x}}\n", 1, ("{f}:3:", '"tape"')),
    ("dbs:\n  - path: {db}\n    replica: {{url: '{url}', age: {{identities: [x]}}}}\n", 1, ("{f}:3:", "age")),
    ("snapshot: {{keep: -1}}\ndbs:\n  - path: {db}\n    replica: {{url: '{url}'}}\n", 1,
     ("{f}:1:18: snapshot.keep: ", "(got -1)")),
    ("snapshot: {{keep-dayly: 7}}\ndbs: []\n", 1, ("{f}:1:12: ", '"keep-dayly"', '"keep-daily"')),
    ("dbs: [\n", 1, ("{f}:2:",)),
    ("dbs: 7\n", 1, ("{f}:1:",)),
    ("\tdbs: []\n", 1, ("{f}:1:",)),
    ("dbs: []\ndbs: []\n", 0, ("Warning: {f}:2:1: ", '"dbs" was given before')),
    ("dbs: []\n---\ndbs: []\n", 1, ("{f}:2:1: ", "second document")),
    ("---\ndbs: []\n---\n", 0, ()),
    ("a: &a [*a]\n", None, ()),
    ("x" * 100000, 1, ("{f}:1:",)),
    ("\0", 1, ("{f}:", "byte 0")),
    ("dbs:\n  - path: $NO_SUCH_VARIABLE\n    replica: {{url: '{url}'}}\n", 1, ("{f}:2:", "path")),
)


@case
def configs(c):
    """Each is refused, or warned of, with file, line and column."""
    names = {"db": c.path("app.db"), "url": c.url, "f": c.path("weir.yml")}
    c.database()
    for text, code, texts in CONFIGS:
        with open(names["f"], "w", encoding="utf-8") as f:
            f.write(text.format(**names))
        out = c.run("databases", "-config", names["f"])
        c.check(out.code in (0, 1) if code is None else out.code == code,
                "%r: exit code %s: %s" % (text[:200], out.code, out.text))
        for t in texts:
            c.check(t.format(**names) in out.text, "%r does not say %r: %s" % (text[:200], t, out.text[:600]))
    c.refuses(1, ("replicate", "-config", c.work), c.work)
    with open(names["f"], "w", encoding="utf-8") as f:
        f.write("dbs: []\n")
    c.refuses(1, ("replicate", "-config", names["f"]), "no databases")
    pipe = c.path("pipe")
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: open(pipe, "w", encoding="utf-8").write(
        "dbs:\n  - path: {db}\n    replica: {{url: '{url}'}}\n".format(**names)))
    writer.start()
    c.expect(c.run("databases", "-config", pipe), 0, names["db"])
    writer.join()
    with open(names["f"], "w", encoding="utf-8") as f:
        f.write("dbs:\n  - path: {db}\n    replica: {{url: '{url}'}}\n".format(**names))
    c.refuses(1, ("restore", "-config", names["f"], c.path("ap.db")), "database not found in config")


@case
def environment(c):
    """Variables in a configuration, from the environment, and not with -no-expand-env."""
    path = c.database()
    with open(c.path("weir.yml"), "w", encoding="utf-8") as f:
        f.write("dbs:\n  - path: $APP_DB\n    replica: {url: '${APP_URL}'}\n")
    env = {"APP_DB": path, "APP_URL": c.url}
    for how in (("-config", c.path("weir.yml")), ()):
        env["LITESTREAM_CONFIG"] = c.path("weir.yml")
        c.expect(c.run("replicate", "-once", *how, env=env), 0, "one-shot replication complete")
        c.expect(c.run("databases", *how, env=env), 0, path)
        c.expect(c.run("restore", *how, "-o", c.path("out.db"), "-force", path, env=env), 0)
    out = c.run("databases", "-no-expand-env", "-config", c.path("weir.yml"), env=env)
    c.check(path not in out.text, "expanded all the same: " + out.text)


def secret_places():
    """(where, environment, configuration, URL): a canary in each."""
    server = "endpoint=http://127.0.0.1:1&region=r"
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": CANARY + "-env"}
    litestream = {"LITESTREAM_ACCESS_KEY_ID": "id", "LITESTREAM_SECRET_ACCESS_KEY": CANARY + "-env"}
    yield {**keys, "AWS_SESSION_TOKEN": CANARY + "-token"}, "", "s3://bucket/app?" + server
    yield litestream, "", "s3://bucket/app?" + server
    yield {}, "", "s3://bucket/app?access-key-id=id&secret-access-key=%s-url&session-token=%s&%s" % (
        CANARY, CANARY, server)
    yield {}, "", "s3://id:%s-user@bucket/app?%s" % (CANARY, server)
    yield {}, "", "s3://bucket/app?secret-acess-key=%s-typo&%s" % (CANARY, server)
    yield {}, "", "s3://bucket/app?password=%s&%s" % (CANARY, server)
    yield {}, "", "sftp://user:%s-sftp@host/app" % CANARY
    yield {}, "", "s3://bucket/app?endpoint=http://user:%s-endpoint@127.0.0.1:1&region=r" % CANARY
    yield {**keys}, "", "s3://bucket/app?sse-customer-key=%s&%s" % (CANARY, server)
    yield {}, "secret-access-key: %s-file\naccess-key-id: id\n" % CANARY, "s3://bucket/app?" + server
    yield {"S": CANARY + "-var"}, "secret-access-key: $S\naccess-key-id: id\n", "s3://bucket/app?" + server
    yield {"S": CANARY + "-var"}, "secret-acess-key: $S\n", "s3://bucket/app?" + server
    yield {"S": CANARY + "-var"}, "secret-access-key: [$S]\n", "s3://bucket/app?" + server
    yield {"S": CANARY + "-var\n bad: ["}, "secret-access-key: $S\n", "s3://bucket/app?" + server


@case
def secrets(c):
    """No command shows them, whatever goes wrong; every output is searched for the canary."""
    path = c.database()
    config = c.path("weir.yml")
    for i, (env, keys, url) in enumerate(secret_places()):
        with open(config, "w", encoding="utf-8") as f:
            f.write(keys + "dbs:\n  - path: %s\n    replica: {url: '%s'}\n" % (path, url))
        env = {"AWS_EC2_METADATA_DISABLED": "true", **env}
        out = c.run("databases", "-config", config, env=env)
        c.check(keys or out.code == 0, "databases %d: %s" % (i, out.text))
        out = c.run("databases", "-json", "-config", config, env=env)
        c.run("databases", config + "x", env=env)
        p = c.start("replicate", "-log-level", "debug", "-shutdown-sync-timeout", "50ms", "-config", config, env=env)
        kit.wait_until(lambda: "retrying" in p.text() or "cannot" in p.text() or p.ended(), 2)
        p.stop()
        c.run("replicate", "-log-level", "debug", "-exec", "true", "-shutdown-sync-timeout", "50ms", path, url, env=env)
        c.run("replicate", path, url, "-onec", env=env)

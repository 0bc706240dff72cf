#!/usr/bin/python3
"""Whether the examples below etc/ are what they say: read, and as far as possible played through.

usage: examples.py WEIR ETC

configurations  each is loaded by `weir databases` without an error or a warning
docker          the image has what the program links, and is built from what the build needs
compose, kubernetes
                the commands of their containers are run, in that order, with the paths and the
                replica of this test: restore (nothing there), replicate, the volume is lost,
                restore (all is there). Probes are asked.
fly             start.sh, in dash and with ShellCheck where it is installed, the same life

Prints one line per finding and exits 1 when there was any; what cannot be looked at here is skipped
with a line.
"""
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request

import kit

try:
    import tomllib
except ImportError:
    tomllib = None
try:
    import yaml
except ImportError:
    yaml = None

ENV = {"LITESTREAM_ACCESS_KEY_ID": "id", "LITESTREAM_SECRET_ACCESS_KEY": "secret"}
# What the build needs and the program alone does not.
PROVIDED = re.compile(r"lib(asan|ubsan|gcov|gcc_s|c|m)\.so")


def run(args, **more):
    r = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, **more)
    return r.returncode, r.stdout.strip()


def text_of(*names):
    return kit.read(os.path.join(*names)).decode()


def load(found, exe, name, text):
    """`weir databases` takes it, and without a warning."""
    path = found.path("checked.yml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    code, said = run([exe, "databases", "-config", path], env=dict(os.environ, **ENV))
    found.check(code == 0 and "Warning" not in said and "s3://" in said, "%s: %s %s" % (name, code, said))


def uncommented(text):
    """The example with all that is commented out as an example, and prose left out."""
    lines = [re.sub(r"^( *)# (?=( *)(- )?[a-z-]+:( |$))", r"\1", line) for line in text.splitlines()]
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def docker(found, exe, etc):
    text = text_of(etc, "docker", "Dockerfile").replace("\\\n", " ")
    build, runtime = [shlex.split(re.search(r"--no-install-recommends([^&\n]*)", part)[1])
                      for part in text.split("\nFROM ")[1:]]
    install = text_of(etc, "..", "tools", "install.sh")
    needed = re.search(r"need_build_tools\(\) \{(.*?)\n\}", install, re.S)[1]
    needed = {p for line in needed.splitlines() for p in shlex.split(line)[2:]}
    found.check(needed and needed <= set(build), "the image is built without %s" % (needed - set(build)))
    for source in re.findall(r"^COPY (?!--)(\S+)", text, re.M):
        found.check(os.path.exists(os.path.join(etc, "..", source)), "no %s to copy" % source)
    for option in re.findall(r"-D([a-z]+)=", text):
        known = text_of(etc, "..", "meson_options.txt") + "'b_ndebug' 'optimization'"  # which meson has
        found.check("'%s'" % option in known, "no option %s" % option)
    if not shutil.which("dpkg"):
        print("skipped e2e/examples: packages of the image, no dpkg here", flush=True)
        return
    code, said = run(["readelf", "-d", exe])
    linked = [so for so in re.findall(r"NEEDED.*\[(.*)\]", said) if not PROVIDED.match(so)]
    found.check(code == 0 and len(linked) >= 5, "readelf: %s" % said[-200:])
    with open(exe, "rb") as f:  # of what is loaded at first use the names are in it
        loaded = {so.decode() for so in re.findall(rb"\0(lib[a-z]+\.so\.\d+)(?=\0)", f.read())}
    loaded = {so for so in loaded if not PROVIDED.match(so)}
    found.check({"libcurl.so.4", "libmicrohttpd.so.12"} <= loaded, "loaded at first use: %s" % loaded)
    code, release = run(["sh", "-c", ". /etc/os-release && echo $ID:$VERSION_ID"])
    if release not in text:
        print("skipped e2e/examples: packages of the image, this is %s" % release, flush=True)
        return
    for so in sorted(loaded | set(linked)):
        owner = re.match(r"([a-z0-9.+-]+)(:|,)", run(["dpkg", "-S", "*/" + so])[1])
        found.check(owner and owner[1] in runtime, "the image lacks %s, of %s" % (so, owner and owner[1]))


def make(path):
    db = sqlite3.connect(path, timeout=20)
    db.execute("PRAGMA journal_mode=wal")
    db.execute("CREATE TABLE IF NOT EXISTS t(v)")
    db.execute("INSERT INTO t VALUES('written')")
    db.commit()
    db.close()


def rows(path):
    db = sqlite3.connect(path)
    n = db.execute("SELECT count(*) FROM t").fetchone()[0]
    db.close()
    return n


def lose(data):
    shutil.rmtree(data)
    os.mkdir(data)


class Play:
    """The containers of an example, as processes; its volume and its replica are of this test."""

    def __init__(self, found, exe, name, config, volume):
        self.found, self.exe, self.name, self.volume = found, exe, name, volume
        self.data, self.replica, self.port = found.path(name), found.path(name + "-replica"), kit.free_port()
        os.mkdir(self.data)
        text = self.here(config).replace("addr: :9090", "addr: 127.0.0.1:%d" % self.port)
        text = re.sub(r"s3://\S+", "file://" + self.replica, text)
        text = re.sub(r"\n *region: .*", "", text)
        self.env = dict(os.environ, WEIR_CONFIG=found.path(name + ".yml"))
        with open(self.env["WEIR_CONFIG"], "w", encoding="utf-8") as f:
            f.write(text)

    def here(self, text):
        return text.replace(self.volume, self.data)

    def args(self, words):
        return [self.exe, *map(self.here, words)]

    def answers(self, path):
        try:
            return urllib.request.urlopen("http://127.0.0.1:%d%s" % (self.port, path), timeout=5).status == 200
        except (urllib.error.URLError, OSError):
            return False

    def life(self, restore, replicate, probes):
        db = os.path.join(self.data, "app.db")
        for turn in range(3):
            code, said = run(self.args(restore), env=self.env)
            self.found.check(code == 0, "%s: restore: %s %s" % (self.name, code, said))
            self.found.check((rows(db) if os.path.exists(db) else 0) == turn, "%s: rows are missing" % self.name)
            log = self.found.path("log")
            with open(log, "wb") as out:
                p = subprocess.Popen(self.args(replicate), stdout=out, stderr=out, env=self.env)
            for path in probes:
                good = kit.wait_until(lambda: self.answers(path) or p.poll() is not None, 20)
                self.found.check(good and p.poll() is None, "%s: %s: %s" % (self.name, path, text_of(log)[-300:]))
            kit.wait_until(lambda: "replicating to" in text_of(log) or p.poll() is not None)
            make(db)
            p.send_signal(signal.SIGTERM)
            self.found.check(p.wait(60) == 0, "%s: replicate: %s" % (self.name, text_of(log)[-300:]))
            lose(self.data)


def kubernetes(found, exe, etc):
    documents = list(yaml.safe_load_all(text_of(etc, "kubernetes", "app.yml")))
    kinds = {d["kind"]: d for d in documents}
    config = kinds["ConfigMap"]["data"]["weir.yml"]
    load(found, exe, "kubernetes/app.yml", config)
    pod = kinds["StatefulSet"]["spec"]["template"]["spec"]
    restore, sidecar = pod["initContainers"]
    app = pod["containers"][0]
    found.check(sidecar.get("restartPolicy") == "Always" and "restartPolicy" not in restore,
                "kubernetes: the sidecar is none, or the restore is one")
    mounts = {m["name"]: m["mountPath"] for m in sidecar["volumeMounts"]}
    found.check(mounts["data"] == app["volumeMounts"][0]["mountPath"] and mounts["config"] == "/etc/weir.yml",
                "kubernetes: mounts do not fit")
    names = {kinds["StatefulSet"]["spec"]["volumeClaimTemplates"][0]["metadata"]["name"],
             *(v["name"] for v in pod["volumes"])}
    found.check(set(mounts) == names, "kubernetes: volumes %s, mounts %s" % (names, set(mounts)))
    found.check(pod["volumes"][0]["configMap"]["name"] == kinds["ConfigMap"]["metadata"]["name"] and
                sidecar["envFrom"][0]["secretRef"]["name"] == kinds["Secret"]["metadata"]["name"],
                "kubernetes: names do not fit")
    found.check(sidecar["ports"][0]["containerPort"] == int(re.search(r"addr: :(\d+)", config)[1]),
                "kubernetes: another port")
    probes = [sidecar[k]["httpGet"]["path"] for k in ("startupProbe", "livenessProbe")]
    Play(found, exe, "kubernetes", config, mounts["data"]).life(restore["args"], sidecar["args"], probes)


def compose(found, exe, etc):
    services = yaml.safe_load(text_of(etc, "docker", "compose.yml"))["services"]
    config = text_of(etc, "docker", "weir.yml")
    volumes = [v.split(":")[:2] for v in services["weir"]["volumes"]]
    found.check(["./weir.yml", "/etc/weir.yml"] in volumes and services["restore"]["volumes"] ==
                services["weir"]["volumes"], "compose: mounts do not fit")
    users = {s["user"] for s in services.values()}
    found.check(len(users) == 1, "compose: users %s" % users)
    for name in ("app", "weir"):
        found.check(services[name]["depends_on"]["restore"]["condition"] == "service_completed_successfully",
                    "compose: %s does not wait for the restore" % name)
    found.check(services["app"]["depends_on"]["weir"]["condition"] == "service_started",
                "compose: the application may end after the last sync")
    user = services["weir"]["user"].split(":")
    found.check("install -d -o %s -g %s -m 0750 /data" % tuple(user) in text_of(etc, "docker", "Dockerfile"),
                "compose: a new volume belongs to root")
    play = Play(found, exe, "compose", config, dict(map(reversed, volumes)) and dict(volumes)["data"])
    play.life(services["restore"]["command"], services["weir"]["command"], ["/healthz"])


def main():
    exe, etc = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    found = kit.Findings("examples")
    example = text_of(etc, "weir.yml")
    load(found, exe, "weir.yml", example)
    os.mkdir(found.path("tenants"))
    load(found, exe, "weir.yml without its #",
         uncommented(example).replace("/var/lib/tenants", found.path("tenants")))
    load(found, exe, "docker/weir.yml", text_of(etc, "docker", "weir.yml"))
    docker(found, exe, etc)
    if yaml:
        kubernetes(found, exe, etc)
        compose(found, exe, etc)
    else:
        print("skipped e2e/examples: kubernetes and compose, no PyYAML here", flush=True)
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

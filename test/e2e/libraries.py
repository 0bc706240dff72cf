#!/usr/bin/python3
"""A machine that lacks the libraries which weir loads at first use, or has others by their names.

usage: libraries.py WEIR OLD_CURL PLAIN_HTTPD

What needs none of them works as ever: a replica in a directory, a restore from it. What needs one says
which, and what is wrong with it: of a libcurl that is too old, which one is needed; of a libmicrohttpd without TLS, that followers
are not served in clear instead. A daemon does not load what it
does not use.

The names are those of files without a library in them, which the loader finds first.
Prints one line per finding and exits 1 when there was any.
"""
import os
import shutil
import sqlite3
import subprocess
import sys

import kit

CURL = ("libcurl.so.4", "libcurl-gnutls.so.4")
NAMES = CURL + ("libmicrohttpd.so.12", "libcrypto.so.3")


S3 = "s3://bucket/x?endpoint=http://127.0.0.1:1&access-key-id=a&secret-access-key=b"


class Test:
    def __init__(self, weir, old_curl, plain_httpd, found):
        self.weir, self.old_curl, self.plain_httpd, self.found = weir, old_curl, plain_httpd, found
        self.db = found.path("app.db")
        self.url = "file://" + found.path("replica")
        self.env = self.lacks("all", NAMES)
        db = sqlite3.connect(self.db)
        db.executescript("PRAGMA journal_mode=wal; CREATE TABLE t(v); INSERT INTO t VALUES(1);")
        db.close()

    def lacks(self, name, libraries):
        """An environment in which these are no libraries."""
        os.mkdir(self.found.path(name))
        for library in libraries:
            with open(self.found.path(name, library), "w", encoding="utf-8") as f:
                f.write("not a library\n")
        return dict(os.environ, LD_LIBRARY_PATH=self.found.path(name))

    def commit(self):
        db = sqlite3.connect(self.db)
        db.execute("INSERT INTO t VALUES(1)")
        db.commit()
        db.close()

    def run(self, *args, env=None):
        r = subprocess.run([self.weir, *args], capture_output=True, text=True, env=env or self.env, timeout=60)
        return r.returncode, r.stdout + r.stderr

    def works(self, *args):
        code, text = self.run(*args)
        self.found.check(code == 0, "%s: exit code %d: %s" % (" ".join(args), code, text))

    @staticmethod
    def none(library):
        return "%s cannot be loaded, though it is there: " % library, ": file too short"

    def says(self, library, *args):
        code, text = self.run(*args)
        words = self.none(library)
        self.found.check(code != 0 and all(w in text for w in words),
                         "%s: exit code %d: %s" % (" ".join(args), code, text))

    def logs(self, words, what, *args):
        """A daemon goes on: with other replicas, and without what cannot be served."""
        with open(self.found.path("log"), "wb") as log:
            daemon = subprocess.Popen([self.weir, "replicate", *args], stdout=log, stderr=log, env=self.env)

        def said():
            lines = kit.read(self.found.path("log")).decode().splitlines()
            return [line for line in lines if what in line]
        lines = kit.wait_until(said)
        self.found.check(lines and all(w in lines[0] for w in words) and daemon.poll() is None,
                         "%s: it says: %s" % (" ".join(args), kit.read(self.found.path("log")).decode()))
        daemon.kill()
        daemon.wait()

    def without(self):
        self.works("version")
        # The first start of a database hashes where it is, and keeps that.
        self.logs("libcrypto", "libcrypto", self.db, self.url)
        code, text = self.run("replicate", "-once", self.db, self.url, env=dict(os.environ))
        self.found.check(code == 0, "the first time: exit code %d: %s" % (code, text))
        self.commit()
        self.works("replicate", "-once", self.db, self.url)
        self.works("restore", "-o", self.found.path("out.db"), self.url)
        self.env = self.lacks("curl", CURL)
        self.says("libcurl", "restore", "-o", self.found.path("no.db"), S3)
        self.logs(self.none("libcurl"), "cannot list the replica", self.db, S3)
        self.says("libcurl", "list", "-socket", self.found.path("sock"))
        self.env = self.lacks("microhttpd", ["libmicrohttpd.so.12"])
        self.no_server("no metrics", "addr: 127.0.0.1:%d" % kit.free_port())
        self.no_server("no control socket", "socket: {enabled: true, path: %s}" % self.found.path("sock"))

    def old(self):
        """Each request failed for want of memory."""
        os.mkdir(self.found.path("old"))
        shutil.copy(self.old_curl, self.found.path("old", CURL[0]))
        code, text = self.run("restore", "-o", self.found.path("no.db"), S3,
                              env=dict(os.environ, LD_LIBRARY_PATH=self.found.path("old")))
        self.found.check(code != 0 and "libcurl 7.74.0 is too old: 7.85.0 or later is needed" in text,
                         "an old libcurl: exit code %d: %s" % (code, text))

    def plain(self):
        """Whoever has given a certificate has no listener instead of one without TLS."""
        if not shutil.which("openssl"):
            print("skipped: a certificate needs openssl")
            return
        os.mkdir(self.found.path("plain"))
        shutil.copy(self.plain_httpd, self.found.path("plain", "libmicrohttpd.so.12"))
        self.env = dict(os.environ, LD_LIBRARY_PATH=self.found.path("plain"))
        pem, key = self.found.path("cert.pem"), self.found.path("key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", pem,
                        "-subj", "/CN=weir test"], check=True, capture_output=True)
        self.no_server("followers are not served", "serve: {addr: 'localhost:%d', cert-file: %s, key-file: %s}" % (
            kit.free_port(), pem, key), ("libmicrohttpd was built without TLS",))

    def no_server(self, what, server, words=None):
        config = self.found.path("config.yml")
        with open(config, "w", encoding="utf-8") as f:
            f.write("%s\ndbs: [{path: %s, replica: {url: '%s'}}]\n" % (server, self.db, self.url))
        self.logs(words or self.none("libmicrohttpd"), what, "-config", config)

    def loaded(self):
        """On a machine that has all of them."""
        weir = kit.Weir(self.weir, self.db, self.url, self.found.path("log"))
        before = kit.txids(self.found.path("replica"))
        weir.start()
        self.found.check(kit.wait_until(lambda: weir.logged("replicating to")), "it does not replicate")
        self.commit()
        self.found.check(kit.wait_until(lambda: kit.txids(self.found.path("replica")) > before), "nothing was replicated")
        maps = kit.read("/proc/%d/maps" % weir.process.pid).decode()
        for name in NAMES:
            stem = "/%s." % name.split(".")[0]
            self.found.check(stem not in maps, "%s is loaded for a replica in a directory" % name)
        self.found.check(weir.stop() == 0, "it failed at the end")


def main():
    found = kit.Findings("libraries")
    test = Test(sys.argv[1], sys.argv[2], sys.argv[3], found)
    test.without()
    test.old()
    test.plain()
    test.loaded()
    return found.end()


if __name__ == "__main__":
    sys.exit(main())

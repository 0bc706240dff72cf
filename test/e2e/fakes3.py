"""As much of S3 as weir needs, for faults that no real server would commit on demand.

Objects are files below a directory, LTX files where a file:// URL has them. It looks at the access
key and at nothing else of the signature; that signatures are right is s3_radosgw's business.
"""
import datetime
import hashlib
import http.server
import os
import re
import shutil
import socket
import struct
import threading
import time
import urllib.parse
import xml.sax.saxutils

import store

ACCESS = re.compile(r"Credential=([^/]*)/")
TIME = "x-amz-meta-litestream-timestamp"
NEW_YEAR = 1767225600
PAGE = 1000  # keys
ERROR = "<?xml version='1.0'?><Error><Code>%s</Code><Message>%s</Message></Error>"


class FakeS3:
    """On loopback, in threads. What `tls` (an ssl.SSLContext), `keys` and `lie` are may change at any
    time; `lie(method, path, query, answer)` may return another (status, headers, body). With
    `unconditional` it takes no notice of the conditions of a PUT."""

    def __init__(self, top, tls=None):
        self.top, self.keys, self.lie, self.unconditional = top, None, None, False
        self.uploads = {}  # of which parts have come: {number: bytes}
        self.requests, self.lock = [], threading.Lock()
        self.times = {}  # of objects: the one that came with it
        fake = self

        class Handler(_Handler):
            server_state = fake

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True,
                                                 do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.endpoint = "%s://127.0.0.1:%d" % ("https" if tls else "http", self.port)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, name, endpoint=None, more=""):
        return "s3://bucket/%s?endpoint=%s&region=r&force-path-style=true%s" % (
            name, endpoint or self.endpoint, more)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def file(self, key):
        """In a bucket a level is called 0009, in a directory ltx/9."""
        return os.path.join(self.top, re.sub(r"/([0-9a-f]{4})/", lambda m: "/ltx/%d/" % int(m[1], 16), key))

    def keys_there(self):
        for directory, _, files in os.walk(self.top):
            for f in files:
                if f.endswith(".ltx") or f.startswith("weir-probe-"):
                    name = os.path.relpath(os.path.join(directory, f), self.top)
                    yield re.sub(r"/ltx/(\d+)/", lambda m: "/%04x/" % int(m[1]), name)


class _Handler(http.server.BaseHTTPRequestHandler):
    disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement
    protocol_version = "HTTP/1.1"
    timeout = 20

    def log_message(self, *args):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:  # the client, or what is between us, went away
            self.close_connection = True

    def answer(self, status, body=b"", headers=(), length=None):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self):
        s = self.server_state
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        if len(body) < size:  # cut off on the way
            self.close_connection = True
            return
        path, _, query = self.path.partition("?")
        key = urllib.parse.unquote(path).split("/", 2)[2:]  # after the bucket
        query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        s.requests.append((self.command, path))
        access = ACCESS.search(self.headers.get("Authorization", ""))
        if s.keys is not None and (not access or access.group(1) not in s.keys):
            said = 403, [], (ERROR % ("ExpiredToken", "The provided token has expired.")).encode()
        else:
            with s.lock:
                said = self.act(key[0] if key else "", query, body)
        if s.lie:
            said = s.lie(self.command, path, query, said) or said
        self.answer(said[0], said[2], said[1], said[3] if len(said) > 3 else None)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_any

    def act(self, key, query, body):
        """(status, headers, body)"""
        s, name = self.server_state, self.server_state.file(key)
        if self.command in ("GET", "HEAD") and not key:
            return self.list(query)
        if self.command == "POST" and "delete" in query:
            for k in re.findall(rb"<Key>([^<]*)</Key>", body):
                if os.path.isfile(s.file(k.decode())):
                    os.remove(s.file(k.decode()))
            return 200, [], b"<DeleteResult></DeleteResult>"
        if "uploads" in query or "uploadId" in query:
            return self.upload(key, name, query, body)
        if self.command == "PUT" and not query:
            if os.path.exists(name) and self.headers.get("If-None-Match") == "*" and not s.unconditional:
                return 412, [], (ERROR % ("PreconditionFailed", "it exists")).encode()
            os.makedirs(os.path.dirname(name), exist_ok=True)
            with open(name + "~", "wb") as f:
                f.write(body)
            os.rename(name + "~", name)
            s.times[key] = self.headers.get(TIME)
            return 200, [("ETag", tag(body))], b""
        if self.command in ("GET", "HEAD") and os.path.isfile(name):
            with open(name, "rb") as f:
                data = f.read()
            headers = [("ETag", tag(data)), ("Last-Modified", self.date_time_string(int(os.path.getmtime(name))))]
            if s.times.get(key):
                headers.append((TIME, s.times[key]))
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if not wanted:
                return 200, headers, data, len(data)
            low, high = int(wanted.group(1)), min(int(wanted.group(2) or len(data)), len(data) - 1)
            headers.append(("Content-Range", "bytes %d-%d/%d" % (low, high, len(data))))
            part = data[low:high + 1]
            return 206, headers, part, len(part)
        if self.command == "DELETE":
            if os.path.isfile(name):
                os.remove(name)
            return 204, [], b""
        if self.command in ("GET", "HEAD"):
            return 404, [], (ERROR % ("NoSuchKey", "no such key")).encode()
        return 501, [], (ERROR % ("NotImplemented", "not in this fake")).encode()

    def upload(self, key, name, query, body):
        """One request of an upload in parts; what it is for is in its answer."""
        s, upload = self.server_state, query.get("uploadId", key)
        if self.command == "POST" and "uploads" in query:
            s.uploads[upload] = {}
            return 200, [], ("<InitiateMultipartUploadResult><UploadId>%s</UploadId>"
                             "</InitiateMultipartUploadResult>" % upload).encode()
        if upload not in s.uploads:
            return 404, [], (ERROR % ("NoSuchUpload", "no such upload")).encode()
        if self.command == "PUT":
            s.uploads[upload][int(query["partNumber"])] = body
            return 200, [("ETag", tag(body))], b""
        parts = s.uploads.pop(upload)
        if self.command == "DELETE":
            return 204, [], b""
        os.makedirs(os.path.dirname(name), exist_ok=True)
        data = b"".join(parts[n] for n in sorted(parts))
        with open(name, "wb") as f:
            f.write(data)
        return 200, [], ("<CompleteMultipartUploadResult><ETag>%s</ETag>"
                         "</CompleteMultipartUploadResult>" % tag(data)).encode()

    def list(self, query):
        s, prefix = self.server_state, query.get("prefix", "")
        after = query.get("continuation-token") or query.get("start-after", "")
        found = [k for k in sorted(s.keys_there()) if k.startswith(prefix) and k > after]
        page = found[:PAGE]
        return 200, [], listing(((k, os.path.getsize(s.file(k)), os.path.getmtime(s.file(k))) for k in page),
                                page[-1] if len(found) > PAGE else "")


def tag(data):
    return '"%s"' % hashlib.md5(data).hexdigest()


def listing(objects, more=""):
    """A page of ListObjectsV2, of (key, size) or (key, size, when it came). `more`: the token of the next,
    if there is one."""
    return ("<?xml version='1.0'?><ListBucketResult><IsTruncated>%s</IsTruncated>%s%s</ListBucketResult>" % (
        "true" if more else "false",
        "<NextContinuationToken>%s</NextContinuationToken>" % more if more else "",
        "".join("<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>&quot;%032x"
                "&quot;</ETag><Size>%d</Size></Contents>" % (
                    xml.sax.saxutils.escape(key), time_text(when[0] if when else NEW_YEAR), size, size)
                for key, size, *when in objects))).encode()


def time_text(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


class BadLine(store.SlowLine):
    """A line to a server on loopback that can be cut, and worse. `mode`:

    good    as if it were not there
    cut     connections are reset, new ones as soon as they are made
    silent  nothing arrives any more, in either direction, and nobody is told; what was under way when
            it is good again is reset, since neither end knows of the other
    slow    one byte a second
    resets  each connection breaks after some kilobytes
    lost    requests arrive, answers do not: reset instead
    """

    def __init__(self, endpoint):
        self.mode, self.made, self.sockets = "good", 0, []
        super().__init__(endpoint, 1 << 40)

    def become(self, mode):
        was, self.mode = self.mode, mode
        if mode == "cut" or was == "silent":
            for s in self.sockets:
                reset(s)
            self.sockets = []

    def accept(self):
        while True:
            near = self.listener.accept()[0]
            self.made += 1
            if self.mode == "cut":
                reset(near)
                near.close()
                continue
            far = socket.create_connection(self.target)
            self.sockets += [near, far]
            budget = [2000 + self.made * 7919 % 60000]
            for a, b, up in ((near, far, True), (far, near, False)):
                threading.Thread(target=self.carry_badly, args=(a, b, up, budget), daemon=True).start()

    def carry_badly(self, a, b, up, budget):
        try:
            while data := a.recv(16384):
                while self.mode == "silent":
                    time.sleep(0.02)
                while self.mode == "slow" and data:
                    b.sendall(data[:1])
                    data = data[1:]
                    time.sleep(1)
                budget[0] -= len(data)
                if self.mode == "resets" and budget[0] < 0 or self.mode == "lost" and not up:
                    break
                b.sendall(data)
            else:
                b.shutdown(socket.SHUT_WR)
                return
        except OSError:
            pass
        reset(a)
        reset(b)


def reset(s):
    """RST, whatever another thread is doing with it."""
    try:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.shutdown(socket.SHUT_RDWR)
        s.close()
    except OSError:
        pass

"""A bucket on loopback that is made to be measured with: it knows when each request came and when it
was done, what class it was of and what it carried, and it can be far away.

    s3_server.py DIRECTORY MILLISECONDS

Prints its port. Objects are PUT into files below DIRECTORY; files that are there when it starts are
objects, too: LTX files of a level ltx/N, as a file:// URL has them, under the names that a bucket has
for them. Signatures and checksums are not looked at. Every request waits its time, all of them at once
as on a real network, and then gets its bytes as fast as loopback carries them.

One thread and one epoll: threads would only take Python's lock from each other. What is large is sent
by sendfile and never seen by Python. A request costs about a tenth of a millisecond, and the row
`yardsticks` says how much it is here: whoever asks for thousands of objects is bounded by it.

Who measures asks for /-/count (requests so far), /-/classes (of each class: requests, bytes in, bytes
out), /-/connections (that had a request), /-/log?from=N (see Log) and /-/delay?ms=N; these are answered at
once and not counted.
"""
import bisect
import collections
import email.utils
import heapq
import itertools
import json
import os
import re
import selectors
import socket
import sys
import time
import urllib.parse
import xml.sax.saxutils

PAGE = 1000  # keys
LOG_MAX = 1 << 20
SMALL = 1 << 16  # bodies up to this go with their head
now = time.monotonic_ns


class Refused(Exception):
    """An answer that is an error: (status, code)."""


class Store:
    """Objects: each a list of (file, size), since the parts of an upload stay where they are."""

    def __init__(self, top):
        self.top, self.serial = top, itertools.count()
        self.objects, self.keys, self.uploads = {}, [], {}
        for directory, _, files in os.walk(top):
            for f in files:
                path = os.path.join(directory, f)
                name = os.path.relpath(path, top)
                key = re.sub(r"/ltx/(\d+)/", lambda m: "/%04x/" % int(m[1]), name)
                self.put(key, [(path, os.path.getsize(path))], [], os.path.getmtime(path))

    def file(self, body):
        path = os.path.join(self.top, "body-%d" % next(self.serial))
        with open(path, "wb", buffering=0) as f:
            f.write(body)
        return path, len(body)

    def put(self, key, parts, meta, at=None):
        if key not in self.objects:
            bisect.insort(self.keys, key)
        self.objects[key] = parts, meta, '"%x"' % next(self.serial), at or time.time()

    def delete(self, key):
        """Its files stay, for who wants to know afterwards what was in them."""
        if self.objects.pop(key, None):
            del self.keys[bisect.bisect_left(self.keys, key)]

    def get(self, key):
        if key not in self.objects:
            raise Refused(404, "NoSuchKey")
        return self.objects[key]

    def list(self, query):
        """The XML of what `query` asks for, in version 1 or 2."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        after = query.get("continuation-token") or query.get("start-after") or query.get("marker", "")
        most = min(int(query.get("max-keys") or PAGE), PAGE)
        out, last, n = [], "", 0
        i = max(bisect.bisect_left(self.keys, prefix), bisect.bisect_right(self.keys, after))
        while i < len(self.keys) and self.keys[i].startswith(prefix) and n < most:
            key = last = self.keys[i]
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            i += 1
            if end >= 0:
                common = key[: end + len(delimiter)]
                i = bisect.bisect_left(self.keys, common + "\U0010ffff")
                last = self.keys[i - 1]
                if after.startswith(common):
                    continue
                out.append("<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>" % escape(common))
            else:
                parts, _, etag, at = self.objects[key]
                when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at))
                out.append("<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>%s"
                           "</ETag><Size>%d</Size><StorageClass>STANDARD</StorageClass></Contents>"
                           % (escape(key), when, escape(etag), sum(size for _, size in parts)))
            n += 1
        more = i < len(self.keys) and self.keys[i].startswith(prefix)
        head = "<Prefix>%s</Prefix><KeyCount>%d</KeyCount><MaxKeys>%d</MaxKeys><IsTruncated>%s</IsTruncated>" % (
            escape(prefix), n, most, "true" if more else "false")
        if more:
            head += "<NextContinuationToken>%s</NextContinuationToken><NextMarker>%s</NextMarker>" % (
                escape(last), escape(last))
        return xml_of("ListBucketResult", head + "".join(out))


def escape(s):
    return xml.sax.saxutils.escape(s)


def xml_of(name, inside):
    return ("<?xml version='1.0' encoding='UTF-8'?><%s>%s</%s>" % (name, inside, name)).encode()


def unchunk(data):
    """What stands in Amazon's chunks, each after a line with its length in hexadecimal."""
    out, at = [], 0
    while True:
        end = data.index(b"\r\n", at)
        n = int(data[at:end].split(b";")[0], 16)
        if n == 0:
            return b"".join(out)
        out.append(data[end + 2 : end + 2 + n])
        at = end + 4 + n


class Request:
    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.came = now()
        self.method, target, _ = lines[0].split(" ")
        path, _, query = target.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.fields = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:])}
        self.control = path[3:] if path.startswith("/-/") else None
        self.key = urllib.parse.unquote(path).lstrip("/").partition("/")[2]  # after the bucket
        self.size = int(self.fields.get("content-length") or 0)
        self.body = b""

    def content(self):
        amazon = "aws-chunked" in self.fields.get("content-encoding", "")
        amazon = amazon or self.fields.get("x-amz-content-sha256", "").startswith("STREAMING-")
        return unchunk(self.body) if amazon else self.body

    def name(self):
        """What it is counted as."""
        if self.method == "POST":
            return "delete" if "delete" in self.query else "begin" if "uploads" in self.query else "complete"
        if self.method == "PUT" and "partNumber" in self.query:
            return "part"
        return "list" if self.method == "GET" and not self.key else self.method.lower()


class Answer:
    def __init__(self, status=200, headers=(), body=b"", parts=()):
        self.status, self.headers, self.body, self.parts = status, headers, body, parts
        self.size = sum(n for _, _, n in parts) if parts else len(body)


class Log:
    """Of each request: [came, done or the object visible, class, key, status, bytes in, bytes out,
    files of an object that came by it]; times are nanoseconds of CLOCK_MONOTONIC."""

    def __init__(self):
        self.lines, self.classes = collections.deque(maxlen=LOG_MAX), {}

    def add(self, request, answer, files):
        c = self.classes.setdefault(request.name(), [0, 0, 0])
        for i, n in enumerate((1, len(request.body), answer.size)):
            c[i] += n
        self.lines.append([request.came, now(), request.name(), request.key, answer.status, len(request.body),
                           answer.size, files])


class Bucket:
    def __init__(self, top, delay_ms):
        self.store, self.log, self.delay_s, self.connections = Store(top), Log(), delay_ms / 1000, 0

    def control(self, r):
        said = b""
        if r.control == "count":
            said = str(sum(n for n, _, _ in self.log.classes.values())).encode()
        elif r.control == "classes":
            said = json.dumps(self.log.classes).encode()
        elif r.control == "connections":
            said = str(self.connections).encode()
        elif r.control == "log":
            said = json.dumps(list(itertools.islice(self.log.lines, int(r.query["from"]), None))).encode()
        elif r.control == "delay":
            self.delay_s = float(r.query["ms"]) / 1000
        return Answer(body=said)

    def answer(self, r):
        files = []
        try:
            said = self.act(r, files)
        except Refused as e:
            said = Answer(e.args[0], body=xml_of("Error", "<Code>%s</Code><Message>-</Message>" % e.args[1]))
        self.log.add(r, said, files)
        return said

    def act(self, r, files):
        what = r.name()
        if what == "list":
            if "location" in r.query:
                return Answer(body=xml_of("LocationConstraint", ""))
            return Answer(body=self.store.list(r.query))
        if what in ("get", "head"):
            return self.read(r) if r.key else Answer()
        if what == "put":
            return self.put(r, files) if r.key else Answer()
        if what == "delete":
            for key in [r.key] if r.method == "DELETE" else re.findall("<Key>(.*?)</Key>", r.content().decode(), re.S):
                self.store.delete(xml.sax.saxutils.unescape(key))
            return Answer(204) if r.method == "DELETE" else Answer(body=xml_of("DeleteResult", ""))
        return self.upload(r, what, files)

    def read(self, r):
        parts, meta, etag, at = self.store.get(r.key)
        size = low = sum(n for _, n in parts)
        headers, status, low, high = [("ETag", etag), ("Last-Modified", email.utils.formatdate(at, usegmt=True)), *meta], 200, 0, size
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", r.fields.get("range", ""))
        if wanted:
            low = int(wanted[1]) if wanted[1] else max(size - int(wanted[2]), 0)
            high = min(int(wanted[2]) + 1, size) if wanted[1] and wanted[2] else size
            if low >= high:
                raise Refused(416, "InvalidRange")
            headers.append(("Content-Range", f"bytes {low}-{high - 1}/{size}"))
            status = 206
        pieces, at = [], 0
        for path, n in parts:
            start, end = max(low, at), min(high, at + n)
            if start < end:
                pieces.append((path, start - at, end - start))
            at += n
        return Answer(status, headers, parts=pieces)

    def put(self, r, files):
        there = self.store.objects.get(r.key)
        match = r.fields.get("if-match")
        if (r.fields.get("if-none-match") == "*" and there) or (match and not (there and there[2] == match)):
            raise Refused(412, "PreconditionFailed")
        part = self.store.file(r.content())
        self.store.put(r.key, [part], [(k, v) for k, v in r.fields.items() if k.startswith("x-amz-meta-")])
        files.append(part[0])
        return Answer(headers=[("ETag", self.store.objects[r.key][2])])

    def upload(self, r, what, files):
        if what == "begin":
            name = "upload-%d" % next(self.store.serial)
            meta = [(k, v) for k, v in r.fields.items() if k.startswith("x-amz-meta-")]
            self.store.uploads[name] = {}, meta
            said = "<Key>%s</Key><UploadId>%s</UploadId>" % (escape(r.key), name)
            return Answer(body=xml_of("InitiateMultipartUploadResult", said))
        name = r.query["uploadId"]
        if name not in self.store.uploads:
            raise Refused(404, "NoSuchUpload")
        parts, meta = self.store.uploads[name]
        if what == "part":
            parts[int(r.query["partNumber"])] = self.store.file(r.content())
            return Answer(headers=[("ETag", '"%s"' % r.query["partNumber"])])
        self.store.put(r.key, [parts[n] for n in sorted(parts)], meta)
        del self.store.uploads[name]
        files.extend(path for path, _ in self.store.objects[r.key][0])
        said = "<Key>%s</Key><ETag>%s</ETag>" % (escape(r.key), escape(self.store.objects[r.key][2]))
        return Answer(body=xml_of("CompleteMultipartUploadResult", said))


class Connection:
    """What has come and has yet to be sent; one request at a time."""

    def __init__(self, sock):
        self.sock, self.inside, self.request, self.out = sock, bytearray(), None, collections.deque()
        self.counted = False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive(self):
        """Whether the other side is still there."""
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return True
        self.inside += data
        return bool(data)

    def complete(self):
        """A request that has all of its body, or None."""
        if not self.request:
            end = self.inside.find(b"\r\n\r\n")
            if end < 0:
                return None
            self.request = Request(bytes(self.inside[:end]))
            del self.inside[: end + 4]
            if "100-continue" in self.request.fields.get("expect", "").lower():
                self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        r = self.request
        if len(self.inside) < r.size:
            return None
        r.body, self.request = bytes(self.inside[: r.size]), None
        del self.inside[: r.size]
        return r

    def say(self, r, a):
        lines = [f"HTTP/1.1 {a.status} -", f"Content-Length: {a.size}", *(f"{k}: {v}" for k, v in a.headers), "", ""]
        head = "\r\n".join(lines).encode()
        if r.method == "HEAD" or a.status == 204:
            self.out.append(head)
        elif a.size <= SMALL:
            self.out.append(head + (a.body or b"".join(read(p) for p in a.parts)))
        else:
            self.out += [head, a.body] if a.body else [head, *((os.open(p, os.O_RDONLY), at, n) for p, at, n in a.parts)]

    def send(self):
        try:
            while self.out:
                piece = self.out[0]
                if isinstance(piece, bytes):
                    done = self.sock.send(piece)
                    rest = piece[done:]
                else:
                    fd, at, n = piece
                    done = os.sendfile(self.sock.fileno(), fd, at, n)
                    rest = (fd, at + done, n - done) if done < n else None
                    if not rest:
                        os.close(fd)
                if rest:
                    self.out[0] = rest
                else:
                    self.out.popleft()
        except BlockingIOError:
            pass


def read(piece):
    with open(piece[0], "rb", buffering=0) as f:
        return os.pread(f.fileno(), piece[2], piece[1])


class Server:
    def __init__(self, bucket):
        self.bucket, self.poll, self.late, self.order = bucket, selectors.EpollSelector(), [], itertools.count()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.poll.register(self.listener, selectors.EVENT_READ, None)

    def close(self, c):
        self.poll.unregister(c.sock)
        c.sock.close()
        for piece in c.out:
            if not isinstance(piece, bytes):
                os.close(piece[0])
        c.out = None  # for what still waits for its time

    def answer(self, c, r):
        try:
            if c.out is None:
                return
            c.say(r, self.bucket.control(r) if r.control else self.bucket.answer(r))
            self.flush(c)
        except OSError:
            self.close(c)

    def flush(self, c):
        c.send()
        self.poll.modify(c.sock, selectors.EVENT_READ | (selectors.EVENT_WRITE if c.out else 0), c)

    def ready(self, c, mask):
        try:
            if mask & selectors.EVENT_WRITE:
                self.flush(c)
            if mask & selectors.EVENT_READ:
                if not c.receive():
                    return self.close(c)
                r = c.complete()
                if r and not r.control and not c.counted:
                    c.counted = True
                    self.bucket.connections += 1
                if r and self.bucket.delay_s and not r.control:
                    heapq.heappush(self.late, (time.monotonic() + self.bucket.delay_s, next(self.order), c, r))
                elif r:
                    self.answer(c, r)
        except OSError:
            self.close(c)

    def run(self):
        print(self.listener.getsockname()[1], flush=True)
        while True:
            wait = max(0, self.late[0][0] - time.monotonic()) if self.late else None
            for key, mask in self.poll.select(wait):
                if key.data:
                    self.ready(key.data, mask)
                else:
                    sock, _ = self.listener.accept()
                    self.poll.register(sock, selectors.EVENT_READ, Connection(sock))
            while self.late and self.late[0][0] <= time.monotonic():
                _, _, c, r = heapq.heappop(self.late)
                self.answer(c, r)


if __name__ == "__main__":
    Server(Bucket(sys.argv[1], float(sys.argv[2]))).run()

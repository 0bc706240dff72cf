"""A bucket on loopback that answers reads late: as much of S3 as reading a replica takes.

    slow_s3.py DIRECTORY MILLISECONDS

Prints its port. Objects are files below the directory, LTX files where a file:// URL has them; the
signature is not looked at. Every request waits its time, all of them at once as on a real network,
and then gets its bytes as fast as loopback carries them. `GET /-/count` is not one: it is answered
at once, with the number of requests so far.
"""
import asyncio
import os
import re
import sys
import urllib.parse

PAGE = 1000  # keys


class Bucket:
    def __init__(self, top, delay_s):
        self.top, self.delay_s, self.requests = top, delay_s, 0

    def file(self, key):
        """In a bucket a level is called 0009, in a directory ltx/9."""
        return os.path.join(self.top, re.sub(r"/([0-9a-f]{4})/", lambda m: "/ltx/%d/" % int(m[1], 16), key))

    def keys(self, prefix):
        for directory, _, files in os.walk(self.top):
            for f in files:
                name = os.path.relpath(os.path.join(directory, f), self.top)
                key = re.sub(r"/ltx/(\d+)/", lambda m: "/%04x/" % int(m[1]), name)
                if key.endswith(".ltx") and key.startswith(prefix):
                    yield key

    def list(self, query):
        prefix = query.get("prefix", "")
        after = query.get("continuation-token") or query.get("start-after", "")
        found = [k for k in sorted(self.keys(prefix)) if k > after]
        out = ["<?xml version='1.0' encoding='UTF-8'?><ListBucketResult><IsTruncated>%s</IsTruncated>"
               % ("true" if len(found) > PAGE else "false")]
        if len(found) > PAGE:
            out.append("<NextContinuationToken>%s</NextContinuationToken>" % found[PAGE - 1])
        for k in found[:PAGE]:
            out.append("<Contents><Key>%s</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                       "<ETag>&quot;0&quot;</ETag><Size>%d</Size></Contents>" % (k, os.path.getsize(self.file(k))))
        return 200, [("Content-Type", "application/xml")], "".join(out + ["</ListBucketResult>"]).encode()

    def answer(self, method, target, wanted):
        """(status, headers, body or (path, offset, size))"""
        path, _, query = target.partition("?")
        key = urllib.parse.unquote(path).split("/", 2)[2:]  # after the bucket
        if method not in ("GET", "HEAD"):
            return 403, [], b"<Error><Code>AccessDenied</Code><Message>read-only</Message></Error>"
        if not key or not key[0]:
            return self.list(dict(urllib.parse.parse_qsl(query, keep_blank_values=True)))
        name = self.file(key[0])
        if not os.path.isfile(name):
            return 404, [], b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>"
        size = os.path.getsize(name)
        headers = [("ETag", '"0"'), ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")]
        part = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
        if not part:
            return 200, headers, (name, 0, size)
        if part[1]:
            low, high = int(part[1]), min(int(part[2] or size), size - 1)
        else:
            low, high = max(size - int(part[2]), 0), size - 1
        if low > high:
            return 416, [], b"<Error><Code>InvalidRange</Code><Message>not that long</Message></Error>"
        headers.append(("Content-Range", f"bytes {low}-{high}/{size}"))
        return 206, headers, (name, low, high - low + 1)


def read(body):
    if isinstance(body, bytes):
        return body
    fd = os.open(body[0], os.O_RDONLY)
    try:
        return os.pread(fd, body[2], body[1])
    finally:
        os.close(fd)


async def serve(bucket, reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split("\r\n", 1)[0].split(" ")
            fields = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in head.split("\r\n")[1:])}
            await reader.readexactly(int(fields.get("content-length") or 0))
            if target == "/-/count":
                said = 200, [], str(bucket.requests).encode()
            else:
                bucket.requests += 1
                await asyncio.sleep(bucket.delay_s)
                said = bucket.answer(method, target, fields.get("range"))
            body = read(said[2])
            lines = [f"HTTP/1.1 {said[0]} -", f"Content-Length: {len(body)}"]
            lines += [f"{k}: {v}" for k, v in said[1]]
            writer.write("\r\n".join(lines + ["", ""]).encode() + (b"" if method == "HEAD" else body))
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass  # the client has gone
    finally:
        writer.close()


async def main():
    bucket = Bucket(sys.argv[1], int(sys.argv[2]) / 1000)
    server = await asyncio.start_server(lambda r, w: serve(bucket, r, w), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

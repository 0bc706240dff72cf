"""Where the end-to-end scripts put replicas, and what can stand in between."""
import hashlib
import hmac
import html
import os
import re
import socket
import threading
import time
import urllib.parse
import urllib.request


class Store:
    """Where replicas go: a directory, or a bucket of the S3 server that radosgw.sh names."""

    def __init__(self, bucket, work):
        self.bucket, self.work, self.env = bucket, work, None
        if bucket:
            self.endpoint = os.environ["WEIR_TEST_S3_ENDPOINT"]
            self.env = dict(os.environ, AWS_ACCESS_KEY_ID=os.environ["WEIR_TEST_S3_ACCESS"],
                            AWS_SECRET_ACCESS_KEY=os.environ["WEIR_TEST_S3_SECRET"])
            self.make_bucket()

    def url(self, name, endpoint=None):
        """`endpoint`: of something in between."""
        if self.bucket:
            return "s3://%s/%s?endpoint=%s&region=us-east-1&forcePathStyle=true" % (
                self.bucket, name, endpoint or self.endpoint)
        return "file://" + os.path.join(self.work, name)

    def make_bucket(self):
        """Neither program creates buckets."""
        self.ask("PUT")

    def ask(self, method, key="", query=(), body=b""):
        """One signed request about the bucket, or an object in it; the answer's body."""
        host = self.endpoint.split("//")[1]
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        digest = hashlib.sha256(body).hexdigest()
        path = "/" + urllib.parse.quote(self.bucket + ("/" + key if key else ""), safe="/-_.~")
        asked = urllib.parse.urlencode(sorted(query), quote_via=urllib.parse.quote, safe="-_.~")
        canonical = "%s\n%s\n%s\nhost:%s\nx-amz-content-sha256:%s\nx-amz-date:%s\n\n" \
            "host;x-amz-content-sha256;x-amz-date\n%s" % (method, path, asked, host, digest, now, digest)
        scope = now[:8] + "/us-east-1/s3/aws4_request"
        text = "AWS4-HMAC-SHA256\n%s\n%s\n%s" % (
            now, scope, hashlib.sha256(canonical.encode()).hexdigest())
        secret = ("AWS4" + self.env["AWS_SECRET_ACCESS_KEY"]).encode()
        for part in scope.split("/") + [text]:
            secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
        auth = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=host;x-amz-content-sha256;" \
            "x-amz-date, Signature=%s" % (self.env["AWS_ACCESS_KEY_ID"], scope, secret.hex())
        request = urllib.request.Request(
            self.endpoint + path + ("?" + asked if asked else ""), method=method,
            data=body if method == "PUT" else None,
            headers={"x-amz-date": now, "x-amz-content-sha256": digest, "Authorization": auth})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def keys(self, prefix):
        """Of the objects in the bucket that begin so, in order."""
        found, more = [], []
        while True:
            answer = self.ask("GET", query=[("list-type", "2"), ("prefix", prefix), *more]).decode()
            found += [html.unescape(k) for k in re.findall("<Key>([^<]*)</Key>", answer)]
            token = re.search("<NextContinuationToken>([^<]*)</NextContinuationToken>", answer)
            if not token:
                return found
            more = [("continuation-token", html.unescape(token.group(1)))]


class SlowLine:
    """A port on loopback that leads to another and lets `rate` bytes a second through to it."""

    def __init__(self, endpoint, rate):
        host, port = endpoint.split("//")[1].rsplit(":", 1)
        self.target, self.rate = (host, int(port)), rate
        self.lock, self.free_at = threading.Lock(), time.monotonic()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near = self.listener.accept()[0]
            far = socket.create_connection(self.target)
            for a, b, slow in ((near, far, True), (far, near, False)):
                threading.Thread(target=self.carry, args=(a, b, slow), daemon=True).start()

    def wait(self, n):
        """All connections share the line."""
        with self.lock:
            self.free_at = max(self.free_at, time.monotonic()) + n / self.rate
            until = self.free_at
        time.sleep(max(0, until - time.monotonic()))

    def carry(self, a, b, slow):
        try:
            while data := a.recv(16384):
                if slow:
                    self.wait(len(data))
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

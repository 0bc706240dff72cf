"""Where the end-to-end scripts put replicas, and what can stand in between."""
import hashlib
import hmac
import os
import socket
import threading
import time
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
        """One signed PUT: neither program creates buckets."""
        host = self.endpoint.split("//")[1]
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        empty = hashlib.sha256(b"").hexdigest()
        canonical = "PUT\n/%s\n\nhost:%s\nx-amz-content-sha256:%s\nx-amz-date:%s\n\n" \
            "host;x-amz-content-sha256;x-amz-date\n%s" % (self.bucket, host, empty, now, empty)
        scope = now[:8] + "/us-east-1/s3/aws4_request"
        text = "AWS4-HMAC-SHA256\n%s\n%s\n%s" % (
            now, scope, hashlib.sha256(canonical.encode()).hexdigest())
        key = ("AWS4" + self.env["AWS_SECRET_ACCESS_KEY"]).encode()
        for part in scope.split("/") + [text]:
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        auth = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=host;x-amz-content-sha256;" \
            "x-amz-date, Signature=%s" % (self.env["AWS_ACCESS_KEY_ID"], scope, key.hex())
        request = urllib.request.Request("%s/%s" % (self.endpoint, self.bucket), method="PUT", headers={
            "x-amz-date": now, "x-amz-content-sha256": empty, "Authorization": auth})
        urllib.request.urlopen(request, timeout=30).close()


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

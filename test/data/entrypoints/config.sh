#!/bin/sh
# Without a bucket, as in development, the server runs alone.
set -eu

if [ "$#" -gt 0 ]; then
    exec "$@"
fi

if [ -n "${LITESTREAM_BUCKET:-}" ]; then
    litestream restore -if-db-not-exists -if-replica-exists -config /etc/litestream.yml /data/db || true

    exec litestream replicate -config /etc/litestream.yml -exec \
        "myapp -db /data/db -bind 0.0.0.0:8080"
else
    exec myapp -db /data/db
fi

#!/bin/sh
set -e

if [ -n "$LITESTREAM_BUCKET" ]; then
  if [ ! -f /data/db ]; then
    echo "Restoring database from the replica (if any)..."
    litestream restore -if-replica-exists -config /etc/litestream.yml /data/db
  fi
  exec litestream replicate --exec "$*" -config /etc/litestream.yml
fi

exec "$@"

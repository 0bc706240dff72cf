#!/bin/sh
set -eu

DATA_DIR="${DATA_DIR:-/data}"
DB_PATH="$DATA_DIR/db"
SERVE="myapp -db $DB_PATH -port ${PORT:-8080}"

mkdir -p "$DATA_DIR"

if [ -n "${REPLICA_URL:-}" ]; then
  litestream restore -if-db-not-exists -if-replica-exists -o "$DB_PATH" "$REPLICA_URL"
  exec litestream replicate -exec "$SERVE" "$DB_PATH" "$REPLICA_URL"
else
  echo '{"level":"warn","msg":"REPLICA_URL not set: serving WITHOUT replication"}'
  exec $SERVE
fi

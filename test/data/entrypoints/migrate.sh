#!/bin/bash
set -e

# Restore the database if it does not already exist.
if [ -f /data/db ]; then
  echo "Database already exists, skipping restore"
else
  litestream restore -v -parallelism 64 -if-replica-exists -o /data/db /data/db
fi

# What the new release needs, before anybody writes.
myapp -db /data/db -migrate

exec litestream replicate -exec "myapp -db /data/db"

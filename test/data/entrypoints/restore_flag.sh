#!/bin/sh
# Since 0.5 one command does both.
set -e
exec litestream replicate -restore-if-db-not-exists -exec "myapp -db /data/db"

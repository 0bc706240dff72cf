#!/bin/sh
# The application in front, the replication behind it: both end at once.
if [ -n "$LITESTREAM_BUCKET" ]; then
    litestream restore -if-replica-exists -if-db-not-exists -config /etc/litestream.yml /data/db \
        || echo "Warning: the backup was not restored, going on with the local database."
    litestream replicate -config /etc/litestream.yml &
fi
exec myapp -db /data/db

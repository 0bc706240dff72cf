#!/bin/sh
# Run the application, given as arguments, with its database restored and replicated.
#
# Without REPLICA_URL it runs alone, as on a developer's machine.
set -eu

if [ -z "${REPLICA_URL:-}" ]; then
    echo "start.sh: no REPLICA_URL, the database is not replicated" >&2
    exec "$@"
fi
exec weir run -db "${DATABASE:?is the path of the database}" -replica "$REPLICA_URL" -- "$@"

#!/bin/bash
# Run a command with a private radosgw: one monitor, one in-memory OSD, one gateway, all on
# loopback, gone when the command ends.
#
#     radosgw.sh COMMAND [ARGUMENT...]
#
# The command finds the gateway in WEIR_TEST_S3_ENDPOINT, WEIR_TEST_S3_ACCESS and
# WEIR_TEST_S3_SECRET. Exit status: the command's; 77 when radosgw is not installed (Debian:
# radosgw ceph-mon ceph-osd ceph-mgr ceph-common); 99 when it does not start.
#
# Within itself it only runs the command. So several tests can share a gateway: each has a bucket of its own.
set -u

[ -z "${WEIR_TEST_S3_ENDPOINT:-}" ] || exec "$@"

for tool in radosgw radosgw-admin ceph ceph-mon ceph-osd ceph-authtool monmaptool; do
    command -v "$tool" >/dev/null || { echo "no $tool here: skipped"; exit 77; }
done

# Meson sets this to catch uses of freed memory, and radosgw 16 has one: it dies in a DeleteObjects
# request. The command shall have it all the same.
perturb=${MALLOC_PERTURB_:-}
unset MALLOC_PERTURB_

dir=$(mktemp -d "${TMPDIR:-/tmp}/weir-radosgw-XXXXXX")
pids=()

stop() {
    # Gateway first: it would wait for the others.
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill "${pids[i]}" 2>/dev/null
        for _ in $(seq 20); do
            kill -0 "${pids[i]}" 2>/dev/null || break
            sleep 0.1
        done
        kill -9 "${pids[i]}" 2>/dev/null
        wait "${pids[i]}" 2>/dev/null
    done
    rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM

give_up() {
    echo "radosgw does not start: $1"
    tail -n 5 "$dir"/*.out 2>/dev/null
    exit 99
}

# until_ok TRIES COMMAND...: five tries a second.
until_ok() {
    local tries=$1
    shift
    for _ in $(seq "$tries"); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.2
    done
    return 1
}

start() {
    local name=$1
    shift
    "$@" >"$dir/$name.out" 2>&1 &
    pids+=($!)
}

read -r port_v2 port_v1 port < <(python3 - <<'PY'
import socket
s = [socket.socket() for _ in range(3)]
for x in s:
    x.bind(("127.0.0.1", 0))
print(*[x.getsockname()[1] for x in s])
PY
)
fsid=$(cat /proc/sys/kernel/random/uuid)
mkdir "$dir/mon" "$dir/osd" "$dir/rgw"
cat >"$dir/ceph.conf" <<CONF
[global]
fsid = $fsid
mon host = [v2:127.0.0.1:$port_v2,v1:127.0.0.1:$port_v1]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
# No keys between the daemons, so nothing on the wire can be encrypted with them.
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms mon service mode = crc
ms client mode = crc
ms service mode = crc
auth allow insecure global id reclaim = false
# One copy of everything in memory.
osd objectstore = memstore
memstore device bytes = 4294967296
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd crush chooseleaf type = 0
osd op num shards = 2
osd op num threads per shard = 1
mon allow pool size one = true
mon data avail crit = 1
mon data = $dir/mon
osd data = $dir/osd
rgw data = $dir/rgw
keyring = $dir/keyring
run dir = $dir
admin socket = $dir/\$name.asok
log file = $dir/\$name.log
rgw frontends = beast endpoint=127.0.0.1:$port
rgw thread pool size = 16
rgw dns name = localhost
rgw enable usage log = false
CONF
export CEPH_CONF=$dir/ceph.conf CEPH_ARGS="-c $dir/ceph.conf"

ceph-authtool -C "$dir/keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
ceph-authtool "$dir/keyring" --gen-key -n client.admin \
    --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' >/dev/null
cp "$dir/keyring" "$dir/rgw/keyring"
monmaptool --create --clobber --fsid "$fsid" \
    --addv a "[v2:127.0.0.1:$port_v2,v1:127.0.0.1:$port_v1]" "$dir/monmap" >/dev/null
ceph-mon --mkfs -i a --monmap "$dir/monmap" --keyring "$dir/keyring" >"$dir/mkfs.out" 2>&1 ||
    give_up "monitor"
start mon ceph-mon -f -i a
until_ok 100 timeout 5 ceph -s || give_up "monitor"
osd=$(cat /proc/sys/kernel/random/uuid)
ceph osd new "$osd" >/dev/null 2>&1 || give_up "osd"
ceph-osd -i 0 --mkfs --osd-uuid "$osd" --no-mon-config >>"$dir/mkfs.out" 2>&1 || give_up "osd"
start osd ceph-osd -f -i 0
osd_up() { ceph osd stat | grep -q '1 up'; }
until_ok 150 osd_up || give_up "osd"
start rgw radosgw -f --keyring "$dir/keyring" -n client.admin
until_ok 300 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port" || give_up "gateway"

export WEIR_TEST_S3_ENDPOINT=http://127.0.0.1:$port
export WEIR_TEST_S3_ACCESS=AKIARADOSGWTEST WEIR_TEST_S3_SECRET=radosgw+test/secret=0123456789
radosgw-admin user create --uid=weir --display-name=weir --access-key="$WEIR_TEST_S3_ACCESS" \
    --secret="$WEIR_TEST_S3_SECRET" >/dev/null 2>"$dir/user.out" || give_up "user"

[ -z "$perturb" ] || export MALLOC_PERTURB_=$perturb
"$@"

#!/usr/bin/env bash
# Where /dev/shm is too small, clear words instead of a signal. The story runs in a mount namespace of its own,
# where /dev/shm is 1 MiB and nobody else's.
source "$(dirname "$0")/../support/e2e.sh"

if [[ ${1:-} != inside ]]; then
    namespace=(unshare -m)
    [[ $(id -u) -eq 0 ]] || namespace=(unshare -rm)
    mount_tiny='mount -t tmpfs -o size=1M none /dev/shm'
    "${namespace[@]}" sh -c "$mount_tiny" 2>/dev/null || skip "no mount namespace is permitted here"
    # shellcheck disable=SC2016 # for the inner shell
    exec "${namespace[@]}" sh -c "$mount_tiny"' && exec bash "$0" inside' "$0"
fi
e2e_begin tiny

status=0
start_origin --max-age 3600
start_cache --memory 64M
timeout "$DEADLINE" "$BIN/proxy_client" --instance "$INSTANCE" --listen 127.0.0.1:0 \
    --origin "http://$ORIGIN" --segments 64 --segment-size 64K >"$DIR/tiny.out" 2>"$DIR/tiny.err" || status=$?
expect_eq "exit status of a proxy whose pool does not fit" "$status" 1
expect_match "its message" "$(cat "$DIR/tiny.err")" '/dev/shm'
expect_eq "names of the proxy left" "$(find /dev/shm -name "larder.$INSTANCE.*")" ""

start_proxy small --segments 8 --segment-size 16K # one that fits works
await_proxies 1
get_ok "$DIR/body" "http://${HTTP[small]}/x?size=100000"
wait_until "it is stored" cache_shows .cache.fills 1

# The rest is taken by somebody else: asking for statistics fails with words, not with a signal.
head -c 2M /dev/zero >/dev/shm/other 2>/dev/null || true
status=0
cache_ctl stats >"$DIR/ctl.out" 2>"$DIR/ctl.err" || status=$?
expect_eq "exit status of cache_ctl" "$status" 1
expect_match "its message" "$(cat "$DIR/ctl.err")" '/dev/shm'
get_ok "$DIR/body" "http://${HTTP[small]}/x?size=100000"
expect_hit
rm /dev/shm/other

# The proxy has to make a new pool when the cache comes back, and somebody else has taken the room meanwhile: it
# says so, serves from the origin, and registers when there is room again.
take_all_room() { # whatever becomes free, at once
    while [[ ! -e $DIR/enough ]]; do
        printf '%4096s' x >>/dev/shm/other || true
    done 2>/dev/null
}
said() { # WORDS
    grep -cE "$1" "$DIR/small.err" || true
}
says_more_often() { # WORDS TIMES
    (($(said "$1") > $2))
}
FULL='/dev/shm has no room'
start taker take_all_room
for ((tries = 0; $(said "$FULL") == 0; tries++)); do # again if it was quicker than the taker
    ((tries < 20)) || fail "it never finds /dev/shm full"
    if [[ -z ${PID[cache]:-} ]]; then
        before=$(said 'attached to the cache')
        start_cache --memory 64M
        wait_until "it registers" says_more_often 'attached to the cache' "$before"
    fi
    before=$(said "$FULL|nobody holds")
    kill_hard cache
    wait_until "it says why it is not registered" says_more_often "$FULL|nobody holds" "$before"
done
start_cache --memory 64M
for _ in 1 2 3; do
    get_ok "$DIR/body" "http://${HTTP[small]}/x?size=100000"
    cmp "$DIR/body" <(generated 100000) >&2 || fail "bytes differ without room for a pool"
    expect_forwarded
done
touch "$DIR/enough"
await_end taker
rm /dev/shm/other
await_proxies 1
wait_until "it uses the cache again" is_hit small "/x?size=100000"
expect_cache .cache.registrations 1

# A cache needs none of it: one starts while there is no room.
head -c 2M /dev/zero >/dev/shm/other 2>/dev/null || true
stop cache
start_cache --memory 64M
rm /dev/shm/other
await_proxies 1
stop small
stop cache
e2e_done

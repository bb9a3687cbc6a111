#!/usr/bin/env bash
# A cache of several shards: what it stores, says, forgets and is told is that of one cache; the next one may have
# another number of them. The stories of other files are told with shards by LARDER_SHARDS; see CMakeLists.txt.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin shards

CONF=$DIR/cache.conf
OBJECTS=60

configure() { # MEMORY LIMIT [LINE]
    printf '[cache]\nmemory = %s\n[tenant "default"]\nlimit = %s\nreserve = 3M\nmax-fills = 30\n%s\n' \
        "$1" "$2" "${3:-}" >"$CONF.new"
    mv "$CONF.new" "$CONF"
}

url() { # NUMBER
    echo "/generate?size=$((1000 + $1 * 997))&seed=$1&max-age=3600"
}

fetch() { # PROXY NUMBER: byte for byte
    get_ok "$DIR/body" "http://${HTTP[$1]}$(url "$2")"
    generated "$((1000 + $2 * 997)):$2" >"$DIR/wanted"
    expect_same "$DIR/body" "$DIR/wanted"
}

fetch_all() { # PROXY
    for ((i = 0; i < OBJECTS; i++)); do
        fetch "$1" "$i"
    done
}

shard_queues() {
    ipc_names | grep -c '\.shard[0-9]*$' || true
}

# ---- one cache ----

configure 96M 48M
# shellcheck disable=SC2119 # no option is needed
start_origin
start_cache --config "$CONF" --shards 3
expect_eq "queues of shards" "$(shard_queues)" 2
start_proxy one
start_proxy two
await_proxies 2
fetch_all one
wait_until "all are stored" cache_shows .cache.fills "$OBJECTS"
fetch_all two
expect_cache .cache.hits "$OBJECTS"
expect_cache .cache.misses "$OBJECTS"
expect_cache .cache.objects "$OBJECTS"
expect_cache .cache.shards 3
expect_cache '.proxies | length' 2
expect_cache '.tenants | length' 1
expect_cache '[.proxies[].hits] | add' "$OBJECTS"
expect_cache .cache.bytes_allowed $((96 << 20))
expect_cache '.tenants[0].bytes_limit' $((48 << 20))
expect_cache '.tenants[0].bytes_reserved' $((3 << 20))
expect_origin '[.by_path[]] | max' "$OBJECTS"
expect_match "ping" "$(cache_ctl ping)" ', 3 shards, answered'
for ((i = 0; i < OBJECTS; i += 10)); do
    expect_eq "size of object $i" \
        "$(cache_ctl show --origin "http://$ORIGIN" "$(url "$i")" --json | gojq .size)" $((1000 + i * 997))
done

# ---- purges ----

expect_eq "one key" "$(cache_ctl purge --origin "http://$ORIGIN" --key "$(url 5)" --json | gojq .purged)" 1
! is_hit one "$(url 5)" || fail "what was purged came from the cache"
wait_until "it is stored again" cache_shows .cache.objects "$OBJECTS"
expect_eq "everything that begins so" \
    "$(cache_ctl purge --origin "http://$ORIGIN" --prefix /generate --json | gojq .purged)" "$OBJECTS"
expect_cache .cache.objects 0
fetch_all two
wait_until "all are stored again" cache_shows .cache.objects "$OBJECTS"
expect_eq "everything" "$(cache_ctl purge --all --soft --json | gojq .purged)" "$OBJECTS"
expect_cache .cache.objects "$OBJECTS"
expect_cache .cache.purges 3
expect_eq "of a tenant that is not there" "$(cache_ctl purge --all --tenant nobody 2>&1 >/dev/null | wc -l)" 1

# ---- another configuration, for all or for none ----

configure 48M 24M
cache_ctl reload
expect_cache .cache.bytes_allowed $((48 << 20))
expect_cache '.tenants[0].bytes_limit' $((24 << 20))
configure 24M 24M 'nonsense = 1'
! cache_ctl reload 2>"$DIR/problems" || fail "a configuration with a mistake was taken"
expect_match "what is wrong" "$(cat "$DIR/problems")" 'unknown key "nonsense"'
expect_cache .cache.bytes_allowed $((48 << 20))
configure 11M 11M
! cache_ctl reload 2>"$DIR/problems" || fail "less memory than shards need was taken"
expect_match "what is wrong" "$(cat "$DIR/problems")" 'less than 4M for each of 3 shards'
configure 60M 30M
send cache HUP
wait_until "the signal is heard by all" cache_shows .cache.bytes_allowed $((60 << 20))

# ---- a proxy and the cache are killed ----

kill_hard two
wait_until "all shards have taken it back" cache_shows .cache.proxies_reclaimed 1
expect_cache .cache.proxies 1
kill_hard cache
expect_eq "queues of shards that are left" "$(shard_queues)" 2
fetch one 1 # from the origin
start_cache --config "$CONF" --shards 2
expect_eq "queues of shards" "$(shard_queues)" 1
await_proxies 1
fetch_all one
wait_until "all are stored" cache_shows .cache.fills "$OBJECTS"
expect_cache .cache.shards 2
kill_hard cache
start_cache --config "$CONF"
expect_eq "queues of shards" "$(shard_queues)" 0
await_proxies 1
fetch one 2
expect_cache .cache.shards 1
stop cache
start_cache --config "$CONF" --shards 16 --memory 64M
await_proxies 1
fetch_all one
fetch_all one
expect_cache .cache.hits "$OBJECTS"
stop cache
stop one

# ---- what is left of it is found ----

start_cache --shards 2 --memory 64M
kill_hard cache
is_named() {
    cache_ctl doctor >"$DIR/doctor" || true
    grep -q "command queue of a dead cache" "$DIR/doctor" && grep -q "larder.$INSTANCE.shard1" "$DIR/doctor"
}
wait_until "doctor names the queue" is_named # which is young at first
sweeps() {
    cache_ctl doctor --sweep >"$DIR/doctor" || true
    [[ -z $(ipc_names) ]]
}
wait_until "doctor removes the queues" sweeps
e2e_done

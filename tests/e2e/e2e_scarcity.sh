#!/usr/bin/env bash
# Origins that dawdle and clients that name odd hosts: neither spoils what the others get.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin scarcity

SLOW=8 # more than there are segments

start_origin --max-age 3600
start_cache --memory 64M
start_proxy proxy --segments 4
await_proxies 1
URL=http://${HTTP[proxy]}

get_ok "$DIR/body" "$URL/hit?size=1000"
wait_until "it is stored" cache_shows .cache.leases 0

expect_hits() {
    for _ in 1 2 3 4 5; do
        get_ok "$DIR/body" "$URL/hit?size=1000"
        cmp "$DIR/body" <(generated 1000) >&2 || fail "bytes differ"
        expect_hit
    done
}

slow_url() { # NUMBER: every other response does not tell its length
    echo "$URL/slow$1?size=30000&hold=gate&hold_at=10000$([[ $1 == *[13579] ]] && echo '&chunked=1')"
}

# ---- fills that do not get on leave segments to hits and to what must be removed ----

for ((i = 0; i < SLOW; i++)); do
    start "slow$i" curl -sS --noproxy '*' -o "$DIR/slow$i" "$(slow_url "$i")"
done
await_held gate "$SLOW"
expect_hits

get_ok "$DIR/body" "$URL/changed?size=10"
wait_until "it is stored" is_hit proxy "/changed?size=10"
get_ok "$DIR/body" "$URL/changed?size=10" -d 'a=b'
get_ok "$DIR/body" "$URL/changed?size=10"
expect_forwarded

for ((i = 0; i < SLOW / 2; i++)); do # without their clients they go on
    send "slow$i" INT
    await_end "slow$i"
done
expect_hits
release gate
for ((i = SLOW / 2; i < SLOW; i++)); do
    await_end "slow$i"
    cmp "$DIR/slow$i" <(generated 30000) >&2 || fail "bytes of a slow response differ"
done
wait_until "all are stored" cache_shows .cache.leases 0
for ((i = 0; i < SLOW; i++)); do
    get_ok "$DIR/body" "$(slow_url "$i")"
    cmp "$DIR/body" <(generated 30000) >&2 || fail "bytes of a stored slow response differ"
    expect_hit
done

# ---- fills that fail in the middle give everything back ----

for ((i = 0; i < SLOW; i++)); do
    start "cut$i" curl -sS --noproxy '*' -o /dev/null \
        "$URL/cut$i?size=30000&hold=end&hold_at=10000&close=20000"
done
await_held end "$SLOW"
release end
for ((i = 0; i < SLOW; i++)); do
    await_end "cut$i"
    expect_eq "exit status of curl" "$EXIT_STATUS" 18
done
expect_hits
expect_eq "times the cache was taken for silent" "$(grep -c 'does not answer' "$DIR/proxy.err" || true)" 0

# ---- the Host that a client names stays out of what all clients get ----

ODD=(-H 'Host: odd.example' -H 'X-Forwarded-Host: odd.example' -H 'X-Forwarded-For: odd.example'
    -H 'X-Forwarded-Port: odd.example' -H 'Forwarded: host=odd.example')
count_odd() {
    grep -ci 'odd\.example' "$DIR/body" || true
}

for ask in 'X-None: 1' 'Cache-Control: no-cache' 'X-None: 1'; do # fetched, validated, and from the cache
    get_ok "$DIR/body" "$URL/shared?echo=1" "${ODD[@]}" -H "$ask"
    expect_eq "odd fields at the origin ($ask)" "$(count_odd)" 0
    wait_until "it is stored" cache_shows .cache.leases 0
done
expect_hit
get_ok "$DIR/body" "$URL/shared?echo=1" "${ODD[@]}" -H 'Cache-Control: no-store'
expect_eq "odd fields of what is not stored" "$(count_odd)" 4

stop proxy
stop cache
e2e_done

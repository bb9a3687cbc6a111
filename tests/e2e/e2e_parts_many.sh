#!/usr/bin/env bash
# What is not stored whole, and many who want it at once, between two proxies: the gap, ranges, a fetch that breaks
# off while others follow it, refreshing in the background, and an origin in trouble.
source "$(dirname "$0")/../support/e2e.sh"
source "$(dirname "$0")/../support/together.sh"
e2e_begin parts_many

# shellcheck disable=SC2119 # no option is needed
start_origin
start_cache --memory 64M
start_proxy one
start_proxy two
await_proxies 2
ONE=http://${HTTP[one]}
TWO=http://${HTTP[two]}
FRESH='header=Cache-Control:%20max-age=600'

await_stored() {
    wait_until "no fill is under way" cache_shows .cache.leases 0
}

close_gate() { # GATE
    origin_control "close?name=$1" >/dev/null
}

cut() { # FIRST LAST SIZE[:SEED[:VERSION]]
    generated "$3" >"$DIR/all"
    head -c "$(($2 + 1))" "$DIR/all" | tail -c "$(($2 - $1 + 1))"
}

# A part of what `generated SIZE` prints, and what Cache-Status says of it.
part() { # PATH_AND_QUERY FIRST LAST SIZE[:SEED[:VERSION]] PATTERN
    get_status 206 "$DIR/body" "$TWO$1" --range "$2-$3"
    cut "$2" "$3" "$4" | cmp - "$DIR/body" >&2 || fail "bytes $2-$3 of $1 differ"
    expect_match "Cache-Status of $1" "$(cache_status)" "^larder; $5"
}

whole() { # PATH_AND_QUERY SIZE[:SEED[:VERSION]] PATTERN
    get_ok "$DIR/body" "$ONE$1"
    cmp "$DIR/body" <(generated "$2") >&2 || fail "the bytes of $1 differ"
    expect_match "Cache-Status of $1" "$(cache_status)" "^larder; $3"
}

await_requests() { # NUMBER PATH
    requests_are() { [[ $(requests_to "$2") == "$1" ]]; }
    wait_until "the origin has been asked for $2 $1 times" requests_are "$1" "$2"
    await_stored
}

# ---- many want the whole of which a part is stored: the gap for one, then the whole for all others ----

GAP="/gap?size=300000&$FRESH&hold=gap&hold_at=head"
release gap
part "$GAP" 0 199999 300000 'fwd=uri-miss; stored$'
await_stored
close_gate gap
crowd "$GAP"
wait_until "the gap is asked for" held gap 1
wait_until "the others wait" followed $((CLIENTS - 1))
release gap
await_crowd 200
expect_crowd_bytes 300000
expect_eq "requests: the part, the gap, the whole" "$(requests_to /gap)" 3
expect_eq "combined" "$(crowd_saw 'fwd=partial; fwd-status=206')" 1
expect_eq "clients that followed, but for one that led" "$(crowd_saw 'collapsed|hit')" $((CLIENTS - 2))
await_stored
whole "$GAP" 300000 hit

# ---- many want a range of which nothing is stored: none waits, one is stored, and all later ones are hits ----

RANGE="/range?size=300000&$FRESH&hold=range&hold_at=head"
crowd "$RANGE" --range 1000-200999
wait_until "all ask at once" held range "$CLIENTS"
release range
await_crowd 206
for ((i = 0; i < CLIENTS; i++)); do
    cut 1000 200999 300000 | cmp - "$DIR/answer$i" >&2 || fail "the bytes of client $i differ"
done
expect_eq "stored" "$(crowd_saw 'fwd=uri-miss; stored')" 1
expect_eq "passed on" "$(crowd_saw 'fwd=uri-miss; detail=range')" $((CLIENTS - 1))
await_stored
part "$RANGE" 1000 200999 300000 hit

# Whoever wants the whole meanwhile waits for the head, and completes the part.
MEANWHILE="/meanwhile?size=300000&$FRESH&hold=meanwhile&hold_at=head"
start first curl -sS --noproxy '*' --max-time "$DEADLINE" -o "$DIR/first" --range 1000-200999 "$ONE$MEANWHILE"
wait_until "the range is asked for" held meanwhile 1
crowd "$MEANWHILE"
wait_until "the others wait" followed "$CLIENTS"
release meanwhile
await_crowd 200
await_end first
cut 1000 200999 300000 | cmp - "$DIR/first" >&2 || fail "the bytes of the first client differ"
expect_crowd_bytes 300000
expect_eq "requests: the range, the whole" "$(requests_to /meanwhile)" 2
await_stored
whole "$MEANWHILE" 300000 hit

# ---- what others follow breaks off, and nobody can give the rest: all are cut off, and nothing half is stored ----

BROKEN="/broken?size=2000000&$FRESH&hold=broken&hold_at=1000000&close=1000000"
crowd "$BROKEN"
wait_until "half of it is there" held broken 1
wait_until "the others follow" followed $((CLIENTS - 1))
origin_control 'fail?n=503' >/dev/null
release broken
for ((i = 0; i < CLIENTS; i++)); do
    await_end "crowd$i"
    expect_eq "exit status of client $i" "$EXIT_STATUS" 18
    cmp -n "$(stat -c %s "$DIR/answer$i")" "$DIR/answer$i" <(generated 2000000) >&2 || fail "the bytes of client $i differ"
done
expect_eq "requests: the whole, its rest" "$(requests_to /broken)" 2
await_stored
origin_control 'fail?n=0' >/dev/null
whole "/broken?size=2000000&$FRESH" 2000000 'fwd=uri-miss; stored'

# If nobody follows, what has arrived is kept.
KEPT="/kept?size=2000000&$FRESH"
origin_control 'cut?n=1000000' >/dev/null
get "$DIR/body" "$ONE$KEPT"
await_stored
part "$KEPT" 0 499999 2000000 hit

# ---- parts that are stale are refreshed in the background ----

SWR="size=300000&header=Age:%20100&header=Cache-Control:%20max-age=60,%20stale-while-revalidate=6000"
part "/swr?$SWR" 0 199999 300000 'fwd=uri-miss; stored$'
await_stored
confirmed=$(origin_stat .not_modified)
part "/swr?$SWR" 150000 199999 300000 'hit; ttl=-'
await_requests 2 /swr
expect_eq "confirmed" "$(origin_stat .not_modified)" $((confirmed + 1))
# They are there still. An error changes nothing, and for a second nobody tries again.
origin_control 'fail?n=503' >/dev/null
part "/swr?$SWR" 150000 199999 300000 'hit; ttl=-'
await_requests 3 /swr
part "/swr?$SWR" 150000 199999 300000 'hit; ttl=-'
origin_control 'fail?n=0' >/dev/null
# The gap is another matter: it is fetched, and what is there is confirmed by it.
whole "/swr?$SWR" 300000 'fwd=partial; fwd-status=206'
await_stored
# Something new takes the place of all parts.
part "/new?$SWR" 0 199999 300000 'fwd=uri-miss; stored$'
await_stored
origin_control 'version?n=1' >/dev/null
part "/new?$SWR" 150000 199999 300000 'hit; ttl=-'
await_requests 2 /new
part "/new?$SWR" 0 299999 300000:0:1 'hit; ttl=-'
await_stored
origin_control 'version?n=0' >/dev/null

# ---- the gap cannot be had: what is stored stays ----

part "/trouble?size=300000&$FRESH" 0 199999 300000 'fwd=uri-miss; stored$'
await_stored
origin_control 'fail?n=503' >/dev/null
get_status 503 "$DIR/body" "$ONE/trouble?size=300000&$FRESH"
await_stored
part "/trouble?size=300000&$FRESH" 0 199999 300000 hit
origin_control 'fail?n=0' >/dev/null
whole "/trouble?size=300000&$FRESH" 300000 'fwd=partial; fwd-status=206; stored'
await_stored

# An answer to a range says nothing of the whole: those who come later wait for one another all the same.
RANGES="/only-ranges?size=100000&$FRESH&hold=only&hold_at=head"
release only
get_status 416 "$DIR/body" "$ONE$RANGES" --range 100000-
await_stored
close_gate only
crowd "$RANGES"
wait_until "one asks" held only 1
wait_until "the others wait" followed $((CLIENTS - 1))
release only
await_crowd 200
expect_eq "requests: the range, the whole" "$(requests_to /only-ranges)" 2
await_stored

# The origin is not there: nobody asks again for a second, and what is stored is a hit.
part "/gone?size=300000&$FRESH" 0 199999 300000 'fwd=uri-miss; stored$'
await_stored
stop origin
remembered() {
    get_status 502 "$DIR/body" "$ONE/gone?size=300000&$FRESH"
    get_status 502 "$DIR/body" "$TWO/gone?size=300000&$FRESH"
    [[ $(cache_status) =~ 'fwd=partial; collapsed; detail=origin-unreachable' ]]
}
wait_until "it is remembered" remembered
part "/gone?size=300000&$FRESH" 0 199999 300000 hit

stop one
stop two
expect_cache .cache.pins 0
expect_cache .cache.leases 0
stop cache
e2e_done

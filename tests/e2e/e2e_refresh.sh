#!/usr/bin/env bash
# What is done without a client waiting for it, or by one client for many, between two proxies: refreshing what is
# served stale (RFC 5861), validating once for all who ask, remembering failures and what cannot be stored.
source "$(dirname "$0")/../support/e2e.sh"
source "$(dirname "$0")/../support/together.sh"
e2e_begin refresh

start_origin --root "$DIR"
start_cache --memory 64M
start_proxy one
start_proxy two
await_proxies 2
ONE=http://${HTTP[one]}
TWO=http://${HTTP[two]}
OLD='header=Age:%20100' # with max-age=60: stale as soon as it is stored

expect_requests() { # NUMBER PATH
    expect_eq "requests for $2" "$(requests_to "$2")" "$1"
}

expect_status_of_cache() { # EXTENDED_REGULAR_EXPRESSION
    expect_match "Cache-Status" "$(cache_status)" "$1"
}

await_stored() {
    wait_until "no fill is under way" cache_shows .cache.leases 0
}

store() { # PATH_AND_QUERY
    get_ok "$DIR/body" "$ONE$1"
    expect_status_of_cache 'fwd=uri-miss; stored'
    await_stored
}

asked() { # NUMBER PATH: how often, by now
    [[ $(requests_to "$2") == "$1" ]]
}

# ---- refreshes under way are bounded: what is stale is served, and refreshed for a later request ----

ALONE="size=100&$OLD&header=Cache-Control:%20max-age=60,%20stale-while-revalidate=6000&hold=alone&hold_at=head"
origin_control 'release?name=alone' >/dev/null
for i in {1..70}; do
    store "/alone-$i?$ALONE"
done
origin_control 'close?name=alone' >/dev/null
for _ in 1 2; do
    for i in {1..70}; do
        get_ok "$DIR/body" "$ONE/alone-$i?$ALONE"
        expect_status_of_cache 'hit; ttl=-[0-9]+'
    done
    wait_until "as many refreshes as may be are under way" held alone 64
done
expect_requests 1 /alone-70
origin_control 'release?name=alone' >/dev/null
await_stored
get_ok "$DIR/body" "$ONE/alone-70?$ALONE"
expect_status_of_cache 'hit; ttl=-[0-9]+'
wait_until "the last one is refreshed, too" asked 2 /alone-70
await_stored

# ---- stale-while-revalidate: one refresh for all, and nobody waits for it ----

SWR="size=3000&seed=4&$OLD&header=Cache-Control:%20max-age=60,%20stale-while-revalidate=6000&hold=refresh&hold_at=head"
origin_control 'release?name=refresh' >/dev/null
store "/swr?$SWR"
origin_control 'close?name=refresh' >/dev/null
origin_control 'version?n=1' >/dev/null
get_ok "$DIR/body" "$TWO/swr?$SWR"
expect_status_of_cache 'hit; ttl=-[0-9]+'
wait_until "the refresh is under way" held refresh 1
crowd "/swr?$SWR"
await_crowd 200
expect_eq "hits meanwhile" "$(crowd_saw 'hit; ttl=-')" "$CLIENTS"
expect_crowd_bytes 3000:4:0
get_ok "$DIR/body" "$TWO/swr?$SWR" -I
expect_hit
expect_requests 2 /swr
origin_control 'release?name=refresh' >/dev/null
await_stored
get_ok "$DIR/body" "$ONE/swr?$SWR"
cmp "$DIR/body" <(generated 3000:4:1) >&2 || fail "the refresh has not replaced what is stored"
await_stored

# A refresh by 304: the bytes stay, the age begins anew. The client's own conditions and ranges are not the refresh's.
origin_control 'version?n=0' >/dev/null
PLAIN="size=3000&seed=5&header=Cache-Control:%20max-age=60,%20stale-while-revalidate=6000"
store "/swr304?$PLAIN&$OLD"
before=$(origin_stat .not_modified)
get "$DIR/body" "$TWO/swr304?$PLAIN&$OLD" -r 0-9
expect_eq "status of a part" "$STATUS" 206
expect_hit
wait_until "it is validated" asked 2 /swr304
await_stored
expect_eq "not modified" "$(origin_stat .not_modified)" $((before + 1))

# What is too stale even for that, and what must not be stale, is validated first.
for rule in "max-age=60,%20stale-while-revalidate=10" "max-age=60,%20stale-while-revalidate=6000,%20must-revalidate"; do
    store "/strict?size=100&$OLD&header=Cache-Control:%20$rule"
    get_ok "$DIR/body" "$TWO/strict?size=100&$OLD&header=Cache-Control:%20$rule"
    expect_status_of_cache 'fwd=stale; fwd-status=304'
done

# A refresh that fails leaves what is stored, and is not tried again for a second.
FAILING="size=100&seed=6&$OLD&header=Cache-Control:%20max-age=60,%20stale-while-revalidate=6000"
store "/failing?$FAILING"
origin_control 'fail?n=503' >/dev/null
get_ok "$DIR/body" "$TWO/failing?$FAILING"
expect_hit
wait_until "a refresh was tried" asked 2 /failing
await_stored
get_ok "$DIR/body" "$TWO/failing?$FAILING"
expect_hit
cmp "$DIR/body" <(generated 100:6:0) >&2 || fail "the stale bytes differ"
origin_control 'fail?n=0' >/dev/null

# ---- one validation for many ----

STALE="size=3000&seed=7&header=Cache-Control:%20max-age=4&hold=validate&hold_at=head"
is_stale() {
    get "$DIR/body" "$ONE/stale?$STALE" -H 'Cache-Control: only-if-cached'
    [[ $STATUS == 504 ]]
}
origin_control 'release?name=validate' >/dev/null
store "/stale?$STALE"
wait_until "it is stale" is_stale
origin_control 'close?name=validate' >/dev/null
crowd "/stale?$STALE"
wait_until "the validation is under way" held validate 1
wait_until "the others wait" followed $((CLIENTS - 1))
origin_control 'release?name=validate' >/dev/null
await_crowd 200
expect_crowd_bytes 3000:7:0
expect_requests 2 /stale
expect_eq "validated" "$(crowd_saw 'fwd=stale; fwd-status=304')" 1
expect_eq "collapsed" "$(crowd_saw 'fwd=stale; collapsed')" $((CLIENTS - 1))
await_stored

# ---- what cannot be stored: nobody waits for anybody ----

PRIVATE="size=500&seed=9&header=Cache-Control:%20private&hold=private&hold_at=head"
crowd "/private?$PRIVATE"
wait_until "the first asks" held private 1
wait_until "the others wait" followed $((CLIENTS - 1))
origin_control 'release?name=private' >/dev/null
await_crowd 200
expect_crowd_bytes 500:9:0
expect_requests "$CLIENTS" /private
expect_eq "collapsed" "$(crowd_saw collapsed)" 0
expect_nothing() {
    get_status 504 "$DIR/body" "$TWO/private?$PRIVATE" -H 'Cache-Control: only-if-cached'
}
expect_nothing
# It is remembered: all ask at once, without the first having been answered.
origin_control 'close?name=private' >/dev/null
crowd "/private?$PRIVATE"
wait_until "all ask at once" held private "$CLIENTS"
origin_control 'release?name=private' >/dev/null
await_crowd 200

# A response to another request may be stored after all, and then takes the place of what was remembered.
MIXED="size=500&seed=10&header=Cache-Control:%20max-age=60"
get_ok "$DIR/body" "$ONE/mixed?$MIXED" -H 'Authorization: Basic eDp5'
expect_status_of_cache 'fwd=uri-miss; detail=authorization'
get_ok "$DIR/body" "$TWO/mixed?$MIXED"
expect_status_of_cache 'fwd=uri-miss; stored'
await_stored
get_ok "$DIR/body" "$ONE/mixed?$MIXED"
expect_hit
expect_requests 2 /mixed

# Forgotten by an invalidation: what was asked for before it is not stored after it.
LATE="size=500&seed=11&header=Cache-Control:%20max-age=60&hold=late&hold_at=head"
origin_control 'release?name=late' >/dev/null
get_ok "$DIR/body" "$ONE/late?$LATE" -H 'Authorization: Basic eDp5'
origin_control 'close?name=late' >/dev/null
start late curl -sS --noproxy '*' --max-time "$DEADLINE" -o "$DIR/late" "$TWO/late?$LATE"
wait_until "it is asked for" held late 1
start post curl -sS --noproxy '*' --max-time "$DEADLINE" -o "$DIR/post" -d x "$ONE/late?$LATE"
wait_until "so is the POST" held late 2
origin_control 'release?name=late' >/dev/null
await_end late
await_end post
cmp "$DIR/late" <(generated 500:11:0) >&2 || fail "bytes differ"
await_stored
get_status 504 "$DIR/body" "$ONE/late?$LATE" -H 'Cache-Control: only-if-cached'

# ---- a failure answers all who wait, and is remembered for a second ----

crowd "/dead?size=100&drop=1&delay=300"
await_crowd 502
((CLIENTS > $(crowd_saw 'fwd=uri-miss; detail=origin-unreachable'))) || fail "each client has asked for itself"
get_status 502 "$DIR/body" "$ONE/dead?size=100&drop=1&delay=300" -I
expect_match "Cache-Status" "$(cache_status)" 'origin-unreachable'

# ---- GETFILE waits with the others ----

GETFILE_PATH="/both?size=200000&seed=12&chunked=1&header=Cache-Control:%20max-age=60&hold=both&hold_at=100000"
followed_before=$(cache_stat .cache.followed)
start http curl -sS --noproxy '*' --max-time "$DEADLINE" -o "$DIR/http" "$TWO$GETFILE_PATH"
wait_until "it is half there" held both 1
start getfile getfile_ok "$DIR/file" "${GETFILE[one]}" "$GETFILE_PATH"
wait_until "GETFILE waits for it" followed 1
origin_control 'release?name=both' >/dev/null
await_end http
await_end getfile
cmp "$DIR/http" <(generated 200000:12) >&2 || fail "bytes differ"
cmp "$DIR/file" <(generated 200000:12) >&2 || fail "bytes by GETFILE differ"
expect_requests 1 /both

# ---- an origin that is not there is not asked again for a second, by anybody ----

stop origin
remembered() {
    get_status 502 "$DIR/body" "$ONE/gone?size=10"
    get_status 502 "$DIR/body" "$TWO/gone?size=10"
    [[ $(cache_status) =~ 'larder; hit; detail=origin-unreachable' ]]
}
wait_until "it is remembered" remembered

stop one
stop two
expect_cache .cache.pins 0
expect_cache .cache.leases 0
stop cache
e2e_done

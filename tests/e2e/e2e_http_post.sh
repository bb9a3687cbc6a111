#!/usr/bin/env bash
# Responses to POST that are stored: RFC 9110 section 9.3.3, RFC 9111 sections 3 and 4.4, through two proxies.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin http-post

# shellcheck disable=SC2119 # no option is needed
start_origin
start_cache --memory 192M
printf '[cache-rules]\nstore-post = on\n' >"$DIR/rules.conf"
start_proxy one --config "$DIR/rules.conf"
start_proxy two --config "$DIR/rules.conf"
start_proxy plain
await_proxies 3
ONE=http://${HTTP[one]}
TWO=http://${HTTP[two]}
FRESH='header=Cache-Control:%20max-age=600'

SELF=self=1 # Content-Location is the target

version() {
    origin_control "version?n=$1" >/dev/null
}

expect_version() { # NUMBER SIZE: what was got is the origin's body of that version
    cmp "$DIR/body" <(generated "$2:0:$1") >&2 || fail "not the body of version $1"
}

expect_requests() { # NUMBER PATH
    expect_eq "requests for $2" "$(requests_to "$2")" "$1"
}

await_stored() {
    wait_until "no fill is under way" cache_shows .cache.leases 0
}

post() { # PATH_AND_QUERY [CURL_OPTION...]
    get_ok "$DIR/body" "$ONE$1" -d 'a=b' "${@:2}"
}

# ---- only where the operator wants it; then nothing goes along that is not part of the key ----

get_ok "$DIR/body" "http://${HTTP[plain]}/unwanted?size=50&$FRESH&$SELF" -d 'a=b' -H 'X-Forwarded-Host: evil.example'
expect_match "Cache-Status of a POST" "$(cache_status)" '^larder; fwd=method'
expect_no_match "Cache-Status of a POST" "$(cache_status)" 'stored'
expect_match "what the origin was told" "$(origin_control last)" 'X-Forwarded-Host'
get_ok "$DIR/body" "http://${HTTP[plain]}/unwanted?size=50&$FRESH&$SELF"
expect_requests 2 /unwanted
post "/wanted?size=50&$FRESH&$SELF" -H 'X-Forwarded-Host: evil.example' -H 'Forwarded: host=evil.example'
expect_match "Cache-Status of a POST" "$(cache_status)" 'fwd=method; stored'
expect_no_match "what the origin was told" "$(origin_control last)" 'evil|X-Forwarded-Host'

# ---- a purge while it is asked: what comes of it is older ----

held="/held?size=50&seed=3&hold=post&hold_at=head&$FRESH&$SELF"
origin_control 'close?name=post' >/dev/null
start early curl -sS --noproxy '*' --max-time "$DEADLINE" -o "$DIR/early" "$ONE$held" -d 'a=b'
wait_until "the POST is held" origin_shows '.held["post"] // 0' 1
cache_ctl purge --all >/dev/null
origin_control 'release?name=post' >/dev/null
await_end early
expect_eq "exit status of the client" "$EXIT_STATUS" 0
await_stored
get_ok "$DIR/body" "$TWO$held"
expect_forwarded
expect_requests 2 /held

# ---- stored, for GET, HEAD, ranges and GETFILE, and for all proxies ----

for size in 100 300000; do
    at="/stored-$size?size=$size&$FRESH&$SELF"
    version 1
    get_ok "$DIR/body" "$TWO$at" # what the POST makes invalid
    expect_version 1 "$size"
    await_stored
    version 2
    post "$at"
    expect_version 2 "$size"
    expect_eq "Cache-Status of a POST" "$(cache_status)" 'larder; fwd=method; stored; detail=method'
    etag=$(header ETag)
    expect_requests 2 "/stored-$size"
    for proxy in "$TWO" "$ONE"; do
        get_ok "$DIR/body" "$proxy$at"
        expect_hit
        expect_version 2 "$size"
        get_ok "$DIR/body" "$proxy$at" -I
        expect_hit
        expect_eq "Content-Length" "$(header Content-Length)" "$size"
        get_status 304 "$DIR/body" "$proxy$at" -H "If-None-Match: $etag"
        expect_hit
        get_status 206 "$DIR/body" "$proxy$at" --range 10-19
        expect_hit
    done
    getfile_ok "$DIR/body" "${GETFILE[two]}" "$at"
    expect_version 2 "$size"
    expect_requests 2 "/stored-$size"
    # A POST is never answered by it, whatever its conditions.
    version 3
    post "$at" -H "If-None-Match: $etag" -H 'Cache-Control: only-if-cached'
    expect_version 3 "$size"
    expect_requests 3 "/stored-$size"
    get_ok "$DIR/body" "$TWO$at"
    expect_hit
    expect_version 3 "$size"
done
objects=$(cache_stat .cache.objects)

# ---- not stored, and what was stored is gone all the same ----

expect_only_invalidates() { # PATH QUERY [CURL_OPTION...]
    version 4
    get_ok "$DIR/body" "$TWO$1?size=50&$2"
    await_stored
    version 5
    post "$1?size=50&$2" "${@:3}"
    expect_version 5 50
    expect_eq "Cache-Status of a POST" "$(cache_status)" 'larder; fwd=method; detail=method'
    get_status 504 "$DIR/body" "$TWO$1?size=50&$2" -H 'Cache-Control: only-if-cached, max-stale'
}

expect_only_invalidates /no-location "$FRESH"
expect_only_invalidates /other-location "$FRESH&header=Content-Location:%20/elsewhere"
expect_only_invalidates /other-origin "$FRESH&header=Content-Location:%20http://other.example/other-origin"
expect_only_invalidates /heuristic "$SELF"
expect_only_invalidates /no-store "header=Cache-Control:%20no-store&$SELF"
expect_only_invalidates /no-store-request "$FRESH&$SELF" -H 'Cache-Control: no-store'
expect_only_invalidates /authorized "$FRESH&$SELF" -H 'Authorization: Basic eDp5'
expect_only_invalidates /put "$FRESH&$SELF" -X PUT
expect_only_invalidates /any "$FRESH&$SELF&header=Vary:%20*"
get_status 201 "$DIR/body" "$ONE/created?size=50&status=201&$FRESH&$SELF" -d x
get_status 500 "$DIR/body" "$ONE/error?size=50&status=500&$FRESH&$SELF" -d x
get "$DIR/body" "$ONE/broken?size=300000&close=1000&$FRESH&$SELF" -d x
[[ $CURL_EXIT -ne 0 ]] || fail "a broken body looked whole"
await_stored
expect_cache .cache.objects "$objects"

# ---- a response that varies: the fields of the POST choose whom it suits ----

vary="/vary?size=50&$FRESH&$SELF&header=Vary:%20X-A"
version 6
get_ok "$DIR/body" "$TWO$vary" -H 'X-A: 1'
get_ok "$DIR/body" "$TWO$vary" -H 'X-A: 2'
await_stored
version 7
post "$vary" -H 'X-A: 1'
expect_eq "Cache-Status of a POST" "$(cache_status)" 'larder; fwd=method; stored; detail=method'
get_ok "$DIR/body" "$TWO$vary" -H 'X-A: 1'
expect_hit
expect_version 7 50
get_ok "$DIR/body" "$TWO$vary" -H 'X-A: 2' # the older variants are gone
expect_match "Cache-Status of another variant" "$(cache_status)" '^larder; fwd=vary-miss; stored'
expect_version 7 50
expect_requests 4 /vary

# ---- a GET that was under way when the POST came does not bring back what was before it ----

raced="/raced?size=50&$FRESH&$SELF&hold8=raced&hold_at8=head"
version 8
start early curl -sS --noproxy '*' -o "$DIR/early" "$TWO$raced"
await_held raced
version 9
post "$raced"
expect_version 9 50
expect_eq "Cache-Status of a POST" "$(cache_status)" 'larder; fwd=method; stored; detail=method'
release raced
await_end early
cmp "$DIR/early" <(generated 50:0:8) >&2 || fail "the early GET got other bytes"
for proxy in "$ONE" "$TWO"; do
    get_ok "$DIR/body" "$proxy$raced"
    expect_hit
    expect_version 9 50
done
expect_requests 2 /raced

# ---- a client that is slower than the fill, and then the cache is lost: the POST is not made again ----

slow="/slow?size=40M&$FRESH&$SELF"
sent=$(origin_stat .bytes)
exec {connection}<>"/dev/tcp/${HTTP[one]%:*}/${HTTP[one]##*:}"
printf 'POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc' "$slow" >&"$connection"
IFS= read -rt "$DEADLINE" -u "$connection" line || fail "no answer to a POST"
expect_match "status of a POST" "$line" '^HTTP/1.1 200 '
wait_until "the fill is whole, and the client is not" origin_shows ".bytes >= $sent + 41943040" true
await_stored
get_ok "$DIR/body" "$TWO$slow"
expect_hit
expect_version 9 40M
kill_hard cache
status=0
timeout "$DEADLINE" cat <&"$connection" >"$DIR/slow" 2>/dev/null || status=$? # it is broken off
[[ $status -ne 124 ]] || fail "the connection stays open"
exec {connection}>&-
expect_requests 1 /slow
start_cache --memory 192M
await_proxies 3

# ---- without a cache it is passed on ----

stop cache
post "/alone?size=50&$FRESH&$SELF"
expect_version 9 50
expect_match "Cache-Status without a cache" "$(cache_status)" '^larder; fwd=method; detail=method'
start_cache --memory 192M
await_proxies 3
post "/alone?size=50&$FRESH&$SELF"
get_ok "$DIR/body" "$TWO/alone?size=50&$FRESH&$SELF"
expect_hit

wait_until "no object is pinned any more" cache_shows .cache.pins 0
expect_cache .cache.bad_requests 0
stop one
stop two
stop plain
stop cache
stop origin
e2e_done

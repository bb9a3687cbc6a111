#!/usr/bin/env bash
# Resources that vary: RFC 9111 section 4.1 through two proxies. With by=NAME the origin's body is the field
# that the response depends on.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin vary

mkdir "$DIR/root"
start_origin --root "$DIR/root"
start_cache --memory 64M
start_proxy proxy
start_proxy other
await_proxies 2
URL=http://${HTTP[proxy]}
OTHER=http://${HTTP[other]}
FRESH='header=Cache-Control:%20max-age=600'
BY_ENCODING="by=Accept-Encoding&header=Vary:%20Accept-Encoding&$FRESH"

cache_status() { # Larder's line is the last; a key may have commas
    header Cache-Status | tail -n 1
}

expect_requests() { # PATH NUMBER
    expect_eq "requests for $1" "$(requests_to "$1")" "$2"
}

# One request, what comes back, and how Larder says that it was answered.
expect_answer() { # BODY STATUS_PATTERN URL [CURL_OPTION...]
    get_ok "$DIR/body" "${@:3}"
    expect_eq "body of ${*:3}" "$(cat "$DIR/body")" "$1"
    expect_match "Cache-Status of ${*:3}" "$(cache_status)" "^larder; $2"
}

# ---- each variant is fetched once, whichever proxy asks ----

expect_answer 'Accept-Encoding: gzip' 'fwd=uri-miss; stored; key="accept-encoding:gzip"' \
    "$URL/basic?$BY_ENCODING" -H 'Accept-Encoding: gzip'
expect_answer 'Accept-Encoding: gzip' 'hit; ttl=[0-9]+; key="accept-encoding:gzip"' \
    "$OTHER/basic?$BY_ENCODING" -H 'Accept-Encoding: gzip'
expect_eq "Vary" "$(header Vary)" Accept-Encoding
expect_answer 'Accept-Encoding: br;q=0.5, gzip' 'fwd=vary-miss; stored; key="accept-encoding:gzip,br;q=0.5"' \
    "$OTHER/basic?$BY_ENCODING" -H 'Accept-Encoding: br;q=0.5, gzip'
expect_answer 'Accept-Encoding' 'fwd=vary-miss; stored; key="accept-encoding"' "$OTHER/basic?$BY_ENCODING"
expect_requests /basic 3
for at in "$URL" "$OTHER"; do
    expect_answer 'Accept-Encoding: gzip' hit "$at/basic?$BY_ENCODING" -H 'Accept-Encoding:gzip '
    expect_answer 'Accept-Encoding: gzip' hit "$at/basic?$BY_ENCODING" -H 'accept-encoding: X-GZIP,'
    expect_answer 'Accept-Encoding: br;q=0.5, gzip' hit "$at/basic?$BY_ENCODING" \
        -H 'Accept-Encoding: GZip' -H 'Accept-Encoding: Br;Q=0.50'
    expect_answer 'Accept-Encoding' hit "$at/basic?$BY_ENCODING"
    expect_answer 'Accept-Encoding' hit "$at/basic?$BY_ENCODING" -H 'Accept: text/plain' -H 'X-Other: 1'
done
expect_requests /basic 3
get_ok "$DIR/body" "$URL/basic?$BY_ENCODING" -H 'Accept-Encoding;' # empty is not absent
expect_match "Cache-Status" "$(cache_status)" '^larder; fwd=vary-miss; stored'
expect_requests /basic 4

# Other uses of what is stored.
get_ok "$DIR/body" "$OTHER/basic?$BY_ENCODING" -I -H 'Accept-Encoding: gzip'
expect_hit
expect_eq "Content-Length" "$(header Content-Length)" 22
etag=$(header ETag)
get_status 304 "$DIR/body" "$OTHER/basic?$BY_ENCODING" -H 'Accept-Encoding: gzip' -H "If-None-Match: $etag"
expect_hit
get_status 206 "$DIR/body" "$OTHER/basic?$BY_ENCODING" -H 'Accept-Encoding: gzip' --range 17-20
expect_eq "the range" "$(cat "$DIR/body")" gzip
expect_hit
getfile_ok "$DIR/body" "${GETFILE[other]}" "/basic?$BY_ENCODING"
expect_eq "what GETFILE gets" "$(cat "$DIR/body")" Accept-Encoding
get_status 504 "$DIR/body" "$URL/basic?$BY_ENCODING" -H 'Accept-Encoding: zstd' \
    -H 'Cache-Control: only-if-cached'
expect_requests /basic 4
get_ok "$DIR/body" "$URL/basic?$BY_ENCODING" -I -H 'Accept-Encoding: zstd' # not stored
expect_match "Cache-Status of a HEAD" "$(cache_status)" '^larder; fwd=vary-miss'
get_status 206 "$DIR/body" "$URL/basic?$BY_ENCODING" -H 'Accept-Encoding: zstd' --range 0-5
expect_match "Cache-Status of a few bytes" "$(cache_status)" '^larder; fwd=vary-miss; .*detail=part'
expect_requests /basic 6
expect_answer 'Accept-Encoding: zstd' 'fwd=vary-miss; stored' "$URL/basic?$BY_ENCODING" -H 'Accept-Encoding: zstd'

# ---- real encodings ----

seq 50000 >"$DIR/root/page.html"
gzip -k "$DIR/root/page.html"
for at in "$URL" "$OTHER"; do
    page="$at/page.html?gzip=1&header=Vary:%20Accept-Encoding&$FRESH"
    get_ok "$DIR/body" "$page" --compressed
    expect_same "$DIR/body" "$DIR/root/page.html"
    expect_eq "Content-Encoding" "$(header Content-Encoding)" gzip
    get_ok "$DIR/body" "$page"
    expect_same "$DIR/body" "$DIR/root/page.html"
    expect_eq "Content-Encoding" "$(header Content-Encoding)" ""
    get_ok "$DIR/body" "$page" -H 'Accept-Encoding: gzip'
    expect_same "$DIR/body" "$DIR/root/page.html.gz"
done
expect_hit
# curl --compressed names more codings than gzip, so there are three variants of two representations.
expect_requests /page.html 3
big="/big?size=3M&header=Vary:%20Accept-Language&$FRESH"
for language in de fr; do
    for at in "$URL" "$OTHER"; do
        get_ok "$DIR/body" "$at$big" -H "Accept-Language: $language"
        cmp "$DIR/body" <(generated 3M) >&2 || fail "the bytes of a large variant differ"
    done
    expect_hit
done
expect_requests /big 2

# ---- several fields, and fields whose values are not shown ----

BY_COOKIE="by=Cookie&header=Vary:%20Cookie,%20accept&header=vary:%20COOKIE&$FRESH"
expect_answer 'Cookie: id=1' 'fwd=uri-miss; stored$' "$URL/cookie?$BY_COOKIE" -H 'Cookie: id=1'
expect_answer 'Cookie: id=2' 'fwd=vary-miss; stored$' "$URL/cookie?$BY_COOKIE" -H 'Cookie: id=2'
expect_answer 'Cookie: id=1' 'hit; ttl=[0-9]+$' "$OTHER/cookie?$BY_COOKIE" -H 'Cookie: id=1'
expect_answer 'Cookie: id=1' 'fwd=vary-miss' "$OTHER/cookie?$BY_COOKIE" -H 'Cookie: id=1' -H 'Accept: a/b'
expect_requests /cookie 3

# What counts is what the origin is sent: X-Forwarded-For is made here.
BY_ADDRESS="by=X-Forwarded-For&header=Vary:%20X-Forwarded-For&$FRESH"
expect_answer 'X-Forwarded-For: 127.0.0.1' fwd=uri-miss "$URL/address?$BY_ADDRESS"
expect_answer 'X-Forwarded-For: 127.0.0.1' hit "$OTHER/address?$BY_ADDRESS" -H 'X-Forwarded-For: 10.0.0.1'
expect_requests /address 1

# ---- what cannot be selected is not stored ----

for at in "$URL" "$OTHER"; do
    get_ok "$DIR/body" "$at/any?size=10&header=Vary:%20*&$FRESH"
    expect_eq "Cache-Status of Vary: *" "$(cache_status)" 'larder; fwd=uri-miss; detail=vary'
    get_ok "$DIR/body" "$at/many?size=10&header=Vary:%20a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q&$FRESH"
    expect_eq "Cache-Status of 17 names" "$(cache_status)" 'larder; fwd=uri-miss; detail=vary'
    get_ok "$DIR/body" "$at/long?size=10&header=Vary:%20X-Long&$FRESH" -H "X-Long: $(printf '%05000d' 1)"
    expect_match "Cache-Status of a long key" "$(cache_status)" '^larder; fwd=uri-miss; detail=vary'
done
expect_requests /any 2
expect_requests /many 2
expect_requests /long 2
get_ok "$DIR/body" "$URL/long?size=10&header=Vary:%20X-Long&$FRESH" -H "X-Long: 1"
get_ok "$DIR/body" "$OTHER/long?size=10&header=Vary:%20X-Long&$FRESH" -H "X-Long: 1"
expect_hit
get_ok "$DIR/body" "$OTHER/long?size=10&header=Vary:%20X-Long&$FRESH" -H "X-Long: $(printf '%05000d' 1)"
expect_eq "Cache-Status of a long key" "$(cache_status)" 'larder; fwd=vary-miss; detail=vary'
expect_requests /long 4

# ---- stale variants are validated one by one ----

STALE='by=Accept-Encoding&header=Vary:%20Accept-Encoding&header=Cache-Control:%20max-age=0'
expect_answer 'Accept-Encoding: gzip' 'fwd=uri-miss; stored' "$URL/stale?$STALE" -H 'Accept-Encoding: gzip'
expect_answer 'Accept-Encoding: br' 'fwd=vary-miss; stored' "$URL/stale?$STALE" -H 'Accept-Encoding: br'
expect_answer 'Accept-Encoding: gzip' 'fwd=stale; fwd-status=304' "$OTHER/stale?$STALE" -H 'Accept-Encoding: gzip'
expect_answer 'Accept-Encoding: br' 'fwd=stale; fwd-status=304' "$OTHER/stale?$STALE" -H 'Accept-Encoding: br'
expect_origin .not_modified 2
expect_answer 'Accept-Encoding: gzip' 'fwd=request; fwd-status=304' "$OTHER/basic?$BY_ENCODING" \
    -H 'Accept-Encoding: gzip' -H 'Cache-Control: no-cache'
expect_origin .not_modified 3

# ---- an unsafe method invalidates them all (section 4.4) ----

before=$(requests_to /basic)
get_ok "$DIR/body" "$OTHER/basic?$BY_ENCODING" -d x
for encoding in gzip zstd; do
    expect_answer "Accept-Encoding: $encoding" 'fwd=(uri|vary)-miss; stored' "$URL/basic?$BY_ENCODING" \
        -H "Accept-Encoding: $encoding"
    expect_answer "Accept-Encoding: $encoding" hit "$OTHER/basic?$BY_ENCODING" -H "Accept-Encoding: $encoding"
done
expect_requests /basic $((before + 3))

# ---- the response's Vary changes ----

# With version 0 it varies by X-A, with 1 by X-B, with 2 not at all. The Date is the version's.
MIXED="header0=Vary:%20X-A&header1=Vary:%20X-B&header0=Date:%20Tue,%2010%20Nov%202026%2010:00:00%20GMT"
MIXED+="&header1=Date:%20Tue,%2010%20Nov%202026%2010:00:01%20GMT"
MIXED+="&header=Cache-Control:%20max-age=90000000&header=Last-Modified:%20Tue,%2010%20Nov%202026%2009:00:00%20GMT"
mixed() { # BODY_OF_VERSION STATUS_PATTERN PROXY_URL PATH [CURL_OPTION...]
    get_ok "$DIR/body" "$3$4?size=50&$MIXED" "${@:5}"
    cmp "$DIR/body" <(generated "50:0:$1") >&2 || fail "$4 ${*:5}: not the body of version $1"
    expect_match "Cache-Status of $4 ${*:5}" "$(cache_status)" "^larder; $2"
}

version() {
    origin_control "version?n=$1" >/dev/null
}

mixed 0 'fwd=uri-miss; stored' "$URL" /mixed -H 'X-A: 1' -H 'X-B: 9'
version 1
mixed 1 'fwd=vary-miss; stored' "$OTHER" /mixed -H 'X-A: 2' -H 'X-B: 1'
mixed 1 hit "$URL" /mixed -H 'X-A: 3' -H 'X-B: 1'
mixed 0 hit "$OTHER" /mixed -H 'X-A: 1' -H 'X-B: 9'
mixed 0 hit "$OTHER" /mixed -H 'X-A: 1' -H 'X-B: 8'
mixed 1 hit "$URL" /mixed -H 'X-A: 1' -H 'X-B: 1' # both match: the one with the later Date
version 0
mixed 0 'fwd=vary-miss; stored' "$OTHER" /mixed -H 'X-A: 4' -H 'X-B: 4' # puts X-A in front again
mixed 1 hit "$URL" /mixed -H 'X-A: 4' -H 'X-B: 1' # still the one with the later Date
mixed 0 hit "$URL" /mixed -H 'X-A: 4' -H 'X-B: 5'
expect_requests /mixed 3
version 2 # one response for all, in the place of the variants
mixed 2 'fwd=vary-miss; stored' "$OTHER" /mixed -H 'X-A: 5' -H 'X-B: 6'
mixed 2 hit "$URL" /mixed -H 'X-A: 5' -H 'X-B: 6'
mixed 2 hit "$URL" /mixed -H 'X-A: 1' -H 'X-B: 1'
mixed 2 hit "$OTHER" /mixed
expect_requests /mixed 4
version 1 # and back, when that is no longer wanted
mixed 1 'fwd=request; stored' "$OTHER" /mixed -H 'X-B: 1' -H 'Cache-Control: no-cache'
mixed 1 hit "$URL" /mixed -H 'X-B: 1'
mixed 1 'fwd=vary-miss; stored' "$URL" /mixed -H 'X-B: 2'
expect_requests /mixed 6
version 0

# A 304 that makes one response for all a variant: it is served, but not to all from then on.
LATE='by=X-A&header0=Cache-Control:%20max-age=0&header1=Cache-Control:%20max-age=600&header1=Vary:%20X-A'
expect_answer 'X-A: 1' 'fwd=uri-miss; stored' "$URL/late?$LATE" -H 'X-A: 1'
version 1
expect_answer 'X-A: 1' 'fwd=stale; fwd-status=304' "$OTHER/late?$LATE" -H 'X-A: 1'
expect_answer 'X-A: 2' 'fwd=stale; stored' "$OTHER/late?$LATE" -H 'X-A: 2'
expect_answer 'X-A: 2' hit "$URL/late?$LATE" -H 'X-A: 2'
expect_answer 'X-A: 1' 'fwd=vary-miss; stored' "$URL/late?$LATE" -H 'X-A: 1'
expect_requests /late 4
version 0

wait_until "no object is pinned any more" cache_shows .cache.pins 0
expect_cache .cache.leases 0
stop proxy
stop other
stop cache
stop origin
e2e_done

#!/usr/bin/env bash
# Parts of what is stored: RFC 9110 section 14 through two proxies.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin ranges

# shellcheck disable=SC2119 # no option is needed
start_origin
start_cache --memory 192M
start_proxy proxy
start_proxy other
await_proxies 2
URL=http://${HTTP[proxy]}
OTHER=http://${HTTP[other]}
FRESH='header=Cache-Control:%20max-age=600'

store() { # SIZE PATH QUERY: through the first proxy; the whole is in $DIR/whole
    generated "$1" >"$DIR/whole"
    get_ok "$DIR/body" "$URL$2?size=$1&$3"
    expect_match "Cache-Status of $2" "$(cache_status)" '; stored'
    expect_same "$DIR/body" "$DIR/whole"
}

cut() { # FIRST LAST: of the whole
    head -c "$(($2 + 1))" "$DIR/whole" | tail -c "$(($2 - $1 + 1))"
}

expect_piece() { # FIRST LAST
    local size
    size=$(stat -c %s "$DIR/whole")
    cut "$1" "$2" | cmp - "$DIR/body" >&2 || fail "bytes $1-$2 differ"
    expect_eq "Content-Range" "$(header Content-Range)" "bytes $1-$2/$size"
    expect_eq "Content-Length" "$(header Content-Length)" "$(($2 - $1 + 1))"
    expect_hit
}

# The parts of a multipart response as RFC 2046 frames them, written anew from the whole.
expect_parts() { # FIRST-LAST...
    local boundary size range
    size=$(stat -c %s "$DIR/whole")
    boundary=$(header Content-Type)
    expect_match "Content-Type" "$boundary" '^multipart/byteranges; boundary=[0-9a-f]{32}$'
    boundary=${boundary##*=}
    : >"$DIR/wanted"
    for range in "$@"; do
        [[ $range == "$1" ]] || printf '\r\n' >>"$DIR/wanted"
        printf -- '--%s\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes %s/%s\r\n\r\n' \
            "$boundary" "$range" "$size" >>"$DIR/wanted"
        cut "${range%-*}" "${range#*-}" >>"$DIR/wanted"
    done
    printf '\r\n--%s--\r\n' "$boundary" >>"$DIR/wanted"
    expect_same "$DIR/body" "$DIR/wanted"
    expect_eq "Content-Length" "$(header Content-Length)" "$(stat -c %s "$DIR/wanted")"
    expect_eq "Content-Range of a multipart response" "$(header Content-Range)" ""
    expect_hit
}

# ---- an object that comes in the look-up's segment, one of several segments, one that ends with a segment ----

for size in 5000 3000000 131072; do
    path=/stored-$size
    at="$OTHER$path?size=$size&$FRESH"
    store "$size" "$path" "$FRESH"
    get_status 206 "$DIR/body" "$at" --range 0-0
    expect_piece 0 0
    get_status 206 "$DIR/body" "$at" --range 1000-1999
    expect_piece 1000 1999
    expect_eq "Content-Type" "$(header Content-Type)" application/octet-stream
    expect_match "ETag" "$(header ETag)" '^"g-'
    get_status 206 "$DIR/body" "$at" --range "$((size - 1))-"
    expect_piece $((size - 1)) $((size - 1))
    get_status 206 "$DIR/body" "$at" --range -4500
    expect_piece $((size - 4500)) $((size - 1))
    get_status 206 "$DIR/body" "$at" --range 0-
    expect_piece 0 $((size - 1))
    get_status 206 "$DIR/body" "$at" --range 4999-99999999999999999999999
    expect_piece 4999 $((size - 1))
    get_status 206 "$DIR/body" "$at" --range 0-99,50-150,2000-2010,4900-4950
    expect_parts 0-150 2000-2010 4900-4950
    get_status 206 "$DIR/body" "$at" --range 3000-3999,-100,0-0
    expect_parts 3000-3999 $((size - 100))-$((size - 1)) 0-0
    get_status 206 "$DIR/body" "$at" --range 10-20,15-30
    expect_piece 10 30
    get_status 206 "$DIR/body" "$at" --range "$size-,10-20"
    expect_piece 10 20
    get_status 416 "$DIR/body" "$at" --range "$size-"
    expect_eq "Content-Range" "$(header Content-Range)" "bytes */$size"
    expect_eq "Content-Length" "$(header Content-Length)" 0
    expect_hit
    get_status 416 "$DIR/body" "$at" --range -0
    for ignored in 'bytes=20-10' 'bytes=a-b' 'lines=1-2' 'bytes=1-2-3'; do
        get_ok "$DIR/body" "$at" -H "Range: $ignored"
        expect_same "$DIR/body" "$DIR/whole"
        expect_hit
    done
    get_ok "$DIR/body" "$at" -H 'Range: bytes=0-1' -H 'Range: bytes=3-4'
    expect_same "$DIR/body" "$DIR/whole"
    expect_eq "fetches of $path" "$(requests_to "$path")" 1
done

# More pieces across several segments, through one kept connection.
at="$OTHER/stored-3000000?size=3000000&$FRESH"
generated 3000000 >"$DIR/whole"
get_status 206 "$DIR/body" "$at" --range 2999000-,65000-66000,1000000-1900000,0-9
expect_parts 2999000-2999999 65000-66000 1000000-1900000 0-9
many=$(seq -s, -f '%.0f-' 0 200 20000 | sed 's/\([0-9]*\)-/\1-\1/g')
get_ok "$DIR/body" "$at" --range "$many" # too many: the whole (section 17.15)
expect_same "$DIR/body" "$DIR/whole"
printf 'GET /stored-5000?size=5000&%s HTTP/1.1\r\nHost: a\r\nRange: bytes=%s\r\n\r\n' \
    "$FRESH" 0-4,1000-1004 "$FRESH" 5-9 >"$DIR/two"
printf 'GET /stored-5000?size=5000&%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' "$FRESH" >>"$DIR/two"
raw "$DIR/answer" "${HTTP[other]}" <"$DIR/two"
expect_eq "statuses on one connection" "$(grep -ao 'HTTP/1.1 [0-9]*' "$DIR/answer")" \
    $'HTTP/1.1 206\nHTTP/1.1 206\nHTTP/1.1 200'
tail -c 5000 "$DIR/answer" | cmp - <(generated 5000) >&2 || fail "the body behind two ranges differs"

# HEAD has no ranges (section 14.2).
get_ok "$DIR/body" "$OTHER/stored-5000?size=5000&$FRESH" -I --range 0-9
expect_eq "Content-Length" "$(header Content-Length)" 5000
expect_hit
expect_eq "fetches" "$(requests_to /stored-5000)" 1

# ---- preconditions first (sections 13.2.2 and 14.2), then If-Range (section 13.1.5) ----

at="$OTHER/stored-5000?size=5000&$FRESH"
generated 5000 >"$DIR/whole"
get_ok "$DIR/body" "$at"
etag=$(header ETag)
modified=$(header Last-Modified)
get_status 304 "$DIR/body" "$at" --range 0-9 -H "If-None-Match: $etag"
get_status 206 "$DIR/body" "$at" --range 0-9 -H 'If-None-Match: "other"'
expect_piece 0 9
get_status 206 "$DIR/body" "$at" --range 0-9 -H "If-Range: $etag"
expect_piece 0 9
expect_eq "Content-Type that the client has" "$(header Content-Type)" ""
expect_eq "ETag" "$(header ETag)" "$etag"
get_status 206 "$DIR/body" "$at" --range 0-9 -H "If-Range: $modified"
expect_piece 0 9
get_status 206 "$DIR/body" "$at" --range 0-9,1000-1009 -H "If-Range: $etag"
expect_parts 0-9 1000-1009
for other in '"other"' "W/$etag" 'Thu, 01 Jan 1998 00:00:00 GMT' 'nonsense'; do
    get_ok "$DIR/body" "$at" --range 0-9 -H "If-Range: $other"
    expect_same "$DIR/body" "$DIR/whole"
    expect_hit
done
get_ok "$DIR/body" "$at" --range 9999- -H 'If-Range: "other"'
expect_same "$DIR/body" "$DIR/whole"
expect_eq "fetches" "$(requests_to /stored-5000)" 1

# ---- nothing stored: the origin's answer is passed on; e2e_parts.sh tells what is stored of it ----

get_status 206 "$DIR/body" "$URL/missed?size=5000&$FRESH" --range 1000-1999
cut 1000 1999 | cmp - "$DIR/body" >&2 || fail "the range differs"
expect_eq "Cache-Status" "$(cache_status)" 'larder; fwd=uri-miss; stored'
get_status 206 "$DIR/body" "$OTHER/missed?size=5000&$FRESH" --range 1000-1999
expect_piece 1000 1999
expect_eq "fetches of a part" "$(requests_to /missed)" 1
get_status 416 "$DIR/body" "$OTHER/missed?size=5000&$FRESH" --range 5000-
get_ok "$DIR/body" "$OTHER/missed?size=5000&$FRESH"
expect_same "$DIR/body" "$DIR/whole"
get_status 206 "$DIR/body" "$URL/missed?size=5000&$FRESH" --range 1000-1999
expect_piece 1000 1999
get_status 404 "$DIR/body" "$URL/none?status=404&$FRESH"
get_status 404 "$DIR/body" "$URL/none?status=404&$FRESH" --range 0-1 # only a 200 has ranges
expect_hit
get_status 504 "$DIR/body" "$URL/never?size=10" --range 0-1 -H 'Cache-Control: only-if-cached'

# ---- stale: validated first, then the part ----

at="$OTHER/stale?size=5000&header=Cache-Control:%20max-age=0"
store 5000 /stale 'header=Cache-Control:%20max-age=0'
get_status 206 "$DIR/body" "$at" --range 10-19
cut 10 19 | cmp - "$DIR/body" >&2 || fail "the range differs"
expect_match "Cache-Status" "$(cache_status)" '^larder; fwd=stale; fwd-status=304'
expect_origin .not_modified 1
get_status 206 "$DIR/body" "$at" --range 10-19,2000-2009
expect_match "Content-Type" "$(header Content-Type)" '^multipart/byteranges'
expect_origin .not_modified 2
get_status 416 "$DIR/body" "$at" --range 5000-
expect_eq "Content-Range" "$(header Content-Range)" 'bytes */5000'
origin_control 'version?n=7' >/dev/null # something new: it is fetched whole, stored, and sent whole
get_ok "$DIR/body" "$at" --range 10-19
cmp "$DIR/body" <(generated 5000:0:7) >&2 || fail "the new bytes differ"
expect_match "Cache-Status" "$(cache_status)" '^larder; fwd=stale; .*stored'
get_status 206 "$DIR/body" "$at" --range 10-19 -H 'Cache-Control: max-stale'
expect_hit
cmp "$DIR/body" <(generated 5000:0:7 | tail -c +11 | head -c 10) >&2 || fail "the range differs"
origin_control 'version?n=0' >/dev/null

# ---- the cache is lost within a piece: the rest comes from the origin ----

generated 40M >"$DIR/whole"
lose_cache_within() { # PATH RANGES QUERY
    store 40M "$1" "$3"
    exec {connection}<>"/dev/tcp/${HTTP[other]%:*}/${HTTP[other]##*:}"
    printf 'GET %s?size=40M&%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nRange: bytes=%s\r\n\r\n' \
        "$1" "$3" "$2" >&"$connection"
    : >"$DIR/head"
    while IFS= read -rt "$DEADLINE" -u "$connection" line && [[ $line != $'\r' ]]; do
        echo "$line" >>"$DIR/head"
    done
    kill_hard cache
    timeout "$DEADLINE" cat <&"$connection" >"$DIR/body"
    exec {connection}>&-
    start_cache --memory 192M
    await_proxies 2
}

lose_cache_within /lost 5000000-34999999 "$FRESH"
expect_piece 5000000 34999999
expect_eq "requests" "$(requests_to /lost)" 2
lose_cache_within /lost-parts 0-14999999,35000000-35000009,20000000-29999999 "$FRESH"
expect_parts 0-14999999 35000000-35000009 20000000-29999999
# An origin without ranges sends the whole; what stands before and behind the piece is left out.
lose_cache_within /lost-whole 5000000-34999999 "$FRESH&noheader=Accept-Ranges"
expect_piece 5000000 34999999
expect_eq "requests" "$(requests_to /lost-whole)" 2

wait_until "no object is pinned any more" cache_shows .cache.pins 0
stop proxy
stop other
stop cache
stop origin
e2e_done

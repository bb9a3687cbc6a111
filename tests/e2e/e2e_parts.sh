#!/usr/bin/env bash
# Parts that are stored: RFC 9111 sections 3.3 and 3.4, RFC 9110 section 15.3.7.3, through two proxies. The origin's
# bodies are those that `generated` prints, so every byte is checked; its counters tell what was fetched.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin parts

# shellcheck disable=SC2119 # no option is needed
start_origin
start_cache --memory 64M --max-object 48M
start_proxy proxy
start_proxy other
await_proxies 2
URL=http://${HTTP[proxy]}
OTHER=http://${HTTP[other]}
FRESH='header=Cache-Control:%20max-age=600'

# ---- what is fetched and how it is told ----

begin() { # PATH SIZE [QUERY]: what follows is about this resource
    RESOURCE=$1 SIZE=$2
    TARGET="$1?size=$2&${3-$FRESH}"
    generated "$SIZE" >"$DIR/whole"
}

version() { # NUMBER: of the origin's content
    origin_control "version?n=$1" >/dev/null
    generated "$SIZE:0:$1" >"$DIR/whole"
}

cut() { # FIRST LAST: of the whole
    head -c "$(($2 + 1))" "$DIR/whole" | tail -c "$(($2 - $1 + 1))"
}

expect_status() { # PATTERN
    expect_match "Cache-Status of $RESOURCE" "$(cache_status)" "^larder; $1"
}

# One range, and how it was answered.
part() { # PROXY_URL FIRST LAST PATTERN [CURL_OPTION...]
    get_status 206 "$DIR/body" "$1$TARGET" --range "$2-$3" "${@:5}"
    expect_part "$2" "$3" "$4"
}

expect_part() { # FIRST LAST PATTERN
    cut "$1" "$2" | cmp - "$DIR/body" >&2 || fail "bytes $1-$2 of $RESOURCE differ"
    expect_eq "Content-Range of $RESOURCE" "$(header Content-Range)" "bytes $1-$2/$SIZE"
    expect_eq "Content-Length of $RESOURCE" "$(header Content-Length)" "$(($2 - $1 + 1))"
    expect_status "$3"
}

whole() { # PROXY_URL PATTERN [CURL_OPTION...]
    get_ok "$DIR/body" "$1$TARGET" "${@:3}"
    expect_same "$DIR/body" "$DIR/whole"
    expect_eq "Content-Length of $RESOURCE" "$(header Content-Length)" "$SIZE"
    expect_eq "Content-Range of $RESOURCE" "$(header Content-Range)" ""
    expect_status "$2"
}

# What a command makes the origin send: requests for the resource, and bytes of bodies.
expect_fetched() { # REQUESTS BYTES COMMAND...
    local requests bytes
    requests=$(requests_to "$RESOURCE")
    bytes=$(origin_stat .bytes)
    "${@:3}"
    expect_eq "requests for $RESOURCE by: ${*:3}" "$(($(requests_to "$RESOURCE") - requests))" "$1"
    expect_eq "bytes fetched by: ${*:3}" "$(($(origin_stat .bytes) - bytes))" "$2"
}

STORED='fwd=uri-miss; stored$'
MORE='fwd=partial; stored$'
GAP='fwd=partial; fwd-status=206; stored$'

# ---- a part is stored, and what lies within it is answered (RFC 9111 section 3.3) ----

begin /within 300000
expect_fetched 1 100000 part "$URL" 100000 199999 "$STORED"
for at in "$URL" "$OTHER"; do
    expect_fetched 0 0 part "$at" 100000 199999 hit
    expect_fetched 0 0 part "$at" 123456 123456 hit
    expect_fetched 0 0 part "$at" 150000 199999 hit
done
expect_match "ETag" "$(header ETag)" '^"g-'
expect_eq "Content-Type" "$(header Content-Type)" application/octet-stream
expect_match "Age" "$(header Age)" '^[0-9]+$'
get_status 206 "$DIR/body" "$OTHER$TARGET" --range 100000-100009,199000-199009
expect_hit
expect_match "Content-Type" "$(header Content-Type)" '^multipart/byteranges'
# Without a byte of the body: the length, the validators and the conditions are those of the whole.
expect_fetched 0 0 get_status 416 "$DIR/body" "$OTHER$TARGET" --range 300000-
expect_eq "Content-Range of 416" "$(header Content-Range)" 'bytes */300000'
expect_hit
expect_fetched 0 0 get_ok "$DIR/body" "$OTHER$TARGET" -I
expect_hit
expect_eq "Content-Length of HEAD" "$(header Content-Length)" 300000
expect_eq "Content-Range of HEAD" "$(header Content-Range)" ""
etag=$(header ETag)
modified=$(header Last-Modified)
expect_fetched 0 0 get_status 304 "$DIR/body" "$OTHER$TARGET" -H "If-None-Match: $etag"
expect_hit
expect_fetched 0 0 get_status 304 "$DIR/body" "$OTHER$TARGET" -H "If-Modified-Since: $modified"
expect_fetched 0 0 get_status 304 "$DIR/body" "$OTHER$TARGET" -H "If-None-Match: $etag" --range 0-9
expect_fetched 0 0 part "$OTHER" 100000 100099 hit -H "If-Range: $etag"
expect_eq "Content-Type that the client has" "$(header Content-Type)" ""
expect_fetched 0 0 part "$OTHER" 100000 100099 hit -H "If-Range: $modified"
expect_fetched 0 0 get_status 504 "$DIR/body" "$OTHER$TARGET" --range 0-999 -H 'Cache-Control: only-if-cached'
expect_fetched 0 0 get_status 504 "$DIR/body" "$OTHER$TARGET" -H 'Cache-Control: only-if-cached'
expect_fetched 0 0 part "$OTHER" 100000 100099 hit -H 'Cache-Control: only-if-cached'

# ---- parts are combined (section 3.4, RFC 9110 section 15.3.7.3) ----

begin /adjacent 300000
part "$URL" 0 99999 "$STORED"
expect_fetched 1 100000 part "$OTHER" 100000 199999 "$MORE"
for at in "$URL" "$OTHER"; do
    expect_fetched 0 0 part "$at" 0 199999 hit
    expect_fetched 0 0 part "$at" 99999 100000 hit
    expect_fetched 0 0 part "$at" 50000 150000 hit
done
get_status 206 "$DIR/body" "$URL$TARGET" --range 0-9,99990-100009,199990-199999
expect_hit
tr -d '\r' <"$DIR/body" >"$DIR/text"
expect_eq "parts" "$(grep -ac '^Content-Range: bytes ' "$DIR/text")" 3

begin /gap 300000
part "$URL" 0 99999 "$STORED"
part "$URL" 200000 299999 "$MORE"
expect_fetched 1 100000 part "$OTHER" 50000 249999 "$GAP"
expect_eq "the range that was asked for" "$(origin_control last | tr -d '\r' | grep -i '^range:')" \
    'Range: bytes=100000-199999'
expect_match "and the condition" "$(origin_control last)" 'If-Range: "g-'
for at in "$URL" "$OTHER"; do
    expect_fetched 0 0 part "$at" 50000 249999 hit
    expect_fetched 0 0 whole "$at" hit # section 3.3: it is complete now
    expect_fetched 0 0 getfile_ok "$DIR/body" "${GETFILE[proxy]}" "$TARGET"
    expect_same "$DIR/body" "$DIR/whole"
done

# The start is there and the end is not, and the other way round.
begin /ends 300000
part "$URL" 100000 199999 "$STORED"
expect_fetched 1 50000 part "$OTHER" 150000 249999 "$GAP"
expect_fetched 1 50000 part "$OTHER" 50000 199999 "$GAP"
expect_fetched 0 0 part "$URL" 50000 249999 hit
# Several gaps are fetched as one range.
expect_fetched 1 300000 whole "$URL" 'fwd=partial'
expect_fetched 0 0 whole "$OTHER" hit

begin /suffix 300000
get_status 206 "$DIR/body" "$URL$TARGET" --range -1000
expect_part 299000 299999 "$STORED"
get_status 206 "$DIR/body" "$OTHER$TARGET" --range -500
expect_part 299500 299999 hit
get_status 206 "$DIR/body" "$OTHER$TARGET" --range 299000-
expect_part 299000 299999 hit
get_status 206 "$DIR/body" "$OTHER$TARGET" --range 100000-
expect_part 100000 299999 "$GAP"
expect_fetched 1 100000 whole "$OTHER" "$GAP"
expect_fetched 0 0 whole "$URL" hit

# A few bytes do not pay, unless they are all.
begin /small 200
part "$URL" 0 99 'fwd=uri-miss; detail=part'
get_status 206 "$DIR/body" "$URL$TARGET" --range 0-
expect_part 0 199 "$STORED"
expect_fetched 0 0 whole "$OTHER" hit

# ---- a whole response takes the place of parts ----

begin /replaced 300000
part "$URL" 0 99999 "$STORED"
part "$URL" 200000 299999 "$MORE"
get_ok "$DIR/body" "$OTHER$TARGET" --range 0-9,150000-150009 # passed on: the origin knows no lists of ranges
expect_same "$DIR/body" "$DIR/whole"
expect_status "$MORE"
expect_fetched 0 0 whole "$URL" hit
begin /refused 300000 "$FRESH&noheader=Accept-Ranges" # an origin without ranges
get_ok "$DIR/body" "$URL$TARGET" --range 0-99999
expect_same "$DIR/body" "$DIR/whole"
expect_status "$STORED"
part "$OTHER" 0 99999 hit

# ---- never parts of different bytes ----

begin /changed 300000
part "$URL" 0 99999 "$STORED"
version 1
part "$OTHER" 200000 299999 "$MORE" # something new takes the place of what was there
part "$URL" 200000 299999 hit
expect_fetched 1 100000 part "$URL" 0 99999 "$MORE"
part "$OTHER" 0 99999 hit
version 2
expect_fetched 1 300000 whole "$OTHER" 'fwd=partial; stored$' # 200 to If-Range
expect_fetched 0 0 part "$URL" 0 299999 hit
version 0

begin /changed-range 300000
part "$URL" 0 99999 "$STORED"
version 1
get_ok "$DIR/body" "$OTHER$TARGET" --range 50000-149999 # with If-Range: the whole of what there is now
expect_same "$DIR/body" "$DIR/whole"
expect_status 'fwd=partial; stored$'
part "$URL" 50000 149999 hit
version 0

begin /mixing 300000 "$FRESH&noifrange=1" # an origin that heeds no If-Range
part "$URL" 0 99999 "$STORED"
version 1
expect_fetched 2 150000 part "$OTHER" 50000 149999 "$MORE" # its 206 was refused
part "$URL" 50000 149999 hit
expect_fetched 1 200000 part "$URL" 0 199999 "$MORE"
version 0

# The same ETag and another Last-Modified: what fills the gap changes what If-Range by date decides.
for asked in 0 1; do
    version 0
    begin "/moves-$asked" 300000 "$FRESH&header=ETag:%20%22same%22&noifrange=1"
    part "$URL" 0 99999 "$STORED"
    version 1
    modified=$(origin_control "version?n=$asked" >/dev/null && get_ok "$DIR/body" "http://$ORIGIN$TARGET" -I && header Last-Modified)
    version 1
    part "$URL" 0 149999 'fwd=partial' -H "If-Range: $modified"
done
version 0

weak='header=ETag:%20W/%22w%22'
for validators in "$weak" 'noheader=ETag&noheader=Last-Modified' "$weak&noheader=Last-Modified"; do
    begin "/weak-${#validators}" 300000 "$FRESH&$validators"
    expect_fetched 1 100000 part "$URL" 0 99999 'fwd=uri-miss; detail=part'
    expect_fetched 1 100000 part "$OTHER" 0 99999 'fwd=uri-miss; detail=part'
done
begin /by-date 300000 "$FRESH&noheader=ETag" # RFC 9110 section 8.8.2.2: long before its Date
part "$URL" 0 99999 "$STORED"
expect_fetched 1 200000 whole "$OTHER" "$GAP"
expect_match "the condition" "$(origin_control last)" 'If-Range: Wed, 01 Jan 2020'
expect_fetched 0 0 whole "$URL" hit

# What may not be stored whole is not stored as a part.
for control in no-store private; do
    begin "/$control" 300000 "header=Cache-Control:%20$control"
    part "$URL" 0 99999 "fwd=uri-miss; detail=$control"
    part "$URL" 0 99999 "fwd=uri-miss; detail=$control"
done

# With If-Range a 206 has not all of the fields, so that nothing can begin with it; but it can be joined.
begin /if-range 300000
etag=$(get_ok "$DIR/body" "http://$ORIGIN$TARGET" -I && header ETag)
part "$URL" 0 99999 'fwd=uri-miss; detail=part' -H "If-Range: $etag"
part "$URL" 0 99999 "$STORED"
part "$URL" 200000 299999 "$MORE" -H "If-Range: $etag"
part "$OTHER" 200000 299999 hit
expect_eq "Content-Type" "$(header Content-Type)" application/octet-stream
expect_fetched 1 100000 whole "$OTHER" "$GAP" --range 0-9 -H 'If-Range: "other"'

# What a client says of the address under which it reaches us stays behind, as for all that may be stored.
begin /forwarded 300000
part "$URL" 0 999 "$STORED" -H 'X-Forwarded-Host: evil.example'
expect_no_match "the request" "$(origin_control last)" '[Ff]orwarded-[Hh]ost'

# ---- freshness, validation and invalidation are those of the whole (sections 4.3.1, 4.4) ----

begin /stale 300000 'header=Cache-Control:%20max-age=0'
part "$URL" 0 99999 "$STORED"
expect_fetched 1 0 part "$OTHER" 0 99999 'fwd=stale; fwd-status=304'
expect_origin .not_modified 1
expect_fetched 0 0 part "$OTHER" 0 99999 hit -H 'Cache-Control: max-stale'
expect_fetched 1 100000 part "$OTHER" 50000 199999 "$GAP" # the gap's answer confirms what is there
expect_origin .not_modified 1
expect_fetched 1 0 part "$URL" 0 199999 'fwd=stale; fwd-status=304'
expect_fetched 1 0 get_status 416 "$DIR/body" "$URL$TARGET" --range 300000-
expect_fetched 1 100000 whole "$URL" "$GAP"
expect_fetched 1 0 whole "$OTHER" 'fwd=stale; fwd-status=304'
version 1
get_ok "$DIR/body" "$URL$TARGET" --range 0-99 # it has changed: fetched whole, stored, and sent whole
expect_same "$DIR/body" "$DIR/whole"
expect_status 'fwd=stale; stored$'
part "$OTHER" 0 99 hit -H 'Cache-Control: max-stale'
version 0

# A 304, a HEAD and a gap renew what is known of the whole, which others get then.
begin /renewed 300000 'header0=Cache-Control:%20max-age=0&header0=X-N:%200&header1=Cache-Control:%20max-age=600&header1=X-N:%201&version=5'
generated 300000:0:5 >"$DIR/whole"
part "$URL" 0 99999 "$STORED"
expect_eq "X-N" "$(header X-N)" 0
origin_control 'version?n=1' >/dev/null
expect_fetched 1 0 part "$OTHER" 0 99999 'fwd=stale; fwd-status=304'
expect_eq "X-N" "$(header X-N)" 1
expect_fetched 0 0 part "$URL" 0 99999 hit
expect_eq "X-N" "$(header X-N)" 1
origin_control 'version?n=0' >/dev/null
expect_fetched 1 100000 part "$URL" 50000 199999 "$GAP"
expect_eq "X-N" "$(header X-N)" 0
expect_fetched 1 0 part "$OTHER" 50000 199999 'fwd=stale; fwd-status=304'
version 0

begin /invalidated 300000
part "$URL" 0 99999 "$STORED"
part "$OTHER" 100000 299999 "$MORE"
expect_fetched 0 0 whole "$URL" hit
get_ok "$DIR/body" "$OTHER$TARGET" -d x
part "$URL" 0 99999 "$STORED"
expect_fetched 1 200000 whole "$OTHER" "$GAP" # the other part is not found any more

# A part that is on its way when all is invalidated is not listed afterwards.
begin /overtaken 300000 "$FRESH&hold=overtaken&hold_at=60000"
part_in_background() { # FIRST LAST: into $DIR/part-FIRST
    start "background-$1" curl -sS --noproxy '*' --max-time 60 -o "$DIR/part-$1" --range "$1-$2" "$URL$TARGET"
}
part_in_background 0 99999
await_held overtaken
get_ok "$DIR/text" "$OTHER$TARGET" -d x &
posting=$!
await_held overtaken 2
cp "$DIR/whole" "$DIR/before"
version 1
part "$OTHER" 100000 149999 "$STORED"
release overtaken
wait "$posting"
await_end background-0
expect_eq "curl's exit status" "$EXIT_STATUS" 0
head -c 100000 "$DIR/before" | cmp - "$DIR/part-0" >&2 || fail "the overtaken bytes differ"
expect_fetched 1 50000 part "$URL" 0 49999 "$MORE"
expect_fetched 1 250000 whole "$OTHER" 'fwd=partial'
version 0

# ---- variants (section 4.1) ----

begin /vary 300000 "$FRESH&header=Vary:%20Accept-Language"
for language in de fr; do
    part "$URL" 0 99999 'fwd=(uri|vary)-miss; stored; key=' -H "Accept-Language: $language"
    expect_fetched 0 0 part "$OTHER" 0 99999 'hit; .*key=' -H "Accept-Language: $language"
    part "$OTHER" 100000 199999 'fwd=partial; stored; key=' -H "Accept-Language: $language"
    expect_fetched 0 0 part "$URL" 50000 150000 hit -H "Accept-Language: $language"
done
expect_fetched 1 100000 whole "$URL" 'fwd=partial; fwd-status=206; stored' -H 'Accept-Language: de'
expect_fetched 0 0 whole "$OTHER" hit -H 'Accept-Language: de'
part "$URL" 200000 299999 'fwd=partial; stored' -H 'Accept-Language: fr'
get_ok "$DIR/body" "$OTHER$TARGET" -d x
part "$URL" 0 99999 'fwd=uri-miss; stored' -H 'Accept-Language: de'

# ---- what broke off is completed (section 3.3) ----

broken() { # PROXY_URL AFTER: the client sees that it is not whole
    origin_control "cut?n=$2" >/dev/null
    get "$DIR/body" "$1$TARGET"
    [[ $CURL_EXIT -ne 0 ]] || fail "$RESOURCE looked like a whole response"
}

begin /broken 3000000
broken "$URL" 2000000
expect_fetched 0 0 part "$OTHER" 0 999999 hit
expect_fetched 0 0 get_ok "$DIR/body" "$OTHER$TARGET" -I
expect_eq "Content-Length of HEAD" "$(header Content-Length)" 3000000
bytes=$(origin_stat .bytes)
whole "$OTHER" "$GAP"
expect_below "bytes of the rest" "$(($(origin_stat .bytes) - bytes))" 1100000
expect_eq "requests" "$(requests_to /broken)" 2
expect_fetched 0 0 whole "$URL" hit
expect_fetched 0 0 part "$URL" 1500000 2999999 hit

begin /broken-again 3000000
broken "$URL" 1000000
broken "$OTHER" 1000000 # of the rest, of which nothing is kept
whole "$URL" "$GAP"
whole "$OTHER" hit
expect_eq "requests" "$(requests_to /broken-again)" 3

begin /broken-changed 3000000
broken "$URL" 2000000
version 1
expect_fetched 1 3000000 whole "$OTHER" "$MORE"
expect_fetched 0 0 whole "$URL" hit
version 0

begin /broken-removed 3000000 "$FRESH&hold=removed&hold_at=1000000"
origin_control 'cut?n=2000000' >/dev/null
start background curl -sS --noproxy '*' --max-time 60 -o "$DIR/body" "$URL$TARGET"
await_held removed
get_ok "$DIR/text" "$OTHER$TARGET" -d x &
posting=$!
await_held removed 2
release removed
wait "$posting"
await_end background
expect_fetched 1 3000000 whole "$URL" "$STORED"

for kind in 'chunked=1' "$weak" 'header=Cache-Control:%20no-store'; do
    begin "/unkept-${#kind}" 3000000 "$FRESH&$kind"
    broken "$URL" 2000000
    expect_fetched 1 3000000 get_ok "$DIR/body" "$OTHER$TARGET"
    expect_same "$DIR/body" "$DIR/whole"
    expect_status 'fwd=uri-miss'
done

# ---- the client leaves, the part is stored all the same ----

begin /left 3000000 "$FRESH&hold=left"
part_in_background 1000000 2999999
await_held left
send background-1000000 KILL
await_end background-1000000
release left
is_there() {
    get "$DIR/body" "$OTHER$TARGET" --range 1000000-2999999 -H 'Cache-Control: only-if-cached'
    [[ $STATUS == 206 ]]
}
wait_until "what the client left is stored" is_there
expect_part 1000000 2999999 hit

# ---- many at once, through both: none is lost ----

begin /many 2400000 "$FRESH&hold=many"
for ((i = 0; i < 24; i++)); do
    at=$([[ $((i % 2)) -eq 0 ]] && echo "$URL" || echo "$OTHER")
    start "many-$i" curl -sS --noproxy '*' --max-time 60 -o "$DIR/many-$i"         --range "$((i * 100000))-$((i * 100000 + 99999))" "$at$TARGET"
    [[ $i -gt 0 ]] || await_held many # the first describes it
done
await_held many 24
release many
for ((i = 0; i < 24; i++)); do
    await_end "many-$i"
    cut $((i * 100000)) $((i * 100000 + 99999)) | cmp - "$DIR/many-$i" >&2 || fail "part $i differs"
done
expect_fetched 0 0 whole "$OTHER" hit

# ---- one of the parts is evicted: it is a gap ----

begin /evicted 6000000
part "$URL" 0 1999999 "$STORED"
part "$URL" 2000000 3999999 "$MORE"
for ((i = 0; i < 70; i++)); do
    get_ok "$DIR/body" "$URL/filler-$i?size=1M&$FRESH"
    part "$URL" 2000000 2000099 hit # is used, and so is what describes it
done
expect_fetched 1 1999000 part "$OTHER" 1000 3999999 "$GAP"
expect_fetched 0 0 part "$URL" 1000 3999999 hit
expect_fetched 1 2000000 part "$URL" 1000 5999999 "$GAP"

# ---- the cache is lost between two parts: the rest comes from the origin ----

begin /lost 40000000
part "$URL" 0 19999999 "$STORED"
part "$URL" 20000000 39999999 "$MORE"
exec {connection}<>"/dev/tcp/${HTTP[other]%:*}/${HTTP[other]##*:}"
printf 'GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' "$TARGET" >&"$connection"
: >"$DIR/head"
while IFS= read -rt "$DEADLINE" -u "$connection" line && [[ $line != $'\r' ]]; do
    echo "$line" >>"$DIR/head"
done
kill_hard cache
timeout "$DEADLINE" cat <&"$connection" >"$DIR/body"
exec {connection}>&-
expect_same "$DIR/body" "$DIR/whole"
expect_hit
expect_eq "requests" "$(requests_to /lost)" 3
start_cache --memory 64M --max-object 48M
await_proxies 2

wait_until "no object is pinned any more" cache_shows .cache.pins 0
expect_cache .cache.leases 0
stop proxy
stop other
stop cache
stop origin
e2e_done

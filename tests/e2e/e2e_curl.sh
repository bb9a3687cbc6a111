#!/usr/bin/env bash
# What curl does, option by option, through two proxies: bytes, Cache-Status, and how often the origin was asked.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin curl

mkdir "$DIR/root"
seq 30000 >"$DIR/root/page.html"
gzip -k "$DIR/root/page.html"
start_origin --root "$DIR/root"
start_cache --memory 64M
start_proxy proxy
start_proxy other
await_proxies 2
URL=http://${HTTP[proxy]}
OTHER=http://${HTTP[other]}
FRESH='header=Cache-Control:%20max-age=600'

await_stored() {
    wait_until "no fill is under way" cache_shows .cache.leases 0
}

# Fetches a generated body through the first proxy; from then on it is a hit for both.
store() { # SIZE PATH [QUERY]: the whole is in $DIR/whole
    generated "$1" >"$DIR/whole"
    get_ok "$DIR/body" "$URL$2?size=$1&$FRESH${3:+&$3}"
    expect_same "$DIR/body" "$DIR/whole"
    expect_match "Cache-Status of $2" "$(cache_status)" '; stored'
    await_stored
}

expect_whole() {
    expect_same "$DIR/body" "$DIR/whole"
}

expect_bytes() { # FIRST LAST: of the whole
    cmp "$DIR/body" <(head -c "$(($2 + 1))" "$DIR/whole" | tail -c "$(($2 - $1 + 1))") >&2 ||
        fail "bytes $1-$2 differ"
}

expect_requests() { # PATH NUMBER
    expect_eq "requests for $1" "$(requests_to "$1")" "$2"
}

# curl as it comes, for what get() would hide. The verbose log is in $DIR/curl.log.
curl_ok() { # [CURL_OPTION...]
    curl -sSv --noproxy '*' --max-time 120 "$@" 2>"$DIR/curl.log" ||
        fail "curl $*: $(grep -v '^[{}]' "$DIR/curl.log" | tail -n 20)"
}

expect_said() { # EXTENDED_REGULAR_EXPRESSION: in curl's verbose log
    grep -Eq -- "$1" "$DIR/curl.log" || fail "curl did not say \"$1\": $(cat "$DIR/curl.log")"
}

# ---- --range: one, a suffix, several ----

store 200000 /ranges
at="$OTHER/ranges?size=200000&$FRESH"
get_status 206 "$DIR/body" "$at" --range 70000-139999
expect_bytes 70000 139999
expect_eq "Content-Range" "$(header Content-Range)" 'bytes 70000-139999/200000'
expect_hit
get_status 206 "$DIR/body" "$at" --range -1000
expect_bytes 199000 199999
expect_hit
get_status 206 "$DIR/body" "$at" --range 199999-
expect_bytes 199999 199999
get_status 206 "$DIR/body" "$at" --range 0-99,1000-1999,-50
expect_hit
boundary=$(header Content-Type)
boundary=${boundary##*boundary=}
for piece in 0-99 1000-1999 199950-199999; do
    printf '%s--%s\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes %s/200000\r\n\r\n' \
        "${first-}" "$boundary" "$piece"
    first=$'\r\n'
    head -c "$((${piece#*-} + 1))" "$DIR/whole" | tail -c "$((${piece#*-} - ${piece%-*} + 1))"
done >"$DIR/parts"
printf '\r\n--%s--\r\n' "$boundary" >>"$DIR/parts"
expect_same "$DIR/body" "$DIR/parts"
get_status 416 "$DIR/body" "$at" --range 200000-
expect_requests /ranges 1

# ---- --compressed: two representations, never mixed up, and curl undoes only what is encoded ----

page="/page.html?gzip=1&header=Vary:%20Accept-Encoding&$FRESH"
for round in 1 2 3; do
    for base in "$URL" "$OTHER"; do
        get_ok "$DIR/body" "$base$page" --compressed
        expect_same "$DIR/body" "$DIR/root/page.html"
        expect_eq "Content-Encoding" "$(header Content-Encoding)" gzip
        expect_eq "Content-Length" "$(header Content-Length)" "$(stat -c %s "$DIR/root/page.html.gz")"
        [[ $round == 1 && $base == "$URL" ]] || expect_hit
        get_ok "$DIR/body" "$base$page"
        expect_same "$DIR/body" "$DIR/root/page.html"
        expect_eq "Content-Encoding" "$(header Content-Encoding)" ""
        expect_eq "Content-Length" "$(header Content-Length)" "$(stat -c %s "$DIR/root/page.html")"
        [[ $round == 1 && $base == "$URL" ]] || expect_hit
        await_stored
    done
done
expect_requests /page.html 2
get_status 206 "$DIR/body" "$OTHER$page" -H 'Accept-Encoding: deflate, gzip, br, zstd' --range 100-199
cmp "$DIR/body" <(tail -c +101 "$DIR/root/page.html.gz" | head -c 100) >&2 || fail "a range of another variant"
get_status 206 "$DIR/body" "$OTHER$page" --range 100-199
cmp "$DIR/body" <(tail -c +101 "$DIR/root/page.html" | head -c 100) >&2 || fail "a range of another variant"
expect_hit
# --tr-encoding offers a transfer coding, hop by hop: what is stored serves it.
get_ok "$DIR/body" "$OTHER$page" --tr-encoding
expect_same "$DIR/body" "$DIR/root/page.html"
expect_hit

# ---- -T: with and without Expect, from a file and from a pipe ----

generated 2M:7 >"$DIR/upload"

upload() { # PATH [CURL_OPTION...]: the origin's echo is in $DIR/body
    curl_ok -o "$DIR/body" -w '%{http_code}' "${@:2}" "$URL$1?echo=1" >"$DIR/said"
    expect_eq "status of $1" "$(cat "$DIR/said")" 200
    expect_match "request line of $1" "$(head -n 1 "$DIR/body" | tr -d '\r')" "^PUT $1\\?echo=1 HTTP/1\\.1$"
    cmp <(tail -c 2097152 "$DIR/body") "$DIR/upload" >&2 || fail "the origin received another body at $1"
    expect_requests "$1" 1
}

head_of_body() { # the request's head in an echo
    head -n 20 "$DIR/body" | tr -d '\0\r' | sed '/^$/q'
}

upload /put-expect -T "$DIR/upload" -H 'Expect: 100-continue'
expect_said '^< HTTP/1\.1 100'
expect_match "the origin's request" "$(head_of_body)" 'Content-Length: 2097152'
upload /put-plain -T "$DIR/upload" -H 'Expect:'
grep -q '^< HTTP/1.1 100' "$DIR/curl.log" && fail "100 Continue without Expect"
upload /put-default -T "$DIR/upload" # curl itself decides
upload /put-pipe -T - < <(cat "$DIR/upload")
expect_said '^> Transfer-Encoding: chunked'
expect_match "the origin's request" "$(head_of_body)" 'Transfer-Encoding: chunked'
upload /put-pipe-plain -T - -H 'Expect:' < <(cat "$DIR/upload")
upload /put-pipe-unblocked -T . -H 'Expect: 100-continue' < <(cat "$DIR/upload")
expect_said '^< HTTP/1\.1 100'
upload /put-pipe-known -T - -H 'Content-Length: 2097152' -H 'Transfer-Encoding:' < <(cat "$DIR/upload")
expect_match "the origin's request" "$(head_of_body)" 'Content-Length: 2097152'

# Two uploads and a download on one connection; an empty file has a length too.
: >"$DIR/empty"
connects=$(curl_ok -o "$DIR/1" -o "$DIR/2" -o "$DIR/3" -w '%{http_code} %{num_connects}\n' \
    -T "$DIR/upload" "$URL/put-one?echo=1" -T "$DIR/empty" "$URL/put-two?echo=1" "$URL/put-three?size=70000")
expect_eq "statuses and connections" "$connects" $'200 1\n200 0\n200 0'
cmp <(tail -c 2097152 "$DIR/1") "$DIR/upload" >&2 || fail "the first upload differs"
expect_match "the empty upload" "$(tr -d '\r' <"$DIR/2")" 'Content-Length: 0'
cmp "$DIR/3" <(generated 70000) >&2 || fail "the body behind two uploads differs"

# Refused before it is sent: curl keeps the body to itself.
get_status 413 "$DIR/body" "$URL/put-refused?early=1&status=413" -T "$DIR/upload" -H 'Expect: 100-continue'
said=$(curl_ok -o "$DIR/body" -w '%{http_code} %{size_upload}' -T "$DIR/upload" -H 'Expect: 100-continue' \
    "$URL/put-refused?early=1&status=413")
expect_eq "status and bytes sent" "$said" "413 0"
# Refused while it is on its way: the answer arrives all the same.
get_status 413 "$DIR/body" "$URL/put-refused?early=1&status=413" -T "$DIR/upload" -H 'Expect:'
expect_requests /put-refused 3

# ---- --data and -F: POST ----

for body in 'a=b&c=d' "@$DIR/upload"; do
    get_ok "$DIR/body" "$URL/post?echo=1" --data-binary "$body"
    expect_match "request line" "$(head -n 1 "$DIR/body" | tr -d '\r')" '^POST /post\?echo=1 HTTP/1\.1$'
    expect_match "Cache-Status" "$(cache_status)" '^larder; fwd=method'
done
cmp <(tail -c 2097152 "$DIR/body") "$DIR/upload" >&2 || fail "the origin received another body"
get_ok "$DIR/body" "$OTHER/post?echo=1" -F 'name=value' -F "file=@$DIR/root/page.html"
expect_match "the origin's request" "$(head_of_body)" 'Content-Type: multipart/form-data; boundary='
grep -q '^30000$' "$DIR/body" || fail "the form's file did not arrive"
get_ok "$DIR/body" "$OTHER/post?echo=1" --json '{"a": 1}'
expect_eq "posted JSON" "$(tail -n 1 "$DIR/body")" '{"a": 1}'
expect_requests /post 4

store 5000 /posted
get_ok "$DIR/body" "$OTHER/posted?size=5000&$FRESH"
expect_hit
get_ok "$DIR/body" "$OTHER/posted?size=5000&$FRESH" --data x
expect_requests /posted 2
get_ok "$DIR/body" "$URL/posted?size=5000&$FRESH"
expect_forwarded
expect_requests /posted 3

# ---- -I ----

get_ok "$DIR/body" "$URL/head?size=70000&$FRESH" -I
expect_match "Cache-Status of a HEAD that misses" "$(cache_status)" '^larder; fwd=uri-miss'
expect_eq "Content-Length" "$(header Content-Length)" 70000
store 70000 /head
curl_ok -I -w '%{num_connects}\n' "$OTHER/head?size=70000&$FRESH" "$OTHER/head?size=70000&$FRESH" >"$DIR/head"
expect_eq "new connections of two HEAD requests" "$(grep -x '[0-9]' "$DIR/head")" $'1\n0'
expect_hit
expect_eq "Content-Length" "$(header Content-Length)" 70000
get_ok "$DIR/body" "$OTHER/head?size=70000&$FRESH" -I --http1.0
expect_hit
expect_requests /head 2
expect_origin .heads 1
get_ok "$DIR/body" "$OTHER/head-chunked?size=70000&chunked=1" -I # of unknown length

# ---- --http1.0: with and without keep-alive; what comes in chunks ends with the connection or has a length ----

for framing in chunked nolength; do
    path=/http10-$framing
    generated 150000 >"$DIR/whole"
    for option in '' 'Connection: keep-alive'; do
        get_ok "$DIR/body" "$URL$path?size=150000&$framing=1&header=Cache-Control:%20no-store" --http1.0 \
            ${option:+-H "$option"}
        expect_whole
        expect_eq "Transfer-Encoding for HTTP/1.0" "$(header Transfer-Encoding)" ""
        [[ -n $(header Content-Length) ]] || expect_eq "Connection" "$(header Connection)" close
    done
    get_ok "$DIR/body" "$URL$path-kept?size=150000&$framing=1&$FRESH" --http1.0
    expect_whole
    await_stored
    get_ok "$DIR/body" "$OTHER$path-kept?size=150000&$framing=1&$FRESH" --http1.0
    expect_whole
    expect_hit
    expect_eq "Content-Length" "$(header Content-Length)" 150000
    expect_requests "$path-kept" 1
done
curl_ok --http1.0 -o "$DIR/1" -o "$DIR/2" -w '%{num_connects}\n' \
    "$OTHER/ranges?size=200000&$FRESH" "$OTHER/ranges?size=200000&$FRESH" >"$DIR/said"
expect_eq "new connections without keep-alive" "$(cat "$DIR/said")" $'1\n1'
curl_ok --http1.0 -H 'Connection: keep-alive' -o "$DIR/1" -o "$DIR/2" -w '%{num_connects}\n' \
    "$OTHER/ranges?size=200000&$FRESH" "$OTHER/ranges?size=200000&$FRESH" >"$DIR/said"
expect_said '^< Connection: keep-alive'
expect_eq "new connections with keep-alive" "$(cat "$DIR/said")" $'1\n0'
cmp "$DIR/2" <(generated 200000) >&2 || fail "the second body on a kept HTTP/1.0 connection differs"
expect_requests /ranges 1

# What curl sends to go up to HTTP/2 is answered in HTTP/1.1, and does not reach the origin.
get_ok "$DIR/body" "$URL/upgrade?echo=1" --http2
expect_no_match "the origin's request" "$(cat "$DIR/body")" '(Upgrade|HTTP2-Settings):'
get "$DIR/body" "$URL/upgrade?echo=1" --http2-prior-knowledge
[[ $CURL_EXIT -ne 0 ]] || fail "HTTP/2 without asking was answered"
expect_requests /upgrade 1

# ---- -C -: resumed through the other proxy ----

store 300000 /resume
head -c 123456 "$DIR/whole" >"$DIR/part"
curl_ok -C - -o "$DIR/part" -D "$DIR/head" "$OTHER/resume?size=300000&$FRESH"
expect_same "$DIR/part" "$DIR/whole"
expect_eq "Content-Range" "$(header Content-Range)" 'bytes 123456-299999/300000'
expect_hit
curl_ok -C - -o "$DIR/part" -D "$DIR/head" -w '%{http_code}' "$OTHER/resume?size=300000&$FRESH" >"$DIR/said"
expect_eq "status for what is there whole" "$(cat "$DIR/said")" 416
expect_same "$DIR/part" "$DIR/whole"
expect_requests /resume 1
# A download that breaks off is resumed; nothing half was stored.
get "$DIR/part" "$URL/broken?size=300000&$FRESH&close=100000"
expect_eq "curl's exit status" "$CURL_EXIT" 18
expect_eq "bytes before the end" "$(stat -c %s "$DIR/part")" 100000
curl_ok -C - -o "$DIR/part" -D "$DIR/head" "$OTHER/broken?size=300000&$FRESH"
expect_same "$DIR/part" "$DIR/whole"
expect_match "status" "$(head -n 1 "$DIR/head")" '^HTTP/1\.1 206 '

# ---- --etag-save and --etag-compare, -z ----

for tag in '' 'W/"weak"'; do
    path=/tagged-${tag:+weak}
    query="size=5000&$FRESH${tag:+&header=ETag:%20W/%22weak%22}"
    get_ok "$DIR/body" "$URL$path?$query" --etag-save "$DIR/etag"
    await_stored
    [[ -s $DIR/etag ]] || fail "no ETag was saved"
    [[ -z $tag ]] || expect_eq "the saved ETag" "$(cat "$DIR/etag")" "$tag"
    get_status 304 "$DIR/body" "$OTHER$path?$query" --etag-compare "$DIR/etag"
    expect_hit
    expect_eq "size of a 304" "$(stat -c %s "$DIR/body")" 0
    echo '"different"' >"$DIR/etag"
    get_ok "$DIR/body" "$OTHER$path?$query" --etag-compare "$DIR/etag" --etag-save "$DIR/etag"
    expect_hit
    get_status 304 "$DIR/body" "$OTHER$path?$query" --etag-compare "$DIR/etag" --etag-save "$DIR/etag"
    expect_requests "$path" 1
done

store 5000 /timed # last modified on 1 January 2020
at="$OTHER/timed?size=5000&$FRESH"
get_status 304 "$DIR/body" "$at" -z '2 Jan 2020'
expect_hit
get_ok "$DIR/body" "$at" -z '31 Dec 2019'
expect_whole
expect_hit
touch -d '2020-01-01 00:00:00 UTC' "$DIR/dated"
get_status 304 "$DIR/body" "$at" -z "$DIR/dated"
expect_hit
expect_requests /timed 1
get_ok "$DIR/body" "$at" -z '-1 Jan 2021' # If-Unmodified-Since is the origin's to judge
expect_match "Cache-Status" "$(cache_status)" '^larder; fwd=bypass'
expect_requests /timed 2

# ---- several URLs: one after the other on one connection, and together on several ----

queries=()
outputs=()
for i in $(seq 1 12); do
    queries+=("$OTHER/many-$i?size=$((i * 9000))&seed=$i&$FRESH")
    outputs+=(-o "$DIR/many-$i")
done
expect_many() {
    local i
    for i in $(seq 1 12); do
        cmp "$DIR/many-$i" <(generated "$((i * 9000)):$i") >&2 || fail "file $i of several differs"
    done
}
hits=$(cache_stat .cache.hits)
curl_ok "${outputs[@]}" -w '%{num_connects}\n' "${queries[@]}" >"$DIR/said"
expect_eq "connections for several files" "$(awk '{ n += $1 } END { print n }' "$DIR/said")" 1
expect_many
await_stored
curl_ok -Z --parallel-max 6 "${outputs[@]}" "${queries[@]/#"$OTHER"/"$URL"}"
expect_many
curl_ok -Z --parallel-immediate "${outputs[@]}" "${queries[@]}"
expect_many
for i in $(seq 1 12); do
    expect_requests "/many-$i" 1
done
expect_cache .cache.hits $((hits + 24))

# ---- --limit-rate: a slow reader holds up nobody, and loses nothing ----

store 12M /slow
start slow curl -sS --noproxy '*' --limit-rate 10M --max-time 60 "$OTHER/slow?size=12M&$FRESH"
wait_until "the slow reader has begun" test -s "$DIR/slow.out"
for i in $(seq 1 10); do
    curl_ok -o "$DIR/body" -D "$DIR/head" "$OTHER/timed?size=5000&$FRESH"
    expect_hit
done
await_end slow
expect_eq "curl's exit status" "$EXIT_STATUS" 0
expect_same "$DIR/slow.out" "$DIR/whole"
generated 8M:9 >"$DIR/whole" # the same while it is fetched and stored
get_ok "$DIR/body" "$URL/slow-fill?size=8M&seed=9&$FRESH" --limit-rate 10M
expect_whole
await_stored
get_ok "$DIR/body" "$OTHER/slow-fill?size=8M&seed=9&$FRESH"
expect_whole
expect_hit
expect_requests /slow 1
expect_requests /slow-fill 1

# ---- -N: what has come is passed on before the rest is there ----

generated 20000 >"$DIR/whole"
head -c 10000 "$DIR/whole" >"$DIR/half"
for directive in no-store max-age=600; do
    start stream curl -sSN --noproxy '*' --max-time 60 \
        "$URL/stream?size=20000&chunked=1&hold=$directive&header=Cache-Control:%20$directive"
    await_held "$directive"
    wait_until "half has come" cmp -s "$DIR/stream.out" "$DIR/half"
    release "$directive"
    await_end stream
    expect_same "$DIR/stream.out" "$DIR/whole"
done

# ---- -X: other methods pass through; what succeeds takes away what is stored ----

for method in PURGE BREW get; do
    store 3000 "/method-$method"
    get_ok "$DIR/body" "$OTHER/method-$method?echo=1" -X "$method"
    expect_match "request line" "$(head -n 1 "$DIR/body")" "^$method /method-$method"
    expect_match "Cache-Status" "$(cache_status)" '^larder; fwd=method'
    expect_requests "/method-$method" 2
    get_ok "$DIR/body" "$OTHER/method-$method?size=3000&$FRESH" -X "$method"
    expect_requests "/method-$method" 3
    get_ok "$DIR/body" "$URL/method-$method?size=3000&$FRESH"
    expect_forwarded
    await_stored
    get_status 405 "$DIR/body" "$OTHER/method-$method?size=3000&$FRESH&status=405" -X "$method"
    get_ok "$DIR/body" "$OTHER/method-$method?size=3000&$FRESH"
    expect_hit
done

# ---- -x: as a forward proxy towards its own host ----

store 5000 /forward
get_ok "$DIR/body" "http://$ORIGIN/forward?size=5000&$FRESH" --noproxy '' -x "$OTHER"
expect_whole
expect_hit
get_ok "$DIR/body" "http://${HTTP[other]}/forward?size=5000&$FRESH" --noproxy '' -x "$OTHER"
expect_hit
connects=$(curl_ok --noproxy '' -x "$OTHER" -o "$DIR/1" -o "$DIR/2" -w '%{num_connects}\n' \
    "http://$ORIGIN/forward?size=5000&$FRESH" "http://$ORIGIN/forward?size=5000&$FRESH")
expect_said '^> GET http://'
expect_eq "new connections of two requests" "$connects" $'1\n0'
expect_requests /forward 1
get_ok "$DIR/body" "http://$ORIGIN/forward-echo?echo=1" --noproxy '' -x "$URL"
expect_match "request line" "$(head -n 1 "$DIR/body" | tr -d '\r')" '^GET /forward-echo\?echo=1 HTTP/1\.1$'
expect_no_match "the origin's request" "$(cat "$DIR/body")" 'Proxy-Connection'
get "$DIR/body" "http://$ORIGIN/tunnel" --noproxy '' -x "$URL" --proxytunnel
expect_eq "curl's exit status for a tunnel" "$CURL_EXIT" 56
expect_match "answer to CONNECT" "$(head -n 1 "$DIR/head")" '^HTTP/1\.1 501 '
expect_requests /tunnel 0

# ---- --path-as-is ----

for path in /a/../dots /a/./dots //dots /a%2Fdots '/dots;x=1,2' '/dots%20and%25'; do
    get_ok "$DIR/body" "$URL$path?size=2000&$FRESH"
    await_stored
    get_ok "$DIR/body" "$OTHER$path?size=2000&$FRESH"
    expect_hit
    expect_requests "$path" 1
done
curl_ok -o "$DIR/body" "$URL/a/../dots?size=2000&$FRESH" # curl itself makes /dots of it
expect_requests /a/../dots 1
expect_requests /dots 1

# ---- trailers, interim responses, cookies ----

trailed="size=40000&trailer=X-Sum:%201&header=Trailer:%20X-Sum&$FRESH"
get_ok "$DIR/body" "$URL/trailed?$trailed" -H 'TE: trailers' -H 'Connection: TE'
cmp "$DIR/body" <(generated 40000) >&2 || fail "the body before trailers differs"
expect_eq "trailers" "$(header X-Sum)$(header Trailer)" ""
await_stored
get_ok "$DIR/body" "$OTHER/trailed?$trailed"
cmp "$DIR/body" <(generated 40000) >&2 || fail "the body before trailers differs"
expect_hit
get_ok "$DIR/body" "$URL/trailed-raw?$trailed&header=Cache-Control:%20no-store" --raw
tail -c 5 "$DIR/body" | cmp - <(printf '0\r\n\r\n') >&2 || fail "the last chunk is not the end"
get_ok "$DIR/body" "$URL/hinted?size=3000&interim=103&interims=2&hint=Link:%20a&$FRESH"
cmp "$DIR/body" <(generated 3000) >&2 || fail "the body behind interim responses differs"
expect_eq "interim responses" "$(grep -c '^HTTP/1.1 103' "$DIR/head")" 2
get_ok "$DIR/body" "$URL/cookies?size=1&header=Set-Cookie:%20a=1&header=Set-Cookie:%20b=2" -c "$DIR/jar"
get_ok "$DIR/body" "$OTHER/cookies-back?echo=1" -b "$DIR/jar"
expect_match "the origin's request" "$(cat "$DIR/body")" 'Cookie: [ab]=[12]; [ab]=[12]'
get_ok "$DIR/body" "$URL/moved?status=302&header=Location:%20/moved-to?size=77" -L
expect_eq "size behind a redirect" "$(stat -c %s "$DIR/body")" 77

# ---- the end ----

stop proxy
stop other
expect_cache .cache.bad_requests 0
expect_cache .cache.pins 0
expect_cache .cache.leases 0
stop cache
e2e_done

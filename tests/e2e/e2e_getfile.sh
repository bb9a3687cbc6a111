#!/usr/bin/env bash
# The GETFILE protocol: one request a connection, four answers, the same cached copies as HTTP.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin getfile

ask() { # REQUEST (printf format): the answer's first line is in ANSWER
    # shellcheck disable=SC2059 # it is a format
    printf "$1" | raw "$DIR/getfile.answer" "${GETFILE[proxy]}"
    getfile_answer "$DIR/body"
}

expect_answer() { # REQUEST ANSWER: the exact bytes of an answer without content
    ask "$1"
    printf '%s\r\n\r\n' "$2" >"$DIR/wanted"
    cmp "$DIR/getfile.answer" "$DIR/wanted" >&2 || fail "$1: got \"$ANSWER\", wanted \"$2\""
}

start_origin --root "$DIR" --max-age 3600
start_cache --memory 256M
start_proxy proxy
start_proxy other
await_proxies 2

generated 100000:1 >"$DIR/file.bin"
: >"$DIR/empty"

# ---- the answers ----

ask 'GETFILE GET /file.bin\r\n\r\n'
expect_eq "answer" "$ANSWER" "GETFILE OK 100000"
expect_same "$DIR/body" "$DIR/file.bin"
wait_until "it is stored" cache_shows .cache.fills 1
ask 'GETFILE GET /file.bin \r\n\r\n' # a space before the end is allowed
expect_eq "answer" "$ANSWER" "GETFILE OK 100000"
expect_same "$DIR/body" "$DIR/file.bin"
expect_answer 'GETFILE GET /empty\r\n\r\n' 'GETFILE OK 0'

expect_answer 'GETFILE GET /missing\r\n\r\n' 'GETFILE FILE_NOT_FOUND'
expect_answer 'GETFILE GET /gone?status=410\r\n\r\n' 'GETFILE FILE_NOT_FOUND'
expect_answer 'GETFILE GET /failing?status=500\r\n\r\n' 'GETFILE ERROR'
expect_answer 'GETFILE GET /busy?status=503&size=100\r\n\r\n' 'GETFILE ERROR'
expect_answer 'GETFILE GET /garbage?garbage=1\r\n\r\n' 'GETFILE ERROR'
expect_answer 'GETFILE GET /drop?drop=1\r\n\r\n' 'GETFILE ERROR'

requests=$(origin_stat .requests)
expect_answer '\r\n\r\n' 'GETFILE INVALID'
expect_answer 'GETFILE PUT /file.bin\r\n\r\n' 'GETFILE INVALID'
expect_answer 'getfile GET /file.bin\r\n\r\n' 'GETFILE INVALID'
expect_answer 'GETFILE GET file.bin\r\n\r\n' 'GETFILE INVALID'
expect_answer 'GETFILE GET\r\n\r\n' 'GETFILE INVALID'
expect_answer 'GETFILE GET /file.bin HTTP/1.1\r\nHost: x\r\n\r\n' 'GETFILE INVALID'
expect_answer 'GET /file.bin HTTP/1.1\r\nHost: x\r\n\r\n' 'GETFILE INVALID'
expect_answer "GETFILE GET /$(printf '%20000s' '' | tr ' ' x)"'\r\n\r\n' 'GETFILE INVALID'
expect_eq "an invalid request reaches nobody" "$(origin_stat .requests)" "$requests"

# ---- one copy for both protocols ----

get_ok "$DIR/body" "http://${HTTP[other]}/file.bin"
expect_hit
expect_same "$DIR/body" "$DIR/file.bin"
get_ok "$DIR/body" "http://${HTTP[other]}/first-http?size=70000&seed=2"
wait_until "it is stored" cache_shows .cache.leases 0
getfile_ok "$DIR/body" "${GETFILE[proxy]}" "/first-http?size=70000&seed=2"
cmp "$DIR/body" <(generated 70000:2) >&2 || fail "bytes differ"
expect_origin '.by_path["/file.bin"]' 1
expect_origin '.by_path["/first-http"]' 1

# ---- bodies whose length the origin does not say ----

for framing in chunked nolength; do
    for round in first second; do
        getfile_ok "$DIR/body" "${GETFILE[proxy]}" "/$framing?size=300001&seed=3&$framing=1"
        cmp "$DIR/body" <(generated 300001:3) >&2 || fail "$framing, $round time: bytes differ"
    done
done

# ---- these have so much room, all together, and one has half of it ----

start_proxy small --max-spool 800000
await_proxies 3
getfile "$DIR/body" "${GETFILE[small]}" "/large?size=400001&chunked=1"
expect_eq "more than there is room for" "$ANSWER" "GETFILE ERROR"
wait_until "it is told" grep -q 'no room for a body of unknown length; see --max-spool' "$DIR/small.err"
getfile_ok "$DIR/body" "${GETFILE[small]}" "/fits?size=400000&seed=3&chunked=1"
cmp "$DIR/body" <(generated 400000:3) >&2 || fail "bytes differ"
getfile_ok "$DIR/body" "${GETFILE[small]}" "/known?size=500000" # needs none
stop small
await_proxies 2

# ---- an origin that fails in the middle: never a whole answer ----

ask 'GETFILE GET /short?size=100000&close=50000\r\n\r\n'
expect_below "bytes of a broken answer" "$(stat -c %s "$DIR/body")" 100000
ask 'GETFILE GET /cut?size=100000&chunked=1&close=50000\r\n\r\n'
expect_eq "a broken body without a length" "$ANSWER" "GETFILE ERROR"

# ---- a request may arrive in pieces ----

exec {connection}<>"/dev/tcp/${GETFILE[proxy]%:*}/${GETFILE[proxy]##*:}"
for piece in 'GETFI' 'LE GET /fi' 'le.bin\r' '\n\r' '\n'; do
    # shellcheck disable=SC2059 # it is a format
    printf "$piece" >&"$connection"
    pause
done
cat <&"$connection" >"$DIR/getfile.answer"
exec {connection}>&-
getfile_answer "$DIR/body"
expect_eq "answer" "$ANSWER" "GETFILE OK 100000"
expect_same "$DIR/body" "$DIR/file.bin"

stop proxy
stop other
stop cache
e2e_done

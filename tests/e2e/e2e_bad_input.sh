#!/usr/bin/env bash
# Bad input gets a clear error and loses nothing.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin bad

start_origin --max-age 3600
start_cache --memory 64M
start_proxy proxy --origin-timeout 2
start_proxy neighbour
await_proxies 2
PROXY=${HTTP[proxy]}
NEIGHBOUR=${HTTP[neighbour]} # gets nothing bad, and must find nothing bad in what is shared

# ---- requests that are not HTTP ----

expect_refused() { # STATUS_PATTERN REQUEST (printf format): answered and closed
    # shellcheck disable=SC2059 # it is a format
    printf "$2" | raw "$DIR/answer" "$PROXY"
    expect_match "answer to $2" "$(head -n 1 "$DIR/answer" | tr -d '\0')" "^HTTP/1\.1 $1 "
    get_ok "$DIR/body" "http://$PROXY/good?size=100"
}

expect_refused 400 'nonsense\r\n\r\n'
expect_refused 400 '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'
expect_refused 400 'GET /x HTTP/1.1\r\nHost: a\r\nNo colon\r\n\r\n'
expect_refused 400 'GET /x HTTP/1.1\r\nHost: a\r\nSpace : b\r\n\r\n'
expect_refused 400 'GET /x HTTP/1.1\r\n\r\n'
expect_refused 400 'GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'
expect_refused 400 'GET x HTTP/1.1\r\nHost: a\r\n\r\n'
expect_refused 400 'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd'
expect_refused 400 'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc'
expect_refused 400 'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
expect_refused '(400|501)' 'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nabc'
expect_refused '(400|505)' 'GET /x HTTP/3.0\r\nHost: a\r\n\r\n'
expect_refused '(400|405|501)' 'CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n'
expect_refused 417 'POST /x HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc'
expect_origin '.by_path | keys | join(" ")' /good

# The answer to HEAD ends with its head (RFC 9110 section 9.3.2).
printf 'HEAD / HTTP/1.1\r\n\r\n' | raw "$DIR/answer" "$PROXY"
expect_match "answer to a bad HEAD" "$(head -n 1 "$DIR/answer")" '^HTTP/1\.1 400 '
expect_eq "its last line" "$(tail -n 1 "$DIR/answer")" $'\r'

many_fields() { # NUMBER: a request with that many, which asks for a close
    printf 'GET /good?size=100 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n'
    for ((i = 2; i < $1; i++)); do
        printf 'X-%d: y\r\n' "$i"
    done
    printf '\r\n'
}

# What the proxy adds finds room beside the most that a client may send.
many_fields 120 | sed 's/good/many/' | raw "$DIR/answer" "$PROXY"
expect_match "answer to 120 fields" "$(head -n 1 "$DIR/answer")" '^HTTP/1\.1 200 '
for number in 121 127 128 129; do
    many_fields "$number" | raw "$DIR/answer" "$PROXY"
    expect_match "answer to $number fields" "$(head -n 1 "$DIR/answer")" '^HTTP/1\.1 431 '
done

# A chunk that is none, in the middle of a body that is being passed on.
printf 'PUT /x?echo=1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n' |
    raw "$DIR/answer" "$PROXY"
expect_no_match "a body with a broken chunk" "$(head -n 1 "$DIR/answer")" ' 200 '
get_ok "$DIR/body" "http://$PROXY/good?size=100"

# ---- the command lines ----

expect_exit() { # STATUS MESSAGE_PATTERN COMMAND...
    local wanted=$1 pattern=$2 status=0
    shift 2
    timeout "$DEADLINE" "$@" >"$DIR/exit.log" 2>&1 </dev/null || status=$?
    expect_match "exit status of ${*##*/}" "$status" "^($wanted)$"
    expect_match "what ${*##*/} says" "$(cat "$DIR/exit.log")" "$pattern"
}

# A proxy that would be fine but for the options given; never started for long.
bad_proxy() {
    expect_exit "$1" "$2" "$BIN/proxy_client" --instance "$INSTANCE-bad" --listen 127.0.0.1:0 \
        --origin "http://$ORIGIN" "${@:3}"
}

for program in cache_server proxy_client cache_ctl; do
    expect_exit 0 "usage|Usage" "$BIN/$program" --help
    expect_exit 0 "[0-9]+\.[0-9]+" "$BIN/$program" --version
    expect_exit 2 "no-such-option" "$BIN/$program" --no-such-option
done
for size in 0 -1 12Q 1.5G '' 99999999999G; do
    expect_exit 2 "memory" "$BIN/cache_server" --instance "$INSTANCE-bad" --memory "$size"
    bad_proxy 2 "segment-size" --segment-size "$size"
done
for instance in '' 'a/b' 'with space' "$(printf '%100s' '' | tr ' ' x)"; do
    expect_exit 2 "instance" "$BIN/cache_server" --instance "$instance"
    expect_exit 2 "instance" "$BIN/cache_ctl" --instance "$instance" ping
    expect_exit 2 "instance" "$BIN/proxy_client" --instance "$instance" --listen 127.0.0.1:0 \
        --origin "http://$ORIGIN"
done
expect_exit 2 "memory" "$BIN/cache_server" --instance "$INSTANCE-bad" --memory 1
expect_exit 2 "log" "$BIN/cache_server" --instance "$INSTANCE-bad" --log-level loud
expect_exit 2 "surplus|argument" "$BIN/cache_server" --instance "$INSTANCE-bad" surplus
bad_proxy 2 "segment" --segments 0
bad_proxy 2 "segment" --segments x
bad_proxy 2 "segment" --segment-size 3
bad_proxy 2 "tenant" --tenant 'a/b'
bad_proxy 2 "listen" --listen nonsense
bad_proxy 2 "listen" --listen 127.0.0.1:99999
bad_proxy 2 "getfile" --getfile 127.0.0.1
bad_proxy 2 "origin" --origin ftp://127.0.0.1/
bad_proxy 2 "origin" --origin http://user:secret@127.0.0.1/
bad_proxy 2 "origin" --origin nonsense
bad_proxy 2 "origin-timeout" --origin-timeout never
expect_exit 2 "listen" "$BIN/proxy_client" --origin "http://$ORIGIN"
expect_exit 2 "origin" "$BIN/proxy_client" --listen 127.0.0.1:0
bad_proxy '1|2' "$ORIGIN" --listen "$ORIGIN" # the origin has that port
bad_proxy '1|2' "$ORIGIN" --getfile "$ORIGIN"
bad_proxy '1|2' "no/such" --access-log "$DIR/no/such/directory/log"
expect_eq "names left by bad command lines" "$("$E2E_ROOT/scripts/ipc_names.sh" "$INSTANCE-bad")" ""

expect_exit 2 "$INSTANCE" "$BIN/cache_server" --instance "$INSTANCE"
get_ok "$DIR/body" "http://$PROXY/good?size=100"
expect_hit # the first cache is as it was

expect_exit 0 "" "$BIN/cache_ctl" --instance "$INSTANCE" ping
expect_exit 0 "hits" "$BIN/cache_ctl" --instance "$INSTANCE" stats
expect_exit 0 '"tenants"' "$BIN/cache_ctl" --instance "$INSTANCE" stats --json
expect_exit 75 "$INSTANCE-none" "$BIN/cache_ctl" --instance "$INSTANCE-none" ping
expect_exit 75 "$INSTANCE-none" "$BIN/cache_ctl" --instance "$INSTANCE-none" stats
expect_exit 2 "command" "$BIN/cache_ctl" --instance "$INSTANCE" frobnicate
expect_exit 2 "" "$BIN/cache_ctl" --instance "$INSTANCE"
expect_exit 2 "timeout" "$BIN/cache_ctl" --instance "$INSTANCE" --timeout soon ping
send cache STOP
expect_exit 75 "" "$BIN/cache_ctl" --instance "$INSTANCE" --timeout 1 ping
send cache CONT

# The message about the kernel's limit names what to raise.
# shellcheck disable=SC2016 # for the inner shell
expect_exit '[1-9][0-9]*' "ulimit -q|RLIMIT_MSGQUEUE|msgqueue" \
    bash -c 'ulimit -q 100; exec "$0" --instance "$1"' "$BIN/cache_server" "$INSTANCE-bad"

# ---- origins that fail ----

objects=$(cache_stat .cache.objects)

expect_status() { # STATUS QUERY
    get_status "$1" "$DIR/body" "http://$PROXY/fails?$2"
    expect_forwarded
}

expect_broken() { # QUERY [CURL_OPTION...]: the client sees that the response is not whole
    get "$DIR/body" "http://$PROXY/fails?$1" "${@:2}"
    [[ $CURL_EXIT -ne 0 ]] || fail "?$1 looked like a whole response"
}

expect_status 502 "drop=1"
expect_status 502 "garbage=1"
expect_status 502 "size=100&header=Content-Length:%2050&header=Content-Length:%2060"
expect_status 502 "size=100&length=0&header=Content-Length:%209223372036854775808"
expect_status 502 "size=100&length=0&header=Content-Length:%2018446744073709551615"
expect_status 504 "size=100&delay=60000"
expect_broken "size=100000&close=5000"
expect_broken "size=100000&close=0"
expect_broken "size=100000&reset=50000"
expect_broken "size=100000&close=50000&chunked=1"
expect_broken "size=100000&close=50000&chunked=1" --http1.0 # where the close is the end
expect_broken "size=100000&reset=50000&nolength=1" --http1.0
expect_broken "size=100000&length=200000"
expect_broken "size=100000&hold=never&hold_at=50000" # stalls
release never
get_ok "$DIR/body" "http://$PROXY/overlong?size=1000&length=20"
expect_eq "more bytes than promised" "$(stat -c %s "$DIR/body")" 20
get_ok "$DIR/body" "http://$PROXY/good?size=100"
cmp "$DIR/body" <(generated 100) >&2 || fail "bytes differ after an origin that sent too much"
wait_until "no fill is under way" cache_shows .cache.leases 0
# The two that were whole, and what had arrived of four that had a length (e2e_parts.sh).
wait_until "nothing else is stored from failing origins" cache_shows ".cache.objects < $((objects + 7))" true

# What was broken off is completed or fetched anew when the origin is well.
release never
for query in 'size=100000' 'size=100000&hold=never&hold_at=50000'; do
    get_ok "$DIR/body" "http://$NEIGHBOUR/fails?$query"
    cmp "$DIR/body" <(generated 100000) >&2 || fail "bytes differ through the neighbour"
    wait_until "it is stored" cache_shows .cache.leases 0
    get_ok "$DIR/body" "http://$PROXY/fails?$query"
    expect_hit
    cmp "$DIR/body" <(generated 100000) >&2 || fail "bytes differ"
done

# The origin is down: what is cached is served, the rest is an error.
stop origin
for proxy in "$PROXY" "$NEIGHBOUR"; do
    get_ok "$DIR/body" "http://$proxy/good?size=100"
    expect_hit
done
get_status 502 "$DIR/body" "http://$PROXY/other?size=100"
expect_match "the message names the origin" "$(cat "$DIR/body")" "$ORIGIN"
printf 'GETFILE GET /other?size=100\r\n\r\n' | raw "$DIR/getfile.answer" "${GETFILE[proxy]}"
expect_eq "GETFILE" "$(tr -d '\r' <"$DIR/getfile.answer" | head -n 1)" "GETFILE ERROR"

expect_cache .cache.bad_requests 0
expect_cache .cache.pins 0
stop proxy
stop neighbour
expect_match "what the neighbour has refused" "$(grep 'refused so far' "$DIR/neighbour.err")" 'bad_requests=0 '
stop cache
e2e_done

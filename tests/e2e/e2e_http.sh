#!/usr/bin/env bash
# HTTP as clients and origins speak it: connections, methods, bodies, and the caching rules of RFC 9111.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin http

start_origin --root "$DIR"
start_cache --memory 64M
start_proxy proxy --access-log "$DIR/access.log"
start_proxy other
await_proxies 2
URL=http://${HTTP[proxy]}
OTHER=http://${HTTP[other]}

await_stored() {
    wait_until "no fill is under way" cache_shows .cache.leases 0
}

# Fetches a path twice, through two proxies; the origin sees it once or twice.
expect_fetches() { # NUMBER PATH QUERY [CURL_OPTION...]
    get "$DIR/body" "$URL$2?$3" "${@:4}"
    await_stored
    get "$DIR/body" "$OTHER$2?$3" "${@:4}"
    await_stored
    expect_eq "fetches of $2?$3" "$(requests_to "$2")" "$1"
}

# ---- connections ----

connects=$(curl -sS -o "$DIR/1" -o "$DIR/2" -o "$DIR/3" -w '%{num_connects}\n' "$URL/keep?size=1[0-2]")
expect_eq "new connections of three requests" "$connects" $'1\n0\n0'

printf 'GET /p1?size=10 HTTP/1.1\r\nHost: a\r\n\r\nHEAD /p2?size=20 HTTP/1.1\r\nHost: a\r\n\r\n%s' \
    $'GET /p3?size=70000 HTTP/1.1\r\nHost: a\r\n\r\nGET /p4?size=5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' |
    raw "$DIR/answer" "${HTTP[proxy]}"
expect_eq "pipelined answers in order" "$(grep -a '^Content-Length' "$DIR/answer" | tr -d '\r' | cut -d' ' -f2)" \
    $'10\n20\n70000\n5'
tail -c 5 "$DIR/answer" | cmp - <(generated 5) >&2 || fail "the last pipelined body differs"

printf 'GET /v10?size=10&chunked=1 HTTP/1.0\r\n\r\n' | raw "$DIR/answer" "${HTTP[proxy]}"
expect_match "answer to HTTP/1.0" "$(head -n 1 "$DIR/answer")" '^HTTP/1\.[01] 200 '
expect_eq "no chunks for HTTP/1.0" "$(grep -aic '^Transfer-Encoding' "$DIR/answer" || true)" 0
tail -c 10 "$DIR/answer" | cmp - <(generated 10) >&2 || fail "the body for HTTP/1.0 differs"
printf 'GET /v10?size=10 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /v10?size=11 HTTP/1.0\r\n\r\n' |
    raw "$DIR/answer" "${HTTP[proxy]}"
expect_eq "two answers on a kept HTTP/1.0 connection" "$(grep -ao 'HTTP/1.1 200' "$DIR/answer" | wc -l)" 2

# Several proxies share one port.
start_proxy twin --listen "${HTTP[proxy]}"
await_proxies 3
for i in 1 2 3 4 5 6 7 8; do
    get_ok "$DIR/body" "$URL/keep?size=$((i + 100))"
done
stop twin
for i in 1 2 3 4 5 6 7 8; do
    get_ok "$DIR/body" "$URL/keep?size=$((i + 100))"
done

# ---- what the origin and the client are told ----

get_ok "$DIR/body" "$URL/echo?echo=1" -H 'X-Kept: yes' -H 'Connection: X-Hop' -H 'X-Hop: yes' -H 'Accept:' \
    -H 'User-Agent: test'
expect_match "request line" "$(head -n 1 "$DIR/body" | tr -d '\r')" '^GET /echo\?echo=1 HTTP/1\.1$'
grep -qi "^Host: $ORIGIN" "$DIR/body" || fail "Host is not the origin's"
grep -qi '^X-Kept: yes' "$DIR/body" || fail "a field was lost"
grep -qi '^Via: .*1\.1 .*larder' "$DIR/body" || fail "no Via to the origin"
grep -qi '^User-Agent: test' "$DIR/body" || fail "User-Agent was lost"
grep -qi '^X-Forwarded-For: 127.0.0.1' "$DIR/body" || fail "no X-Forwarded-For"
expect_eq "Accept was not sent" "$(grep -ci '^Accept:' "$DIR/body" || true)" 0
expect_eq "hop-by-hop field passed on" "$(grep -ci '^X-Hop' "$DIR/body" || true)" 0
expect_match "Via" "$(header Via)" '1\.1 larder'
expect_forwarded

get_ok "$DIR/body" "$URL/fields?size=1&header=Set-Cookie:%20a=1&header=Set-Cookie:%20b=2&header=X-Empty:&header=Keep-Alive:%20timeout=5"
expect_eq "repeated fields" "$(header Set-Cookie)" $'a=1\nb=2'
expect_eq "hop-by-hop field passed on" "$(header Keep-Alive)" ""

get_status 302 "$DIR/body" "$URL/moved?status=302&header=Location:%20/elsewhere"
expect_eq "Location" "$(header Location)" "/elsewhere"
expect_eq "redirects are not followed" "$(requests_to /elsewhere)" 0
get_status 404 "$DIR/body" "$URL/missing"
get_status 500 "$DIR/body" "$URL/fails?status=500"
get_status 204 "$DIR/body" "$URL/nothing?status=204"
get_ok "$DIR/body" "$URL/interim?size=10&interim=103"
cmp "$DIR/body" <(generated 10) >&2 || fail "bytes differ after an interim response"
get_ok "$DIR/body" "$URL/encoded?size=1000&header=Content-Encoding:%20gzip" -H 'Accept-Encoding: gzip'
cmp "$DIR/body" <(generated 1000) >&2 || fail "an encoded body was changed"

# ---- requests with bodies ----

generated 5M:7 >"$DIR/upload"

expect_echoed() { # FILE: the origin has received exactly this body
    tail -c "$(stat -c %s "$1")" "$DIR/body" | cmp - "$1" >&2 || fail "the origin received another body"
}

get_ok "$DIR/body" "$URL/put?echo=1" -T "$DIR/upload" -H 'Expect:'
expect_match "request line" "$(head -n 1 "$DIR/body")" '^PUT '
expect_echoed "$DIR/upload"
get_ok "$DIR/body" "$URL/put?echo=1" -T "$DIR/upload" -H 'Transfer-Encoding: chunked' -H 'Expect:'
expect_echoed "$DIR/upload"
get_ok "$DIR/body" "$URL/post?echo=1" -d 'a=b&c=d'
expect_match "request line" "$(head -n 1 "$DIR/body")" '^POST '
expect_eq "posted body" "$(tail -n 1 "$DIR/body")" 'a=b&c=d'
get_ok "$DIR/body" "$URL/post?echo=1" -X POST -H 'Content-Length: 0'
get_ok "$DIR/body" "$URL/delete?echo=1" -X DELETE
expect_match "request line" "$(head -n 1 "$DIR/body")" '^DELETE '
get_ok "$DIR/body" "$URL/patch?echo=1" -X PATCH -d x
get_ok "$DIR/body" "$URL/options?echo=1" -X OPTIONS
expect_match "request line" "$(head -n 1 "$DIR/body")" '^OPTIONS '

# A kept connection that the origin drops is no reason to send a request twice that is not idempotent.
get_ok "$DIR/body" "$URL/keep?size=99&header=Cache-Control:%20no-store"
get_status 502 "$DIR/body" "$URL/pay?drop=1" -d ''
expect_eq "how often the origin was asked to take a payment" "$(requests_to /pay)" 1
get_ok "$DIR/body" "$URL/post?size=3M" -d x # a large answer to an unsafe request
cmp "$DIR/body" <(generated 3M) >&2 || fail "the answer to a POST differs"

# The body is sent only after the proxy has asked for it.
exec {connection}<>"/dev/tcp/${HTTP[proxy]%:*}/${HTTP[proxy]##*:}"
printf 'PUT /expect?echo=1 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n' \
    >&"$connection"
IFS= read -rt "$DEADLINE" -u "$connection" line || fail "no answer to Expect: 100-continue"
expect_match "answer to Expect" "$line" '^HTTP/1\.1 100 '
printf 'hello' >&"$connection"
timeout "$DEADLINE" cat <&"$connection" >"$DIR/answer"
exec {connection}>&-
expect_match "the final answer" "$(cat "$DIR/answer")" 'HTTP/1\.1 200 '
expect_eq "body after 100 Continue" "$(tail -c 5 "$DIR/answer")" hello

# ---- what may be stored ----

expect_fetches 1 /max-age 'size=2000&header=Cache-Control:%20max-age=600'
expect_hit
expect_fetches 1 /s-maxage 'size=2000&header=Cache-Control:%20s-maxage=600,max-age=0'
expect_fetches 1 /expires 'size=2000&header=Expires:%20Thu,%2001%20Jan%202099%2000:00:00%20GMT'
expect_fetches 1 /heuristic 'size=2000' # Last-Modified is years ago
expect_fetches 1 /negative 'size=2000&status=404&header=Cache-Control:%20max-age=600'
expect_fetches 1 /moved-for-good 'status=301&header=Location:%20/x&header=Cache-Control:%20max-age=600'
expect_fetches 2 /no-store 'size=2000&header=Cache-Control:%20no-store'
expect_forwarded
expect_fetches 2 /private 'size=2000&header=Cache-Control:%20private,max-age=600'
expect_fetches 2 /bare 'size=2000&noheader=Last-Modified&noheader=ETag'
expect_fetches 2 /vary 'size=2000&header=Vary:%20*&header=Cache-Control:%20max-age=600'
expect_fetches 2 /error 'size=2000&status=500'
expect_fetches 2 /authorized 'size=2000&header=Cache-Control:%20max-age=600' -H 'Authorization: Basic eDp5'
expect_fetches 1 /authorized-public 'size=2000&header=Cache-Control:%20public,max-age=600' \
    -H 'Authorization: Basic eDp5'
expect_fetches 2 /no-store-request 'size=2000&header=Cache-Control:%20max-age=600' -H 'Cache-Control: no-store'

# A body of unknown length is stored once it is complete.
for framing in chunked nolength; do
    expect_fetches 1 "/unknown-$framing" "size=200000&$framing=1&header=Cache-Control:%20max-age=600"
    cmp "$DIR/body" <(generated 200000) >&2 || fail "bytes differ ($framing)"
    expect_hit
    expect_eq "length of a stored body" "$(header Content-Length)" 200000
done

# ---- age and validation ----

get_ok "$DIR/body" "$URL/aged?size=100&header=Cache-Control:%20max-age=600&header=Age:%20100"
expect_match "Age of what was old already" "$(header Age)" '^10[0-9]$'
await_stored
get_ok "$DIR/body" "$OTHER/aged?size=100&header=Cache-Control:%20max-age=600&header=Age:%20100"
expect_hit
expect_match "Age of a hit" "$(header Age)" '^1[0-9][0-9]$'

# Fresh, but not for as long as this request wants (RFC 9211 section 2.2: request, not stale).
get_ok "$DIR/body" "$URL/fresh?size=100"
await_stored
get_ok "$DIR/body" "$OTHER/fresh?size=100" -H 'Cache-Control: min-fresh=999999'
expect_match "Cache-Status of what is too old for the request" "$(cache_status)" 'fwd=request'

# no-cache: stored, and validated each time; the body crosses once.
QUERY='size=50000&header=Cache-Control:%20no-cache'
get_ok "$DIR/body" "$URL/no-cache?$QUERY"
await_stored
bytes=$(origin_stat .bytes)
validated=$(origin_stat .not_modified)
get_ok "$DIR/body" "$OTHER/no-cache?$QUERY"
cmp "$DIR/body" <(generated 50000) >&2 || fail "a validated body differs"
expect_match "Cache-Status after validation" "$(cache_status)" 'fwd=stale.*fwd-status=304'
expect_origin .not_modified $((validated + 1))
expect_origin .bytes "$bytes"

# The content changes: the next validation brings the new one.
origin_control 'version?n=5' >/dev/null
get_ok "$DIR/body" "$OTHER/no-cache?$QUERY"
cmp "$DIR/body" <(generated 50000:0:5) >&2 || fail "old content after it has changed"
await_stored
get_ok "$DIR/body" "$URL/no-cache?$QUERY"
cmp "$DIR/body" <(generated 50000:0:5) >&2 || fail "old content after it has changed"
expect_origin .not_modified $((validated + 2))

# A client that insists gets a validated answer.
get_ok "$DIR/body" "$URL/insist?size=3000&header=Cache-Control:%20max-age=600"
await_stored
get_ok "$DIR/body" "$URL/insist?size=3000&header=Cache-Control:%20max-age=600" -H 'Cache-Control: no-cache'
expect_eq "fetches on demand" "$(requests_to /insist)" 2
get_ok "$DIR/body" "$URL/insist?size=3000&header=Cache-Control:%20max-age=600"
expect_hit
get_status 504 "$DIR/body" "$URL/only?size=10" -H 'Cache-Control: only-if-cached'
expect_eq "only-if-cached asks nobody" "$(requests_to /only)" 0
get_ok "$DIR/body" "$URL/insist?size=3000&header=Cache-Control:%20max-age=600" -H 'Cache-Control: only-if-cached'
expect_hit

# Freshness ends: hits first, then a validation.
QUERY='size=4000&header=Cache-Control:%20max-age=2'
validations() { # of the object that expires; each look is a request of its own
    get_ok "$DIR/body" "$URL/expiring?$QUERY"
    cmp "$DIR/body" <(generated 4000:0:5) >&2 || fail "bytes differ around the end of freshness"
    (($(origin_stat .not_modified) > validated))
}
validated=$(origin_stat .not_modified)
get_ok "$DIR/body" "$URL/expiring?$QUERY"
await_stored
hits=$(cache_stat .cache.hits)
wait_until "the object is validated after its freshness has ended" validations
wait_until "there were hits as well" cache_shows ".cache.hits > $hits" true

# An unsafe request that succeeds takes the stored response away (RFC 9111 section 4.4).
QUERY='size=500&header=Cache-Control:%20max-age=600'
expect_fetches 1 /unsafe "$QUERY"
get_ok "$DIR/body" "$URL/unsafe?$QUERY" -d x
expect_eq "the POST went to the origin" "$(requests_to /unsafe)" 2
wait_until "the stored response is gone" cache_shows '.cache.removals > 0' true
get_ok "$DIR/body" "$OTHER/unsafe?$QUERY"
expect_eq "fetched anew" "$(requests_to /unsafe)" 3

# ---- an origin with TLS ----

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout "$DIR/key.pem" -out "$DIR/cert.pem" \
    2>"$DIR/openssl.log" || fail "openssl: $(cat "$DIR/openssl.log")"
start tls_origin "$BIN/larder_origin" --listen 127.0.0.1:0 --max-age 600 --tls "$DIR/cert.pem" "$DIR/key.pem"
TLS_ORIGIN=$(await_line tls_origin listening)
start_proxy secure --origin "https://$TLS_ORIGIN" --origin-ca "$DIR/cert.pem"
await_proxies 3
get_ok "$DIR/body" "http://${HTTP[secure]}/tls?size=300000"
cmp "$DIR/body" <(generated 300000) >&2 || fail "bytes differ over TLS"
await_stored
get_ok "$DIR/body" "http://${HTTP[secure]}/tls?size=300000"
cmp "$DIR/body" <(generated 300000) >&2 || fail "bytes differ over TLS"
expect_hit
stop secure
start_proxy distrustful --origin "https://$TLS_ORIGIN"
get_status 502 "$DIR/body" "http://${HTTP[distrustful]}/untrusted?size=10"
stop distrustful

# ---- requests one after another, long fields in one of them ----

long=$(printf '%12000s' '' | tr ' ' x)
number=0
for value in short "$long" other; do
    get_ok "$DIR/body" "$URL/fields-$((++number))?size=10" -H "X-Empty;" -H "X-Value: $value"
    last=$(origin_control last | tr -d '\r')
    grep -qix "X-Value: *$value" <<<"$last" || fail "field $number is not what was sent"
    expect_match "X-Empty at the origin" "$last" 'X-Empty:'
done

# ---- the end ----

stop proxy
grep -q '/max-age' "$DIR/access.log" || fail "nothing about /max-age in the access log"
grep -q '/put' "$DIR/access.log" || fail "nothing about /put in the access log"
stop other
expect_cache .cache.bad_requests 0
expect_cache .cache.pins 0
stop cache
e2e_done

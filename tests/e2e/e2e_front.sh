#!/usr/bin/env bash
# The front-end to the letter of RFC 9112, and what a proxy does with messages that it passes on (RFC 9110).
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin front

start_origin --max-age 3600
start_cache --memory 64M
start_proxy proxy --origin-timeout 5 --max-request-body 1M
start_proxy other
await_proxies 2
PROXY=${HTTP[proxy]}
URL=http://$PROXY
OTHER=http://${HTTP[other]}

reports() { # how often the proxy has told its counters
    grep -c 'msg="requests refused so far"' "$DIR/proxy.err" || true
}

has_reports() { # NUMBER
    [[ $(reports) -ge $1 ]]
}

bad_requests() { # KIND: what the proxy has counted so far; KIND bad_requests is all of them
    local before
    before=$(reports)
    send proxy USR1
    wait_until "the proxy tells its counters" has_reports $((before + 1))
    grep 'msg="requests refused so far"' "$DIR/proxy.err" | tail -n 1 | grep -o " $1=[0-9]*" | cut -d= -f2
}

say() { # REQUEST (as for echo -e): the answer is in $DIR/answer
    printf '%b' "$1" | raw "$DIR/answer" "$PROXY"
}

answers() { # status codes of all answers, in order
    grep -ao 'HTTP/1\.1 [0-9][0-9][0-9] ' "$DIR/answer" | cut -d' ' -f2 | xargs
}

last() { # the request as the origin received it last
    origin_control last | tr -d '\r'
}

last_value() { # FIELD: its values there, one a line
    last | sed -n "s/^$1: *//Ip"
}

# ---- refused: answered, the connection closed, counted, nothing passed on, nothing stored ----

# What follows looks like a request to whoever has lost the end of the one before.
SMUGGLED='GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'

refuse() { # STATUS KIND REQUEST
    local before
    before=$(bad_requests "$2")
    say "$3$SMUGGLED"
    expect_eq "answers to $3" "$(answers)" "$1"
    expect_eq "Connection of the answer to $3" "$(grep -aic '^Connection: close' "$DIR/answer")" 1
    expect_eq "requests counted under $2 after $3" "$(bad_requests "$2")" $((before + 1))
}

get_with() { # FIELD_LINES
    printf '%s' "GET /x HTTP/1.1\r\nHost: a\r\n$1\r\n"
}

post_with() { # FIELD_LINES [BODY]
    printf '%s' "POST /x HTTP/1.1\r\nHost: a\r\n$1\r\n${2:-}"
}

# Request lines (RFC 9112 sections 2.2, 2.3, 3)
refuse 400 line 'GARBAGE\r\n\r\n'
refuse 400 line 'GET /x\r\n\r\n'
refuse 400 line '\x16\x03\x01\x02\x00\x01'
refuse 400 line 'GET  /x HTTP/1.1\r\nHost: a\r\n\r\n'
refuse 400 line 'GET /x y HTTP/1.1\r\nHost: a\r\n\r\n'
refuse 400 line 'GET /x HTTP/1.1\nHost: a\n\n'
refuse 400 line 'GET /x HTTP/1.1\rHost: a\r\n\r\n'
refuse 400 line '\r\n\r\n\r\n\r\n\r\n'
refuse 400 line 'GE\0T /x HTTP/1.1\r\nHost: a\r\n\r\n'
refuse 505 version 'GET /x HTTP/2.0\r\nHost: a\r\n\r\n'
refuse 505 version 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
refuse 501 method 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n'
refuse 501 method 'PRI /x HTTP/1.1\r\nHost: a\r\n\r\n'
refuse 501 method "$(printf '%032d' 0) /x HTTP/1.1\r\nHost: a\r\n\r\n"

# Targets (section 3.2)
for target in x '*' 'a:80' '?q' '/a#b' '/a\\b' '/a"b' '/a%4' '/a\0b' '/\xc3\xa4' 'ftp://a/' 'http:///x' \
    'http://u@a/' 'http://a:b/' 'http://a/#b'; do
    refuse 400 target "GET $target HTTP/1.1\r\nHost: a\r\n\r\n"
done
refuse 400 target 'CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n'
refuse 414 target "GET /$(printf '%08192d' 0) HTTP/1.1\r\nHost: a\r\n\r\n"
refuse 421 target 'GET https://a/x HTTP/1.1\r\nHost: a\r\n\r\n'

# Host (section 3.2)
refuse 400 host 'GET /x HTTP/1.1\r\n\r\n'
refuse 400 host 'GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n'
refuse 400 host 'GET http://a/x HTTP/1.1\r\n\r\n'
for host in 'a, b' 'a b' 'u@a' 'a/b' 'a:b' 'a:65536' ':80' '[::1'; do
    refuse 400 host "GET /x HTTP/1.1\r\nHost: $host\r\n\r\n"
done

# Fields (sections 2.2, 5.1, 5.2)
for line in 'X : b' 'X Y: b' ': b' 'no colon' ' X: b' 'X: b\r\n c' 'X:\r\n c' 'X: b\rc' 'X: b\nY: c' 'X: b\0c' \
    'X\0: b' 'X: b\r' 'X: b\x7f'; do
    refuse 400 fields "$(get_with "$line\r\n")"
done
refuse 400 fields 'GET /x HTTP/1.1\r\n Host: a\r\n\r\n'
refuse 400 fields "$(get_with 'X: b\r\n\n')"
refuse 431 fields "$(get_with "X: $(printf '%032768d' 0)\r\n")"
refuse 417 expectation "$(post_with 'Expect: miracles\r\nContent-Length: 3\r\n' abc)"

# Framing (sections 6.1 to 6.3)
chunked='Transfer-Encoding: chunked\r\n'
refuse 400 framing "$(post_with "Content-Length: 3\r\n$chunked" '0\r\n\r\n')"
refuse 400 framing "$(post_with "${chunked}Content-Length: 3\r\n" '0\r\n\r\n')"
refuse 400 framing "$(post_with "$chunked$chunked" '0\r\n\r\n')"
refuse 400 framing 'POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
for coding in '' 'chunked, gzip' gzip xchunked identity 'chunked, chunked' '"chunked"' ', chunked' 'chunked;a=b'; do
    refuse 400 framing "$(post_with "Transfer-Encoding: $coding\r\n" '0\r\n\r\n')"
done
refuse 501 framing "$(post_with 'Transfer-Encoding: gzip, chunked\r\n' '0\r\n\r\n')"
refuse 400 fields "$(post_with 'Transfer-Encoding:\r\n chunked\r\n' '0\r\n\r\n')"
refuse 400 fields "$(post_with 'Transfer-Encoding : chunked\r\n' '0\r\n\r\n')"
refuse 400 fields "$(post_with 'Transfer-Encoding: \x0bchunked\r\n' '0\r\n\r\n')"
for length in '' -3 +3 0x3 '3 3' '3, 3' '3, 4' 9223372036854775808 99999999999999999999; do
    refuse 400 framing "$(post_with "Content-Length: $length\r\n" abc)"
done
refuse 400 framing "$(post_with 'Content-Length: 3\r\nContent-Length: 3\r\n' abc)"
refuse 400 framing "$(get_with 'Content-Length: 3\r\nContent-Length: 4\r\n')"
refuse 413 body "$(post_with 'Content-Length: 1048577\r\n')"

# Each field is looked for in what Connection names.
refuse 431 fields "$(get_with "Connection: $(printf 'x%d,' {1..33})\r\n")"
refuse 431 fields "$(get_with "Connection: $(printf '%01025d' 0 | tr 0 ,)\r\n")"

# RFC 9110 sections 7.6.2 and 9.3.8
refuse 400 body 'TRACE /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx'
refuse 400 fields 'TRACE /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: x\r\n\r\n'

expect_origin .requests 0
expect_cache .cache.objects 0

# Bodies that turn out bad while they are passed on (section 7.1): the origin sees no whole request.
for body in 'zz\r\n' '5\nhello\r\n0\r\n\r\n' '5\r\nhello\n0\r\n\r\n' '5\r\nhelloXX0\r\n\r\n' ' 5\r\nhello\r\n0\r\n\r\n' \
    '5 \r\nhello\r\n0\r\n\r\n' '0x5\r\nhello\r\n0\r\n\r\n' '8000000000000000\r\nhello' '00000000000000005\r\nhello' \
    '5;\r\nhello\r\n0\r\n\r\n' '5;a="b\r\nhello\r\n0\r\n\r\n' '0\r\nX : y\r\n\r\n' '0\r\nX: y\r\n z\r\n\r\n' \
    '0\r\nX: y\n\r\n' "5;a=$(printf '%04096d' 0)\r\nhello\r\n0\r\n\r\n"; do
    refuse 400 body "$(post_with "$chunked" "$body")"
done
refuse 431 body "$(post_with "$chunked" "0\r\nX: $(printf '%032768d' 0)\r\n\r\n")"
expect_origin .requests 0
expect_cache .cache.objects 0

# What came before in the pipeline is answered first.
say "GET /good?size=10 HTTP/1.1\r\nHost: a\r\n\r\nGET /good?size=10 HTTP/1.1\r\n\r\n$SMUGGLED"
expect_eq "answers" "$(answers)" "200 400"
expect_origin '.by_path | keys | join(" ")' /good

# ---- accepted, and what the origin is told ----

# Unknown methods (RFC 9110 section 9.1), versions (section 2.5), forms of targets (RFC 9112 section 3.2).
pass() { # REQUEST_LINE_AT_THE_ORIGIN REQUEST
    say "$2"
    expect_eq "answers to $2" "$(answers)" 200
    expect_eq "request line of $2" "$(last | head -n 1)" "$1 HTTP/1.1"
    expect_eq "Host of $2" "$(last_value Host)" "$ORIGIN"
}

fields='Host: a\r\nConnection: close\r\n\r\n'
pass 'FROB /m?size=1' "FROB /m?size=1 HTTP/1.1\r\n$fields"
pass 'get /m?size=1' "get /m?size=1 HTTP/1.1\r\n$fields"
pass "!#\$&'*+-.^_\`|~ /m?size=1" "!#\$&'*+-.^_\`|~ /m?size=1 HTTP/1.1\r\n$fields"
pass 'GET /v?size=1' "GET /v?size=1 HTTP/1.2\r\n$fields"
pass 'GET /v10?size=1' 'GET /v10?size=1 HTTP/1.0\r\n\r\n'
pass 'GET /empty?size=1' "\r\n\r\nGET /empty?size=1 HTTP/1.1\r\n$fields"
pass 'GET /abs?size=1' "GET http://other.example:81/abs?size=1 HTTP/1.1\r\n$fields"
pass 'GET /?size=1' "GET http://other.example?size=1 HTTP/1.1\r\n$fields"
pass 'GET //a/..;/%2e%2F?size=1&b=[{|}]' "GET //a/..;/%2e%2F?size=1&b=[{|}] HTTP/1.1\r\n$fields"
say "OPTIONS * HTTP/1.1\r\n$fields"
expect_eq "request line" "$(last | head -n 1)" "OPTIONS * HTTP/1.1"
say "OPTIONS http://other.example HTTP/1.1\r\n$fields"
expect_eq "request line" "$(last | head -n 1)" "OPTIONS * HTTP/1.1"
expect_eq "the host of the target wins" "$(last_value X-Forwarded-Host)" other.example

# An unknown method is taken for an unsafe one: a response that is no error invalidates (RFC 9111 section 4.4).
is_hit proxy '/inv?size=5' && fail "a hit at first"
wait_until "it is stored" is_hit other '/inv?size=5'
get_status 500 "$DIR/body" "$URL/inv?size=5" -X FROB --request-target '/inv?size=5&status=500'
is_hit other '/inv?size=5' || fail "an error has invalidated"
get_ok "$DIR/body" "$URL/inv?size=5" -X FROB
expect_forwarded
is_hit other '/inv?size=5' && fail "an unknown method has not invalidated"

# Max-Forwards (RFC 9110 section 7.6.2)
requests=$(origin_stat .requests)
say 'OPTIONS /o HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\nTRACE /t?x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nCookie: secret\r\nAuthorization: secret\r\nX-Seen: yes\r\nConnection: close\r\n\r\n'
expect_eq "answers" "$(answers)" "200 200"
expect_eq "Allow" "$(grep -aic '^Allow: .*GET.*TRACE' "$DIR/answer")" 1
expect_eq "Content-Type" "$(grep -aic '^Content-Type: message/http' "$DIR/answer")" 1
grep -aq '^TRACE /t?x HTTP/1.1' "$DIR/answer" || fail "the request is not echoed"
grep -aq '^X-Seen: yes' "$DIR/answer" || fail "the request is not echoed"
expect_eq "secrets echoed" "$(grep -ac secret "$DIR/answer" || true)" 0
expect_origin .requests "$requests"
for method in TRACE OPTIONS; do
    get_ok "$DIR/body" "$URL/t?size=1" -X "$method" -H 'Max-Forwards: 1'
    expect_eq "Max-Forwards of $method" "$(last_value Max-Forwards)" 0
    get_ok "$DIR/body" "$URL/t?size=1" -X "$method"
    expect_eq "Max-Forwards of $method" "$(last_value Max-Forwards)" ""
done
get_ok "$DIR/body" "$URL/mf?size=1" -H 'Max-Forwards: 0'
expect_eq "Max-Forwards of GET" "$(last_value Max-Forwards)" 0

# What is made anew, or is not part of the key, does not get through by another spelling (RFC 3875 section 4.1.18).
for field in X_Forwarded_For x-forwarded_proto X_Forwarded_Host X_FORWARDED-PORT X-Forwarded Forwarded; do
    get_ok "$DIR/body" "$URL/spelt-$field?size=1" -H "$field: evil"
    expect_eq "$field at the origin" "$(last | grep -ci evil || true)" 0
done

# Fields that end at a hop (RFC 9110 section 7.6.1), in both directions
hop=(-H 'Connection: X-Hop, close, cache-control' -H 'X-Hop: a' -H 'Keep-Alive: a' -H 'Proxy-Connection: a' -H 'TE: trailers'
    -H 'Upgrade: a' -H 'Trailer: a' -H 'Cache-Control: no-store' -H 'Proxy-Authorization: a' -H 'Via: 1.0 up'
    -H 'X-Kept: a')
get_ok "$DIR/body" "$URL/hop?size=1" "${hop[@]}"
for field in Connection X-Hop Keep-Alive Proxy-Connection TE Upgrade Trailer Transfer-Encoding; do
    expect_eq "$field at the origin" "$(last_value "$field")" ""
done
expect_eq "Cache-Control at the origin" "$(last_value Cache-Control)" no-store
expect_eq "Proxy-Authorization at the origin" "$(last_value Proxy-Authorization)" a
expect_eq "X-Kept at the origin" "$(last_value X-Kept)" a
expect_eq "Via at the origin" "$(last_value Via)" $'1.0 up\n1.1 larder'
get_ok "$DIR/body" "$URL/hop?size=2" --http1.0
expect_eq "Via of HTTP/1.0" "$(last_value Via)" "1.0 larder"

answer='size=3&header=Connection:%20X-Hop&header=X-Hop:%20a&header=Keep-Alive:%20a&header=Proxy-Connection:%20a'
answer+='&header=TE:%20a&header=Upgrade:%20a&header=Trailer:%20a&header=Via:%201.0%20up&header=X-Kept:%20a'
answer+='&header=Proxy-Authenticate:%20Basic&noheader=Date'
expect_hop() { # [PROXY_AUTHENTICATE]
    for field in Connection X-Hop Keep-Alive Proxy-Connection TE Upgrade Trailer Transfer-Encoding; do
        expect_eq "$field at the client" "$(header "$field")" ""
    done
    expect_eq "Via at the client" "$(header Via)" $'1.0 up\n1.1 larder'
    expect_eq "X-Kept at the client" "$(header X-Kept)" a
    expect_eq "Content-Length at the client" "$(header Content-Length)" 3
    expect_match "Date at the client" "$(header Date)" GMT
    expect_eq "Proxy-Authenticate at the client" "$(header Proxy-Authenticate)" "$1"
}
get_ok "$DIR/body" "$URL/hops?$answer"
expect_forwarded
expect_hop Basic
wait_until "it is stored" is_hit other "/hops?$answer"
expect_hop "" # what is for one client is not stored (RFC 9111 section 3.1)

# A response in HTTP/1.0: Via tells, also out of the cache; the length is that of the connection.
raw10='HTTP/1.0%20200%20OK%0D%0ACache-Control:%20max-age=60%0D%0A%0D%0Aten%20bytes.'
get_ok "$DIR/body" "$URL/old?raw=$raw10"
expect_eq "Via" "$(header Via)" "1.0 larder"
expect_eq "body" "$(cat "$DIR/body")" "ten bytes."
wait_until "it is stored" is_hit other "/old?raw=$raw10"
expect_eq "Via" "$(header Via)" "1.0 larder"
expect_eq "Content-Length" "$(header Content-Length)" 10

# ---- interim responses (RFC 9110 section 15.2) ----

hints='size=4&interim=103&interims=2&hint=Link:%20%3C/a%3E&hint=Connection:%20X-Hop&hint=X-Hop:%20a'
say "GET /hint?$hints HTTP/1.1\r\n$fields"
expect_eq "answers" "$(answers)" "103 103 200"
expect_eq "Link" "$(grep -ac '^Link: </a>' "$DIR/answer")" 2
expect_eq "hop-by-hop fields" "$(grep -aic '^X-Hop' "$DIR/answer" || true)" 0
wait_until "it is stored" is_hit other "/hint?$hints"
say "GET /hint?$hints HTTP/1.1\r\n$fields"
expect_eq "answers out of the cache" "$(answers)" 200
expect_eq "Link" "$(grep -ac '^Link' "$DIR/answer" || true)" 0
say "GET /hint10?$hints HTTP/1.0\r\n\r\n"
expect_eq "answers to HTTP/1.0" "$(answers)" 200
say "POST /hint?size=4&interim=102 HTTP/1.1\r\nContent-Length: 3\r\n${fields}abc"
expect_eq "answers" "$(answers)" "102 200"
get_status 502 "$DIR/body" "$URL/hints?size=4&interim=103&interims=17"
get_status 502 "$DIR/body" "$URL/upgrade?size=4&interim=101"
printf 'GETFILE GET /hintfile?%s\r\n\r\n' "$hints" | raw "$DIR/getfile.answer" "${GETFILE[proxy]}"
getfile_answer "$DIR/body"
expect_eq "GETFILE" "$ANSWER" "GETFILE OK 4"

# 100-continue (section 10.1.1): the origin decides, before there is a body.
head -c 300000 /dev/urandom >"$DIR/upload"
get_ok "$DIR/body" "$URL/put?size=1" -T "$DIR/upload" -H 'Expect: 100-continue' --expect100-timeout 20
expect_eq "interim responses" "$(grep -c '^HTTP/1.1 100' "$DIR/head")" 1
expect_eq "Expect at the origin" "$(last_value Expect)" 100-continue
received=$(origin_stat .received)
for status in 403 200; do
    say "PUT /put?size=1&early=1&status=$status HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n$fields"
    expect_eq "answers" "$(answers)" $status
done
expect_origin .received "$received"
say "PUT /put?size=1&early=1&status=417 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n${fields}hello"
expect_match "answers" "$(answers)" '^(100 )?417$'
tail -c 1 "$DIR/answer" | cmp - <(generated 1) >&2 || fail "what the origin says of it was lost"
printf 'PUT /put?size=1 HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello' | raw "$DIR/answer" "$PROXY"
expect_eq "answers to HTTP/1.0" "$(answers)" 200
expect_eq "Expect of HTTP/1.0 at the origin" "$(last_value Expect)" ""

# ---- trailers are read and dropped (RFC 9110 section 6.5) ----

say "PUT /trail?echo=1 HTTP/1.1\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n${fields}3;a=b\r\nabc\r\n0\r\nX-T: late\r\n\r\n"
expect_eq "answers" "$(answers)" 200
expect_eq "trailers at the origin" "$(grep -aic 'x-t' "$DIR/answer" || true)" 0
grep -aq abc "$DIR/answer" || fail "the body was lost"
trailing='size=5000&trailer=X-T:%20late&trailer=Content-Length:%203'
say "GET /trailer?$trailing HTTP/1.1\r\n$fields"
expect_eq "answers" "$(answers)" 200
expect_eq "trailers at the client" "$(grep -aic 'x-t:' "$DIR/answer" || true)" 0
wait_until "it is stored" is_hit other "/trailer?$trailing"
cmp "$DIR/body" <(generated 5000) >&2 || fail "bytes differ"

# ---- responses that are none: 502, nothing stored ----

objects=$(cache_stat .cache.objects)
bad_answer() { # RESPONSE, percent-encoded
    get_status 502 "$DIR/body" "$URL/bad?raw=$1"
    expect_match "Cache-Status" "$(cache_status)" 'detail=(malformed-response|origin-unreachable)'
    get_ok "$DIR/body" "$OTHER/fine?size=10"
}
head='HTTP/1.1%20200%20OK%0D%0ACache-Control:%20max-age=60%0D%0A'
for line in 'X%20:%20a' 'X%20Y:%20a' ':%20a' 'no%20colon' 'X:%20a%0D%0A%20b' '%20X:%20a' 'X:%20a%0DY:%20b' 'X:%20a%01' \
    'Content-Length:%203%0D%0AContent-Length:%204' 'Content-Length:%203,%204' 'Content-Length:%20-3' 'Content-Length:%20x' \
    'Content-Length:%203%0D%0ATransfer-Encoding:%20chunked' 'Transfer-Encoding:%20gzip,%20chunked' \
    'Transfer-Encoding:%20xchunked' 'Transfer-Encoding:%20chunked%0D%0ATransfer-Encoding:%20chunked'; do
    bad_answer "$head$line%0D%0A%0D%0Aabc"
done
bad_answer 'HTTP/1.0%20200%20OK%0D%0ATransfer-Encoding:%20chunked%0D%0A%0D%0A0%0D%0A%0D%0A'
bad_answer 'HTTP/2%20200%20OK%0D%0A%0D%0Aabc'
bad_answer 'HTTP/1.1%20600%20OK%0D%0A%0D%0Aabc'
bad_answer 'HTTP/1.1%202000%20OK%0D%0A%0D%0Aabc'
bad_answer 'abc'
get "$DIR/body" "$URL/bad?raw=${head}Transfer-Encoding:%20chunked%0D%0A%0D%0A3%0D%0Aabc%0D%0Azz%0D%0A"
[[ $CURL_EXIT -ne 0 || $STATUS == 502 ]] || fail "broken chunks looked like a whole response"
wait_until "no fill is under way" cache_shows .cache.leases 0
# /fine stays; what is remembered of failures goes by itself, and so does what there was of it before.
nothing_is_added() { (($(cache_stat .cache.objects) <= objects + 1)); }
wait_until "nothing is stored" nothing_is_added

# ---- real clients ----

get_ok "$DIR/body" "$URL/echo?echo=1" -T - <"$DIR/upload" # of unknown length: chunked
expect_eq "Content-Length at the origin" "$(last_value Content-Length)" ""
tail -c 300000 "$DIR/body" | cmp - "$DIR/upload" >&2 || fail "the upload differs"
get_ok "$DIR/body" "$URL/zip?size=100&header=Content-Encoding:%20identity" --compressed
expect_match "Accept-Encoding at the origin" "$(last_value Accept-Encoding)" gzip
for _ in 1 2; do
    get_ok "$DIR/body" "$URL/ten?size=1000" --http1.0
    cmp "$DIR/body" <(generated 1000) >&2 || fail "bytes differ"
done
if command -v ab >/dev/null; then
    for keep in "" -k; do
        ab -q ${keep:+"$keep"} -n 400 -c 8 "$URL/ab?size=2000" >"$DIR/ab" 2>&1 || fail "ab: $(cat "$DIR/ab")"
        expect_match "ab" "$(cat "$DIR/ab")" 'Complete requests: *400'
        expect_match "ab" "$(cat "$DIR/ab")" 'Failed requests: *0'
        expect_no_match "ab" "$(cat "$DIR/ab")" 'Non-2xx'
    done
fi

# All kinds together make the sum.
all=$(bad_requests bad_requests)
sum=0
for kind in line version method target host fields framing expectation body timeout; do
    sum=$((sum + $(bad_requests "$kind")))
done
expect_eq "sum of the kinds" "$sum" "$all"
expect_cache .cache.bad_requests 0
stop proxy
stop other
stop cache
e2e_done

#!/usr/bin/env bash
# Writes the seeds that are made by hand, into seeds/ beside this script. Others there are findings that have been
# mended (regression-*) and inputs that a long run found worth keeping (found-*).
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/seeds"

# Little-endian numbers, as bytes on standard output.
le() { # le BYTES VALUE
    local i value=$2
    for ((i = 0; i < $1; i++)); do
        printf '%b' "$(printf '\\x%02x' $((value >> (8 * i) & 255)))"
    done
}
u8() { for value in "$@"; do le 1 "$value"; done; }
u16() { le 2 "$1"; }
u32() { le 4 "$1"; }
u64() { le 8 "$1"; }
zeros() { head -c "$1" /dev/zero; }
letters() { head -c "$1" /dev/zero | tr '\0' "${2:-a}"; }
seed() { # seed TARGET/NAME: standard input
    mkdir -p "${1%/*}"
    cat >"$1"
}

# ---- wire: struct wire_header, then the message's own fields ----

version=$(sed -n 's/^#define WIRE_VERSION \([0-9]*\)$/\1/p' ../../../common/wire.h)
header() { # header TYPE LENGTH [VERSION]
    printf LRDR
    u16 "${3:-$version}"
    u16 "$1"
    u32 "$2"
    u32 0
    u64 0x1122334455667788
}
hello() { # hello TENANT-OF-64-BYTES
    header 1 120
    u64 42
    u32 0
    u32 4
    u32 4096
    u32 16
    u32 1
    u32 0
    printf '%s' "$1"
}

{
    hello default
    zeros 57
} | seed wire/hello
hello "$(letters 64)" | seed wire/hello-unterminated
{
    header 2 40
    u64 1
    u64 42
} | seed wire/bye
{
    header 3 32
    u64 1
} | seed wire/bell
{
    header 4 32
    u64 7
} | seed wire/ping
{
    header 5 48
    u64 1
    u64 42
    u32 0
    u32 0
} | seed wire/stats
{
    header 6 48
    u64 1
    u64 42
    u32 0
    u32 0
} | seed wire/reload
{
    header 69 40
    zeros 16
} | seed wire/reloaded
purge() { # purge TENANT-OF-64-BYTES
    header 7 120
    u64 1
    u64 42
    u32 0
    u32 4
    u32 5
    u32 0
    printf '%s' "$1"
}
{
    purge default
    zeros 57
} | seed wire/purge
purge "$(letters 64)" | seed wire/purge-unterminated
top() { # top TENANT-OF-64-BYTES
    header 8 120
    u64 1
    u64 42
    u32 0
    u32 0
    u32 10
    u32 0
    printf '%s' "$1"
}
{
    top ""
    zeros 64
} | seed wire/top
top "$(letters 64)" | seed wire/top-unterminated
show() { # show TENANT-OF-64-BYTES
    header 9 112
    u64 1
    u64 42
    u32 0
    u32 4
    printf '%s' "$1"
}
{
    show default
    zeros 57
} | seed wire/show
show "$(letters 64)" | seed wire/show-unterminated
{
    header 10 56
    u64 1
    u64 42
    u64 7
    u32 0
    u32 1
} | seed wire/drain
{
    header 71 40
    zeros 16
} | seed wire/top-rows
{
    header 72 144
    zeros 120
} | seed wire/shown
{
    header 73 32
    zeros 8
} | seed wire/drained
{
    header 74 40
    u64 42
    u32 1
    u32 0
} | seed wire/cache-drain
{
    header 70 48
    zeros 24
} | seed wire/purged
{
    header 64 64
    zeros 40
} | seed wire/welcome
{
    header 65 40
    u32 1
    u32 3
    u64 42
} | seed wire/refused
header 66 24 | seed wire/cache-bell
{
    header 67 56
    zeros 32
} | seed wire/pong
{
    header 68 40
    zeros 16
} | seed wire/stats-rows
header 3 32 9 | seed wire/other-version
header 99 24 | seed wire/unknown-type
printf 'larder.fuzz.0123456789abcdef' | seed wire/name

# ---- meta: struct http_meta_head, then lines ----

meta_head() { # meta_head FIELDS_LENGTH STATUS FLAGS
    printf MET3
    u16 "$2"
    u16 "$3"
    u64 1800000000
    u64 5
    u64 3600
    u64 30
    u64 600
    u64 86400
    u64 77
    u32 "$1"
    u32 1800000000
}
meta() { # meta NAME STATUS FLAGS LINES
    local lines
    lines=$(printf '%b' "$4" | wc -c)
    {
        meta_head "$lines" "$2" "$3"
        printf '%b' "$4"
    } | seed "meta/$1"
}

meta usual 200 0 'Content-Type: text/html\r\nETag: "a"\r\nDate: Fri, 15 Jan 2027 08:00:00 GMT\r\n'
meta no-date 404 5 'Cache-Control: max-age=60\r\nVary: *\r\n'
meta forbidden 200 0 'Content-Length: 3\r\n'
meta folded 200 0 'X: a\r\n b\r\n'
meta empty 200 15 ''
meta index 200 32 'Larder-Generation: 0123456789abcdef0123456789abcdef\r\nLarder-Vary: accept-encoding\r\n'
meta mark 502 $((128 | 512)) 'Detail: origin-unreachable\r\nText: no\r\n'
meta failed 200 $((1 | 256)) 'ETag: "a"\r\n'
parts() { # parts LENGTH [FIRST END]...: struct stored_head of http_parts.c, then the extents
    u64 "$1"
    shift
    printf '0123456789abcdef'
    u32 $(($# / 2))
    u32 0
    while (($# > 0)); do
        u64 "$1"
        u64 "$2"
        shift 2
    done
}
meta_parts() { # meta_parts NAME FLAGS LENGTH [FIRST END]...
    local lines='ETag: "a"\r\nDate: Fri, 15 Jan 2027 08:00:00 GMT\r\n'
    {
        meta_head "$(printf '%b' "$lines" | wc -c)" 200 "$2"
        printf '%b' "$lines"
        parts "${@:3}"
    } | seed "meta/$1"
}
meta_parts parts-none 64 100000
meta_parts parts 66 100000 0 5000 4000 9000 20000 100000
meta_parts parts-unordered 64 100000 20000 30000 0 5000
meta_parts parts-unannounced 0 100000
parts 1000 0 500 700 1000 | seed meta/parts-alone
meta late 200 0 'A:\r\nB: \t \r\nC: a\t\tb \r\n\r\n'

# ---- policy: struct numbers, then lines ----

numbers() { # numbers METHOD FLAGS STATUS AGE LIFETIME
    u8 "$1" "$2"
    u16 "$3"
    u32 0
    u32 1800000000
    u32 1
    u64 "$4"
    u64 "$5"
}
{
    numbers 0 0 200 5 60
    printf 'Cache-Control: max-age=0, no-cache\nIf-None-Match: "a", W/"b"\n\n'
    printf 'Cache-Control: max-age=60, s-maxage="7", stale-while-revalidate=3\nETag: W/"b"\nVary: Accept, *\n'
    printf 'Date: Fri, 15 Jan 2027 08:00:00 GMT\nExpires: Friday, 15-Jan-27 08:01:00 GMT\nAge: 4\n\nETag: "b"\nAge: 1\n'
} | seed policy/usual
{
    numbers 1 255 304 70 60
    printf 'If-Modified-Since: Fri Jan 15 08:00:00 2027\nCache-Control: only-if-cached, max-stale, min-fresh=5\n'
    printf 'Range: bytes=0-1\nAuthorization: Basic eA==\n\n'
    printf 'Last-Modified: Fri, 15 Jan 2027 07:00:00 GMT\nCache-Control: private="a, b", no-cache="set-cookie"\n'
    printf 'Content-Length: 5, 5\nConnection: close, x-a\nX-A: 1\nSet-Cookie: a=b\n\nLast-Modified: x\nPragma: no-cache\n'
} | seed policy/conditional
{
    numbers 2 3 206 0 0
    printf 'Content-Length: 18446744073709551616\nTE: trailers\n\n'
    printf 'Cache-Control: public, must-revalidate, proxy-revalidate, immutable, must-understand, no-store\n'
    printf 'Expires: 0\nDate: Sun Nov  6 08:49:37 1994\nAge: 2147483649\n'
} | seed policy/unsafe
{
    numbers 0 2 200 65 60
    printf 'Cache-Control: stale-if-error=5, max-age=9\n\n'
    printf 'CDN-Cache-Control: max-age=60;p=1, private="set-cookie", stale-while-revalidate=9, immutable\n'
    printf 'CDN-Cache-Control: a=(1 2.5 "x\\"";q), b=:aGk=:, c=?0, d=@-1, e=%%"%%c3%%bc"\nCache-Control: no-store\n'
    printf 'Set-Cookie: a=b\nVary:\n\nETag: "b"\nCDN-Cache-Control: no-store,\n'
} | seed policy/targeted
{
    numbers 2 3 201 0 0
    printf 'Host: h\n\nLocation: http://h/a/./../c?d#e\nContent-Location: //o:80/b/f\nCache-Control: max-age=5\n'
} | seed policy/created
{
    numbers 0 64 206 0 100000
    printf 'Range: bytes=0-9, 5-100,-500,9000-, 20000-20009\nIf-Range: "a"\n\n'
    printf 'Content-Range: bytes 0-9/100\nContent-Range: bytes */7\nContent-Type: text/plain\nETag: "a"\n'
} | seed policy/ranges
{
    numbers 0 0 200 0 60
    printf 'Accept-Encoding: gzip;q=0.5, BR , *;q=0\nAccept: text/*;q=0.8, a/B;c="x;\\"y"\nAccept-Language: de, en\n\n'
    printf 'Vary: Accept-Encoding, accept\nVary: ACCEPT-LANGUAGE, x\n\n'
    printf 'Larder-Generation: 0123456789abcdef0123456789abcdef\nLarder-Vary: accept,x\nLarder-Vary: a\nDate: x\n'
} | seed policy/variants

# ---- request: where to cut, then what a client sends ----

request() { # request NAME TEXT
    {
        u64 0x1234567
        printf '%b' "$2"
    } | seed "request/$1"
}
request get 'GET /a?b=c HTTP/1.1\r\nHost: h:80\r\nAccept: */*\r\n\r\n'
request pipelined 'GET / HTTP/1.1\r\nHost: h\r\n\r\nHEAD /b HTTP/1.0\r\nConnection: keep-alive\r\n\r\nOPTIONS * HTTP/1.1\r\nHost:h\r\n\r\n'
request length 'POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhelloGET / HTTP/1.1\r\nHost: h\r\n\r\n'
request chunked 'PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: v\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n'
request absolute 'GET http://o.example/x HTTP/1.1\r\nHost: h\r\nConnection: close, upgrade\r\nUpgrade: x\r\n\r\n'
request both 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n'
request folded 'GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n'
request unknown 'FROB /x HTTP/1.1\r\nHost: h\r\n\r\n'
request smuggled 'GET / HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\nGET /'
request blanks '\r\n\r\nFROB http://o.example?q HTTP/1.2\r\nHost: [::1]:80\r\n\r\n'
request limited 'TRACE /x HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\nOPTIONS http://o HTTP/1.1\r\nHost: h\r\nMax-Forwards: 3\r\n\r\n'
request extensions 'PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5 ;a = "b\\"c" ;d\r\nhello\r\n0\r\nT:\r\n\r\n'
request codings 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n'
request folded-empty 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n'
request bare-lf 'GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n\n'
request authority 'CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n'
request preface 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

# ---- http, getfile: struct fuzz_script, then texts ----

cached=1 stored=2 stale=8 slow_reader=16 hang_up=32 stop=64 slow_client=128
script() { # script CUTTING FLAGS STORED_SIZE CACHE-BYTES ORIGIN-BYTE [META-KIND]: of CACHE-BYTES the last goes on
    local i byte cache
    read -ra cache <<<"$4"
    u64 "$1"
    u8 "$2" 16 "$3" "${6:-0}"
    for ((i = 0; i < 10; i++)); do
        byte=${cache[i]:-$byte}
        u8 "$byte"
    done
    for ((i = 0; i < 10; i++)); do u8 "$5"; done
}
two_gets='GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n'
fresh='HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: "e"\r\nContent-Length: 6\r\n\r\nfirst\n'
http() { # http NAME TEXT SCRIPT...
    local name=$1 text=$2
    shift 2
    {
        script "$@"
        printf '%b' "$text"
    } | seed "http/$name"
}
http plain "$two_gets" 0 0 0 0 0
http cut "$two_gets" 77 0 0 0 0x30
http miss-then-hit "$two_gets====\n$fresh" 0 $cached 0 0 0
http large-fill "$two_gets====\nHTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9000\r\n\r\n$(letters 9000)" \
    5 $((cached | slow_reader)) 0 8 0xa0
http hit "$two_gets====\n$fresh====\nContent-Type: text/plain\r\nETag: \"e\"\r\n" 3 $((cached | stored)) 90 0 0
http stale-confirmed "$two_gets====\nHTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\n\r\n====\nETag: \"e\"\r\n" \
    3 $((cached | stored | stale)) 90 0 0
http stale-replaced "$two_gets====\n$fresh====\nETag: \"x\"\r\nCache-Control: max-age=5\r\n" \
    9 $((cached | stored | stale)) 90 8 0x20
http hostile-metadata "$two_gets====\n$fresh====\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n" \
    3 $((cached | stored)) 90 0 0
http unreachable "$two_gets" 1 $((cached | stored | stale)) 9 0 11
http cache-lost "$two_gets====\n$fresh====\nA: b\r\n" 1 $((cached | stored)) 120 0xe0 0
http cache-silent "$two_gets====\n$fresh====\nA: b\r\n" 1 $((cached | stored | slow_client)) 60 0xa0 0
http post 'POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n3\r\nabc\r\n0\r\n\r\n' \
    8 $((cached | stored)) 5 0 0
post_and_get='POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n'
located="HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Location: /a\r\nVary: X\r\nContent-Length: 700\r\n\r\n$(letters 700)"
http post-stored "$post_and_get====\n${located/Vary/A}" 8 $cached 0 0 0x30
http post-stored-lost "$post_and_get====\n${located/Vary/A}" 8 $cached 0 0xe0 0x30
http post-stored-slow "$post_and_get====\n${located/Vary/A}" 8 $((cached | hang_up)) 0 0x29 0x30
http post-varies "$post_and_get====\n$located" 8 $((cached | stored)) 5 0 0
http put-large "PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 600\r\n\r\n$(letters 600)" 8 $slow_client 0 0 0
http head 'HEAD /a HTTP/1.1\r\nHost: h\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: h\r\n\r\nDELETE /a HTTP/1.0\r\n\r\n' \
    0 $((cached | stored)) 20 0 0
http conditional 'GET /a HTTP/1.1\r\nHost: h\r\nIf-None-Match: "e"\r\nCache-Control: max-stale\r\nRange: bytes=0-3\r\n\r\n' \
    0 $((cached | stored)) 20 0 0
varying='HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nVary: Accept-Encoding\r\nETag: "e"\r\nContent-Length: 6\r\n\r\nfirst\n'
index='Larder-Generation: 0123456789abcdef0123456789abcdef\r\nLarder-Vary: accept-encoding\r\n'
http vary "$two_gets====\n$varying" 3 $cached 0 0 0
http vary-index "$two_gets====\n$varying====\n$index" 3 $((cached | stored)) 0 0 0
http vary-mixed "$two_gets====\n$fresh====\n${index}Larder-Vary: x\r\n" 3 $((cached | stored)) 0 0 0
http range 'GET /a HTTP/1.1\r\nHost: h\r\nRange: bytes=0-9,200-\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\nRange: bytes=5-\r\n\r\n====\nHTTP/1.1 206 OK\r\n\r\n====\nETag: "e"\r\n' \
    3 $((cached | stored)) 90 0 0
http range-lost 'GET /a HTTP/1.1\r\nHost: h\r\nRange: bytes=5-9000\r\n\r\n====\nHTTP/1.1 206 OK\r\nContent-Range: bytes 5-9000/11520\r\n\r\n====\nETag: "e"\r\n' \
    3 $((cached | stored)) 90 0xe0 0
# Parts are described as fuzz_client.c reads them.
part='HTTP/1.1 206 OK\r\nCache-Control: max-age=60\r\nETag: "e"\r\n'
http part "GET /a HTTP/1.1\r\nHost: h\r\nRange: bytes=0-299\r\n\r\n$two_gets====\n${part}Content-Range: bytes 0-299/5696\r\nContent-Length: 300\r\n\r\n$(letters 300)" \
    3 $cached 0 0 0
http parts-hit 'GET /a HTTP/1.1\r\nHost: h\r\nRange: bytes=64-1000\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\nRange: bytes=5-10,700-\r\n\r\n====\nHTTP/1.1 206 OK\r\n\r\n====\n#!+++\nETag: "e"\r\n' \
    3 $((cached | stored)) 0 0 0
http parts-gap "GET /a HTTP/1.1\r\nHost: h\r\nRange: bytes=0-2047\r\n\r\n$two_gets====\n${part}Content-Range: bytes 640-2047/5696\r\nContent-Length: 1408\r\n\r\n$(letters 1408)====\n#!+A+\nETag: \"e\"\r\n" \
    3 $((cached | stored)) 0 0 0x20
http parts-changed "GET /a HTTP/1.1\r\nHost: h\r\nRange: bytes=0-2047\r\n\r\n$two_gets====\n${part}Content-Range: bytes 640-2047/9999\r\nContent-Length: 1408\r\n\r\n$(letters 1408)====\n#!+A+\nETag: \"e\"\r\n" \
    3 $((cached | stored)) 0 0 0x20
http parts-own "${two_gets}====\n${part}Content-Range: bytes 1280-5695/5696\r\nContent-Length: 4416\r\n\r\n$(letters 4416)====\n#\nETag: \"e\"\r\n" \
    3 $((cached | stored)) 10 0 0x20
http parts-stale "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\nRange: bytes=0-99\r\n\r\n====\nHTTP/1.1 304 OK\r\nETag: \"e\"\r\n\r\n====\n#!+\nETag: \"e\"\r\n" \
    3 $((cached | stored | stale)) 0 0 0
http broken-large "$two_gets====\nHTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nETag: \"e\"\r\nContent-Length: 30000\r\n\r\n$(letters 20000)" \
    0 $cached 0 0 0x8d
http interim "$two_gets====\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nbody" \
    0 $((cached | stop)) 0 0 0x10
http smuggling "$two_gets====\nHTTP/1.1 200 OK\r\nConnection: content-length, x\r\nX: 1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabcdef" \
    0 $((cached | hang_up)) 0 0 0x10
http broken-body "$two_gets====\nHTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nContent-Length: 30\r\n\r\nshort" \
    0 $cached 0 0 0x2d
http methods 'FROB /a HTTP/1.1\r\nHost: h\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\nTRACE /a HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\nCookie: a\r\n\r\nHEAD /a HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\nTRACE http://h HTTP/1.0\r\nMax-Forwards: 2\r\n\r\n' \
    0 $((cached | stored)) 20 0 0
http interims "$two_gets====\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nConnection: x\r\nX: 1\r\nContent-Length: 3\r\n\r\nHTTP/1.0 200 OK\r\nCache-Control: max-age=9\r\n\r\nbody" \
    0 $cached 0 0 0x10
http bad-body 'PUT /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX : y\r\n\r\n' \
    8 $((cached | stored)) 5 0 0
http only-cached 'GET /a HTTP/1.1\r\nHost: h\r\nCache-Control: only-if-cached\r\n\r\nGET /a HTTP/1.0\r\n\r\n' \
    0 $cached 0 0 0

# Followers: the first byte is that of the look-up (4: the lease is out), the next ones those of FOLLOW and reads.
mark=1 failed=2 failed_request=8 refresh=16 must_validate=32 unknown_size=64 bad_gateway=128
one_get='GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n'
growing='ETag: "e"\r\nCache-Control: max-age=60\r\n'
rest='HTTP/1.1 206 OK\r\nETag: "e"\r\nContent-Range: bytes 4267-12799/12800\r\nContent-Length: 8533\r\n\r\n'
for course in 0 1 2 3 4 5 6 7; do
    http "follow-$course" "$one_get====\n$fresh====\n$growing" 0 $cached 100 "4 0 0 $course" 0
    http "follow-unknown-$course" "$one_get====\n$fresh====\n$growing" 0 $cached 100 "4 0 0 $course" 0 $unknown_size
done
http follow-at-once "$two_gets====\n$fresh====\n$growing" 3 $cached 10 "4 2 0" 0
http follow-lease "$two_gets====\n$fresh====\n$growing" 3 $cached 10 "4 5 0" 0
http follow-rest "$one_get====\n$rest$(letters 8533 b)====\n$growing" 0 $cached 100 "4 0 0 0 0 5 0" 0xb0
http follow-lost "$one_get====\n$rest$(letters 8533 b)====\n$growing" 0 $cached 100 "4 0 0 0xe0 0" 0xb0
http follow-silent "$one_get====\n$fresh====\n$growing" 0 $((cached | slow_client)) 100 "4 0 0xa0" 0
http follow-validated "$one_get====\n$fresh====\n$growing" 0 $cached 100 "4 0 0" 0 $must_validate
http follow-stale "$one_get====\n$fresh====\n$growing" 0 $((cached | stored | stale)) 50 "1 1 2 2 0" 0
http follow-mark "$one_get====\n$fresh====\n$growing" 0 $cached 0 "4 2 0" 0 $mark
http mark "$two_gets====\n$fresh====\n$growing" 3 $((cached | stored)) 0 0 0 $mark
http mark-failure "$two_gets====\n$fresh====\nDetail: origin-timeout\r\nText: no\r\n" 3 $((cached | stored)) 0 0 0 \
    $((mark | bad_gateway | failed_request))
http refresh "$two_gets====\n$fresh====\n$growing" 3 $((cached | stored | stale)) 20 0 0 $refresh
http refresh-confirmed "$two_gets====\nHTTP/1.1 304 OK\r\nETag: \"e\"\r\n\r\n====\n$growing" \
    3 $((cached | stored | stale)) 20 0 0 $refresh
http refresh-unreachable "$two_gets====\n$fresh====\n$growing" 3 $((cached | stored | stale)) 20 0 11 $refresh
http failed-lately "$two_gets====\n$fresh====\n$growing" 3 $((cached | stored | stale)) 20 0 0 $((refresh | failed))
for length in 'Content-Length: 40000\r\n' ''; do
    http "hand-over${length:+-known}" \
        "$two_gets====\nHTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"e\"\r\n$length\r\n$(letters 40000)" \
        5 $((cached | slow_reader | slow_client)) 0 0 0xc0
done

# What is kept (fuzz_client.c): 0x20 and what the look-up is answered with; 0x40: nothing is current any more.
same_gets='' other_gets=''
for i in 1 2 3 4 5 6 7 8; do
    same_gets+='GET /a HTTP/1.1\r\nHost: h\r\n\r\n----\n' # each alone
    other_gets+="GET /a HTTP/1.1\r\nHost: h\r\nCookie: $i\r\n\r\n"
done
lines='ETag: "e"\r\nCache-Control: max-age=60\r\n'
http hot "$same_gets====\n$fresh====\n$lines" 0 $((cached | stored)) 8 0x20 0
http hot-cut "$same_gets====\n$fresh====\n$lines" 99 $((cached | stored | slow_client)) 8 0x20 0
http hot-others "$other_gets====\n$fresh====\n$lines" 0 $((cached | stored)) 8 0x20 0
http hot-lapses "$same_gets====\n$fresh====\n$lines" 0 $((cached | stored)) 8 0x21 0
http hot-lapsed "$same_gets$other_gets====\n$fresh====\n$lines" 5 $((cached | stored | slow_client)) 8 "0x20 0x40" 0
http hot-lost "$same_gets$other_gets====\n$fresh====\n$lines" 5 $((cached | stored | slow_client)) 8 "0x20 0x20 0xe0" 0
http hot-asked "GET /a HTTP/1.1\r\nHost: h\r\n\r\nHEAD /a HTTP/1.1\r\nHost: h\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\nRange: bytes=5-90\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"e\"\r\n\r\nGET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n$same_gets====\n$fresh====\n$lines" \
    0 $((cached | stored)) 8 0x20 0
http hot-changed "$same_gets${post_and_get}$same_gets====\n$fresh====\n$lines" 0 $((cached | stored)) 8 0x20 0
http hot-large "$same_gets====\n$fresh====\n$lines" 0 $((cached | stored)) 80 0x20 0
http hot-row "$same_gets====\n$fresh====\n$lines" 0 $((cached | stored)) 64 "0x20 0x28" 0
http hot-row-lost "$same_gets====\n$fresh====\n$lines" 0 $((cached | stored | slow_reader)) 64 "0x20 0x28 0xe0" 0
http hot-large-slow "$same_gets====\n$fresh====\n$lines" 0 $((cached | stored | slow_reader)) 80 "0x20 0x28" 0
http hot-large-lost "$same_gets====\n$fresh====\n$lines" 0 $((cached | stored)) 80 "0x20 0x28 0xe0" 0
http hot-large-broken "$same_gets====\n$fresh====\n$lines" 0 $((cached | stored)) 80 "0x20 7" 0
http hot-large-silent "$same_gets====\n$fresh====\n$lines" 0 $((cached | stored | slow_client)) 80 "0x20 0xa0" 0
http hot-large-hung-up "$same_gets====\n$fresh====\n$lines" 0 $((cached | stored | hang_up)) 80 "0x20 0x38" 0
http hot-large-range "GET /a HTTP/1.1\r\nHost: h\r\nRange: bytes=9000-10000\r\n\r\n$same_gets====\n$fresh====\n$lines" \
    0 $((cached | stored | slow_reader)) 80 "0x20 0x28" 0
three_gets='GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\nGET /c HTTP/1.1\r\nHost: h\r\n\r\n'
fourth='GET /d HTTP/1.1\r\nHost: h\r\n\r\n'
many_more=
for ((i = 0; i < 70; i++)); do many_more+=$fourth; done
http hot-colder "$three_gets$many_more====\n$fresh====\n$lines" 0 $((cached | stored)) 8 0x20 0
http hot-gives-way "$three_gets$fourth====\nHTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 30000\r\n\r\n$(letters 30000)====\n$lines" \
    0 $((cached | stored)) 8 "0x20 0x20 0x20 3 0x18" 0
http hot-varies "$same_gets====\n$varying====\n$index" 0 $((cached | stored)) 5 0x20 0

getfile() { # getfile NAME TEXT SCRIPT...
    local name=$1 text=$2
    shift 2
    {
        script "$@"
        printf '%b' "$text"
    } | seed "getfile/$name"
}
get='GETFILE GET /path/to a file%20\r\n\r\n'
getfile plain "$get" 0 0 0 0 0
getfile cut "$get" 123 $slow_client 0 0 0x10
getfile space 'GETFILE GET /x \r\n\r\ntrailing' 0 $cached 0 0 0
getfile spooled "$get====\nHTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\n$(letters 700)" 0 $cached 0 0 0x60
getfile hit "$get====\n$fresh====\nA: b\r\n" 0 $((cached | stored)) 120 0 0
getfile stale "$get====\nHTTP/1.1 304 Not Modified\r\n\r\n====\nA: b\r\n" 0 $((cached | stored | stale)) 120 8 0
getfile missing "$get====\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno" 0 0 0 0 0
getfile moved "$get====\nHTTP/1.1 301 Moved\r\nLocation: /y\r\n\r\n" 0 0 0 0 0
getfile unreachable "$get" 0 $hang_up 0 0 11
getfile broken "$get====\nHTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nshort" 0 0 0 0 0x2d
getfile follow "$get====\n$fresh====\n$growing" 0 $cached 100 "4 0 0" 0
getfile follow-unknown "$get====\n$fresh====\n$growing" 0 $cached 100 "4 0 0 0 0 0 0 2" 0 $unknown_size
getfile no-path 'GETFILE GET x\r\n\r\n' 0 0 0 0 0
getfile http 'GET / HTTP/1.1\r\nHost: h\r\n\r\n' 0 0 0 0 0
getfile half 'GETFILE GET /hal' 0 0 0 0 0

# ---- cache: deeds, by their place in deeds[] of fuzz_cache.c ----

turn() { u8 0 "$1"; }
appear() { u8 1 "$1" "${2:-0}" "${3:-0}"; } # PLACE SHAPE WHO
request_made() {                             # PLACE OP FLAGS SEGMENT KEY LENGTH [WHICH HOW META TIMES]
    # The length is read before value and times are, and behind the eight bytes.
    u8 6 "$1" "$(($2 - 1))" "$3" "$4" "$5" "${7:-0}" "${8:-0}" "${9:-3}" "${10:-0}"
    u16 "$6"
}
collect() { u8 8 "$1"; }
ring_index() { # PLACE WHAT VALUE
    u8 9 "$1" "$2"
    u32 "$3"
}
semaphores() { # PLACE SEGMENT WSEM RSEM
    u8 10 "$1" "$2"
    u32 "$3"
    u32 "$4"
}
scribble() { # PLACE OFFSET TEXT
    u8 11 "$1"
    u32 "$2"
    u8 "${#3}"
    printf '%s' "$3"
}
resize() { u8 12 "$1" "$2"; }
bye() { u8 13 "$1"; }
die() { u8 14 "$1" "$2"; }
pass_time() { u8 15 "$1" "$2"; }
beat() {
    u8 16 "$1"
    u32 "$2"
}
tamper() { u8 17 "$1" "$2"; }
unname_queue() { u8 18 0; }
ask_honest() { u8 19 0; }
lookup=1 read=2 release=3 fill_begin=4 fill_data=5 fill_end=6 fill_abort=7 update=8 remove=9 follow=10 unfollow=11 purge=12
lease_flag=1
following=132 # added to lookup: a multiple of the number of operations that is at least 128, for the flag FOLLOW
first_lease=8
store() { # PLACE KEY LENGTH: looked up for its lease, then filled in one go
    request_made "$1" $lookup $lease_flag 0 "$2" 0
    collect "$1"
    request_made "$1" $fill_begin 0 0 "$2" "$3" $first_lease
    collect "$1"
}
pin() { # PLACE KEY
    request_made "$1" $lookup 4 0 "$2" 0
    collect "$1"
}

{
    appear 0
    store 0 1 100
    request_made 0 $lookup 0 0 1 0
    ask_honest
    bye 0
    turn 0
} | seed cache/store-and-leave
{
    # Tags are 8 times their number in TIMES; the sure value is 5 in HOW.
    appear 0
    appear 1
    request_made 0 $lookup $lease_flag 0 1 0
    collect 0
    request_made 0 $fill_begin 0 0 1 100 $first_lease 0 0 24
    collect 0
    request_made 0 $lookup $lease_flag 0 2 0
    collect 0
    request_made 0 $fill_begin 0 0 2 100 $first_lease 1 0 32
    request_made 1 $purge 6 0 1 0 0 0 0 8
    collect 1
    request_made 0 $lookup $lease_flag 0 1 0
    collect 0
    request_made 0 $update 0 1 1 0 0 0 9 16
    request_made 1 $purge 2 0 4 0 0 0 0 40
    request_made 1 $purge 0 0 3 0
    request_made 1 $purge 1 0 0 0 0 5
    request_made 1 $purge 3 0 0 0 0 5
    request_made 1 $purge 2 0 0 0 0 0 0 136
    collect 1
    turn 3
    die 0 0
    turn 3
} | seed cache/purges
{
    appear 0 4
    request_made 0 $lookup $lease_flag 0 2 0
    collect 0
    request_made 0 $fill_begin 0 0 2 0 $first_lease 1
    request_made 0 $fill_data 0 1 2 5000 $first_lease 0
    request_made 0 $fill_data 0 2 2 5000 $first_lease 0
    request_made 0 $fill_end 0 0 2 0 $first_lease 0
    collect 0
    pin 0 2
    request_made 0 $read 0 1 2 4096 0 13
    request_made 0 $update 0 2 2 0 0 5 9
    request_made 0 $release 0 0 2 0 0
    request_made 0 $remove 0 0 2 0
    die 0 0
} | seed cache/large-fill
{
    appear 0
    appear 1 2 4
    store 0 1 3000
    pin 0 1
    for step in 2 3 4 2 2 3; do pass_time 0 $step; done
    beat 0 7
    pass_time 0 2
    for step in 4 4 4 4 4 4 6 6; do pass_time 0 $step; done
    turn 0
    ask_honest
} | seed cache/stall-thaw-and-drop
{
    appear 0
    appear 1
    request_made 0 $lookup $lease_flag 0 3 0
    collect 0
    request_made 0 $fill_begin 0 0 3 0 $first_lease 1
    pass_time 0 6
    request_made 1 $lookup $lease_flag 0 3 0
    request_made 0 $fill_data 0 1 3 99 $first_lease 0
    request_made 0 $fill_abort 0 0 3 0 $first_lease
} | seed cache/lease-taken-over
{
    for peer in 0 1 2; do appear $peer; done
    request_made 0 $lookup $lease_flag 0 2 0
    collect 0
    for peer in 1 2; do
        request_made $peer $((lookup + following)) $lease_flag 0 2 0
        collect $peer
        request_made $peer $follow 0 0 2 0 $first_lease 1
    done
    request_made 0 $fill_begin 0 0 2 900 $first_lease 1
    turn 0
    for peer in 1 2; do
        collect $peer
        request_made $peer $read 1 1 2 4096 0 5
        request_made $peer $follow 0 0 2 0 $first_lease 13 # 1024 bytes known
    done
    request_made 0 $fill_data 0 1 2 900 $first_lease 0
    turn 0
    for peer in 1 2; do
        collect $peer
        request_made $peer $read 0 1 2 4096 0 5
        request_made $peer $follow 0 0 2 0 $first_lease 21 # 2048
    done
    die 0 0
    turn 0
    collect 1
    u8 6 1 $((fill_data - 1)) 0 1 2 $first_lease 3 3 0 # at 1800
    u16 900
    u16 900
    turn 0
    collect 2
    request_made 2 $follow 0 0 2 0 $first_lease 29 # 3072
    u8 6 1 $((fill_end - 1)) 0 1 2 $first_lease 3 3 0 # 2700
    u16 900
    u16 1800
    turn 0
    collect 2
    request_made 2 $unfollow 0 0 2 0 $first_lease 5
    ask_honest
} | seed cache/followed-and-promoted
{
    for peer in 0 1; do appear $peer; done
    request_made 0 $lookup $lease_flag 0 3 0
    collect 0
    request_made 1 $((lookup + following)) $lease_flag 0 3 0
    collect 1
    request_made 0 $fill_begin 0 0 3 500 $first_lease 1
    request_made 1 $follow 0 0 3 0 $first_lease 1
    collect 1
    request_made 0 $remove 0 1 3 0
    request_made 1 $((lookup + following)) $lease_flag 1 3 0
    for step in 4 4 4 6; do pass_time 0 $step; done
    request_made 0 $fill_abort 1 0 3 0 $first_lease
    turn 0
    collect 1
    request_made 1 $follow 0 0 3 0 $first_lease 1
    ask_honest
} | seed cache/followed-removed-discarded
{
    appear 0
    store 0 1 100
    resize 0 1
    ring_index 0 0 0
    turn 0
    appear 1
    request_made 1 $lookup $lease_flag 0 1 0
    collect 1
    request_made 1 $fill_begin 128 3 1 3000 $first_lease 1
    resize 1 3
    turn 0
    appear 2
    resize 2 0
    pass_time 0 3
    u8 3 1
    u16 24
    header 3 32
    turn 0
} | seed cache/truncated
{
    appear 0
    ring_index 0 12 0xffffffff
    turn 0
    appear 1 3
    ring_index 1 4 1000
    turn 0
    appear 2
    ring_index 2 24 5
    scribble 2 4096 scribbled-over
    semaphores 2 1 0x80000000 0xffffffff
    turn 0
} | seed cache/rings-and-semaphores
{
    u8 1 0 0x80 0
    u8 2 0 1
    u64 99
    u8 2 0 30
    u32 7
    u32 99999
    u32 4095
    u32 17
    turn 0
    tamper 0 0x40
    u8 2 0 0
    turn 0
    u8 1 1 0x80 0
    tamper 1 0x0f
    u8 2 1 0
    turn 0
    u8 1 2 0x80 0
    tamper 2 0x80
    u8 2 2 0
    turn 0
} | seed cache/pools-that-are-none
{
    appear 0 1 17
    u8 4 0 4
    zeros 24
    turn 0
    collect 0
    u8 4 0 0x44 3
    zeros 24
    u8 4 0 3
    zeros 8
    unname_queue
    pass_time 0 4
    u8 3 0
    u16 30
    zeros 30
    turn 0
} | seed cache/messages
{
    for place in 0 1 2 3; do appear $place 2 $((place << 2)); done
    for key in 0 1 2 3 4 5 6 7 8; do
        for place in 0 1 2 3; do store $place $key 60000; done
        pin 0 $key
    done
    die 0 1
    die 1 2
    die 2 6
    bye 3
    pass_time 0 4
    ask_honest
} | seed cache/evictions
{
    appear 0 0 1
    store 0 5 10
    u8 5 0 0 1 0
    zeros 62
    u8 5 0 1
    letters 64 '\1'
    die 0 0
    pass_time 0 2
} | seed cache/unseen
{
    appear 0
    store 0 1 100
    u8 4 0 0x41 0 # BYE for the honest peer, with a secret of its own
    zeros 16
    turn 0
    u8 4 0 0x51 0 # and with one from the input
    zeros 16
    u8 4 0 0x44 0
    zeros 24
    turn 0
    u8 4 0 0x40 0
    zeros 88
    u8 4 0 0x42 0
    zeros 8
    turn 0
    request_made 0 $lookup 8 0 0 0 # an entry with the honest peer's registration
    ask_honest
} | seed cache/forgeries
{
    appear 0 2
    store 0 1 100
    pin 0 1
    for offset in 99 100 101 0x7fffffffffffffff -1; do
        request_made 0 $read 0 1 1 4096 0 2
        u64 $offset
    done
    request_made 0 $read 0 0x80 1 0 0 5
    u32 2
    request_made 0 $lookup $lease_flag 0 2 0
    collect 0
    request_made 0 $fill_begin 16 0 2 65000 $first_lease 0
    request_made 0 $lookup $lease_flag 0 3 0
    collect 0
    request_made 0 $fill_begin 0 0 3 200 $first_lease 2
    u64 100
    request_made 0 $lookup $lease_flag 0 4 0
    collect 0
    request_made 0 $fill_begin 0 1 4 200 $first_lease 3 0xff
    u16 100
    request_made 0 $fill_data 0 1 4 200 $first_lease 2
    u64 7
    u8 4 0 4
    zeros 16
    u32 3
    zeros 4
} | seed cache/out-of-bounds

# ---- conf: a file for either program ----

seed conf/cache <<'END'
; a comment
[cache]
instance = news
memory = 64M ; of 8G
max_object = 1M
stall-time = 1.5s
stall-limit = 0
lease-time = 1h
log-level = debug
group = root
[tenant "news"]
reserve = 8M
limit = 32M
weight = 3
policy = sieve
max-fills = 10
max-proxies = 2
uids = root, 1001
uids = 1002
[tenant "b"]
END
seed conf/proxy <<'END'
[proxy]
tenant = news
segments = 8
segment-size = 8K
cache-timeout = 250ms
max-spool = 1M
max-connections = 7
header-timeout = 1m
[listen]
http = 127.0.0.1:80, [::1]:81
getfile = 127.0.0.1:82
[origin]
url = http://o:8000/base
timeout = 5
[cache-rules]
targeted-fields = A, B
heuristic = off
heuristic-max = 1h
default-freshness = 10s
negative 404 = 10s
negative 503 = 1
ignore-query = utm_*, fbclid
sort-query = on
bypass-cookie = session
bypass-header = X-Preview
refuse-methods = TRACE
allow-methods = POST, PUT
END
{
    printf '\xef\xbb\xbf[cache]\r\nm\x01\xff = 1\n  memory=4M\r\n\tmemory=8M\r\nfoo\n[cache] x\n[tenant "a]\n[tenant "A"]\nuids=,\nreserve=9T\n[x'
    zeros 3
    letters 300
    printf '\n=\n[]\n:\nnegative 404'
} | seed conf/mistakes
{
    printf '[cache-rules]\n'
    for i in {1..40}; do printf 'ignore-query = a%d, b%d\n' "$i" "$i"; done
    for i in {400..440}; do printf 'negative %d = %d\n' "$i" "$i"; done
} | seed conf/too-many

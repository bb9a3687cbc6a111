#!/usr/bin/env bash
# What two requests cost when the origin's fields are spelt in odd ways: the decisions that the tables of
# tests/unit/check_http_*.c show one by one, through two proxies and a cache.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin http-reuse

# shellcheck disable=SC2119 # no option is needed
start_origin
start_cache --memory 64M
start_proxy one
start_proxy two
await_proxies 2
ONE=http://${HTTP[one]}
TWO=http://${HTTP[two]}
number=0
generated 100 >"$DIR/whole"
declare -A WANTED=() SENT=() # by path: how many fetches, and what the origin sent

parameter() { # FIELD: a query parameter that makes the origin send it
    local text=$1
    text=${text//%/%25} text=${text// /%20} text=${text//\"/%22} text=${text//&/%26}
    printf '&header=%s' "$text"
}

# Without validators, unless a field is one: what is not reused as it is comes anew.
fetches() { # WANTED [-STATUS] FIELD...
    local wanted=$1 query='size=100&noheader=ETag&noheader=Last-Modified' status=200 field
    shift
    if [[ $1 == -* ]]; then
        status=${1#-}
        query+="&status=$status"
        shift
    fi
    for field in "$@"; do
        query+=$(parameter "$field")
    done
    number=$((number + 1))
    for proxy in "$ONE" "$TWO"; do
        get_status "$status" "$DIR/body" "$proxy/$number?$query" # whole only when it is stored
    done
    expect_same "$DIR/body" "$DIR/whole"
    WANTED[/$number]=$wanted
    SENT[/$number]="$status with $*"
}

FUTURE='Thu, 18 Aug 2050 02:01:18 GMT'
PAST='Wed, 01 Jan 2020 00:00:00 GMT'

# Cache-Control (RFC 9111 section 5.2)
fetches 1 'Cache-Control: max-age=3600'
fetches 1 'Cache-Control: MaX-aGe=3600'
fetches 1 'Cache-Control: max-age="3600"'
fetches 1 'Cache-Control: max-age=003600'
fetches 1 'Cache-Control: max-age=99999999999'
fetches 1 'Cache-Control: x, , y="a, no-store", max-age=3600'
fetches 1 'Cache-Control: x' 'Cache-Control: max-age=3600'
fetches 2 'Cache-Control: x="max-age=3600"'
fetches 2 'Cache-Control: max-age=0, x="max-age=3600"'
for value in "'3600'" 3600.0 3600.5 -3600 +3600 a3600 3600a ' 3600' '' '"3600'; do
    fetches 2 "Cache-Control: max-age=$value"
done
fetches 2 'Cache-Control: max-age =3600'
fetches 2 'Cache-Control: max-age'
fetches 2 'Cache-Control: max-age=3600, max-age=0'
fetches 2 'Cache-Control: max-age=0' 'Cache-Control: max-age=3600'
fetches 1 'Cache-Control: max-age=0, s-maxage=3600'
fetches 2 'Cache-Control: max-age=3600' 'Cache-Control: s-maxage=0'
fetches 2 'Cache-Control: No-StOrE, max-age=3600'
fetches 2 'Cache-Control: PRIVATE' 'Cache-Control: max-age=3600'
fetches 2 'Cache-Control: max-age=3600, nO-cAcHe'
fetches 2 'Cache-Control: max-age=3600, no-cache' 'ETag: "a"'
fetches 1 'Cache-Control: max-age=3600, must-revalidate'
fetches 1 'Cache-Control: max-age=3600' 'Pragma: no-cache' # section 5.4
fetches 1 'Pragma: no-cache' "Last-Modified: $PAST"

# Age (section 5.1)
fetches 2 'Cache-Control: max-age=3600' 'Age: 7200'
fetches 2 'Cache-Control: max-age=3600' 'Age: 7200, 0'
fetches 2 'Cache-Control: max-age=3600' 'Age: 7200' 'Age: 0'
fetches 1 'Cache-Control: max-age=3600' 'Age: 0, 7200'
fetches 1 'Cache-Control: max-age=3600' 'Age: 0' 'Age: 7200'
for value in abc -7200 7200.0 '' '"7200"'; do
    fetches 1 'Cache-Control: max-age=3600' "Age: $value"
done

# Expires and Date (sections 4.2 and 5.3)
fetches 1 "Expires: $FUTURE"
fetches 1 'Expires: THU, 18 aug 2050 02:01:18 gmt'
fetches 1 'Expires: Wednesday, 18-Aug-49 02:01:18 GMT'
fetches 1 'Expires: Thu Aug 18 02:01:18 2050'
fetches 1 "Expires: $FUTURE" 'Date: nonsense'
fetches 1 "Expires: $FUTURE" "Expires: $FUTURE"
fetches 2 "Expires: $FUTURE" "Expires: $PAST"
fetches 2 "Expires: $PAST"
fetches 2 "Expires: $FUTURE" "Date: $FUTURE"
fetches 2 "Expires: $FUTURE" 'Cache-Control: max-age=0'
fetches 1 'Expires: 0' 'Cache-Control: max-age=3600'
for value in 0 -1 '' nonsense 'Thu, 18 Aug 2050 02:01:18 UTC' 'Thu, 18 Aug 2050 02:01:18 PST' \
    'Thu, 18 Aug 50 02:01:18 GMT' 'Thu 18 Aug 2050 02:01:18 GMT' 'Thu, 18  Aug  2050 02:01:18 GMT' \
    'Thu, 18-Aug-2050 02:01:18 GMT' 'Thu, 18 Aug 2050 02.01.18 GMT' 'Thu, 18 Aug 2050 2:01:18 GMT'; do
    fetches 2 "Expires: $value" "Last-Modified: $PAST" # nor does a heuristic take its place
done
fetches 2 'Cache-Control: max-age=3600' "Date: $PAST" # it is that old

# Statuses (section 4.2.2, RFC 9110 section 15.1)
for status in 203 299 302 307 404 410 499 500 503 599; do
    fetches 1 "-$status" 'Cache-Control: max-age=3600'
done
for status in 203 301 308 404 405 410 414 501; do
    fetches 1 "-$status" "Last-Modified: $PAST"
done
for status in 201 202 302 403 502 503 504 599; do
    fetches 2 "-$status" "Last-Modified: $PAST"
done
fetches 1 -599 "Last-Modified: $PAST" 'Cache-Control: public'

# Vary (section 4.1)
fetches 1 'Cache-Control: max-age=3600' 'Vary: X-A, , x-b' 'Vary:' 'Vary: X-C'
for value in '*' '*, *' ', *' '*, X-A' 'X-A, *'; do
    fetches 2 'Cache-Control: max-age=3600' "Vary: $value"
done
fetches 2 'Cache-Control: max-age=3600' 'Vary:' 'Vary: *'

# Other fields
fetches 1 'Cache-Control: max-age=3600' 'Set-Cookie: a=b'
fetches 1 'Cache-Control: max-age=3600' 'Content-Disposition: attachment'
fetches 1 'Cache-Control: max-age=3600' 'Connection: cache-control'

origin_stat '.by_path | to_entries[] | "\(.key) \(.value)"' >"$DIR/counts"
expect_eq "paths asked for" "$(wc -l <"$DIR/counts")" "$number"
while read -r path count; do
    expect_eq "fetches of ${SENT[$path]}" "$count" "${WANTED[$path]}"
done <"$DIR/counts"

wait_until "no object is pinned any more" cache_shows .cache.pins 0
expect_cache .cache.bad_requests 0
stop one
stop two
stop cache
stop origin
e2e_done

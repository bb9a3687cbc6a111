#!/usr/bin/env bash
# The caching policy between two proxies and a scripted origin: which directives count, what is served in an
# error's place, what a HEAD or an unsafe request does to what is stored.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin policy

start_origin --root "$DIR"
start_cache --memory 64M
start_proxy one
start_proxy two
await_proxies 2
ONE=http://${HTTP[one]}
TWO=http://${HTTP[two]}

MAX_AGE='header=Cache-Control:%20max-age'
CDN='header=CDN-Cache-Control:%20'
OLD='header=Age:%20100' # with max-age=60: stale as soon as it is stored

expect_requests() { # NUMBER PATH
    expect_eq "requests for $2" "$(requests_to "$2")" "$1"
}

await_stored() {
    wait_until "no fill is under way" cache_shows .cache.leases 0
}

expect_status_of_cache() { # EXTENDED_REGULAR_EXPRESSION
    expect_match "Cache-Status" "$(cache_status)" "$1"
}

store() { # PATH_AND_QUERY
    get_ok "$DIR/body" "$ONE$1"
    expect_status_of_cache 'fwd=uri-miss; stored'
    await_stored
}

# Through one proxy, then through the other: stored means that the second is a hit.
expect_stored() { # PATH QUERY
    store "$1?$2"
    get_ok "$DIR/body" "$TWO$1?$2"
    expect_hit
    expect_requests 1 "$1"
}

expect_not_stored() { # PATH QUERY REASON
    get_ok "$DIR/body" "$ONE$1?$2"
    expect_status_of_cache "fwd=uri-miss; detail=$3"
    get_ok "$DIR/body" "$TWO$1?$2"
    expect_status_of_cache "fwd=uri-miss; detail=$3"
    expect_requests 2 "$1"
}

expect_nothing_stored() { # PATH_AND_QUERY, without asking the origin
    get_status 504 "$DIR/body" "$TWO$1" -H 'Cache-Control: only-if-cached, max-stale'
}

is_no_longer_stored() { # PATH_AND_QUERY
    get "$DIR/body" "$TWO$1" -H 'Cache-Control: only-if-cached, max-stale'
    [[ ${STATUS:-} == 504 ]]
}

# ---- targeted fields (RFC 9213) ----

expect_stored /targeted "size=10&${CDN}max-age=600&header=Cache-Control:%20no-store"
expect_match "ttl" "$(cache_status)" 'ttl=(600|5[0-9][0-9])$'
expect_eq "the targeted field is passed on" "$(header CDN-Cache-Control)" max-age=600
expect_eq "and so is Cache-Control" "$(header Cache-Control)" no-store
expect_not_stored /targeted-no-store "size=10&${CDN}no-store&$MAX_AGE=600" no-store
expect_stored /targeted-invalid "size=10&${CDN}No-Store&$MAX_AGE=600"
expect_stored /targeted-empty "size=10&${CDN}&$MAX_AGE=600"
expect_stored /targeted-last "size=10&${CDN}max-age=0&${CDN}max-age=600"
expect_not_stored /targeted-other \
    "size=10&header=Other-Cache-Control:%20max-age=9&header=Cache-Control:%20no-store" no-store

start_proxy listed --targeted-fields 'Other-Cache-Control, CDN-Cache-Control'
await_proxies 3
QUERY="size=10&${CDN}no-store&header=Other-Cache-Control:%20max-age=600"
get_ok "$DIR/body" "http://${HTTP[listed]}/listed?$QUERY"
expect_status_of_cache 'fwd=uri-miss; stored'
await_stored
get_ok "$DIR/body" "$ONE/listed?$QUERY"
expect_hit
stop listed

# ---- directives with field names: everything but those fields (RFC 9111 section 5.2.2.7) ----

QUERY="size=10&header=X-Own:%20a&header=X-All:%20b&$MAX_AGE=600,%20private=%22x-own%22"
get_ok "$DIR/body" "$ONE/withheld?$QUERY"
expect_eq "the field for whom it was meant" "$(header X-Own)" a
await_stored
get_ok "$DIR/body" "$TWO/withheld?$QUERY"
expect_hit
expect_eq "the field for others" "$(header X-Own)" ""
expect_eq "another field" "$(header X-All)" b
expect_not_stored /withheld-vary "size=10&$MAX_AGE=600,%20private=%22vary%22" private

# ---- immutable (RFC 8246): a reload costs nothing, a forced one does ----

QUERY="size=10&$MAX_AGE=600,%20immutable"
expect_stored /immutable "$QUERY"
get_ok "$DIR/body" "$ONE/immutable?$QUERY" -H 'Cache-Control: max-age=0'
expect_hit
expect_requests 1 /immutable
get_ok "$DIR/body" "$TWO/immutable?$QUERY" -H 'Cache-Control: no-cache'
expect_status_of_cache 'fwd=request; fwd-status=304'
expect_requests 2 /immutable
expect_stored /mutable "size=10&$MAX_AGE=600"
get_ok "$DIR/body" "$ONE/mutable?size=10&$MAX_AGE=600" -H 'Cache-Control: max-age=0'
expect_status_of_cache 'fwd=request; fwd-status=304'
expect_requests 2 /mutable

# ---- unsafe methods: target, Location, Content-Location (RFC 9111 section 4.4) ----

for path in target made moved elsewhere; do
    store "/$path?size=10&$MAX_AGE=600"
done
post() { # STATUS PATH_AND_QUERY
    get_status "$1" "$DIR/body" "$ONE$2" -d x
}
names() { # FIELD PATH: a query parameter that makes the origin name a stored path
    printf '&header=%s:%%20%s%%3Fsize%%3D10%%26header%%3DCache-Control:%%2520max-age%%3D600' "$1" "$2"
}

# Errors remove nothing.
post 500 "/target?size=10&status=500$(names Location /made)"
post 404 "/target?size=10&status=404$(names Content-Location /moved)"
get_ok "$DIR/body" "$TWO/made?size=10&$MAX_AGE=600"
expect_hit
get_ok "$DIR/body" "$TWO/moved?size=10&$MAX_AGE=600"
expect_hit
post 201 "/target?size=10&status=201$(names Location /made)$(names Content-Location "http://$ORIGIN/moved")"
# Location is removed, and so is Content-Location, before the response is there.
expect_nothing_stored "/made?size=10&$MAX_AGE=600"
expect_nothing_stored "/moved?size=10&$MAX_AGE=600"
get_ok "$DIR/body" "$TWO/elsewhere?size=10&$MAX_AGE=600"
expect_hit
# Under the name that the client used, but of no other origin.
store "/made?size=10&$MAX_AGE=600"
post 303 "/target?size=10&status=303$(names Location http://other.example/made)"
get_ok "$DIR/body" "$TWO/made?size=10&$MAX_AGE=600"
expect_hit
post 303 "/target?size=10&status=303$(names Location "$ONE/made")"
expect_nothing_stored "/made?size=10&$MAX_AGE=600"
# The target itself is gone before the response is there.
store "/self?size=10&$MAX_AGE=600"
get_ok "$DIR/body" "$ONE/self?size=10&$MAX_AGE=600" -X DELETE
expect_nothing_stored "/self?size=10&$MAX_AGE=600"

# ---- HEAD (RFC 9111 section 4.3.5) ----

QUERY="size=2000&$MAX_AGE=600"
store "/head?$QUERY"
updates=$(cache_stat .cache.updates)
get_ok "$DIR/body" "$TWO/head?$QUERY" -I -H 'Cache-Control: max-age=0'
expect_status_of_cache 'fwd=request; fwd-status=304'
expect_eq "Content-Length of a validated HEAD" "$(header Content-Length)" 2000
wait_until "the stored response is updated" cache_shows ".cache.updates > $updates" true
get_ok "$DIR/body" "$ONE/head?$QUERY"
expect_hit
cmp "$DIR/body" <(generated 2000) >&2 || fail "bytes differ after a HEAD"
expect_requests 2 /head
# Without validators a 200 of the same length updates; another length or validator removes.
store "/bare?$QUERY&noheader=ETag&noheader=Last-Modified"
updates=$(cache_stat .cache.updates)
get_ok "$DIR/body" "$TWO/bare?$QUERY&noheader=ETag&noheader=Last-Modified" -I -H 'Cache-Control: no-cache'
wait_until "the stored response is updated" cache_shows ".cache.updates > $updates" true
get_ok "$DIR/body" "$ONE/bare?$QUERY&noheader=ETag&noheader=Last-Modified"
expect_hit
origin_control 'version?n=5' >/dev/null
get_ok "$DIR/body" "$TWO/head?$QUERY" -I -H 'Cache-Control: max-age=0'
expect_status_of_cache 'fwd=request'
wait_until "the stored response is gone" is_no_longer_stored "/head?$QUERY"
get_ok "$DIR/body" "$ONE/head?$QUERY"
cmp "$DIR/body" <(generated 2000:0:5) >&2 || fail "old content after a HEAD has shown the change"
await_stored
etag=$(header ETag)
get_status 304 "$DIR/body" "$TWO/head?$QUERY" -I -H "If-None-Match: $etag"
expect_hit

# ---- stale-if-error (RFC 5861) ----

WINDOW="size=100&$OLD&$MAX_AGE=60,%20stale-if-error"
STRICT="size=100&$OLD&$MAX_AGE=60,%20must-revalidate,%20stale-if-error=6000"
NONE="size=100&$OLD&$MAX_AGE=60"
store "/window?$WINDOW=6000"
store "/over?$WINDOW=10"
store "/strict?$STRICT"
store "/none?$NONE"
store "/bare-window?$WINDOW=6000&noheader=ETag&noheader=Last-Modified"

for status in 500 502 503 504; do
    origin_control "fail?n=$status" >/dev/null
    get_ok "$DIR/body" "$TWO/window?$WINDOW=6000"
    expect_status_of_cache "fwd=stale; fwd-status=$status; ttl=-[0-9]+; detail=stale-if-error"
    expect_match "Age of what is stale" "$(header Age)" '^1[0-9][0-9]$'
    cmp "$DIR/body" <(generated 100:0:5) >&2 || fail "the stale bytes differ"
done
expect_requests 5 /window
get_ok "$DIR/body" "$TWO/window?$WINDOW=6000" -I
expect_status_of_cache 'fwd-status=504;.*detail=stale-if-error'
get_ok "$DIR/body" "$TWO/bare-window?$WINDOW=6000&noheader=ETag&noheader=Last-Modified"
expect_status_of_cache 'detail=stale-if-error'
get_status 504 "$DIR/body" "$TWO/over?$WINDOW=10"
get_status 504 "$DIR/body" "$TWO/strict?$STRICT"
get_status 504 "$DIR/body" "$TWO/none?$NONE"
# The request's own window counts as well; the errors have taken the place of nothing.
get_ok "$DIR/body" "$TWO/none?$NONE" -H 'Cache-Control: stale-if-error=6000'
expect_status_of_cache 'detail=stale-if-error'
get_ok "$DIR/body" "$TWO/window?$WINDOW=6000" -H 'Cache-Control: no-cache, stale-if-error=6000'
expect_status_of_cache 'detail=stale-if-error'
get_status 504 "$DIR/body" "$TWO/window?$WINDOW=6000" -H 'Cache-Control: no-cache'
get_status 504 "$DIR/body" "$TWO/window?$WINDOW=6000" -H 'Cache-Control: stale-if-error=1'
origin_control 'fail?n=501' >/dev/null
get_status 501 "$DIR/body" "$ONE/window-other?$WINDOW=6000"
origin_control 'fail?n=0' >/dev/null
get_ok "$DIR/body" "$TWO/window?$WINDOW=6000"
expect_status_of_cache 'fwd=stale; fwd-status=304'

# The origin is gone: a window is a bound, and without one there is none (RFC 9111 section 4.2.4).
stop origin
get_ok "$DIR/body" "$ONE/window?$WINDOW=6000"
expect_status_of_cache 'fwd=stale;.*detail=origin-unreachable'
get_ok "$DIR/body" "$TWO/none?$NONE"
expect_status_of_cache 'fwd=stale;.*detail=origin-unreachable'
get_status 504 "$DIR/body" "$TWO/over?$WINDOW=10"
get_status 504 "$DIR/body" "$ONE/strict?$STRICT" # section 5.2.2.2
get_status 502 "$DIR/body" "$ONE/never-seen?size=10"

stop one
stop two
expect_cache .cache.bad_requests 0
expect_cache .cache.pins 0
stop cache
e2e_done

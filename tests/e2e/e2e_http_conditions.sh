#!/usr/bin/env bash
# Who evaluates a client's conditions, and what a 304 does (RFC 9110 sections 13 and 15.4.5, RFC 9111 section
# 4.3), through two proxies; and what is passed on as it is, or leaves no trace.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin http-conditions

# shellcheck disable=SC2119 # no option is needed
start_origin
start_cache --memory 64M
start_proxy one
start_proxy two
await_proxies 2
ONE=http://${HTTP[one]}
TWO=http://${HTTP[two]}
FRESH='header=Cache-Control:%20max-age=600'
STALE='header=Cache-Control:%20max-age=0'
LATE='Fri, 01 Jan 2021 00:00:00 GMT' # behind the Last-Modified of everything

await_stored() {
    wait_until "no fill is under way" cache_shows .cache.leases 0
}

last_value() { # FIELD: its values in the request that the origin received last, one a line
    origin_control last | tr -d '\r' | sed -n "s/^$1: *//Ip"
}

expect_requests() { # NUMBER PATH
    expect_eq "requests for $2" "$(requests_to "$2")" "$1"
}

expect_status_of_cache() { # EXTENDED_REGULAR_EXPRESSION
    expect_match "Cache-Status" "$(cache_status)" "$1"
}

version() {
    origin_control "version?n=$1" >/dev/null
}

store() { # PATH_AND_QUERY
    get_ok "$DIR/body" "$ONE$1"
    expect_status_of_cache 'fwd=uri-miss; stored'
    await_stored
}

# ---- a miss: the origin answers first, then the conditions count (RFC 9111 section 4.3.2) ----

for condition in 'If-None-Match: *' "If-Modified-Since: $LATE"; do
    path=/held-${condition%%:*}
    : >"$DIR/early"
    start early curl -sS --noproxy '*' --no-buffer -D "$DIR/early" -o "$DIR/early.body" -H "$condition" \
        "$ONE$path?size=100&hold=$path&hold_at=head&$FRESH"
    await_held "$path"
    expect_eq "an answer before the origin's" "$(cat "$DIR/early")" ""
    expect_eq "If-None-Match at the origin" "$(last_value If-None-Match)" ""
    expect_eq "If-Modified-Since at the origin" "$(last_value If-Modified-Since)" ""
    release "$path"
    await_end early
    expect_match "status" "$(head -n 1 "$DIR/early")" '^HTTP/1.1 304 '
    await_stored
    get_ok "$DIR/body" "$TWO$path?size=100&hold=$path&hold_at=head&$FRESH"
    expect_hit # the whole was stored
    cmp "$DIR/body" <(generated 100) >&2 || fail "bytes differ"
    expect_requests 1 "$path"
done
get_ok "$DIR/body" "$ONE/missed?size=100&$FRESH" -H 'If-None-Match: "other"'
expect_status_of_cache 'fwd=uri-miss; stored'
get_status 304 "$DIR/body" "$TWO/missed?size=100&$FRESH" -H "If-None-Match: $(header ETag)"
expect_hit

# ---- conditions count for a 200 alone (RFC 9110 section 13.2.1) ----

for status in 404 301 410; do
    at="/status-$status?size=100&status=$status&$FRESH&header=ETag:%20%22a%22"
    for proxy in "$ONE" "$TWO"; do
        for condition in 'If-None-Match: "a"' 'If-None-Match: *' "If-Modified-Since: $LATE"; do
            get_status "$status" "$DIR/body" "$proxy$at" -H "$condition"
            cmp "$DIR/body" <(generated 100) >&2 || fail "bytes differ"
        done
    done
    expect_hit
    expect_requests 1 "/status-$status"
done

# ---- who does not evaluate them passes them on (section 13.2.1), and with them a 304 (section 15.4.5) ----

expect_passed() { # CURL_OPTIONS_BEFORE... : the conditions of these requests reach the origin
    local condition
    for condition in 'If-None-Match: "other"' "If-Modified-Since: Thu, 01 Jan 1998 00:00:00 GMT" \
        'If-Match: *' "If-Unmodified-Since: $LATE"; do
        get_ok "$DIR/body" "$ONE/passed?size=100" "$@" -H "$condition"
        expect_eq "${condition%%:*} at the origin ($*)" "$(last_value "${condition%%:*}")" "${condition#*: }"
    done
}

expect_passed -H 'Cache-Control: no-store'
expect_passed -X PUT
expect_passed -I
for condition in 'If-Match: "a", "b"' "If-Unmodified-Since: $LATE"; do
    get_ok "$DIR/body" "$ONE/passed?size=100" -H "$condition"
    expect_eq "${condition%%:*} at the origin" "$(last_value "${condition%%:*}")" "${condition#*: }"
    expect_status_of_cache 'fwd=bypass; detail=precondition'
done
get_status 206 "$DIR/body" "$ONE/passed?size=100" --range 0-9 -H "If-Range: $(header ETag)"
expect_match "If-Range at the origin" "$(last_value If-Range)" '^"g-'
# The origin's answer to them is the client's.
etag=$(header ETag)
validated=$(origin_stat .not_modified)
for options in '-HCache-Control: no-store' -I; do
    get_status 304 "$DIR/body" "$TWO/passed?size=100" "$options" -H "If-None-Match: $etag"
    expect_eq "ETag of a 304" "$(header ETag)" "$etag"
    expect_forwarded
done
expect_origin .not_modified $((validated + 2))
# An origin that answers 200 to a HEAD has evaluated them: no second opinion.
get_ok "$DIR/body" "$TWO/opinion?size=100&header=ETag:%20%22a%22&$FRESH" -I -H 'If-None-Match: "a"'
expect_eq "If-None-Match at the origin" "$(last_value If-None-Match)" '"a"'

# ---- validation: our tag is confirmed, the client's is another (RFC 9111 section 4.3.2) ----

at="/confirmed?size=5000&$STALE"
store "$at"
etag=$(header ETag)
bytes=$(origin_stat .bytes)
get_ok "$DIR/body" "$TWO$at" -H 'If-None-Match: "other", W/"another"'
expect_status_of_cache 'fwd=stale; fwd-status=304'
expect_eq "If-None-Match at the origin" "$(last_value If-None-Match)" "$etag"
cmp "$DIR/body" <(generated 5000) >&2 || fail "bytes differ"
expect_origin .bytes "$bytes"
get_status 304 "$DIR/body" "$TWO$at" -H "If-None-Match: \"other\", $etag"
expect_status_of_cache 'fwd=stale; fwd-status=304'
expect_requests 3 /confirmed
# A HEAD that finds something new: the client's own condition counts for it.
version 1
get_status 304 "$DIR/body" "$TWO$at" -I -H "If-None-Match: ${etag%0\"}1\""
expect_status_of_cache 'fwd=stale; fwd-status=200'
version 0

# ---- what a 304 repeats (RFC 9110 section 15.4.5) ----

fields='header=Vary:%20X-A&header=Content-Location:%20/c&header=Expires:%20Thu,%2001%20Jan%202099%2000:00:00%20GMT'
fields+='&header=Content-Language:%20de&header=Content-Security-Policy:%20a&header=X-Kept:%20a'
at="/repeated?size=100&$FRESH&$fields"
get_ok "$DIR/body" "$ONE$at"
await_stored
etag=$(header ETag)
for proxy in "$TWO" "$ONE"; do
    get_status 304 "$DIR/body" "$proxy$at" -H "If-None-Match: $etag"
    for field in Date ETag Vary Cache-Control Content-Location Expires Content-Security-Policy X-Kept; do
        [[ -n $(header "$field") ]] || fail "no $field in a 304"
    done
    for field in Content-Type Content-Language Content-Length Last-Modified; do
        expect_eq "$field in a 304" "$(header "$field")" ""
    done
done
at="/dated?size=100&$FRESH&noheader=ETag"
store "$at"
get_status 304 "$DIR/body" "$TWO$at" -H "If-Modified-Since: $LATE"
[[ -n $(header Last-Modified) ]] || fail "no Last-Modified in a 304 without ETag"

# An origin's response without Date is given one before it is judged (section 6.6.1).
get_status 304 "$DIR/body" "$ONE/undated?size=100&$FRESH&noheader=Date" -H 'If-None-Match: *'
expect_status_of_cache 'fwd=uri-miss; fwd-status=200; stored'
[[ -n $(header Date) ]] || fail "no Date in the 304 on a miss"

# ---- which 304 updates what (RFC 9111 section 4.3.4) ----

# Without a validator it confirms what has one, and updates nothing.
not_modified='HTTP/1.1%20304%20Not%20Modified%0D%0ACache-Control:%20max-age=600%0D%0AX-New:%20a%0D%0A'
at="/unnamed?size=100&$STALE&raw1=$not_modified%0D%0A"
store "$at"
version 1
for proxy in "$TWO" "$ONE"; do
    get_ok "$DIR/body" "$proxy$at"
    expect_status_of_cache 'fwd=stale; fwd-status=304'
    cmp "$DIR/body" <(generated 100) >&2 || fail "bytes differ"
    expect_eq "a field of that 304" "$(header X-New)" ""
done
expect_requests 3 /unnamed
# With one that is not what is stored it is about something else: fetched anew, without conditions.
version 0
for tag in '%22other%22' 'W/%22other%22'; do
    path="/named-${#tag}"
    at="$path?size=100&$STALE,%20stale-if-error=600&noheader=ETag&noheader=Last-Modified"
    at+="&raw1=${not_modified}ETag:%20$tag%0D%0A%0D%0A"
    store "$at"
    version 1
    get "$DIR/body" "$TWO$at"
    expect_requests 3 "$path"
    version 0
done
# With that of what is stored it updates it.
at="/updated?size=100&$STALE&header=ETag:%20W/%22a%22&raw1=${not_modified}ETag:%20W/%22a%22%0D%0A%0D%0A"
store "$at"
version 1
get_ok "$DIR/body" "$TWO$at"
expect_eq "a field of the 304" "$(header X-New)" a
get_ok "$DIR/body" "$ONE$at"
expect_hit
expect_eq "a field of the 304" "$(header X-New)" a
expect_requests 2 /updated
version 0

# ---- other units than bytes (RFC 9110 sections 14.2 and 14.4) ----

lines='HTTP/1.1%20206%20Partial%0D%0AContent-Range:%20lines%201-2/9%0D%0ACache-Control:%20max-age=600%0D%0A'
lines+='ETag:%20%22a%22%0D%0AContent-Length:%204%0D%0A%0D%0Aa%0Ab%0A'
for proxy in "$ONE" "$TWO"; do
    get_status 206 "$DIR/body" "$proxy/lines?raw=$lines" -H 'Range: lines=1-2'
    expect_eq "Range at the origin" "$(last_value Range)" 'lines=1-2'
    expect_eq "Content-Range in another unit" "$(header Content-Range)" 'lines 1-2/9'
    expect_eq "the part" "$(cat "$DIR/body")" $'a\nb'
done
expect_requests 2 /lines # and nothing of it is kept
# What is stored offers bytes, unless the origin says otherwise (section 14.3).
store "/offered?size=100&$FRESH&noheader=Accept-Ranges"
expect_eq "Accept-Ranges from the origin" "$(header Accept-Ranges)" ""
get_ok "$DIR/body" "$TWO/offered?size=100&$FRESH&noheader=Accept-Ranges"
expect_eq "Accept-Ranges out of the cache" "$(header Accept-Ranges)" bytes

# ---- Cache-Status of others (RFC 9211 section 2) ----

at="/status?size=100&$FRESH&header=Cache-Status:%20a;%20hit&header=Cache-Status:%20%22b,%20larder%22;%20fwd=miss"
get_ok "$DIR/body" "$ONE$at"
expect_eq "Cache-Status of a miss" "$(header Cache-Status)" \
    $'a; hit\n"b, larder"; fwd=miss\nlarder; fwd=uri-miss; stored'
await_stored
get_ok "$DIR/body" "$TWO$at"
expect_match "Cache-Status of a hit" "$(header Cache-Status)" \
    $'^a; hit\n"b, larder"; fwd=miss\nlarder; hit; ttl=[0-9]+$'

# ---- no-store: nothing of it gets into the memory that proxies and cache share (RFC 9111 section 5.2.2.5) ----

is_in_shared_memory() { # TEXT
    grep -aqF -- "$1" /dev/shm/"larder.$INSTANCE".*
}

get_ok "$DIR/body" "$ONE/kept-$INSTANCE?by=X-Secret&$FRESH" -H "X-Secret: kept-body-$INSTANCE"
is_in_shared_memory "/kept-$INSTANCE?" || fail "the target of what is stored is not where it is looked for"
is_in_shared_memory "kept-body-$INSTANCE" || fail "the body of what is stored is not where it is looked for"
get_ok "$DIR/body" "$ONE/response-$INSTANCE?by=X-Secret&header=Cache-Control:%20no-store" \
    -H "X-Secret: response-body-$INSTANCE"
expect_match "the body" "$(cat "$DIR/body")" "response-body-$INSTANCE"
is_in_shared_memory "response-body-$INSTANCE" && fail "a response with no-store is in shared memory"
get_ok "$DIR/body" "$ONE/request-$INSTANCE?by=X-Secret&$FRESH" -H "X-Secret: request-body-$INSTANCE" \
    -H 'Cache-Control: no-store'
is_in_shared_memory "request-body-$INSTANCE" && fail "the response to no-store is in shared memory"
is_in_shared_memory "/request-$INSTANCE?" && fail "a request with no-store is in shared memory"

# ---- what is not stored is not sent to who has it, either ----

for control in private,no-cache no-store; do
    for proxy in "$ONE" "$TWO" "$ONE"; do
        get_ok "$DIR/body" "$proxy/mine-$control?size=300000&header=Cache-Control:%20$control"
        etag=$(header ETag)
        get_status 304 "$DIR/body" "$proxy/mine-$control?size=300000&header=Cache-Control:%20$control" -H "If-None-Match: $etag"
        expect_eq "body of a 304" "$(stat -c %s "$DIR/body")" 0
        get_ok "$DIR/body" "$proxy/mine-$control?size=300000&header=Cache-Control:%20$control" -H 'If-None-Match: "other"'
        cmp "$DIR/body" <(generated 300000) >&2 || fail "the body of what is not stored differs"
    done
done

# ---- without a cache conditions are for the origin ----

wait_until "no object is pinned any more" cache_shows .cache.pins 0
expect_cache .cache.bad_requests 0
stop cache
expect_passed -X GET
get_ok "$DIR/body" "$ONE/passed?size=100"
get_status 304 "$DIR/body" "$ONE/passed?size=100" -H "If-None-Match: $(header ETag)"
expect_status_of_cache 'fwd=bypass'

stop one
stop two
stop origin
e2e_done

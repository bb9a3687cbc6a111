#!/usr/bin/env bash
# Purging, between two proxies: by cache_ctl and by HTTP, each kind hard and soft, with variants, and while a fill is
# under way that began before. What one proxy or cache_ctl has purged no proxy serves any more.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin purge

start_origin --root "$DIR"
start_cache --memory 64M
start_proxy one --purge-from 127.0.0.0/8,::1
start_proxy two
start_proxy refusing --purge-from 10.0.0.0/8
start_proxy other --tenant other --purge-from 127.0.0.1
await_proxies 4
ONE=http://${HTTP[one]}
TWO=http://${HTTP[two]}
OTHER=http://${HTTP[other]}
FRESH='header=Cache-Control:%20max-age=600'

expect_status_of_cache() { # EXTENDED_REGULAR_EXPRESSION
    expect_match "Cache-Status" "$(cache_status)" "$1"
}

await_stored() {
    wait_until "no fill is under way" cache_shows .cache.leases 0
}

store() { # PATH_AND_QUERY [CURL_OPTION...]: through the first proxy; a hit through the second
    get_ok "$DIR/body" "$ONE$1" "${@:2}"
    expect_status_of_cache 'fwd=[a-z-]+; stored'
    await_stored
    get_ok "$DIR/body" "$TWO$1" "${@:2}"
    expect_hit
}

# What is purged is asked for anew, once for both proxies.
expect_gone() { # PATH_AND_QUERY [CURL_OPTION...]
    get_ok "$DIR/body" "$TWO$1" "${@:2}"
    expect_status_of_cache 'fwd=(uri|vary)-miss'
    await_stored
    get_ok "$DIR/body" "$ONE$1" "${@:2}"
    expect_hit
}

expect_validated() { # PATH_AND_QUERY [CURL_OPTION...]
    get_ok "$DIR/body" "$TWO$1" "${@:2}"
    expect_status_of_cache 'fwd=stale; fwd-status=304'
    await_stored
    get_ok "$DIR/body" "$ONE$1" "${@:2}"
    expect_hit
}

expect_kept() { # PATH_AND_QUERY [CURL_OPTION...]
    get_ok "$DIR/body" "$TWO$1" "${@:2}"
    expect_hit
}

by_ctl() { # PURGED CANCELLED OPTION...
    local answer
    answer=$(cache_ctl purge --json "${@:3}")
    expect_eq "cache_ctl purge ${*:3}" "$answer" "{\"purged\":$1,\"cancelled\":$2,\"collecting\":false}"
}

by_http() { # PURGED CANCELLED TARGET [CURL_OPTION...]
    get_ok "$DIR/body" "$ONE$3" -X PURGE "${@:4}"
    expect_eq "PURGE ${*:3}" "$(cat "$DIR/body")" "{\"purged\":$1,\"cancelled\":$2,\"collecting\":false}"
    expect_eq "type of the answer" "$(header Content-Type)" "application/json"
}

# ---- each kind, hard and soft, either way ----

A="/kinds/a?size=1000&seed=1&$FRESH&header=Surrogate-Key:%20red%20blue"
B="/kinds/b?size=1000&seed=2&$FRESH&header=Cache-Tag:%20blue,green"
C="/kindless?size=1000&seed=3&$FRESH"

each_kind() { # OPTION... : for cache_ctl; nothing for a hard purge
    local gone=expect_gone
    [[ $# -eq 0 ]] || gone=expect_validated

    by_ctl 1 0 "$@" --key "http://$ORIGIN$A"
    "$gone" "$A"
    expect_kept "$B"
    by_ctl 1 0 "$@" --origin "http://$ORIGIN" --key "$B"
    "$gone" "$B"
    by_ctl 2 0 "$@" --prefix "http://$ORIGIN/kinds/"
    "$gone" "$A"
    "$gone" "$B"
    expect_kept "$C"
    by_ctl 3 0 "$@" --origin "http://$ORIGIN/" --prefix /kind
    "$gone" "$A"
    "$gone" "$B"
    "$gone" "$C"
    by_ctl 2 0 "$@" --tag blue
    "$gone" "$A"
    "$gone" "$B"
    expect_kept "$C"
    by_ctl 2 0 "$@" --tag red --tag green --tag unknown
    "$gone" "$A"
    "$gone" "$B"
    by_ctl 3 0 "$@" --all
    "$gone" "$A"
    "$gone" "$B"
    "$gone" "$C"
    by_ctl 0 0 "$@" --key "http://$ORIGIN/nothing"
    by_ctl 0 0 "$@" --tag nothing
    expect_kept "$A"
}

each_kind_by_http() { # CURL_OPTION...
    local gone=expect_gone
    [[ $# -eq 0 ]] || gone=expect_validated

    by_http 1 0 "$A" "$@"
    "$gone" "$A"
    expect_kept "$B"
    by_http 2 0 '/kinds/*' "$@"
    "$gone" "$A"
    "$gone" "$B"
    expect_kept "$C"
    by_http 2 0 / "$@" -H 'Cache-Tag: blue'
    "$gone" "$A"
    "$gone" "$B"
    expect_kept "$C"
    by_http 1 0 / "$@" -H 'Surrogate-Key: red unknown'
    "$gone" "$A"
    expect_kept "$B"
    by_http 3 0 '/*' "$@"
    "$gone" "$A"
    "$gone" "$B"
    "$gone" "$C"
    by_http 0 0 /nothing "$@"
    expect_kept "$A"
}

store "$A"
store "$B"
store "$C"
get_ok "$DIR/body" "$OTHER$A"
await_stored
each_kind
each_kind --soft
each_kind_by_http
each_kind_by_http -H 'Soft-Purge: 1'
each_kind_by_http -H 'Fastly-Soft-Purge: 1'
get_ok "$DIR/body" "$OTHER$A" # another tenant's all the while
expect_hit
by_ctl 1 0 --tenant other --all
get_ok "$DIR/body" "$OTHER$A"
expect_status_of_cache 'fwd=uri-miss'
expect_kept "$A"
await_stored

# Clients do not see the tags, neither from the origin nor out of the cache, nor with a 304.
for tagged in "$A&x=1" "$B&x=1"; do
    get_ok "$DIR/body" "$ONE$tagged"
    expect_no_match "head" "$(cat "$DIR/head")" '[Ss]urrogate-[Kk]ey|[Cc]ache-[Tt]ag'
    etag=$(header ETag)
    get_ok "$DIR/body" "$TWO$tagged"
    expect_hit
    expect_no_match "head" "$(cat "$DIR/head")" '[Ss]urrogate-[Kk]ey|[Cc]ache-[Tt]ag'
    get_status 304 "$DIR/body" "$TWO$tagged" -H "If-None-Match: $etag"
    expect_no_match "head" "$(cat "$DIR/head")" '[Ss]urrogate-[Kk]ey|[Cc]ache-[Tt]ag'
done
by_ctl 4 0 --tag blue

# A 304 with other tags changes them, one without leaves them.
T="/retagged?size=1000&seed=4&$FRESH&header0=Cache-Tag:%20old&header1=Cache-Tag:%20new&version=0"
store "$T"
by_ctl 1 0 --soft --tag old
expect_validated "$T"
origin_control 'version?n=1' >/dev/null
by_ctl 1 0 --soft --tag old
expect_validated "$T"
by_ctl 0 0 --tag old
origin_control 'version?n=2' >/dev/null
by_ctl 1 0 --soft --tag new
expect_validated "$T"
by_ctl 1 0 --tag new
expect_gone "$T"
origin_control 'version?n=0' >/dev/null

# More tags than can be kept: nobody could purge it by all of them.
MANY=$(printf 'tag%d,' {1..65})
get_ok "$DIR/body" "$ONE/many?size=10&$FRESH&header=Cache-Tag:%20${MANY%,}"
expect_status_of_cache 'fwd=uri-miss; detail=tags'
await_stored

# ---- variants ----

V="/varies?by=Accept-Language&$FRESH&header=Vary:%20Accept-Language&header=Cache-Tag:%20speech"
store "$V" -H 'Accept-Language: de'
store "$V" -H 'Accept-Language: en'
store_both() {
    get_ok "$DIR/body" "$ONE$V" -H 'Accept-Language: de'
    get_ok "$DIR/body" "$ONE$V" -H 'Accept-Language: en'
    await_stored
}
by_ctl 3 0 --key "http://$ORIGIN$V" # with the index
store_both
expect_kept "$V" -H 'Accept-Language: de'
by_http 3 0 "$V"
expect_gone "$V" -H 'Accept-Language: en'
expect_gone "$V" -H 'Accept-Language: de'
by_ctl 3 0 --prefix "http://$ORIGIN/varies"
store_both
by_ctl 2 0 --tag speech
expect_gone "$V" -H 'Accept-Language: de'
expect_gone "$V" -H 'Accept-Language: en'
by_ctl 2 0 --soft --key "http://$ORIGIN$V" # the index has no freshness of its own
expect_validated "$V" -H 'Accept-Language: de'
expect_validated "$V" -H 'Accept-Language: en'
by_ctl 2 0 --soft --prefix "http://$ORIGIN/varies"
expect_validated "$V" -H 'Accept-Language: en'
expect_validated "$V" -H 'Accept-Language: de'
expect_kept "$V" -H 'Accept-Language: en'

# ---- parts: with what describes them, or by a tag of their own ----

P="/parts?size=300000&seed=11&$FRESH&header=Cache-Tag:%20piece"
piece() { # PROXY_URL FIRST LAST PATTERN
    get_status 206 "$DIR/body" "$1$P" --range "$2-$3"
    generated 300000:11 >"$DIR/all"
    head -c "$(($3 + 1))" "$DIR/all" | tail -c "$(($3 - $2 + 1))" | cmp - "$DIR/body" >&2 || fail "bytes $2-$3 differ"
    expect_status_of_cache "$4"
}
store_pieces() {
    piece "$ONE" 0 99999 'fwd=uri-miss; stored'
    await_stored
    piece "$ONE" 200000 299999 'fwd=partial'
    await_stored
    piece "$TWO" 200000 299999 'hit'
}
pieces_gone() { # what is stored of it then is one part alone
    piece "$TWO" 200000 299999 'fwd=uri-miss'
    await_stored
    by_ctl 2 0 --origin "http://$ORIGIN" --key "$P"
}
for purge in "--key http://$ORIGIN$P" "--prefix http://$ORIGIN/parts" "--tag piece"; do
    store_pieces
    # shellcheck disable=SC2086 # two words
    by_ctl 3 0 $purge
    pieces_gone
done
store_pieces
by_http 3 0 "$P"
pieces_gone
# Parts have no freshness of their own: what describes them is validated, for all of them.
store_pieces
for purge in "--key http://$ORIGIN$P" "--prefix http://$ORIGIN/parts" "--tag piece"; do
    # shellcheck disable=SC2086
    by_ctl 1 0 --soft $purge
    piece "$TWO" 200000 299999 'fwd=stale; fwd-status=304'
    await_stored
    piece "$ONE" 0 99999 'hit'
done
by_ctl 3 0 --tag piece

# What breaks off is kept as a part, but not what has been purged meanwhile.
breaks_off() { # NAME: half of it has come; PURGE... [PATTERN of what comes then]
    local path="/breaks/$1?size=2000000&seed=12&$FRESH&hold=break$1&hold_at=1000000&close=1000000"
    start "break$1" curl -sS --noproxy '*' --max-time "$DEADLINE" -o "$DIR/body" "$ONE$path"
    await_held "break$1"
    wait_until "it is being filled" cache_shows .cache.leases 1
    "${@:3}"
    release "break$1"
    await_end "break$1"
    expect_eq "exit status of the client" "$EXIT_STATUS" 18
    await_stored
    get_status 206 "$DIR/body" "$TWO$path" --range 0-99999
    expect_status_of_cache "$2"
    await_stored
}
breaks_off kept 'hit'
breaks_off key 'fwd=uri-miss' by_ctl 0 1 --prefix "http://$ORIGIN/breaks/key"
breaks_off soft 'fwd=uri-miss' by_ctl 0 1 --soft --prefix "http://$ORIGIN/breaks/soft"

# A part that was asked for before a soft purge does not make what describes it fresh again.
piece_while() { # PURGE...
    local path="/joined?size=300000&seed=13&$FRESH&hold=join&hold_at=head"
    release join
    get_status 206 "$DIR/body" "$ONE$path" --range 0-99999
    await_stored
    origin_control 'close?name=join' >/dev/null
    start join curl -sS --noproxy '*' --max-time "$DEADLINE" -o "$DIR/body" --range 200000-299999 "$ONE$path"
    await_held join 1
    "$@" --prefix "http://$ORIGIN/joined"
    release join
    await_end join
    await_stored
    get_status 206 "$DIR/body" "$TWO$path" --range 0-99999
}
piece_while by_ctl 1 1 --soft
expect_status_of_cache 'fwd=stale; fwd-status=304'
await_stored

# Nor if it was stale already when it was purged.
stale_piece_while() { # PURGE...
    local path="/stale?size=300000&seed=14&header=Cache-Control:%20max-age=2&hold=stale&hold_at=head"
    release stale
    get_status 206 "$DIR/body" "$ONE$path" --range 0-99999
    await_stored
    wait_until "it is stale" is_shown "$path" 'state  *stale,'
    origin_control 'close?name=stale' >/dev/null
    start stale curl -sS --noproxy '*' --max-time "$DEADLINE" -o "$DIR/body" --range 200000-299999 "$ONE$path"
    await_held stale 1
    "$@" --prefix "http://$ORIGIN/stale"
    wait_until "it is purged" is_shown "$path" 'state  *stale by a soft purge,'
    release stale
    await_end stale
    await_stored
    wait_until "the part is noted" is_shown "$path" 'kept until'
    is_shown "$path" 'state  *stale by a soft purge,' || fail "a part has undone a purge"
}
is_shown() { # PATH PATTERN
    "$BIN/cache_ctl" --instance "$INSTANCE" show "http://$ORIGIN$1" | grep -q "$2"
}
stale_piece_while by_ctl 1 1 --soft
get_status 206 "$DIR/body" "$TWO/stale?size=300000&seed=14&header=Cache-Control:%20max-age=2&hold=stale&hold_at=head" \
    --range 0-99999
expect_status_of_cache 'fwd=stale; fwd-status=304'
await_stored

# ---- keys that the operator has ruled, and what may change while a proxy runs ----

cat >"$DIR/ruled.conf" <<END
[proxy]
purge-from = 10.0.0.0/8
[cache-rules]
ignore-query = utm_*
sort-query = on
END
start_proxy ruled --config "$DIR/ruled.conf"
await_proxies 5
RULED=http://${HTTP[ruled]}
Q="/ruled?a=1&$FRESH&header=X-Tags:%20ruled&size=10"
get_status 403 "$DIR/body" "$RULED$Q" -X PURGE
sed -i 's,^purge-from.*,purge-from = 127.0.0.0/8,; s/^sort-query.*/tag-fields = X-Tags/' "$DIR/ruled.conf"
send ruled HUP
wait_until "it has read its file again" grep -q 'configuration applied' "$DIR/ruled.err"
ruled_is_stored() {
    get_ok "$DIR/body" "$RULED$Q&utm_source=mail"
    expect_no_match "head" "$(cat "$DIR/head")" 'X-Tags'
    await_stored
    get_ok "$DIR/body" "$RULED$Q&utm_source=page"
    expect_hit
}
purged_by_http() { # TARGET [CURL_OPTION...]
    get_ok "$DIR/body" "$RULED$1" -X PURGE "${@:2}"
    expect_eq "PURGE $*" "$(gojq .purged "$DIR/body")" 1
}
ruled_is_stored
purged_by_http "$Q&utm_source=elsewhere"
ruled_is_stored
purged_by_http /any -H 'X-Tags: ruled'
ruled_is_stored
by_ctl 0 0 --key "http://$ORIGIN$Q&utm_source=mail" # by hand the key is as it is stored
by_ctl 1 0 --key "http://$ORIGIN$Q"
stop ruled

# ---- what a soft purge means ----

# While it is revalidated it may be served stale, for as long as the origin says, from the purge on.
S="/swr?size=1000&seed=5&header=Cache-Control:%20max-age=600,%20stale-while-revalidate=60"
store "$S"
by_ctl 1 0 --soft --key "http://$ORIGIN$S"
before=$(origin_stat .not_modified)
get_ok "$DIR/body" "$TWO$S"
expect_status_of_cache 'hit; ttl=(0|-[0-9]+)'
wait_until "it has been validated in the background" origin_shows .not_modified $((before + 1))
await_stored
get_ok "$DIR/body" "$ONE$S"
expect_status_of_cache 'hit; ttl=[1-9]'

# The origin is in trouble: what may be served then is, and stays stale.
E="/sie?size=1000&seed=6&header=Cache-Control:%20max-age=600,%20stale-if-error=60"
N="/no-sie?size=1000&seed=7&header=Cache-Control:%20max-age=600,%20must-revalidate"
store "$E"
store "$N"
by_ctl 1 0 --soft --key "http://$ORIGIN$E"
by_ctl 1 0 --soft --key "http://$ORIGIN$N"
origin_control 'fail?n=503' >/dev/null
get_ok "$DIR/body" "$TWO$E"
expect_status_of_cache 'fwd=stale; fwd-status=503; .*detail=stale-if-error'
get_status 503 "$DIR/body" "$TWO$N"
origin_control 'fail?n=0' >/dev/null
await_stored
expect_validated "$E"
expect_validated "$N"

# ---- what is under way ----

expect_version() { # FILE VERSION
    cmp "$1" <(generated "200000:8:$2") >&2 || fail "${1##*/} is not version $2"
}

# One client is given half of it and waits; the purge comes; another client gets what is there now, and so does
# everybody after that.
while_filling() { # NAME CANCELLED PURGE...
    local path="/filling/$1?size=200000&seed=8&hold=$1&$FRESH&header=Cache-Tag:%20fill$1"
    origin_control 'version?n=0' >/dev/null
    start "old$1" curl -sS --noproxy '*' --max-time "$DEADLINE" -o "$DIR/old" "$ONE$path"
    await_held "$1"
    wait_until "it is being filled" cache_shows .cache.leases 1
    "${@:3}" "$path"
    origin_control 'version?n=1' >/dev/null
    start "new$1" curl -sS --noproxy '*' --max-time "$DEADLINE" -o "$DIR/new" "$TWO$path"
    await_held "$1" 2
    release "$1"
    await_end "old$1"
    expect_eq "exit status of the client before" "$EXIT_STATUS" 0
    await_end "new$1"
    expect_eq "exit status of the client afterwards" "$EXIT_STATUS" 0
    expect_version "$DIR/old" 0
    expect_version "$DIR/new" 1
    await_stored
    get_ok "$DIR/again" "$ONE$path"
    expect_hit
    expect_version "$DIR/again" 1
    expect_eq "requests for it" "$(requests_to "/filling/$1")" 2
}

key_by_ctl() {
    by_ctl 0 1 --origin "http://$ORIGIN" --key "$1"
}
prefix_by_ctl() {
    by_ctl 0 1 --prefix "http://$ORIGIN${1%%\?*}"
}
soft_tag_by_http() {
    by_http 0 1 / -H "Cache-Tag: $tag" -H 'Soft-Purge: 1'
}
tag=filltag
tag_by_ctl() {
    by_ctl 0 1 --tag "$tag"
}
while_filling key 1 key_by_ctl
while_filling prefix 1 prefix_by_ctl
while_filling tag 1 tag_by_ctl
tag=fillsoft
while_filling soft 1 soft_tag_by_http
origin_control 'version?n=0' >/dev/null

# The response has not come yet: nobody knows its tags, and still it is not stored if it has one of them.
while_asked() { # NAME CANCELLED PURGE...
    local path="/asked/$1?size=1000&seed=9&hold=head$1&hold_at=head&$FRESH&header=Cache-Tag:%20ask$1${ALSO:-}"
    start "asked$1" curl -sS --noproxy '*' --max-time "$DEADLINE" -o "$DIR/body" "$ONE$path"
    await_held "head$1"
    by_ctl 0 "$2" "${@:3}"
    release "head$1"
    await_end "asked$1"
    expect_eq "exit status of the client" "$EXIT_STATUS" 0
    await_stored
    expect_gone "$path"
}
while_asked tag 0 --tag asktag
while_asked soft 0 --soft --tag asksoft
# Nor if the place where it would be stored shows only then.
ALSO='&header=Vary:%20X-Asked' while_asked vary 0 --tag askvary
while_asked prefix 1 --prefix "http://$ORIGIN/asked/prefix"
by_ctl "$(cache_stat '.tenants[] | select(.name == "default") | .objects')" 0 --all
while_asked all 1 --all

# A validation that began before a soft purge does not make it fresh again.
W="/validated?size=1000&seed=10&hold=val&hold_at=head&header=Cache-Control:%20max-age=600"
release val
store "$W"
origin_control 'close?name=val' >/dev/null
start validation curl -sS --noproxy '*' --max-time "$DEADLINE" -o "$DIR/body" -H 'Cache-Control: no-cache' "$ONE$W"
await_held val
by_ctl 1 1 --soft --key "http://$ORIGIN$W"
release val
await_end validation
await_stored
expect_validated "$W"

# ---- who may, and what goes wrong ----

get_status 403 "$DIR/body" "http://${HTTP[refusing]}/kinds/a" -X PURGE
get "$DIR/body" "$TWO/passed?status=202&size=0" -X PURGE # a method like others
expect_eq "status of what is passed on" "$STATUS" 202
expect_eq "requests that were passed on" "$(requests_to /passed)" 1
get_status 400 "$DIR/body" "$ONE/" -X PURGE -H "Cache-Tag: ${MANY%,}"
get_status 400 "$DIR/body" "$ONE/" -X PURGE -H "Cache-Tag: ,"
get_status 200 "$DIR/body" "$ONE/nothing" -X PURGE --data-binary @"$E2E_ROOT/README.md"
expect_eq "what becomes of a connection whose request had a body" "$(header Connection)" close

expect_refused() { # STATUS TEXT OPTION...
    EXIT_STATUS=0
    cache_ctl purge "${@:3}" >"$DIR/out" 2>&1 || EXIT_STATUS=$?
    expect_eq "exit status of cache_ctl purge ${*:3}" "$EXIT_STATUS" "$1"
    expect_match "cache_ctl purge ${*:3}" "$(cat "$DIR/out")" "$2"
}
expect_refused 2 'exactly one of' --soft
expect_refused 2 'exactly one of' --all --tag a
expect_refused 2 'of which origin' --key /x
expect_refused 2 'no tenant of that name' --tenant nobody --all
expect_refused 2 'letters, digits' --tenant a/b --all
expect_match "for people" "$(cache_ctl purge --all)" '^removed: [0-9]+ objects, 0 fills cancelled$'

expect_cache '.tenants[] | select(.name == "other") | .purges' 1
expect_cache '.tenants[] | select(.name == "other") | .purged' 1
expect_cache '[.tenants[] | .purges] | add' "$(cache_stat .cache.purges)"
expect_cache .cache.purge_cancels "$(cache_stat '[.tenants[] | .purge_cancels] | add')"
expect_cache .cache.leases 0
expect_cache .cache.pins 0

stop cache
get_status 503 "$DIR/body" "$ONE/kinds/a" -X PURGE
expect_refused 75 'cache' --all

e2e_done

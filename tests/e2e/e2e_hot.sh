#!/usr/bin/env bash
# What proxies have kept in segments and serve without asking the cache, of all sizes: it is a hit like others, and
# the very next request through every proxy sees that it was purged, replaced, renewed, has expired, or that the cache
# is gone. What a client that stops reading was sent stays what it was. A crowd needs one set of segments.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin hot

# shellcheck disable=SC2119 # no option is needed
start_origin
start_cache --memory 64M
start_proxy one --segments 64 --purge-from 127.0.0.0/8,::1
start_proxy two --segments 64
await_proxies 2
ONE=http://${HTTP[one]}
TWO=http://${HTTP[two]}
VERSION=0

# In a copy, in one system call more, whole in one segment, in several.
SIZES="1000 9000 20000 65536 1000000"
FRESH='header=Cache-Control:%20max-age=600&header=Cache-Tag:%20hot'
path_of() { # SIZE
    echo "/hot/$1?size=$1&seed=$1&$FRESH"
}

await_stored() {
    wait_until "no fill is under way" cache_shows .cache.leases 0
}

next_version() {
    VERSION=$((VERSION + 1))
    origin_control "version?n=$VERSION" >/dev/null
}

expect_version() { # SIZE: of the body that has come
    generated "$1:$1:$VERSION" >"$DIR/wanted"
    expect_same "$DIR/wanted" "$DIR/body"
}

kept_hits() {
    cache_stat .cache.kept_hits
}

# A hit, out of a segment that the proxy has kept?
is_hot() { # PROXY_URL PATH [CURL_OPTION...]
    local before
    before=$(kept_hits)
    get_ok "$DIR/body" "$1$2" "${@:3}"
    [[ $(cache_status) =~ ^larder\;\ *hit && $(kept_hits) -gt $before ]]
}

# So often that they are worth keeping.
heat() { # PROXY_URL
    local size urls=()
    for size in $SIZES; do
        for _ in 1 2 3 4 5; do
            urls+=("$1$(path_of "$size")")
        done
    done
    curl -sS --noproxy '*' --max-time "$DEADLINE" "${urls[@]}" >"$DIR/body"
}

make_hot() {
    local size proxy
    for proxy in "$ONE" "$TWO"; do
        heat "$proxy"
        for size in $SIZES; do
            wait_until "$size bytes are hot" is_hot "$proxy" "$(path_of "$size")"
            expect_version "$size"
        done
    done
}

# The next request through either proxy is answered by what the origin has now, the first one from there.
expect_replaced() { # PATTERN
    local size first second
    first=$ONE second=$TWO
    for size in $SIZES; do
        get_ok "$DIR/body" "$first$(path_of "$size")"
        expect_version "$size"
        expect_match "Cache-Status" "$(cache_status)" "$1"
        await_stored
        get_ok "$DIR/body" "$second$(path_of "$size")"
        expect_version "$size"
        expect_hit
        read -r first second <<<"$second $first"
    done
}

# ---- a hit like others ----

make_hot
expect_origin ".by_path[\"/hot/1000\"]" 1
start_proxy cold --segments 64
await_proxies 3
COLD=http://${HTTP[cold]}

# Lines that depend on the second are left out.
head_of() { # PROXY_URL PATH [CURL_OPTION...]
    get "$DIR/body" "$1$2" "${@:3}"
    tr -d '\r' <"$DIR/head" | sed -E '/^HTTP.*416/,$ { /^Date: /d }; /^Age: /d; s/; ttl=[0-9]+//; s/boundary=[0-9a-f]+/boundary=B/'
    # shellcheck disable=SC2119 # it reads its input
    [[ $* == *--head* ]] || sed -E 's/^--[0-9a-f]{32}/--B/' "$DIR/body" | sum
}
expect_alike() { # SIZE [CURL_OPTION...]
    local path=$1 before
    shift
    path=$(path_of "$path")
    wait_until "it is hot" is_hot "$ONE" "$path"
    before=$(kept_hits)
    head_of "$ONE" "$path" "$@" >"$DIR/hot"
    (($(kept_hits) > before)) || fail "it was not hot: $path $*"
    head_of "$COLD" "$path" "$@" >"$DIR/cold"
    expect_same "$DIR/cold" "$DIR/hot"
    grep -q "^Cache-Status: larder; hit" "$DIR/hot" || fail "no hit: $path $*"
}
hits=$(cache_stat .cache.hits)
get_ok "$DIR/body" "$ONE$(path_of 1000)"
ETAG=$(header ETag)
expect_cache .cache.hits $((hits + 1))
expect_cache .tenants[0].hits $((hits + 1))
for size in $SIZES; do
    expect_alike "$size"
    expect_alike "$size" --head
    expect_alike "$size" --http1.0
    expect_alike "$size" -H 'Connection: close'
    expect_alike "$size" -H 'If-None-Match: "other"'
    expect_alike "$size" -H 'If-Modified-Since: Wed, 01 Jan 2020 00:00:00 GMT'
    expect_alike "$size" --range 0-99
    expect_alike "$size" --range 100-
    expect_alike "$size" --range "$((size / 2))-$((size / 2 + 17000))"
    expect_alike "$size" --range 5-10,20-30,-400
    expect_alike "$size" --range "$size-"
    expect_alike "$size" -H 'Cache-Control: only-if-cached'
    expect_alike "$size" -H 'Cache-Control: max-age=600'
    getfile_ok "$DIR/body" "${GETFILE[one]}" "$(path_of "$size")"
    expect_version "$size"
done
expect_alike 1000 -H "If-None-Match: $ETAG"
expect_match "head" "$(cat "$DIR/hot")" '^HTTP/1.1 304 '
# What asks for more than what is there goes to the cache, and on to the origin.
get_ok "$DIR/body" "$ONE$(path_of 20000)" -H 'Cache-Control: min-fresh=1000'
expect_match "Cache-Status" "$(cache_status)" 'fwd=request; fwd-status=304'

# The same bytes again and again, on one connection; and several requests in one piece.
ask_in_a_row() { # SIZE: 20 times
    local i urls=()
    for i in {1..20}; do
        urls+=("$ONE$(path_of "$1")")
    done
    curl -sS --noproxy '*' --max-time "$DEADLINE" "${urls[@]}" >"$DIR/body"
    for i in {1..20}; do
        generated "$1:$1:$VERSION"
    done >"$DIR/wanted"
    expect_same "$DIR/wanted" "$DIR/body"
}
ask_at_once() { # SIZE: 4 times
    local path
    path=$(path_of "$1")
    {
        printf 'GET %s HTTP/1.1\r\nHost: x\r\n\r\n' "$path" "$path" "$path"
        printf 'GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' "$path"
    } | raw "$DIR/answer" "${HTTP[one]}"
    expect_eq "answers" "$(grep -ao 'HTTP/1.1 200 OK' "$DIR/answer" | wc -l)" 4
    tail -c "$1" "$DIR/answer" >"$DIR/body"
    expect_version "$1"
}
for size in $SIZES; do
    wait_until "it is hot" is_hot "$ONE" "$(path_of "$size")"
    before=$(kept_hits)
    ask_in_a_row "$size"
    ask_at_once "$size"
    ask_at_once "$size"
    expect_eq "kept hits" "$(kept_hits)" $((before + 28))
done
stop cold
await_proxies 2
SIZES="1000 65536 1000000"

# ---- purges, replacements ----

by_http() { # TARGET [CURL_OPTION...]
    get_ok "$DIR/body" "$ONE$1" -X PURGE "${@:2}"
}
KEYS=()
for size in $SIZES; do
    KEYS+=(--key "http://$ORIGIN$(path_of "$size")")
done
each_key() { # [OPTION...]
    local i
    for ((i = 0; i < ${#KEYS[@]}; i += 2)); do
        cache_ctl purge "${KEYS[@]:i:2}" "$@" >/dev/null
    done
}
each_by_http() { # [CURL_OPTION...]
    local size
    for size in $SIZES; do
        by_http "$(path_of "$size")" "$@"
    done
}
each_by_post() {
    local size
    for size in $SIZES; do
        get_ok "$DIR/body" "$TWO$(path_of "$size")" -d x
    done
}
each_by_reload() {
    local size
    for size in $SIZES; do
        get_ok "$DIR/body" "$TWO$(path_of "$size")" -H 'Cache-Control: no-cache'
        expect_version "$size"
        await_stored
    done
}
purged_by() { # PATTERN COMMAND...
    make_hot
    next_version
    "${@:2}" >/dev/null
    expect_replaced "$1"
}
purged_by 'fwd=uri-miss' each_key
purged_by 'fwd=stale; stored' each_key --soft
purged_by 'fwd=uri-miss' cache_ctl purge --prefix "http://$ORIGIN/hot"
purged_by 'fwd=stale; stored' cache_ctl purge --soft --prefix "http://$ORIGIN/hot"
purged_by 'fwd=uri-miss' cache_ctl purge --tag hot
purged_by 'fwd=stale; stored' cache_ctl purge --soft --tag hot
purged_by 'fwd=uri-miss' cache_ctl purge --all
purged_by 'fwd=stale; stored' cache_ctl purge --soft --all
purged_by 'fwd=uri-miss' each_by_http
purged_by 'fwd=stale; stored' each_by_http -H 'Soft-Purge: 1'
purged_by 'fwd=uri-miss' by_http / -H 'Cache-Tag: hot'
purged_by 'fwd=uri-miss' each_by_post
purged_by 'larder; hit' each_by_reload

# Confirmed by the origin: what is kept is older than what is stored, and asked for anew.
make_hot
get_ok "$DIR/body" "$TWO$(path_of 65536)" -H 'Cache-Control: no-cache'
expect_match "Cache-Status" "$(cache_status)" 'fwd=request; fwd-status=304'
await_stored
hits=$(kept_hits)
get_ok "$DIR/body" "$ONE$(path_of 65536)"
expect_hit
expect_version 65536
expect_eq "hits without asking" "$(kept_hits)" "$hits"

# ---- variants: index and variant are kept ----

V="/varies?by=Accept-Language&$FRESH&header=Vary:%20Accept-Language"
speaks() { # PROXY_URL LANGUAGE [PATTERN]
    get_ok "$DIR/body" "$1$V" -H "Accept-Language: $2"
    expect_match "body" "$(cat "$DIR/body")" "$2"
    expect_match "Cache-Status" "$(cache_status)" "${3:-hit}"
}
both_are_hot() { # PROXY_URL LANGUAGE
    local before
    before=$(kept_hits)
    speaks "$1" "$2" "larder"
    (($(kept_hits) == before + 2))
}
for language in de en; do
    for proxy in "$ONE" "$TWO"; do
        wait_until "$language is hot" both_are_hot "$proxy" "$language"
        speaks "$proxy" "$language" 'hit; ttl=[0-9]+; key="accept-language:'"$language"'"'
    done
done
cache_ctl purge --key "http://$ORIGIN$V" >/dev/null
speaks "$TWO" de 'fwd=uri-miss'
await_stored
speaks "$ONE" de hit
speaks "$ONE" en 'fwd=vary-miss'
await_stored

# ---- the end of freshness ----

SHORT='/short?size=30000&seed=30000&header=Cache-Control:%20max-age=2'
wait_until "it is hot" is_hot "$ONE" "$SHORT"
next_version
is_no_hit() {
    get_ok "$DIR/body" "$ONE$SHORT"
    [[ ! $(cache_status) =~ ^larder\;\ *hit ]] || ! expect_below "age of a hit" "$(header Age)" 2
}
wait_until "it has expired" is_no_hit
expect_match "Cache-Status" "$(cache_status)" 'fwd=stale; stored'
expect_version 30000
cache_ctl purge --all >/dev/null # the others have another version by now

# ---- a client that does not read ----

# Whatever the socket has been given, the segments show other bytes by the time that it is read.
stops_reading() { # SIZE
    local size=$1 old client path
    path=$(path_of "$size")
    make_hot
    old=$VERSION
    wait_until "$size bytes are hot" is_hot "$ONE" "$path"
    exec {client}<>"/dev/tcp/${HTTP[one]%:*}/${HTTP[one]##*:}"
    hits=$(kept_hits)
    printf 'GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' "$path" >&"$client"
    wait_until "it is being answered" cache_shows .cache.kept_hits $((hits + 1))
    next_version
    cache_ctl purge --all >/dev/null
    for round in 1 2; do
        curl -sS --noproxy '*' --max-time "$DEADLINE" -Z --parallel-max 50 -o /dev/null \
            "$ONE/other$round?size=68000&seed=[100-250]&$FRESH" >/dev/null 2>&1
    done
    get_ok "$DIR/body" "$ONE$path"
    expect_version "$size"
    timeout "$DEADLINE" cat <&"$client" >"$DIR/answer"
    exec {client}>&-
    generated "$size:$size:$old" >"$DIR/wanted"
    tail -c "$size" "$DIR/answer" >"$DIR/body"
    expect_same "$DIR/wanted" "$DIR/body"
    await_stored
}
for size in 65536 1000000; do
    stops_reading "$size"
done

# ---- the cache goes ----

expect_all_forwarded() { # PROXY_URL...: nothing that was kept is served
    local proxy size
    for proxy in "$@"; do
        for size in $SIZES; do
            get_ok "$DIR/body" "$proxy$(path_of "$size")"
            expect_version "$size"
            expect_forwarded
        done
    done
}

make_hot
next_version
stop cache
expect_all_forwarded "$ONE" "$TWO"
start_cache --memory 64M
await_proxies 2
make_hot
next_version
kill_hard cache
expect_all_forwarded "$TWO" "$ONE"
start_cache --memory 64M
await_proxies 2
make_hot

# ---- a crowd ----

# So many ask at once for what is stored, but not hot yet, and some of them take their time. Together their answers
# are many times what the pool holds; to be read for each, they would be as many copies out of the cache.
stop one
stop two
stop cache
start_cache --memory 128M
# shellcheck source=tests/support/crowd.sh
source "$(dirname "$0")/../support/crowd.sh"
CLIENTS=${CLIENTS:-64}
SIZE=$((10 * 1024 * 1024))
start_crowd --clients "$CLIENTS" --slow $((CLIENTS / 4)) --size "$SIZE" --rounds 4
start_proxy large --segments 320
name_proxies large

store_target() {
    await_proxies 1
    get_ok "$DIR/body" "http://${HTTP[large]}$TARGET"
    await_stored
}
copied() { # of the object, by the cache for the proxy
    cache_stat "(.cache.bytes_served / $SIZE - .cache.kept_hits) | ceil"
}
play_crowd() { # sets HITS, KEPT_HITS and COPIES
    local hits kept copies
    hits=$(cache_stat .cache.hits) kept=$(kept_hits) copies=$(copied)
    play_round
    expect_result '"\(.whole) \(.wrong_bytes) \(.origin.requests)"' "$CLIENTS 0 0"
    expect_result '.cache_status["hit"]' "$CLIENTS"
    HITS=$(($(cache_stat .cache.hits) - hits)) KEPT_HITS=$(($(kept_hits) - kept)) COPIES=$(($(copied) - copies))
}
store_target
misses=$(cache_stat .cache.misses)
# Those who ask before it is known to be hot have an answer of the cache, and then what the others have.
play_crowd
expect_eq "hits" "$HITS" "$CLIENTS"
expect_below "copies for $CLIENTS clients" "$COPIES" 10
# Now it is hot.
play_crowd
expect_eq "hits, of them without asking, copies" "$HITS $KEPT_HITS $COPIES" "$CLIENTS $CLIENTS 0"
expect_cache .cache.misses "$misses"
wait_until "no pins are left" cache_shows .cache.pins 0

# The cache goes, before it is loaded or meanwhile: then the origin has it, or the rest of it.
cache_is_asked() {
    ! cache_shows .cache.hits 0
}
for moment in true "wait_until asked cache_is_asked"; do
    kill_hard cache
    start_cache --memory 128M
    store_target
    begin_round
    $moment
    kill_hard cache
    end_round
    expect_result '"\(.whole) \(.wrong_bytes)"' "$CLIENTS 0"
    start_cache --memory 128M
done
await_end crowd
expect_eq "exit status" "$EXIT_STATUS" 0

e2e_done

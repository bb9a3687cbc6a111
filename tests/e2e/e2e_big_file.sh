#!/usr/bin/env bash
# A file larger than the memory of the cache and than any pool passes through, uncached, in bounded memory.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin big

MIB=$((1024 * 1024))
MEMORY=$((64 * MIB))
POOL=$((64 * 64 * 1024))
SIZE=$((1024 * MIB))
if is_sanitized; then
    SIZE=$((256 * MIB)) # the sanitizers cost time
fi

peak() { # NAME: the largest resident memory so far, in bytes
    echo $(($(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/${PID[$1]}/status") * 1024))
}

expect_peaks() {
    if is_sanitized; then
        return # their shadow memory would be measured
    fi
    expect_below "peak of the cache" "$(peak cache)" $((64 * MIB + MEMORY + POOL))
    expect_below "peak of the proxy" "$(peak proxy)" $((64 * MIB + POOL))
}

passes_through() { # URL_QUERY SIZE
    curl -sS --fail --max-time 250 -D "$DIR/head" "http://${HTTP[proxy]}/big?$1" |
        cmp - <(generated "$2") >&2 || fail "the bytes of ?$1 differ"
    expect_forwarded
    expect_no_match "Cache-Status of ?$1" "$(cache_status)" 'stored'
}

start_origin --max-age 3600
start_cache --memory 64M
start_proxy proxy --segments 64 --segment-size 64K
await_proxies 1

passes_through "size=$SIZE" "$SIZE"
expect_eq "Content-Length" "$(header Content-Length)" "$SIZE"
expect_origin .requests 1
expect_cache .cache.objects 0
expect_peaks

# Not cached, so it is fetched again; this time the reader is slower than the origin for a moment.
get "$DIR/body" "http://${HTTP[proxy]}/big?size=$SIZE" --limit-rate 64M --max-time 1
expect_eq "curl gave up in the middle" "$CURL_EXIT" 28
expect_origin .requests 2

# Without a length nobody can know beforehand that it is too large.
curl -sS --fail --max-time 250 "http://${HTTP[proxy]}/unknown?size=192M&chunked=1" |
    cmp - <(generated 192M) >&2 || fail "the bytes of the chunked body differ"
wait_until "the fill has been given up" cache_shows .cache.leases 0
expect_cache .cache.objects 0

# Over GETFILE.
printf 'GETFILE GET /big?size=%d\r\n\r\n' "$SIZE" | raw "$DIR/answer" "${GETFILE[proxy]}"
expect_eq "GETFILE" "$(head -n 1 "$DIR/answer" | tr -d '\r')" "GETFILE OK $SIZE"
tail -n +3 "$DIR/answer" | cmp - <(generated "$SIZE") >&2 || fail "the bytes over GETFILE differ"
expect_peaks

# Small files are cached beside it as ever.
get_ok "$DIR/body" "http://${HTTP[proxy]}/small?size=1000"
wait_until "the small file is stored" cache_shows .cache.objects 1
get_ok "$DIR/body" "http://${HTTP[proxy]}/small?size=1000"
expect_hit

stop proxy
stop cache
e2e_done

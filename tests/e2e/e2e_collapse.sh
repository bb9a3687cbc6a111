#!/usr/bin/env bash
# One fetch for many: all who ask for the same object at the same time, through any proxy, cost the origin one
# request, and have the bytes as they come.
#
#     e2e_collapse.sh bench [CLIENTS [SIZE [RATE]]]     prints how soon the first and last bytes came
source "$(dirname "$0")/../support/e2e.sh"
source "$(dirname "$0")/../support/crowd.sh"
e2e_begin collapse

CLIENTS=1000
if is_sanitized || [[ $(ulimit -n) -lt 4096 ]]; then
    CLIENTS=200
fi

show_times() {
    result '"\(.clients) clients, \(.origin.requests) origin requests; ms after the first byte that the origin sent:
        first byte p50 \(.first_byte_ms.p50) p99 \(.first_byte_ms.p99) max \(.first_byte_ms.max)
        last byte  p50 \(.last_byte_ms.p50) p99 \(.last_byte_ms.p99) max \(.last_byte_ms.max)"'
}

many_clients() {
    open_stage --clients "$CLIENTS" --size 1M --rate 256K
    play_round
    show_times
    expect_all_whole
    expect_result .origin.requests 1
    expect_result .cache_status.collapsed $((CLIENTS - 1))
    expect_result '.cache_status["fwd=uri-miss"]' "$CLIENTS"
    expect_cache .cache.fills 1
    close_stage
    expect_eq "exit status" "$EXIT_STATUS" 0
}

large_object() {
    open_stage --clients 100 --size 10M --rate 2M
    play_round
    show_times
    expect_all_whole
    expect_result .origin.requests 1
    expect_result .cache_status.collapsed 99
    close_stage
    expect_eq "exit status" "$EXIT_STATUS" 0
}

# Nobody knows its length before its end.
chunked_object() {
    open_stage --clients 100 --size 2M --rate 1M --chunked
    play_round
    expect_all_whole
    expect_result .origin.requests 1
    expect_result .cache_status.collapsed 99
    expect_cache .cache.fills 1
    close_stage
}

# What is stored is stale, and the answer to the validation makes it fresh. The version decides about
# freshness only: body and ETag stay those of version 0.
stale_object() {
    open_stage --clients 100 --size 1M --delay 200 \
        --script 'version=0&header0=Cache-Control:%20max-age=0&header1=Cache-Control:%20max-age=600'
    get_ok "$DIR/body" "http://${HTTP[one]}$TARGET"
    wait_until "it is stored" cache_shows .cache.fills 1
    origin_control "version?n=1" >/dev/null
    play_round
    expect_all_whole
    expect_result '.whole_of_version[0]' 100
    expect_result .origin.requests 1
    expect_result .origin.conditional 1
    expect_result .origin.not_modified 1
    expect_cache .cache.updates 1
    close_stage
}

bench() {
    open_stage --clients "${1:-1000}" --size "${2:-1M}" --rate "${3:-256K}" --timeout 90
    play_round
    show_times
    expect_all_whole
    close_stage
}

if [[ ${1:-} == bench ]]; then
    bench "${@:2}"
else
    play many_clients large_object chunked_object stale_object -- "$@"
fi
e2e_done

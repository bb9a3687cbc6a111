#!/usr/bin/env bash
# The proxy that fetches for many is killed or freezes in the middle: another one goes on where it stopped, and
# no client of another proxy notices; unless the origin has something else by then.
source "$(dirname "$0")/../support/e2e.sh"
source "$(dirname "$0")/../support/crowd.sh"
e2e_begin filler

# By hand also with more: CLIENTS=1000 SIZE=10M RATE=1M AT=5M e2e_collapse_filler.sh filler_is_killed
CLIENTS=${CLIENTS:-100} SIZE=${SIZE:-4M} RATE=${RATE:-2M} AT=${AT:-2M}
CROWD=(--clients "$CLIENTS" --size "$SIZE" --rate "$RATE")

filler_is_killed() {
    open_stage "${CROWD[@]}" --kill-filler-at "$AT"
    play_round
    expect_result '.filler.pid > 0' true
    expect_all_whole
    expect_result .origin.requests 2
    expect_result .origin.ranges 1
    expect_result .origin.if_ranges 1
    result '"\(.whole) of \(.clients) whole, \(.broken_of_killed) broken with the proxy; first byte at most \(.first_byte_ms.max) ms"'
    expect_cache .cache.fills 1
    close_stage
    expect_eq "exit status" "$EXIT_STATUS" 0
}

# Everything comes once more, and what is there already is skipped.
origin_without_ranges() {
    open_stage "${CROWD[@]}" --kill-filler-at "$AT" --no-range
    play_round
    expect_result '.filler.pid > 0' true
    expect_all_whole
    expect_result .origin.requests 2
    close_stage
    expect_eq "exit status" "$EXIT_STATUS" 0
}

living_proxy() {
    local name
    for name in "${PROXIES[@]}"; do
        was_struck "$name" || echo "$name"
    done | head -n 1
}

# Who has bytes of the first version cannot be given a whole response any more, and never gets a mixed one.
origin_has_changed() {
    open_stage "${CROWD[@]}" --kill-filler-at "$AT" --change-on-resume --rounds 2 # so that the origin stays
    play_round
    expect_result '.filler.pid > 0' true
    expect_result .wrong 0
    expect_result '.whole_of_version[0]' 0
    expect_result '.broken_begun > 0' true
    expect_result '.whole_of_version[1] + .broken + .broken_of_killed == .clients' true
    expect_result '.origin.requests <= 3' true
    get_ok "$DIR/body" "http://${HTTP[$(living_proxy)]}$TARGET"
    generated "$SIZE:0:1" >"$DIR/wanted"
    expect_same "$DIR/body" "$DIR/wanted"
    send crowd TERM
    close_stage
}

# Its own clients wait until it thaws, and then get the rest.
filler_freezes() {
    local frozen
    CACHE_OPTIONS=(--stall-time 1)
    open_stage "${CROWD[@]}" --stop-filler-at "$AT"
    CACHE_OPTIONS=()
    begin_round
    frozen=$(await_line crowd stopped)
    wait_until "it is overtaken" origin_shows '.requests > 1' true
    wait_until "the object is stored" cache_shows .cache.fills 1
    kill -CONT "$frozen"
    end_round
    expect_all_whole
    expect_result .whole "$CLIENTS"
    expect_result .origin.requests 2
    expect_result .origin.ranges 1
    close_stage
    expect_eq "exit status" "$EXIT_STATUS" 0
}

play filler_is_killed origin_without_ranges origin_has_changed filler_freezes -- "$@"
e2e_done

#!/usr/bin/env bash
# Many wait for one answer, and it is not for them: what may not be shared frees all at once, and an origin that
# fails is not asked by each of them.
source "$(dirname "$0")/../support/e2e.sh"
source "$(dirname "$0")/../support/crowd.sh"
e2e_begin answers

CLIENTS=100
SIZE=262144

holds() { # NUMBER: so many requests or more wait at the origin's gate
    origin_shows ".held.gate >= $1" true
}

# A mark that says why nobody needs to wait may be stored, but no body.
expect_no_body_stored() {
    expect_result '.cache_status.stored' null
    expect_below "bytes that the cache holds" "$(cache_stat .cache.bytes_used)" "$SIZE"
}

# In the first round one request shows that the answer is private, and then all others are under way together.
# In the second that is known: none waits for another.
private_answer() {
    open_stage --clients "$CLIENTS" --rounds 2 --size "$SIZE" --uncacheable --delay 200 \
        --script "hold=gate&hold_at=head"
    begin_round
    wait_until "a request is held" holds 1
    release gate
    end_round
    expect_all_whole
    expect_result .origin.requests "$CLIENTS"
    expect_result ".origin.most_under_way > $CLIENTS / 4" true
    expect_result '.cache_status.hit' null
    expect_no_body_stored

    origin_control reset >/dev/null
    begin_round
    wait_until "all requests are held" holds "$CLIENTS"
    release gate
    end_round
    expect_all_whole
    expect_result .origin.requests "$CLIENTS"
    expect_no_body_stored
    close_stage
    expect_eq "exit status" "$EXIT_STATUS" 0
}

expect_gateway_errors() {
    expect_result .errors "$CLIENTS"
    expect_result '.statuses | keys - ["502", "504"] | length' 0
}

# An answer that breaks off may be due to one client's request, so it answers those alone who have waited for it:
# those who come later ask again, one for all of them.
origin_fails() {
    open_stage --clients "$CLIENTS" --rounds 3 --fail --delay 200
    play_round
    expect_gateway_errors
    expect_result ".origin.requests >= 1 and .origin.requests <= ${#PROXIES[@]}" true
    play_round
    expect_gateway_errors
    expect_result ".origin.requests >= 1 and .origin.requests <= ${#PROXIES[@]}" true
    send crowd TERM
    close_stage
    expect_eq "exit status" "$EXIT_STATUS" 1
}

play private_answer origin_fails -- "$@"
e2e_done

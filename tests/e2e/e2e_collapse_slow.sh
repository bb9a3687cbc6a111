#!/usr/bin/env bash
# Clients that do not read hold up nobody who shares their fetch. They begin to read when all others have got
# everything, the very first when all are served: a fetch at the pace of a slow one would never end.
source "$(dirname "$0")/../support/e2e.sh"
source "$(dirname "$0")/../support/crowd.sh"
e2e_begin slow

some_are_slow() {
    open_stage --clients 100 --slow 25 --size 10M --rate 8M
    play_round
    expect_all_whole
    expect_result .origin.requests 1
    expect_result '.last_byte_ms.max <= .first_byte_ms.max' true
    close_stage
    expect_eq "exit status" "$EXIT_STATUS" 0
}

# All but one, and the slowest is the one for whom the filler began.
all_but_one_are_slow() {
    open_stage --clients 40 --slow 39 --lead --size 10M --rate 8M
    play_round
    expect_all_whole
    expect_result .origin.requests 1
    close_stage
    expect_eq "exit status" "$EXIT_STATUS" 0
}

play some_are_slow all_but_one_are_slow -- "$@"
e2e_done

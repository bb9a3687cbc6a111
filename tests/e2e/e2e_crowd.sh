#!/usr/bin/env bash
# larder_crowd, by which the stories of one fetch for many judge, sees each kind of damage; here its clients ask
# its origin itself, or proxies without a cache between them, where every client costs a request.
# shellcheck source=tests/support/e2e.sh
source "$(dirname "$0")/../support/e2e.sh"
source "$(dirname "$0")/../support/crowd.sh"
e2e_begin crowd

# A round of ten clients without proxies. The process that is named holds no end of a connection.
directly() { # EXIT_STATUS [OPTION...]
    local wanted=$1
    shift
    start_crowd --clients 10 --size 1M "$@"
    echo "$ORIGIN $$" >"$DIR/proxies"
    play_round
    await_end crowd
    expect_eq "exit status with $*" "$EXIT_STATUS" "$wanted"
}

right_answers_pass() {
    directly 0
    expect_all_whole
    expect_result .whole 10
    expect_result .origin.requests 10
    expect_result .origin.bytes $((10 * 1024 * 1024))
    expect_result '.statuses["200"]' 10
    directly 0 --chunked
    expect_result .whole 10
    directly 0 --change-on-resume
    expect_result '.whole_of_version | join(" ")' "1 9"
    directly 0 --fail --script 'drop=0'
    expect_result .whole 10
    directly 0 --script 'header=Cache-Status:%20larder;%20fwd=uri-miss;%20collapsed;%20ttl=7'
    expect_result '.cache_status | keys | join(" ")' "collapsed fwd=uri-miss"
}

damage_is_seen() {
    directly 1 --script 'version=1&header=ETag:%20"g-100000-0-0"' # bytes of the other version
    expect_result .wrong 10
    expect_result '.wrong_bytes > 10000000' true
    directly 1 --script 'header=ETag:%20"of-nothing"'
    expect_result .wrong 10
    directly 1 --script 'seed=1&noheader=ETag' # bytes of another object
    expect_result .wrong 10
    directly 1 --script 'size=1000000&noheader=ETag' # another length
    expect_result .wrong 10
    directly 1 --chunked --script 'size=1000000&noheader=ETag' # which only its end tells
    expect_result .wrong 10
    directly 1 --chunked --script 'size=2000000&noheader=ETag'
    expect_result .wrong 10
    directly 1 --script 'length=2000000' # less than was promised
    expect_result .wrong 10
    directly 1 --script 'length=1000' # more than was promised
    expect_result .wrong 10
    directly 1 --script 'garbage=1'
    expect_result .wrong 10
    directly 1 --script 'close=1000'
    expect_result '"\(.broken) \(.broken_begun)"' "10 10"
    directly 1 --script 'close=0'
    expect_result '"\(.broken) \(.broken_begun)"' "10 0"
    directly 1 --fail
    expect_result '"\(.broken) \(.broken_begun)"' "10 0"
    directly 1 --script 'status=503'
    expect_result .errors 10
    expect_result '.statuses["503"]' 10
    directly 1 --script 'hold=never' --timeout 1
    expect_result .unfinished 10
    directly 1 --kill-filler-at 1000 # nobody is found
    expect_result '"\(.whole) \(.filler)"' "10 null"
}

# A proxy without a cache: each client has a request of its own.
open_proxies() { # [OPTION...]
    start_crowd "$@"
    start_proxy one
    start_proxy two
    name_proxies one two
}

slow_clients_wait_for_the_others() {
    open_proxies --clients 10 --slow 9 --size 10M
    play_round
    expect_all_whole
    expect_result '.last_byte_ms.max <= .first_byte_ms.p50' true
    await_end crowd
    expect_eq "exit status" "$EXIT_STATUS" 0
    stop one
    stop two
}

# Without a cache it is proxies that sweep what a dead one has left.
await_swept() { # PROXY that is alone now
    wait_until "the names of the dead are gone" has_peer_pools 1
    stop "$1"
}

# The first client asks the first proxy, and so that one is the filler.
filler_is_found() {
    open_proxies --clients 2 --size 10M --rate 10M --lead --kill-filler-at 1
    play_round
    expect_result .filler.pid "${PID[one]}"
    expect_result '"\(.whole) \(.broken_of_killed) \(.broken)"' "1 1 0"
    await_end one
    expect_eq "exit status of the killed proxy" "$EXIT_STATUS" 137
    await_end crowd
    expect_eq "exit status" "$EXIT_STATUS" 0
    await_swept two
}

filler_is_stopped() {
    open_proxies --clients 2 --size 10M --rate 10M --lead --stop-filler-at 1
    begin_round
    expect_eq "stopped" "$(await_line crowd stopped)" "${PID[one]}"
    expect_match "state" "$(</proc/"${PID[one]}"/stat)" '\) T '
    send one CONT
    end_round
    expect_result '"\(.whole) \(.broken_of_killed) \(.broken)"' "2 0 0"
    await_end crowd
    expect_eq "exit status" "$EXIT_STATUS" 0
    stop one
    stop two
}

# Nobody is held innocent for a proxy that dies of something else.
other_deaths_count() {
    open_proxies --clients 2 --size 10M --rate 10M --lead --script hold=gate
    begin_round
    wait_until "both are held" origin_shows .held.gate 2
    kill_hard one
    release gate
    end_round
    expect_result '"\(.whole) \(.broken_of_killed) \(.broken)"' "1 0 1"
    await_end crowd
    expect_eq "exit status" "$EXIT_STATUS" 1
    await_swept two
}

interruption_ends_it() {
    start_crowd
    send crowd TERM
    await_end crowd
    expect_eq "exit status without a round" "$EXIT_STATUS" 1
    start_crowd --timeout 1
    await_end crowd
    expect_eq "exit status when no round begins" "$EXIT_STATUS" 1
}

wrong_usage_is_refused() {
    local arguments text
    while read -ra arguments; do
        start crowd "$BIN/larder_crowd" "${arguments[@]}"
        await_end crowd
        expect_eq "exit status of ${arguments[*]}" "$EXIT_STATUS" 2
    done <<'END'
--clients 1
--proxies
--proxies x --clients 0
--proxies x --clients many
--proxies x --clients 1 --slow 2
--proxies x --size 0
--proxies x --kill-filler-at 1 --stop-filler-at 1
--proxies x y
--proxies x --unknown
END
    for text in '' '127.0.0.1:0 1' '127.0.0.1:80' '127.0.0.2:80 1' '127.0.0.1:80 1 x'; do
        start_crowd
        echo "$text" >"$DIR/proxies"
        send crowd USR1
        await_end crowd
        expect_eq "exit status with the proxies '$text'" "$EXIT_STATUS" 2
    done
}

play right_answers_pass damage_is_seen slow_clients_wait_for_the_others filler_is_found filler_is_stopped \
    other_deaths_count interruption_ends_it wrong_usage_is_refused -- "$@"
e2e_done

# shellcheck shell=bash
# crowd.sh: what the stories of many clients for one object share. To be sourced behind e2e.sh.
#
# A story is a list of scenes, functions that begin with open_stage and end with close_stage, and ends with
#
#     play SCENE... -- "$@"
#
# so that a scene can be played alone: e2e_STORY.sh SCENE.
#
# shellcheck disable=SC2034 # e2e.sh and the stories read DEADLINE, ORIGIN and TARGET
DEADLINE=100 # longer than larder_crowd waits for anything

PROXIES=(one two three four)
CACHE_OPTIONS=() # for the next stages
TARGET=          # what the clients ask for
RESULT=          # of the last round, JSON; see tests/support/crowd_report.h
ROUND=0

ulimit -n "$(ulimit -Hn)"

# The origin and its clients.
start_crowd() { # [OPTION_OF_LARDER_CROWD...]
    start crowd "$BIN/larder_crowd" --proxies "$DIR/proxies" "$@"
    ORIGIN=$(await_line crowd listening)
    TARGET=$(await_line crowd target)
    ROUND=0
}

# Who is asked in the next round.
name_proxies() { # PROXY...
    local name
    for name; do
        echo "${HTTP[$name]} ${PID[$name]}"
    done >"$DIR/proxies"
}

# The origin with its clients, the cache and the proxies.
open_stage() { # [OPTION_OF_LARDER_CROWD...]
    local name
    start_crowd "$@"
    start_cache --memory 256M "${CACHE_OPTIONS[@]}"
    for name in "${PROXIES[@]}"; do
        start_proxy "$name"
    done
    await_proxies "${#PROXIES[@]}"
    name_proxies "${PROXIES[@]}"
}

begin_round() {
    ROUND=$((ROUND + 1))
    send crowd USR1
}

end_round() { # sets RESULT
    RESULT=$(await_line crowd "result $ROUND ")
}

play_round() {
    begin_round
    end_round
}

result() { # JQ_EXPRESSION
    gojq -r "$1" <<<"$RESULT"
}

expect_result() { # JQ_EXPRESSION VALUE
    expect_eq "$1 of $RESULT" "$(result "$1")" "$2"
}

# Every client of a living proxy has all bytes, and they are right.
expect_all_whole() {
    expect_result '.whole + .broken_of_killed == .clients' true
    expect_result .wrong_bytes 0
}

was_struck() { # PROXY: larder_crowd has killed it
    [[ -n $RESULT && $(result '.filler.pid // 0') -eq ${PID[$1]} ]] && is_gone "${PID[$1]}"
}

# Everybody ends in order, and the cache holds nothing for anybody.
close_stage() {
    local name
    for name in pins leases followers; do
        wait_until "no $name are left" cache_shows ".cache.$name" 0
    done
    for name in "${PROXIES[@]}"; do
        if was_struck "$name"; then
            await_end "$name"
        else
            stop "$name"
        fi
    done
    stop cache
    await_end crowd
    RESULT=
}

play() { # SCENE... -- [SCENE...]
    local scene all=()
    while [[ $1 != -- ]]; do
        all+=("$1")
        shift
    done
    shift
    (($#)) || set -- "${all[@]}"
    for scene; do
        echo "scene: $scene"
        "$scene"
    done
}

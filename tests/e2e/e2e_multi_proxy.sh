#!/usr/bin/env bash
# scripts/multi_proxy.sh: the demonstration shows what it should, notices when something is wrong, explains
# what is in its way, and cleans up however it ends.
set -euo pipefail
export LC_ALL=C
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
export LARDER_BIN=${LARDER_BIN:-$root/build/bin}
readonly deadline_seconds=60
work=$(mktemp -d)
export TMPDIR=$work # what the script leaves behind shows here
declare -A background=() # pids to stop

clean_up() {
    local status=$? pid
    trap - EXIT
    for pid in "${!background[@]}"; do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

fail() {
    printf 'FAIL: %s\n' "$*" >&2
    cat "$work/out" >&2 || true
    exit 1
}

demo_names() { "$root/scripts/ipc_names.sh" | grep -F larder.demo- | sort || true; }
names_before=$(demo_names)

expect_nothing_left() {
    local left
    left=$(find "$work" -maxdepth 1 -name 'larder-demo.*')
    [[ -z $left ]] || fail "files left behind: $left"
    left=$(comm -13 <(echo "$names_before") <(demo_names))
    [[ -z $left ]] || fail "names left behind: $left"
}

run() { # run STATUS ARGUMENTS...: from another directory; the output is in $work/out
    local wanted=$1 status=0
    shift
    (cd / && exec "$root/scripts/multi_proxy.sh" "$@") >"$work/out" 2>&1 </dev/null || status=$?
    [[ $status -eq $wanted ]] || fail "multi_proxy.sh $*: exit $status instead of $wanted"
    expect_nothing_left
}

says() { grep -qe "$1" "$work/out" || fail "the output has no '$1'"; }

count() { # count NUMBER REGEX
    local lines
    lines=$(grep -ce "$2" "$work/out" || true)
    [[ $lines -eq $1 ]] || fail "$lines lines instead of $1 match '$2'"
}

wait_for_line() { # wait_for_line REGEX
    local end=$((SECONDS + deadline_seconds))
    until grep -qe "$1" "$work/out"; do
        ((SECONDS < end)) || fail "no line '$1'"
        sleep 0.02
    done
}

demonstration_is_right() {
    run 0 --once --port 0
    count 9 'proxy 1 .*larder; fwd=.*stored'
    count 18 'proxy [23] .*larder; hit'
    count 9 'proxy 3 .*GETFILE OK'
    says '^9 files: proxies asked 36 times, the origin 9'
    says '^All right'
}

other_numbers_of_proxies() {
    run 0 --once --port=0 --proxies=1 --memory=16M
    count 8 'proxy 1 .*larder; fwd=.*stored'
    run 0 --once --port 0 --proxies 5
    count 36 'proxy [2345] .*larder; hit'
}

start_origin() { # start_origin ROOT: its address is in $origin_address
    local pipe=$work/origin.pipe lines line
    mkfifo "$pipe"
    "$LARDER_BIN/larder_origin" --listen 127.0.0.1:0 --root "$1" >"$pipe" 2>"$work/origin.log" &
    background[$!]=origin
    exec {lines}<"$pipe"
    IFS= read -r -t "$deadline_seconds" -u "$lines" line || fail "the origin did not start"
    origin_address=${line#listening }
    rm "$pipe"
}

what_is_wrong_is_noticed() {
    # Port 1 of loopback: nobody listens there.
    run 1 --once --port 0 --origin http://127.0.0.1:1
    says '502'
    says 'wrong: this should have been a miss that is stored'
    # An origin without /: 404, which is no demonstration.
    mkdir "$work/nothing"
    start_origin "$work/nothing"
    run 1 --once --port 0 --origin "http://$origin_address"
    says 'wrong: status 404'
}

obstacles_are_explained() {
    local port=${origin_address##*:}
    run 1 --once --port "$port"
    says "port $port is in use"
    says '--port FIRST'
    run 2 --bogus
    says 'unknown option: --bogus'
    run 2 --proxies 0
    run 2 --proxies
    run 2 --port 65000
    run 2 --memory lots
    run 2 --origin example.com
    run 0 --help
    says '^usage: multi_proxy.sh'
}

# Job control gives the script a process group of its own, as in a terminal. A shell cannot trap what was ignored
# when it began, as SIGINT is in whatever was started with `&`: it gets its ordinary meaning back.
serves_until_interrupted() { # serves_until_interrupted SIGNAL
    local demo url status=0
    : >"$work/out" # not what the run before has printed
    set -m
    env --default-signal=INT,QUIT "$root/scripts/multi_proxy.sh" --port 0 --proxies 2 >"$work/out" 2>&1 </dev/null &
    demo=$!
    set +m
    background[$demo]=demo
    wait_for_line '^Ctrl-C ends it'
    url=$(sed -n 's/^Try: *curl -i //p' "$work/out")
    curl -q -sS --noproxy '*' -o /dev/null -D "$work/head" "$url"
    grep -qi '^cache-status: larder; hit' "$work/head" || fail "$url is not served as a hit"
    kill "-$1" -- "-$demo"
    wait "$demo" || status=$?
    unset "background[$demo]"
    [[ $status -eq 0 ]] || fail "exit $status after SIG$1"
    expect_nothing_left
}

demonstration_is_right
other_numbers_of_proxies
what_is_wrong_is_noticed
obstacles_are_explained
serves_until_interrupted INT
serves_until_interrupted TERM

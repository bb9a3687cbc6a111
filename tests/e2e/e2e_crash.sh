#!/usr/bin/env bash
# scripts/multi_proxy.sh --crash and --kills: proxies and caches are killed under load, and all else stays
# right; the stress test sees damage that is done on purpose, and cleans up when it is interrupted.
# shellcheck source=tests/support/e2e.sh
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin crash
STORM=$BIN/larder_storm

number() { # NAME ROW: the first number of that row of its table
    sed -n "s/^  $2  *\([0-9][0-9.]*\).*/\1/p" "$DIR/$1.out"
}

expect_number() { # NAME ROW WANTED
    [[ $(number "$1" "$2") == "$3" ]] || fail "$1: $2 is '$(number "$1" "$2")' instead of $3"
}

expect_some() { # NAME ROW [LEAST]
    local seen
    seen=$(number "$1" "$2")
    [[ $seen =~ ^[0-9]+$ && $seen -ge ${3:-1} ]] || fail "$1: $2 is '$seen'"
}

show() { # NAME
    cat "$DIR/$1.out" >&2
}

expect_end() { # NAME STATUS
    await_end "$1"
    [[ $EXIT_STATUS -eq $2 ]] || { show "$1" && fail "$1: exit $EXIT_STATUS instead of $2"; }
}

# A storm that was started without --instance calls itself after its process.
expect_no_names() { # INSTANCE
    local left
    left=$("$E2E_ROOT/scripts/ipc_names.sh" "$1")
    [[ -z $left ]] || fail "left behind: $left"
}

expect_nothing_wrong() { # NAME
    local row
    for row in "wrong bytes" "broken responses, unharmed proxies" "lost names" "leaked segments" \
        "leaked pins, leases, pools" "leaked descriptors"; do
        expect_number "$1" "$row" 0
    done
    grep -q '^All right' "$DIR/$1.out" || fail "$1 does not say that all is right"
}

proxies_are_killed() {
    local instance
    start kills "$E2E_ROOT/scripts/multi_proxy.sh" --kills 40 --seed 7 --no-quiet --keep-cache
    instance=storm-${PID[kills]}
    expect_end kills 0
    expect_nothing_wrong kills
    expect_some kills "proxies killed" 40
    expect_number kills "cache kills" 0
    expect_number kills seed 7
    expect_some kills requests
    expect_some kills restarts
    expect_no_names "$instance"
}

caches_are_killed() {
    start caches "$STORM" --instance "$INSTANCE" --crash 2 --rate 10 --cache-every 0.4 --seed 8
    expect_end caches 0
    expect_nothing_wrong caches
    expect_some caches "proxies killed"
    expect_some caches "cache kills"
    grep -q 'latency p99.*quiet run.*ratio' "$DIR/caches.out" || fail "no comparison with the quiet run"
    grep -q "processors' time used .*quiet run" "$DIR/caches.out" || fail "no word of the processors"
    grep -q 'of it taken by the host .*quiet run' "$DIR/caches.out" || fail "no word of the host"
    chrt -f 1 true 2>/dev/null || return 0 # nobody may have a timer that no other thread keeps waiting
    grep -q 'a timer was late .* ms; quiet run' "$DIR/caches.out" || fail "no word of the timer"
    [[ $(grep -c '^    less what the machine was away .* ms' "$DIR/caches.out") == 2 ]] ||
        fail "reclaiming and latency are not told without the machine's absences"
}

# Together, as they mostly wait.
damage_is_noticed() {
    local what
    for what in bytes break name vanish segment descriptor; do
        start "$what" "$STORM" --instance "$INSTANCE-$what" --kills 3 --rate 10 --load 150 --seed 9 \
            --no-quiet --keep-cache --spoil "$what"
    done
    for what in bytes break name vanish segment descriptor; do
        expect_end "$what" 1
        grep -q '^To repeat: --seed 9' "$DIR/$what.err" || fail "$what: no word of how to repeat it"
        expect_no_names "$INSTANCE-$what"
    done
    expect_some bytes "wrong bytes"
    expect_some "break" "broken responses, unharmed proxies"
    expect_some name "lost names"
    expect_some vanish "lost names"
    expect_some segment "leaked segments"
    expect_some descriptor "leaked descriptors"
    expect_number segment "wrong bytes" 0
}

interruption_cleans_up() { # SIGNAL STATUS
    start interrupted "$STORM" --instance "$INSTANCE" --crash 5 --no-quiet --seed 10
    await_line interrupted Storm >/dev/null
    kill "-$1" "${PID[interrupted]}"
    expect_end interrupted "$2"
    expect_no_names "$INSTANCE"
}

wrong_usage_is_refused() {
    local arguments
    while read -ra arguments; do
        start usage "$E2E_ROOT/scripts/multi_proxy.sh" "${arguments[@]}"
        expect_end usage 2
    done <<'END'
--crash
--crash 0
--crash 1 --kills 5
--crash 1 --proxies 1
--crash 1 --origin http://127.0.0.1:1
--seed 3
END
}

proxies_are_killed
caches_are_killed
damage_is_noticed
interruption_cleans_up INT 130
interruption_cleans_up TERM 143
wrong_usage_is_refused
e2e_done

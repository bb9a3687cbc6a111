#!/usr/bin/env bash
# The cache is replaced by one of another protocol version and back again: proxies are refused by name, serve from
# the origin, and register again with the one that they understand. None is restarted, no request is lost.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin upgrade

fetch_from_both() { # PATH SIZE
    local name
    for name in first second; do
        get_ok "$DIR/body" "http://${HTTP[$name]}$1?size=$2"
        cmp "$DIR/body" <(generated "$2") >&2 || fail "bytes differ through $name"
        getfile_ok "$DIR/body" "${GETFILE[$name]}" "$1?size=$2"
        cmp "$DIR/body" <(generated "$2") >&2 || fail "bytes differ through $name, over GETFILE"
    done
}

refused_by_name() { # PROXY TIMES: it has said so that often
    (($(grep -c 'another protocol version' "$DIR/$1.err") >= $2))
}

start_origin --max-age 3600
start_cache --memory 64M
start_proxy first
start_proxy second
await_proxies 2
fetch_from_both /before 100000
wait_until "it is stored" is_hit second "/before?size=100000"
expect_origin '.by_path["/before"]' 1

round=0
for ending in TERM KILL; do
    round=$((round + 1))
    send cache "$ending"
    await_end cache
    start next "$BIN/cache_server_next" --instance "$INSTANCE"
    await_line next ready >/dev/null
    wait_until "the first is refused by name" refused_by_name first "$round"
    wait_until "the second is refused by name" refused_by_name second "$round"
    fetch_from_both "/during$round" 50000
    expect_origin ".by_path[\"/during$round\"]" 4
    status=0
    cache_ctl stats >"$DIR/ctl.out" 2>"$DIR/ctl.err" || status=$?
    expect_eq "exit status of cache_ctl" "$status" 2
    expect_match "its message" "$(cat "$DIR/ctl.err")" 'version'
    send next "$ending"
    await_end next
    start_cache --memory 64M
    await_proxies 2
    expect_cache .cache.registrations_refused 0
    fetch_from_both "/after$round" 100000
    wait_until "it is stored" is_hit first "/after$round?size=100000"
    wait_until "the other finds it" is_hit second "/after$round?size=100000"
done
for name in first second; do
    is_alive "${PID[$name]}" || fail "the proxy $name has ended"
done
wait_until "no object is pinned any more" cache_shows .cache.pins 0
stop first
stop second
stop cache
e2e_done

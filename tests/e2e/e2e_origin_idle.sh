#!/usr/bin/env bash
# A connection to the origin stays watched between two fetches, which spares both of them epoll_ctl(2); when the
# origin closes it meanwhile, it is watched no more, and the next fetch does without it.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin origin-idle

FILE='/file?size=1000'

watched() { # how many descriptors the proxy's epoll instances watch
    local fdinfo
    for fdinfo in /proc/"${PID[proxy]}"/fdinfo/*; do cat "$fdinfo"; done 2>/dev/null | grep -c '^tfd:' || true
}

are_watched() { # NUMBER
    [[ $(watched) == "$1" ]]
}

start_origin
start_proxy proxy
before=$(watched)
[[ $before -gt 0 ]] || skip "the proxy's descriptors are not visible to this user"

get_ok "$DIR/body" "http://${HTTP[proxy]}$FILE"
wait_until "its client has gone" are_watched $((before + 1))
get_ok "$DIR/body" "http://${HTTP[proxy]}$FILE"
expect_origin .requests 2
wait_until "its client has gone again" are_watched $((before + 1))

stop origin
wait_until "the origin's connection is watched no more" are_watched "$before"
get_status 502 "$DIR/body" "http://${HTTP[proxy]}$FILE"
start_origin --listen "$ORIGIN"
get_ok "$DIR/body" "http://${HTTP[proxy]}$FILE"
cmp "$DIR/body" <(generated 1000) >&2 || fail "bytes differ"
e2e_done

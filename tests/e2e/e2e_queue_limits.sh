#!/usr/bin/env bash
# Where the host or the user is allowed no further message queue, clear words that name the limit, and whoever
# needs a queue gets one when there is room again. The story runs in an IPC namespace of its own, with room for few
# queues. Root is not always bound by it, so programs run as a user of the story's own.
source "$(dirname "$0")/../support/e2e.sh"

MAX=/proc/sys/fs/mqueue/queues_max
if [[ ${1:-} != inside ]]; then
    [[ $(id -u) -eq 0 ]] || skip "only root may lower the limit"
    few="echo 1 >$MAX"
    unshare --ipc sh -c "$few" 2>/dev/null || skip "no IPC namespace is permitted here"
    exec unshare --ipc sh -c "$few && exec bash \"\$0\" inside" "$0"
fi
e2e_begin queues

USER_ID=$((60000 + $$ % 5000)) # whose queues nobody else counts
as_user=(setpriv "--reuid=$USER_ID" "--regid=$USER_ID" --clear-groups)
cp "$BIN/cache_server" "$BIN/proxy_client" "$BIN/cache_ctl" "$DIR/"
chmod 711 "$DIR"
chmod 755 "$DIR/cache_server" "$DIR/proxy_client" "$DIR/cache_ctl"

ctl() {
    "${as_user[@]}" "$DIR/cache_ctl" --instance "$INSTANCE" "$@"
}

ctl_shows() { # JQ_EXPRESSION VALUE
    [[ $(ctl stats --json 2>/dev/null | gojq -r "$1") == "$2" ]]
}

serve() { # starts the cache
    start cache "${as_user[@]}" "$DIR/cache_server" --instance "$INSTANCE"
    await_line cache ready >/dev/null
}

refused() { # LIMIT PROGRAM [OPTION...]: exits 1 and names the limit
    local status=0 limit=$1
    shift
    timeout "$DEADLINE" "${as_user[@]}" "${with[@]}" "$DIR/$1" --instance "$INSTANCE" "${@:2}" \
        >"$DIR/out" 2>"$DIR/err" || status=$?
    expect_eq "exit status of $1" "$status" 1
    expect_match "its message" "$(cat "$DIR/err")" "$limit"
    expect_eq "names left by $1" "$(find /dev/shm -name "larder.$INSTANCE.*")" ""
}

# ---- the host's limit, at start ----

with=()
start_origin --max-age 3600
echo 0 >$MAX
refused queues_max cache_server
echo 1 >$MAX
serve
refused queues_max proxy_client --listen 127.0.0.1:0 --origin http://127.0.0.1:9
refused queues_max cache_ctl ping

# ---- the user's limit, at start ----

echo 10 >$MAX
with=(prlimit --msgqueue=1000:)
refused RLIMIT_MSGQUEUE proxy_client --listen 127.0.0.1:0 --origin http://127.0.0.1:9
refused RLIMIT_MSGQUEUE cache_ctl ping
stop cache
refused RLIMIT_MSGQUEUE cache_server
with=()

# ---- each of them reached while a proxy runs: it needs a new queue when a new cache comes ----

says() { # WORDS TIMES
    (($(grep -c "$1" "$DIR/proxy.err") >= $2))
}

is_hit_again() {
    get_ok "$DIR/body" "$URL/x?size=1000"
    [[ $(cache_status) =~ ^larder\;\ *hit ]]
}

without_room() { # WORDS: the cache dies, the next one comes, and the proxy can make no queue
    kill_hard cache
    wait_until "the proxy says that there is no room" says "$1" 1
    serve
    get_ok "$DIR/body" "$URL/x?size=1000"
    cmp "$DIR/body" <(generated 1000) >&2 || fail "bytes differ without a queue"
    expect_forwarded
}

with_room_again() {
    wait_until "the proxy has registered again" ctl_shows .cache.proxies 1
    wait_until "it uses the cache" is_hit_again
    is_alive "${PID[proxy]}" || fail "the proxy has ended"
}

serve
start proxy "${as_user[@]}" "$DIR/proxy_client" --instance "$INSTANCE" --listen 127.0.0.1:0 --origin "http://$ORIGIN"
HTTP[proxy]=$(await_line proxy "listening http")
URL=http://${HTTP[proxy]}
with_room_again

echo 1 >$MAX # the dead cache's own, which the next one takes over
without_room queues_max
echo 10 >$MAX
with_room_again

"${as_user[@]}" prlimit --pid "${PID[proxy]}" --msgqueue=0: # the soft limit
without_room RLIMIT_MSGQUEUE
"${as_user[@]}" prlimit --pid "${PID[proxy]}" --msgqueue=819200:
with_room_again
stop proxy
stop cache
e2e_done

#!/usr/bin/env bash
# Where the host allows no further message queue, clear words that name the limit. The story runs in an IPC
# namespace of its own, with room for one queue: the cache's. Root is not bound by it, so programs run as nobody.
source "$(dirname "$0")/../support/e2e.sh"

if [[ ${1:-} != inside ]]; then
    [[ $(id -u) -eq 0 ]] || skip "only root may lower the limit"
    few='echo 1 >/proc/sys/fs/mqueue/queues_max'
    unshare --ipc sh -c "$few" 2>/dev/null || skip "no IPC namespace is permitted here"
    # shellcheck disable=SC2016 # for the inner shell
    exec unshare --ipc sh -c "$few"' && exec bash "$0" inside' "$0"
fi
e2e_begin queues

as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
cp "$BIN/cache_server" "$BIN/proxy_client" "$BIN/cache_ctl" "$DIR/"
chmod 711 "$DIR"
chmod 755 "$DIR/cache_server" "$DIR/proxy_client" "$DIR/cache_ctl"

refused() { # PROGRAM [OPTION...]: exits 1 and names the limit
    local status=0
    timeout "$DEADLINE" "${as_nobody[@]}" "$DIR/$1" --instance "$INSTANCE" "${@:2}" >"$DIR/out" 2>"$DIR/err" ||
        status=$?
    expect_eq "exit status of $1" "$status" 1
    expect_match "its message" "$(cat "$DIR/err")" 'queues_max'
    expect_eq "names left by $1" "$(find /dev/shm -name "larder.$INSTANCE.*")" ""
}

"${as_nobody[@]}" "$DIR/cache_server" --instance "$INSTANCE" >"$DIR/cache.out" 2>"$DIR/cache.err" &
PID[cache]=$!
wait_until "the cache is ready" grep -q ready "$DIR/cache.out"
refused proxy_client --listen 127.0.0.1:0 --origin http://127.0.0.1:9
refused cache_ctl ping
stop cache
e2e_done

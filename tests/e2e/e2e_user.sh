#!/usr/bin/env bash
# --user: started as root, a proxy binds its ports and then becomes somebody else for good, and so does a cache.
# The story runs in a network namespace of its own, where every port is free.
source "$(dirname "$0")/../support/e2e.sh"

if [[ ${1:-} != inside ]]; then
    [[ $(id -u) -eq 0 ]] || skip "only root can become another user"
    up='ip link set lo up'
    unshare --net sh -c "$up" 2>/dev/null || skip "no network namespace is permitted here (or there is no ip)"
    # shellcheck disable=SC2016 # for the inner shell
    exec unshare --net sh -c "$up"' && exec bash "$0" inside' "$0"
fi
e2e_begin user

NOBODY=65534
NONE=0000000000000000
USER_OPTION=(--user "$NOBODY:$NOBODY")
as_nobody=(setpriv --reuid="$NOBODY" --regid="$NOBODY" --clear-groups)
chmod 711 "$DIR"
mkdir "$DIR/logs"
chown "$NOBODY" "$DIR/logs"
install -m 755 "$BIN/cache_server" "$BIN/proxy_client" "$BIN/cache_ctl" "$DIR/"

cache_ctl() { # as the cache's user, whom it answers
    "${as_nobody[@]}" "$DIR/cache_ctl" --instance "$INSTANCE" "$@"
}

# A port below 1024 takes a privilege here, whatever the host says.
echo 1024 >/proc/sys/net/ipv4/ip_unprivileged_port_start

refused() { # STATUS WORDS COMMAND...
    local status=0
    timeout "$DEADLINE" "${@:3}" >"$DIR/out" 2>"$DIR/err" </dev/null || status=$?
    expect_eq "exit status of ${*:3}" "$status" "$1"
    expect_match "its message" "$(cat "$DIR/err")" "$2"
    expect_eq "names left" "$(ipc_names)" ""
}

# ---- refusals ----

proxy_options=(--instance "$INSTANCE" --listen 127.0.0.1:80 --origin http://127.0.0.1:9)
refused 2 'only root' "${as_nobody[@]}" "$DIR/proxy_client" "${proxy_options[@]}" --user "$NOBODY:$NOBODY"
refused 2 'only root' "${as_nobody[@]}" "$DIR/cache_server" --instance "$INSTANCE" --user "$NOBODY:$NOBODY"
refused 2 'no such user' "$BIN/proxy_client" "${proxy_options[@]}" --user no-such-user
refused 2 'no such user' "$BIN/cache_server" --instance "$INSTANCE" --user no-such-user
refused 2 'nothing would be given up' "$BIN/cache_server" --instance "$INSTANCE" --user root
refused 1 '127\.0\.0\.1:80: Permission denied.*--user' "${as_nobody[@]}" "$DIR/proxy_client" "${proxy_options[@]}"
# As root it could write there; the user cannot, and is told before it serves.
refused 1 '/root/larder\.log.*Permission denied' "$BIN/proxy_client" "${proxy_options[@]}" "${USER_OPTION[@]}" \
    --access-log /root/larder.log

# ---- cache and proxies of one user ----

ids() { # NAME FIELD: real, effective, saved and file system
    sed -n "s/^$2:[[:space:]]*//p" "/proc/${PID[$1]}/status" | tr '\t' ' '
}

expect_given_up() { # NAME
    local set four="$NOBODY $NOBODY $NOBODY $NOBODY"
    expect_eq "uids of $1" "$(ids "$1" Uid)" "$four"
    expect_eq "gids of $1" "$(ids "$1" Gid)" "$four"
    expect_eq "groups of $1" "$(ids "$1" Groups | xargs)" "$NOBODY"
    for set in CapInh CapPrm CapEff CapBnd CapAmb; do
        expect_eq "$set of $1" "$(ids "$1" "$set")" "$NONE"
    done
    expect_eq "NoNewPrivs of $1" "$(ids "$1" NoNewPrivs)" 1
}

proxy_at() { # NAME HTTP_PORT GETFILE_PORT
    start "$1" "$BIN/proxy_client" --instance "$INSTANCE" --origin "http://$ORIGIN" --listen "127.0.0.1:$2" \
        --getfile "127.0.0.1:$3" "${USER_OPTION[@]}" --access-log "$DIR/logs/$1.log"
    HTTP[$1]=$(await_line "$1" "listening http")
    expect_eq "address of $1" "${HTTP[$1]}" "127.0.0.1:$2"
}

start_origin --max-age 3600
start_cache "${USER_OPTION[@]}"
proxy_at one 80 81
proxy_at two 80 82 # they may share a port, as all were bound by one user
proxy_at three 83 84
await_proxies 3
for name in cache one two three; do
    expect_given_up "$name"
done
expect_eq "owners of the pools" "$(find /dev/shm -name "larder.$INSTANCE.*" -printf '%U\n' | sort -u)" "$NOBODY"
expect_eq "uids that the cache sees" "$(cache_stat '[.proxies[].uid] | unique[]')" "$NOBODY"

get_ok "$DIR/body" "http://127.0.0.1:80/x?size=50000"
expect_forwarded
wait_until "it is a hit through another" is_hit three "/x?size=50000"
expect_same "$DIR/body" <(generated 50000)
getfile_ok "$DIR/body" 127.0.0.1:84 "/x?size=50000"
expect_same "$DIR/body" <(generated 50000)

# The log was created by the user, who can therefore create it again.
expect_eq "owner of the log" "$(stat -c %u "$DIR/logs/three.log")" "$NOBODY"
mv "$DIR/logs/three.log" "$DIR/logs/three.old"
send three HUP
wait_until "the log is made anew" test -e "$DIR/logs/three.log"
expect_eq "owner of the new log" "$(stat -c %u "$DIR/logs/three.log")" "$NOBODY"

# Nobody else gets at an address that root has bound.
refused_address() {
    local status=0
    timeout "$DEADLINE" "${as_nobody[@]}" "$DIR/proxy_client" --instance "$INSTANCE" --origin "http://$ORIGIN" \
        --listen 127.0.0.1:80 >"$DIR/out" 2>"$DIR/err" || status=$?
    expect_eq "exit status" "$status" 1
}
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
refused_address
echo 1024 >/proc/sys/net/ipv4/ip_unprivileged_port_start
expect_match "its message" "$(cat "$DIR/err")" 'Address already in use'

for name in one two three; do
    stop "$name"
done

# ---- the same from a service manager, which gives one capability ----

start four setpriv --reuid="$NOBODY" --regid="$NOBODY" --groups="$NOBODY" --inh-caps=-all,+net_bind_service \
    --ambient-caps=+net_bind_service --bounding-set=-all,+net_bind_service "$DIR/proxy_client" \
    --instance "$INSTANCE" --origin "http://$ORIGIN" --listen 127.0.0.1:85
HTTP[four]=$(await_line four "listening http")
await_proxies 1
for set in CapInh CapPrm CapEff CapAmb; do
    expect_eq "$set of four" "$(ids four "$set")" "$NONE"
done
wait_until "it is a hit" is_hit four "/x?size=50000"
stop four
stop cache

# ---- what the doctor says when they are of different users ----

doctor() {
    "$BIN/cache_ctl" --instance "$INSTANCE" doctor 2>&1 || true
}

proxy_at five 86 87
expect_match "doctor without a cache" "$(doctor)" "sudo -u '?#?(nobody|$NOBODY)'? cache_server --instance $INSTANCE"
start_cache
expect_match "doctor with a cache of root" "$(doctor)" "pool of uid $NOBODY.*serves only uid 0"
stop five
stop cache
e2e_done

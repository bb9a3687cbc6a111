#!/usr/bin/env bash
# The cache gives up everything that it does not need before it serves, and a whole life happens under that.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin sandbox

NOBODY=65534
chmod 711 "$DIR"

# As an ordinary user whoever runs this: only then does it matter whether a process is dumpable.
as_user=()
if [[ $(id -u) -eq 0 ]]; then
    as_user=(setpriv --reuid="$NOBODY" --regid="$NOBODY" --clear-groups)
    install -m 755 "$BIN/cache_server" "$BIN/proxy_client" "$BIN/cache_ctl" "$DIR/"
    BIN_OF_USER=$DIR
else
    BIN_OF_USER=$BIN
fi

# With core dumps allowed as far as they can be, so that a limit of 0 is the cache's own doing.
start_dumping() { # NAME COMMAND...
    # shellcheck disable=SC2016 # for the inner shell
    start "$1" bash -c 'ulimit -S -c "$(ulimit -H -c)"; exec "$@"' sh "${@:2}"
    await_line "$1" ready >/dev/null
}

field() { # NAME FIELD: its value in the status of every thread of the process, each once
    sed -n "s/^$2:[[:space:]]*//p" "/proc/${PID[$1]}/task/"*/status | sort -u
}

expect_field() { # NAME FIELD VALUE
    expect_eq "$2 of $1" "$(field "$1" "$2")" "$3"
}

core_limit() { # NAME: soft and hard
    awk '/^Max core file size/ { print $5, $6 }' "/proc/${PID[$1]}/limits"
}

environment_is_open_to() { # NAME COMMAND...
    "${@:2}" cat "/proc/${PID[$1]}/environ" >/dev/null 2>&1
}

NONE=0000000000000000

expect_locked_up() { # NAME
    local set
    for set in CapInh CapPrm CapEff CapAmb; do
        expect_field "$1" "$set" "$NONE"
    done
    expect_field "$1" NoNewPrivs 1
    expect_eq "core limit of $1" "$(core_limit "$1")" "0 0"
    is_sanitized || expect_field "$1" Seccomp 2
}

# ---- what is given up, as whoever runs this and as an ordinary user ----

start_dumping cache "$BIN/cache_server" --instance "$INSTANCE"
expect_locked_up cache
[[ $(id -u) -ne 0 ]] || expect_field cache CapBnd "$NONE"
expect_match "the log" "$(cat "$DIR/cache.err")" 'msg="ready".* sandbox=(on|partial) '
stop cache

start_dumping cache "${as_user[@]}" "$BIN_OF_USER/cache_server" --instance "$INSTANCE"
expect_locked_up cache
is_sanitized || ! environment_is_open_to cache "${as_user[@]}" || fail "its user can look into the cache"
stop cache

# ---- --no-sandbox leaves it as it was started ----

start_dumping cache "${as_user[@]}" "$BIN_OF_USER/cache_server" --instance "$INSTANCE" --no-sandbox
expect_field cache Seccomp "$(sed -n 's/^Seccomp:[[:space:]]*//p' /proc/self/status)"
expect_field cache NoNewPrivs "$(sed -n 's/^NoNewPrivs:[[:space:]]*//p' /proc/self/status)"
is_sanitized || # which lowers it itself, if asked to
    expect_eq "core limit of cache" "$(core_limit cache)" "$(ulimit -H -c) $(ulimit -H -c)"
environment_is_open_to cache "${as_user[@]}" || fail "without a sandbox the cache is not dumpable"
expect_match "the log" "$(cat "$DIR/cache.err")" 'msg="ready".* sandbox=off '
stop cache

# ---- a life ----

pool_of() { # PROXY
    sed -n 's|.* \(/dev/shm/larder\.[^ ]*\)$|\1|p' "/proc/${PID[$1]}/maps" | sort -u
}

start_origin --max-age 3600
start_cache --memory 64M --max-object 4M
start_proxy one
start_proxy two
await_proxies 2
for size in 100 40000 2000000; do
    get_ok "$DIR/body" "http://${HTTP[one]}/x$size?size=$size"
    expect_forwarded
    wait_until "it is a hit through the other" is_hit two "/x$size?size=$size"
    expect_same "$DIR/body" <(generated "$size")
done
for ((i = 0; i < 30; i++)); do # more than fits
    get_ok "$DIR/body" "http://${HTTP[one]}/y$i?size=3000000"
done
wait_until "objects are evicted" cache_shows '.cache.evictions > 0' true
cache_ctl stats >/dev/null
cache_ctl ping >/dev/null

kill_hard one
await_proxies 1
start_proxy one
await_proxies 2

# Its pool shrinks under the cache, which looks at it again and again. What the proxy left is swept.
send two STOP
truncate -s 0 "$(pool_of two)"
wait_until "the fault is caught" cache_shows .cache.faults_caught 1
send two KILL
await_end two
wait_until "the names are swept" has_peer_pools 1
wait_until "the other is served" is_hit one "/x100?size=100"
is_alive "${PID[cache]}" || fail "the cache died"
expect_locked_up cache
stop one
stop cache
e2e_done

#!/usr/bin/env bash
# cache_ctl doctor says what is wrong and what to type, with its exit status, and removes what the dead have left
# and nothing else. Parts of the story run in namespaces of their own, each as a story of its own.
source "$(dirname "$0")/../support/e2e.sh"

PART=${1:-}
e2e_begin "doctor$PART"

# Programs that other users may run too.
cp "$BIN/cache_server" "$BIN/proxy_client" "$BIN/cache_ctl" "$DIR/"
chmod 711 "$DIR"
chmod 755 "$DIR/cache_server" "$DIR/proxy_client" "$DIR/cache_ctl"

is_root() {
    [[ $(id -u) -eq 0 ]]
}

# Users that nobody else is: what a user's queues may take is counted over all IPC namespaces.
SERVICE=$((200000 + $$ % 100000))
STRANGER=$((300000 + $$ % 100000))
as_service=(setpriv --reuid="$SERVICE" --regid="$SERVICE" --clear-groups)
as_stranger=(setpriv --reuid="$STRANGER" --regid="$STRANGER" --clear-groups)

# Asks the doctor, with a command in front that changes who or where it is. The report is in $DIR/report.
examine() { # STATUS [COMMAND_IN_FRONT...] [-- OPTION...]
    local wanted=$1 status=0 front=()
    shift
    while [[ $# -gt 0 && $1 != -- ]]; do
        front+=("$1")
        shift
    done
    timeout "$DEADLINE" "${front[@]}" "$DIR/cache_ctl" --instance "$INSTANCE" --timeout 2 doctor "${@:2}" \
        >"$DIR/report" 2>"$DIR/report.err" || status=$?
    [[ $status -eq $wanted ]] || fail "exit status $status, wanted $wanted:"$'\n'"$(cat "$DIR/report" "$DIR/report.err")"
    expect_eq "messages" "$(cat "$DIR/report.err")" ""
}

found() { # LEVEL SUBJECT REGULAR_EXPRESSION
    grep -Eq "^$1 +$2 +.*$3" "$DIR/report"
}

says() { # LEVEL SUBJECT REGULAR_EXPRESSION [MEND]
    found "$@" || fail "no line \"$1 $2 $3\" in:"$'\n'"$(cat "$DIR/report")"
    [[ $# -lt 4 ]] || grep -EA1 "^$1 +$2 +.*$3" "$DIR/report" | grep -Eq "^        mend: .*$4" ||
        fail "no mend \"$4\" for \"$1 $2 $3\" in:"$'\n'"$(cat "$DIR/report")"
}

is_silent_about() { # LEVEL SUBJECT REGULAR_EXPRESSION
    ! found "$@" || fail "a line \"$1 $2 $3\" in:"$'\n'"$(cat "$DIR/report")"
}

# The machine that runs the tests may have weak points of its own, which are no business of the story.
UNRELATED='^(WARN|FAIL) +(RemoveIPC|shm|queues|queue bytes) '
examine_healthy() { # [COMMAND_IN_FRONT...] [-- OPTION...]
    local status=0
    (examine 0 "$@") 2>"$DIR/unhealthy" || status=$?
    [[ $status -ne 0 ]] || return 0
    grep -Eq "$UNRELATED" "$DIR/report" || fail "$(cat "$DIR/unhealthy")"
    expect_eq "troubles" "$(grep -E '^(WARN|FAIL) ' "$DIR/report" | grep -Ev "$UNRELATED" || true)" ""
}

report_says() { # EXIT_STATUS LEVEL SUBJECT REGULAR_EXPRESSION: asks until it does
    local status=0
    "$DIR/cache_ctl" --instance "$INSTANCE" --timeout 2 doctor >"$DIR/report" 2>&1 || status=$?
    [[ $status -eq $1 ]] && found "${@:2}"
}

idle_proxy() { # NAME
    start "$1" "$BIN/proxy_client" --instance "$INSTANCE" --listen 127.0.0.1:0 --origin http://127.0.0.1:9
    await_line "$1" listening >/dev/null
}

cache_of() { # COMMAND_IN_FRONT...: one that another user runs
    : >"$DIR/cache.out" # what an earlier one has said does not count
    "$@" "$DIR/cache_server" --instance "$INSTANCE" >"$DIR/cache.out" 2>"$DIR/cache.err" &
    PID[cache]=$!
    wait_until "the cache is ready" grep -q ready "$DIR/cache.out"
}

# ---- parts in namespaces of their own ----

part_queues() { # an IPC namespace with room for one queue
    cache_of "${as_service[@]}"
    examine 1 "${as_service[@]}"
    says FAIL queues '1 of 1 exist.*no proxy can register' 'sysctl -w fs.mqueue.queues_max=4'
    says FAIL answer 'not asked.*queues_max' 'sysctl -w fs.mqueue.queues_max'
    says ok cache "alive: pid ${PID[cache]} "

    echo 100 >/proc/sys/fs/mqueue/queues_max
    examine_healthy "${as_service[@]}"
    examine 1 "${as_service[@]}" prlimit --msgqueue=7000
    says FAIL 'queue bytes' "uid $SERVICE.* take .*5\\.9 KiB of 6\\.8 KiB.*no room" 'ulimit -q'
    says FAIL answer 'not asked.*RLIMIT_MSGQUEUE' 'ulimit -q'
    examine 1 "${as_service[@]}" prlimit --msgqueue=10000
    says WARN 'queue bytes' 'of 9\.8 KiB' 'ulimit -q'
    says ok answer 'in [0-9]+ us'

    echo 4 >/proc/sys/fs/mqueue/msg_max
    examine 1 "${as_service[@]}"
    says FAIL 'queue sizes' 'msg_max is 4, Larder needs 10' 'sysctl -w fs.mqueue.msg_max=10'
    stop cache
}

part_shm() { # a mount namespace with 1 MiB of shared memory
    start_cache --memory 64M
    examine 1
    says WARN shm 'has 1\.0 MiB, .*default size does not fit' 'mount -o remount,size=128M /dev/shm'
    says ok answer 'in [0-9]+ us'
    head -c 2M /dev/zero >/dev/shm/other 2>/dev/null || true
    examine 1
    says FAIL shm ' 0 B free: no pool fits' 'mount -o remount'
    says FAIL answer 'not asked.*/dev/shm' 'mount -o remount'
    says ok cache "alive: pid ${PID[cache]} "
    rm /dev/shm/other
    stop cache
}

part_docker() { # one with what Docker gives
    start_cache --memory 64M
    examine_healthy
    says note shm '64 MiB is what Docker gives' 'docker run --shm-size'
    stop cache
}

part_logind() { # a mount namespace in which systemd seems to run
    local conf=/run/systemd/logind.conf.d/zzzz-larder.conf
    mkdir -p /run/systemd/system "${conf%/*}"
    cache_of "${as_stranger[@]}"
    printf '[Login]\nRemoveIPC=yes\n' >"$conf"
    examine 1 "${as_stranger[@]}"
    says WARN RemoveIPC "uid $STRANGER when its last session ends" 'RemoveIPC=no'
    printf '[Login]\nRemoveIPC=no\n' >"$conf"
    examine 0 "${as_stranger[@]}"
    is_silent_about WARN RemoveIPC ''
    stop cache
}

if [[ -n $PART ]]; then
    "part_$PART"
    e2e_done
    exit
fi

run_part() { # PART SETUP COMMAND...: the commands make the namespace, the setup runs in it
    local part=$1 setup=$2
    shift 2
    if ! "$@" sh -c "$setup" 2>/dev/null; then
        echo "part $part is not permitted here"
        return 0
    fi
    # shellcheck disable=SC2016 # for the inner shell
    "$@" sh -c "$setup"' && exec bash "$0" "$1"' "$0" "$part" || fail "part $part"
}

# ---- wrong usage ----

for wrong in "doctor --frobnicate" "ping --sweep" "stats --sweep" "doctor --all-instances" "doctor doctor"; do
    status=0
    read -ra words <<<"$wrong"
    "$BIN/cache_ctl" --instance "$INSTANCE" "${words[@]}" >"$DIR/out" 2>"$DIR/err" || status=$?
    expect_eq "exit status of $wrong" "$status" 2
done

# ---- no cache ----

examine 1
says FAIL cache "there is no queue /larder.$INSTANCE" "cache_server --instance $INSTANCE"
says ok 'stale names' none
tail -n 1 "$DIR/report" | grep -Eq "^instance $INSTANCE: .* 1 failure: " || fail "$(tail -n 1 "$DIR/report")"
examine 1 -- --json
expect_eq "the failure in JSON" "$(gojq -r '.findings[] | select(.level == "FAIL") | .subject' "$DIR/report")" cache

# ---- all is well ----

start_cache --memory 64M
idle_proxy living
idle_proxy doomed
await_proxies 2
examine_healthy
says ok cache "alive: pid ${PID[cache]} of uid $(id -u)"
says ok answer 'in [0-9]+ us'
says ok protocol 'version [0-9]+'
says ok proxies '2 registered, 0 of them stalled'
says ok descriptors 'may have [0-9]+'
says ok 'shm mount' "is the cache's"
says ok 'queue sizes' '10 of 512 are needed'
says ok 'living names' "2 peers .* pids.* ${PID[living]}"
says ok 'living names' " ${PID[doomed]}"
says ok 'stale names' none
examine_healthy -- --json
expect_eq "failures in JSON" "$(gojq .failures "$DIR/report")" 0
expect_eq "levels" "$(gojq -r '.findings[0] | .level, .subject, .mend' "$DIR/report" | tr '\n' ' ')" "ok cache null "

# ---- frozen ----

send doomed STOP
wait_until "the stopped proxy is found" report_says 1 WARN proxy \
    "pid ${PID[doomed]} of tenant default is stalled: it is stopped"
says WARN proxy "pid ${PID[doomed]}" "kill -CONT ${PID[doomed]}"
send cache STOP
examine 1
says FAIL answer "the cache is stopped: pid ${PID[cache]}" "kill -CONT ${PID[cache]}"

# ---- killed: the names stay, and the doctor knows whose they are ----

send living STOP # or it would remove the names of the dead itself
DOOMED=${PID[doomed]}
kill_hard doomed
kill_hard cache
LEFT="\\(pool and queue, 2\\.2 MiB\\), left by pid $DOOMED of uid $(id -u)"
ORPHAN="/larder\\.$INSTANCE \\(command queue of a dead cache"
wait_until "the names are old enough" report_says 1 WARN 'stale name' "$ORPHAN"
says FAIL cache "the cache is dead: nobody holds queue /larder.$INSTANCE" "cache_server --instance $INSTANCE"
says WARN 'stale name' "$LEFT" "cache_ctl --instance $INSTANCE doctor --sweep"
says ok 'living names' "1 peer .* pids ${PID[living]}$"

examine 1 -- --sweep
says ok swept "removed .*$LEFT"
says ok swept "removed $ORPHAN"
says FAIL cache 'there is no queue'
says ok 'stale names' none
says ok 'living names' "1 peer .* pids ${PID[living]}$"
expect_eq "names that are left" "$(ipc_names | grep -c '^/dev/shm/')" 1
examine 1 -- --sweep
says ok swept 'nothing to remove'

# What lives is left alone, also by a cache that does not know it.
start_cache --memory 64M
wait_until "the proxy's silence is found" report_says 1 WARN proxy \
    "pid ${PID[living]} has a pool, but is not registered"
examine 1 -- --sweep
says ok swept 'nothing to remove'
says ok cache "alive: pid ${PID[cache]}"
send living CONT
await_proxies 1
wait_until "all is well again" examine_healthy

# ---- half a pair, and what is no pool ----

send living STOP
send cache STOP
PEER=larder.$INSTANCE.00000000000000aa
truncate -s 5000 "/dev/shm/$PEER"
chmod 600 "/dev/shm/$PEER"
mkfifo "/dev/shm/${PEER%aa}bb"
idle_proxy orphan
POOL=$(find /dev/shm -name "larder.$INSTANCE.*" -newer "/dev/shm/$PEER" -type f)
rm "$POOL"
kill_hard orphan
wait_until "the pool is old enough" report_says 1 WARN 'stale name' "$PEER \\(pool without a queue"
LONE='queue without a pool'
if found note 'queue names' 'only queues of pools'; then # then it needs a pool to be found
    LONE='pool and queue'
    truncate -s 5000 "$POOL"
    chmod 600 "$POOL"
fi
wait_until "the queue is old enough" report_says 1 WARN 'stale name' "${POOL##*/} \\($LONE"
says WARN 'strange name' "${PEER%aa}bb is no regular file" 'rm -r'
examine 1 -- --sweep
says ok swept "removed /$PEER \\(pool without a queue"
says ok swept "removed /${POOL##*/} \\($LONE"
says WARN 'strange name' "${PEER%aa}bb"
[[ ! -e /dev/shm/$PEER ]] || fail "the pool is still there"
rm "/dev/shm/${PEER%aa}bb"
send cache CONT
send living CONT
stop living
stop cache

# ---- other users and other namespaces ----

finds_half_elsewhere() {
    examine 1 unshare --ipc
    found FAIL proxy "pid ${PID[elsewhere]} has its queue in another IPC namespace"
}

if is_root; then
    cache_of "${as_service[@]}"
    examine_healthy
    says note user "is of uid $SERVICE.* proxies of this uid, 0" 'sudo -u .* proxy_client'
    says ok answer 'in [0-9]+ us'
    examine 1 "${as_stranger[@]}"
    says FAIL cache "may not be opened by uid $STRANGER; .* pid ${PID[cache]}, .* uid $SERVICE" 'sudo -u .* proxy_client'
    examine_healthy "${as_service[@]}"
    says ok user "is of this uid, $SERVICE"
    # The process is not dumpable, or it is: either is fine.
    found note namespaces "pid ${PID[cache]} cannot be seen" || says ok namespaces "are the cache's"
    stop cache

    start_cache --memory 64M
    idle_proxy elsewhere
    await_proxies 1
    if unshare --ipc true 2>/dev/null; then
        examine 1 unshare --ipc
        says FAIL cache "pid ${PID[cache]} of uid 0 .* in another IPC namespace" "nsenter --target ${PID[cache]} --ipc"
        wait_until "its pool is old enough" finds_half_elsewhere
        # shellcheck disable=SC2016 # for the inner shell
        examine 1 unshare --mount sh -c 'mount -t mqueue none /mnt && exec unshare --ipc "$@"' sh
        says note 'queue names' '/mnt shows the queues of another IPC namespace' 'mount -t mqueue none /dev/mqueue'
    fi
    if unshare --mount true 2>/dev/null; then
        # shellcheck disable=SC2016 # for the inner shell
        examine 1 unshare --mount sh -c 'mount -t tmpfs none /dev/shm && exec "$@"' sh
        says FAIL 'shm mount' 'is another mount' "nsenter --target ${PID[cache]} --mount"
        says FAIL registration 'pool is missing' 'docker run --ipc=container'
        # shellcheck disable=SC2016 # for the inner shell
        examine_healthy unshare --mount sh -c 'mount -t mqueue none /mnt && exec "$@"' sh
        says ok 'queue names' 'listed in /mnt'
    fi
    if unshare --pid --fork --mount-proc true 2>/dev/null; then
        examine_healthy unshare --pid --fork --mount-proc
        says note cache 'alive in a pid namespace that cannot be seen'
        says ok answer 'in [0-9]+ us'
    fi
    stop elsewhere
    stop cache

    run_part queues 'echo 1 >/proc/sys/fs/mqueue/queues_max' unshare --ipc
    run_part logind 'mount -t tmpfs none /run' unshare -m
fi
own_mounts=(unshare -m)
is_root || own_mounts=(unshare -rm)
run_part shm 'mount -t tmpfs -o size=1M none /dev/shm' "${own_mounts[@]}"
run_part docker 'mount -t tmpfs -o size=64M none /dev/shm' "${own_mounts[@]}"
e2e_done

# shellcheck shell=bash
# Processes, ports and words: what every part of bench/run.sh uses.
# shellcheck disable=SC2034,SC2154 # shared with the other parts

readonly start_seconds=20
problems=             # what went wrong with Larder itself; peers that fail are only noted
declare -a started=() # process ids, in the order of starting
declare -A trees=()   # of each server: the roots of its processes
declare -A base=()    # of each server: ADDRESS:PORT
declare -A reason=()  # of each peer that cannot be measured: why

say() { printf 'bench: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# ---- tools ---------------------------------------------------------------------------------------

has() { command -v "$1" >/dev/null; }

check_tools() {
    local tool
    PATH=$PATH:/usr/sbin
    for tool in wrk taskset jq curl; do
        has "$tool" || "$root"/scripts/setup.sh bench-load || true
        has "$tool" || fail "$tool is missing, and cannot be installed"
    done
    [[ -z $write ]] || has gnuplot || "$root"/scripts/setup.sh bench-plots || true
}

readonly tcp_setting=/proc/sys/net/ipv4/tcp_congestion_control

# TCP as Linux has it unless told otherwise. A host with BBR paces over loopback too: timers then send the larger
# answers, and whoever has the processor when they fire is charged for it. As root everything runs in a network
# namespace of its own therefore; otherwise the tables say what it was.
isolate() { # isolate OPTION...: in such a host this program starts anew
    [[ $(<$tcp_setting) != cubic && -z ${LARDER_BENCH_ISOLATED:-} && $(id -u) -eq 0 ]] || return 0
    has unshare && has ip && unshare --net true || return 0
    install_all # there is no way to the archive from in there
    LARDER_BENCH_ISOLATED=yes exec unshare --net "$root/bench/run.sh" "$@"
}

install_all() {
    local peer
    [[ -n ${LARDER_BIN:-} ]] || "$root"/scripts/setup.sh run
    for peer in "${peers[@]}"; do
        install_peer "$peer" || true
    done
    [[ " ${wanted_cases[*]} " != *" ipc"* ]] || has memcached || "$root"/scripts/setup.sh bench-memcached || true
}

# A namespace may choose among what its host allows to everybody (ip-sysctl, tcp_allowed_congestion_control): not always
# cubic, but reno, which does not pace either. Where even that is refused, the tables say what it was.
set_tcp() {
    local name
    [[ -n ${LARDER_BENCH_ISOLATED:-} ]] || return 0
    ip link set lo up
    for name in cubic reno; do
        ! { echo "$name" >$tcp_setting; } 2>/dev/null || return 0
    done
}

pick_cores() {
    local cpus
    mapfile -t cpus < <(taskset -cp $$ | sed 's/.*: //' | tr ',' '\n' |
        awk -F- '{ for (i = $1; i <= ($2 == "" ? $1 : $2); i++) print i }')
    [[ ${#cpus[@]} -ge 2 ]] || fail "two cores are needed, one for the servers and one for the load"
    server_core=${cpus[0]}
    client_core=${cpus[1]}
}

build() {
    if [[ -n ${LARDER_BIN:-} ]]; then
        bin=$(cd "$LARDER_BIN" && pwd)
        return
    fi
    bin=$root/build/bin
    "$root"/scripts/setup.sh run
    (cd "$root" && cmake --preset release &&
        cmake --build --preset release --target cache_server proxy_client larder_origin bench_floor bench_fill \
            bench_cold bench_ipc bench_memcached bench_micro bench_store) >"$work/build.log" 2>&1 ||
        { tail -n 40 "$work/build.log" >&2 && fail "the build failed (above)"; }
}

prepare() {
    set_tcp
    pick_cores
    umask 022
    work=$(mktemp -d "${TMPDIR:-/tmp}/larder-bench.XXXXXX")
    tmpfs=$(mktemp -d /dev/shm/larder-bench.XXXXXX)
    chmod 711 "$work" "$tmpfs" # Traffic Server is another user
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    instance=bench-$$
    ulimit -n "$(ulimit -Hn)"
    count_instructions=
    ! can_count_instructions || count_instructions=yes
    build
    write_wrk_scripts
}

# ---- processes -----------------------------------------------------------------------------------

start() { # start CORE NAME COMMAND...: its standard output can be read from descriptor $lines
    local core=$1 name=$2
    shift 2
    [[ -z ${lines:-} ]] || exec {lines}<&-
    mkfifo "$work/stdout"
    setsid taskset -c "$core" "$@" >"$work/stdout" 2>"$work/$name.log" </dev/null &
    started+=("$!")
    exec {lines}<"$work/stdout"
    rm "$work/stdout"
}

start_quiet() { # start_quiet CORE NAME COMMAND...: its standard output goes into its log
    local core=$1 name=$2
    shift 2
    setsid taskset -c "$core" "$@" >"$work/$name.log" 2>&1 </dev/null &
    started+=("$!")
}

expect_line() { # expect_line NAME WORDS: the next line begins with WORDS; $rest is what follows
    local line=
    if ! IFS= read -r -t "$start_seconds" -u "$lines" line || [[ $line != "$2"* ]]; then
        tail -n 15 "$work/$1.log" >&2
        fail "$1 did not start"
    fi
    rest=${line#"$2"}
    rest=${rest# }
}

is_alive() { # is_alive PID: and no zombie, which its parent may never wait for
    local line
    { read -r line <"/proc/$1/stat"; } 2>/dev/null && [[ ${line##*) } != Z* ]]
}

forget() { # forget PID: it has been waited for
    local i
    for i in "${!started[@]}"; do
        [[ ${started[i]} != "$1" ]] || unset "started[$i]"
    done
    started=("${started[@]}")
}

stop() { # stop PID: and all that it started; those that have not ended after ten seconds are killed
    local deadline=$((SECONDS + 10)) pid=$1 other
    local -a family=()
    mapfile -t family < <(family_of "$pid")
    kill -TERM "$pid" 2>/dev/null || true
    for other in "${family[@]}"; do
        while is_alive "$other" && ((SECONDS < deadline)); do
            sleep 0.02
        done
        ! is_alive "$other" || kill -KILL "$other" 2>/dev/null || true
    done
    wait "$pid" 2>/dev/null || true
    forget "$pid"
}

stop_all() {
    while [[ ${#started[@]} -gt 0 ]]; do
        stop "${started[-1]}"
    done
    trees=() base=()
    rm -rf "${tmpfs:?}"/*
}

clean_up() {
    local status=$?
    trap - EXIT
    trap '' INT TERM HUP
    set +e
    stop_all
    rm -rf "$work" "$tmpfs"
    exit "$status"
}

family_of() { # family_of PID...: these processes and all their descendants, one a line
    local pid
    local -a queue=("$@") children
    while [[ ${#queue[@]} -gt 0 ]]; do
        pid=${queue[0]}
        queue=("${queue[@]:1}")
        [[ -d /proc/$pid ]] || continue
        echo "$pid"
        read -ra children < <(cat "/proc/$pid/task/"*/children 2>/dev/null | tr '\n' ' ') || true
        queue+=("${children[@]}")
    done
}

# So that a signal need not wait for it to end, as it must for commands in the foreground.
attend() { # attend COMMAND...
    local status=0 pid
    "$@" </dev/null &
    pid=$!
    started+=("$pid")
    wait "$pid" || status=$?
    forget "$pid"
    return "$status"
}

# ---- ports ---------------------------------------------------------------------------------------

# The peers cannot be told to take any free port. Below the range that the kernel gives to clients.
free_port() {
    local port try
    for try in {1..50}; do
        port=$((20000 + (RANDOM + try) % 10000))
        if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    return 1
}

answers() { # answers ADDRESS:PORT: with anything that is HTTP
    curl -q -s --noproxy '*' --max-time 5 -o "$work/answer" "http://$1/ping?size=1"
}

wait_until_answers() { # wait_until_answers PID ADDRESS:PORT
    local deadline=$((SECONDS + start_seconds))
    until answers "$2"; do
        is_alive "$1" && ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

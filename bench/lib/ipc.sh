# shellcheck shell=bash
# The IPC alone, beside memcached on a unix socket; and the micro-benchmarks.
# shellcheck disable=SC2034,SC2154 # shared with the other parts

readonly ipc_depths=(1 8 32)
# Each side has a processor to itself, so both may look longer for what comes soon: per cent of it.
readonly ipc_spin=50
readonly ipc_sizes=(1024 65536 1048576)

ipc_keys() { # objects of that size: 32 MiB of the largest, so that both hold all of them
    case $1 in
    1024) echo 1000 ;;
    65536) echo 500 ;;
    *) echo 32 ;;
    esac
}

start_memcached() { # one thread (-t 1); -I: the largest item, above its default of 1 MiB; -m: megabytes
    local user=() deadline=$((SECONDS + start_seconds))
    [[ $(id -u) -ne 0 ]] || user=(-u root)
    has memcached || "$root"/scripts/setup.sh bench-memcached || true
    has memcached || return 1
    start_quiet "$server_core" memcached memcached -s "$work/memcached.socket" -t 1 -I 2m -m 256 "${user[@]}"
    until [[ -S $work/memcached.socket ]]; do
        is_alive "${started[-1]}" && ((SECONDS < deadline)) || return 1
        sleep 0.02
    done
    trees[memcached]=${started[-1]}
}

# measure_ipc SERVER DEPTH SIZE: appends a line to result-ipc-SERVER-DEPTH-SIZE:
#   operations a second, MB/s, processor time of client and server (us an operation), p50, p99 (us), wrong pieces
measure_ipc() {
    local program said
    case $1 in
    larder) program=("$bin/bench_ipc" --instance "$instance" --spin "$ipc_spin") ;;
    memcached) program=("$bin/bench_memcached" --socket "$work/memcached.socket") ;;
    esac
    said=$(timeout $((seconds + 120)) taskset -c "$client_core" "${program[@]}" --depth "$2" --size "$3" \
        --keys "$(ipc_keys "$3")" --seconds "$seconds" --server "${trees[$1]}") ||
        { problems+="ipc, $1, depth $2, $3 bytes: failed; " && return; }
    cut -d' ' -f3- <<<"$said" | sed 's/[A-Za-z0-9_]*=//g' >>"$work/result-ipc-$1-$2-$3"
}

run_ipc() {
    local round depth size i
    local -a pair=(larder memcached)
    start_cache "$instance" 512 --spin "$ipc_spin%"
    trees[larder]=${started[-1]}
    start_memcached || { say "memcached is not there; going on without it" && pair=(larder); }
    for ((round = 1; round <= rounds; round++)); do
        for size in "${ipc_sizes[@]}"; do
            for depth in "${ipc_depths[@]}"; do
                for ((i = 0; i < ${#pair[@]}; i++)); do
                    measure_ipc "${pair[(round + i) % ${#pair[@]}]}" "$depth" "$size"
                done
            done
            say "round $round of $rounds: IPC, $size bytes"
        done
    done
    report_ipc "${pair[@]}"
}

run_micro() {
    local policy objects=1000000 times=9
    [[ -z $quick ]] || objects=20000 times=2
    "$bin/bench_micro" --rounds "$times" >"$work/micro"
    for policy in lru s3fifo sieve; do
        taskset -c "$server_core" "$bin/bench_store" --objects "$objects" --policy "$policy"
    done >"$work/store"
    report_micro
}

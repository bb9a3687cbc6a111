# shellcheck shell=bash
# A cold start: time and processor time from the start of a program to its first answer.
# shellcheck disable=SC2034,SC2154 # shared with the other parts

declare -a cold_rows=()
declare -A cold_titles=()

run_cold() {
    local peer round row address
    describe hit-1k-1
    start_origin
    start_cache "$instance" 512
    start_proxy "$instance" 127.0.0.1:0
    "$bin/bench_fill" "$rest" "$prefix" 0 1 >>"$work/fill.log"
    cold_rows=(larder-proxy larder-both)
    cold_titles=([larder-proxy]="Larder: a proxy, the cache is running" [larder-both]="Larder: cache and proxy"
        [nginx]="nginx, its files are still there" [varnish]=Varnish [haproxy]=HAProxy
        [trafficserver]="Traffic Server, its files are still there")
    for peer in "${peers[@]}"; do
        cold_rows+=("$peer")
        install_peer "$peer" || give_up "$peer" cold "not installed"
    done
    for ((round = 0; round <= rounds; round++)); do
        for row in "${cold_rows[@]}"; do
            start_cold "$row" "$round"
        done
        say "round $round of $rounds: cold start"
    done
    report_cold
}

# Round 0 leaves its objects where they are kept, and is not counted. Result: ms until the answer, CPU ms, and whether
# the origin was asked.
start_cold() { # start_cold ROW ROUND
    local port said asked
    [[ -z ${cannot[$1/cold]:-} ]] || return 0
    case $1 in
    larder-proxy)
        port=$(free_port)
        command=("$bin/proxy_client" --instance "$instance" --listen "127.0.0.1:$port" --origin "http://$origin")
        ;;
    larder-both)
        port=$(free_port)
        # shellcheck disable=SC2016 # for that shell
        command=(sh -c 'trap "kill \$cache \$proxy" TERM
            "$1/cache_server" --instance "$2" & cache=$!
            "$1/proxy_client" --instance "$2" --listen "$3" --origin "$4" & proxy=$!
            wait; wait' sh "$bin" "$instance-cold" "127.0.0.1:$port" "http://$origin")
        ;;
    *) configure "$1" 512 ;;
    esac
    asked=$(origin_requests)
    said=$("$bin/bench_cold" "127.0.0.1:$port" "${prefix}0" -- taskset -c "$server_core" "${command[@]}" \
        2>"$work/cold-$1.log") ||
        { tail -n 5 "$work/cold-$1.log" >&2 && give_up "$1" cold "did not start" && return; }
    asked=$(($(origin_requests) - asked))
    [[ $2 -eq 0 ]] || sed -E "s/[a-z_]+=//g" <<<"$said asked=$asked" >>"$work/result-cold-$1"
}

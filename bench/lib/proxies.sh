# shellcheck shell=bash
# Many proxies on one cache, beside as many bare servers; and hits while another proxy is being killed.
# shellcheck disable=SC2034,SC2154 # shared with the other parts

# ---- many proxies --------------------------------------------------------------------------------

# They share one port, so that the kernel spreads the connections over them.
start_fleet() { # start_fleet COUNT
    local i address=127.0.0.1:0
    start_cache "$instance-$1" 512
    trees[fleet-$1]=${started[-1]}
    for ((i = 0; i < $1; i++)); do
        start_proxy "$instance-$1" "$address"
        address=$rest
        trees[fleet-$1]+=" ${started[-1]}"
    done
    base[fleet-$1]=$address
}

# What so many processes cost on one core, whatever they do: bare servers that share a port in the same way.
start_floor_fleet() { # start_floor_fleet COUNT
    local i
    rest=
    for ((i = 0; i < $1; i++)); do
        start "$server_core" floor "$bin/bench_floor" "$bytes" ${rest:+"${rest##*:}"}
        expect_line floor listening
        trees[floor-fleet-$1]+=" ${started[-1]}"
    done
    base[floor-fleet-$1]=$rest
}

# Each proxy has registered and serves hits: with so many connections none is left out.
warm_fleet() { # warm_fleet COUNT
    local before try
    for try in {1..10}; do
        before=$(origin_requests)
        "$bin/bench_fill" "${base[fleet-$1]}" "$prefix" 0 1 >>"$work/fill.log"
        timeout 30 taskset -c "$client_core" wrk -t1 -c"$((connections < 256 ? 256 : connections))" -d1s "http://${base[fleet-$1]}${prefix}0" >>"$work/fill.log"
        [[ $try -eq 1 || $(origin_requests) -ne $before ]] || return 0
    done
    fail "some of $1 proxies ask the origin for what the cache has"
}

run_proxies() { run_fleets 256; }
run_fleet() { run_fleets "32 for each proxy"; }

run_fleets() { # run_fleets CONNECTIONS: in words
    local name count round
    local -a tree
    start_origin
    for name in "${group_cases[@]}"; do
        describe "$name"
        start_fleet "${name#*-}"
        warm_fleet "${name#*-}"
        start_floor_fleet "${name#*-}"
    done
    for ((round = 1; round <= rounds; round++)); do
        for name in "${group_cases[@]}"; do
            count=${name#*-}
            describe "$name"
            read -ra tree <<<"${trees[fleet-$count]}"
            measure_load larder "$name" "${base[fleet-$count]}" "${tree[@]}" || problems+="$name: errors under load; "
            read -ra tree <<<"${trees[floor-fleet-$count]}"
            measure_load floor "$name" "${base[floor-fleet-$count]}" "${tree[@]}" ||
                problems+="$name, bare servers: errors under load; "
        done
        say "round $round of $rounds: proxies on one cache"
    done
    report_fleets "$1"
}

# ---- while another is killed -----------------------------------------------------------------------

# A proxy of the same cache is started, waited for, and killed with SIGKILL, again and again, on the servers' core;
# ends when the file is there, and writes the number of kills into it.
kill_again_and_again() { # kill_again_and_again FILE
    local kills=0 victim line
    trap 'kill -KILL "$!" 2>/dev/null; exit 1' TERM # no victim outlives this
    until [[ -e $1 ]]; do
        mkfifo "$work/victim"
        taskset -c "$server_core" "$bin/proxy_client" --instance "$instance" --listen 127.0.0.1:0 \
            --origin "http://$origin" --log-level error >"$work/victim" 2>>"$work/victim.log" </dev/null &
        victim=$!
        IFS= read -r -t 5 line <"$work/victim" || line=
        rm "$work/victim"
        # Registered, and with its names in place.
        sleep 0.05
        kill -KILL "$victim" && kills=$((kills + 1))
        wait "$victim" 2>/dev/null || true
    done
    echo "$kills" >"$1"
}

run_killed() {
    local round killer kills=0 ended
    local -a tree
    describe killed
    start_origin
    start_cache "$instance" 512
    trees[larder]=${started[-1]}
    start_proxy "$instance" 127.0.0.1:0
    trees[larder]+=" ${started[-1]}"
    base[larder]=$rest
    read -ra tree <<<"${trees[larder]}"
    "$bin/bench_fill" "${base[larder]}" "$prefix" 0 1 >>"$work/fill.log"
    for ((round = 1; round <= rounds; round++)); do
        measure_load larder killed-quiet "${base[larder]}" "${tree[@]}" || problems+="quiet: errors under load; "
        ended=$work/killed-$round
        kill_again_and_again "$ended" &
        killer=$!
        started+=("$killer")
        measure_load larder killed-killing "${base[larder]}" "${tree[@]}" || problems+="killed: errors under load; "
        : >"$ended"
        wait "$killer" || true
        forget "$killer"
        kills=$((kills + $(<"$ended")))
        say "round $round of $rounds: killed"
    done
    per_second=$(awk -v k="$kills" -v s="$((seconds * rounds))" 'BEGIN { printf "%.0f", k / s }')
    report_plain killed "$connections" "another proxy" killed-quiet killed-killing
}

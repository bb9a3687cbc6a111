# shellcheck shell=bash
# The groups in which all servers are measured beside each other: hits, uniform hits, misses and the mix.
# shellcheck disable=SC2034,SC2154 # shared with the other parts

declare -A cannot=()  # of "SERVER/CASE": why there is no figure
declare -a servers=() # those that are measured in this group

# Megabytes for objects, the same for everybody. A million objects of 1 KiB need more; 4095 is the most that HAProxy
# takes. nginx's files have whole pages each, so that it gets twice as much.
run_hit() { run_http 512; }
run_miss() { run_http 512; }
run_uniform() { run_http 4095; }

memory_of() { # memory_of PEER MEMORY
    [[ $1 != nginx || $2 -le 1024 ]] && echo "$2" || echo $((2 * $2))
}

run_http() { # run_http MEMORY
    local peer round name
    servers=(floor larder) warmed=()
    start_origin
    for name in "${group_cases[@]}"; do
        describe "$name"
        start_floor "$bytes"
    done
    start_larder "$1"
    for peer in "${peers[@]}"; do
        ! start_peer "$peer" "$(memory_of "$peer" "$1")" || servers+=("$peer")
    done
    for ((round = 1; round <= rounds; round++)); do
        for name in "${group_cases[@]}"; do
            measure_case "$name" "$round"
        done
    done
    report_http "$group"
}

address_of() { # address_of SERVER, in the case that was described
    case $1 in
    floor) echo "${base[floor-$bytes]}" ;;
    larder) [[ $bytes -ge $large_object ]] && echo "${base[larder-large]}" || echo "${base[larder]}" ;;
    *) echo "${base[$1]}" ;;
    esac
}

tree_of() { [[ $1 == floor ]] && echo "${trees[floor-$bytes]}" || echo "${trees[$1]}"; }

declare -A warmed=() # "SERVER/PREFIX": how many objects

# Every object is fetched once. The first one must come with the right bytes, and then without asking the origin.
warm() { # warm SERVER: false: it has said what it cannot
    local address before
    address=$(address_of "$1")
    [[ $1 != floor && ${warmed[$1/$prefix]:-0} -lt $objects ]] || return 0
    attend timeout 900 "$bin/bench_fill" "$address" "$prefix" 0 "$objects" >>"$work/fill.log" || return 1
    warmed[$1/$prefix]=$objects
    curl -q -sS --noproxy '*' --max-time 30 -o "$work/answer" "http://$address${prefix}0"
    before=$(origin_requests)
    curl -q -sS --noproxy '*' --max-time 30 -o "$work/answer" "http://$address${prefix}0"
    if ! cmp -s "$work/answer" "$(expected_body "$bytes")"; then
        say "$1: wrong bytes"
        return 1
    fi
    [[ $(origin_requests) -eq $before ]]
}

give_up() { # give_up SERVER CASE WHY
    cannot[$1/$2]=$3
    say "$1, $2: $3"
    [[ $1 != larder* && $1 != floor ]] || problems+="$1, $2: $3; "
}

measure_case() { # measure_case CASE ROUND: each round begins with another server
    local i server
    local -a tree
    describe "$1"
    for ((i = 0; i < ${#servers[@]}; i++)); do
        server=${servers[($2 + i) % ${#servers[@]}]}
        [[ -z ${cannot[$server/$1]:-} ]] || continue
        [[ $2 -gt 1 ]] || warm "$server" || { give_up "$server" "$1" "not kept in its cache" && continue; }
        read -ra tree <<<"$(tree_of "$server")"
        # Twice: on a busy machine a short measurement may see no answer at all.
        measure_load "$server" "$1" "$(address_of "$server")" "${tree[@]}" ||
            measure_load "$server" "$1" "$(address_of "$server")" "${tree[@]}" ||
            { give_up "$server" "$1" "errors under load" && continue; }
        [[ $server == floor ]] || judge_share "$server" "$1"
    done
    say "round $2 of $rounds: $title, $connections connections"
}

# Hits must not have reached the origin, misses must have.
judge_share() { # judge_share SERVER CASE
    local seen
    seen=$(tail -n 1 "$work/result-$1-$2" | awk '{ print $6 }')
    awk -v seen="$seen" -v wanted="$share" -v tolerance="$tolerance" \
        'BEGIN { exit !(seen >= wanted - tolerance && (wanted == 1 || seen <= wanted + tolerance)) }' ||
        note_share "$1" "$2" "$seen"
}

declare -A remark=() # of "SERVER/CASE"
note_share() {
    remark[$1/$2]=$(awk -v s="$3" 'BEGIN { printf "%.2f %% asked of the origin", s * 100 }')
    say "$1, $2: ${remark[$1/$2]}"
}

# shellcheck shell=bash
# Tables, for people and for docs/performance.md.
# shellcheck disable=SC2034,SC2154 # shared with the other parts

readonly page=$root/docs/performance.md

column() { # column FILE NUMBER: median, lowest and highest of that column
    awk -v c="$2" '{ print $c }' "$1" | sort -n | awk '{ v[NR] = $1 } END {
        m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
        print m, v[1], v[NR]
    }'
}

median() { column "$1" "$2" | cut -d' ' -f1; }

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "-" }'; }

was_measured() { [[ -s $work/result-$1-$2 && -z ${cannot[$1/$2]:-} ]]; }

measured_on() { # measured_on PEER...: machine, versions, length
    local peer
    printf 'Measured on %s: %s, %s cores, Linux %s; larder %s' "$(date -u +%Y-%m-%d)" \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" "$(uname -r | cut -d- -f1)" \
        "$("$bin/cache_server" --version | grep -o '[0-9][0-9.]*' | head -n 1)"
    for peer in "$@"; do
        printf ', %s %s' "$peer" "$(peer_version "$peer")"
    done
    printf '; TCP %s; %s s each, median of %s.\n\n' "$(<"$tcp_setting")" "$seconds" "$rounds"
}

publish() { # publish GROUP: what stands in $work/table, to the terminal and (--write) between the group's markers
    cat "$work/table"
    echo
    [[ -n $write ]] || return 0
    [[ $(grep -c "^<!-- bench:$1:\(begin\|end\) -->" "$page") -eq 2 ]] || fail "$page has no place for the group $1"
    draw "$1"
    awk -v table="$work/table" -v group="$1" '
        $0 ~ "^<!-- bench:" group ":end -->" { skip = 0 }
        !skip
        $0 ~ "^<!-- bench:" group ":begin -->" { skip = 1; while ((getline line < table) > 0) print line }
    ' "$page" >"$work/page"
    cat "$work/page" >"$page"
}

# ---- all servers beside each other -----------------------------------------------------------------

# Larder's processor time for a request as a part of each server's; and of its p99.
ratios_row() { # ratios_row CASE
    local server best=
    describe "$1"
    printf '| %s | %s |' "$title" "$connections"
    for server in floor "${peers[@]}"; do
        if was_measured "$server" "$1" && was_measured larder "$1"; then
            printf ' %s |' "$(ratio "$(median "$work/result-larder-$1" 1)" "$(median "$work/result-$server-$1" 1)")"
        else
            printf ' - |'
        fi
    done
    for server in "${peers[@]}"; do
        ! was_measured "$server" "$1" || best+="$(median "$work/result-$server-$1" 4) "
    done
    best=$(tr ' ' '\n' <<<"$best" | sort -n | sed '/^$/d' | head -n 1)
    if [[ -n $best ]] && was_measured larder "$1"; then
        printf ' %s |\n' "$(ratio "$(median "$work/result-larder-$1" 4)" "$best")"
    else
        printf ' - |\n'
    fi
}

ratios_table() {
    local peer name
    printf 'Larder divided by the other: CPU for a request; p99 latency\n\n| case | connections | floor |'
    for peer in "${peers[@]}"; do printf ' %s |' "$(peer_title "$peer")"; done
    printf ' p99, best peer |\n|---|--:|--:|'
    for peer in "${peers[@]}"; do printf -- '--:|'; done
    printf -- '--:|\n'
    for name in "${group_cases[@]}"; do
        ratios_row "$name"
    done
}

# figures_row FILE: the columns of a result
figures_row() {
    local cpu low high instructions
    read -r cpu low high < <(column "$1" 1)
    printf ' %.1f (%.1f-%.1f) | %.0f | %.0f | %.0f |' "$cpu" "$low" "$high" "$(median "$1" 2)" "$(median "$1" 3)" \
        "$(median "$1" 4)"
    if [[ -n $count_instructions ]]; then
        instructions=$(median "$1" 5)
        printf ' %s |' "$instructions"
    fi
    echo
}

figures_head() { # figures_head COLUMN...
    local column
    for column in "$@"; do printf '| %s ' "$column"; done
    printf '| CPU us/request | requests/s | p50 us | p99 us |%s\n' "${count_instructions:+ instructions/request |}"
    for column in "$@"; do printf '|---'; done
    printf '|--:|--:|--:|--:|%s\n' "${count_instructions:+--:|}"
}

full_row() { # full_row CASE SERVER
    local why=${cannot[$2/$1]:-${reason[$2]:-}}
    printf '| %s | %s | %s |' "$title" "$connections" "$(peer_title "$2")${remark[$2/$1]:+ (${remark[$2/$1]})}"
    if was_measured "$2" "$1"; then
        figures_row "$work/result-$2-$1"
    else
        printf ' %s | | | |%s\n' "${why:-not measured}" "${count_instructions:+ |}"
    fi
}

report_http() { # report_http GROUP
    local name server
    {
        measured_on "${servers[@]:2}"
        ratios_table
        echo
        figures_head case connections server
        for name in "${group_cases[@]}"; do
            describe "$name"
            for server in floor larder "${peers[@]}"; do
                full_row "$name" "$server"
            done
        done
    } >"$work/table"
    publish "$1"
}

# ---- Larder alone ------------------------------------------------------------------------------------

row_title() {
    case $1 in
    killed-quiet) echo "none" ;;
    killed-killing) echo "killed $per_second times a second" ;;
    *) echo "${1#*-}" ;;
    esac
}

# Larder's processor time for a request, and that of as many bare servers, as they grow from the first case to the last.
report_fleets() { # report_fleets CONNECTIONS: in words
    local server name first=${group_cases[0]} last=${group_cases[-1]}
    {
        measured_on
        printf 'Hits of 1 KiB, connections: %s. The last case divided by the first:' "$1"
        for server in larder floor; do
            printf ' %s CPU %s, p99 %s;' "$(peer_title "$server")" \
                "$(ratio "$(median "$work/result-$server-$last" 1)" "$(median "$work/result-$server-$first" 1)")" \
                "$(ratio "$(median "$work/result-$server-$last" 4)" "$(median "$work/result-$server-$first" 4)")"
        done
        printf ' the last case, Larder divided by as many bare servers: CPU %s.\n\n' \
            "$(ratio "$(median "$work/result-larder-$last" 1)" "$(median "$work/result-floor-$last" 1)")"
        figures_head processes server
        for name in "${group_cases[@]}"; do
            for server in floor larder; do
                printf '| %s | %s |' "$(row_title "$name")" "$(peer_title "$server")"
                figures_row "$work/result-$server-$name"
            done
        done
    } >"$work/table"
    publish "$group"
}

report_plain() { # report_plain GROUP CONNECTIONS WHAT CASE...: the first case is what the others are compared with
    local group=$1 load=$2 what=$3 first=$4 name
    shift 3
    {
        measured_on
        printf 'Hits of 1 KiB, connections: %s. p99 of the last row: %s of the first one; CPU: %s.\n\n' "$load" \
            "$(ratio "$(median "$work/result-larder-${*: -1}" 4)" "$(median "$work/result-larder-$first" 4)")" \
            "$(ratio "$(median "$work/result-larder-${*: -1}" 1)" "$(median "$work/result-larder-$first" 1)")"
        figures_head "$what"
        for name in "$@"; do
            printf '| %s |' "$(row_title "$name")"
            figures_row "$work/result-larder-$name"
        done
    } >"$work/table"
    publish "$group"
}

report_cold() {
    local row first low high measured=()
    for row in "${cold_rows[@]:2}"; do
        ! was_measured cold "$row" || measured+=("$row")
    done
    {
        measured_on "${measured[@]}"
        printf '| start of | first answer | after ms | CPU ms |\n|---|---|--:|--:|\n'
        for row in "${cold_rows[@]}"; do
            if ! was_measured cold "$row"; then
                printf '| %s | %s | | |\n' "${cold_titles[$row]}" "${cannot[$row/cold]:-not measured}"
                continue
            fi
            read -r first low high < <(column "$work/result-cold-$row" 1)
            printf '| %s | %s | %.1f (%.1f-%.1f) | %.1f |\n' "${cold_titles[$row]}" \
                "$([[ $(median "$work/result-cold-$row" 3) == 0 ]] && echo "a hit" || echo "from the origin")" "$first" "$low" "$high" \
                "$(median "$work/result-cold-$row" 2)"
        done
    } >"$work/table"
    publish cold
}

# ---- IPC ---------------------------------------------------------------------------------------------

human_size() {
    if (($1 >= 1048576)); then echo "$(($1 / 1048576)) MiB"; else echo "$(($1 / 1024)) KiB"; fi
}

ipc_row() { # ipc_row SERVER DEPTH SIZE
    local file=$work/result-ipc-$1-$2-$3 ops against=-
    [[ -s $file ]] || return 0
    ops=$(median "$file" 1)
    [[ $1 != larder || ! -s $work/result-ipc-memcached-$2-$3 ]] ||
        against=$(ratio "$ops" "$(median "$work/result-ipc-memcached-$2-$3" 1)")
    printf '| %s | %s | %s | %.0f | %s | %.0f | %.2f | %.2f | %s | %s |\n' "$2" "$(human_size "$3")" "$1" "$ops" \
        "$against" "$(median "$file" 2)" "$(median "$file" 3)" "$(median "$file" 4)" \
        "$(ipc_latency "$file" "$2" 5)" "$(ipc_latency "$file" "$2" 6)"
}

ipc_latency() { # ipc_latency FILE DEPTH COLUMN: measured at depth 1 only
    [[ $2 -eq 1 ]] && printf '%.1f' "$(median "$1" "$3")" || printf -- '-'
}

report_ipc() { # report_ipc SERVER...
    local size depth server
    {
        measured_on "${@:2}"
        printf '| depth | object | server | operations/s | of memcached | MB/s | client CPU us | server CPU us |'
        printf ' p50 us | p99 us |\n|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|\n'
        for size in "${ipc_sizes[@]}"; do
            for depth in "${ipc_depths[@]}"; do
                for server in "$@"; do
                    ipc_row "$server" "$depth" "$size"
                done
            done
        done
    } >"$work/table"
    publish ipc
}

report_micro() {
    {
        measured_on
        cat "$work/micro"
        # shellcheck disable=SC2016 # Markdown
        printf '\n`bench_store`, for the policies `lru`, `s3fifo`, `sieve`:\n\n```\n'
        cat "$work/store"
        printf '```\n'
    } >"$work/table"
    publish micro
}

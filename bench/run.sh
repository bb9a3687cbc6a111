#!/usr/bin/env bash
# What a cache hit costs: Larder (one cache, one proxy) beside nginx with proxy_cache on tmpfs and beside a
# bare epoll server, on this machine, in one run. All servers share one core, wrk has another. The servers are
# measured in turn, several rounds; the table shows medians.
set -euo pipefail
export LC_ALL=C
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)

rounds=3
seconds=5
write=
readonly start_seconds=15
readonly page=$root/docs/performance.md
# Objects of the spread case, 1 KiB each.
readonly spread=1000
# name, what wrk asks for, body bytes, connections
readonly cases=(
    "1 KiB, one object|hot-1k|1024|1"
    "1 KiB, one object|hot-1k|1024|32"
    "1 KiB, uniform over $spread objects|spread|1024|32"
    "64 KiB, one object|hot-64k|65536|1"
    "64 KiB, one object|hot-64k|65536|32"
)
readonly servers=(floor larder nginx)

usage() {
    cat <<END
usage: bench/run.sh [--rounds N] [--seconds N] [--write]
  --rounds N    measure everything N times and show medians (default $rounds)
  --seconds N   length of one measurement (default $seconds)
  --write       put the table into docs/performance.md as well
LARDER_BIN=DIR in the environment: measure the executables there instead of building.
END
}

fail() {
    printf 'bench: %s\n' "$*" >&2
    exit 1
}

parse_options() {
    while [[ $# -gt 0 ]]; do
        case $1 in
        --write) write=yes ;;
        --rounds | --seconds)
            [[ ${2:-} =~ ^[1-9][0-9]{0,3}$ ]] || { usage >&2 && exit 2; }
            [[ $1 == --rounds ]] && rounds=$2 || seconds=$2
            shift
            ;;
        -h | --help) usage && exit 0 ;;
        *) usage >&2 && exit 2 ;;
        esac
        shift
    done
}

# ---- preparation ---------------------------------------------------------------------------------

check_tools() {
    local tool
    for tool in wrk nginx taskset jq curl; do
        command -v "$tool" >/dev/null || [[ -x /usr/sbin/$tool ]] ||
            fail "$tool is missing; scripts/setup.sh bench installs it"
    done
    PATH=$PATH:/usr/sbin
}

pick_cores() {
    local cpus
    mapfile -t cpus < <(taskset -cp $$ | sed 's/.*: //' | tr ',' '\n' |
        awk -F- '{ for (i = $1; i <= ($2 == "" ? $1 : $2); i++) print i }')
    [[ ${#cpus[@]} -ge 2 ]] || fail "two cores are needed, one for the servers and one for wrk"
    server_core=${cpus[0]}
    client_core=${cpus[1]}
}

build() {
    if [[ -n ${LARDER_BIN:-} ]]; then
        bin=$LARDER_BIN
        return
    fi
    bin=$root/build/bin
    "$root"/scripts/setup.sh run
    (cd "$root" && cmake --preset release &&
        cmake --build --preset release --target cache_server proxy_client larder_origin bench_floor) \
        >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log" >&2 && fail "the build failed (above)"; }
}

make_files() {
    local i
    mkdir -p "$work/files/spread"
    head -c 1024 /dev/urandom >"$work/files/hot-1k"
    head -c 65536 /dev/urandom >"$work/files/hot-64k"
    for ((i = 0; i < spread; i++)); do
        head -c 1024 /dev/urandom >"$work/files/spread/$i"
    done
}

# wrk prints its own figures rounded; this prints them raw: requests, microseconds, errors, p50, p99.
write_wrk_scripts() {
    cat >"$work/hot.lua" <<'END'
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format("RESULT %d %d %d %.1f %.1f\n", summary.requests, summary.duration,
        e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99)))
end
END
    {
        cat "$work/hot.lua"
        printf 'local count, texts = %d, {}\n' "$spread"
        cat <<'END'
init = function(args)
    math.randomseed(1)
    for i = 0, count - 1 do
        texts[i] = wrk.format("GET", "/spread/" .. i)
    end
end
request = function()
    return texts[math.random(0, count - 1)]
end
END
    } >"$work/spread.lua"
}

# ---- servers -------------------------------------------------------------------------------------

declare -A base=() pids=() # of each server: URL, and the processes that serve
declare -a started=()      # in the order of starting

start() { # start CORE NAME COMMAND...: its standard output can be read from descriptor $lines
    local core=$1 name=$2
    shift 2
    mkfifo "$work/stdout"
    setsid taskset -c "$core" "$@" >"$work/stdout" 2>"$work/$name.log" </dev/null &
    started+=("$!")
    exec {lines}<"$work/stdout"
    rm "$work/stdout"
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

start_origin() {
    start "$client_core" origin "$bin/larder_origin" --listen 127.0.0.1:0 --root "$work/files" --max-age 86400
    expect_line origin listening
    origin=$rest
}

start_floors() { # one for each body size
    local bytes
    for bytes in 1024 65536; do
        start "$server_core" floor "$bin/bench_floor" "$bytes"
        expect_line floor listening
        base[floor-$bytes]=http://$rest
        pids[floor-$bytes]=${started[-1]}
    done
}

start_larder() {
    start "$server_core" cache "$bin/cache_server" --instance "bench-$$" --memory 256M
    expect_line cache ready
    start "$server_core" proxy "$bin/proxy_client" --instance "bench-$$" --listen 127.0.0.1:0 \
        --origin "http://$origin"
    expect_line proxy "listening http"
    base[larder]=http://$rest
    pids[larder]="${started[-2]} ${started[-1]}"
}

# Tuned as nginx's manual advises, with one exception: at 64 KiB on loopback, tcp_nopush makes nginx hold the
# last packet back until a delayed acknowledgement comes, 40 ms a request. There it is off, in nginx's favour.
write_nginx_conf() { # write_nginx_conf PORT
    cat >"$work/nginx.conf" <<END
$([[ $(id -u) -ne 0 ]] || echo "user root;")
worker_processes 1;
daemon off;
pid $work/nginx.pid;
error_log $work/nginx.log;
events { worker_connections 1024; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 600;
    keepalive_requests 1000000000;
    open_file_cache max=10000 inactive=600s;
    open_file_cache_valid 600s;
    client_body_temp_path $work/nginx-body;
    proxy_temp_path $work/nginx-proxy;
    fastcgi_temp_path $work/nginx-fastcgi;
    uwsgi_temp_path $work/nginx-uwsgi;
    scgi_temp_path $work/nginx-scgi;
    proxy_cache_path $tmpfs levels=1:2 keys_zone=bench:16m inactive=1d max_size=256m use_temp_path=off;
    upstream origin { server $origin; keepalive 16; }
    server {
        listen 127.0.0.1:$1 backlog=511;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_cache bench;
        add_header X-Cache-Status \$upstream_cache_status;
        location / { proxy_pass http://origin; }
        location = /hot-64k { proxy_pass http://origin; tcp_nopush off; }
    }
}
END
}

nginx_children() { # all but the cache loader, which ends after a minute
    local pid
    for pid in $(<"/proc/$1/task/$1/children"); do
        grep -q "cache loader" "/proc/$pid/cmdline" || echo "$pid"
    done
}

# nginx cannot be told to take any free port: ports are tried until one is free.
start_nginx() {
    local try port deadline=$((SECONDS + start_seconds))
    for try in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 10000))
        write_nginx_conf "$port"
        start "$server_core" nginx-output nginx -p "$work" -e "$work/nginx.log" -c "$work/nginx.conf"
        until curl -q -s --noproxy '*' -o /dev/null "http://127.0.0.1:$port/hot-1k"; do
            kill -0 "${started[-1]}" 2>/dev/null || continue 2
            ((SECONDS < deadline)) || break 2
            sleep 0.05
        done
        base[nginx]=http://127.0.0.1:$port
        pids[nginx]="${started[-1]} $(nginx_children "${started[-1]}")"
        return
    done
    tail -n 15 "$work/nginx.log" "$work/nginx-output.log" >&2
    fail "nginx did not start (attempt $try)"
}

clean_up() {
    local status=$? pid
    trap - EXIT
    trap '' INT TERM HUP
    set +e
    for ((i = ${#started[@]} - 1; i >= 0; i--)); do
        pid=${started[i]}
        kill -TERM "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    rm -rf "$work" "$tmpfs"
    exit "$status"
}

# ---- measuring -----------------------------------------------------------------------------------

key_of() { # key_of SERVER BYTES
    [[ $1 == floor ]] && echo "floor-$2" || echo "$1"
}

origin_requests() { curl -q -sS --noproxy '*' "http://$origin/_control/stats" | jq .requests; }

# Every object is fetched twice, the second time it must be a hit with the right bytes.
fill() { # fill SERVER
    local url=${base[$1]} name
    curl -q -sS --noproxy '*' -o /dev/null -o /dev/null "$url/hot-1k" "$url/hot-64k"
    curl -q -sS --noproxy '*' "$url/spread/[0-$((spread - 1))]" >/dev/null
    for name in hot-1k hot-64k spread/0 "spread/$((spread - 1))"; do
        curl -q -sS --noproxy '*' -D "$work/head" -o "$work/body" "$url/$name"
        grep -Eqi '^(cache-status: larder; hit|x-cache-status: hit)' "$work/head" ||
            fail "$1: /$name is not a hit"
        cmp -s "$work/body" "$work/files/$name" || fail "$1: /$name has the wrong bytes"
    done
}

cpu_ticks() { # cpu_ticks PID...: user and system time so far, children not included
    local pid sum=0 fields
    for pid in "$@"; do
        fields=$(sed 's/.*) //' "/proc/$pid/stat")
        # shellcheck disable=SC2086 # words wanted
        set -- $fields
        sum=$((sum + ${12} + ${13}))
    done
    echo "$sum"
}

can_count_instructions() {
    command -v perf >/dev/null &&
        perf stat -x, -e instructions true 2>&1 | grep -Eq '^[0-9]+,.*instructions'
}

# measure SERVER CASE-NAME CONNECTIONS BYTES: appends one line to the results:
#   CPU microseconds a request, requests a second, p50, p99 (microseconds), instructions a request or -
measure() {
    local server=$1 what=$2 connections=$3 key script=hot path before after said instructions=-
    local -a served counter=()
    key=$(key_of "$server" "$4")
    [[ $what == spread ]] && { script=spread path=; } || path=$what
    read -ra served <<<"${pids[$key]}"
    if [[ -n $count_instructions ]]; then
        counter=(perf stat -x ',' -e instructions -o "$work/perf" -p "$(IFS=, && echo "${served[*]}")" --)
    fi
    before=$(cpu_ticks "${served[@]}")
    said=$("${counter[@]}" taskset -c "$client_core" wrk -t1 -c"$connections" -d"${seconds}s" \
        -s "$work/$script.lua" "${base[$key]}/$path" | sed -n 's/^RESULT //p')
    after=$(cpu_ticks "${served[@]}")
    [[ ${#counter[@]} -eq 0 ]] || instructions=$(awk -F, '/instructions/ { print $1 }' "$work/perf")
    awk -v said="$said" -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" -v n="$instructions" 'BEGIN {
        if (split(said, r, " ") != 5 || r[1] == 0 || r[3] != 0) exit 1
        printf "%.3f %.0f %.1f %.1f %s\n", ticks * 1e6 / hz / r[1], r[1] * 1e6 / r[2], r[4], r[5],
            n == "-" ? "-" : sprintf("%.0f", n / r[1])
    }' >>"$work/result-$server-$what-$connections" ||
        fail "$server, $what: wrk saw errors or no answers: $said"
}

measure_round() { # measure_round ROUND: each round begins with another server
    local row name what bytes connections i
    for row in "${cases[@]}"; do
        IFS='|' read -r name what bytes connections <<<"$row"
        for ((i = 0; i < ${#servers[@]}; i++)); do
            measure "${servers[($1 + i) % ${#servers[@]}]}" "$what" "$connections" "$bytes"
        done
        echo "round $1 of $rounds: $name, $connections connections" >&2
    done
}

# ---- the table -----------------------------------------------------------------------------------

column() { # column FILE NUMBER: median, lowest and highest of that column
    awk -v c="$2" '{ print $c }' "$1" | sort -n | awk '{ v[NR] = $1 } END {
        m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
        print m, v[1], v[NR]
    }'
}

title_of() {
    case $1 in
    floor) echo "bare epoll server" ;;
    larder) echo "Larder" ;;
    nginx) echo "nginx proxy_cache" ;;
    esac
}

table_row() { # table_row SERVER CASE-NAME WHAT CONNECTIONS
    local file=$work/result-$1-$3-$4 cpu low high rps p50 p99 instructions nginx_cpu ratio
    read -r cpu low high < <(column "$file" 1)
    read -r rps _ < <(column "$file" 2)
    read -r p50 _ < <(column "$file" 3)
    read -r p99 _ < <(column "$file" 4)
    read -r nginx_cpu _ < <(column "$work/result-nginx-$3-$4" 1)
    ratio=$(awk -v a="$cpu" -v b="$nginx_cpu" 'BEGIN { print a / b }')
    printf '| %s | %s | %s | %.1f (%.1f-%.1f) | %.2f | %.0f | %.0f | %.0f |' "$2" "$4" "$(title_of "$1")" \
        "$cpu" "$low" "$high" "$ratio" "$rps" "$p50" "$p99"
    if [[ -n $count_instructions ]]; then
        read -r instructions _ < <(column "$file" 5)
        printf ' %.0f |' "$instructions"
    fi
    echo
}

print_table() {
    local row name what bytes connections server
    printf 'Measured on %s: %s, %s, Linux %s; %s; %s; %s s, median (lowest-highest) of %s rounds.\n\n' \
        "$(date -u +%Y-%m-%d)" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
        "$(nproc) cores" "$(uname -r | cut -d- -f1)" "$(nginx -v 2>&1 | sed 's|.*: ||; s|/| |')" \
        "larder $("$bin/cache_server" --version | grep -o '[0-9][0-9.]*' | head -n 1)" "$seconds" "$rounds"
    printf '| case | connections | server | CPU us/request | of nginx | requests/s | p50 us | p99 us |'
    printf '%s\n|---|--:|---|--:|--:|--:|--:|--:|%s\n' "${count_instructions:+ instructions/request |}" \
        "${count_instructions:+--:|}"
    for row in "${cases[@]}"; do
        IFS='|' read -r name what bytes connections <<<"$row"
        for server in "${servers[@]}"; do
            table_row "$server" "$name" "$what" "$connections"
        done
    done
}

write_page() { # replaces what stands between the markers
    [[ $(grep -c '<!-- bench:\(begin\|end\) -->' "$page") -eq 2 ]] || fail "$page has no place for the table"
    awk -v table="$work/table" '
        /<!-- bench:end -->/ { skip = 0 }
        !skip
        /<!-- bench:begin -->/ { skip = 1; while ((getline line < table) > 0) print line }
    ' "$page" >"$work/page"
    cat "$work/page" >"$page"
}

main() {
    parse_options "$@"
    check_tools
    pick_cores
    work=$(mktemp -d "${TMPDIR:-/tmp}/larder-bench.XXXXXX")
    tmpfs=$(mktemp -d /dev/shm/larder-bench-nginx.XXXXXX)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    count_instructions=
    ! can_count_instructions || count_instructions=yes
    build
    make_files
    write_wrk_scripts
    start_origin
    start_floors
    start_larder
    start_nginx
    fill larder
    fill nginx
    local asked round
    asked=$(origin_requests)
    for ((round = 1; round <= rounds; round++)); do
        measure_round "$round"
    done
    [[ $(origin_requests) -eq $asked ]] || fail "not everything was a hit: the origin was asked meanwhile"
    print_table | tee "$work/table"
    [[ -z $write ]] || write_page
}

main "$@"

#!/usr/bin/env bash
# One cache, several proxies, one origin: what one proxy fetched, the others serve from the shared cache.
# With --crash or --kills: what becomes of the others when proxies and the cache are killed
# (tests/support/larder_storm.c).
set -euo pipefail
export LC_ALL=C
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)

proxies=
origin=
first_port=
memory=
once=
storm=           # are proxies to be killed?
storm_options=() # for larder_storm
readonly default_proxies=3 default_port=8081 default_memory=256M
readonly getfile_step=1000 # the GETFILE port of a proxy is its HTTP port plus this
readonly start_seconds=15 stop_seconds=15

usage() {
    cat <<END
usage: multi_proxy.sh [--proxies N] [--origin URL] [--port FIRST] [--memory SIZE] [--once]
       multi_proxy.sh --crash SECONDS | --kills N [--proxies N] [--seed S] [--rate N] [--keep-cache]
                      [--no-quiet] [--memory SIZE]

Installs what is missing, builds, starts one cache and N proxies over an origin, fetches each file through the
first proxy and then through the others, prints the cache's statistics and goes on serving until Ctrl-C.

  --proxies N     how many proxies, 1 to 64 (default $default_proxies)
  --origin URL    http:// or https:// origin to stand in front of; its page / is fetched
                  (default: an origin of its own with a folder of example files)
  --port FIRST    HTTP on FIRST, FIRST+1, ...; GETFILE $getfile_step above (default $default_port);
                  0: any free ports
  --memory SIZE   memory of the cache, such as 512M or 4G (default $default_memory)
  --once          end after the demonstration; exit 0 only if what it showed was right
  --help          this text

The second form is the stress test: it kills (SIGKILL), freezes and terminates proxies at random under a load
whose answers are checked byte for byte, starts them anew, now and then kills the cache, and prints what
became of the others. Exit 0 only if no byte was wrong, no answer of an unharmed proxy broken, and nothing
leaked.

  --crash SECONDS how long; a quiet run of the same length comes first, to compare latencies with
  --kills N       until N proxies (or a few more) have been killed, instead
  --proxies N     2 to 64 (default 4); a quarter of them, at least one, is left alone
  --seed S        repeats the random choices of an earlier run
  --rate N        proxies killed a second (default 20)
  --keep-cache    never kill the cache
  --no-quiet      no quiet run

LARDER_BIN=DIR in the environment: use the executables there; install and build nothing.
END
}

say() { printf '%s\n' "$*"; }

fail() {
    printf 'multi_proxy: %s\n' "$*" >&2
    exit 1
}

refuse() { # wrong usage
    printf 'multi_proxy: %s\nTry multi_proxy.sh --help.\n' "$*" >&2
    exit 2
}

# ---- options -------------------------------------------------------------------------------------

is_number() { # is_number TEXT LOWEST HIGHEST
    [[ $1 =~ ^[0-9]{1,5}$ ]] && ((10#$1 >= $2 && 10#$1 <= $3))
}

parse_options() {
    while [[ $# -gt 0 ]]; do
        local option=$1 value
        shift
        case $option in
        --once) once=yes && continue ;;
        --keep-cache | --no-quiet) storm_options+=("$option") && continue ;;
        -h | --help) usage && exit 0 ;;
        --proxies=* | --origin=* | --port=* | --memory=* | --crash=* | --kills=* | --seed=* | --rate=*)
            value=${option#*=}
            option=${option%%=*}
            ;;
        --proxies | --origin | --port | --memory | --crash | --kills | --seed | --rate)
            [[ $# -gt 0 ]] || refuse "$option needs a value"
            value=$1
            shift
            ;;
        *) refuse "unknown option: $option" ;;
        esac
        case $option in
        --proxies) proxies=$value ;;
        --origin) origin=$value ;;
        --port) first_port=$value ;;
        --memory) memory=$value ;;
        --crash | --kills)
            storm=yes
            storm_options+=("$option" "$value")
            ;;
        --seed | --rate) storm_options+=("$option" "$value") ;;
        esac
    done
}

# The stress test checks the values itself.
check_storm_options() {
    [[ -z $origin && -z $first_port && -z $once ]] ||
        refuse "--origin, --port and --once do not go with --crash and --kills"
    [[ -z $proxies ]] || storm_options+=(--proxies "$proxies")
    [[ -z $memory ]] || storm_options+=(--memory "$memory")
}

check_options() {
    [[ ${#storm_options[@]} -eq 0 ]] || refuse "${storm_options[0]} goes with --crash or --kills"
    proxies=${proxies:-$default_proxies}
    first_port=${first_port:-$default_port}
    memory=${memory:-$default_memory}
    is_number "$proxies" 1 64 || refuse "--proxies wants a number from 1 to 64, not '$proxies'"
    is_number "$first_port" 0 65535 || refuse "--port wants a port number, not '$first_port'"
    proxies=$((10#$proxies))
    first_port=$((10#$first_port))
    ((first_port + getfile_step + proxies - 1 <= 65535)) ||
        refuse "--port $first_port is too high: GETFILE ports lie $getfile_step above it, below 65536"
    [[ -z $origin || $origin =~ ^https?://[^/?#]+ ]] ||
        refuse "--origin wants http://HOST or https://HOST, not '$origin'"
    [[ $memory =~ ^[0-9]+[KMGTkmgt]?$ ]] || refuse "--memory wants a size such as 512M or 4G, not '$memory'"
}

# ---- build ---------------------------------------------------------------------------------------

prepare_executables() { # prepare_executables TARGET...: besides those that every run needs
    if [[ -n ${LARDER_BIN:-} ]]; then
        bin=$LARDER_BIN
        return
    fi
    bin=$root/build/bin
    "$root"/scripts/setup.sh run
    say "Building in $root/build ..."
    (cd "$root" && cmake --preset release &&
        cmake --build --preset release --target cache_server proxy_client cache_ctl larder_origin "$@") \
        >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log" >&2 && fail "the build failed (above)"; }
}

# ---- processes -----------------------------------------------------------------------------------

declare -a proxy_pids=() http_urls=() getfile_ports=()
declare -A running=() # pid -> name, of what was started and has not ended
own_origin=

show_log() { # show_log NAME: the end of what NAME wrote to its log
    say "--- last lines of $1's log:" >&2
    tail -n 15 "$work/$1.log" >&2 || true
}

# start NAME COMMAND...: the process is in $started, a descriptor to read its standard output in $lines.
# Each process has a session of its own, so that Ctrl-C reaches this script alone, which stops them in order.
start() {
    local name=$1 pipe=$work/$1.stdout
    shift
    mkfifo "$pipe"
    setsid "$@" >"$pipe" 2>"$work/$name.log" </dev/null &
    started=$!
    running[$started]=$name
    exec {lines}<"$pipe"
    rm "$pipe"
}

# expect_line NAME WORDS: the next line that NAME prints must begin with WORDS; $rest is what follows them.
# A process that ends instead is noticed at once, by the end of its output.
expect_line() {
    local line=
    if ! IFS= read -r -t "$start_seconds" -u "$lines" line || [[ $line != "$2"* ]]; then
        show_log "$1"
        fail "$1 did not start (see its log above)"
    fi
    rest=${line#"$2"}
    rest=${rest# }
}

listens() { # listens PORT: does any process accept TCP connections there?
    local hex
    printf -v hex '%04X' "$1"
    awk -v port=":$hex\$" '$4 == "0A" && $2 ~ port { found = 1 } END { exit !found }' /proc/net/tcp*
}

# A proxy shares its port with other proxies on purpose: it would not notice another demonstration there.
check_ports() {
    local i port
    [[ $first_port -ne 0 ]] || return 0
    for ((i = 0; i < proxies; i++)); do
        for port in $((first_port + i)) $((first_port + i + getfile_step)); do
            ! listens "$port" || fail "port $port is in use by another program:" \
                "stop it, or choose other ports with --port FIRST (--port 0: any free ones)"
        done
    done
}

start_origin() {
    start origin "$bin/larder_origin" --listen 127.0.0.1:0 --root "$files_dir" --max-age 3600
    expect_line origin listening
    own_origin=yes
    origin=http://$rest
}

start_cache() {
    start cache "$bin/cache_server" --instance "$instance" --memory "$memory"
    expect_line cache ready
}

start_proxy() { # start_proxy INDEX
    local http=0 getfile=0 name=proxy-$(($1 + 1))
    if [[ $first_port -ne 0 ]]; then
        http=$((first_port + $1))
        getfile=$((http + getfile_step))
    fi
    start "$name" "$bin/proxy_client" --instance "$instance" --listen "127.0.0.1:$http" \
        --getfile "127.0.0.1:$getfile" --origin "$origin"
    proxy_pids+=("$started")
    expect_line "$name" "listening http"
    http_urls+=("http://$rest")
    expect_line "$name" "listening getfile"
    getfile_ports+=("${rest##*:}")
}

statistics_json() { "$bin/cache_ctl" --instance "$instance" stats --json; }

registered_proxies() { statistics_json 2>/dev/null | jq '.proxies | length' 2>/dev/null || echo 0; }

await_registrations() {
    local deadline=$((SECONDS + start_seconds))
    until [[ $(registered_proxies) -eq $proxies ]]; do
        ((SECONDS < deadline)) || { show_log proxy-1 && show_log cache &&
            fail "only $(registered_proxies) of $proxies proxies registered with the cache"; }
        sleep 0.05
    done
}

# stop PID...: SIGTERM to those that run, and SIGKILL after the deadline.
stop() {
    local pid deadline=$((SECONDS + stop_seconds)) result=0
    for pid in "$@"; do
        [[ -z ${running[$pid]:-} ]] || kill -TERM "$pid" 2>/dev/null || true
    done
    for pid in "$@"; do
        [[ -n ${running[$pid]:-} ]] || continue
        while kill -0 "$pid" 2>/dev/null && ((SECONDS < deadline)); do
            sleep 0.02
        done
        if kill -KILL "$pid" 2>/dev/null; then
            say "multi_proxy: ${running[$pid]} did not end within $stop_seconds s and was killed" >&2
            result=1
        fi
        wait "$pid" 2>/dev/null || true
        unset "running[$pid]"
    done
    return $result
}

clean_up() {
    local status=$? left
    trap '' INT TERM HUP
    trap - EXIT
    set +e
    stop "${proxy_pids[@]}" || status=1
    # What is left: the cache, the origin, and a proxy that had not become ready.
    stop "${!running[@]}" || status=1
    left=$("$root"/scripts/ipc_names.sh "$instance")
    if [[ -n $left ]]; then
        printf 'multi_proxy: left behind:\n%s\n' "$left" >&2
        status=1
    fi
    rm -rf "$work"
    exit "$status"
}

interrupted() { # interrupted STATUS: while serving, a signal is the ordinary end
    [[ -z ${serving:-} ]] || exit 0
    exit "$1"
}

# ---- the files -----------------------------------------------------------------------------------

declare -a paths=() # as requested
declare -A file_of=()

add_file() { # add_file NAME: the file exists; it will be requested
    local path=/${1// /%20}
    paths+=("$path")
    file_of[$path]=$files_dir/$1
}

# random_file NAME BYTES: left out if it is too large for a small cache, which would rightly not keep it.
random_file() {
    (($2 <= $(numfmt --from=iec "${memory^^}") / 8)) || return 0
    head -c "$2" /dev/urandom >"$files_dir/$1"
    add_file "$1"
}

make_files() {
    files_dir=$work/files
    mkdir "$files_dir"
    cp "$root/README.md" "$files_dir/readme.md"
    add_file readme.md
    printf '<!doctype html>\n<title>Larder</title>\n<p>Bread, butter, cheese.\n' >"$files_dir/page.html"
    add_file page.html
    printf 'P6\n320 240\n255\n' >"$files_dir/picture.ppm"
    head -c $((320 * 240 * 3)) /dev/urandom >>"$files_dir/picture.ppm"
    add_file picture.ppm
    : >"$files_dir/empty.txt"
    add_file empty.txt
    printf x >"$files_dir/one byte.txt"
    add_file "one byte.txt"
    random_file data-64KiB.bin $((64 * 1024))
    random_file data-64KiB+1.bin $((64 * 1024 + 1))
    random_file data-1MiB.bin $((1024 * 1024))
    random_file data-20MiB.bin $((20 * 1024 * 1024))
}

# ---- the demonstration ---------------------------------------------------------------------------

problems=0
problem() {
    problems=$((problems + 1))
    say "    ^ wrong: $*"
}

human_size() { # bytes, as 1.5 KiB
    awk -v n="$1" 'BEGIN {
        split("B KiB MiB GiB", unit, " ")
        for (i = 1; n >= 1024 && i < 4; i++) n /= 1024
        printf (n == int(n) ? "%d %s" : "%.1f %s"), n, unit[i]
    }'
}

checksum() { sha256sum <"$1" | cut -c 1-64; }

row_format='%-19s %9s  %-9s %-38s %9s  %s\n'

print_row() { # print_row NAME BODY VIA ANSWER SECONDS
    # shellcheck disable=SC2059 # the format is a constant
    printf "$row_format" "$1" "$(human_size "$(stat -c %s "$2")")" "$3" "$4" \
        "$(awk -v s="$5" 'BEGIN { printf "%.1f ms", s * 1000 }')" "$(checksum "$2" | cut -c 1-12)"
}

http_get() { curl -q -sS --noproxy '*' --max-time 60 "$@"; }

# fetch_http INDEX PATH: the body lands in $work/body; sets $http_status, $cache_status and $seconds.
fetch_http() {
    local result
    result=$(http_get -D "$work/head" -o "$work/body" -w '%{http_code} %{time_total}' \
        "${http_urls[$1]}$2" 2>"$work/curl.log") || {
        cat "$work/curl.log" >&2
        fail "the request of $2 from proxy $(($1 + 1)) failed"
    }
    read -r http_status seconds <<<"$result"
    cache_status=$(tr -d '\r' <"$work/head" | sed -n 's/^cache-status: *//Ip' | tail -n 1)
}

# fetch_getfile INDEX PATH: the same by GETFILE; $getfile_answer is its first line.
fetch_getfile() {
    local socket before=$EPOCHREALTIME
    exec {socket}<>"/dev/tcp/127.0.0.1/${getfile_ports[$1]}"
    printf 'GETFILE GET %s\r\n\r\n' "$2" >&"$socket"
    timeout 60 cat <&"$socket" >"$work/answer" || fail "GETFILE of $2 from proxy $(($1 + 1)) failed"
    exec {socket}>&-
    seconds=$(awk -v a="$before" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')
    getfile_answer=$(head -n 1 "$work/answer" | tr -d '\r')
    tail -c +$((${#getfile_answer} + 5)) "$work/answer" >"$work/body"
}

is_hit() { [[ $cache_status == larder\;\ hit* ]]; }
is_stored_miss() { [[ $cache_status == larder\;\ fwd=*stored* ]]; }

check_body() { # check_body EXPECTED: compares $work/body with the checksum
    [[ $(checksum "$work/body") == "$1" ]] || problem "these are not the bytes of the original"
}

# show_miss PATH: through the first proxy; sets $original, the checksum that all answers must have.
show_miss() {
    fetch_http 0 "$1"
    print_row "${1#/}" "$work/body" "proxy 1" "$cache_status" "$seconds"
    [[ $http_status == 200 ]] || problem "status $http_status"
    is_stored_miss || problem "this should have been a miss that is stored"
    if [[ -n ${file_of[$1]:-} ]]; then
        original=$(checksum "${file_of[$1]}")
        check_body "$original"
    else
        original=$(checksum "$work/body")
    fi
}

show_hit() { # show_hit INDEX PATH
    fetch_http "$1" "$2"
    print_row "" "$work/body" "proxy $(($1 + 1))" "$cache_status" "$seconds"
    [[ $http_status == 200 ]] || problem "status $http_status"
    is_hit || problem "this should have been a hit"
    check_body "$original"
}

show_getfile() { # show_getfile INDEX PATH
    fetch_getfile "$1" "$2"
    print_row "" "$work/body" "proxy $(($1 + 1))" "$getfile_answer" "$seconds"
    [[ $getfile_answer == "GETFILE OK $(stat -c %s "$work/body")" ]] || problem "wrong answer or length"
    check_body "$original"
}

show_file() { # show_file PATH
    local i
    show_miss "$1"
    for ((i = 1; i < proxies; i++)); do
        show_hit "$i" "$1"
    done
    show_getfile $((proxies - 1)) "$1"
}

# Every file was asked for once by each proxy and once by GETFILE; the origin must have seen each just once.
check_origin() {
    local fetched
    fetched=$(http_get "$origin/_control/stats" | jq .requests)
    say
    say "${#paths[@]} files: proxies asked $((${#paths[@]} * (proxies + 1))) times, the origin $fetched."
    [[ $fetched -eq ${#paths[@]} ]] || problem "it should have been asked once for each file"
}

check_counters() { # the cache's own account of the same
    local counted wanted="$((${#paths[@]} * proxies)) ${#paths[@]} ${#paths[@]}"
    counted=$(statistics_json | jq -r '.cache | "\(.hits) \(.misses) \(.fills)"')
    [[ $counted == "$wanted" ]] || problem "the cache counted hits, misses, fills: $counted; expected $wanted"
}

demonstrate() {
    local path
    say
    # shellcheck disable=SC2059
    printf "$row_format" FILE SIZE THROUGH "CACHE-STATUS OR GETFILE ANSWER" TIME SHA-256
    for path in "${paths[@]}"; do
        show_file "$path"
    done
    [[ -z $own_origin ]] || check_origin
    check_counters
    say
    "$bin/cache_ctl" --instance "$instance" stats
    say
    if [[ $problems -eq 0 ]]; then
        say "All right: a miss through the first proxy, hits through the others, every checksum the same."
    else
        say "$problems of the answers were not what they should have been (marked above)."
    fi
}

# ---- serving -------------------------------------------------------------------------------------

print_addresses() {
    local i
    say
    say "Serving $origin:"
    for ((i = 0; i < proxies; i++)); do
        say "  proxy $((i + 1)) ${http_urls[i]}/, GETFILE 127.0.0.1:${getfile_ports[i]}, pid ${proxy_pids[i]}"
    done
    say "Try:         curl -i ${http_urls[0]}${paths[0]}"
    say "Statistics:  $bin/cache_ctl --instance $instance stats"
    say "Ctrl-C ends it."
}

# Processes may be killed for trying it out: that is said, and the others go on.
serve() {
    local status ended
    serving=yes
    print_addresses
    while [[ ${#running[@]} -gt 0 ]]; do
        status=0
        wait -n -p ended "${!running[@]}" 2>/dev/null || status=$?
        say "${running[$ended]} (pid $ended) has ended with status $status."
        unset "running[$ended]"
    done
    fail "every process has ended"
}

make_work() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/larder-demo.XXXXXX")
}

# It starts, stops and cleans up everything itself, and takes this script's place.
run_storm() {
    check_storm_options
    make_work
    trap 'rm -rf "$work"' EXIT
    prepare_executables larder_storm
    rm -rf "$work"
    [[ -x $bin/larder_storm ]] || fail "there is no $bin/larder_storm"
    LARDER_BIN=$bin exec "$bin/larder_storm" "${storm_options[@]}"
}

main() {
    parse_options "$@"
    [[ -z $storm ]] || run_storm
    check_options
    instance=demo-$$-$RANDOM
    make_work
    trap clean_up EXIT
    trap 'interrupted 130' INT
    trap 'interrupted 143' TERM
    trap 'interrupted 129' HUP
    check_ports
    prepare_executables

    if [[ -n $origin ]]; then
        paths=(/)
    else
        make_files
        start_origin
    fi
    start_cache
    local i
    for ((i = 0; i < proxies; i++)); do
        start_proxy "$i"
    done
    await_registrations
    say "One cache ($memory), $proxies proxies, origin $origin"
    demonstrate
    [[ -n $once ]] || serve
    [[ $problems -eq 0 ]]
}

main "$@"

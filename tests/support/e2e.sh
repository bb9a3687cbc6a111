# shellcheck shell=bash
# e2e.sh: what the end-to-end stories share. To be sourced by tests/e2e/e2e_*.sh, which begin with
#
#     source "$(dirname "$0")/../support/e2e.sh"
#     e2e_begin STORY
#
# A story has an instance name and a directory of its own, and ends with `e2e_done`. Whatever it started is
# stopped by pid when it ends, however it ends. It fails if a process does not end when told to, or if queues
# or shared memory of its instance are left.
#
# Nothing sleeps and hopes: every wait polls a named event, in steps of 20 ms, until a deadline that only a
# failure reaches.
set -euo pipefail
export LC_ALL=C
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY no_proxy NO_PROXY

E2E_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BIN=${LARDER_BIN:-$E2E_ROOT/build/bin}
DEADLINE=30 # seconds
SKIPPED=77

declare -A PID=()     # of every process started, by the story's name for it
declare -A HTTP=()    # ADDR:PORT of each proxy's HTTP front-end
declare -A GETFILE=() # and of its GETFILE front-end
ORIGIN=               # ADDR:PORT of the origin
STATUS=               # of the last response: HTTP status
CURL_EXIT=0           # and curl's exit status

# ---- beginning and end ----

e2e_begin() { # STORY
    INSTANCE=${1:0:16}-$$
    DIR=$(mktemp -d "${TMPDIR:-/tmp}/larder-e2e.XXXXXX")
    # Nobody's .jq counts, nor .curlrc: curl ends its search at the first that there is, and without one would look
    # into the home that the system has on record.
    export HOME=$DIR CURL_HOME=$DIR
    unset XDG_CONFIG_HOME
    : >"$DIR/.curlrc"
    mkfifo "$DIR/never"
    exec {NEVER}<>"$DIR/never"
    STORY_DONE=
    trap e2e_end EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# The last line of every story: without it the story has not told everything.
e2e_done() {
    STORY_DONE=1
}

skip() { # REASON
    echo "SKIP: $*"
    exit "$SKIPPED"
}

fail() { # WHAT
    local frame
    echo "FAIL: $*" >&2
    for ((frame = 1; frame < ${#FUNCNAME[@]} - 1; frame++)); do
        echo "      at ${BASH_SOURCE[frame + 1]##*/}:${BASH_LINENO[frame]} in ${FUNCNAME[frame]}" >&2
    done
    exit 1
}

e2e_end() {
    local status=$? left
    trap - EXIT
    set +e
    stop_everything || status=1
    left=$("$E2E_ROOT/scripts/ipc_names.sh" "$INSTANCE")
    if [[ -n $left ]]; then
        printf 'FAIL: left behind:\n%s\n' "$left" >&2
        remove_names
        status=1
    fi
    if [[ $status -eq 0 && -z $STORY_DONE ]]; then
        echo "FAIL: the story ended early" >&2
        status=1
    fi
    if [[ $status -ne 0 && $status -ne $SKIPPED ]]; then
        show_logs
    fi
    rm -rf "$DIR"
    exit "$status"
}

# A failed story must not use up the machine's queues. Where they are not mounted, root mounts them aside.
remove_names() {
    rm -f /dev/shm/"larder.$INSTANCE" /dev/shm/"larder.$INSTANCE".*
    rm -f /dev/mqueue/"larder.$INSTANCE" /dev/mqueue/"larder.$INSTANCE".*
    # shellcheck disable=SC2016 # for the inner shell
    unshare -m sh -c 'mount -t mqueue none /mnt && rm -f "/mnt/$1" "/mnt/$1".*' sh "larder.$INSTANCE" 2>/dev/null
}

show_logs() {
    local log
    for log in "$DIR"/*.err; do
        [[ -s $log ]] || continue
        echo "---- ${log##*/} (its end)" >&2
        tail -n 25 "$log" >&2
    done
}

# ---- waiting ----

pause() { # for one step of polling; nothing is ever written to that pipe
    read -rt 0.02 -u "$NEVER" || true
}

wait_until() { # DESCRIPTION COMMAND...
    local what=$1 end=$((SECONDS + DEADLINE))
    shift
    until "$@"; do
        ((SECONDS < end)) || fail "waited $DEADLINE s in vain: $what"
        pause
    done
}

# ---- processes ----

is_alive() { # PID: runs, and is no zombie
    local state
    state=$(sed -n 's/^State:[[:space:]]*\([A-Za-z]\).*/\1/p' "/proc/$1/status" 2>/dev/null) || return 1
    [[ -n $state && $state != [ZXx] ]]
}

is_gone() { # PID
    ! is_alive "$1"
}

# In the background, with its output in $DIR/NAME.out and $DIR/NAME.err. A shell without job control ignores
# SIGINT for such processes; programs get it back.
start() { # NAME COMMAND...
    local name=$1
    shift
    : >"$DIR/$name.out" # what an earlier process of this name has said does not count
    [[ $(type -t "$1") == function ]] || set -- env --default-signal=INT,QUIT "$@"
    "$@" >"$DIR/$name.out" 2>"$DIR/$name.err" </dev/null &
    PID[$name]=$!
}

said_or_died() { # NAME TEXT
    grep -q "^$2" "$DIR/$1.out" 2>/dev/null || is_gone "${PID[$1]}"
}

await_line() { # NAME TEXT: until the process has printed a line that begins with TEXT; prints what follows it
    wait_until "$1 prints \"$2\"" said_or_died "$1" "$2"
    grep -q "^$2" "$DIR/$1.out" || fail "$1 ended instead of printing \"$2\": $(tail -n 3 "$DIR/$1.err")"
    sed -n "s/^$2 *//p" "$DIR/$1.out" | tail -n 1
}

# Waits for the end of a process that was started here; sets EXIT_STATUS.
await_end() { # NAME
    wait_until "$1 ends" is_gone "${PID[$1]}"
    EXIT_STATUS=0
    wait "${PID[$1]}" 2>/dev/null || EXIT_STATUS=$?
    unset "PID[$1]"
}

send() { # NAME SIGNAL
    kill -"$2" "${PID[$1]}"
}

stop() { # NAME [SIGNAL]: an orderly end, with exit status 0
    send "$1" "${2:-TERM}"
    await_end "$1"
    [[ $EXIT_STATUS -eq 0 ]] || fail "$1 ended with status $EXIT_STATUS after SIG${2:-TERM}"
}

kill_hard() { # NAME
    send "$1" KILL
    await_end "$1"
}

# Tells everything that still runs to end. Fails if something had to be killed.
stop_everything() {
    local name pid end status=0
    for name in "${!PID[@]}"; do
        kill -CONT "${PID[$name]}" 2>/dev/null
        kill -TERM "${PID[$name]}" 2>/dev/null
    done
    end=$((SECONDS + DEADLINE))
    for name in "${!PID[@]}"; do
        pid=${PID[$name]}
        while is_alive "$pid" && ((SECONDS < end)); do
            pause
        done
        if is_alive "$pid"; then
            echo "FAIL: $name did not end; killed" >&2
            kill -KILL "$pid"
            status=1
        fi
        wait "$pid" 2>/dev/null
    done
    PID=()
    return "$status"
}

start_origin() { # [OPTION...]: sets ORIGIN
    start origin "$BIN/larder_origin" --listen 127.0.0.1:0 "$@"
    ORIGIN=$(await_line origin listening)
}

# LARDER_SHARDS=N tells every story with a cache of so many shards.
start_cache() { # [OPTION...]
    [[ -z ${LARDER_SHARDS:-} || " $* " == *" --shards "* ]] || set -- --shards "$LARDER_SHARDS" "$@"
    start cache "$BIN/cache_server" --instance "$INSTANCE" "$@"
    await_line cache ready >/dev/null
}

# A proxy with both front-ends on ports of the kernel's choice, in front of the origin unless told otherwise.
# It waits longer for the cache than is usual, so that a busy machine makes no misses.
# shellcheck disable=SC2034 # the stories read HTTP and GETFILE
start_proxy() { # NAME [OPTION...]: sets HTTP[NAME] and GETFILE[NAME]
    local name=$1
    shift
    [[ " $* " == *" --origin "* ]] || set -- --origin "http://$ORIGIN" "$@"
    start "$name" "$BIN/proxy_client" --instance "$INSTANCE" --listen 127.0.0.1:0 --getfile 127.0.0.1:0 \
        --cache-timeout 5000 "$@"
    HTTP[$name]=$(await_line "$name" "listening http")
    GETFILE[$name]=$(await_line "$name" "listening getfile")
}

# The cache has registered that many proxies.
await_proxies() { # NUMBER
    wait_until "the cache has $1 proxies" cache_shows .cache.proxies "$1"
}

is_sanitized() {
    [[ -n ${LARDER_SANITIZE:-} ]]
}

# ---- what was got and what was wanted ----

expect_eq() { # WHAT GOT WANTED
    [[ $2 == "$3" ]] || fail "$1: got \"$2\", wanted \"$3\""
}

expect_match() { # WHAT GOT EXTENDED_REGULAR_EXPRESSION
    [[ $2 =~ $3 ]] || fail "$1: got \"$2\", wanted a match for \"$3\""
}

expect_no_match() { # WHAT GOT EXTENDED_REGULAR_EXPRESSION
    [[ ! $2 =~ $3 ]] || fail "$1: got \"$2\", wanted no match for \"$3\""
}

expect_same() { # FILE FILE
    cmp -- "$1" "$2" >&2 || fail "the bytes differ: $1 $2"
}

expect_below() { # WHAT GOT LIMIT
    (($2 < $3)) || fail "$1: got $2, wanted less than $3"
}

sum() { # [FILE]
    sha256sum ${1:+"$1"} | cut -d' ' -f1
}

generated() { # SIZE[:SEED[:VERSION]]: the body that the origin generates
    "$BIN/larder_origin" --generate "$1"
}

# ---- HTTP ----

# Fetches with curl; sets STATUS and CURL_EXIT. The heads are in $DIR/head.
get() { # OUTPUT_FILE URL [CURL_OPTION...]
    local out=$1 url=$2
    shift 2
    CURL_EXIT=0
    : >"$out"
    STATUS=$(curl -sS --noproxy '*' --path-as-is --max-time 120 -o "$out" -D "$DIR/head" -w '%{http_code}' \
        "$@" "$url" 2>"$DIR/curl.log") || CURL_EXIT=$?
}

# The same, and it has to be a complete response with this status.
get_status() { # STATUS OUTPUT_FILE URL [CURL_OPTION...]
    local wanted=$1
    shift
    get "$@"
    [[ $CURL_EXIT -eq 0 ]] || fail "$2: $(cat "$DIR/curl.log")"
    expect_eq "status of $2" "$STATUS" "$wanted"
}

get_ok() { # OUTPUT_FILE URL [CURL_OPTION...]
    get_status 200 "$@"
}

# Values of a field of the last response (its final head), one a line. They are asked for so often that no program is
# started for it.
header() { # NAME
    local line name values=()
    while IFS= read -r line; do
        line=${line%$'\r'}
        name=${line%%:*}
        if [[ $line == HTTP/* ]]; then
            values=()
        elif [[ $line == *:* && ${name,,} == "${1,,}" ]]; then
            line=${line#*:}
            line=${line#"${line%%[!$' \t']*}"}
            values+=("${line%"${line##*[!$' \t']}"}")
        fi
    done <"$DIR/head"
    ((${#values[@]} == 0)) || printf '%s\n' "${values[@]}"
}

# How Larder answered: its own member of Cache-Status.
cache_status() {
    local member members ours=
    IFS=$'\n,' read -rd '' -a members <<<"$(header Cache-Status)" || true
    for member in "${members[@]}"; do
        member=${member#"${member%%[! ]*}"}
        [[ $member != larder* ]] || ours=$member
    done
    echo "$ours"
}

expect_hit() {
    expect_match "Cache-Status" "$(cache_status)" "^larder; *hit"
}

expect_forwarded() {
    expect_match "Cache-Status" "$(cache_status)" "^larder; *fwd="
}

is_hit() { # PROXY PATH: fetches it; true when it came from the cache
    get_ok "$DIR/body" "http://${HTTP[$1]}$2"
    [[ $(cache_status) =~ ^larder\;\ *hit ]]
}

# Sends standard input to a port as it is and collects everything until the other side closes.
raw() { # OUTPUT_FILE ADDR:PORT
    local connection status=0
    exec {connection}<>"/dev/tcp/${2%:*}/${2##*:}" || fail "cannot connect to $2"
    cat >&"$connection" || true # the other side may have closed already
    timeout "$DEADLINE" cat <&"$connection" >"$1" || status=$?
    exec {connection}>&-
    [[ $status -ne 124 ]] || fail "$2 did not close the connection"
}

# ---- GETFILE ----

# Asks for a path. The answer's first line is in ANSWER, its bytes are in the file.
getfile() { # OUTPUT_FILE ADDR:PORT PATH
    printf 'GETFILE GET %s\r\n\r\n' "$3" | raw "$DIR/getfile.answer" "$2"
    getfile_answer "$1"
}

getfile_answer() { # OUTPUT_FILE: takes the answer in $DIR/getfile.answer apart
    ANSWER=$(head -n 1 "$DIR/getfile.answer" | tr -d '\r\0')
    tail -n +3 "$DIR/getfile.answer" >"$1"
}

getfile_ok() { # OUTPUT_FILE ADDR:PORT PATH
    getfile "$@"
    expect_eq "GETFILE $3" "$ANSWER" "GETFILE OK $(stat -c %s "$1")"
}

# ---- counters ----

cache_ctl() {
    "$BIN/cache_ctl" --instance "$INSTANCE" "$@"
}

cache_stat() { # JQ_EXPRESSION
    cache_ctl stats --json | gojq -r "$1"
}

cache_shows() { # JQ_EXPRESSION VALUE
    [[ $(cache_stat "$1" 2>/dev/null) == "$2" ]]
}

expect_cache() { # JQ_EXPRESSION VALUE
    expect_eq "cache: $1" "$(cache_stat "$1")" "$2"
}

origin_control() { # PAGE
    curl -sS --noproxy '*' --max-time 30 "http://$ORIGIN/_control/$1"
}

origin_stat() { # JQ_EXPRESSION
    origin_control stats | gojq -r "$1"
}

requests_to() { # PATH: how often the origin was asked for it
    origin_stat ".by_path[\"$1\"] // 0"
}

origin_shows() { # JQ_EXPRESSION VALUE
    [[ $(origin_stat "$1") == "$2" ]]
}

expect_origin() { # JQ_EXPRESSION VALUE
    expect_eq "origin: $1" "$(origin_stat "$1")" "$2"
}

await_held() { # GATE [NUMBER]: the origin holds responses at a gate
    wait_until "the origin holds at $1" origin_shows ".held[\"$1\"]" "${2:-1}"
}

release() { # GATE
    origin_control "release?name=$1" >/dev/null
}

# ---- names ----

ipc_names() {
    "$E2E_ROOT/scripts/ipc_names.sh" "$INSTANCE"
}

# Names that peers of the cache (proxies, cache_ctl) have made.
has_peer_pools() { # NUMBER
    [[ $(find /dev/shm -maxdepth 1 -name "larder.$INSTANCE.*" | wc -l) -eq $1 ]]
}

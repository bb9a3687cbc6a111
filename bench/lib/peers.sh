# shellcheck shell=bash
# The peers: for each a function that writes its configuration and sets $command, which runs in the foreground and
# ends with SIGTERM. The settings and their reasons are in bench/peers/.
# shellcheck disable=SC2034,SC2154 # shared with the other parts

readonly peer_files=$root/bench/peers

peer_program() {
    case $1 in
    varnish) echo varnishd ;;
    trafficserver) echo traffic_server ;;
    *) echo "$1" ;;
    esac
}

peer_title() {
    case $1 in
    floor) echo "bare epoll server" ;;
    larder) echo "Larder" ;;
    nginx) echo "nginx proxy_cache" ;;
    varnish) echo "Varnish" ;;
    haproxy) echo "HAProxy cache" ;;
    trafficserver) echo "Traffic Server" ;;
    *) echo "$1" ;;
    esac
}

peer_version() {
    case $1 in
    nginx) nginx -v 2>&1 | sed 's|.*/||; s| .*||' ;;
    varnish) varnishd -V 2>&1 | sed -n 's/.*varnish-\([0-9.]*\).*/\1/p' | head -n 1 ;;
    haproxy) haproxy -v | sed -n 's/.*version \([0-9.]*\).*/\1/p' | head -n 1 ;;
    trafficserver) traffic_server --version 2>&1 | grep -o '[0-9][0-9.]*[0-9]' | head -n 1 ;;
    memcached) memcached -V | sed 's/.* //' ;;
    esac
}

install_peer() { # false: it is not there and cannot be had
    has "$(peer_program "$1")" || "$root"/scripts/setup.sh "bench-$1" || true
    has "$(peer_program "$1")"
}

fill_in() { # fill_in FILE: with the words of $port, $memory, ... replaced
    local user='' who
    who=$(id -un)
    [[ $(id -u) -ne 0 ]] || { user="user root;" && who=trafficserver; }
    sed -e "s|@PORT@|$port|g; s|@ORIGIN@|$origin|g; s|@HOST@|${origin%:*}|g; s|@ORIGIN_PORT@|${origin##*:}|g" \
        -e "s|@DIR@|$dir|g; s|@TMPFS@|$store|g; s|@MEMORY@|$memory|g; s|@USER@|$user|g; s|@WHO@|$who|g" \
        -e "s|@FILES@|$(ulimit -n)|g; s|@OPEN_FILES@|$(($(ulimit -n) / 2 < 100000 ? $(ulimit -n) / 2 : 100000))|g" \
        "$peer_files/$1"
}

# Each: configure_PEER; $dir and $store (on tmpfs) are its own, $port, $origin and $memory (MiB) are given.

configure_nginx() {
    fill_in nginx.conf >"$dir/nginx.conf"
    command=(nginx -p "$dir" -e "$dir/nginx-error.log" -c "$dir/nginx.conf")
}

configure_haproxy() {
    fill_in haproxy.cfg >"$dir/haproxy.cfg"
    # -db: stays in the foreground.
    command=(haproxy -db -f "$dir/haproxy.cfg")
}

configure_varnish() {
    local setting parameters=()
    fill_in varnish.vcl >"$dir/bench.vcl"
    while read -r setting; do
        parameters+=(-p "$setting")
    done < <(sed 's|[[:space:]]*#.*||; /^$/d' "$peer_files/varnish.params")
    # -F: in the foreground. -n on tmpfs: "the working directory should be on a memory-backed file system".
    # -j none: no other users are needed for it. No management port.
    command=(varnishd -F -n "$store" -j none -a "127.0.0.1:$port" -f "$dir/bench.vcl" -s "malloc,${memory}m"
        -T none "${parameters[@]}")
}

configure_trafficserver() {
    local file
    mkdir -p "$dir/etc" "$dir/run" "$dir/log" "$dir/cache"
    for file in records.config remap.config storage.config ip_allow.yaml; do
        fill_in "trafficserver/$file" >"$dir/etc/$file"
    done
    fill_in trafficserver/runroot.yaml >"$dir/runroot.yaml"
    [[ $(id -u) -ne 0 ]] || chown -R trafficserver: "$dir" "$store"
    command=(traffic_server "--run-root=$dir/runroot.yaml")
}

# configure PEER MEMORY: sets $command and $port
configure() {
    memory=$2
    port=$(free_port) || return 1
    dir=$work/$1
    store=$tmpfs/$1
    mkdir -p "$dir" "$store"
    "configure_$1"
}

try_to_start() { # try_to_start PEER MEMORY
    configure "$1" "$2"
    start_quiet "$server_core" "$1" "${command[@]}"
    if ! wait_until_answers "${started[-1]}" "127.0.0.1:$port"; then
        stop "${started[-1]}"
        return 1
    fi
    trees[$1]=${started[-1]}
    base[$1]=127.0.0.1:$port
}

start_peer() { # start_peer PEER MEMORY: false: it cannot be measured, and $reason tells why
    if ! install_peer "$1"; then
        reason[$1]="not installed"
    elif ! try_to_start "$1" "$2" && ! try_to_start "$1" "$2"; then
        tail -n 15 "$work/$1.log" >&2
        reason[$1]="did not start"
    else
        return 0
    fi
    say "$1: ${reason[$1]}; going on without it"
    return 1
}

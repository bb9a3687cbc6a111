# shellcheck shell=bash
# Larder, the origin behind everybody, and the floor.
# shellcheck disable=SC2034,SC2154 # shared with the other parts

# Larder runs with its defaults, but for its memory, which is that of the others, and the pool of the proxy that
# serves objects of 1 MiB and more: twice the largest object.
readonly large_object=$((1024 * 1024))
readonly large_pool=(--segments 320)

start_origin() {
    start "$client_core" origin "$bin/larder_origin" --listen 127.0.0.1:0 --max-age 86400
    expect_line origin listening
    origin=$rest
}

start_floor() { # start_floor BYTES
    [[ -z ${base[floor-$1]:-} ]] || return 0
    start "$server_core" floor "$bin/bench_floor" "$1"
    expect_line floor listening
    base[floor-$1]=$rest
    trees[floor-$1]=${started[-1]}
}

start_cache() { # start_cache INSTANCE MEMORY [OPTION...]
    start "$server_core" "cache-$1" "$bin/cache_server" --instance "$1" --memory "${2}M" "${@:3}"
    expect_line "cache-$1" ready
}

start_proxy() { # start_proxy INSTANCE ADDRESS:PORT [OPTION...]: $rest is where it listens
    start "$server_core" "proxy-$1" "$bin/proxy_client" --instance "$1" --listen "$2" --origin "http://$origin" "${@:3}"
    expect_line "proxy-$1" "listening http"
}

start_larder() { # start_larder MEMORY: cache, proxy, and the proxy for large objects
    start_cache "$instance" "$1"
    trees[larder]=${started[-1]}
    start_proxy "$instance" 127.0.0.1:0
    trees[larder]+=" ${started[-1]}"
    base[larder]=$rest
    start_proxy "$instance" 127.0.0.1:0 "${large_pool[@]}"
    trees[larder]+=" ${started[-1]}"
    base[larder-large]=$rest
}

origin_requests() { curl -q -sS --noproxy '*' "http://$origin/_control/stats" | jq .requests; }

expected_body() { # expected_body BYTES: the file with the body of the object number 0
    [[ -e $work/body-$1 ]] || "$bin/larder_origin" --generate "$1:0" >"$work/body-$1"
    echo "$work/body-$1"
}

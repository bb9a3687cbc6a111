#!/usr/bin/env bash
# Either order of start works, and a cache that dies or freezes under load costs no client a request.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin order

KILLS=3

# ---- the proxy first ----

start_origin --max-age 3600
start_proxy first --cache-timeout 100
get_ok "$DIR/body" "http://${HTTP[first]}/a?size=5000"
cmp "$DIR/body" <(generated 5000) >&2 || fail "bytes differ without a cache"
expect_forwarded
expect_no_match "Cache-Status without a cache" "$(cache_status)" 'stored'
getfile_ok "$DIR/body" "${GETFILE[first]}" "/a?size=5000"
cmp "$DIR/body" <(generated 5000) >&2 || fail "bytes differ without a cache, over GETFILE"
expect_origin .requests 2

start_cache --memory 256M
wait_until "the proxy uses the cache that has come" is_hit first "/a?size=5000"
expect_cache .cache.proxies 1
start_proxy second --cache-timeout 100
await_proxies 2
wait_until "the second proxy finds what the first has stored" is_hit second "/a?size=5000"

# ---- the cache killed while a client is in the middle of an object that comes from it ----

is_hit first "/long?size=20M" || true
wait_until "the object comes from the cache" is_hit second "/long?size=20M"
expect_origin '.by_path["/long"]' 1
wait_until "nobody reads" cache_shows .cache.pins 0
start slow curl -sS --fail --max-time 60 --limit-rate 4M "http://${HTTP[second]}/long?size=20M"
wait_until "the client reads from the cache" cache_shows '.cache.pins > 0' true
kill_hard cache
await_end slow
expect_eq "curl's exit status" "$EXIT_STATUS" 0
cmp "$DIR/slow.out" <(generated 20M) >&2 || fail "bytes differ after the cache was lost in the middle"
expect_origin '.by_path["/long"]' 2 # the rest came from there
expect_below "bytes from the origin" "$(origin_stat .bytes)" $((40 * 1024 * 1024))
start_cache --memory 256M
wait_until "both proxies have registered again" cache_shows .cache.proxies 2

# ---- the cache killed under load ----

# Fetches objects of three sizes over and over, some by a slow reader. Each result is checked; every round
# leaves a line, so that the story knows how far the load has come.
load() { # PROXY NAME
    local size seed url
    while [[ ! -e $DIR/enough ]]; do
        for size in 1000 200000 3000000; do
            for seed in 1 2 3 4 5; do
                url="http://${HTTP[$1]}/load$size-$seed?size=$size&seed=$seed"
                if ! curl -sS --fail --max-time 60 "${@:3}" "$url" >"$DIR/$2.body" 2>"$DIR/$2.log"; then
                    echo "$url: $(cat "$DIR/$2.log")" >>"$DIR/failures"
                elif [[ $(sum "$DIR/$2.body") != "${SUM[$size-$seed]}" ]]; then
                    echo "$url: other bytes" >>"$DIR/failures"
                fi
                echo "$url" >>"$DIR/$2.rounds"
            done
        done
    done
}

rounds() { # of all loads together
    cat "$DIR"/*.rounds 2>/dev/null | wc -l
}

rounds_are_above() { # NUMBER
    (($(rounds) > $1))
}

hits_are_above() { # NUMBER
    (($(cache_stat .cache.hits) > $1))
}

go_on() { # ROUNDS: waits until the load has come that much further
    wait_until "the load goes on" rounds_are_above "$(($(rounds) + $1))"
}

declare -A SUM
for size in 1000 200000 3000000; do
    for seed in 1 2 3 4 5; do
        SUM[$size-$seed]=$(generated "$size:$seed" | sha256sum | cut -d' ' -f1)
    done
done
: >"$DIR/failures"
start load1 load first load1
start load2 load second load2
start load3 load first load3 --limit-rate 20M
start load4 load second load4 --limit-rate 20M

for ((kill = 0; kill < KILLS; kill++)); do
    wait_until "there are hits under load" hits_are_above 30
    epoch=$(cache_stat .cache.epoch)
    kill_hard cache
    go_on 30
    start_cache --memory 256M
    wait_until "both proxies have registered again" cache_shows .cache.proxies 2
    [[ $(cache_stat .cache.epoch) != "$epoch" ]] || fail "the epoch is the same"
    expect_eq "requests lost" "$(cat "$DIR/failures")" ""
done

# ---- the cache frozen under load ----

wait_until "there are hits under load" hits_are_above 30
send cache STOP
go_on 30
send cache CONT
wait_until "the cache answers again" cache_ctl ping
wait_until "both proxies are registered" cache_shows .cache.proxies 2
hits=$(cache_stat .cache.hits)
wait_until "there are hits again" hits_are_above "$hits"

touch "$DIR/enough"
for name in load1 load2 load3 load4; do
    await_end "$name"
done
expect_eq "requests lost" "$(cat "$DIR/failures")" ""
for name in first second; do
    is_alive "${PID[$name]}" || fail "the proxy $name has ended"
done
wait_until "no object is pinned any more" cache_shows .cache.pins 0
stop first
stop second
stop cache
e2e_done

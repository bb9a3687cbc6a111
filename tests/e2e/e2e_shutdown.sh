#!/usr/bin/env bash
# Every process ends in order when told to, finishing what is in flight; a killed proxy is cleared away.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin shutdown

# A client in the background. Its body is $DIR/NAME.out, its exit status that of curl.
start_client() { # NAME URL [CURL_OPTION...]
    start "$1" curl -sS --fail --max-time 120 "${@:3}" "$2"
}

expect_client() { # NAME SIZE: it got the whole generated body
    await_end "$1"
    expect_eq "curl's exit status of $1" "$EXIT_STATUS" 0
    cmp "$DIR/$1.out" <(generated "$2") >&2 || fail "the client $1 got other bytes"
}

refuses() { # ADDR:PORT
    ! (exec 3<>"/dev/tcp/${1%:*}/${1##*:}") 2>/dev/null
}

names_are() { # NUMBER
    [[ $(ipc_names | wc -l) -eq $1 ]]
}

start_origin --max-age 3600

# ---- a proxy, told to end while a response is under way, with and without a cache ----

ends_in_order() { # SIGNAL GATE
    start_proxy proxy
    [[ -z ${PID[cache]:-} ]] || await_proxies 1
    start_client client "http://${HTTP[proxy]}/hold-$2?size=300000&hold=$2"
    await_held "$2"
    send proxy "$1"
    wait_until "no new clients are taken" refuses "${HTTP[proxy]}"
    is_alive "${PID[proxy]}" || fail "the proxy did not finish its response"
    release "$2"
    expect_client client 300000
    await_end proxy
    expect_eq "exit status of the proxy" "$EXIT_STATUS" 0
}

for signal in TERM INT; do
    ends_in_order "$signal" "alone-$signal"
    expect_eq "names left" "$(ipc_names)" ""
done
start_cache --memory 256M
for signal in TERM INT; do
    ends_in_order "$signal" "cached-$signal"
    expect_eq "shared memory left" "$(ipc_names | grep /dev/shm || true)" ""
    wait_until "the proxy has left the cache" cache_shows .cache.proxies 0
done
expect_cache .cache.departures 2
expect_cache .cache.pins 0
expect_cache .cache.leases 0

# One whose response never ends is not waited for longer than its bound.
start_proxy stuck
start_client stuck_client "http://${HTTP[stuck]}/stuck?size=300000&hold=stuck"
await_held stuck
send stuck TERM

# ---- the cache, told to end while proxies use it ----

cache_ends_in_order() { # SIGNAL
    start_proxy reader
    wait_until "the object comes from the cache" is_hit reader "/large?size=60M"
    start_client slow "http://${HTTP[reader]}/large?size=60M" --limit-rate 9M # more than fits into the sockets, tcp_rmem and tcp_wmem
    wait_until "the client reads from the cache" cache_shows '.cache.pins > 0' true
    stop cache "$1"
    expect_client slow 60M
    get_ok "$DIR/body" "http://${HTTP[reader]}/large?size=60M"
    expect_forwarded
    expect_eq "the command queue is gone" "$(ipc_names | grep -cx "/dev/mqueue/larder.$INSTANCE" || true)" 0
    stop reader
}

cache_ends_in_order TERM
start_cache --memory 256M
cache_ends_in_order INT

await_end stuck # (it ended long before this, without a cache and with a client that waits)
expect_eq "exit status of the stuck proxy" "$EXIT_STATUS" 0
await_end stuck_client
[[ $EXIT_STATUS -ne 0 ]] || fail "the response that could not be finished looked whole"
release stuck
expect_eq "names left" "$(ipc_names)" ""

# ---- cache_ctl, interrupted while a frozen cache does not answer ----

start_cache --memory 256M
send cache STOP
start ctl "$BIN/cache_ctl" --instance "$INSTANCE" --timeout 60 stats
wait_until "cache_ctl has its pool" has_peer_pools 1
send ctl INT
await_end ctl
wait_until "cache_ctl has left nothing" has_peer_pools 0
send cache CONT

# ---- a proxy killed while clients read, and another one that goes on ----

start_proxy victim
start_proxy witness
await_proxies 2
names=$(ipc_names | wc -l)
get_ok "$DIR/body" "http://${HTTP[victim]}/shared?size=60M"
wait_until "it is stored" cache_shows '.cache.objects == 1 and .cache.leases == 0' true
start_client reading "http://${HTTP[victim]}/shared?size=60M" --limit-rate 6M
wait_until "an object is pinned" cache_shows '.cache.pins > 0' true
start_client watching "http://${HTTP[witness]}/shared?size=60M" --limit-rate 60M
start_client filling "http://${HTTP[victim]}/half?size=300000&hold=half"
await_held half
wait_until "a key is being filled" cache_shows '.cache.leases > 0' true

kill_hard victim
wait_until "the killed proxy is gone" cache_shows .cache.proxies 1
wait_until "its leases are free" cache_shows .cache.leases 0
expect_cache .cache.proxies_reclaimed 1
expect_cache '.proxies | map(.pid) | .[]' "${PID[witness]}"
expect_client watching 60M
wait_until "nothing is pinned" cache_shows .cache.pins 0
wait_until "its names are swept" names_are "$((names / 2 + names % 2))"
await_end reading
await_end filling
release half

# What it had half filled is fetched anew, and whole.
get_ok "$DIR/body" "http://${HTTP[witness]}/half?size=300000&hold=half"
expect_forwarded
cmp "$DIR/body" <(generated 300000) >&2 || fail "bytes differ after a fill that was cut off"
get_ok "$DIR/body" "http://${HTTP[witness]}/shared?size=60M"
expect_hit
stop witness
stop cache

# ---- a proxy killed while no cache runs: the next one clears up ----

start_proxy lonely
wait_until "it has its pool" has_peer_pools 1
kill_hard lonely
has_peer_pools 1 || fail "nobody should have swept yet"
start_proxy next
wait_until "the dead proxy's names are swept" has_peer_pools 1
stop next
e2e_done

#!/usr/bin/env bash
# A proxy with few descriptors: clients beyond them wait in the kernel's line and are served when others have
# gone; those that it has keep what they are getting, and it keeps its registration.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin descriptors

CLIENTS=120 # each wants a response that does not end by itself, which takes the proxy two descriptors
FIRST=30    # of them get theirs at once
FEW=100

start_origin --max-age 3600
start_cache --memory 64M
start proxy prlimit --nofile=$FEW:$FEW "$BIN/proxy_client" --instance "$INSTANCE" --listen 127.0.0.1:0 \
    --origin "http://$ORIGIN" --max-connections 10000 --header-timeout 100
HTTP[proxy]=$(await_line proxy "listening http")
await_proxies 1
URL=http://${HTTP[proxy]}
get_ok "$DIR/body" "$URL/hit?size=1000"
wait_until "it is stored" is_hit proxy "/hit?size=1000"

descriptors() {
    find "/proc/${PID[proxy]}/fd" -mindepth 1 | wc -l
}
are_used_up() {
    (($(descriptors) >= FEW))
}
says_so() {
    grep -q 'connections have to wait' "$DIR/proxy.err"
}
start_clients() { # FROM TO
    local i
    for ((i = $1; i < $2; i++)); do
        start "c$i" curl -sS --noproxy '*' --max-time 100 -o "$DIR/c$i.body" -w '%{http_code}' \
            "$URL/slow$i?size=30000&hold=gate&hold_at=10000"
    done
}
# Clients that have sent half a request: with one descriptor each, all can be used up whatever their number is.
HALVES=()
half_a_request() {
    local connection
    exec {connection}<>"/dev/tcp/${HTTP[proxy]%:*}/${HTTP[proxy]##*:}"
    printf 'GET /half HTTP/1.1\r\n' >&"$connection"
    HALVES+=("$connection")
}
half_by_half() {
    are_used_up || { half_a_request && false; }
}
start_clients 0 "$FIRST"
await_held gate "$FIRST"
wait_until "its descriptors are used up" half_by_half
start_clients "$FIRST" "$CLIENTS"
wait_until "it says that clients have to wait" says_so
for ((i = 0; i < 5; i++)); do
    expect_cache .cache.proxies 1
    expect_cache .cache.registrations 1
done

# The others are let in as soon as the first have gone, and everybody gets an answer: all bytes, or a clear no
# for want of a descriptor to fetch them with.
release gate
for connection in "${HALVES[@]}"; do
    exec {connection}>&-
done
answered=0
for ((i = 0; i < CLIENTS; i++)); do
    await_end "c$i"
    expect_eq "exit status of client $i" "$EXIT_STATUS" 0
    if [[ $(<"$DIR/c$i.out") == 200 ]]; then
        cmp "$DIR/c$i.body" <(generated 30000) >&2 || fail "bytes differ for client $i"
        answered=$((answered + 1))
    else
        expect_match "status of client $i" "$(<"$DIR/c$i.out")" '^50[234]$'
    fi
done
((answered >= FIRST)) || fail "only $answered clients got their response"
get_ok "$DIR/body" "$URL/hit?size=1000"
expect_hit
expect_cache .cache.registrations 1
expect_cache .cache.proxies_dropped 0
have_room() { # the origin's connections are kept for a while
    (($(descriptors) < FEW * 3 / 4))
}
wait_until "there are free descriptors again" have_room
stop proxy
stop cache
e2e_done

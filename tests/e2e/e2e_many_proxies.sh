#!/usr/bin/env bash
# Without privileges and at the kernel's default limits: 64 idle proxies on one cache.
source "$(dirname "$0")/../support/e2e.sh"

PROXIES=64
NOBODY=65534

# The story itself, run without privileges.
crowd() {
    local i
    e2e_begin crowd
    start_origin --max-age 3600
    start_cache --memory 64M
    for ((i = 1; i <= PROXIES; i++)); do
        start "p$i" "$BIN/proxy_client" --instance "$INSTANCE" --listen 127.0.0.1:0 --cache-timeout 5000 --origin "http://$ORIGIN" \
            --segments 8 --segment-size 16K
    done
    for ((i = 1; i <= PROXIES; i++)); do
        HTTP[p$i]=$(await_line "p$i" "listening http")
    done
    await_proxies "$PROXIES"
    expect_cache '[.proxies[] | select(.state == "alive")] | length' "$PROXIES"
    expect_cache '[.proxies[].uid] | unique | .[]' "$(id -u)"
    expect_cache .cache.registrations_refused 0

    get_ok "$DIR/body" "http://${HTTP[p1]}/shared?size=100000"
    wait_until "it is stored" cache_shows .cache.fills 1
    for ((i = 1; i <= PROXIES; i++)); do
        get_ok "$DIR/body" "http://${HTTP[p$i]}/shared?size=100000"
        cmp "$DIR/body" <(generated 100000) >&2 || fail "bytes differ through proxy $i"
        expect_hit
    done
    expect_origin .requests 1

    kill_hard "p$PROXIES"
    await_proxies $((PROXIES - 1))
    for ((i = 1; i < PROXIES; i++)); do
        send "p$i" TERM
    done
    await_proxies 0
    stop_everything || fail "a process did not end"
    expect_eq "names left" "$(ipc_names)" ""
    e2e_done
}

# The executables where anybody can reach them.
public_tree() {
    PUBLIC=$(mktemp -d "${TMPDIR:-/tmp}/larder-e2e.XXXXXX")
    mkdir -p "$PUBLIC/bin" "$PUBLIC/tests/e2e" "$PUBLIC/tests/support" "$PUBLIC/scripts"
    cp "$BIN"/{cache_server,proxy_client,cache_ctl,larder_origin} "$PUBLIC/bin/"
    cp "$0" "$PUBLIC/tests/e2e/e2e_many_proxies.sh"
    cp "$E2E_ROOT/tests/support/e2e.sh" "$PUBLIC/tests/support/"
    cp "$E2E_ROOT/scripts/ipc_names.sh" "$PUBLIC/scripts/"
    chmod -R go+rX "$PUBLIC"
}

if [[ ${1:-} == unprivileged ]]; then
    crowd
    exit 0
fi
public_tree
trap 'rm -rf "$PUBLIC"' EXIT
drop=()
if [[ $(id -u) -eq 0 ]]; then
    drop=(setpriv --reuid="$NOBODY" --regid="$NOBODY" --clear-groups)
fi
env LARDER_BIN="$PUBLIC/bin" "${drop[@]}" bash "$PUBLIC/tests/e2e/e2e_many_proxies.sh" unprivileged

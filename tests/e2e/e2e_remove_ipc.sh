#!/usr/bin/env bash
# systemd's RemoveIPC=yes: all queues and pools of a user are unlinked while cache and proxies run. The proxies go
# on being served, the cache makes its queue anew, newcomers and cache_ctl find it.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin removeipc

start_origin --max-age 3600
start_cache --memory 64M
start_proxy first
start_proxy second
await_proxies 2
get_ok "$DIR/body" "http://${HTTP[first]}/x?size=300000"
wait_until "it is stored" is_hit second "/x?size=300000"

remove_names || true
[[ -z $(find /dev/shm -name "larder.$INSTANCE.*") ]] || fail "the pools still have their names"
wait_until "the cache has made its queue anew" cache_ctl ping >/dev/null 2>&1
if [[ $(cache_stat .cache.renames) == 0 ]]; then
    stop first
    stop second
    stop cache
    skip "only root may remove a queue that is not mounted"
fi
expect_cache .cache.renames 1

for name in first second; do
    get_ok "$DIR/body" "http://${HTTP[$name]}/x?size=300000"
    cmp "$DIR/body" <(generated 300000) >&2 || fail "bytes differ through $name"
    expect_hit
done
get_ok "$DIR/body" "http://${HTTP[first]}/new?size=70000"
wait_until "what is new is shared" is_hit second "/new?size=70000"
start_proxy third
await_proxies 3
get_ok "$DIR/body" "http://${HTTP[third]}/x?size=300000"
cmp "$DIR/body" <(generated 300000) >&2 || fail "bytes differ through the newcomer"
expect_hit
expect_origin '.by_path["/x"]' 1
expect_cache .cache.registrations 3
expect_cache .cache.proxies_dropped 0

# Their deaths and the cache's are still seen.
kill_hard second
await_proxies 2
expect_cache .cache.proxies_reclaimed 1
kill_hard cache
start_cache --memory 64M
await_proxies 2
stop first
stop third
stop cache
e2e_done

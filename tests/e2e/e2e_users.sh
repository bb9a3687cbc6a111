#!/usr/bin/env bash
# Several users: one cache for proxies of different users, each for the tenants that name it, and nobody else. With
# real uids and gids, which no user of the host needs to have.
source "$(dirname "$0")/../support/e2e.sh"
[[ $(id -u) -eq 0 ]] || skip "only root can become other users"
setpriv --reuid=61001 --regid=61001 --groups=61100 true 2>/dev/null || skip "no other users are permitted here"
e2e_begin users

CACHE=61001 NEWS=61002 SHOP=61003 STRANGER=61004      # users
SENDERS=61100 NEWS_GROUP=61102 SHOP_GROUP=61103       # groups: who may send to the cache; the cache and a tenant's
chmod 711 "$DIR"
install -m 755 "$BIN/cache_server" "$BIN/proxy_client" "$BIN/cache_ctl" "$DIR/"

as() { # UID GROUPS COMMAND...
    setpriv --reuid="$1" --regid="$1" --groups="$2" "${@:3}"
}

cat >"$DIR/cache.conf" <<END
[cache]
group = $SENDERS
[tenant "news"]
uids = $NEWS
group = $NEWS_GROUP
[tenant "shop"]
uids = $SHOP
group = $SHOP_GROUP
[tenant "own"]
END
chmod 644 "$DIR/cache.conf"

start_origin --root "$DIR"
start_shared_cache() {
    start cache setpriv --reuid=$CACHE --regid=$CACHE --groups=$SENDERS,$NEWS_GROUP,$SHOP_GROUP \
        "$DIR/cache_server" --instance "$INSTANCE" --config "$DIR/cache.conf"
    await_line cache ready >/dev/null
}
start_shared_cache

cache_ctl() { # as the cache's own user
    as $CACHE $CACHE "$DIR/cache_ctl" --instance "$INSTANCE" "$@"
}

ctl_of() { # UID GROUPS GROUP COMMAND...
    as "$1" "$2" "$DIR/cache_ctl" --instance "$INSTANCE" --group "$3" --cache-user $CACHE "${@:4}"
}

proxy_of() { # NAME UID GROUPS [OPTION...]
    start "$1" setpriv --reuid="$2" --regid="$2" --groups="$3" "$DIR/proxy_client" --instance "$INSTANCE" \
        --origin "http://$ORIGIN" --listen 127.0.0.1:0 --cache-timeout 5000 "${@:4}"
    HTTP[$1]=$(await_line "$1" "listening http")
}

has_said() { # NAME WORDS
    grep -q "$2" "$DIR/$1.err"
}

expect_refused() { # NAME WORDS: it says so, and serves from the origin
    wait_until "$1 is refused" has_said "$1" "$2"
    get_ok "$DIR/body" "http://${HTTP[$1]}/$1?size=100"
    expect_match "Cache-Status of $1" "$(cache_status)" 'detail=no-cache-server'
    stop "$1"
}

# ---- allowed ----

proxy_of news $NEWS $SENDERS,$NEWS_GROUP --tenant news --group $NEWS_GROUP --cache-user $CACHE
proxy_of news2 $NEWS $SENDERS,$NEWS_GROUP --tenant news --group $NEWS_GROUP --cache-user $CACHE
queue_bytes=$(ulimit -S -q)
ulimit -S -q 7000 # for two queues, and it has one
proxy_of shop $SHOP $SENDERS,$SHOP_GROUP --tenant shop --group $SHOP_GROUP --cache-user $CACHE
ulimit -S -q "$queue_bytes"
proxy_of own $CACHE $CACHE --tenant own
await_proxies 4
expect_eq "who they are" "$(cache_stat '[.proxies[] | "\(.tenant) \(.uid)"] | unique | join(",")')" \
    "news $NEWS,own $CACHE,shop $SHOP"
PAGE="/page?size=30000&header=Cache-Control:%20max-age=600"
get_ok "$DIR/body" "http://${HTTP[news]}$PAGE"
expect_forwarded
wait_until "the other one of this tenant has it" is_hit news2 "$PAGE"
expect_same "$DIR/body" <(generated 30000)
get_ok "$DIR/body" "http://${HTTP[shop]}$PAGE" # another tenant has not
expect_forwarded
expect_eq "requests" "$(requests_to /page)" 2

# What they have made is theirs and their group's, of which the other tenant is no member; what the cache has made,
# others may only send to.
expect_eq "pools" "$(find /dev/shm -name "larder.$INSTANCE.*" -printf '%U %G %m\n' | sort -u | xargs)" \
    "$CACHE $CACHE 600 $NEWS $NEWS_GROUP 660 $SHOP $SHOP_GROUP 660"
pool=$(find /dev/shm -name "larder.$INSTANCE.*" -uid $NEWS | head -n 1)
! as $SHOP $SENDERS,$SHOP_GROUP head -c 1 "$pool" >/dev/null 2>&1 || fail "one tenant reads another's pool"

# ---- refused ----

proxy_of wrong-tenant $NEWS $SENDERS,$NEWS_GROUP --tenant shop --group $NEWS_GROUP --cache-user $CACHE
expect_refused wrong-tenant 'this user may not use this cache'
proxy_of unknown-tenant $NEWS $SENDERS,$NEWS_GROUP --tenant neither --group $NEWS_GROUP --cache-user $CACHE
expect_refused unknown-tenant 'this user may not use this cache'
proxy_of unlisted $NEWS $SENDERS,$NEWS_GROUP --tenant own --group $NEWS_GROUP --cache-user $CACHE # for the cache's own
expect_refused unlisted 'this user may not use this cache'
proxy_of own-news $CACHE $CACHE --tenant news # named is another one
expect_refused own-news 'this user may not use this cache'
proxy_of wrong-group $NEWS $SENDERS,$NEWS_GROUP --tenant news --group $SENDERS --cache-user $CACHE
expect_refused wrong-group 'this user may not use this cache'
proxy_of no-member $STRANGER $STRANGER --tenant news
expect_refused no-member 'cannot open the cache.*Permission denied'
proxy_of stranger $STRANGER $SENDERS --tenant news --group $SENDERS --cache-user $CACHE
# The cache does not answer those whom no tenant names: for them it is as if there were none.
expect_refused stranger 'does not answer'
proxy_of distrustful $NEWS $SENDERS,$NEWS_GROUP --tenant news --group $NEWS_GROUP
expect_refused distrustful 'only a cache of this user, of root or of --cache-user is trusted'
proxy_of misled $NEWS $SENDERS,$NEWS_GROUP --tenant news --group $NEWS_GROUP --cache-user $STRANGER
expect_refused misled 'only a cache of this user, of root or of --cache-user is trusted'
expect_eq "a group that it is no member of" \
    "$(as $NEWS $SENDERS "$DIR/proxy_client" --instance "$INSTANCE" --origin http://127.0.0.1:9 --listen 127.0.0.1:0 \
        --group $SHOP_GROUP 2>&1 | grep -c 'has to be a member')" 1

# ---- statistics and reloads ----

stats=$(ctl_of $NEWS $SENDERS,$NEWS_GROUP $NEWS_GROUP stats --json)
expect_eq "tenants that news sees" "$(gojq -r '[.tenants[].name] | join(",")' <<<"$stats")" news
expect_eq "proxies that news sees" "$(gojq -r '[.proxies[].tenant] | unique | join(",")' <<<"$stats")" news
expect_eq "what news sees of all" "$(gojq -r '.cache.hits' <<<"$stats")" 0
expect_eq "tenants that the cache's user sees" "$(cache_stat '[.tenants[].name] | sort | join(",")')" news,own,shop
expect_eq "tenants that root sees" \
    "$("$DIR/cache_ctl" --instance "$INSTANCE" --group $SENDERS --cache-user $CACHE stats --json |
        gojq -r '[.tenants[].name] | sort | join(",")')" news,own,shop
status=0
ctl_of $NEWS $SENDERS,$NEWS_GROUP $NEWS_GROUP reload 2>"$DIR/err" || status=$?
expect_eq "reload by news" "$status $(cat "$DIR/err")" "2 cache_ctl: this registration may not ask for that"
# Purging: of what it may serve.
expect_eq "purge by news" "$(ctl_of $NEWS $SENDERS,$NEWS_GROUP $NEWS_GROUP purge --tenant news --all --json)" \
    '{"purged":1,"cancelled":0,"collecting":false}'
for tenant in shop own neither; do
    status=0
    ctl_of $NEWS $SENDERS,$NEWS_GROUP $NEWS_GROUP purge --tenant $tenant --all 2>"$DIR/err" || status=$?
    expect_eq "purge of $tenant by news" "$status $(cat "$DIR/err")" "2 cache_ctl: this user may not use this cache"
done
expect_eq "objects of shop" "$(cache_stat '.tenants[] | select(.name == "shop") | .objects')" 1
expect_eq "purge by root" \
    "$("$DIR/cache_ctl" --instance "$INSTANCE" --group $SENDERS --cache-user $CACHE purge --tenant shop --all --json)" \
    '{"purged":1,"cancelled":0,"collecting":false}'
status=0
ctl_of $STRANGER $SENDERS $SENDERS --timeout 1 stats >/dev/null 2>"$DIR/err" || status=$?
expect_eq "statistics for a stranger" "$status" 75

# The doctor tells of each user what its queues take, and of which limit: that of one of its own processes.
as 0 0 "$DIR/cache_ctl" --instance "$INSTANCE" doctor >"$DIR/doctor" || true
for uid in $CACHE $NEWS $SHOP; do
    expect_eq "findings on queues of $uid" "$(grep -c "queue bytes *queues of uid $uid .* take " "$DIR/doctor")" 1
done
expect_match "the cache's user" "$(cat "$DIR/doctor")" "uid $CACHE .*RLIMIT_MSGQUEUE of this shell"
expect_match "user without room" "$(cat "$DIR/doctor")" \
    "WARN +queue bytes +queues of uid $SHOP .* of 6\.8 KiB \(RLIMIT_MSGQUEUE of process ${PID[shop]}\)"

# Whom another configuration does not name any more is dropped, whom it names comes in.
sed -i "s/^uids = $NEWS/uids = $STRANGER/" "$DIR/cache.conf"
cache_ctl reload
wait_until "news is dropped" cache_shows '[.proxies[].tenant] | sort | join(",")' own,shop
sed -i "s/^uids = $STRANGER/uids = $NEWS/" "$DIR/cache.conf"
cache_ctl reload
wait_until "news is back" cache_shows '[.proxies[].tenant] | sort | join(",")' news,news,own,shop

# ---- deaths: of a proxy, and of the cache ----

kill_hard news2
wait_until "its death is seen" cache_shows '[.proxies[].tenant] | sort | join(",")' news,own,shop
kill_hard cache
start_shared_cache # takes the queue over
await_proxies 3
for name in news shop own; do
    stop "$name"
done
# The names of the dead one are its user's to remove: by the next proxy or cache_ctl of that user, once they are old
# enough.
are_swept() {
    ctl_of $NEWS $SENDERS,$NEWS_GROUP $NEWS_GROUP ping >/dev/null && has_peer_pools 0
}
wait_until "names of the dead are gone" are_swept
stop cache
e2e_done

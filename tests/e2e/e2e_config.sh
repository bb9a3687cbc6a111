#!/usr/bin/env bash
# Configuration files: started by file, options win, --check, reloads that are good, bad or ask for what cannot be,
# and the rules of [cache-rules] between two proxies.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin config

CACHE_CONF=$DIR/cache.conf
PROXY_CONF=$DIR/proxy.conf

refused() { # STATUS WORDS COMMAND...
    local status=0
    timeout "$DEADLINE" "${@:3}" >"$DIR/out" 2>"$DIR/err" </dev/null || status=$?
    expect_eq "exit status of ${*:3}" "$status" "$1"
    expect_match "its message" "$(cat "$DIR/err")" "$2"
}

write() { # FILE: standard input, put in its place in one go
    cat >"$1.new"
    mv "$1.new" "$1"
}

said() { # PROCESS WORDS NUMBER: so many lines of its log have them
    [[ $(grep -c "$2" "$DIR/$1.err") -ge $3 ]]
}

# ---- what is shipped: examples that are right, manual pages with every option and key ----

"$BIN/cache_server" --config "$E2E_ROOT/packaging/cache.conf" --check >"$DIR/keys"
"$BIN/proxy_client" --config "$E2E_ROOT/packaging/proxy.conf" --check >>"$DIR/keys"
for page in cache_server.8 proxy_client.8 cache_ctl.1; do
    for option in $("$BIN/${page%.*}" --help | grep -o -- '--[a-z][a-z-]*' | sort -u); do
        grep -qE -- "Fl -${option#--}\b|^\.Fl $option" "$E2E_ROOT/packaging/man/$page" || fail "$page has no $option"
    done
done
while read -r key; do
    grep -qE "(Cm|,) $key\b" "$E2E_ROOT/packaging/man/larder.conf.5" || fail "larder.conf.5 has no $key"
done < <(sed -n 's/ =.*//p' "$DIR/keys" | sort -u)

# ---- --check: all that is wrong, with lines; or what would be in force ----

write "$CACHE_CONF" <<'END'
[cache]
memory = 64
lease-time = 3x

[tenant "news"]
reserve = 1G
wieght = 3
END
refused 2 'cache.conf:2: memory: "64" is out of range' "$BIN/cache_server" --config "$CACHE_CONF" --check
expect_match "line 3" "$(cat "$DIR/err")" 'cache.conf:3: lease-time: "3x" has no unit of time'
expect_match "line 7" "$(cat "$DIR/err")" 'cache.conf:7: unknown key "wieght" in \[tenant\]; did you mean "weight"\?'
expect_match "the sum" "$(cat "$DIR/err")" 'reserves \(1G together\) are more than memory \(512M\)'
expect_eq "lines" "$(wc -l <"$DIR/err")" 4
refused 2 'cache.conf:7' "$BIN/cache_server" --config "$CACHE_CONF" --instance "$INSTANCE" # nor does it start
refused 2 'cannot be opened: No such file' "$BIN/cache_server" --config "$DIR/none"
refused 2 'is not a regular file' "$BIN/proxy_client" --config "$DIR"
echo '[proxi]' >"$PROXY_CONF"
refused 2 'unknown section \[proxi\]; did you mean \[proxy\]' "$BIN/proxy_client" --config "$PROXY_CONF" --check
expect_match "what is missing" "$(cat "$DIR/err")" '--listen ADDR:PORT is missing'
expect_eq "names left" "$(ipc_names)" ""

write "$CACHE_CONF" <<END
[cache]
instance = not-this-one
memory = 64M
lease-time = 7s

[tenant "news"]
max-proxies = 2
END
"$BIN/cache_server" --config "$CACHE_CONF" --instance "$INSTANCE" --check >"$DIR/shown"
grep -qx "instance = $INSTANCE" "$DIR/shown" || fail "an option does not win: $(cat "$DIR/shown")"
grep -qx "memory = 64M" "$DIR/shown" || fail "the file is not read"
"$BIN/cache_server" --config "$DIR/shown" --check >"$DIR/again" # what is shown is a file
expect_same "$DIR/shown" "$DIR/again"

# ---- started by file ----

start_origin --root "$DIR"
start_cache --config "$CACHE_CONF" --memory 128M
expect_cache .cache.bytes_allowed $((128 << 20))

write "$PROXY_CONF" <<END
[proxy]
instance = $INSTANCE
tenant = news
cache-timeout = 5s
[listen]
http = 127.0.0.1:0, 127.0.0.1:0
getfile = 127.0.0.1:0
[origin]
url = http://$ORIGIN
[cache-rules]
ignore-query = utm_*, fbclid
negative 404 = 1h
negative 503 = 1h
bypass-cookie = session
bypass-header = X-Preview
refuse-methods = DELETE
END
for name in one two; do
    start $name "$BIN/proxy_client" --config "$PROXY_CONF"
    await_line $name "listening getfile" >/dev/null
    mapfile -t addresses < <(sed -n 's/^listening http *//p' "$DIR/$name.out")
    expect_eq "addresses of $name" "${#addresses[@]}" 2
    HTTP[$name]=${addresses[0]}
    HTTP[$name-too]=${addresses[1]}
done
await_proxies 2
expect_eq "their tenant" "$(cache_stat '[.proxies[].tenant] | unique[]')" news

# A third one is too many for this tenant, and serves from its origin.
start_proxy three --tenant news
wait_until "it is refused" said three 'as many registrations as it allows' 1
get_ok "$DIR/body" "http://${HTTP[three]}/third?size=10"
stop three

# ---- rules, between two proxies ----

await_stored() {
    wait_until "no fill is under way" cache_shows .cache.leases 0
}

ONE=http://${HTTP[one]}
TWO=http://${HTTP[two]}

# One copy, whatever the ignored parameters say; the origin gets them.
get_ok "$DIR/body" "$ONE/page?a=1&utm_source=mail&size=500&header=Cache-Control:%20max-age=600"
expect_forwarded
expect_match "the origin's target" "$(origin_control last | head -n 1)" 'utm_source=mail'
await_stored
get_ok "$DIR/body" "$TWO/page?a=1&size=500&header=Cache-Control:%20max-age=600&fbclid=7"
expect_hit
get_ok "$DIR/body" "http://${HTTP[two-too]}/page?utm_x&a=1&size=500&header=Cache-Control:%20max-age=600"
expect_hit
expect_eq "requests" "$(requests_to /page)" 1
get_ok "$DIR/body" "$TWO/page?a=2&size=500&header=Cache-Control:%20max-age=600" # another parameter is another page
expect_forwarded
# An unsafe method removes the copy, under whatever name.
get_ok "$DIR/body" "$TWO/page?a=1&size=500&header=Cache-Control:%20max-age=600&utm_z=1" -X POST -d x
get_ok "$DIR/body" "$ONE/page?a=1&size=500&header=Cache-Control:%20max-age=600"
expect_forwarded

# Errors that say nothing of their freshness; one that does is taken at its word.
get_status 404 "$DIR/body" "$ONE/none?status=404"
await_stored
get_status 404 "$DIR/body" "$TWO/none?status=404"
expect_hit
get_status 503 "$DIR/body" "$ONE/down?status=503"
await_stored
get_status 503 "$DIR/body" "$TWO/down?status=503"
expect_hit
expect_eq "requests" "$(requests_to /none) $(requests_to /down)" "1 1"
get_status 404 "$DIR/body" "$ONE/never?status=404&header=Cache-Control:%20no-store"
get_status 404 "$DIR/body" "$TWO/never?status=404&header=Cache-Control:%20no-store"
expect_eq "requests" "$(requests_to /never)" 2
# What may be served in an error's place stays.
STALE='header=Cache-Control:%20max-age=1,%20stale-if-error=0&header=Age:%20100&header=ETag:%20%22x%22'
get_ok "$DIR/body" "$ONE/kept?size=10&$STALE"
await_stored
objects=$(cache_stat .cache.objects)
origin_control 'fail?n=503' >/dev/null
get_status 503 "$DIR/body" "$TWO/kept?size=10&$STALE"
origin_control 'fail?n=0' >/dev/null
await_stored
expect_cache .cache.objects "$objects"
get_ok "$DIR/body" "$TWO/kept?size=10&$STALE"

# Passed by: neither looked up nor stored.
get_ok "$DIR/body" "$ONE/mine?size=10&header=Cache-Control:%20max-age=600" -H 'Cookie: a=b; session=1'
expect_match "Cache-Status" "$(cache_status)" 'fwd=bypass; detail=bypass-cookie'
get_ok "$DIR/body" "$ONE/mine?size=10&header=Cache-Control:%20max-age=600" -H 'X-Preview: 1'
expect_match "Cache-Status" "$(cache_status)" 'fwd=bypass; detail=bypass-header'
get_ok "$DIR/body" "$TWO/mine?size=10&header=Cache-Control:%20max-age=600" -H 'Cookie: a=session'
expect_match "Cache-Status" "$(cache_status)" 'fwd=uri-miss; stored'
await_stored
get_ok "$DIR/body" "$ONE/mine?size=10&header=Cache-Control:%20max-age=600"
expect_hit
get_ok "$DIR/body" "$ONE/mine?size=10&header=Cache-Control:%20max-age=600" -H 'Cookie: session=1'
expect_match "Cache-Status" "$(cache_status)" 'fwd=bypass; detail=bypass-cookie'
expect_eq "requests" "$(requests_to /mine)" 4

# Refused, and the origin is not asked.
before=$(requests_to /mine)
get_status 405 "$DIR/body" "$ONE/mine" -X DELETE
expect_eq "Allow" "$(header Allow)" "GET, HEAD, POST, PUT, PATCH, OPTIONS, TRACE"
expect_match "Cache-Status" "$(cache_status)" 'detail=method-refused'
get_status 405 "$DIR/body" "$ONE/mine" -X DELETE -d "$(printf 'x%.0s' {1..5000})"
expect_eq "requests" "$(requests_to /mine)" "$before"

# ---- the proxy reads its file again ----

sed -i 's/^ignore-query.*/ignore-query = fbclid/; s/^refuse-methods.*/allow-methods = PUT/' "$PROXY_CONF"
send one HUP
wait_until "it is applied" said one 'configuration applied' 1
get_ok "$DIR/body" "$ONE/page?a=1&utm_source=mail&size=500&header=Cache-Control:%20max-age=600"
expect_forwarded # utm_source tells pages apart now
get_status 405 "$DIR/body" "$ONE/page" -X POST -d x
expect_eq "Allow" "$(header Allow)" "GET, HEAD, PUT"
get_status 405 "$DIR/body" "$ONE/page" -X TRACE -H 'Max-Forwards: 0' # nor is it answered here
get_ok "$DIR/body" "$TWO/page?size=10" -X POST -d x # the other one was not asked to
# All or nothing: neither the good half of a bad file nor what cannot change.
{ sed 's/^allow-methods.*//' "$PROXY_CONF" && echo 'negative 404 = 5q'; } | write "$DIR/proxy.bad"
cp "$PROXY_CONF" "$DIR/proxy.good"
cp "$DIR/proxy.bad" "$PROXY_CONF"
send one HUP
wait_until "it is refused" said one "configuration is not applied.*negative 404: '5q' has no unit" 1
get_status 405 "$DIR/body" "$ONE/page" -X POST -d x
sed 's/^tenant = .*/tenant = other/; s/^allow-methods.*//' "$DIR/proxy.good" | write "$PROXY_CONF"
send one HUP
wait_until "it is refused" said one "configuration is not applied.*tenant in \[proxy\] cannot change" 1
get_status 405 "$DIR/body" "$ONE/page" -X POST -d x
rm "$PROXY_CONF"
send one HUP
wait_until "it is refused" said one "configuration is not applied.*cannot be opened" 1
get_status 405 "$DIR/body" "$ONE/page" -X POST -d x
# SIGUSR1 tells the counters and reads nothing; without a file SIGHUP only opens the log anew.
send one USR1
wait_until "it tells its counters" said one 'requests refused so far' 1
expect_eq "configurations applied" "$(grep -c 'configuration applied' "$DIR/one.err")" 1

# ---- the cache reads its file again ----

sed -i 's/^lease-time.*/lease-time = 9s/' "$CACHE_CONF"
cache_ctl reload || fail "a good file is refused"
expect_match "the log" "$(cat "$DIR/cache.err")" 'msg="configuration applied".* memory=128M' # the option still wins
sed -i 's/^max-proxies.*/max-proxies = many/; s/^\[cache\]/[cash]/' "$CACHE_CONF"
refused 2 'cache.conf:1: unknown section \[cash\]; did you mean \[cache\]' "$BIN/cache_ctl" --instance "$INSTANCE" reload
expect_match "the other mistake" "$(cat "$DIR/err")" 'cache.conf:7: max-proxies: "many" is not a number'
expect_match "what it means" "$(cat "$DIR/err")" 'not applied: 2 problems'
sed -i 's/^max-proxies.*/max-proxies = 3/; s/^\[cash\]/[cache]/; s/^memory.*/stall-time = 3s/' "$CACHE_CONF"
refused 2 'stall-time in \[cache\] cannot change.*in force: stall-time = 1s; wanted: stall-time = 3s' \
    "$BIN/cache_ctl" --instance "$INSTANCE" reload
applied=$(grep -c 'configuration applied' "$DIR/cache.err")
send cache HUP
wait_until "the log says so" said cache 'configuration is not applied.*stall-time' 2
expect_eq "configurations applied" "$(grep -c 'configuration applied' "$DIR/cache.err")" "$applied"
sed -i '/^stall-time/d' "$CACHE_CONF"
send cache HUP
wait_until "it is applied" said cache 'configuration applied' $((applied + 1))
start_proxy three --tenant news # there is room for it now
await_proxies 3
stop three
stop one
stop two
stop cache

# ---- memory that shrinks, with something in it ----

write "$CACHE_CONF" <<END
[cache]
memory = 64M
group = $(id -g)
[tenant "news"]
uids = root
[tenant "default"]
reserve = 16M
END
start_cache --config "$CACHE_CONF"
start_proxy one
await_proxies 1
for i in {1..40}; do
    get_ok "$DIR/body" "http://${HTTP[one]}/large$i?size=1000000&header=Cache-Control:%20max-age=600"
done
await_stored
expect_cache '.cache.objects >= 40' true
expect_cache '.tenants[] | select(.name == "default") | "\(.bytes_reserved) \(.weight)"' "$((16 << 20)) 1"
sed -i 's/^memory.*/memory = 8M/; s/^reserve.*/&\nweight = 3/' "$CACHE_CONF" # all of it or nothing
refused 2 "cache.conf:6: the tenants' reserves \(16M together\) are more than memory \(8M\)" \
    "$BIN/cache_ctl" --instance "$INSTANCE" reload
expect_cache .cache.bytes_allowed $((64 << 20))
expect_cache '.tenants[] | select(.name == "default") | "\(.bytes_reserved) \(.weight)"' "$((16 << 20)) 1"
sed -i 's/^reserve.*/reserve = 6M/; s/^uids.*/uids = root, daemon, 4711/' "$CACHE_CONF" # a name that was not looked up yet
cache_ctl reload
wait_until "the memory has shrunk" cache_shows .cache.bytes_allowed $((8 << 20))
expect_cache '.cache.bytes_used <= 8388608' true
expect_cache '.tenants[] | select(.name == "default") | "\(.bytes_reserved) \(.weight)"' "$((6 << 20)) 3"
wait_until "the last one is a hit" is_hit one "/large40?size=1000000&header=Cache-Control:%20max-age=600"
sed -i 's/^memory.*/memory = 32M/' "$CACHE_CONF"
cache_ctl reload
expect_cache .cache.bytes_allowed $((32 << 20))
stop one
stop cache

# A cache without a file has nothing to read again, and goes on.
start_cache
refused 2 'without --config' "$BIN/cache_ctl" --instance "$INSTANCE" reload
send cache HUP
wait_until "the log says so" said cache 'without --config' 2
cache_ctl ping >/dev/null
stop cache
e2e_done

#!/usr/bin/env bash
# The edges: empty files, files around the size of a segment, odd names, the longest URLs and headers.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin sizes

repeat() { # COUNT CHARACTER
    printf "%${1}s" '' | tr ' ' "$2"
}

start_origin --root "$DIR" --max-age 3600
start_cache --memory 256M
start_proxy small --segments 64 --segment-size 4K
start_proxy large --segments 64 --segment-size 64K
await_proxies 2

# ---- sizes ----

round_trip() { # SIZE: filled through one proxy, read through both
    local url="/sized$1?size=$1"
    generated "$1" >"$DIR/wanted"
    get_ok "$DIR/body" "http://${HTTP[$FILLER]}$url"
    expect_same "$DIR/body" "$DIR/wanted"
    FILLED=$((FILLED + 1))
    wait_until "$1 bytes are stored" cache_shows .cache.fills "$FILLED"
    for proxy in small large; do
        get_ok "$DIR/body" "http://${HTTP[$proxy]}$url"
        expect_same "$DIR/body" "$DIR/wanted"
        expect_hit
        expect_eq "Content-Length of $1 bytes" "$(header Content-Length)" "$1"
    done
    expect_origin ".by_path[\"/sized$1\"]" 1
}

FILLED=0
FILLER=small
for size in 0 1 4095 4096 4097 8191 8192 8193 12295; do
    round_trip "$size"
done
FILLER=large
for size in 65535 65536 65537 131071 131072 131073 1000003; do
    round_trip "$size"
done

# Head and body share the first segment, so every size near a segment's is an edge of something.
FIRST=2900 LAST=4200 STEP=13
for proxy in small large small; do
    curl -sS --fail -o "$DIR/edge#1" "http://${HTTP[$proxy]}/edge?size=[$FIRST-$LAST:$STEP]" >/dev/null
    for ((size = FIRST; size <= LAST; size += STEP)); do
        expect_eq "size" "$(stat -c %s "$DIR/edge$size")" "$size"
        cmp "$DIR/edge$size" <(generated "$size") >&2 || fail "$size bytes differ through $proxy"
    done
done
expect_origin '.by_path["/edge"]' $(((LAST - FIRST) / STEP + 1))

# ---- names ----

mkdir "$DIR/dir"
echo "a space" >"$DIR/with space.txt"
echo "a slash" >"$DIR/dir/file.txt"
echo "a literal %2F" >"$DIR/dir%2Ffile.txt"
for round in small large; do
    get_ok "$DIR/body" "http://${HTTP[$round]}/with%20space.txt"
    expect_eq "name with a space" "$(cat "$DIR/body")" "a space"
    get_ok "$DIR/body" "http://${HTTP[$round]}/dir/file.txt"
    expect_eq "name with a slash" "$(cat "$DIR/body")" "a slash"
    get_ok "$DIR/body" "http://${HTTP[$round]}/dir%2Ffile.txt"
    expect_eq "name with %2F" "$(cat "$DIR/body")" "a literal %2F"
    [[ $round == small ]] || expect_hit
    wait_until "the names are stored" cache_shows .cache.leases 0
done
getfile_ok "$DIR/body" "${GETFILE[large]}" "/with space.txt"
expect_eq "name with a space over GETFILE" "$(cat "$DIR/body")" "a space"
getfile_ok "$DIR/body" "${GETFILE[large]}" "/dir%2Ffile.txt"
expect_eq "name with %2F over GETFILE" "$(cat "$DIR/body")" "a literal %2F"
for path in /with%20space.txt /dir/file.txt /dir%2Ffile.txt; do
    expect_origin ".by_path[\"$path\"]" 1
done

# ---- URLs ----

long_target() { # LENGTH
    local start="/long?size=100&pad="
    echo "$start$(repeat $(($1 - ${#start})) x)"
}

get_ok "$DIR/body" "http://${HTTP[large]}$(long_target 8192)"
cmp "$DIR/body" <(generated 100) >&2 || fail "an URL of 8 KiB gives other bytes"
wait_until "the URL of 8 KiB is stored" cache_shows .cache.leases 0
get_ok "$DIR/body" "http://${HTTP[large]}$(long_target 8192)"
expect_hit
get_ok "$DIR/body" "http://${HTTP[small]}$(long_target 8192)" # larger than a segment of this proxy
cmp "$DIR/body" <(generated 100) >&2 || fail "an URL of 8 KiB gives other bytes through small segments"
for length in 8193 20000; do
    get_status 414 "$DIR/body" "http://${HTTP[large]}$(long_target $length)"
done
expect_eq "last URL of 8 KiB reaches the origin at most twice" "$(origin_stat '.by_path["/long"] <= 2')" true

# ---- header fields ----

get_ok "$DIR/body" "http://${HTTP[large]}/fields?echo=1" -H "X-Big: $(repeat 8000 y)"
grep -q "^X-Big: y\{8000\}" "$DIR/body" || fail "a large field did not reach the origin"
get_status 431 "$DIR/body" "http://${HTTP[large]}/fields?echo=1" -H "X-Big: $(repeat 100000 y)"
seq -f 'header = "X-Field-%g: y"' 1 2000 >"$DIR/many.conf"
get_status 431 "$DIR/body" "http://${HTTP[large]}/fields?echo=1" -K "$DIR/many.conf"
expect_origin '.by_path["/fields"]' 1

# ---- HEAD, conditions and ranges ----

get_ok "$DIR/body" "http://${HTTP[large]}/head?size=5000" --head
expect_eq "Content-Length" "$(header Content-Length)" 5000
expect_origin .heads 1
get_ok "$DIR/body" "http://${HTTP[large]}/head?size=5000"
expect_forwarded # a HEAD stores nothing
wait_until "it is stored" cache_shows .cache.leases 0
requests=$(origin_stat .requests)
get_ok "$DIR/body" "http://${HTTP[small]}/head?size=5000" --head
expect_hit
expect_eq "Content-Length" "$(header Content-Length)" 5000
etag=$(header ETag)
date=$(header Last-Modified)
expect_match "ETag" "$etag" '^"g-'

get_status 304 "$DIR/body" "http://${HTTP[small]}/head?size=5000" -H "If-None-Match: \"other\", $etag"
expect_eq "body of a 304" "$(stat -c %s "$DIR/body")" 0
expect_eq "ETag of a 304" "$(header ETag)" "$etag"
get_status 304 "$DIR/body" "http://${HTTP[small]}/head?size=5000" -H "If-Modified-Since: $date"
get_ok "$DIR/body" "http://${HTTP[small]}/head?size=5000" -H 'If-None-Match: "other"'
cmp "$DIR/body" <(generated 5000) >&2 || fail "bytes differ"
expect_eq "a cached object needs no origin" "$(origin_stat .requests)" "$requests"

get_status 206 "$DIR/body" "http://${HTTP[large]}/range?size=5000" -r 1000-1999
cmp "$DIR/body" <(generated 5000 | tail -c +1001 | head -c 1000) >&2 || fail "the range differs"
get_status 416 "$DIR/body" "http://${HTTP[large]}/range?size=5000" -r 5000-

stop small
stop large
stop cache
e2e_done

#!/usr/bin/env bash
# ApacheBench and wrk against two proxies: nothing fails, every byte is right, the origin is asked once for each
# object, and the counters add up.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin load_tools

for tool in ab wrk; do
    command -v "$tool" >/dev/null || skip "$tool is missing; scripts/setup.sh test installs it"
done

FRESH='header=Cache-Control:%20max-age=600'
SIZES=(1 100 1000 4000 20000 65000 65536 70000 131072 131073 200000 250000)

# shellcheck disable=SC2119 # no option is needed
start_origin
start_cache --memory 64M
start_proxy proxy
start_proxy other
await_proxies 2

await_stored() {
    wait_until "no fill is under way" cache_shows .cache.leases 0
}

# ---- ApacheBench: HTTP/1.0 ----

# What ab reports behind a title, without blanks and units.
ab_said() { # TITLE
    sed -n "s/^$1: *\([0-9]*\).*/\1/p" "$DIR/ab"
}

# Every request is answered with 200 and a body of the same length.
run_ab() { # REQUESTS LENGTH PROXY TARGET [OPTION...]
    local requests=$1 length=$2
    ab -q -n "$requests" -c 8 "${@:5}" "http://${HTTP[$3]}$4" >"$DIR/ab" 2>&1 || fail "ab: $(cat "$DIR/ab")"
    expect_eq "answers" "$(ab_said 'Complete requests')" "$requests"
    expect_eq "failed requests: $(cat "$DIR/ab")" "$(ab_said 'Failed requests')" 0
    expect_eq "answers other than 2xx" "$(ab_said 'Non-2xx responses')" ""
    expect_eq "length" "$(ab_said 'Document Length')" "$length"
    expect_eq "bytes of bodies" "$(ab_said 'HTML transferred')" $((requests * length))
}

expect_kept() { # NUMBER: of requests whose connection was kept
    expect_eq "requests on kept connections" "$(ab_said 'Keep-Alive requests')" "$1"
}

# Once each; the rest are hits, through both proxies, whether the connections are kept or not.
served=0
for size in 2000 100000; do
    object="/ab?size=$size&$FRESH"
    get_ok "$DIR/body" "http://${HTTP[proxy]}$object"
    expect_forwarded
    await_stored
    for proxy in proxy other; do
        run_ab 300 "$size" "$proxy" "$object"
        run_ab 600 "$size" "$proxy" "$object" -k
        expect_kept 600
    done
    served=$((served + 1800 * size))
done
expect_eq "requests for what ab asked for" "$(requests_to /ab)" 2
expect_cache .cache.misses 2
expect_cache .cache.fills 2
expect_cache .cache.hits 3600
# Each proxy may once read the rest of the larger one again, to keep it; of the eight who ask at a time, those whom the
# cache has answered meanwhile share what is read.
bytes=$(cache_stat .cache.bytes_served)
expect_below "least bytes served" $((served - 2 * 8 * 100000)) "$bytes"
expect_below "bytes served" "$bytes" $((served + 2 * 100000))
expect_cache '[.proxies[].hits] | add' 3600
expect_cache '[.proxies[].hits] | min' 1800

# HEAD; 304 to all who have it.
run_ab 200 0 other "/ab?size=2000&$FRESH" -i -k
expect_kept 200
expect_eq "requests for what ab asked for" "$(requests_to /ab)" 2
expect_cache .cache.hits 3800

# What comes in chunks and is not stored ends with the connection, for a client that would keep it; once it is
# stored it has a length, and the connection is kept.
run_ab 100 30000 proxy "/ab-chunked?size=30000&chunked=1&header=Cache-Control:%20no-store" -k
expect_kept 0
expect_eq "requests for what is not stored" "$(requests_to /ab-chunked)" 100
get_ok "$DIR/body" "http://${HTTP[proxy]}/ab-stored?size=30000&chunked=1&$FRESH"
await_stored
run_ab 100 30000 other "/ab-stored?size=30000&chunked=1&$FRESH" -k
expect_kept 100
expect_eq "requests for what is stored" "$(requests_to /ab-stored)" 1

# Nobody has asked before: eight ask at once. From then on it is stored.
run_ab 200 50000 proxy "/ab-cold?size=50000&$FRESH" -k
asked=$(requests_to /ab-cold)
expect_below "requests of eight who ask at once" "$asked" 9
await_stored
run_ab 200 50000 other "/ab-cold?size=50000&$FRESH" -k
expect_eq "requests for what is stored" "$(requests_to /ab-cold)" "$asked"

# Requests with bodies are passed through, one by one.
generated 5000 >"$DIR/posted"
received=$(origin_stat .received)
run_ab 100 70000 proxy "/ab-posted?size=70000" -k -p "$DIR/posted"
expect_kept 100
run_ab 100 70000 other "/ab-posted?size=70000" -u "$DIR/posted"
expect_eq "requests with bodies" "$(requests_to /ab-posted)" 200
expect_origin .received $((received + 200 * 5000))

# ---- wrk: HTTP/1.1 on kept connections, every byte compared ----

# A generated body is the beginning of every longer one. Every third request is for a part.
generated 250000 >"$DIR/whole"
cat >"$DIR/check.lua" <<'END'
local threads = {}
function setup(thread)
    table.insert(threads, thread)
end
function init(args)
    local file = io.open(args[1], "rb")
    whole = file:read("*a")
    file:close()
    pipelined = tonumber(args[2])
    sizes, count, good, problem = {}, 0, 0, ""
    for i = 3, #args do
        sizes[#sizes + 1] = tonumber(args[i])
    end
end
local function one()
    local size = sizes[count % #sizes + 1]
    local part = count % 3 == 2 and size > 100 and {["Range"] = "bytes=50-" .. size / 2} or {}
    count = count + 1
    part["Host"] = wrk.headers["Host"]
    return wrk.format("GET", "/wrk-" .. size .. "?size=" .. size .. "&header=X-Size:%20" .. size ..
        "&header=Cache-Control:%20max-age=600", part)
end
function request()
    local texts = {}
    for i = 1, pipelined do
        texts[i] = one()
    end
    return table.concat(texts)
end
function response(status, fields, body)
    local size = tonumber(fields["X-Size"])
    local from, to = 1, size
    if status == 206 then
        from, to = 51, math.floor(size / 2) + 1
    end
    if status ~= 200 and status ~= 206 then
        problem = "status " .. status
    elseif body ~= string.sub(whole, from, to) then
        problem = "wrong bytes, " .. #body .. " of " .. to - from + 1
    elseif not string.find(fields["Cache-Status"], "^larder; hit") then
        problem = fields["Cache-Status"]
    else
        good = good + 1
    end
end
function done(summary)
    local e, good, problem = summary.errors, 0, ""
    for _, thread in ipairs(threads) do
        good = good + thread:get("good")
        problem = problem .. thread:get("problem")
    end
    io.write(string.format("RESULT %d %d %d %s\n", summary.requests, good,
        e.connect + e.read + e.write + e.status + e.timeout, problem))
end
END

run_wrk() { # NAME PIPELINED: for a second through both proxies
    local proxy said hits=0 before
    before=$(cache_stat .cache.hits)
    for proxy in proxy other; do
        start "$1-$proxy" wrk -t2 -c8 -d1s --timeout 20s -s "$DIR/check.lua" "http://${HTTP[$proxy]}" -- \
            "$DIR/whole" "$2" "${SIZES[@]}"
    done
    for proxy in proxy other; do
        await_end "$1-$proxy"
        expect_eq "wrk's exit status" "$EXIT_STATUS" 0
        said=$(grep '^RESULT' "$DIR/$1-$proxy.out") || fail "wrk: $(cat "$DIR/$1-$proxy.out")"
        read -r _ requests good errors problem <<<"$said"
        expect_eq "what wrk found" "$problem" ""
        expect_eq "errors" "$errors" 0
        expect_eq "answers that were right" "$good" "$requests"
        ((requests > 0)) || fail "wrk got no answer"
        hits=$((hits + requests))
    done
    # wrk leaves in the middle: what its connections had asked for then, it did not count.
    expect_below "hits that wrk did not count" $(($(cache_stat .cache.hits) - before - hits)) $((16 * $2 + 1))
    expect_below "hits that the cache did not count" $((hits - $(cache_stat .cache.hits) + before)) 1
}

for size in "${SIZES[@]}"; do
    get_ok "$DIR/body" "http://${HTTP[proxy]}/wrk-$size?size=$size&header=X-Size:%20$size&$FRESH"
    expect_forwarded
done
await_stored
misses=$(cache_stat .cache.misses)
origin_requests=$(origin_stat .requests)
run_wrk single 1
run_wrk pipelined 4
for size in "${SIZES[@]}"; do
    expect_eq "requests for an object of $size bytes" "$(requests_to "/wrk-$size")" 1
done
expect_origin .requests "$origin_requests"
expect_cache .cache.misses "$misses"

# ---- the end ----

expect_cache '([.proxies[].hits] | add) == .cache.hits' true
expect_cache '([.proxies[].misses] | add) == .cache.misses' true
expect_cache '([.proxies[].bytes_served] | add) == .cache.bytes_served' true
wait_until "nothing is pinned" cache_shows .cache.pins 0
stop proxy
stop other
expect_cache .cache.bad_requests 0
expect_cache .cache.leases 0
stop cache
e2e_done

# shellcheck shell=bash
# One measurement: the load, and what the servers' processes cost meanwhile.
# shellcheck disable=SC2154 # shared with the other parts

# wrk prints its own figures rounded; this prints them raw: requests, microseconds, errors, p50, p99, bytes.
# Arguments of a script: what stands before and behind the number in the URL, and numbers.
write_wrk_scripts() {
    cat >"$work/hit.lua" <<'END'
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format("RESULT %d %d %d %.1f %.1f %d\n", summary.requests, summary.duration,
        e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99),
        summary.bytes))
end
END
    cat "$work/hit.lua" - >"$work/uniform.lua" <<'END'
local head, tail, count
init = function(args)
    head, count = "GET " .. args[1], tonumber(args[2])
    tail = " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\n\r\n"
    math.randomseed(tonumber(args[3]) % 1000003)
end
request = function()
    return head .. math.random(0, count - 1) .. tail
end
END
    cat "$work/hit.lua" - >"$work/miss.lua" <<'END'
local head, tail, number
init = function(args)
    head, number = "GET " .. args[1], tonumber(args[3])
    tail = " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\n\r\n"
end
request = function()
    number = number + 1
    return head .. string.format("%d", number) .. tail
end
END
    { cat "$work/hit.lua" && printf 'local exponent = %s\n' "$zipf_exponent" && cat; } >"$work/mix.lua" <<'END'
local head, tail, number
local samples, drawn, turn = {}, 262144, 0
local function draw(count) -- by the inverse of the distribution
    local sums, sum = {}, 0
    for i = 1, count do
        sum = sum + i ^ -exponent
        sums[i] = sum
    end
    for i = 1, drawn do
        local wanted, low, high = math.random() * sum, 1, count
        while low < high do
            local middle = math.floor((low + high) / 2)
            if sums[middle] < wanted then low = middle + 1 else high = middle end
        end
        samples[i] = low - 1
    end
end
init = function(args)
    head, number = "GET " .. args[1], tonumber(args[3])
    tail = " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\n\r\n"
    math.randomseed(number % 1000003)
    draw(tonumber(args[2]))
end
request = function()
    turn = turn + 1
    if turn % 10 == 0 then
        number = number + 1
        return head .. string.format("%d", number) .. tail
    end
    return head .. samples[turn % drawn + 1] .. tail
end
END
}

# ---- processor time ------------------------------------------------------------------------------

cpu_snapshot() { # cpu_snapshot PID...: of each process of these families, "PID TICKS"
    local pid line
    local -a fields
    for pid in $(family_of "$@"); do
        { read -r line <"/proc/$pid/stat"; } 2>/dev/null || continue
        read -ra fields <<<"${line##*) }"
        echo "$pid $((fields[11] + fields[12]))"
    done
}

# Ticks that the processes of the second snapshot have had since the first. A process that has ended in between
# (nginx's cache loader does, after a minute) counts for nothing.
cpu_between() { # cpu_between BEFORE AFTER
    awk 'NR == FNR { before[$1] = $2; next } { sum += $2 - before[$1] } END { print sum + 0 }' <(echo "$1") <(echo "$2")
}

can_count_instructions() {
    has perf && perf stat -x, -e instructions true 2>&1 | grep -Eq '^[0-9]+,.*instructions'
}

# ---- the load ------------------------------------------------------------------------------------

new_numbers=1000000000 # of objects that nobody has asked for yet

# measure_load NAME CASE ADDRESS:PORT PID...: appends a line to result-NAME-CASE:
#   CPU microseconds a request, requests a second, p50, p99 (us), instructions a request or -, share at the origin
# False: the load saw errors or no answers.
measure_load() {
    local file=$work/result-$1-$2 address=$3 before after asked said instructions=- length=$seconds
    shift 3
    local -a counter=()
    if [[ -n $count_instructions ]]; then
        counter=(perf stat -x ',' -e instructions -o "$work/perf" -p "$(family_of "$@" | paste -sd, -)" --)
    fi
    # One gigabyte under way needs seconds to come to an end at all.
    ((connections * bytes <= 1 << 30 || length >= 6)) || length=6
    new_numbers=$((new_numbers + 50000000))
    asked=$(origin_requests)
    before=$(cpu_snapshot "$@")
    said=$(timeout $((length + 60)) "${counter[@]}" taskset -c "$client_core" wrk -t1 -c"$connections" \
        -d"${length}s" --timeout 20s -s "$work/$script.lua" "http://$address${prefix}0" -- \
        "$prefix" "$objects" "$new_numbers" | sed -n 's/^RESULT //p') || true
    after=$(cpu_snapshot "$@")
    asked=$(($(origin_requests) - asked))
    [[ ${#counter[@]} -eq 0 ]] || instructions=$(awk -F, '/instructions/ { print $1 }' "$work/perf")
    # Large answers are counted by their bytes: at the end of a short run many are under way.
    awk -v said="$said" -v ticks="$(cpu_between "$before" "$after")" -v hz="$(getconf CLK_TCK)" -v n="$instructions" \
        -v asked="$asked" -v size="$bytes" 'BEGIN {
        if (split(said, r, " ") != 6 || r[1] == 0 || r[3] != 0) exit 1
        requests = size >= 1048576 ? r[6] / size : r[1]
        printf "%.3f %.1f %.1f %.1f %s %.5f\n", ticks * 1e6 / hz / requests, requests * 1e6 / r[2], r[4], r[5],
            n == "-" ? "-" : sprintf("%.0f", n / requests), asked / requests
    }' >>"$file" || { say "errors or no answers: ${said:-nothing}" && return 1; }
}

# shellcheck shell=bash
# together.sh: CLIENTS clients at once, half of them at $ONE and half at $TWO, and what became of each. To be
# sourced behind e2e.sh, by tests with an origin, a cache and two proxies.
CLIENTS=12

held() { # GATE NUMBER: so many requests wait at it
    [[ $(origin_stat ".held[\"$1\"] // 0") == "$2" ]]
}

followed() { # NUMBER: look-ups that found the lease taken, since $followed_before
    [[ $(($(cache_stat .cache.followed) - followed_before)) -ge $1 ]]
}

crowd() { # PATH_AND_QUERY [CURL_OPTION...]: each with its answer in files of its own
    local i urls=("$ONE" "$TWO")
    followed_before=$(cache_stat .cache.followed)
    for ((i = 0; i < CLIENTS; i++)); do
        start "crowd$i" curl -sS --noproxy '*' --max-time "$DEADLINE" -o "$DIR/answer$i" -D "$DIR/head$i" "${@:2}" "${urls[i % 2]}$1"
    done
}

await_crowd() { # STATUS: that all of them got
    local i
    for ((i = 0; i < CLIENTS; i++)); do
        await_end "crowd$i"
        expect_eq "exit status of client $i" "$EXIT_STATUS" 0
        expect_match "status of client $i" "$(head -n 1 "$DIR/head$i")" "^HTTP/1.1 $1"
    done
}

crowd_saw() { # REGULAR_EXPRESSION: how many have it in Cache-Status
    local i count=0
    for ((i = 0; i < CLIENTS; i++)); do
        grep -i '^cache-status:' "$DIR/head$i" | grep -qE "$1" && count=$((count + 1))
    done
    echo "$count"
}

expect_crowd_bytes() { # SIZE:SEED:VERSION
    local i
    for ((i = 0; i < CLIENTS; i++)); do
        cmp "$DIR/answer$i" <(generated "$1") >&2 || fail "the bytes of client $i differ"
    done
}

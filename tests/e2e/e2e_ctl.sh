#!/usr/bin/env bash
# cache_ctl beside two proxies of two tenants: numbers against known traffic, in the format of Prometheus; what is
# asked for most; what is stored; watching; and a proxy that is drained.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin ctl

# ---- the text format of Prometheus ----

# What promtool would complain about: lines that are no sample and no comment, samples without HELP and TYPE in
# front of them, families that are in two places, samples that are there twice, buckets that do not grow.
prometheus_problems() { # FILE
    awk '
        function bad(what) { print FNR ": " what ": " $0; found = 1 }
        /^# HELP [a-zA-Z_:][a-zA-Z0-9_:]* ./ { help = $3; if (help in families) bad("family again"); families[help]; next }
        /^# TYPE [a-zA-Z_:][a-zA-Z0-9_:]* (counter|gauge|histogram)$/ {
            if ($3 != help) bad("TYPE without HELP")
            type = $4; next
        }
        {
            if ($0 !~ /^[a-zA-Z_:][a-zA-Z0-9_:]*(\{[a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\[\\"n])*"(,[a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\[\\"n])*")*\})? [0-9.e+-]+$/) {
                bad("no sample"); next
            }
            name = $0; sub(/[{ ].*/, "", name)
            family = name; if (type == "histogram") sub(/_(bucket|sum|count)$/, "", family)
            if (family != help) bad("outside of its family")
            series = $0; sub(/ [^ ]*$/, "", series)
            if (series in all) bad("twice")
            all[series]
            if (name ~ /_bucket$/) {
                if ($0 ~ /le="2.5e-07"/) last = 0
                if ($NF + 0 < last) bad("a bucket with less than the one before")
                last = $NF + 0
            }
            samples++
        }
        END { if (!samples) { print "no samples"; found = 1 } exit found }' "$1"
}

expect_prometheus_refused() { # TEXT: of a good file with one fault
    printf '%b' "$1" >"$DIR/broken.prom"
    ! prometheus_problems "$DIR/broken.prom" >"$DIR/problems" || fail "the check passes: $1"
}

check_the_check() {
    local good='# HELP a b\n# TYPE a counter\na{x="y"} 1\n'
    printf '%b' "$good" >"$DIR/good.prom"
    prometheus_problems "$DIR/good.prom" || fail "the check refuses what is right"
    expect_prometheus_refused ''
    expect_prometheus_refused 'a 1\n'
    expect_prometheus_refused '# HELP a b\n# TYPE a counter\nb 1\n'
    expect_prometheus_refused "$good"'a{x="y"} 1\n'
    expect_prometheus_refused "$good$good"
    expect_prometheus_refused '# HELP a b\n# TYPE a counter\na{x="y"z"} 1\n'
    expect_prometheus_refused '# HELP a b\n# TYPE a counter\na one\n'
    expect_prometheus_refused '# HELP a b\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="2"} 1\n'
}

expect_sample() { # SERIES VALUE
    expect_eq "$1" "$(grep -v '^#' "$DIR/metrics" | grep -F -- "$1 ")" "$1 $2"
}

expect_status() { # STATUS COMMAND...
    local wanted=$1 got=0
    shift
    cache_ctl "$@" >"$DIR/said" 2>"$DIR/complaint" || got=$?
    expect_eq "exit status of cache_ctl $*" "$got" "$wanted"
}

check_the_check

# ---- nobody there ----

expect_status 75 stats --prometheus
expect_eq "what a scrape is told" "$(tail -n 1 "$DIR/said")" "larder_up 0"
prometheus_problems "$DIR/said" || fail "that is not the format"
expect_status 75 top
expect_status 75 drain 1

# ---- known traffic ----

start_origin --max-age 3600
start_cache --memory 64M
start_proxy news --tenant news
start_proxy shop --tenant shop.eu
await_proxies 2
for _ in 1 2 3 4 5; do
    get_ok "$DIR/body" "http://${HTTP[news]}/generate?size=1000"
done
expect_hit
for _ in 1 2; do
    get_ok "$DIR/body" "http://${HTTP[shop]}/generate?size=1000"
done
wait_until "both are stored" cache_shows .cache.objects 2

cache_ctl stats --prometheus >"$DIR/metrics"
prometheus_problems "$DIR/metrics" || fail "that is not the format"
expect_sample 'larder_up' 1
expect_sample 'larder_cache_requests_total{tenant="news",status="hit"}' 4
expect_sample 'larder_cache_requests_total{tenant="news",status="miss"}' 1
expect_sample 'larder_cache_requests_total{tenant="shop.eu",status="hit"}' 1
expect_sample 'larder_cache_requests_total{tenant="shop.eu",status="miss"}' 1
expect_sample 'larder_cache_requests_total{tenant="shop.eu",status="stale"}' 0
expect_sample 'larder_evicted_total{tenant="news"}' 0
expect_sample 'larder_purged_total{tenant="news"}' 0
expect_sample 'larder_objects{tenant="news"}' 1
expect_sample 'larder_served_bytes_total{tenant="news"}' 4000
expect_sample 'larder_proxies{tenant="news",state="alive"}' 1
expect_sample 'larder_proxies{tenant="news",state="draining"}' 0
expect_sample 'larder_cache_usage_bytes{tenant="news",kind="used"}' "$(cache_stat '.tenants[0].bytes_used')"

expect_eq "tenants" "$(cache_ctl tenants --json | gojq -c '[.[] | [.name, .hits]] | sort')" '[["news",4],["shop.eu",1]]'
expect_eq "tenants for people" "$(cache_ctl tenants | awk '{ print $1 }' | sort | tr '\n' ' ')" "news shop.eu tenant "
expect_eq "proxies" "$(cache_ctl proxies --json | gojq -c '[.[] | [.pid, .tenant, .state, .draining]] | sort')" \
    "$(gojq -nc "[[${PID[news]}, \"news\", \"alive\", false], [${PID[shop]}, \"shop.eu\", \"alive\", false]] | sort")"

# ---- what is stored ----

url="http://$ORIGIN/generate?size=1000"
cache_ctl show "$url" --tenant news --json >"$DIR/shown"
expect_eq "size of what is stored" "$(gojq -r '[.stored, .size, .fresh, .leased] | @csv' "$DIR/shown")" \
    'true,1000,true,false'
expect_eq "its age" "$(gojq '.age_seconds >= 0 and .age_seconds < 600' "$DIR/shown")" true
expect_match "age for people" "$(cache_ctl show "$url" --tenant news)" 'age  *[0-9]+ s'
expect_match "its fields" "$(gojq -r '.fields[]' "$DIR/shown")" "Cache-Control: max-age=3600"
expect_match "for people" "$(cache_ctl show "GET $url" --tenant shop.eu)" "stored"
expect_eq "by path" "$(cache_ctl show --origin "http://$ORIGIN" '/generate?size=1000' --tenant news --json | gojq .size)" 1000
expect_eq "another" "$(cache_ctl show "$url&x" --tenant news --json | gojq -c '[.stored, .leased]')" '[false,false]'
expect_status 2 show "$url" --tenant nobody
expect_status 2 show "$url" --tenant 'no/body'
expect_status 2 show /path
expect_status 2 show ''

# ---- what is asked for most: samples, so it takes as many requests as it takes ----

printf 'url="http://%s/generate?size=1000"\noutput="%s"\n' "${HTTP[news]}" "$DIR/discarded" >"$DIR/once"
for _ in {1..100}; do cat "$DIR/once"; done >"$DIR/hundred"

is_known_as_hot() {
    curl -sS --noproxy '*' -K "$DIR/hundred"
    cache_ctl top --tenant news --json >"$DIR/top"
    [[ $(gojq -r '.[0].text // ""' "$DIR/top") == "GET $url" ]]
}
wait_until "the key that is asked for is known as hot" is_known_as_hot
expect_eq "nothing of another tenant" "$(gojq -r '[.[].tenant] | unique | join(" ")' "$DIR/top")" news
expect_match "for people" "$(cache_ctl top --count 1)" "GET http://$ORIGIN/generate.size=1000"
expect_status 2 top --count 0
expect_status 2 top --count 65
expect_status 2 top --tenant nobody

# The same requests are in the histogram; it is as full as its number of samples says.
expect_eq "histogram" "$(cache_stat '.times[] | select(.request == "lookup") | ([.buckets[].count] | add) == .sampled')" true

# ---- watching ----

has_looked_twice() { # NAME
    [[ $(grep -c '^{"cache"' "$DIR/$1.out") -ge 2 ]]
}
start watch "$BIN/cache_ctl" --instance "$INSTANCE" stats --json --watch 0.05
wait_until "it looks again" has_looked_twice watch
stop watch INT
start watch "$BIN/cache_ctl" --instance "$INSTANCE" stats --json --watch
wait_until "it looks twice" has_looked_twice watch
stop watch
wait_until "its names are gone" has_peer_pools 2
expect_status 2 stats --watch=0
expect_status 2 stats --json --prometheus
expect_status 2 ping --watch

# ---- draining ----

cannot_connect() { # PROXY
    get "$DIR/body" "http://${HTTP[$1]}/generate?size=1000"
    [[ $CURL_EXIT -eq 7 ]]
}
is_served() { # PROXY
    get "$DIR/body" "http://${HTTP[$1]}/generate?size=1000"
    [[ $CURL_EXIT -eq 0 && $STATUS == 200 ]]
}
shows_state() { # PROXY STATE
    [[ $(cache_ctl proxies | awk -v pid="${PID[$1]}" '$2 == pid { print $5 }') == "$2" ]]
}

# A client that has begun to read a long response, and one that rests between two requests.
exec {resting}<>"/dev/tcp/${HTTP[news]%:*}/${HTTP[news]##*:}"
printf 'GET /generate?size=1000 HTTP/1.1\r\nHost: a\r\n\r\n' >&"$resting"
head -c 1000 <&"$resting" >"$DIR/begun" # it has its answer, or most of it
exec {reading}<>"/dev/tcp/${HTTP[news]%:*}/${HTTP[news]##*:}"
printf 'GET /generate?size=20000000 HTTP/1.1\r\nHost: a\r\n\r\n' >&"$reading"
head -c 1000 <&"$reading" >"$DIR/long"

cache_ctl drain "${PID[news]}" >"$DIR/said"
expect_eq "what drain says" "$(cat "$DIR/said")" "draining: 1 registration"
wait_until "it takes nobody" cannot_connect news
shows_state news draining || fail "its state is not shown"
expect_sample_now() { # SERIES VALUE
    cache_ctl stats --prometheus >"$DIR/metrics"
    expect_sample "$1" "$2"
}
expect_sample_now 'larder_proxies{tenant="news",state="draining"}' 1
expect_sample_now 'larder_proxies{tenant="news",state="alive"}' 0
timeout "$DEADLINE" cat <&"$resting" >"$DIR/rest" || fail "the resting connection is not closed"
timeout "$DEADLINE" cat <&"$reading" >>"$DIR/long" || fail "the connection is not closed after its response"
exec {resting}>&- {reading}>&-
sed '1,/^\r$/d' "$DIR/long" >"$DIR/long.body"
generated 20000000 >"$DIR/wanted"
expect_same "$DIR/long.body" "$DIR/wanted"
is_served shop || fail "the other proxy is not served"

# It is drained for the next cache too.
stop cache
start_cache --memory 64M
await_proxies 2
wait_until "the next cache is told" shows_state news draining
cannot_connect news || fail "it takes clients again, untold"

cache_ctl undrain "$(cache_ctl proxies --json | gojq -r '.[] | select(.tenant == "news") | .registration')" >"$DIR/said"
wait_until "it takes clients again" is_served news
wait_until "its state is shown" shows_state news alive
cache_ctl undrain "${PID[news]}" >"$DIR/said" # nothing to do, no harm
is_served news || fail "told twice, it takes nobody"
expect_status 2 drain 1
expect_status 2 drain 0
expect_status 2 drain
expect_status 2 drain "${PID[news]}" "${PID[shop]}"
expect_status 2 drain -- -1
expect_status 2 drain 00000000000000ff
expect_status 2 drain nobody

# Drained and told to end, it ends.
cache_ctl drain "${PID[shop]}" >"$DIR/said"
wait_until "it takes nobody" cannot_connect shop
stop shop

e2e_done

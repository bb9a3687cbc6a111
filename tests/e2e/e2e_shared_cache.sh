#!/usr/bin/env bash
# Three proxies and one cache: what one proxy has fetched, all of them have, byte for byte.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin shared

FILES=50
REQUESTS=300
PROXIES=(one two three)

# 1 byte to 20 MiB, in equal steps of the logarithm.
file_size() { # NUMBER
    awk -v i="$1" -v n="$FILES" 'BEGIN { printf "%d", exp(log(20 * 1048576) * i / (n - 1)) + 0.5 }'
}

make_files() {
    local i
    mkdir "$DIR/root"
    for ((i = 0; i < FILES; i++)); do
        generated "$(file_size "$i"):$i" >"$DIR/root/file$i.bin"
        SUM[i]=$(sum "$DIR/root/file$i.bin")
    done
    expect_eq "smallest file" "$(stat -c %s "$DIR/root/file0.bin")" 1
    expect_eq "largest file" "$(stat -c %s "$DIR/root/file$((FILES - 1)).bin")" $((20 * 1024 * 1024))
}

fetch() { # PROXY FILE_NUMBER
    get_ok "$DIR/body" "http://${HTTP[$1]}/file$2.bin"
    expect_eq "checksum of file $2 through proxy $1" "$(sum "$DIR/body")" "${SUM[$2]}"
}

declare -a SUM
make_files
start_origin --root "$DIR/root" --max-age 3600
start_cache --memory 512M --max-object 64M
for proxy in "${PROXIES[@]}"; do
    start_proxy "$proxy"
done
await_proxies 3

for ((i = 0; i < FILES; i++)); do
    fetch "${PROXIES[i % 3]}" "$i"
    expect_forwarded
done
wait_until "every file is stored" cache_shows .cache.fills "$FILES"
expect_origin .requests "$FILES"
expect_cache .cache.misses "$FILES"
expect_cache .cache.hits 0
expect_cache .cache.objects "$FILES"

for ((i = FILES; i < REQUESTS; i++)); do
    fetch "${PROXIES[(i / 2) % 3]}" "$((i * 7 % FILES))"
    expect_hit
    expect_match "Age" "$(header Age)" '^[0-9]+$'
done
expect_origin .requests "$FILES"
expect_origin '[.by_path[]] | max' 1
expect_cache .cache.hits $((REQUESTS - FILES))
expect_cache .cache.misses "$FILES"

# The same copies over GETFILE.
for ((i = 0; i < FILES; i++)); do
    getfile_ok "$DIR/body" "${GETFILE[${PROXIES[i % 3]}]}" "/file$i.bin"
    expect_eq "checksum of file $i over GETFILE" "$(sum "$DIR/body")" "${SUM[i]}"
done
expect_origin .requests "$FILES"
expect_cache .cache.hits "$REQUESTS"

# One tenant, three proxies; their numbers add up.
expect_cache '.tenants | length' 1
expect_cache '.tenants[0].hits' "$REQUESTS"
expect_cache '.proxies | length' 3
expect_cache '[.proxies[].hits] | add' "$REQUESTS"
expect_cache '[.proxies[] | select(.state == "alive")] | length' 3
expect_cache '[.proxies[].uid] | unique | .[]' "$(id -u)"
expect_eq "pids" "$(cache_stat '[.proxies[].pid] | sort | .[]')" \
    "$(printf '%s\n' "${PID[one]}" "${PID[two]}" "${PID[three]}" | sort -n)"
expect_cache .cache.evictions 0
expect_cache .cache.faults_caught 0
expect_below "bytes used" "$(cache_stat .cache.bytes_used)" $((512 * 1024 * 1024 + 1))
expect_cache .cache.bytes_allowed $((512 * 1024 * 1024))

wait_until "no object is pinned any more" cache_shows .cache.pins 0
for name in one two three cache origin; do
    stop "$name"
done
e2e_done

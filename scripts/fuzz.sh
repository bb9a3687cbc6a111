#!/usr/bin/env bash
# Builds the fuzzers (preset `fuzz`, in build-fuzz/) and runs each for a while. Exit status 1 means a finding.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

usage() {
    cat <<'END_OF_USAGE'
usage: fuzz.sh [--seconds N | --runs N] [--jobs N] [--corpus DIR] [NAME...]
  --seconds N   run each fuzzer for N seconds (default 60)
  --runs N      run each fuzzer for N executions instead
  --jobs N      run so many fuzzers at once (default 1)
  --corpus DIR  keep what was found worth keeping in DIR/NAME (default build-fuzz/corpus)
  NAME          fuzzers by name, e.g. cache http (default: all, see tests/fuzz/)
Prints a line for each: executions, executions a second, edges covered, findings. A finding is an input in
build-fuzz/artifacts; `build-fuzz/bin/fuzz_NAME FILE` runs it again, and what the fuzzer said is in
build-fuzz/artifacts/NAME.log.
END_OF_USAGE
}

build="build-fuzz"
artifacts=$build/artifacts
corpus=$build/corpus
limit=(-max_total_time=60)
at_a_time=1
names=()

# Input size by what it takes to reach everything: http's largest request head, a few hundred deeds for the cache.
max_length() {
    case $1 in
    http | request) echo 49152 ;;
    getfile | policy) echo 16384 ;;
    meta) echo 53248 ;;
    wire) echo 1024 ;;
    *) echo 4096 ;;
    esac
}

parse() {
    while [[ $# -gt 0 ]]; do
        case $1 in
        --seconds | --runs | --jobs | --corpus)
            if [[ $# -lt 2 || ($1 != --corpus && ! $2 =~ ^[0-9]+$) || "$1 $2" =~ ^--jobs\ 0+$ ]]; then
                usage >&2
                exit 2
            fi
            case $1 in
            --seconds) limit=(-max_total_time="$2") ;;
            --runs) limit=(-runs="$2") ;;
            --jobs) at_a_time=$2 ;;
            --corpus) corpus=$2 ;;
            esac
            shift
            ;;
        -h | --help) usage && exit 0 ;;
        -*) usage >&2 && exit 2 ;;
        *) names+=("$1") ;;
        esac
        shift
    done
    if [[ ${#names[@]} -eq 0 ]]; then
        mapfile -t names < <(find tests/fuzz/seeds -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort)
    fi
    local name
    for name in "${names[@]}"; do
        if [[ ! -f tests/fuzz/fuzz_$name.c || ! -d tests/fuzz/seeds/$name ]]; then
            echo "fuzz: there is no fuzzer named $name" >&2
            exit 2
        fi
    done
}

# The options bound a single input, too: 10 s, 1 GiB, 256 MiB at once.
run_one() { # run_one NAME
    local name=$1 log=$artifacts/$1.log options=()
    [[ -f tests/fuzz/$name.dict ]] && options+=(-dict="tests/fuzz/$name.dict")
    mkdir -p "$corpus/$name"
    UBSAN_OPTIONS=print_stacktrace=1 "$build/bin/fuzz_$name" "${limit[@]}" -max_len="$(max_length "$name")" \
        -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=256 -print_final_stats=1 "${options[@]}" \
        -artifact_prefix="$artifacts/$name-" "$corpus/$name" "tests/fuzz/seeds/$name" >"$log" 2>&1
}

statistic() { # statistic NAME OF: a line "stat::OF: VALUE" of its log
    sed -n "s/^stat::$2: *//p" "$artifacts/$1.log" | tail -n 1
}

report() { # report NAME STATUS
    local covered
    covered=$(grep -ao ' cov: [0-9]*' "$artifacts/$1.log" | tail -n 1 | tr -dc '0-9')
    printf '%-10s %12s %8s %8s  %s\n' "$1" "$(statistic "$1" number_of_executed_units)" \
        "$(statistic "$1" average_exec_per_sec)" "${covered:--}" "$2"
}

run_and_report() { # run_and_report NAME: leaves $artifacts/NAME.clean if it found nothing
    rm -f "$artifacts/$1.clean"
    if run_one "$1"; then
        report "$1" none
        touch "$artifacts/$1.clean"
    else
        report "$1" FOUND
        grep -aE 'does not hold|ERROR: |SUMMARY: |runtime error|internal error|Test unit written' \
            "$artifacts/$1.log" >&2 || tail -n 20 "$artifacts/$1.log" >&2
    fi
}

run_all() {
    local name
    printf '%-10s %12s %8s %8s  %s\n' fuzzer executions exec/s edges findings
    for name in "${names[@]}"; do
        while (($(jobs -rp | wc -l) >= at_a_time)); do
            wait -n || true
        done
        run_and_report "$name" &
    done
    wait
}

parse "$@"
scripts/setup.sh fuzz
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz
mkdir -p "$artifacts"
run_all
for name in "${names[@]}"; do
    [[ -e $artifacts/$name.clean ]]
done

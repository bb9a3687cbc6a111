#!/usr/bin/env bash
# Runs the unit tests under valgrind: wrong accesses, uninitialised values, definite leaks, also in the children
# that the tests fork. Builds them as they are released. With names (check_ring or ring) only those.
# What the tests leave out under valgrind, and why, is printed below the table; see tests/unit/check_valgrind.h.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

at_a_time=2
checker=(
    valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite
    --child-silent-after-fork=no
)

unit_tests() { # unit_tests [NAME...]
    local name
    if [[ ${1:-} == -* ]]; then
        echo "usage: valgrind.sh [NAME...]   (check_ring or ring; default: every unit test)" >&2
        return 2
    fi
    if [[ $# -eq 0 ]]; then
        set -- tests/unit/check_*.c
    fi
    for name in "$@"; do
        name=$(basename "$name" .c)
        name=check_${name#check_}
        if [[ ! -f tests/unit/$name.c ]]; then
            echo "valgrind.sh: there is no tests/unit/$name.c" >&2
            return 2
        fi
        echo "$name"
    done
}

# A child that ends by a signal cannot say by its status what valgrind found in it, but each finding is printed
# with the pid in front; with -q nothing else is.
has_findings() {
    grep -Eq '^==[0-9]+== ' "$1"
}

run_one() { # run_one NAME: leaves $results/NAME.log and prints the row of the table
    local log=$results/$1.log began=$SECONDS verdict=ok status=0
    "${checker[@]}" "build/bin/$1" >"$log" 2>&1 || status=$?
    if has_findings "$log"; then
        verdict="FAILED (findings)"
    elif [[ $status -ne 0 ]]; then
        verdict="FAILED (status $status)"
    fi
    [[ $verdict == ok ]] || touch "$results/$1.failed"
    printf '%-28s %5s checks %5d s  %s\n' "$1" "$(sed -n 's/.*Checks: \([0-9]*\).*/\1/p' "$log")" \
        $((SECONDS - began)) "$verdict"
}

run_all() {
    local name
    for name in "$@"; do
        while (($(jobs -rp | wc -l) >= at_a_time)); do
            wait -n || true
        done
        run_one "$name" &
    done
    wait
}

show_left_out() {
    local name line
    for name in "$@"; do
        while read -r line; do
            printf 'left out of %s: %s\n' "$name" "${line#left out: }"
        done < <(grep '^left out: ' "$results/$name.log")
    done | sort -u
}

main() {
    local names name failed=0
    names=$(unit_tests "$@")
    mapfile -t names <<<"$names"
    scripts/setup.sh ci
    cmake --preset release >/dev/null
    cmake --build --preset release --target "${names[@]}"

    results=$(mktemp -d)
    trap 'rm -rf "$results"' EXIT
    export LARDER_VALGRIND=1 CK_TIMEOUT_MULTIPLIER=20
    run_all "${names[@]}"
    show_left_out "${names[@]}"
    for name in "${names[@]}"; do
        if [[ -e $results/$name.failed ]]; then
            printf '\n---- %s\n' "$name" >&2
            cat "$results/$name.log" >&2
            failed=1
        fi
    done
    return "$failed"
}

main "$@"

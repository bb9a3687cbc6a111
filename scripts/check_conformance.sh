#!/usr/bin/env bash
# Checks docs/http-conformance.md against the tests of the source tree (default: this one).
# usage: check_conformance.sh [ROOT]      exit 0: all right, with counts; 1: each fault on a line
#
# A row is  | section | what it asks | level | shown by |  under a heading  ## RFC number: ...
# "shown by" is a list of `check_module:row`, `check_module:test_function` and `e2e_name.sh:words`, or one of
# "not shown", "not done: why", "not applicable: why".
set -euo pipefail
cd "${1:-$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/..}"

page=docs/http-conformance.md

# Each section that asks something of a shared cache.
sections="
9111 1.2.2 2 3 3.1 3.2 3.3 3.4 3.5 4 4.1 4.2 4.2.1 4.2.2 4.2.3 4.2.4 4.3.1 4.3.2 4.3.3 4.3.4 4.3.5 4.4
9111 5.1 5.2 5.2.1 5.2.1.1 5.2.1.2 5.2.1.3 5.2.1.4 5.2.1.5 5.2.1.6 5.2.1.7
9111 5.2.2 5.2.2.1 5.2.2.2 5.2.2.3 5.2.2.4 5.2.2.5 5.2.2.6 5.2.2.7 5.2.2.8 5.2.2.9 5.2.2.10
9111 5.2.3 5.3 5.4 5.5 7.3
9110 8.8.1 8.8.2 8.8.2.2 8.8.3 8.8.3.2 9.3.1 9.3.2 9.3.3 9.3.4 9.3.5 9.3.6 9.3.7 9.3.8
9110 13.1.1 13.1.2 13.1.3 13.1.4 13.1.5 13.2.1 13.2.2 14.1 14.1.1 14.1.2 14.2 14.3 14.4 14.5 14.6
9110 15 15.1 15.2 15.3.5 15.3.6 15.3.7 15.3.7.1 15.3.7.2 15.3.7.3 15.4.5 15.5.13 15.5.17 15.5.20 15.6.3 15.6.5
5861 3 4
8246 2 2.1 3
9211 2 2.1 2.2 2.3 2.4 2.5 2.6 2.7 2.8 6
9213 2.1 2.2 2.4 3"

faults=0
fault() {
    echo "$page:$*"
    faults=$((faults + 1))
}

# Each row as LINE <tab> RFC <tab> SECTION <tab> WHAT <tab> LEVEL <tab> SHOWN; what is malformed as LINE <tab> BAD.
rows() {
    awk -F ' *[|] *' '
        /^## / { rfc = $0 ~ /^## RFC [0-9]+: / ? substr($0, 8, 4) : "" }
        /^[|] section [|]/ || /^[|]-/ { next }
        /^[|]/ {
            good = rfc != "" && NF == 6 && $1 == "" && $6 == "" && $2 ~ /^[0-9]+(\.[0-9]+)*$/ && $3 != "" &&
                   $4 ~ /^(MUST|SHOULD|MAY|rule)$/ && $5 != ""
            if (good)
                printf "%d\t%s\t%s\t%s\t%s\t%s\n", NR, rfc, $2, $3, $4, $5
            else
                printf "%d\tBAD\n", NR
        }' "$page"
}

# Names of rows and of test functions, as PROGRAM:NAME; what stands in comments and elsewhere shows nothing.
declare -A unit_rows=()
read_unit_rows() {
    local name
    while read -r name; do
        unit_rows[$name]=1
    done < <(sed -nE -e 's/^ *\{"([a-z0-9_-]+)"[,}].*/\1/;t print' -e 's/^START_TEST\(([a-z0-9_]+)\)$/\1/;t print' \
        -e 'b' -e ':print' -e 'F;p' tests/unit/check_*.c | sed 'N;s,.*/\(.*\)\.c\n,\1:,')
}

declare -A e2e_texts=()
read_e2e_texts() {
    local file
    for file in tests/e2e/e2e_*.sh; do
        e2e_texts[${file##*/}]=$(<"$file")
    done
}

check_test() { # check_test LINE PROGRAM:ROW
    local program=${2%%:*} row=${2#*:}
    if [[ $2 != ?*:?* ]]; then
        fault "$1: \"$2\" names no row"
    elif [[ $program =~ ^check_[a-z0-9_]+$ ]]; then
        if [[ ! -e tests/unit/$program.c ]]; then
            fault "$1: there is no tests/unit/$program.c"
        elif [[ -z ${unit_rows[$2]:-} ]]; then
            fault "$1: $program has no row \"$row\""
        fi
    elif [[ $program =~ ^e2e_[a-z0-9_]+\.sh$ ]]; then
        if [[ -z ${e2e_texts[$program]:-} ]]; then
            fault "$1: there is no tests/e2e/$program"
        elif [[ ${e2e_texts[$program]} != *"$row"* ]]; then
            fault "$1: $program has no \"$row\""
        fi
    else
        fault "$1: \"$program\" is no test"
    fi
}

check_shown() { # check_shown LINE SHOWN
    local rest="$2, "
    while [[ $rest =~ ^\`([^\`]+)\`,\ (.*)$ ]]; do
        rest=${BASH_REMATCH[2]}
        check_test "$1" "${BASH_REMATCH[1]}"
    done
    [[ -z $rest ]] || fault "$1: malformed: ${rest%, }"
}

count=0 shown=0 not_shown=0 not_done=0 not_applicable=0
declare -A seen=()

check_row() { # check_row LINE RFC SECTION SHOWN
    seen["$2 $3"]=1
    count=$((count + 1))
    case $4 in
        "not shown") not_shown=$((not_shown + 1)) ;;
        "not done: "?*) not_done=$((not_done + 1)) ;;
        "not applicable: "?*) not_applicable=$((not_applicable + 1)) ;;
        *)
            shown=$((shown + 1))
            check_shown "$1" "$4"
            ;;
    esac
}

check_sections() {
    local rfc list section
    while read -r rfc list; do
        for section in $list; do
            [[ -n ${seen["$rfc $section"]:-} ]] || fault " RFC $rfc section $section has no row"
        done
    done <<<"${sections#$'\n'}"
}

read_unit_rows
read_e2e_texts
while IFS=$'\t' read -r line rfc section _ _ tests; do
    if [[ $rfc == BAD ]]; then
        fault "$line: malformed row"
    else
        check_row "$line" "$rfc" "$section" "$tests"
    fi
done < <(rows)
check_sections

echo "rows $count, shown $shown, not shown $not_shown, not done $not_done, not applicable $not_applicable"
((faults == 0))

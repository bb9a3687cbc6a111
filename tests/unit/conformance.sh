#!/usr/bin/env bash
# docs/http-conformance.md names tests that exist, and the check sees each kind of fault in a copy.
# shellcheck disable=SC2016 # backquotes are the page's
set -euo pipefail
root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../..
check=$root/scripts/check_conformance.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

must_see() { # must_see FILE SED_SCRIPT WORDS: with FILE edited the check fails and says WORDS
    local said
    rm -rf "${tree:?}"/*
    mkdir -p "$tree"/docs "$tree"/tests
    cp "$root/docs/http-conformance.md" "$tree/docs"
    cp -r "$root/tests/unit" "$root/tests/e2e" "$tree/tests"
    sed -i "$2" "$tree/$1"
    if said=$(bash "$check" "$tree"); then
        fail "not seen: $2 in $1"
    fi
    [[ $said == *"$3"* ]] || fail "$2 in $1 gave: $said"
}

page=docs/http-conformance.md
must_see tests/unit/check_http_storing.c 's/{"no-store",/{"no-storing",/' 'check_http_storing has no row "no-store"'
must_see tests/unit/check_http_range.c 's/START_TEST(parts_are_framed)/START_TEST(framed)/' \
    'check_http_range has no row "parts_are_framed"'
must_see tests/e2e/e2e_policy.sh 's,/elsewhere,/other,g' 'e2e_policy.sh has no "/elsewhere"'
must_see "$page" 's/`check_http_sf:/`check_http_none:/' 'there is no tests/unit/check_http_none.c'
must_see "$page" 's/`e2e_sizes.sh:/`e2e_none.sh:/' 'there is no tests/e2e/e2e_none.sh'
must_see "$page" 's/`check_http_sf:/`sf:/' '"sf" is no test'
must_see "$page" 's/`check_http_storing:private`/`check_http_storing`/' 'names no row'
must_see "$page" 's/| `check_http_storing:private`,/| check_http_storing:private,/' 'malformed: check_http_storing:private'
must_see "$page" '0,/| MUST |/s//| must |/' 'malformed row'
must_see "$page" '0,/| MUST |/s//| MUST | |/' 'malformed row'
must_see "$page" 's/not done: it is passed on/not done/' 'malformed: not done'
must_see "$page" '/^| 5.2.2.3 |/d' 'RFC 9111 section 5.2.2.3 has no row'
must_see "$page" 's/^## RFC 5861: .*/## Stale content/' 'RFC 5861 section 3 has no row'

bash "$check" "$root" || fail "the table and the tests differ"

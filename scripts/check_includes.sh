#!/usr/bin/env bash
# Checks the include directions of the source tree (default: this one).
# usage: check_includes.sh [ROOT]      exit 0: all right; 1: each violation on a line
#
#   common/        includes only common/
#   cache_server/  includes only cache_server/ and common/
#   proxy_client/  includes only proxy_client/ and common/
#   store, tenant, lease, registry   reach no loop, queue or ring header, not even through another header
#   http_*         reach nothing but http_* and common/, and no curl
#   every .c       includes its own header first, if it has one (foo.h, or foo_internal.h that begins with it)
set -euo pipefail
cd "${1:-$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/..}"

violations=0
violation() {
    echo "$*"
    violations=$((violations + 1))
}

includes_of() { # quoted includes, in order
    sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$1"
}

# Where a quoted include of a file in DIRECTORY leads: beside it, or in common/. Nothing if nowhere.
resolve() { # resolve DIRECTORY NAME
    if [[ -e $1/$2 ]]; then
        echo "$1/$2"
    elif [[ -e common/$2 ]]; then
        echo "common/$2"
    fi
}

check_direction() {
    local file directory name
    for file in {common,cache_server,proxy_client}/*.[ch]; do
        [[ -e $file ]] || continue
        directory=${file%/*}
        while read -r name; do
            if [[ $name == */* || -z $(resolve "$directory" "$name") ]]; then
                violation "$file: includes \"$name\", which is neither in $directory/ nor in common/"
            fi
        done < <(includes_of "$file")
    done
}

reached_from() { # every header that FILE includes, directly or not
    local -A seen=()
    local queue=("$1") file header name
    while [[ ${#queue[@]} -gt 0 ]]; do
        file=${queue[0]}
        queue=("${queue[@]:1}")
        while read -r name; do
            header=$(resolve "${file%/*}" "$name")
            if [[ -n $header && -z ${seen[$header]:-} ]]; then
                seen[$header]=1
                queue+=("$header")
            fi
        done < <(includes_of "$file")
    done
    [[ ${#seen[@]} -eq 0 ]] || printf '%s\n' "${!seen[@]}"
}

check_shard() {
    local module file header
    for module in store tenant lease registry; do
        for file in cache_server/"$module".[ch]; do
            [[ -e $file ]] || continue
            while read -r header; do
                case ${header##*/} in
                loop.h | mq.h | ring.h | segment_pool.h | dispatch.h | session.h)
                    violation "$file: reaches $header; this module knows no loop, queue or ring"
                    ;;
                esac
            done < <(reached_from "$file")
        done
    done
}

check_http() {
    local file header
    for file in proxy_client/http_*.[ch]; do
        [[ -e $file ]] || continue
        while read -r header; do
            case $header in
            proxy_client/http_*.h | common/*) ;;
            *) violation "$file: reaches $header; http_* modules are pure" ;;
            esac
        done < <(reached_from "$file")
        if grep -q '#[[:space:]]*include[[:space:]]*<curl/' "$file"; then
            violation "$file: includes curl; http_* modules are pure"
        fi
    done
}

check_own_header_first() {
    local file own first
    for file in {common,cache_server,proxy_client}/*.c; do
        own=${file##*/}
        own=${own%.c}.h
        [[ -e ${file%/*}/$own ]] || continue
        first=$(sed -n '/^#include/ { s/^#include *\([<"][^>"]*[>"]\).*/\1/p; q }' "$file")
        if [[ $first != "\"$own\"" && $first != "\"${own%.h}_internal.h\"" ]]; then
            violation "$file: includes ${first:-nothing} before its own header"
        fi
    done
}

check_direction
check_shard
check_http
check_own_header_first
[[ $violations -eq 0 ]]

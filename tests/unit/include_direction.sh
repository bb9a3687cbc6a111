#!/usr/bin/env bash
# The include directions hold, and the check sees each kind of violation in a made-up tree.
set -euo pipefail
root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../..
check=$root/scripts/check_includes.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

fresh_tree() {
    rm -rf "${tree:?}"/*
    mkdir "$tree"/{common,cache_server,proxy_client}
    echo '#include <stdint.h>' | tee "$tree"/common/{log,loop,ring}.h \
        "$tree"/cache_server/{store,session}.h "$tree"/proxy_client/{larder,origin,http_date}.h >/dev/null
    printf '%s\n' '#include "store.h"' '#include <stdio.h>' '#include "log.h"' >"$tree"/cache_server/store.c
    printf '%s\n' '#include "http_date.h"' '#include "log.h"' >"$tree"/proxy_client/http_date.c
}

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

must_see() { # must_see FILE LINE WORDS: with LINE added to FILE the check fails and says WORDS
    local said
    fresh_tree
    echo "$2" >>"$tree/$1"
    if said=$(bash "$check" "$tree"); then
        fail "not seen: $2 in $1"
    fi
    [[ $said == *"$3"* ]] || fail "$2 in $1 gave: $said"
}

fresh_tree
bash "$check" "$tree" || fail "the made-up tree is right, yet was refused"
must_see common/log.h '#include "store.h"' "neither in common/"
must_see cache_server/session.h '#include "larder.h"' "neither in cache_server/"
must_see proxy_client/origin.h '#include "store.h"' "neither in proxy_client/"
must_see proxy_client/origin.h '#include "../cache_server/store.h"' "neither in proxy_client/"
must_see cache_server/store.h '#include "loop.h"' "knows no loop"
must_see common/log.h '#include "ring.h"' "cache_server/store.c: reaches common/ring.h"
must_see proxy_client/http_date.h '#include "origin.h"' "reaches proxy_client/origin.h"
must_see proxy_client/http_date.h '#include <curl/curl.h>' "includes curl"
fresh_tree
printf '%s\n' '#include <stdio.h>' '#include "store.h"' >"$tree/cache_server/store.c"
if bash "$check" "$tree" >/dev/null; then
    fail "not seen: own header second"
fi

bash "$check" "$root" || fail "include directions of the source tree"

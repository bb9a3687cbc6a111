#!/usr/bin/env bash
# cmake --install: everything that packaging/README.md lists, in its place, and units that find their programs.
source "$(dirname "$0")/../support/e2e.sh"
e2e_begin install

PREFIX=$DIR/usr

cmake --install "$(dirname "$BIN")" --prefix "$PREFIX" >"$DIR/installed"
for file in bin/{cache_server,proxy_client,cache_ctl} include/larder.h \
    share/man/man1/cache_ctl.1 share/man/man5/larder.conf.5 share/man/man8/{cache_server,proxy_client}.8 \
    share/bash-completion/completions/{cache_server,proxy_client,cache_ctl} \
    share/doc/larder/{README.md,LICENSE,docs/operations.md,examples/cache.conf,examples/proxy.conf} \
    lib/systemd/system/{larder-cache.service,larder-proxy@.service}; do
    [[ -s $PREFIX/$file ]] || fail "$file is not installed"
done
for library in libproxy_client.a liblarder_common.a; do
    [[ -n $(find "$PREFIX"/lib* -name "$library") ]] || fail "$library is not installed"
done
"$PREFIX/bin/cache_server" --config "$PREFIX/share/doc/larder/examples/cache.conf" --check >/dev/null
cc -std=c11 -fsyntax-only -Werror -Wall -x c "$PREFIX/include/larder.h"

# ---- units: every path that they name below the prefix is there, and no other prefix is named ----

for unit in "$PREFIX"/lib/systemd/system/*.service; do
    ! grep -n '@[a-z]*dir@' "$unit" || fail "$unit has a path that was not filled in"
    expect_eq "programs named by ${unit##*/}, at least one" "$(grep -c "^Exec[A-Za-z]*=$PREFIX/bin/" "$unit" | sed 's/[1-9].*/some/')" some
    while read -r path; do
        [[ -e $path ]] || fail "${unit##*/} names $path, which is not there"
    done < <(grep -o "$PREFIX/[^ ]*" "$unit")
done

e2e_done

#!/usr/bin/env bash
# Prints the names of Larder's shared memory and message queues that exist on this machine, one a line.
# usage: ipc_names.sh [INSTANCE]      without an instance: those of every instance
#
# Queues can be listed only where their file system is mounted; root looks through a mount of its own if
# /dev/mqueue is not one. Where neither works, shared memory alone is listed.
set -euo pipefail

prefix=larder.${1:-}

ours() { # the exact name or one of its parts, never those of another instance with a longer name
    local name
    while read -r name; do
        if [[ $# -eq 0 || -z $1 ]]; then
            [[ $name == larder.* ]] && echo "$name"
        elif [[ $name == "$prefix" || $name == "$prefix".* ]]; then
            echo "$name"
        fi
    done
    return 0
}

queues() {
    if [[ $(stat -f -c %T /dev/mqueue 2>/dev/null) == mqueue ]]; then
        find /dev/mqueue -mindepth 1 -printf '%f\n'
    elif [[ $(id -u) -eq 0 ]]; then
        # shellcheck disable=SC2016 # for the inner shell
        unshare -m sh -c 'mount -t mqueue none "$1" && ls -A "$1"' sh /mnt 2>/dev/null || true
    fi
}

find /dev/shm -mindepth 1 -maxdepth 1 -printf '%f\n' | ours "${1:-}" | sed 's|^|/dev/shm/|'
queues | ours "${1:-}" | sed 's|^|/dev/mqueue/|'

#!/usr/bin/env bash
# What Larder costs beside nginx, Varnish, HAProxy, Traffic Server and a bare epoll server, and its IPC beside
# memcached, on this machine. docs/performance.md tells what is measured and how; bench/peers/ has the peers'
# configurations, bench/lib/ the parts of this program.
set -euo pipefail
export LC_ALL=C
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)

rounds=3
seconds=5
write=
quick=
peers=(nginx varnish haproxy trafficserver)
wanted_cases=()

# shellcheck source=lib/common.sh
. "$root/bench/lib/common.sh"
# shellcheck source=lib/cases.sh
. "$root/bench/lib/cases.sh"
# shellcheck source=lib/peers.sh
. "$root/bench/lib/peers.sh"
# shellcheck source=lib/larder.sh
. "$root/bench/lib/larder.sh"
# shellcheck source=lib/measure.sh
. "$root/bench/lib/measure.sh"
# shellcheck source=lib/http.sh
. "$root/bench/lib/http.sh"
# shellcheck source=lib/proxies.sh
. "$root/bench/lib/proxies.sh"
# shellcheck source=lib/cold.sh
. "$root/bench/lib/cold.sh"
# shellcheck source=lib/ipc.sh
. "$root/bench/lib/ipc.sh"
# shellcheck source=lib/report.sh
. "$root/bench/lib/report.sh"
# shellcheck source=lib/plots.sh
. "$root/bench/lib/plots.sh"

usage() {
    cat <<END
usage: bench/run.sh [--quick] [--rounds N] [--seconds N] [--peers LIST] [--write] [--list] [CASE...]
  --quick       one round of one second, to see that it works
  --rounds N    measure everything N times and show medians (default $rounds)
  --seconds N   length of one measurement (default $seconds)
  --peers LIST  of nginx,varnish,haproxy,trafficserver (default: all of them), or none
  --write       put tables into docs/performance.md and plots into docs/ as well
  --list        the names of the cases; a group's name stands for all of its cases
CASE: default all. Sizes, connections and counts other than those of --list work too: hit-4k-8, uniform-20k.
LARDER_BIN=DIR in the environment: measure the executables there instead of building.
END
}

usage_error() {
    usage >&2
    exit 2
}

parse_options() {
    while [[ $# -gt 0 ]]; do
        case $1 in
        --quick) quick=yes rounds=1 seconds=1 ;;
        --write) write=yes ;;
        --list) list_cases && exit 0 ;;
        --rounds | --seconds)
            [[ ${2:-} =~ ^[1-9][0-9]{0,3}$ ]] || usage_error
            [[ $1 == --rounds ]] && rounds=$2 || seconds=$2
            shift
            ;;
        --peers)
            [[ ${2:-} =~ ^(none|(nginx|varnish|haproxy|trafficserver)(,(nginx|varnish|haproxy|trafficserver))*)$ ]] ||
                usage_error
            peers=()
            [[ $2 == none ]] || IFS=, read -ra peers <<<"$2"
            shift
            ;;
        -h | --help) usage && exit 0 ;;
        -*) usage_error ;;
        *) add_case "$1" || { echo "bench: no case is called $1; --list names them" >&2 && exit 2; } ;;
        esac
        shift
    done
    [[ ${#wanted_cases[@]} -gt 0 ]] || add_all_cases
}

main() {
    local group
    parse_options "$@"
    check_tools
    isolate "$@"
    prepare
    for group in "${groups[@]}"; do
        cases_of_group "$group"
        [[ ${#group_cases[@]} -gt 0 ]] || continue
        say "$group: ${group_cases[*]}"
        "run_$group"
        stop_all
    done
    [[ -z $problems ]] || fail "finished, but: $problems"
}

main "$@"

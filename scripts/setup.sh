#!/usr/bin/env bash
# Installs the Debian packages that are missing. With nothing missing it is quick and needs no network.
set -euo pipefail
export LC_ALL=C

usage() {
    cat <<'END'
usage: setup.sh [run|test|ci|bench|bench-PART|fuzz]
  run    what building and scripts/multi_proxy.sh need (default)
  test   what scripts/test.sh needs besides
  ci     what .ci/run needs besides: formatter, linters, valgrind, a browser and the fuzz group
  bench  what bench/run.sh needs besides: load generator, plots, the peers. Parts: load, plots, nginx, varnish,
         haproxy, trafficserver, memcached. Services that come with them are not started
  fuzz   what scripts/fuzz.sh needs besides: clang with libFuzzer
END
}

# One requirement a word; alternatives are separated by |, the preferred one first.
# node-llhttp is where Debian 12 keeps the sources of llhttp. The tests start a jq some thousand times, and gojq starts
# in a tenth of the time.
run_packages=(
    build-essential cmake ninja-build pkgconf "libllhttp-dev|node-llhttp"
    "libcurl4-openssl-dev|libcurl4-gnutls-dev" libsodium-dev libjansson-dev libseccomp-dev libcap-ng-dev libinih-dev
    uthash-dev check libssl-dev ca-certificates curl jq
)
test_packages=(apache2-utils wrk openssl procps iproute2 gojq)
ci_packages=(git clang-format clang-tidy shellcheck valgrind chromium)
bench_load=(wrk curl jq util-linux)
bench_plots=(gnuplot-nox)
bench_peers=("nginx-light|nginx" varnish haproxy trafficserver memcached)
fuzz_packages=(clang "libclang-rt-dev|libclang-rt-14-dev" llvm)

wanted_packages() {
    [[ $1 == bench-* ]] || printf "%s\n" "${run_packages[@]}"
    case $1 in
    run) ;;
    test) printf '%s\n' "${test_packages[@]}" ;;
    ci) printf '%s\n' "${test_packages[@]}" "${ci_packages[@]}" "${fuzz_packages[@]}" ;;
    bench) printf "%s\n" "${bench_load[@]}" "${bench_plots[@]}" "${bench_peers[@]}" ;;
    bench-load) printf "%s\n" "${bench_load[@]}" ;;
    bench-plots) printf "%s\n" "${bench_plots[@]}" ;;
    bench-nginx) printf "%s\n" "${bench_peers[0]}" ;;
    bench-*) echo "${1#bench-}" ;;
    fuzz) printf '%s\n' "${fuzz_packages[@]}" ;;
    esac
}

is_installed() {
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

is_known() {
    apt-cache policy "$1" 2>/dev/null | grep '^  Candidate: [^(]' >/dev/null
}

any() { # any TEST ALTERNATIVES: prints the first alternative that passes
    local alternative
    for alternative in ${2//|/ }; do
        if "$1" "$alternative"; then
            echo "$alternative"
            return 0
        fi
    done
    return 1
}

missing_packages() {
    local requirement
    while read -r requirement; do
        any is_installed "$requirement" >/dev/null || echo "$requirement"
    done < <(wanted_packages "$1")
}

# For each requirement the alternative that the package lists offer, if any.
offered_packages() {
    local requirement
    for requirement in "$@"; do
        any is_known "$requirement" || true
    done
}

as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

apt() {
    as_root apt-get -qq -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" </dev/null >&2
}

try_install() {
    local offered
    mapfile -t offered < <(offered_packages "$@")
    if [[ ${#offered[@]} -lt $# ]]; then
        return 1
    fi
    apt install --no-install-recommends "${offered[@]}"
}

# Package lists that are absent or too old make the first attempt fail; they are fetched then, and only then.
install() {
    try_install "$@" || { apt update && try_install "$@"; }
}

# Packages of servers start them when they are installed, unless the machine has a policy that says no; with it a
# service is not started now. One that systemd would start at the next boot is disabled.
readonly policy=/usr/sbin/policy-rc.d

without_services() { # without_services COMMAND...
    local status=0 known
    known=$(services)
    if [[ ! -e $policy ]]; then
        printf "#!/bin/sh\nexit 101\n" | as_root sh -c "cat >$policy && chmod 755 $policy"
        trap 'as_root rm -f "$policy"' EXIT
    fi
    "$@" || status=$?
    disable_new_services "$known"
    return "$status"
}

services() { find /lib/systemd/system /etc/init.d -maxdepth 1 -printf "%f\n" 2>/dev/null | sed "s/\.service$//" | sort -u; }

disable_new_services() { # disable_new_services THOSE-BEFORE
    local service
    [[ -d /run/systemd/system ]] || return 0
    while read -r service; do
        echo "setup: $service is not started, now or at boot" >&2
        as_root systemctl disable --now "$service" >/dev/null 2>&1 || true
    done < <(comm -13 <(echo "$1") <(services))
}

main() {
    local group=${1:-run} missing how=
    case $group in
    run | test | ci | bench | bench-load | bench-plots | bench-nginx | bench-varnish | bench-haproxy) ;;
    bench-trafficserver | bench-memcached | fuzz) ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
    esac
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "setup: no apt here; going on with what is installed. Needed (Debian names):" >&2
        wanted_packages "$group" | tr '\n' ' ' >&2
        echo >&2
        exit 0
    fi
    mapfile -t missing < <(missing_packages "$group")
    [[ ${#missing[@]} -gt 0 ]] || exit 0
    if [[ $(id -u) -ne 0 ]] && ! command -v sudo >/dev/null; then
        echo "setup: missing: ${missing[*]}" >&2
        echo "setup: this needs root, and there is no sudo. As root, run: $(readlink -f "$0") $group" >&2
        exit 1
    fi
    [[ $group != bench* ]] || how=without_services
    echo "setup: installing ${missing[*]}" >&2
    if ! $how install "${missing[@]}"; then
        echo "setup: could not install: ${missing[*]}" >&2
        echo "setup: offered here: $(offered_packages "${missing[@]}" | xargs)" >&2
        exit 1
    fi
}

main "$@"

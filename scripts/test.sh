#!/usr/bin/env bash
# Installs what is missing, builds everything in build/ and runs every test.
# Arguments go to ctest, e.g. `scripts/test.sh -R e2e`.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

scripts/setup.sh test
cmake --preset release
cmake --build --preset release
exec ctest --preset release "$@"

#!/usr/bin/env bash
# Runs every test and closes with their sum.
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
cargo test --workspace --exclude filter --no-fail-fast "$@" 2>&1 | tee "$log" || status=$?
awk '/^test result:/ {passed += $4; failed += $6}
     END {printf "tests: %d passed, %d failed\n", passed, failed; exit passed == 0}' "$log"
exit "$status"

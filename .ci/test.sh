#!/usr/bin/env bash
# Runs the tests of one tier, `fast` by default or `slow`, and closes with their sum. What else stands there goes to cargo.
set -euo pipefail
cd "$(dirname "$0")/.."

tier=fast
case ${1:-} in fast | slow) tier=$1 && shift ;; esac
case $tier in
fast)
    echo "tests: tier fast, without tests/hostile: make test-slow runs that"
    what=(--workspace --exclude filter)
    # A module that a header kills: what becomes of everybody else then is tested, too.
    GUEST_PROFILE=trap .ci/guest.sh --features trap
    ;;
slow)
    echo "tests: tier slow, tests/hostile alone: make test runs the others"
    # One attack at a time: another's noise would be the victim's.
    what=(--workspace --exclude filter --features tests/slow --test hostile)
    set -- "$@" -- --test-threads=1
    ;;
esac

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
cargo test "${what[@]}" --no-fail-fast "$@" 2>&1 | tee "$log" || status=$?
awk '/^test result:/ {passed += $4; failed += $6}
     END {printf "tests: %d passed, %d failed\n", passed, failed; exit passed == 0}' "$log"
exit "$status"

#!/usr/bin/env bash
# Runs the tests of one tier, `fast` by default or `slow`, and closes with their sum. What else stands there goes to cargo.
set -euo pipefail
cd "$(dirname "$0")/.."

tier=fast
case ${1:-} in fast | slow) tier=$1 && shift ;; esac
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
run() {
    cargo test --no-fail-fast "$@" 2>&1 | tee -a "$log" || status=$?
}

case $tier in
fast)
    echo "tests: tier fast, without tests/hostile and the story of large bodies: make test-slow runs those"
    # A module that a header kills: what becomes of everybody else then is tested, too.
    GUEST_PROFILE=trap .ci/guest.sh --features trap
    run --workspace --exclude filter "$@"
    ;;
slow)
    echo "tests: tier slow, tests/hostile and the story of large bodies: make test runs the others"
    # One attack at a time: another's noise would be the victim's.
    run --workspace --exclude filter --features tests/slow --test hostile "$@" -- --test-threads=1
    run --workspace --exclude filter --features tests/slow --test envoy bodies:: -- --test-threads=1
    ;;
esac

awk '/^test result:/ {passed += $4; failed += $6}
     END {printf "tests: %d passed, %d failed\n", passed, failed; exit passed == 0}' "$log"
exit "$status"

#!/usr/bin/env bash
# Counts instructions, then takes turns with a bare Envoy. Arguments go to `bench`.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
command -v valgrind >/dev/null || {
    echo "bench: valgrind is missing. Install with: sudo apt-get install valgrind" >&2
    exit 1
}
cargo build --quiet --profile guest -p instructions
# The sidecar shares the machine with what is measured, and its ledger is measured itself.
cargo build --quiet --release -p bench -p sidecar --bins
export ATTACHE_BIN="$target/release/attache"
instructions=$(mktemp)
ledger=$(mktemp)
trap 'rm -f "$instructions" "$ledger"' EXIT
"$target/guest/instructions" | tee "$instructions"
"$target/release/ledger" --folder "$target" | tee "$ledger"
"$target/release/bench" --instructions "$instructions" --ledger "$ledger" "$@"

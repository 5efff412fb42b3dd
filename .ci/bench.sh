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
table=$(mktemp)
trap 'rm -f "$table"' EXIT
"$target/guest/instructions" | tee "$table"
"$target/debug/bench" --instructions "$table" "$@"

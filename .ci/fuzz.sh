#!/usr/bin/env bash
# Runs every fuzz target in turn. Sanitizers need compiler switches that stable hides; RUSTC_BOOTSTRAP shows them, so
# that no second toolchain is needed.
set -euo pipefail
cd "$(dirname "$0")/../tests/fuzz"

cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
export RUSTC_BOOTSTRAP=1
for target in $(cargo fuzz list); do
    printf 'fuzz: %s\n' "$target"
    # What it finds worth keeping stays with the build; seeds are the corpus of the tests.
    found=$CARGO_TARGET_DIR/fuzz/$target
    mkdir -p "$found"
    seeds=(../corpus)
    if [ -d "seeds/$target" ]; then seeds+=("seeds/$target"); fi
    cargo fuzz run "$target" "$found" "${seeds[@]}" -- \
        -max_total_time="${SECONDS_EACH:-60}" -rss_limit_mb=2048 -print_final_stats=1
done

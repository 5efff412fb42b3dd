#!/usr/bin/env bash
# Runs every fuzz target in turn, and then random lives of the built guest. Sanitizers need compiler switches that stable hides; RUSTC_BOOTSTRAP shows them, so
# that no second toolchain is needed.
set -euo pipefail
cd "$(dirname "$0")/../tests/fuzz"
seconds=${SECONDS_EACH:-60}

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
        -max_total_time="$seconds" -rss_limit_mb=2048 -malloc_limit_mb=256 -timeout=10 -print_final_stats=1
done
printf 'fuzz: guest\n'
cd ../..
env -u RUSTC_BOOTSTRAP ATTACHE_FUZZ_SECONDS="$seconds" cargo test --quiet -p tests --test guest no_life -- --nocapture

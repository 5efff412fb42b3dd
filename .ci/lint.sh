#!/usr/bin/env bash
# Formatting, clippy and documentation of every crate, warnings as errors.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/wasm-route.sh

step() {
    printf 'lint: %s\n' "$*"
    "$@"
}

# Without the target's standard library the guest is checked for the host: the same code, the same lints.
guest=()
if [ "$(wasm_route)" = toolchain ]; then guest=(--target "$WASM_TARGET"); fi

step cargo fmt --all --check
step cargo clippy --quiet --workspace --exclude filter --all-targets -- -D warnings
step cargo clippy --quiet -p filter "${guest[@]}" -- -D warnings
export RUSTDOCFLAGS="-D warnings"
step cargo doc --quiet --workspace --exclude filter --no-deps --document-private-items
step cargo doc --quiet -p filter "${guest[@]}" --no-deps --document-private-items
if cargo deny --version >/dev/null 2>&1; then
    step cargo deny --config .deny.toml check bans licenses sources
else
    echo "lint: cargo-deny is not installed; bans, licences and sources unchecked"
fi

#!/usr/bin/env bash
# Builds attache.wasm, in the profile GUEST_PROFILE if that is set. Arguments go to cargo.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/wasm-route.sh

build=(build --quiet -p filter --profile "${GUEST_PROFILE:-guest}" --target "$WASM_TARGET" "$@")
case $(wasm_route) in
toolchain)
    exec cargo "${build[@]}"
    ;;
debian)
    linker=$(wasm_linker)
    # The one toolchain for host and target: rustc-web cannot share a standard library with another rustc.
    exec env -u RUSTUP_TOOLCHAIN PATH="/usr/bin:$PATH" RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$linker" \
        /usr/bin/cargo "${build[@]}" -Zbuild-std=std,panic_abort
    ;;
*)
    echo "no compiler for $WASM_TARGET: run make setup" >&2
    exit 1
    ;;
esac

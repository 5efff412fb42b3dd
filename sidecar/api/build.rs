//! `proto/sidecar.proto` to Rust. `protox` parses it, so nobody installs `protoc`. The guest gets messages only: tonic's
//! stubs pull in a runtime that has no place in wasm.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let stubs = std::env::var_os("CARGO_FEATURE_SERVER").is_some();
    let files = protox::compile(["proto/sidecar.proto"], ["proto"])?;
    tonic_prost_build::configure().build_server(stubs).build_client(stubs).compile_fds(files)?;
    Ok(())
}

//! The demo of an outage, told quickly: the same program, fewer streams.

use std::process::Command;

#[test]
fn the_outage_of_everything_keeps_its_promises() {
    let scale = ["--story", "outage", "--streams", "24", "--pace", "2", "--drip", "100"];
    let told = Command::new(env!("CARGO_BIN_EXE_demo")).args(scale).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success(), "{out}\n{err}");
    assert!(out.lines().last().is_some_and(|line| line.starts_with("demo: ok story=outage ")), "{out}");
    let wide: Vec<&str> = out.lines().filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "more than a terminal has: {wide:#?}");
}

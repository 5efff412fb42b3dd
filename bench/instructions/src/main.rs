//! `instructions`: how many instructions the engine takes to plan a request, to try it and to answer it, as a table.
//!
//! Native code with the guest's optimisations. Envoy runs the same code as WebAssembly, with its own calls around it; what
//! those cost is `bench`'s matter. These counts are the same in each run, so that a change of a percent shows.
//!
//! Decision: this program runs itself under `valgrind --tool=callgrind`, which collects inside [`measured`] alone.
//! Rejected: gungraun, whose runner is one more program to install, at the library's version, for a number that valgrind
//! prints.

#![expect(clippy::print_stdout, reason = "a program for people")]

mod limits;
mod steps;
mod traffic;

use std::hint::black_box;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use steps::{STEPS, Step};

/// Text of a request's message or of an answer.
const SIZES: [(&str, usize); 2] = [("1 KB", 1_000), ("100 KB", 100_000)];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    if let (Some(step), Some(size)) = (arguments.next(), arguments.next()) {
        let step = STEPS.iter().find(|s| s.name == step).context("no such step")?;
        return once(step, size.parse()?);
    }
    let titles: Vec<String> = SIZES.iter().map(|(title, _)| format!(" {title} |")).collect();
    println!("| step |{}\n|---|{}", titles.concat(), "---|".repeat(SIZES.len()));
    for step in &STEPS {
        let counts: Result<Vec<String>> =
            SIZES.iter().map(|(_, size)| Ok(format!(" {} |", count(step, *size)?))).collect();
        println!("| {} |{}", step.name, counts?.concat());
    }
    Ok(())
}

/// Instructions of one step, counted in a process of its own.
fn count(step: &Step, size: usize) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*instructions::measured*"])
        .arg(std::env::current_exe()?)
        .args([step.name, &size.to_string()])
        // What is on the stack's floor would move all that stands on it.
        .env_clear()
        .output()
        .context("valgrind does not start: run make setup")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", step.name);
    let collected =
        said.lines().find_map(|line| line.split("Collected : ").nth(1)).context("valgrind printed no count")?;
    let count = collected.trim().parse()?;
    ensure!(count > 0, "nothing was counted: `measured` is not to be found in this program");
    Ok(count)
}

/// Does a step, thrice unseen and then to be counted.
fn once(step: &Step, size: usize) -> Result<()> {
    for _ in 0..3 {
        (step.prepare)(size)?()?;
    }
    let work = (step.prepare)(size)?;
    measured(work)
}

/// What valgrind counts.
#[inline(never)]
fn measured(work: steps::Work) -> Result<()> {
    black_box(work())
}

//! The examples, as their readers use them.
//!
//! Does not: know what an example is about. A README is run as it stands: every command of its `console` blocks, in one
//! shell, and what it prints must be what the README says it prints.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sidecar::render;
use tests::process::Process;
use tests::stack::{attache, envoy_binary, wasm};

/// No README takes this long unless it hangs.
const HANG: Duration = Duration::from_secs(180);

/// Stands before each command's number in the output.
const MARK: &str = "\u{1}command ";

#[test]
fn an_envoy_that_has_other_work_takes_the_rendered_files_in() {
    let dir = scratch("existing");
    let loaded = sidecar::read::file(&root().join("examples/failover/attache.yaml")).unwrap();
    let at = dir.join("attache");
    let (admin, ca) = (([127, 0, 0, 1], 9901).into(), "/etc/ssl/certs/ca-certificates.crt".into());
    let options = render::Options {
        at: at.clone(),
        wasm: wasm().unwrap(),
        module: String::new(),
        ca,
        admin,
        resolve: Vec::new(),
    };
    // The example's keys are references to the environment; a test may not set that, so it renders without.
    let keyless = engine::config::Loaded { snapshot: without_secrets(loaded.snapshot.clone()), ..loaded };
    render::envoy(&keyless, &options).unwrap().write(&at).unwrap();

    let example = std::fs::read_to_string(root().join("examples/existing-envoy/envoy.yaml")).unwrap();
    assert!(example.matches("/etc/attache/").count() >= 3, "the example names other paths than it did");
    let bootstrap = dir.join("envoy.yaml");
    std::fs::write(&bootstrap, example.replace("/etc/attache", &at.display().to_string())).unwrap();
    let mut envoy = Command::new(envoy_binary().unwrap());
    let output = envoy.args(["--mode", "validate", "-l", "warning", "-c"]).arg(&bootstrap).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::remove_dir_all(dir).unwrap();
}

fn without_secrets(mut snapshot: engine::config::snapshot::Snapshot) -> engine::config::snapshot::Snapshot {
    snapshot.lanes.iter_mut().for_each(|lane| lane.secret = None);
    snapshot
}

#[test]
fn failover_runs_as_its_readme_says() {
    run_readme("examples/failover/README.md", &[8080, 9091, 9901, 9902]);
}

#[test]
fn keys_run_as_their_readme_says() {
    run_readme("examples/keys/README.md", &[8080, 9091, 9901]);
}

#[test]
fn quota_runs_as_its_readme_says() {
    run_readme("examples/quota/README.md", &[8080, 9091, 9901]);
}

#[test]
fn translation_runs_as_its_readme_says() {
    run_readme("examples/translate/README.md", &[8080, 9091, 9901, 9902]);
}

/// Runs a README that uses these ports. One at a time: they are the same ports.
fn run_readme(path: &str, ports: &[u16]) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let commands = commands(&std::fs::read_to_string(root().join(path)).unwrap());
    assert!(commands.len() > 3, "{path} has no commands");
    wait_for(ports);
    let dir = scratch("readme");
    let mut script = "set -u\n".to_owned();
    for (number, command) in commands.iter().enumerate() {
        script.push_str(&format!("printf '%s\\n' $'\\x01command {number}'\n{}\n", command.line));
    }
    // A README says `target`; somebody may have told cargo to build elsewhere.
    let target = attache().unwrap().ancestors().nth(2).unwrap().to_owned();
    let script = script.replace("$PWD/target/", &format!("{}/", target.display()));
    std::fs::write(dir.join("script"), script).unwrap();

    let log = dir.join("output");
    // A reader's shell knows nothing of the package this test belongs to, and build scripts look at that.
    let reader = "unset \"${!CARGO_MANIFEST_@}\" \"${!CARGO_PKG_@}\"";
    let enter = format!("{reader}; cd '{}' && . '{}'", root().display(), dir.join("script").display());
    let mut shell = Process::start(Path::new("bash"), &["-c", &enter], &[], &log).unwrap();
    let begun = Instant::now();
    while shell.ended().is_none() {
        assert!(begun.elapsed() < HANG, "{path} hangs:\n{}", shell.tail(40));
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = std::fs::read_to_string(&log).unwrap();
    let mut printed = output.split(MARK).skip(1);
    for (number, command) in commands.iter().enumerate() {
        let part = printed.next().unwrap_or_else(|| panic!("{path} ended before `{}`:\n{output}", command.line));
        let part = part.strip_prefix(&format!("{number}\n")).expect("the commands' order");
        let missing = first_missing(&command.prints, part);
        assert!(missing.is_none(), "{path}: `{}` should print `{}`, printed:\n{part}", command.line, missing.unwrap());
        assert!(
            !command.prints.is_empty() || part.is_empty(),
            "{path}: `{}` should print nothing:\n{part}",
            command.line
        );
    }
    std::fs::remove_dir_all(dir).unwrap();
}

struct Step {
    line: String,
    prints: Vec<String>,
}

/// The commands of all `console` blocks, each with the lines that follow it.
fn commands(readme: &str) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::new();
    for block in readme.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            match line.strip_prefix("$ ") {
                Some(command) => found.push(Step { line: command.to_owned(), prints: Vec::new() }),
                None => found.last_mut().expect("a command before its output").prints.push(line.to_owned()),
            }
        }
    }
    found
}

/// The first expected line that no line of the output, after the former's, is like.
fn first_missing<'a>(expected: &'a [String], output: &str) -> Option<&'a str> {
    let mut lines = output.lines();
    expected.iter().map(String::as_str).find(|pattern| *pattern != "..." && !lines.any(|line| like(pattern, line)))
}

/// `...` in a pattern stands for any text.
fn like(pattern: &str, line: &str) -> bool {
    let Some((first, others)) = pattern.split_once("...") else { return pattern == line };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let (middle, last) = others.rsplit_once("...").unwrap_or(("", others));
    for part in middle.split("...") {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// A README's ports are fixed; a former run may still be letting go of them.
fn wait_for(ports: &[u16]) {
    let begun = Instant::now();
    for port in ports {
        while let Err(error) = TcpListener::bind(("127.0.0.1", *port)) {
            assert!(begun.elapsed() < HANG, "port {port} is needed to run a README as it stands: {error}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("attache-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn three_dots_stand_for_any_text() {
    assert!(like("a...c", "abbc") && like("...", "") && like("x: ...", "x: 1") && like("same", "same"));
    assert!(!like("a...c", "ab") && !like("same", "same ") && !like("...b", "bc") && !like("a...a", "a"));
}

//! The `attache` command as a user meets it: output and exit codes.
#![cfg(test)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn attache(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_attache")).args(arguments).output().expect("the command starts")
}

fn check(file: &Path) -> Output {
    attache(&["check", file.to_str().expect("UTF-8")])
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn check_says_what_a_good_file_holds() {
    let out = check(&repository().join("examples/keys/attache.yaml"));
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    assert_eq!(text(&out.stdout), "ok: 2 providers, 2 provider keys, 0 models, 3 virtual keys\n");
}

#[test]
fn check_prints_every_fault_of_a_bad_file_and_ends_with_2() {
    let mut files = 0;
    for entry in std::fs::read_dir(repository().join("tests/bad-config")).expect("the folder") {
        let path = entry.expect("an entry").path();
        let yaml = std::fs::read_to_string(&path).expect("a text");
        let announced = yaml.lines().map_while(|line| line.strip_prefix("# "));
        let announced: String = announced.map(|fault| format!("{}:{fault}\n", path.display())).collect();
        let out = check(&path);
        assert_eq!(out.status.code(), Some(2), "{}", path.display());
        assert_eq!(text(&out.stderr), announced);
        assert!(out.stdout.is_empty());
        files += 1;
    }
    assert!(files > 30, "{files} files");
}

#[test]
fn an_absent_file_is_a_fault_like_any_other() {
    let out = check(Path::new("/nowhere/attache.yaml"));
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).starts_with("/nowhere/attache.yaml: found No such file"), "{out:?}");
}

#[test]
fn wrong_usage_ends_with_2_and_help_tells_the_exit_codes() {
    assert_eq!(attache(&["chekc"]).status.code(), Some(2));
    assert_eq!(attache(&["render", "envoy"]).status.code(), Some(2), "no output directory");
    let admin = ["render", "envoy", "-o", "x", "--admin", "0.0.0.0:9901"];
    assert_eq!(attache(&admin).status.code(), Some(2), "an admin address for everybody");
    let help = attache(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("Exit codes:"));
}

#[test]
fn serve_refuses_a_bad_file_before_it_opens_anything() {
    let file = repository().join("tests/bad-config/five-at-once.yaml");
    let out = attache(&["serve", "-c", file.to_str().expect("UTF-8")]);
    assert_eq!(out.status.code(), Some(2), "{out:?}");
}

/// A child that goes with its test.
struct Watch(Child);

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn sighup_takes_up_at_once_what_never_stays_the_same_from_one_look_to_the_next() {
    let place = tempfile::tempdir().expect("a directory");
    let (file, out) = (place.path().join("attache.yaml"), place.path().join("out"));
    let write = |text: &str| {
        let aside = place.path().join("aside");
        std::fs::write(
            &aside,
            format!("version: 1\nproviders: {{ollama: {{keys: [{{name: k, models: [\"*\"]}}]}}}}\n{text}\n"),
        )
        .expect("written");
        std::fs::rename(&aside, &file).expect("renamed");
    };
    write("");
    let mut command = Command::new(env!("CARGO_BIN_EXE_attache"));
    command.args(["render", "envoy", "--watch", "--admin", "127.0.0.1:1", "-c"]).arg(&file).arg("-o").arg(&out);
    let mut watch = Watch(command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("the command starts"));
    let plan = || std::fs::read_to_string(out.join("ecds/plan.yaml")).unwrap_or_default();
    until("the first rendering", || plan().contains("ollama"));
    let mut changes = 0;
    until("the change", || {
        changes += 1;
        write(&format!("strict: true # {changes}"));
        // More than one may be needed: the signal does not wait for the end of a push that a quiet moment let through.
        if changes % 50 == 10 {
            let told = Command::new("kill").args(["-HUP", &watch.0.id().to_string()]).status().expect("kill");
            assert!(told.success());
        }
        plan().contains("\"strict\": true")
    });
    assert!(watch.0.try_wait().expect("its state").is_none(), "the signal ended it");
}

#[test]
fn a_new_key_is_printed_once_with_the_line_that_stands_for_it() {
    let out = attache(&["key", "new"]);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    let printed = text(&out.stdout);
    let (key, line) = printed.trim_end().split_once('\n').expect("two lines");
    assert!(key.starts_with("vk-") && line.starts_with("secret: sha256:"), "{printed}");
    assert_eq!(hashed(&["key", "hash"], key), format!("{line}\n"));
    let under = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(under.path(), "a secret of some length\n").expect("written");
    let reference = format!("file:{}", under.path().display());
    let keyed = hashed(&["key", "hash", "--key-secret", &reference], "vk-prod");
    assert_eq!(keyed, "secret: hmac:ebeea49f88c8e8a79ade10ca0e7d4e0647a59197ce2f41444ca167808e94bbce\n");
    assert_eq!(attache(&["key", "new", "--key-secret", "env:ATTACHE_TEST_ABSENT"]).status.code(), Some(1));
    assert_eq!(hashed(&["key", "hash"], ""), "", "nothing is no key");
}

/// What it prints of a key from standard input.
fn hashed(arguments: &[&str], key: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_attache"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    writeln!(child.stdin.take().expect("a pipe"), "{key}").expect("it reads");
    text(&child.wait_with_output().expect("it ends").stdout).to_owned()
}

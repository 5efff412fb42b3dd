//! What `attache render envoy` writes, judged by Envoy itself.
//!
//! Validation (`--mode validate`) reads the bootstrap only, so each rendering is also started for real and asked
//! whether every file it subscribes to was accepted.
#![cfg(test)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const OPENAI: &str = "sk-openai-5318008";
const ANTHROPIC: &str = "sk-ant-\"5318008\": #{x}";
const SECRETS: [&str; 2] = [OPENAI, "5318008"];

/// Whatever is hard to write: addresses for hosts, a port, no TLS, no secret, own headers, names that need quotes.
const TRICKY: &str = r#"
version: 1
listen: 127.0.0.1:0
auth: open
retry: { max: 1, backoff: 1ms }
limits: { body: 65536 }
timeouts: { connect: 250ms, first_content: 1500ms, complete: 24h, idle: 1h }
sidecar: { address: "localhost:9090" }
providers:
  openai: { http2: false, keys: [{ name: a, secret: "env:OPENAI_API_KEY", models: ["*"] }, { name: b-2, models: ["*"] }] }
  four: { like: openai, base_url: "https://127.0.0.2:8443/v1", keys: [{ name: a, models: ["*"] }] }
  six: { base_url: "http://[::1]:8000", format: openai_chat, path: "/chat(1)", keys: [{ name: none, models: ["*"] }] }
  own:
    like: anthropic
    base_url: https://localhost/$%7Bx%7D/v1
    auth_header: { name: X-Key, prefix: "a: \"b\" #" }
    keys: [{ name: a, secret: "env:ANTHROPIC_API_KEY", models: ["*"] }]
models:
  "it's \"{{odd}}\": # → 模型": { candidates: [{ provider: six, model: "a: b" }] }
"#;

fn repository() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).expect("the repository")
}

fn examples() -> Vec<PathBuf> {
    let folders = fs::read_dir(repository().join("examples")).expect("examples");
    let files = folders.map(|folder| folder.expect("an entry").path().join("attache.yaml"));
    let files: Vec<_> = files.filter(|file| file.exists()).collect();
    assert!(files.len() >= 2, "{files:?}");
    files
}

/// A directory with `attache.yaml` in it.
fn with_config(yaml: &str) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("attache.yaml"), yaml).expect("written");
    directory
}

/// Renders `DIR/attache.yaml` into `DIR/out`.
fn render(directory: &Path, openai: &str, extra: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attache"));
    command.current_dir(directory).args(["render", "envoy", "-c", "attache.yaml", "-o", "out"]).args(extra);
    command.env("OPENAI_API_KEY", openai).env("ANTHROPIC_API_KEY", ANTHROPIC);
    command.output().expect("the command starts")
}

fn rendered(directory: &Path, openai: &str, extra: &[&str]) {
    let out = render(directory, openai, extra);
    assert!(out.status.success(), "{out:?}");
}

/// Every rendered file, below the output directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn envoy() -> PathBuf {
    if let Some(path) = std::env::var_os("ENVOY") {
        return path.into();
    }
    let python = fs::read_dir(repository().join(".venv/lib")).into_iter().flatten();
    let mut binaries = python.map(|entry| entry.expect("an entry").path().join("site-packages/envoy/_bin/envoy"));
    binaries.find(|path| path.exists()).expect("Envoy: set ENVOY or run `make setup`")
}

fn wasm() -> Option<String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    let built = target.join("wasm32-unknown-unknown/guest/attache.wasm");
    let wasm = std::env::var_os("ATTACHE_WASM").map_or(built, PathBuf::from);
    if wasm.exists() {
        return Some(wasm.to_str().expect("UTF-8").to_owned());
    }
    println!("SKIPPED: no {}; run `make build` to have the rendering started for real", wasm.display());
    None
}

/// An Envoy that runs `DIR/out/envoy.yaml`.
struct Running {
    child: Child,
    admin: String,
    log: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

impl Running {
    fn start(directory: &Path) -> Self {
        let (admin, log) = (directory.join("admin"), directory.join("envoy.log"));
        let to = fs::File::create(&log).expect("a log");
        let child = Command::new(envoy())
            .current_dir(directory)
            .args(["-c", "out/envoy.yaml", "--use-dynamic-base-id", "--concurrency", "1", "-l", "warning"])
            // Else a misspelt member of a dynamic file is a warning.
            .arg("--reject-unknown-dynamic-fields")
            .arg("--admin-address-path")
            .arg(&admin)
            .stdout(to.try_clone().expect("a log"))
            .stderr(to)
            .stdin(Stdio::null())
            .spawn()
            .expect("Envoy starts");
        let mut running = Self { child, admin: String::new(), log };
        until("Envoy to be live", || {
            running.admin = fs::read_to_string(&admin).unwrap_or_default();
            assert!(running.child.try_wait().expect("a child").is_none(), "Envoy ended");
            running.get("/ready").contains("LIVE")
        });
        running
    }

    /// The answer as it came, head included; empty while nobody listens.
    fn get(&self, path: &str) -> String {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(&self.admin)?;
            write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().unwrap_or_default()
    }

    /// The value of a counter.
    fn count(&self, name: &str) -> Option<u64> {
        self.get("/stats?filter=update_")
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok())
    }

    /// Each file was read and none was refused.
    fn expect_everything_accepted(&self, lanes_with_secrets: &[&str]) {
        let mut subscriptions = vec![
            "cluster_manager.cds".to_owned(),
            "http.attache.rds.attache".to_owned(),
            "extension_config_discovery.http_filter.plan".to_owned(),
        ];
        subscriptions.extend(lanes_with_secrets.iter().map(|lane| format!("sds.{lane}")));
        for name in subscriptions {
            assert!(self.count(&format!("{name}.update_success")) > Some(0), "{name} was not read");
        }
        let refused: Vec<String> = self
            .get("/stats?filter=update_rejected|update_failure|config_fail|config_conflict|init_fetch_timeout")
            .lines()
            .filter(|line| line.contains(": ") && line.contains('.') && !line.ends_with(": 0"))
            .map(str::to_owned)
            .collect();
        assert!(refused.is_empty(), "{refused:?}");
        let dump = self.get("/config_dump?include_eds");
        assert!(dump.contains("generic_secret"), "secrets are in the dump, redacted");
        assert!(!SECRETS.iter().any(|secret| dump.contains(secret)), "a secret is in the dump, readable");
        let log = fs::read_to_string(&self.log).expect("a log");
        assert!(!log.contains("eprecated"), "{log}");
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
fn every_rendering_passes_envoys_own_validation() {
    let yamls = examples().into_iter().map(|file| fs::read_to_string(file).expect("a text")).chain([TRICKY.to_owned()]);
    for yaml in yamls {
        let directory = with_config(&yaml);
        rendered(directory.path(), OPENAI, &[]);
        let out = Command::new(envoy())
            .current_dir(directory.path())
            .args(["--mode", "validate", "-c", "out/envoy.yaml"])
            .output()
            .expect("Envoy starts");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn a_running_envoy_accepts_every_file_of_every_example() {
    let Some(wasm) = wasm() else { return };
    for file in examples() {
        let directory = with_config(&(fs::read_to_string(&file).expect("a text") + "\nlisten: 127.0.0.1:0\n"));
        rendered(directory.path(), OPENAI, &options(&wasm, &["api.openai.com", "api.anthropic.com"]));
        Running::start(directory.path()).expect_everything_accepted(&["openai_main", "anthropic_main"]);
    }
}

#[test]
fn a_running_envoy_accepts_what_is_hard_to_write() {
    let Some(wasm) = wasm() else { return };
    let directory = with_config(TRICKY);
    rendered(directory.path(), OPENAI, &options(&wasm, &["api.openai.com"]));
    let envoy = Running::start(directory.path());
    envoy.expect_everything_accepted(&["openai_a", "own_a"]);
    for cluster in ["openai_a", "openai_b-2", "four_a", "six_none", "own_a", "own_a_hosts", "guard", "sidecar"] {
        assert!(envoy.get("/clusters").contains(&format!("\n{cluster}::")), "{cluster}");
    }
}

#[test]
fn a_push_is_taken_up_by_the_running_envoy() {
    let Some(wasm) = wasm() else { return };
    let directory = with_config(TRICKY);
    let options = options(&wasm, &["api.openai.com"]);
    rendered(directory.path(), OPENAI, &options);
    let envoy = Running::start(directory.path());
    let more = TRICKY.replace("name: b-2", "name: new, secret: \"env:OPENAI_API_KEY\"");
    fs::write(directory.path().join("attache.yaml"), more).expect("written");
    let reads = |name: &str| envoy.count(&format!("{name}.update_success")).unwrap_or_default();
    let plans = reads("extension_config_discovery.http_filter.plan");
    let (before, rotated) = (reads("sds.openai_a"), "sk-openai-rotated-5318008");
    rendered(directory.path(), rotated, &options);
    until("the push", || {
        reads("sds.openai_a") > before
            && reads("sds.openai_new") > 0
            && reads("extension_config_discovery.http_filter.plan") > plans
            && !envoy.get("/clusters").contains("openai_b-2")
    });
    envoy.expect_everything_accepted(&["openai_a", "openai_new", "own_a"]);
}

/// A child that ends with the test.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[test]
fn watching_pushes_a_change_and_goes_on_after_a_bad_one() {
    let Some(wasm) = wasm() else { return };
    let directory = with_config(TRICKY);
    let mut watch = Command::new(env!("CARGO_BIN_EXE_attache"));
    watch.current_dir(directory.path()).args(["render", "envoy", "-o", "out", "--watch", "--grace", "0"]);
    watch.args(options(&wasm, &["api.openai.com"])).stderr(Stdio::piped());
    watch.env("OPENAI_API_KEY", OPENAI).env("ANTHROPIC_API_KEY", ANTHROPIC);
    let mut watch = Watching(watch.spawn().expect("the command starts"));
    until("the first rendering", || directory.path().join("out/envoy.yaml").exists());
    let envoy = Running::start(directory.path());
    let put = |yaml: &str| fs::write(directory.path().join("attache.yaml"), yaml).expect("written");
    put(&TRICKY.replace("version: 1", "version: 7"));
    let mut log = BufReader::new(watch.0.stderr.take().expect("piped")).lines().map_while(Result::ok);
    assert!(log.any(|line| line.contains("attache.yaml:2:10: version: found 7")), "the fault is told with its place");
    put(&TRICKY.replace("name: b-2", "name: new, secret: \"env:OPENAI_API_KEY\""));
    until("the push", || {
        let clusters = envoy.get("/clusters");
        // Each name holds that of the module, too.
        let hosts = |lane: &str| clusters.lines().any(|line| line.starts_with(lane) && line.contains("_hosts::"));
        hosts("openai_new@") && !hosts("openai_b-2@")
    });
    envoy.expect_everything_accepted(&["openai_a", "openai_new", "own_a"]);
}

/// The module, and addresses that nobody answers at.
fn options<'a>(wasm: &'a str, hosts: &[&str]) -> Vec<&'a str> {
    let mut options = vec!["--wasm", wasm, "--admin", "127.0.0.1:0"];
    for host in hosts {
        options.push(match *host {
            "api.openai.com" => "--resolve=api.openai.com=127.0.0.1:9",
            "api.anthropic.com" => "--resolve=api.anthropic.com=127.0.0.1:9",
            other => panic!("{other}"),
        });
    }
    options
}

#[test]
fn secrets_stand_in_their_own_files_for_their_owner_only() {
    let directory = with_config(TRICKY);
    let out = render(directory.path(), OPENAI, &[]);
    let said = [out.stdout, out.stderr].concat();
    assert!(!SECRETS.iter().any(|secret| String::from_utf8_lossy(&said).contains(secret)), "a secret was printed");
    let mut holders = Vec::new();
    for path in files(&directory.path().join("out")) {
        let secret = path.parent().expect("a parent").ends_with("sds");
        let text = fs::read_to_string(&path).expect("a text");
        assert_eq!(SECRETS.iter().any(|secret| text.contains(secret)), secret, "{}", path.display());
        let mode = fs::metadata(&path).expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode, if secret { 0o600 } else { 0o644 }, "{}", path.display());
        if secret {
            holders.push(path.file_name().expect("a name").to_str().expect("UTF-8").to_owned());
        }
    }
    assert_eq!(holders, ["openai_a.yaml", "own_a.yaml"], "a key without a secret has no file");
}

#[test]
fn rendering_again_touches_what_changed_and_removes_unused_secrets() {
    let directory = with_config(TRICKY);
    rendered(directory.path(), OPENAI, &[]);
    let inode = |path: &str| fs::metadata(directory.path().join("out").join(path)).map(|m| m.ino()).ok();
    let before = ["envoy.yaml", "cds.yaml", "ecds/plan.yaml", "sds/openai_a.yaml", "sds/own_a.yaml"].map(inode);
    fs::write(directory.path().join("out/sds/mine.yaml"), "not ours").expect("written");
    fs::write(directory.path().join("attache.yaml"), TRICKY.replace("secret: \"env:ANTHROPIC_API_KEY\", ", ""))
        .expect("written");
    rendered(directory.path(), "sk-other", &[]);
    let after = ["envoy.yaml", "cds.yaml", "ecds/plan.yaml", "sds/openai_a.yaml", "sds/own_a.yaml"].map(inode);
    assert_eq!(after[0], before[0], "the bootstrap is as it was");
    assert_ne!(after[1], before[1], "a filter is gone from a cluster");
    assert_eq!(after[2], before[2], "the module knows no secret");
    assert_ne!(after[3], before[3], "another secret");
    assert_eq!(after[4], None, "a secret that nobody needs");
    assert!(inode("sds/mine.yaml").is_some(), "not ours to remove");
}

#[test]
fn a_bad_configuration_renders_nothing() {
    let directory = with_config(&TRICKY.replace("version: 1", "version: 7"));
    let out = render(directory.path(), OPENAI, &[]);
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    assert!(!directory.path().join("out").exists());
}

#[test]
fn an_unset_secret_or_an_unused_address_renders_nothing() {
    let directory = with_config(&TRICKY.replace("env:OPENAI_API_KEY", "env:ATTACHE_TEST_UNSET"));
    let unset = render(directory.path(), OPENAI, &[]);
    assert_eq!(unset.status.code(), Some(1), "{unset:?}");
    let said = String::from_utf8_lossy(&unset.stderr).into_owned();
    assert!(said.contains("openai_a") && said.contains("ATTACHE_TEST_UNSET"), "{said}");
    let unused = render(directory.path(), OPENAI, &["--resolve", "api.opnai.com=127.0.0.1:9"]);
    assert_eq!(unused.status.code(), Some(1), "{unused:?}");
    assert!(!directory.path().join("out").exists());
}

#[test]
fn the_reference_rendering_is_current() {
    let directory =
        with_config(&fs::read_to_string(repository().join("examples/failover/attache.yaml")).expect("a text"));
    rendered(directory.path(), OPENAI, &["--at", "/etc/attache"]);
    for file in ["envoy.yaml", "cds.yaml", "rds.yaml", "ecds/plan.yaml"] {
        let now = fs::read_to_string(directory.path().join("out").join(file)).expect("rendered");
        let kept = fs::read_to_string(repository().join("envoy").join(file)).unwrap_or_default();
        assert!(now == kept, "envoy/{file} is stale: run `make envoy`");
    }
}

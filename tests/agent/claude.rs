//! The agent: its program, its folder, its environment.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::process::Process;

/// It needs seconds; beyond this it hangs.
const HANG: Duration = Duration::from_secs(90);

/// The page whose settings are tried.
const PAGE: &str = include_str!("../../filter/docs/claude-code.md");

/// The key it presents.
pub(crate) const KEY: &str = "vk-agent";

/// Claude Code in a project of its own.
pub(crate) struct Claude {
    dir: PathBuf,
    gateway: SocketAddr,
}

impl Claude {
    pub(crate) fn new(dir: &Path, gateway: SocketAddr) -> Self {
        for name in ["home", "project"] {
            std::fs::create_dir_all(dir.join(name)).unwrap();
        }
        Self { dir: dir.to_owned(), gateway }
    }

    /// A path in its project, absolute as it wants them.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join("project").join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.path(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Whether this stands in what it writes down of its conversations.
    pub(crate) fn remembers(&self, text: &str) -> bool {
        let folders = |path: &Path| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        let projects = self.dir.join("home/.claude/projects");
        let files = folders(&projects).flat_map(|project| folders(&project).collect::<Vec<_>>());
        files.filter(|path| path.is_file()).any(|path| std::fs::read_to_string(path).unwrap().contains(text))
    }

    /// Gives it a task, with these settings instead of the page's, and returns the report it prints at the end.
    pub(crate) async fn run(&self, task: &str, own: &[(&str, &str)]) -> Value {
        let (program, home) = (program(), self.dir.join("home"));
        let mut arguments = vec!["--ignore-environment".to_owned(), format!("--chdir={}", self.path("").display())];
        let path = std::env::var("PATH").unwrap_or_default();
        let always = [("PATH", path.as_str()), ("HOME", home.to_str().unwrap())];
        let own: Vec<_> = own.iter().chain(&always).map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let mut settings = settings(self.gateway);
        settings.retain(|(name, _)| own.iter().all(|(other, _)| other != name));
        settings.extend(own);
        arguments.extend(settings.iter().map(|(name, value)| format!("{name}={value}")));
        arguments.push(program.display().to_string());
        let options = ["-p", task, "--output-format", "json", "--permission-mode", "acceptEdits", "--max-turns", "9"];
        arguments.extend(options.map(str::to_owned));

        let log = self.dir.join("claude.log");
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut process = Process::start(Path::new("env"), &arguments, &[], &log).unwrap();
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = process.ended() {
                break status;
            }
            assert!(begun.elapsed() < HANG, "claude code hangs; it printed:\n{}", process.tail(60));
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let printed = std::fs::read_to_string(&log).unwrap();
        assert_eq!(status, "exit status: 0", "claude code printed:\n{printed}");
        let mut reports = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let report = reports.rfind(|report| report["type"] == "result");
        report.unwrap_or_else(|| panic!("no result in what claude code printed:\n{printed}"))
    }
}

/// The page's `sh` block, with this gateway and this key.
fn settings(gateway: SocketAddr) -> Vec<(String, String)> {
    let lines = block("sh").lines().map(|line| line.strip_prefix("export ").expect("only exports"));
    let pairs = lines.map(|line| line.split_once('=').expect("NAME=value"));
    let real = |value: &str| value.replace("localhost:8080", &gateway.to_string()).replace("$VK_AGENT", KEY);
    pairs.map(|(name, value)| (name.to_owned(), real(value))).collect()
}

/// The first block of this language on the page.
pub(crate) fn block(language: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("```{language}\n")).expect("a block");
    rest.split("```").next().expect("its end")
}

/// The program that `make setup` puts into `node_modules`: the one of this platform.
fn program() -> PathBuf {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("agent/node_modules/@anthropic-ai");
    let entries = std::fs::read_dir(&packages).into_iter().flatten().flatten();
    let found = entries.map(|entry| entry.path().join("claude")).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("Claude Code is not in {}: run `make setup`", packages.display()))
}

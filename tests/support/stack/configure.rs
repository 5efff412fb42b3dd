//! The stack's configuration: its secrets, and changing it while everything runs.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use super::{MODULE, START, Stack, StackOptions};

impl Stack {
    /// Replaces the configuration by one with this `yaml`, as an editor does. Returns its hash, which `/metrics` shows once
    /// it runs.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn configure(&self, yaml: &str) -> Result<u64> {
        let text = format!("{}{}", self.head, secrets(yaml, &self.dir)?);
        let aside = self.config.with_extension("new");
        std::fs::write(&aside, &text)?;
        std::fs::rename(&aside, &self.config)?;
        Ok(sidecar::push::source::hash(&text))
    }

    /// Replaces the module by one that does the same and is not the same.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn upgrade(&self) -> Result<()> {
        let (path, aside) = (self.dir.join(MODULE), self.dir.join("attache.wasm.new"));
        let mut module = std::fs::read(&path)?;
        // A custom section, which no engine looks at: kind, size, size of its name, name.
        module.extend(b"\0\x08\x07upgrade");
        std::fs::write(&aside, module)?;
        Ok(std::fs::rename(aside, path)?)
    }

    /// The file that `{{VALUE}}` in the configuration refers to.
    pub fn secret(&self, value: &str) -> PathBuf {
        secret_file(&self.dir, value)
    }

    /// What the sidecar has logged.
    ///
    /// # Errors
    /// There is no log.
    pub fn sidecar_log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.dir.join("attache.log"))?)
    }
}

/// The file that `{{VALUE}}` is put into. A name that is the secret would tell it to every log that names the file.
fn secret_file(dir: &Path, value: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    dir.join(format!("secret-{:016x}", hasher.finish()))
}

/// Writes each `{{VALUE}}` to a file of its own, unless there is one, and puts the reference in its place.
pub(super) fn secrets(yaml: &str, dir: &Path) -> Result<String> {
    let mut out = String::new();
    for (i, part) in yaml.split("{{").enumerate() {
        match part.split_once("}}") {
            Some((value, rest)) if i > 0 => {
                let path = secret_file(dir, value);
                if !path.exists() {
                    std::fs::write(&path, value)?;
                }
                write!(out, "file:{}{rest}", path.display())?;
            }
            _ => out.push_str(part),
        }
    }
    Ok(out)
}

/// Waits for the last file of a rendering.
pub(super) async fn wait_for_file(path: &Path) -> Result<()> {
    let deadline = Instant::now() + START;
    while !path.exists() {
        ensure!(Instant::now() < deadline, "{} is not rendered", path.display());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Renders it before anything runs.
pub(super) fn render(config: &Path, into: &Path, wasm: &Path, options: &StackOptions, admin: SocketAddr) -> Result<()> {
    let loaded = sidecar::read::file(config)
        .map_err(|faults| anyhow!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    let options = sidecar::render::Options {
        at: into.to_owned(),
        wasm: wasm.to_owned(),
        module: String::new(),
        ca: config.with_file_name("ca.pem"),
        admin,
        resolve: options.resolve.clone(),
    };
    sidecar::render::envoy(&loaded, &options)?.write(into)
}

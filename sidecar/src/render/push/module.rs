//! The module's file, and its copies beside the rendered files, each under a name that tells its content.
//!
//! Does not: decide when Envoy gets it.
//!
//! Decision: Envoy loads a copy that never changes. It reads the file anew with every part of the configuration that
//! names it, so a file that is replaced in place would be one module here and another there, and a try can only be made by
//! the module that planned it. Rejected: Envoy's own digest of the code, which it checks for fetched modules alone.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use super::super::files::replace;

/// How any module begins.
const MAGIC: &[u8] = b"\0asm";

type Stamp = (SystemTime, u64, u64);

/// A module as it was found.
#[derive(Debug)]
pub(super) struct Found {
    content: Vec<u8>,
    digest: String,
}

impl Found {
    /// The file of the copy.
    pub(super) fn file(&self) -> String {
        format!("attache-{}.wasm", self.digest)
    }

    /// What the names of its clusters end with.
    pub(super) fn suffix(&self) -> String {
        format!("@{}", self.digest)
    }

    /// Puts the copy into the directory, unless it is there.
    pub(super) fn copy(&self, directory: &Path) -> Result<()> {
        let path = directory.join(self.file());
        if !path.exists() {
            fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
            replace(&path, &self.content, 0o644).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }
}

/// The file that is followed.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    seen: Option<Stamp>,
    judged: Option<Stamp>,
}

impl Source {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, seen: None, judged: None }
    }

    /// A module that is new since the last look. `now`: without waiting for a second look to see the same. None where the
    /// file cannot be read from here: it is Envoy's alone then, and is not followed.
    pub(super) fn look(&mut self, now: bool) -> Result<Option<Found>> {
        let Ok(stat) = fs::metadata(&self.path) else { return Ok(None) };
        let stamp = (stat.modified()?, stat.len(), stat.ino());
        let settled = now || self.seen == Some(stamp);
        self.seen = Some(stamp);
        if !settled || self.judged == Some(stamp) {
            return Ok(None);
        }
        self.judged = Some(stamp);
        let content = fs::read(&self.path).with_context(|| format!("reading {}", self.path.display()))?;
        ensure!(content.starts_with(MAGIC), "{} is no WebAssembly module", self.path.display());
        let digest = Sha256::digest(&content).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Ok(Some(Found { content, digest }))
    }
}

/// Removes copies that no rendered file names.
pub(super) fn remove_unused(directory: &Path, named: &str) -> Result<()> {
    for entry in fs::read_dir(directory).context("removing former modules")? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let digest = name.strip_prefix("attache-").and_then(|rest| rest.strip_suffix(".wasm"));
        let ours =
            digest.is_some_and(|digest| digest.len() == 8 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if ours && !named.contains(&*name) {
            fs::remove_file(directory.join(&*name)).with_context(|| format!("removing {name}"))?;
        }
    }
    Ok(())
}

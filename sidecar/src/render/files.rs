//! Rendered files, and putting them into a directory.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

/// One file.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Below the directory.
    pub path: String,
    /// Text.
    pub content: String,
    /// Permissions.
    pub mode: u32,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The content may be a secret.
        f.debug_struct("File").field("path", &self.path).field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl File {
    pub(super) fn open(path: impl Into<String>, content: String) -> Self {
        Self { path: path.into(), content, mode: 0o644 }
    }

    pub(super) fn secret(path: String, content: String) -> Self {
        Self { path, content, mode: 0o600 }
    }

    /// Is it not there, or not like this?
    pub(super) fn differs(&self, directory: &Path) -> bool {
        fs::read_to_string(directory.join(&self.path)).map_or(true, |former| former != self.content)
    }

    /// Puts it below `directory`, whole: written aside and renamed, which is what Envoy watches for. True if it was not
    /// there as it is: most pushes change one file, and what stays is left alone, so that Envoy has nothing to reload.
    pub(super) fn write(&self, directory: &Path) -> Result<bool> {
        for folder in ["ecds", "sds"] {
            let folder = directory.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        if !self.differs(directory) {
            return Ok(false);
        }
        let path = directory.join(&self.path);
        replace(&path, self.content.as_bytes(), self.mode).with_context(|| format!("writing {}", path.display()))?;
        Ok(true)
    }
}

/// All files of one rendering, in the order in which Envoy may see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The files.
    pub files: Vec<File>,
}

impl Rendered {
    /// Puts the files into `directory`, each whole. A secret of an earlier rendering that no key uses any more is removed.
    ///
    /// # Errors
    /// What could not be written.
    pub fn write(&self, directory: &Path) -> Result<()> {
        for file in &self.files {
            file.write(directory)?;
        }
        remove_secrets(directory, |path| self.files.iter().any(|file| file.path == path))
    }
}

/// Removes the secrets of lanes that `keep` does not know.
pub(super) fn remove_secrets(directory: &Path, keep: impl Fn(&str) -> bool) -> Result<()> {
    let remove = || -> Result<()> {
        for entry in fs::read_dir(directory.join("sds"))? {
            let name = entry?.file_name();
            let path = format!("sds/{}", name.to_string_lossy());
            // Names of lanes have an underscore; what somebody else put here is not ours to remove.
            if path.ends_with(".yaml") && path.contains('_') && !keep(&path) {
                fs::remove_file(directory.join(path))?;
            }
        }
        Ok(())
    };
    remove().context("removing secrets of an earlier rendering")
}

/// A file as a whole: written aside and renamed.
pub(super) fn replace(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let aside = path.with_added_extension("new");
    // A left-over of a rendering that was killed may have other permissions.
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut new = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&aside)?;
    new.write_all(content)?;
    new.sync_all()?;
    fs::rename(&aside, path)?;
    Ok(())
}

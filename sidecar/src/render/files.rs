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
}

/// All files of one rendering, in the order in which Envoy may see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The files.
    pub files: Vec<File>,
}

impl Rendered {
    /// Puts the files into `directory`. Each appears whole: it is written aside and renamed, which is what Envoy watches
    /// for. A secret of an earlier rendering that no key uses any more is removed.
    ///
    /// # Errors
    /// What could not be written.
    pub fn write(&self, directory: &Path) -> Result<()> {
        for folder in ["ecds", "sds"] {
            let folder = directory.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        for file in &self.files {
            let path = directory.join(&file.path);
            // Most pushes change one file: what stays is left alone, and Envoy has nothing to reload.
            let same = fs::read_to_string(&path).is_ok_and(|former| former == file.content);
            if !same {
                replace(&path, file).with_context(|| format!("writing {}", path.display()))?;
            }
        }
        self.remove_former_secrets(directory).context("removing secrets of an earlier rendering")
    }

    fn remove_former_secrets(&self, directory: &Path) -> Result<()> {
        for entry in fs::read_dir(directory.join("sds"))? {
            let name = entry?.file_name();
            let path = format!("sds/{}", name.to_string_lossy());
            // Names of lanes have an underscore; what somebody else put here is not ours to remove.
            let ours = path.ends_with(".yaml") && path.contains('_');
            if ours && !self.files.iter().any(|file| file.path == path) {
                fs::remove_file(directory.join(path))?;
            }
        }
        Ok(())
    }
}

fn replace(path: &Path, file: &File) -> Result<()> {
    let aside = path.with_extension("yaml.new");
    // A left-over of a rendering that was killed may have other permissions.
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut new = fs::OpenOptions::new().write(true).create_new(true).mode(file.mode).open(&aside)?;
    new.write_all(file.content.as_bytes())?;
    new.sync_all()?;
    fs::rename(&aside, path)?;
    Ok(())
}

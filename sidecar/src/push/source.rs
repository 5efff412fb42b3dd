//! The configuration's file and the secrets it refers to, as they are now.
//!
//! Decision: looked at twice a second and compared by content. That sees an editor's rename, a mounted volume's change of
//! symlinks, a network file system and a key file that is written in place, all by the same few lines. Rejected: inotify,
//! which needs a watch on every directory along every symlink and still misses what the kernel is not told.
//!
//! Decision: what changed is taken up once it has stayed the same from one look to the next, since not every editor
//! writes whole files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::anyhow;
use engine::config::Loaded;
use sha2::{Digest as _, Sha256};

use crate::read;

type Print = [u8; 32];

/// A configuration without faults, and every secret it refers to.
#[derive(Clone)]
pub struct Config {
    /// The configuration.
    pub loaded: Loaded,
    /// Says which configuration this is: the first six bytes of the SHA-256 of its text, which a metric can hold.
    pub hash: u64,
    secrets: BTreeMap<String, String>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("hash", &self.hash).finish_non_exhaustive()
    }
}

impl Config {
    /// Follows a reference to a secret.
    ///
    /// # Errors
    /// It is none of this configuration.
    pub fn secret(&self, reference: &str) -> anyhow::Result<String> {
        self.secrets.get(reference).cloned().ok_or_else(|| anyhow!("{reference} was not read"))
    }
}

/// Whose secrets are read: nobody needs those of others.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// Those of providers, to render them.
    pub providers: bool,
    /// Those of virtual keys, to admit them.
    pub virtual_keys: bool,
}

/// What a look has found, if it differs from what was found before: a configuration, or all its faults.
pub type Found = Option<Result<Config, Vec<String>>>;

/// The file.
pub struct Source {
    path: PathBuf,
    needs: Needs,
    read: Option<Read>,
    seen: Print,
    judged: Print,
}

/// The text that was read last, or why there is none, and what it holds.
struct Read {
    text: String,
    loaded: Result<Loaded, Vec<String>>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Source {
    /// The file at this path.
    #[must_use]
    pub fn new(path: PathBuf, needs: Needs) -> Self {
        Self { path, needs, read: None, seen: Print::default(), judged: Print::default() }
    }

    /// Looks whether anything has changed. `now`: without waiting for a second look to see the same.
    pub fn look(&mut self, now: bool) -> Found {
        let content = read::content(&self.path);
        let text = content.as_ref().map_or_else(|faults| format!("{faults:?}"), String::clone);
        if self.read.as_ref().is_none_or(|read| read.text != text) {
            let loaded = content.and_then(|text| read::text(&text));
            let loaded = loaded.map_err(|faults| faults.iter().map(|fault| self.at_its_place(fault)).collect());
            self.read = Some(Read { text, loaded });
        }
        let Read { text, loaded } = self.read.as_ref()?;
        let mut print = Sha256::new().chain_update(text);
        let mut faults = Vec::new();
        let mut secrets = BTreeMap::new();
        for (whose, reference) in loaded.as_ref().map(|loaded| references(loaded, self.needs)).unwrap_or_default() {
            let secret = read::secret(reference).map_err(|error| format!("{error:#}"));
            print.update(format!("{reference:?}{secret:?}"));
            match secret {
                Ok(secret) => drop(secrets.insert(reference.to_owned(), secret)),
                Err(fault) => faults.push(format!("{}: the secret of {whose}: {fault}", self.path.display())),
            }
        }
        let print = Print::from(print.finalize());
        let settled = now || self.seen == print;
        self.seen = print;
        if print == self.judged || !settled {
            return None;
        }
        self.judged = print;
        Some(match loaded {
            Err(faults) => Err(faults.clone()),
            Ok(_) if !faults.is_empty() => Err(faults),
            Ok(loaded) => Ok(Config { loaded: loaded.clone(), hash: hash(text), secrets }),
        })
    }

    fn at_its_place(&self, fault: &engine::config::Fault) -> String {
        let gap = if fault.place.is_some() { "" } else { " " };
        format!("{}:{gap}{fault}", self.path.display())
    }
}

/// References to secrets, and whose they are. A digest is none.
fn references(loaded: &Loaded, needs: Needs) -> Vec<(String, &str)> {
    let lanes = loaded.snapshot.lanes.iter().filter(|_| needs.providers);
    let lanes = lanes.filter_map(|lane| Some((format!("provider key {}", lane.cluster), lane.secret.as_deref()?)));
    let under =
        loaded.snapshot.sidecar.key_secret.iter().map(|secret| ("sidecar.key_secret".to_owned(), secret.as_str()));
    let keys = loaded.virtual_keys.iter().flat_map(|key| {
        let former = key.former.iter().map(|former| former.secret.as_str());
        let references = std::iter::once(key.secret.as_str()).chain(former).filter(|secret| !is_digest(secret));
        references.map(|reference| (format!("virtual key {:?}", key.name), reference))
    });
    lanes.chain(under.chain(keys).filter(|_| needs.virtual_keys)).collect()
}

fn is_digest(secret: &str) -> bool {
    secret.starts_with("sha256:") || secret.starts_with("hmac:")
}

/// As [`Config::hash`] has it.
#[must_use]
pub fn hash(text: &str) -> u64 {
    Sha256::digest(text).iter().take(6).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    const ALL: Needs = Needs { providers: true, virtual_keys: true };

    fn yaml(directory: &Path, more: &str) -> String {
        let key = directory.join("key").display().to_string();
        format!(
            "version: 1\nproviders: {{openai: {{keys: [{{name: a, secret: \"file:{key}\", models: ['*']}}]}}}}\n{more}"
        )
    }

    fn place() -> (tempfile::TempDir, Source) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("key"), "sk-1").unwrap();
        let file = directory.path().join("attache.yaml");
        fs::write(&file, yaml(directory.path(), "")).unwrap();
        (directory, Source::new(file, ALL))
    }

    #[test]
    fn a_change_is_taken_up_once_when_it_has_settled_or_at_once_if_asked_to() {
        let (directory, mut source) = place();
        assert!(matches!(source.look(true), Some(Ok(_))));
        assert!(source.look(true).is_none(), "nothing has changed");
        fs::write(directory.path().join("attache.yaml"), yaml(directory.path(), "strict: true")).unwrap();
        assert!(source.look(false).is_none(), "it may still be written");
        assert!(source.look(false).unwrap().unwrap().loaded.snapshot.strict);
        assert!(source.look(false).is_none());
    }

    #[test]
    fn a_secret_alone_is_a_change() {
        let (directory, mut source) = place();
        let key = directory.path().join("key");
        let reference = format!("file:{}", key.display());
        let first = source.look(true).unwrap().unwrap();
        fs::write(&key, "sk-2").unwrap();
        let second = source.look(true).unwrap().unwrap();
        assert_eq!(
            (first.secret(&reference).unwrap(), second.secret(&reference).unwrap()),
            ("sk-1".into(), "sk-2".into())
        );
        assert_eq!(first.hash, second.hash, "it tells the text, and nothing of a secret");
        assert!(!format!("{second:?} {source:?}").contains("sk-"), "a secret can be logged");
    }

    #[test]
    fn a_symlink_that_points_elsewhere_is_a_change() {
        let (directory, _) = place();
        let other = directory.path().join("other.yaml");
        fs::write(&other, yaml(directory.path(), "strict: true")).unwrap();
        let link = directory.path().join("link.yaml");
        std::os::unix::fs::symlink("attache.yaml", &link).unwrap();
        let mut source = Source::new(link.clone(), ALL);
        assert!(!source.look(true).unwrap().unwrap().loaded.snapshot.strict);
        let aside = directory.path().join("aside");
        std::os::unix::fs::symlink("other.yaml", &aside).unwrap();
        fs::rename(&aside, &link).unwrap();
        assert!(source.look(true).unwrap().unwrap().loaded.snapshot.strict);
    }

    #[test]
    fn every_fault_is_told_once_with_its_place() {
        let (directory, mut source) = place();
        let file = directory.path().join("attache.yaml");
        source.look(true);
        fs::write(&file, "version: 7\nprovidres: {}\n").unwrap();
        let faults = source.look(true).unwrap().unwrap_err();
        let told = |at: &str| faults.iter().any(|fault| fault.starts_with(&format!("{}:{at}", file.display())));
        assert!(told("1:10: version: ") && told("2:1: providres: "), "{faults:?}");
        assert!(source.look(true).is_none(), "told once");
        fs::write(&file, yaml(directory.path(), "")).unwrap();
        fs::remove_file(directory.path().join("key")).unwrap();
        let faults = source.look(true).unwrap().unwrap_err();
        assert!(faults[0].contains("the secret of provider key openai_a: reading "), "{faults:?}");
        fs::remove_file(&file).unwrap();
        assert!(source.look(true).unwrap().unwrap_err()[0].contains("No such file"));
    }
}

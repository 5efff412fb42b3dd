//! The one owner of a file: nobody else writes it meanwhile, or reads it.
//!
//! Decision: a lock of the system on a file beside the store, which goes with the process however that ends. Rejected: a
//! lock on the store itself, which SQLite's own would meet on file systems that have one kind only.

use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::LedgerError;

/// Names, usage and prices of all customers are in the file: nobody but its owner reads it.
const MODE: u32 = 0o600;

/// Takes the store for this process; the file says so as long as it is kept.
///
/// # Errors
/// Another process has it, or the directory cannot be written.
pub(super) fn lock(store: &Path) -> Result<File, LedgerError> {
    let path = beside(store, ".lock");
    let told = |error: &dyn std::fmt::Display| LedgerError::new(format!("{}: {error}", path.display()));
    let file = OpenOptions::new().create(true).append(true).mode(MODE).open(&path).map_err(|error| told(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(told(&"another process has this store open; stop it first")),
        Err(std::fs::TryLockError::Error(error)) => Err(told(&error)),
    }
}

/// Creates the file closed to others, and closes one that was open to them.
///
/// # Errors
/// The file cannot be created.
pub(super) fn close_to_others(store: &Path) -> Result<(), LedgerError> {
    let told = |error: std::io::Error| LedgerError::new(format!("{}: {error}", store.display()));
    OpenOptions::new().create(true).append(true).mode(MODE).open(store).map_err(told)?;
    // What SQLite writes beside it has the mode of the store.
    for path in [store.to_owned(), beside(store, "-wal"), beside(store, "-shm")] {
        let Ok(meta) = std::fs::metadata(&path) else { continue };
        let mode = meta.permissions().mode() & 0o777;
        if mode & 0o077 == 0 {
            continue;
        }
        match std::fs::set_permissions(&path, Permissions::from_mode(mode & 0o700)) {
            Ok(()) => tracing::warn!(path = %path.display(), was = format!("{mode:o}"), "others could read it; closed"),
            Err(error) => {
                tracing::error!(path = %path.display(), mode = format!("{mode:o}"), %error, "others can read it")
            }
        }
    }
    Ok(())
}

fn beside(store: &Path, end: &str) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::super::super::tally::{Labels, Names};
    use super::super::Sqlite;
    use super::*;

    fn open(store: &Path) -> Result<Sqlite, LedgerError> {
        Sqlite::open(store, Labels::new(Names::default()))
    }

    fn modes(store: &Path) -> Vec<u32> {
        let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        ["", "-wal", "-shm", ".lock"].map(|end| mode(beside(store, end))).to_vec()
    }

    #[test]
    fn a_store_has_one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("attache.db");
        let first = open(&store).unwrap();
        let second = open(&store).unwrap_err();
        assert!(second.to_string().contains("another process has this store open"), "{second}");
        drop(first);
        open(&store).unwrap();
    }

    #[test]
    fn nobody_else_reads_a_new_store_or_one_that_was_open_to_all() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("attache.db");
        let running = open(&store).unwrap();
        assert_eq!(modes(&store), [0o600; 4]);
        for end in ["", "-wal", "-shm"] {
            std::fs::set_permissions(beside(&store, end), Permissions::from_mode(0o644)).unwrap();
        }
        // As if it had been killed.
        std::mem::forget(running.connection);
        drop(running._owner);
        let _running = open(&store).unwrap();
        assert_eq!(modes(&store), [0o600; 4]);
    }
}

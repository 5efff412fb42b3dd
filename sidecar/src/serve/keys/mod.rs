//! Virtual keys by what stands for their secret, and by name.
//!
//! Does not: keep, compare or log a secret. A secret is digested and dropped when it has been read.
//!
//! Decision: look-up by SHA-256 (or an HMAC of it) in a sorted table, not in constant time. A caller cannot choose the
//! digest of a guess, so how far a comparison gets says nothing about a neighbouring key. Rejected: constant-time
//! comparison with every key, which costs by the number of keys and protects a digest nobody can use.
//!
//! Decision: a key is a row of fixed size; what keys may do is kept once for all that may do the same, and their names lie
//! in one text. A million keys of some teams then take less than 100 bytes each. Rejected: a map from digest to record,
//! which takes ten times as much.

mod print;

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};

use engine::config::snapshot::VirtualKey;
use prost::Message as _;
use sidecar_api::v1::KeyRecord;

use self::print::Print;
pub use self::print::{Digest, Printer, new_key};

/// All keys.
#[derive(Debug, Default)]
pub struct Keys {
    printer: Printer,
    /// In order, each with its row.
    prints: Box<[(Print, u32)]>,
    /// Keys that others have replaced: the row of the new one, and when they end.
    former: BTreeMap<Print, (u32, u64)>,
    rows: Box<[Row]>,
    /// All names, in the order of the rows.
    names: Box<str>,
    /// Rows in the order of their names.
    by_name: Box<[u32]>,
    /// What keys may do, without a name.
    records: Box<[KeyRecord]>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    record: u32,
    /// Where its name ends in [`Keys::names`]; it begins where that of the row before ends.
    name_end: u32,
    /// Unix seconds.
    expires: u64,
    disabled: bool,
}

/// What is known of whoever asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Nobody knows it, or it was replaced and its time is over.
    Unknown,
    /// It is disabled, or it has expired.
    Refused,
    /// It may be used.
    Good {
        /// What it may do; without accounts.
        record: KeyRecord,
        /// Unix seconds at which that ends, whatever else happens.
        until: Option<u64>,
    },
}

impl Keys {
    /// Resolves every key's secret; `secret` follows a reference, as [`crate::read::secret`] does, and `key_secret` is the
    /// reference to that under which prints are made.
    ///
    /// # Errors
    /// Every key that has no usable secret, and every pair that shares one.
    pub fn resolve(
        keys: impl IntoIterator<Item: Borrow<VirtualKey>>,
        key_secret: Option<&str>,
        secret: impl Fn(&str) -> anyhow::Result<String>,
    ) -> Result<Self, InvalidKeys> {
        let printer = match key_secret.map(|reference| secret(reference).and_then(|secret| Printer::under(&secret))) {
            None => Printer::default(),
            Some(Ok(printer)) => printer,
            Some(Err(fault)) => return Err(InvalidKeys(vec![format!("sidecar.key_secret: {fault:#}")])),
        };
        let mut table = Table::default();
        let mut faults = Vec::new();
        for key in keys {
            let key = key.borrow();
            let row = table.add(key);
            match printer.read(&key.secret, &secret) {
                Ok(print) => table.prints.push((print, row)),
                Err(fault) => faults.push(format!("virtual key {:?}: {fault:#}", key.name)),
            }
            if let Some(former) = &key.former {
                match printer.read(&former.secret, &secret) {
                    Ok(print) => table.former.push((print, (row, former.until))),
                    Err(fault) => faults.push(format!("virtual key {:?}, its former secret: {fault:#}", key.name)),
                }
            }
        }
        let keys = table.finish(printer, &mut faults);
        if faults.is_empty() { Ok(keys) } else { Err(InvalidKeys(faults)) }
    }

    /// Whoever presents a key of this digest, at this Unix second.
    #[must_use]
    pub fn find(&self, digest: &Digest, now: u64) -> Found {
        let print = self.printer.print(digest);
        if let Ok(at) = self.prints.binary_search_by(|(known, _)| known.cmp(&print)) {
            return self.prints.get(at).map_or(Found::Unknown, |(_, row)| self.tell(*row, u64::MAX, now));
        }
        match self.former.get(&print) {
            Some((row, until)) if now < *until => self.tell(*row, *until, now),
            Some(_) | None => Found::Unknown,
        }
    }

    /// Whoever may use the key of this name, at this Unix second.
    #[must_use]
    pub fn named(&self, name: &str, now: u64) -> Found {
        let found = self.by_name.binary_search_by(|row| self.name(*row).cmp(name)).ok();
        found.and_then(|at| self.by_name.get(at)).map_or(Found::Unknown, |row| self.tell(*row, u64::MAX, now))
    }

    fn tell(&self, row: u32, until: u64, now: u64) -> Found {
        let Some(it) = self.rows.get(row as usize) else { return Found::Unknown };
        if it.disabled || now >= it.expires {
            return Found::Refused;
        }
        let Some(record) = self.records.get(it.record as usize) else { return Found::Unknown };
        let until = until.min(it.expires);
        let record = KeyRecord { name: self.name(row).to_owned(), ..record.clone() };
        Found::Good { record, until: (until < u64::MAX).then_some(until) }
    }

    fn name(&self, row: u32) -> &str {
        let end = |row: u32| self.rows.get(row as usize).map_or(0, |row| row.name_end as usize);
        let start = row.checked_sub(1).map_or(0, end);
        self.names.get(start..end(row)).unwrap_or_default()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// There is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// [`Keys`] as they grow.
#[derive(Default)]
struct Table {
    prints: Vec<(Print, u32)>,
    former: Vec<(Print, (u32, u64))>,
    rows: Vec<Row>,
    names: String,
    records: Vec<KeyRecord>,
    /// By their bytes.
    known: HashMap<Vec<u8>, u32>,
}

impl Table {
    fn add(&mut self, key: &VirtualKey) -> u32 {
        let record = KeyRecord { name: String::new(), ..key.into() };
        let next = position(self.records.len());
        let record = *self.known.entry(record.encode_to_vec()).or_insert_with(|| {
            self.records.push(record);
            next
        });
        self.names.push_str(&key.name);
        let (name_end, expires) = (position(self.names.len()), key.expires.unwrap_or(u64::MAX));
        self.rows.push(Row { record, name_end, expires, disabled: key.disabled });
        position(self.rows.len() - 1)
    }

    fn finish(mut self, printer: Printer, faults: &mut Vec<String>) -> Keys {
        self.prints.sort_unstable();
        let mut keys = Keys {
            printer,
            prints: self.prints.into(),
            former: BTreeMap::new(),
            by_name: (0..position(self.rows.len())).collect(),
            rows: self.rows.into(),
            names: self.names.into(),
            records: self.records.into(),
        };
        let mut by_name = std::mem::take(&mut keys.by_name);
        by_name.sort_unstable_by(|a, b| keys.name(*a).cmp(keys.name(*b)));
        keys.by_name = by_name;
        let mut shared = |a: u32, b: u32| {
            let (a, b) = (a.min(b), a.max(b));
            faults.push(format!("virtual keys {:?} and {:?} have the same secret", keys.name(a), keys.name(b)));
        };
        for two in keys.prints.windows(2) {
            if let [(a, first), (b, second)] = two
                && a == b
            {
                shared(*first, *second);
            }
        }
        let mut former = BTreeMap::new();
        for (print, (row, until)) in self.former {
            let current = keys.prints.binary_search_by(|(known, _)| known.cmp(&print)).ok();
            let current = current.and_then(|at| keys.prints.get(at)).map(|(_, row)| *row);
            if let Some(other) = former.insert(print, (row, until)).map(|(row, _)| row).or(current) {
                shared(other, row);
            }
        }
        keys.former = former;
        keys
    }
}

/// Rows, records and bytes of names are counted in 32 bits: a file of more than a thousand million keys is none.
fn position(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What is wrong with the keys, one sentence each; names, never secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidKeys(Vec<String>);

impl std::fmt::Display for InvalidKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for InvalidKeys {}

#[cfg(test)]
mod tests;

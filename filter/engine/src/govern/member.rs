//! Workers of one Envoy know of each other: who is alive, and the most that each may have used of its leases.
//!
//! A worker's VM that traps takes its leases with it. So each VM keeps a record in data that all of them share: a beat,
//! and for each account a *ceiling* that spent and reserved never exceed. Before a request would exceed a ceiling the VM
//! raises it; at each beat it lowers those with room. A VM whose beat stands still is *fenced* by another: its record is
//! closed, and its ceilings go to the sidecar, which takes back what was granted beyond them. A VM that was fenced and
//! lives all the same finds its record closed when it next raises a ceiling, and begins anew.
//!
//! For example: 100 were granted to a VM that had spent 20 and reserved 10 when it died, under a ceiling of 40. 60 go
//! back; what the VM had not settled is covered by the 40.
//!
//! Does not: know time. Silence is counted in beats of the VM that watches, so a process that was stopped fences nobody.
//!
//! Decision: each write is a compare-and-swap on the record that a fence closes. So a ceiling is either in the report
//! or was never raised, and no clock decides what is safe. Rejected: leases that expire, which a stalled VM overruns,
//! and a record of each reservation, which costs a compare-and-swap an account and request.

use std::collections::BTreeMap;

/// Beats of the watching VM without one of the watched, after which that is fenced.
const SILENT: u32 = 10;
/// Beats of the watching VM between two reports of the same VM: the answer to the first may be lost.
const AGAIN: u32 = 6;
/// VMs of one Envoy that can be told apart. Those beyond have no record, and their leases end with their windows.
const SEATS: u64 = 128;
/// Parts of a record: a raise copies one.
const PAGES: u64 = 64;
/// Ceilings a page; the oldest goes for a new one, and what it was of ends with its window.
const ENTRIES: usize = 64;
/// Places that have ever been taken: the others need no look.
const TAKEN: &str = "members";
/// Bytes of one ceiling.
const ENTRY: usize = 24;
/// Times that a compare-and-swap is tried.
const TRIES: u32 = 16;

/// Data that all VMs of one Envoy share, by key.
pub trait Shared {
    /// The value, empty if there is none, and its version.
    fn get(&mut self, key: &str) -> (Vec<u8>, u32);
    /// Replaces the value; false if somebody else did since it had this version.
    fn swap(&mut self, key: &str, value: &[u8], version: u32) -> bool;
}

/// The same without Envoy, for simulations and tests: a version is never given twice, and 0 asks for none.
#[derive(Debug, Default)]
pub struct Local {
    values: BTreeMap<String, (Vec<u8>, u32)>,
    versions: u32,
}

impl Shared for Local {
    fn get(&mut self, key: &str) -> (Vec<u8>, u32) {
        self.values.get(key).cloned().unwrap_or_default()
    }

    fn swap(&mut self, key: &str, value: &[u8], version: u32) -> bool {
        let held = self.values.get(key).map_or(0, |(_, held)| *held);
        if version != 0 && held != version {
            return false;
        }
        self.versions += 1;
        self.values.insert(key.to_owned(), (value.to_vec(), self.versions));
        true
    }
}

/// The most that a VM has spent and reserved of one account in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    /// Of which account.
    pub account: u64,
    /// In which window: Unix seconds of its start.
    pub window: u64,
    /// In what the account counts.
    pub most: u64,
}

/// A VM that was fenced: what the sidecar is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its name at the sidecar.
    pub nonce: [u8; 16],
    /// Of accounts that are not named nothing is known.
    pub ceilings: Vec<Ceiling>,
    /// Where its record is; [`Member::forget`] wants it once the sidecar knows.
    pub seat: u64,
    /// It was not known before that it is silent.
    pub is_new: bool,
}

/// The VM's own record is closed: others take it for dead, and its leases are theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fenced;

/// What a VM that is watched has shown.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    head: Head,
    /// Beats of the watching VM since it changed.
    unchanged: u32,
}

/// One VM among those of its Envoy.
#[derive(Debug)]
pub struct Member {
    seat: u64,
    head: Head,
    seen: BTreeMap<u64, Seen>,
}

impl Member {
    /// Takes a place. `None` if all are taken, or the host shares nothing.
    pub fn join(shared: &mut impl Shared, nonce: [u8; 16]) -> Option<Self> {
        let head = Head { nonce, beat: 1, ended: false };
        for seat in 0..SEATS {
            let key = head_key(seat);
            let (value, version) = shared.get(&key);
            if Head::read(&value).is_some() || !shared.swap(&key, &head.bytes(), version) {
                continue;
            }
            // Each page is there before it is used: what is not this VM's was taken from it.
            let page = Page::new(nonce).bytes();
            for number in 0..PAGES {
                let key = page_key(seat, number);
                let (_, version) = shared.get(&key);
                shared.swap(&key, &page, version);
            }
            let member = Self { seat, head, seen: BTreeMap::new() };
            // A value that was not there has no version: another VM may have come at the same time.
            if member.check(shared).is_ok() {
                member.taken(shared);
                return Some(member);
            }
        }
        None
    }

    /// Whether others still take this VM for alive.
    ///
    /// # Errors
    /// They do not.
    pub fn check(&self, shared: &mut impl Shared) -> Result<(), Fenced> {
        self.own(&shared.get(&head_key(self.seat)).0)
    }

    fn own(&self, value: &[u8]) -> Result<(), Fenced> {
        match Head::read(value) {
            Some(head) if head.nonce == self.head.nonce && !head.ended => Ok(()),
            Some(_) | None => Err(Fenced),
        }
    }

    /// Says that this VM is alive.
    ///
    /// # Errors
    /// Others had given it up.
    pub fn beat(&mut self, shared: &mut impl Shared) -> Result<(), Fenced> {
        let next = Head { beat: self.head.beat.wrapping_add(1), ..self.head };
        let key = head_key(self.seat);
        for _ in 0..TRIES {
            let (value, version) = shared.get(&key);
            self.own(&value)?;
            if shared.swap(&key, &next.bytes(), version) {
                self.head = next;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Writes ceilings, new or raised or lowered; `keep` false takes one out. Returns accounts whose ceilings had to make
    /// room: they have none any more.
    ///
    /// # Errors
    /// Others have given this VM up: it must not use what it holds.
    pub fn write(&self, shared: &mut impl Shared, news: &[(Ceiling, bool)]) -> Result<Vec<u64>, Fenced> {
        let mut pages: BTreeMap<u64, Vec<(Ceiling, bool)>> = BTreeMap::new();
        news.iter().for_each(|new| pages.entry(new.0.account % PAGES).or_default().push(*new));
        let mut evicted = Vec::new();
        for (page, news) in pages {
            evicted.extend(self.write_page(shared, page, &news)?);
        }
        Ok(evicted)
    }

    fn write_page(&self, shared: &mut impl Shared, number: u64, news: &[(Ceiling, bool)]) -> Result<Vec<u64>, Fenced> {
        let key = page_key(self.seat, number);
        for _ in 0..TRIES {
            let (value, version) = shared.get(&key);
            let page = Page::read(&value).filter(|page| page.nonce == self.head.nonce && !page.closed);
            let Some(mut page) = page else { return Err(Fenced) };
            let mut evicted = Vec::new();
            for (new, keep) in news {
                let before = page.entries.iter().position(|entry| entry.account == new.account);
                match (before.and_then(|at| page.entries.get_mut(at)), keep) {
                    (Some(entry), true) => *entry = *new,
                    (None, true) => page.entries.push(*new),
                    (_, false) => page.entries.retain(|entry| entry.account != new.account),
                }
                if page.entries.len() > ENTRIES {
                    evicted.push(page.entries.remove(0).account);
                }
            }
            if shared.swap(&key, &page.bytes(), version) {
                return Ok(evicted);
            }
        }
        // Whoever cannot write must not go on as if it had been written.
        Err(Fenced)
    }

    /// How many places were ever taken, this one included.
    fn taken(&self, shared: &mut impl Shared) -> u64 {
        let (value, version) = shared.get(TAKEN);
        let taken = value.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        if taken > self.seat {
            return taken;
        }
        let taken = self.seat.saturating_add(1);
        // Whoever does not get through says so again with the next beat.
        shared.swap(TAKEN, &taken.to_le_bytes(), version);
        taken
    }

    /// Looks after the others, once a beat: fences those that are silent, and tells what is to be reported.
    pub fn watch(&mut self, shared: &mut impl Shared) -> Vec<Ended> {
        let mut ended = Vec::new();
        for seat in (0..self.taken(shared).min(SEATS)).filter(|seat| *seat != self.seat) {
            let key = head_key(seat);
            let (value, version) = shared.get(&key);
            let Some(head) = Head::read(&value) else {
                self.seen.remove(&seat);
                continue;
            };
            let seen = self.seen.entry(seat).or_default();
            if seen.head != head {
                *seen = Seen { head, unchanged: 0 };
            }
            seen.unchanged = seen.unchanged.saturating_add(1);
            let due = if head.ended { AGAIN } else { SILENT };
            if seen.unchanged <= due {
                continue;
            }
            // Of several that see it, one gets through; the others see another beat, and wait for theirs.
            let next = Head { ended: true, beat: head.beat.wrapping_add(1), ..head };
            if shared.swap(&key, &next.bytes(), version) {
                *seen = Seen { head: next, unchanged: 0 };
                let ceilings = (0..PAGES).flat_map(|page| close(shared, &page_key(seat, page), head.nonce)).collect();
                ended.push(Ended { nonce: head.nonce, ceilings, seat, is_new: !head.ended });
            }
        }
        ended
    }

    /// The sidecar knows of this one: its place is free.
    pub fn forget(&mut self, shared: &mut impl Shared, seat: u64, nonce: &[u8; 16]) {
        release(shared, seat, |head| head.ended && head.nonce == *nonce);
        self.seen.remove(&seat);
    }

    /// This VM goes, and has given back what it held.
    pub fn leave(self, shared: &mut impl Shared) {
        release(shared, self.seat, |head| *head == self.head);
    }
}

/// Frees a place. Its pages go first: a VM that was fenced and writes late finds none.
fn release(shared: &mut impl Shared, seat: u64, is_it: impl Fn(&Head) -> bool) {
    let key = head_key(seat);
    let (value, version) = shared.get(&key);
    let Some(head) = Head::read(&value).filter(is_it) else { return };
    for page in 0..PAGES {
        let key = page_key(seat, page);
        let (value, version) = shared.get(&key);
        if Page::read(&value).is_some_and(|page| page.nonce == head.nonce) {
            shared.swap(&key, &[], version);
        }
    }
    shared.swap(&key, &[], version);
}

/// Closes a page of a VM that was fenced. From here on it cannot write there any more.
fn close(shared: &mut impl Shared, key: &str, nonce: [u8; 16]) -> Vec<Ceiling> {
    for _ in 0..TRIES {
        let (value, version) = shared.get(key);
        let page = Page::read(&value).filter(|page| page.nonce == nonce);
        let closed = Page { closed: true, ..page.unwrap_or_else(|| Page::new(nonce)) };
        if shared.swap(key, &closed.bytes(), version) {
            return closed.entries;
        }
    }
    // It may still write: of these nothing is known.
    Vec::new()
}

fn head_key(seat: u64) -> String {
    format!("member/{seat}")
}

fn page_key(seat: u64, page: u64) -> String {
    format!("member/{seat}/{page}")
}

/// Who has a place, and whether it lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Head {
    nonce: [u8; 16],
    beat: u64,
    ended: bool,
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (nonce, rest) = bytes.split_first_chunk()?;
        let (beat, rest) = rest.split_first_chunk()?;
        Some(Self { nonce: *nonce, beat: u64::from_le_bytes(*beat), ended: rest.first() == Some(&1) })
    }

    fn bytes(&self) -> Vec<u8> {
        [self.nonce.as_slice(), &self.beat.to_le_bytes(), &[u8::from(self.ended)]].concat()
    }
}

/// A part of a record.
#[derive(Debug)]
struct Page {
    nonce: [u8; 16],
    closed: bool,
    entries: Vec<Ceiling>,
}

impl Page {
    fn new(nonce: [u8; 16]) -> Self {
        Self { nonce, closed: false, entries: Vec::new() }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (nonce, rest) = bytes.split_first_chunk()?;
        let (closed, rest) = rest.split_first()?;
        let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let entries = rest.chunks_exact(ENTRY).map(|entry| Ceiling {
            account: word(entry.first_chunk()),
            window: word(entry.get(8..).and_then(<[u8]>::first_chunk)),
            most: word(entry.last_chunk()),
        });
        Some(Self { nonce: *nonce, closed: *closed == 1, entries: entries.collect() })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(17 + self.entries.len() * ENTRY);
        bytes.extend(self.nonce);
        bytes.push(u8::from(self.closed));
        for Ceiling { account, window, most } in &self.entries {
            [account, window, most].iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        }
        bytes
    }
}

#[cfg(test)]
mod tests;

//! Who waits for leases, rates or a count: one line for each missing thing, first come first served.
//!
//! Only the first of a line is looked at when an answer comes, and only it asks. Whoever leaves a line hands it to the
//! next: with leases for three of ten requests three go on, the fourth asks for more, and six are not touched.
//! A request keeps its place however often it has to wait again.
//!
//! Does not: know what is held or send anything (`purses`).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use engine::config::snapshot::Sidecar;

use crate::missing::Missing;
use crate::patience::{self, pause};
use crate::request::Request;

/// Answers in a row that help the first of a line in nothing, before it pauses: the first ones may be answers to what
/// was asked before it came.
const IN_VAIN: u32 = 4;

struct Waiting {
    request: Rc<RefCell<Request>>,
    missing: Vec<Missing>,
    until: u64,
    /// What it waits for will not come.
    lost: bool,
    /// It is being looked at.
    taken: bool,
}

#[derive(Default)]
struct Line {
    tickets: BTreeSet<u64>,
    /// When to ask again; `None` while an answer is on its way.
    again: Option<u64>,
    /// So often in a row asking has helped nobody.
    tries: u32,
}

/// The lines of one VM.
#[derive(Default)]
pub(crate) struct Lines {
    waiting: BTreeMap<u64, Waiting>,
    lines: BTreeMap<Missing, Line>,
    /// Those to be looked at.
    ready: BTreeSet<u64>,
    tickets: u64,
}

/// Somebody who is looked at: its ticket, itself, and whether what it waits for will not come.
pub(crate) type Next = (u64, Rc<RefCell<Request>>, bool);

impl Lines {
    /// A place in all lines: behind all that were given before.
    pub(crate) fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// So many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Somebody waits for this who came before.
    pub(crate) fn is_behind(&self, ticket: Option<u64>, missing: &Missing) -> bool {
        let first = self.lines.get(missing).and_then(|line| line.tickets.first());
        first.is_some_and(|first| ticket.is_none_or(|ticket| *first < ticket))
    }

    /// This request waits, until then at most.
    pub(crate) fn wait(&mut self, ticket: u64, request: Rc<RefCell<Request>>, missing: Vec<Missing>, until: u64) {
        let former = self.waiting.remove(&ticket).map(|waiting| waiting.missing).unwrap_or_default();
        former.iter().filter(|one| !missing.contains(one)).for_each(|one| self.unline(ticket, one));
        for one in &missing {
            self.lines.entry(one.clone()).or_default().tickets.insert(ticket);
        }
        self.ready.remove(&ticket);
        self.waiting.insert(ticket, Waiting { request, missing, until, lost: false, taken: false });
    }

    /// This one waits for nothing any more.
    pub(crate) fn leave(&mut self, ticket: u64) {
        self.ready.remove(&ticket);
        if let Some(waiting) = self.waiting.remove(&ticket) {
            waiting.missing.iter().for_each(|one| self.unline(ticket, one));
        }
    }

    /// The next of the line is looked at: what this one leaves may be enough for it.
    fn unline(&mut self, ticket: u64, missing: &Missing) {
        let Some(line) = self.lines.get_mut(missing) else { return };
        let was_first = line.tickets.first() == Some(&ticket);
        line.tickets.remove(&ticket);
        if was_first {
            line.tries = 0;
            self.ready.extend(line.tickets.first());
        }
        if line.tickets.is_empty() {
            self.lines.remove(missing);
        }
    }

    /// An answer came that says something of this.
    pub(crate) fn answered(&mut self, missing: &Missing, now: u64) {
        let Some(line) = self.lines.get_mut(missing) else { return };
        line.tries += 1;
        line.again = (line.tries > IN_VAIN).then(|| now.saturating_add(pause(line.tries - IN_VAIN)));
        if line.again.is_none() {
            self.ready.extend(line.tickets.first());
        }
    }

    /// No answer came: the first of the line asks again after a pause.
    pub(crate) fn lost(&mut self, missing: &Missing, now: u64) {
        let Some(line) = self.lines.get_mut(missing) else { return };
        line.tries += 1;
        line.again = Some(now.saturating_add(pause(line.tries)));
    }

    /// Whose call it was has left: the first of the line asks again.
    pub(crate) fn orphaned(&mut self, missing: &Missing) {
        if let Some(line) = self.lines.get_mut(missing) {
            line.again = None;
            self.ready.extend(line.tickets.first());
        }
    }

    /// There are no leases any more: whoever is the first to wait for one looks again, and the others of its line after it.
    pub(crate) fn renewed(&mut self) {
        for (_, line) in self.lines.iter_mut().filter(|(missing, _)| matches!(missing, Missing::Account(_))) {
            line.again = None;
            self.ready.extend(line.tickets.first());
        }
    }

    /// Looks at those whose patience is over, at all if the sidecar is `away`, and at those who may ask again.
    pub(crate) fn tick(&mut self, sidecar: &Sidecar, away: bool, now: u64) {
        for (ticket, waiting) in &mut self.waiting {
            if away || patience::is_over(waiting.until, sidecar, now) {
                waiting.lost = true;
                self.ready.insert(*ticket);
            }
        }
        for line in self.lines.values_mut() {
            if line.again.is_some_and(|again| now >= again || again - now > pause(u32::MAX)) {
                line.again = None;
                self.ready.extend(line.tickets.first());
            }
        }
    }

    /// The one to look at, the first first. [`Lines::done`] must follow.
    pub(crate) fn next(&mut self) -> Option<Next> {
        loop {
            let ticket = self.ready.pop_first()?;
            if let Some(waiting) = self.waiting.get_mut(&ticket) {
                waiting.taken = true;
                return Some((ticket, Rc::clone(&waiting.request), waiting.lost));
            }
        }
    }

    /// It was looked at; if it does not wait again, its place is free.
    pub(crate) fn done(&mut self, ticket: u64) {
        if self.waiting.get(&ticket).is_some_and(|waiting| waiting.taken) {
            self.leave(ticket);
        }
    }
}

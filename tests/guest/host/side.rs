//! One direction of one stream, as Envoy's Wasm filter keeps it: what the guest can reach, what is held, what went on.
//!
//! The reach is Envoy's: a callback that answers Continue takes its headers or body away from the guest; Pause leaves
//! them; a paused body grows by each chunk (`decodeData`, `encodeData` in Envoy's source/extensions/common/wasm/context.cc).

use super::abi::{Action, Headers};

/// What has passed to the next filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Headers; true if nothing follows.
    Head(Headers, bool),
    /// Bytes; true if nothing follows.
    Body(Vec<u8>, bool),
    /// Trailers, always last.
    Trailers(Headers),
}

/// Which callback is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Head,
    Body,
    Trailers,
}

#[derive(Debug, Default)]
pub struct Slot<T> {
    pub value: T,
    /// The guest may read and change it.
    pub reach: bool,
    /// It arrived and has not passed.
    pending: bool,
}

#[derive(Debug, Default)]
pub struct Side {
    pub headers: Slot<Headers>,
    pub body: Slot<Vec<u8>>,
    pub trailers: Slot<Headers>,
    ended: bool,
    passed: Vec<Piece>,
    /// The guest asked to go on; done after the callback, as Envoy defers it.
    pub resumed: bool,
}

impl Side {
    /// Headers arrive. Like the next two, returns the number that the callback is told.
    pub fn head(&mut self, headers: Headers, end: bool) -> usize {
        self.headers = Slot { value: headers, reach: true, pending: true };
        self.ended = end;
        self.headers.value.len()
    }

    /// Bytes arrive; the callback is told of all that is held.
    pub fn chunk(&mut self, chunk: &[u8], end: bool) -> usize {
        self.body.value.extend_from_slice(chunk);
        (self.body.reach, self.body.pending, self.ended) = (true, true, end);
        self.body.value.len()
    }

    pub fn tail(&mut self, trailers: Headers) -> usize {
        self.trailers = Slot { value: trailers, reach: true, pending: true };
        self.ended = true;
        self.trailers.value.len()
    }

    /// The callback for `part` has answered.
    pub fn answered(&mut self, part: Part, action: Action) {
        if action == Action::Continue {
            match part {
                Part::Head => self.headers.reach = false,
                Part::Body => self.body.reach = false,
                Part::Trailers => self.trailers.reach = false,
            }
        }
        if action == Action::Continue || self.resumed {
            self.pass();
        }
    }

    /// Envoy drops all three pointers of the request when either direction is resumed (`Context::continueStream`).
    pub fn lose_reach(&mut self) {
        self.headers.reach = false;
        self.body.reach = false;
        self.trailers.reach = false;
    }

    /// Everything held goes on.
    pub fn pass(&mut self) {
        self.resumed = false;
        let (body, trailers) = (self.body.pending, self.trailers.pending);
        if std::mem::take(&mut self.headers.pending) {
            self.passed.push(Piece::Head(self.headers.value.clone(), self.ended && !body && !trailers));
        }
        if std::mem::take(&mut self.body.pending) {
            let bytes = std::mem::take(&mut self.body.value);
            self.passed.push(Piece::Body(bytes, self.ended && !trailers));
        }
        if std::mem::take(&mut self.trailers.pending) {
            self.passed.push(Piece::Trailers(self.trailers.value.clone()));
        }
    }

    /// What passed since the last look.
    pub fn take(&mut self) -> Vec<Piece> {
        std::mem::take(&mut self.passed)
    }

    /// Something is held back by the guest.
    pub fn held(&self) -> bool {
        self.headers.pending || self.body.pending || self.trailers.pending
    }
}

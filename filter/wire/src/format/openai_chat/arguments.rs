//! Tells when arguments that arrive in pieces are complete.

/// Whether an object that arrives in pieces is complete. Looks at brackets and strings only.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    depth: usize,
    in_string: bool,
    escaped: bool,
    begun: bool,
}

impl Arguments {
    pub(super) fn feed(&mut self, piece: &str) {
        for byte in piece.bytes() {
            match byte {
                _ if std::mem::take(&mut self.escaped) => {}
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => {
                    self.depth += 1;
                    self.begun = true;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    pub(super) fn complete(&self) -> bool {
        self.begun && self.depth == 0
    }
}

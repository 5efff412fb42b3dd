//! Server-sent events, both ways, after the WHATWG HTML standard, section 9.2.
//!
//! Does not: reconnect, keep ids or retry times. Lenient where vendors are: an event whose closing blank line the end of
//! the stream swallowed still counts.

use std::borrow::Cow;

use memchr::memchr2;

use super::Frame;

/// Largest event taken. Real ones are a few kilobytes; a larger one is skipped and counted, and the next frame says so.
pub const MAX_EVENT: usize = 1 << 20;

/// Most events' data is no longer.
pub(crate) const USUAL: usize = 512;

/// Bytes of room for a line that are kept for the next one. A thousand streams that each had one long line would keep it.
const SPARE: usize = 4 << 10;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Bytes in any cut to [`Frame`]s. Holds at most one event.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The line not yet ended.
    line: Vec<u8>,
    event: Option<String>,
    data: Option<String>,
    /// The line before ended in CR, so a LF that follows belongs to it.
    after_cr: bool,
    /// The first line is over, thus no byte order mark can come.
    begun: bool,
    /// Inside an event that is too large.
    skipping: bool,
    skipped: u64,
    /// No frame has come since.
    gap: bool,
    /// The line before was blank.
    blank: bool,
    /// A comment has come since [`Decoder::commented`] was last asked.
    comment: bool,
}

impl Decoder {
    /// More bytes.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Frame>) {
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let Some(at) = memchr2(b'\r', b'\n', rest) else {
                self.grow(rest);
                return;
            };
            let (head, tail) = rest.split_at(at);
            self.after_cr = tail.first() == Some(&b'\r');
            rest = tail.get(1..).unwrap_or_default();
            self.grow(head);
            self.end_line(out);
        }
    }

    /// No more bytes.
    pub fn finish(&mut self, out: &mut Vec<Frame>) {
        if !self.line.is_empty() {
            self.end_line(out);
        }
        self.dispatch(out);
    }

    /// The last byte ended an event (or a blank line between events): nothing is held.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.blank && self.line.is_empty()
    }

    /// A comment has come since this was last asked: most servers keep a connection alive so.
    pub fn commented(&mut self) -> bool {
        std::mem::take(&mut self.comment)
    }

    /// How many events were too large and are missing.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    fn grow(&mut self, bytes: &[u8]) {
        let held = self.line.len() + self.data.as_ref().map_or(0, String::len);
        if !self.skipping && held + bytes.len() > MAX_EVENT {
            self.skipping = true;
            self.skipped += 1;
            self.gap = true;
            (self.data, self.event) = (None, None);
            self.line.clear();
        }
        if self.skipping {
            // One byte says that the line is not blank.
            self.line.extend(bytes.first().filter(|_| self.line.is_empty()));
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self, out: &mut Vec<Frame>) {
        let mut line = std::mem::take(&mut self.line);
        let mut text = line.as_slice();
        if !std::mem::replace(&mut self.begun, true) {
            text = text.strip_prefix(BOM).unwrap_or(text);
        }
        self.blank = text.is_empty();
        if self.blank {
            self.skipping = false;
            self.dispatch(out);
        } else if !self.skipping {
            self.field(text);
        }
        line.clear();
        if line.capacity() <= SPARE {
            self.line = line;
        }
    }

    fn field(&mut self, line: &[u8]) {
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        // Lossy reading goes byte by byte, and hardly any event needs it.
        let value = std::str::from_utf8(value).map_or_else(|_| String::from_utf8_lossy(value), Cow::Borrowed);
        match name {
            b"event" => self.event = Some(value.into_owned()),
            b"data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(&value);
                }
                None => self.data = Some(value.into_owned()),
            },
            b"" => self.comment = true,
            // `id` and `retry` are for clients that reconnect.
            _ => {}
        }
    }

    fn dispatch(&mut self, out: &mut Vec<Frame>) {
        let event = self.event.take();
        if let Some(data) = self.data.take() {
            out.push(Frame { event, data, after_gap: std::mem::take(&mut self.gap) });
        }
    }
}

/// Appends one event.
pub fn encode(event: Option<&str>, data: &[u8], out: &mut Vec<u8>) {
    if let Some(event) = event {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(event.as_bytes());
        out.push(b'\n');
    }
    for line in data.split(|byte| *byte == b'\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(chunks: &[&[u8]]) -> Vec<Frame> {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        for chunk in chunks {
            decoder.push(chunk, &mut out);
        }
        decoder.finish(&mut out);
        out
    }

    fn frame(event: Option<&str>, data: &str) -> Frame {
        Frame { event: event.map(str::to_owned), data: data.to_owned(), after_gap: false }
    }

    const MIXED: &[u8] =
        b"\xef\xbb\xbf: hello\r\n\r\nevent: a\r\ndata: 1\r\ndata:2\r\n\r\nid: 7\ndata:  two spaces\n\n\
        retry: 5\rdata: cr\r\revent: lonely\n\ndata\n\ndata: \xc3\xa9\n\ndata: last";

    #[test]
    fn any_line_end_comment_and_multi_line_data() {
        let expected = [
            frame(Some("a"), "1\n2"),
            frame(None, " two spaces"),
            frame(None, "cr"),
            frame(None, ""),
            frame(None, "é"),
            frame(None, "last"),
        ];
        assert_eq!(decode(&[MIXED]), expected);
    }

    #[test]
    fn any_cut_gives_the_same_frames() {
        let whole = decode(&[MIXED]);
        for at in 0..=MIXED.len() {
            assert_eq!(decode(&[&MIXED[..at], &MIXED[at..]]), whole, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = MIXED.chunks(1).collect();
        assert_eq!(decode(&bytes), whole);
    }

    #[test]
    fn an_event_that_is_too_large_is_counted_and_the_next_is_read() {
        let big = vec![b'x'; MAX_EVENT + 1];
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        decoder.push(b"event: big\ndata: ", &mut out);
        for part in big.chunks(1000) {
            decoder.push(part, &mut out);
        }
        decoder.push(b"\ndata: more\n\ndata: small\n\n", &mut out);
        assert_eq!(out, [Frame { after_gap: true, ..frame(None, "small") }]);
        assert_eq!(decoder.skipped(), 1);
        assert!(decoder.line.capacity() <= 2 * MAX_EVENT);
    }

    #[test]
    fn many_data_lines_are_bounded_too() {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        for _ in 0..MAX_EVENT / 8 {
            decoder.push(b"data: 0123456789\n", &mut out);
        }
        decoder.push(b"\ndata: x\n\n", &mut out);
        assert_eq!((out, decoder.skipped()), (vec![Frame { after_gap: true, ..frame(None, "x") }], 1));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut bytes = Vec::new();
        encode(Some("e"), b"{\n}", &mut bytes);
        encode(None, b"x", &mut bytes);
        assert_eq!(decode(&[&bytes]), [frame(Some("e"), "{\n}"), frame(None, "x")]);
    }
}

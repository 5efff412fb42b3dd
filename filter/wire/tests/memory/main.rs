//! Bounded memory: whatever a provider streams, a decoder holds little of it.
//!
//! A program of its own, since it watches the whole process: the most memory that was ever resident, which Linux counts.
//! Rejected: an allocator that counts, which would be unsafe code.

#![cfg(target_os = "linux")]

/// The most the process may grow, whatever is streamed at a decoder.
#[cfg(test)]
const DECODER: usize = 4 << 20;
/// The same for a watch, which has an event twice while it hides usage: as it came, and read.
#[cfg(test)]
const WATCH: usize = 6 << 20;

#[cfg(test)]
mod hostile {
    //! Streams without end.

    /// What a stream begins with and what it repeats.
    pub(crate) struct Hostile {
        pub(crate) name: &'static str,
        pub(crate) format: &'static str,
        pub(crate) head: &'static str,
        /// `#` becomes a number that counts up, `@` a kilobyte.
        pub(crate) again: &'static str,
        /// MiB to send: all 64, or less where events are small, many and slow to parse.
        pub(crate) size: usize,
    }

    const CHAT: &str =
        "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n";
    const MESSAGES: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"i\",\"model\":\"m\"}}\n\n\
        event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\
        \"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";

    const fn chat(name: &'static str, size: usize, again: &'static str) -> Hostile {
        Hostile { name, format: "openai_chat", head: CHAT, again, size }
    }

    const fn messages(name: &'static str, size: usize, again: &'static str) -> Hostile {
        Hostile { name, format: "anthropic", head: MESSAGES, again, size }
    }

    pub(crate) const ALL: &[Hostile] = &[
        chat("a line without end", 64, "data: @"),
        chat("an event without end", 64, "data: @\n"),
        chat(
            "calls without end",
            16,
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":#,\"id\":\"call_#\",\
                \"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\n\n",
        ),
        chat(
            "arguments without end",
            64,
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_0\",\
                \"function\":{\"name\":\"f\",\"arguments\":\"{@\"}}]}}]}\n\n",
        ),
        chat("text without end", 64, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"@\"}}]}\n\n"),
        chat("garbled events without end", 16, "data: {\"choices\":[{#\n\n"),
        messages("a line without end", 64, "data: @"),
        messages("an event without end", 64, "data: @\n"),
        messages("nothing but names of events", 64, "event: @\n"),
        messages(
            "blocks without end",
            16,
            "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":#,\
                \"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_#\",\"name\":\"f\",\"input\":{}}}\n\n",
        ),
        messages(
            "text without end",
            64,
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
                \"delta\":{\"type\":\"text_delta\",\"text\":\"@\"}}\n\n",
        ),
        messages(
            "citations without end",
            16,
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\
                \"citations_delta\",\"citation\":{\"type\":\"web_search_result_location\",\"url\":\"https://example.com/#\",\
                \"title\":\"T\",\"cited_text\":\"words\",\"encrypted_index\":\"ZW5j\"}}}\n\n",
        ),
        messages("garbled events without end", 16, "event: ping\ndata: {\"type\":#\n\n"),
    ];
}

/// The most memory this process ever had, in bytes.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what the system knows of this process is in a file")]
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[cfg(test)]
fn format(name: &str) -> &'static dyn wire::format::Outbound {
    let vendor = if name == "openai_chat" { "openai" } else { name };
    wire::provider::find(vendor).unwrap().format
}

/// Streams it all, in pieces of the size that hosts hand over.
#[cfg(test)]
fn stream(hostile: &hostile::Hostile, size: usize, push: &mut dyn FnMut(&[u8])) {
    push(hostile.head.as_bytes());
    let (mut sent, mut number) = (0, 0_usize);
    let mut chunk = String::with_capacity(64 << 10);
    let again = hostile.again.replace('@', &"x".repeat(1 << 10));
    while sent < size << 20 {
        chunk.clear();
        while chunk.len() < 32 << 10 {
            number += 1;
            let mut pieces = again.split('#');
            chunk.push_str(pieces.next().unwrap());
            for piece in pieces {
                chunk.push_str(&number.to_string());
                chunk.push_str(piece);
            }
        }
        sent += chunk.len();
        push(chunk.as_bytes());
    }
}

#[test]
fn a_decoder_or_watch_holds_little_of_a_hostile_stream() {
    // What comes out is the host's, who gives it away at once; so there is room for it from the start.
    let (mut events, mut bytes) = (Vec::with_capacity(1 << 12), vec![1_u8; 2 << 20]);
    bytes.clear();
    let before = peak();
    let within = |what: &str, hostile: &hostile::Hostile, most: usize| {
        let grown = peak() - before;
        println!("{} {what}, {}: {} KiB", hostile.format, hostile.name, grown >> 10);
        assert!(grown <= most, "{} {what}, {}: grown by {grown} bytes", hostile.format, hostile.name);
    };
    for hostile in hostile::ALL {
        let mut decoder = format(hostile.format).stream_decoder();
        stream(hostile, hostile.size, &mut |chunk| {
            decoder.push(chunk, &mut events);
            events.clear();
        });
        within("decoder", hostile, DECODER);
    }
    for hostile in hostile::ALL {
        let mut watch = format(hostile.format).stream_watch(true);
        // It looks at less, so less is enough.
        stream(hostile, hostile.size / 4, &mut |chunk| {
            watch.push(chunk, &mut bytes);
            bytes.clear();
        });
        within("watch", hostile, WATCH);
    }
}

//! Laws of translation, checked over every case there is: our own corpus, and recordings of real exchanges where they
//! are at hand. A new case or format is covered without a new test.
//!
//! The modules say `cfg(test)` although all of this is a test: that is where clippy allows helpers to unwrap.

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod counts;
#[cfg(test)]
mod doc;
#[cfg(test)]
mod fault;
#[cfg(test)]
mod finish;
#[cfg(test)]
mod fold;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod mend;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod openai_chat;
#[cfg(test)]
mod openai_requests;
#[cfg(test)]
mod page;
#[cfg(test)]
mod random;
#[cfg(test)]
mod request;
#[cfg(test)]
mod response;
#[cfg(test)]
mod sequence;
#[cfg(test)]
mod splice;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod to_anthropic;
#[cfg(test)]
mod transcript;
#[cfg(test)]
mod translate;
#[cfg(test)]
mod tree;
#[cfg(test)]
mod unsigned;
#[cfg(test)]
mod usage;
#[cfg(test)]
mod walk;
#[cfg(test)]
mod watch;

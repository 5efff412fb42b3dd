//! What the tests stand on: the mock provider, the whole product running, and a client that sees what a client sees.

pub mod client;
pub mod ledger;
pub mod mock;
pub mod process;
pub mod raw;
pub mod said;
pub mod stack;

//! Governance as the hot path meets it: what is counted, in which window, up to which maximum; what a worker may spend,
//! and what a request needs of it.
//!
//! Does not: decide who gets how much; that is the sidecar's ledger, which grants leases. Knows no clock, no calendar and
//! no price table: windows begin and end when the sidecar says, rates come with its answers.

mod account;
mod decide;
mod limit;
mod member;
mod need;
mod overshoot;
pub mod pattern;
pub mod price;
mod purse;
pub mod size;
mod wallet;
mod window;

pub use account::Account;
pub use decide::{Decision, Governor, Over, Refusal};
pub use limit::{Counted, Exhausted, Limit, Mode};
pub use member::{Ceiling, Ended, Fenced, Local, Member, Shared};
pub use need::{Candidate, Missing, Rated};
pub use overshoot::overshoot;
pub use purse::{Draw, Lease, Refused};
pub use wallet::{Charge, Held, Standing, Wallet};
pub use window::{Unit, Window};

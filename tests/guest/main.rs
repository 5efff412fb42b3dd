//! The built module under a host of our own: what it imports, how it bears a failing host and hostile input, what it costs.
//!
//! Does not: repeat the engine's tests. An exchange here proves that bytes and calls go where they should through the
//! ABI; what they say is decided, and tested, in `engine` and `wire`.

mod bank;
mod budget;
mod faults;
mod fixture;
mod fuzz;
mod gateway;
mod host;
mod hostile;
mod linear;
mod memory;
mod mesh;
mod patience;
mod purses;
mod pushes;
mod quota;
mod secrets;
mod stories;
mod surface;
mod tokenizer;
mod turns;

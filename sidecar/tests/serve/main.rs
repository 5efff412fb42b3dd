//! The sidecar over a real socket: in process, and as a child that is killed.
#![cfg(test)]

mod admit;
mod clock;
mod count;
mod draw;
mod keys;
mod kill;
mod operate;
mod settle;
mod support;

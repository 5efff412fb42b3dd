//! Scripted exchanges in simulated time: arrays of inputs, no Envoy.
//!
//! The modules say `cfg(test)` although all of this is a test: that is where clippy allows helpers to unwrap.

#[cfg(test)]
mod charge;
#[cfg(test)]
mod dialect;
#[cfg(test)]
mod disposition;
#[cfg(test)]
mod flawed;
#[cfg(test)]
mod hold;
#[cfg(test)]
mod life;
#[cfg(test)]
mod routing;
#[cfg(test)]
mod strict;
#[cfg(test)]
mod support;
#[cfg(test)]
mod whole;

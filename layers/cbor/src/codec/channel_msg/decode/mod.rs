//! Reading: in, a payload; out, a message, or why it is rejected.

pub(super) mod fast;
mod fields;
pub(super) mod general;
mod item;
mod present;
mod well_formed;

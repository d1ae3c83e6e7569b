//! The links of a bus between machines: while a member listens, its hub and those of other machines pass frames.
//!
//! In: byte streams of links. Out: frames for the hub. May touch: one task for each link, the state of the bus.

mod codec;
mod names;
mod open;
mod outbox;
mod pump;
#[cfg(test)]
mod tests;
mod wire;

pub(super) use self::names::LinkInput;
pub(crate) use self::{
    open::{LinkFault, run},
    outbox::LinkBox,
};

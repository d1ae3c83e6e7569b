//! The shell of both machines: the control channel, the descriptors, the sealed file. Linux alone.

mod channel;
mod credentials;
mod descriptors;
mod error;
mod hand_over;
mod memory;
mod offer;
mod sealed;
mod take_over;

pub use error::TakeOverError;
pub use hand_over::{Frozen, HandOver, Outcome};
pub use memory::Memory;
pub use offer::{Asking, Offer, control_path};
pub use take_over::{Received, TakeOver, take_over};

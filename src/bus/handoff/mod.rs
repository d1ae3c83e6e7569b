//! A restart that no member sees: a bus that listens goes on, as the same member, in the process that replaces it.
//!
//! In: a bus, or the path of one. Out: the same bus in another process. May touch: `PATH.handoff`, descriptors, a blocking
//! thread of tokio's.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod offered;
#[cfg(target_os = "linux")]
mod take_over;
mod values;

use kyneta_uds_core::{BoxError, SharedError};

#[cfg(not(target_os = "linux"))]
pub(crate) use self::elsewhere::TakenBus;
#[cfg(target_os = "linux")]
pub use self::take_over::BusTakeOver;
pub(crate) use self::values::{
    WAITING, body, items, known_before, save_body, save_duration, save_waiting, waiting,
};
#[cfg(target_os = "linux")]
pub(crate) use self::{offered::BusHandoffs, take_over::TakenBus};
use super::{event::BusEvent, shared::Shared};

/// The name of the bus's part of a process's state.
const BUS: &str = "bus";

fn not_handed_over(shared: &Shared, error: impl Into<BoxError>) {
    let error = SharedError::new(error);
    tracing::warn!(%error, "not handed over");
    shared.events.send(BusEvent::NotHandedOver { error });
}

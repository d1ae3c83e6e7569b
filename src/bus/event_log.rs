//! The log lines of a bus's events.
//!
//! In: an event, and the number of its kind so far. Out: a line for each of the first ones, then for ever fewer. Touches the
//! log, and that never under the lock of the bus: what takes the lines may publish on it.

use super::event::BusEvent;

/// The first of many are enough.
pub(super) const fn is_logged(count: u64) -> bool {
    count < 16 || count.is_power_of_two()
}

pub(super) fn log(event: &BusEvent, count: u64) {
    if !is_logged(count) {
        return;
    }
    match event {
        // What is refused before it has said an id is logged where it is refused.
        BusEvent::Refused { id, error } if !id.is_empty() => {
            tracing::info!(member = ?id, %error, "a member is not admitted");
        }
        BusEvent::Stalled(member) => {
            tracing::warn!(member = ?member.id, "a member acknowledges nothing: it is off the bus until it goes on");
        }
        BusEvent::BeyondWindow(member) => {
            tracing::warn!(member = ?member.id, "a member sends more than any window allows: it is disconnected");
        }
        BusEvent::HandlerFailed { from, error } => {
            tracing::warn!(%error, from = ?from.id, "the handler failed at a message");
        }
        _ => {}
    }
}

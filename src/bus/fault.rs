//! What the end of an accepted connection says of the process on its other side.
//!
//! In: why a connection ended. Out: an event, if the other side did what it must not. Pure.
//! A process that dies is no fault: its connection is reset, or ends in the middle of a frame.

use std::{error::Error, io};

use kyneta_uds_core::{DisconnectReason, SharedError};
use kyneta_uds_framing::FramingError;
use kyneta_uds_queue::DrainTimedOut;

use super::{event::BusEvent, refusal::refused};
use crate::counts::chain;

/// The process had not greeted yet: it is not admitted, whatever it is.
pub(crate) fn fault_before_greeting(reason: &DisconnectReason) -> Option<BusEvent> {
    let error = fault(reason)?;
    tracing::debug!(%error, "an accepted connection did not greet");
    let why = format!("the connection does not speak the protocol of this bus: {error}");
    Some(BusEvent::Refused {
        id: String::new(),
        error: refused("not-a-bus", why).into(),
    })
}

/// The process was a member.
pub(crate) fn fault_of_member(reason: &DisconnectReason) -> Option<BusEvent> {
    let error = fault(reason)?;
    let is_cut = |of: &FramingError| matches!(of, FramingError::Truncated { .. });
    if find(error).is_some_and(is_cut) {
        return None;
    }
    tracing::debug!(%error, "the connection of a member has failed");
    let error = error.clone();
    Some(BusEvent::Rejected { error })
}

/// What it did that it must not, if anything.
pub(crate) fn fault(reason: &DisconnectReason) -> Option<&SharedError> {
    let DisconnectReason::Error(error) = reason else {
        return None;
    };
    let is_fault = find::<io::Error>(error).is_none() && find::<DrainTimedOut>(error).is_none();
    is_fault.then_some(error)
}

fn find<E: Error + 'static>(error: &SharedError) -> Option<&E> {
    chain(error.get_ref()).find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kyneta_uds_core::BoxError;
    use kyneta_uds_queue::TooManyErrors;

    use super::*;

    fn code(event: Option<BusEvent>) -> Option<String> {
        event.map(|event| match event {
            BusEvent::Refused { error, .. } => error.code,
            BusEvent::Rejected { .. } => "rejected".to_owned(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn what_a_process_does_is_told_and_its_death_is_not() {
        let broken = |error: BoxError| DisconnectReason::error(error);
        let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
        let after = Duration::from_secs(1);
        for (reason, before, member) in [
            (DisconnectReason::Closed, None, None),
            (DisconnectReason::Intentional, None, None),
            (broken(reset().into()), None, None),
            (broken(FramingError::Io(reset()).into()), None, None),
            (
                broken(DrainTimedOut { after, messages: 1 }.into()),
                None,
                None,
            ),
            (
                broken(FramingError::Truncated { have: 3, want: 10 }.into()),
                Some("not-a-bus"),
                None,
            ),
            (
                broken(FramingError::UnknownVersion { byte: 71 }.into()),
                Some("not-a-bus"),
                Some("rejected"),
            ),
            (
                broken(TooManyErrors { limit: 6 }.into()),
                Some("not-a-bus"),
                Some("rejected"),
            ),
        ] {
            let told = code(fault_before_greeting(&reason));
            assert_eq!(told.as_deref(), before, "{reason}");
            let told = code(fault_of_member(&reason));
            assert_eq!(told.as_deref(), member, "{reason}");
        }
    }
}

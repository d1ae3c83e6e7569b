//! The policy of a client, and the record of its attempts.
//!
//! In: failed attempts and state transitions. Out: when to try again; the reason of the wait, as an event
//! too. May touch: the events, and tokio's clock for reminders.

use std::{
    error::Error,
    sync::{Arc, Mutex, MutexGuard},
};

use kyneta_uds_core::{DisconnectReason, SharedError, ignore_poison};
use kyneta_uds_handshake::HandshakeError;
use kyneta_uds_reconnect::{Failure, Recover, State, Wait};
use kyneta_uds_unix::{ConnectError, NotAllowed};

use crate::{
    counts::chain,
    event::Event,
    event_sender::EventSender,
    waiting::{Waiting, WaitingNote},
};

/// An error and its sources.
fn causes(reason: &DisconnectReason) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let first: Option<&(dyn Error + 'static)> = match reason {
        DisconnectReason::Error(error) => Some(error.get_ref()),
        _ => None,
    };
    first.into_iter().flat_map(chain)
}

/// The first attempt to connect is not finished.
#[derive(Debug, thiserror::Error)]
#[error("the listener has not answered yet")]
struct NotYetAnswered;

/// Why a client is not connected, since when, and the error of its last attempt. Reports the wait at
/// intervals.
#[derive(Debug)]
pub(super) struct Attempts {
    note: WaitingNote,
    last: Mutex<Option<SharedError>>,
    events: EventSender,
}

impl Attempts {
    pub(super) fn new(events: EventSender) -> Self {
        Self {
            note: WaitingNote::default(),
            last: Mutex::default(),
            events,
        }
    }

    /// Why it is not connected, and since when.
    pub(super) fn waiting(&self) -> Option<Waiting> {
        self.note.get()
    }

    fn failed(&self, why: SharedError) {
        if self.note.note(why) {
            let events = self.events.downgrade();
            self.note
                .remind(move |waiting| events.not_connected(waiting));
        }
    }

    pub(super) fn changed(&self, state: &State) {
        match state {
            State::Connecting { .. } if self.note.get().is_none() => {
                self.failed(SharedError::new(NotYetAnswered));
            }
            State::Connected | State::Disconnected { .. } => {
                self.note.over();
            }
            _ => {}
        }
        self.events.send(Event::State(state.clone()));
    }

    /// The error of the last attempt.
    pub(super) fn last(&self) -> MutexGuard<'_, Option<SharedError>> {
        ignore_poison(self.last.lock())
    }
}

/// The user's policy, with two additions: a listener that is not allowed is not tried again if there
/// was no other before, and a series of attempts with an obstacle at the path is reported once.
#[derive(Debug, Clone)]
pub(super) struct ClientPolicy<P> {
    policy: P,
    attempts: Arc<Attempts>,
    /// There was a connection to an allowed listener: another listener may be temporary.
    was_connected: bool,
    /// The last attempt found an obstacle at the path.
    obstructed: bool,
}

impl<P> ClientPolicy<P> {
    pub(super) fn new(policy: P, attempts: Arc<Attempts>) -> Self {
        Self {
            policy,
            attempts,
            was_connected: false,
            obstructed: false,
        }
    }
}

impl<P: Recover> Recover for ClientPolicy<P> {
    fn recover(&mut self, failure: Failure<'_>) -> Result<Wait, DisconnectReason> {
        self.attempts.failed(match failure.reason() {
            DisconnectReason::Error(error) => error.clone(),
            reason => SharedError::new(reason.clone()),
        });
        self.was_connected |= failure.attempts() == 0;
        let reason = failure.reason();
        let error = match reason {
            DisconnectReason::Error(error) => Some(error.clone()),
            _ => None,
        };
        // A user's error is not dropped under the lock.
        let former = std::mem::replace(&mut *self.attempts.last(), error.clone());
        drop(former);
        let obstructed = causes(reason).any(is_obstacle);
        if let Some(error) = error.filter(|_| obstructed && !self.obstructed) {
            tracing::warn!(%error, "there is an obstacle at the path");
            self.attempts.events.send(Event::InTheWay { error });
        }
        self.obstructed = obstructed;
        if !self.was_connected && causes(reason).any(is_final) {
            return Err(reason.clone());
        }
        self.policy.recover(failure)
    }

    fn is_on(&self) -> bool {
        self.policy.is_on()
    }
}

/// An obstacle at the path, which an operator may have to remove; or a server that has bound and has
/// not set the file's mode yet.
fn is_obstacle(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(|error| {
        matches!(
            error,
            ConnectError::NotPermitted { .. }
                | ConnectError::NotASocket { .. }
                | ConnectError::Symlink { .. }
        )
    })
}

/// The listener is not allowed or does not admit us, or the path is a symbolic link.
fn is_final(error: &(dyn Error + 'static)) -> bool {
    let connects = matches!(error.downcast_ref(), Some(ConnectError::Symlink { .. }));
    let admits = matches!(
        error.downcast_ref(),
        Some(HandshakeError::NotAdmitted { .. })
    );
    connects || admits || error.is::<NotAllowed>()
}

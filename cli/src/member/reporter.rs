//! Tells on stdout what happens, in the order in which it happened.
//!
//! In: the library's events, and messages from handlers. Out: reports. A message is told after the
//! events that came before it, an end after the messages that came before it.

use std::{
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kyneta_uds::{
    DisconnectReason, Event, Events, FramingError, Incoming, Notice, PeerChange, PeerInfo, Refusal,
    Role, Stalled, State, TooManyErrors,
};

use super::{
    connect::Losses,
    event_line::{PeerChanged, Reason, Report},
    event_writer::Printer,
};
use crate::failure::{Chain, Failure};

/// Tells on stdout what happens.
#[derive(Debug)]
pub(super) struct Teller {
    printer: Printer,
    events: Mutex<Events>,
    /// Why a client's last attempt failed.
    losses: Losses,
}

impl Teller {
    pub(super) fn new(printer: Printer, events: Events) -> Arc<Self> {
        Self::of_client(printer, events, Losses::default())
    }

    pub(super) fn of_client(printer: Printer, events: Events, losses: Losses) -> Arc<Self> {
        Arc::new(Self {
            printer,
            events: Mutex::new(events),
            losses,
        })
    }

    /// Tells of events as long as `wake` has any; `wake` is another reader of the same ones.
    pub(super) async fn attend(self: Arc<Self>, mut wake: Events) {
        while wake.recv().await.is_some() {
            if self.catch_up().await.is_err() {
                return;
            }
        }
    }

    /// Tells of all events so far.
    pub(super) async fn catch_up(&self) -> Result<(), Failure> {
        self.printer.room().await?;
        self.drain(&mut self.events());
        Ok(())
    }

    /// Tells of a message, as soon as stdout has room for it.
    pub(super) async fn message(&self, incoming: &Incoming) -> Result<(), Failure> {
        self.printer.room().await?;
        let mut events = self.events();
        self.drain(&mut events);
        let peer = incoming.peer().identity().peer_id.as_str();
        self.printer.put(&Report::message(peer, &incoming.message));
        Ok(())
    }

    /// Tells of something that has no place in an order.
    pub(super) async fn report(&self, report: &Report<'_>) -> Result<(), Failure> {
        self.printer.room().await?;
        self.printer.put(report);
        Ok(())
    }

    /// Ready when nobody reads stdout any more.
    pub(super) async fn broken(&self) -> Failure {
        self.printer.broken().await
    }

    /// Tells what is left to tell, whether there is room or not, and waits until it is out, but
    /// not for ever.
    pub(super) async fn finish(&self, last: Option<&Report<'_>>, deadline: Duration) {
        self.drain(&mut self.events());
        if let Some(last) = last {
            self.printer.put(last);
        }
        self.printer.finish(deadline).await;
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        // A panic under the lock leaves at worst an event untold.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drain(&self, events: &mut Events) {
        while let Some(event) = events.try_recv() {
            self.event(&event);
        }
    }

    fn event(&self, event: &Event) {
        match event {
            Event::Peer { peer, change } => self.peer(peer, change),
            Event::Rejected { peer, rejection } => {
                self.error_of(peer, rejection.code(), &rejection.to_string());
            }
            Event::Refused { peer, error } => self.error_of(peer, "refused", &chain(error)),
            Event::HandlerFailed { peer, error } => {
                self.error_of(peer, "handler-failed", &chain(error));
            }
            Event::HandlerPanicked { peer, panic } => {
                self.error_of(peer, "handler-panicked", &panic.to_string());
            }
            Event::Noticed { peer, notice } => {
                let code = match notice {
                    Notice::Repeated => "repeated-frame",
                    _ => "sequence-gap",
                };
                self.error_of(peer, code, &notice.to_string());
            }
            Event::DuplicatePeer { peer } => {
                let message = "another peer with this id is here already; both are served";
                self.error_of(peer, "duplicate-peer", message);
            }
            Event::SelfConnection { peer } => {
                let message = "a peer with this side's own id is here; it is served";
                self.error_of(peer, "self-connection", message);
            }
            Event::State(state) => self.state(state),
            // Told last of all, when what is on its way has been told of.
            Event::Role(Role::Disposed) => {}
            Event::Role(role) => self.printer.put(&Report::role(*role)),
            Event::Waiting(waiting) => self.printer.put(&Report::waiting(waiting)),
            Event::InTheWay { error } => {
                self.printer.put(&Report::error("in-the-way", chain(error)));
            }
            // As at the beginning.
            Event::Regained { path, .. } => {
                let path = path.to_string();
                self.printer.put(&Report::Listening { path });
            }
            Event::UnsafeDirectory { risk } => {
                self.printer.put(&Report::error("unsafe-directory", risk));
            }
            Event::TurnedAway { refusal } => {
                let code = match refusal {
                    Refusal::NotAllowed { .. } => "not-allowed",
                    Refusal::TooFast { .. } => "too-many-a-second",
                    _ => "too-many-connections",
                };
                self.printer.put(&Report::error(code, refusal));
            }
            Event::NotEstablished { error } => {
                self.printer
                    .put(&Report::error(code(error.get_ref()), chain(error)));
            }
            Event::HighWater {
                peer,
                messages,
                bytes,
            } => {
                let peer = &peer.identity().peer_id;
                tracing::info!(?peer, messages, bytes, "the peer's queue is full");
            }
            Event::Drained { peer } => {
                tracing::info!(peer = ?peer.identity().peer_id, "the peer's queue is empty again");
            }
            Event::Missed(count) => {
                let message = format!("{count} events went by untold: stdout was too slow");
                self.printer.put(&Report::error("missed-events", message));
            }
            other => tracing::info!(?other, "event"),
        }
    }

    fn state(&self, state: &State) {
        let report = match state {
            // Told last of all, when what is on its way has been told of.
            State::Disconnected { .. } => return,
            State::Connecting { attempt } => Report::connecting(*attempt),
            State::Connected => Report::connected(),
            State::Reconnecting { attempt, delay } => {
                Report::reconnecting(*attempt, *delay, self.losses.last().as_ref())
            }
        };
        self.printer.put(&report);
    }

    fn peer(&self, peer: &PeerInfo, change: &PeerChange) {
        let (name, reason) = match change {
            PeerChange::Established => ("established", None),
            PeerChange::Reconnected => ("reconnected", None),
            PeerChange::Departed => ("departed", None),
            PeerChange::Disconnected(reason) => ("disconnected", Some(reason)),
            _ => return,
        };
        if let Some(DisconnectReason::Error(error)) = reason {
            self.error_of(peer, code(error.get_ref()), &chain(error));
        }
        let identity = peer.identity();
        let mut told = PeerChanged::new(name, identity, peer.wire(), peer.credentials());
        told.reason = reason.map(Reason::of);
        self.printer.put(&Report::Peer(told));
    }

    fn error_of(&self, peer: &PeerInfo, code: &str, message: &str) {
        let peer = peer.identity().peer_id.as_str();
        self.printer.put(&Report::error_of(peer, code, message));
    }
}

fn chain(error: &kyneta_uds::SharedError) -> String {
    Chain(error.get_ref()).to_string()
}

/// A name for what ended a connection, from the innermost cause that has one.
fn code(error: &(dyn Error + 'static)) -> &'static str {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<Stalled>() {
            return "stalled";
        }
        if error.is::<TooManyErrors>() {
            return "too-many-errors";
        }
        match error.downcast_ref() {
            Some(FramingError::Io(_)) | None => {}
            Some(FramingError::OverBudget { .. }) => return "over-budget",
            Some(_) => return "reassembly-failed",
        }
        next = error.source();
    }
    "connection-failed"
}

//! Reports the library's events and messages on stdout, in their order.
//!
//! In: events, and messages from handlers. Out: event lines. A message is reported after all events
//! that precede it, an end after all messages that precede it.

use std::{
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kyneta_uds::{
    DisconnectReason, DocId, Event, Events, FramingError, IdOfAnotherUser, Incoming, Notice,
    PeerChange, PeerId, PeerInfo, RejectReason, Role, Stalled, State, TooManyErrors,
};

use super::{
    event_line::{EventLine, PeerChanged, Reason},
    last_failure::LastFailure,
};
use crate::{
    advice,
    event_writer::EventWriter,
    failure::{Chain, Failure},
};

/// Reports events and messages.
#[derive(Debug)]
pub(super) struct Reporter {
    writer: EventWriter,
    events: Mutex<Events>,
    /// Why a client's last attempt failed.
    last_failure: LastFailure,
}

impl Reporter {
    pub(super) fn new(writer: EventWriter, events: Events) -> Arc<Self> {
        Self::of_client(writer, events, LastFailure::default())
    }

    pub(super) fn of_client(
        writer: EventWriter,
        events: Events,
        last_failure: LastFailure,
    ) -> Arc<Self> {
        Arc::new(Self {
            writer,
            events: Mutex::new(events),
            last_failure,
        })
    }

    /// Reports events as they come. `wake` is another reader of the same events.
    pub(super) async fn report_events(self: Arc<Self>, mut wake: Events) {
        while wake.recv().await.is_some() {
            if self.catch_up().await.is_err() {
                return;
            }
        }
    }

    /// Reports all events so far.
    async fn catch_up(&self) -> Result<(), Failure> {
        self.writer.room().await?;
        self.drain(&mut self.events());
        Ok(())
    }

    /// Reports a message, as soon as stdout has room for it.
    pub(super) async fn message(&self, incoming: &Incoming) -> Result<(), Failure> {
        self.writer.room().await?;
        let mut events = self.events();
        self.drain(&mut events);
        let peer = incoming.peer().identity().peer_id.as_str();
        self.writer
            .put(&EventLine::message(peer, &incoming.message));
        Ok(())
    }

    /// Reports an event whose order among the library's events does not matter.
    pub(super) async fn report(&self, line: &EventLine<'_>) -> Result<(), Failure> {
        self.writer.room().await?;
        self.writer.put(line);
        Ok(())
    }

    /// Ready when stdout is broken.
    pub(super) async fn broken(&self) -> Failure {
        self.writer.broken().await
    }

    /// Reports the remaining events, whether there is room or not, and waits until they are
    /// written, or for `deadline`; an error when stdout is broken.
    pub(super) async fn finish(
        &self,
        last: Option<&EventLine<'_>>,
        deadline: Duration,
    ) -> Result<(), Failure> {
        self.drain(&mut self.events());
        if let Some(last) = last {
            self.writer.put(last);
        }
        self.writer.finish(deadline).await
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        // A panic while the lock is held loses at worst one event.
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
            // Reported last, by `finish`.
            Event::Role(Role::Disposed) => {}
            Event::Role(role) => self.writer.put(&EventLine::role(*role)),
            Event::Waiting(waiting) => self.writer.put(&EventLine::waiting(waiting)),
            Event::InTheWay { error } => {
                self.writer
                    .put(&EventLine::error("in-the-way", chain(error)));
            }
            // The same event as at the start.
            Event::Regained { path, .. } => {
                let path = path.to_string();
                self.writer.put(&EventLine::Listening { path });
            }
            Event::UnsafeDirectory { risk } => {
                self.writer.put(&EventLine::error("unsafe-directory", risk));
            }
            Event::ConnectionRejected { reason } => {
                let advice = match reason {
                    RejectReason::NotAllowed { credentials } => {
                        advice::of_listener(credentials.map(|of| of.uid))
                    }
                    _ => String::new(),
                };
                let message = format!("{reason}{advice}");
                self.writer.put(&EventLine::error(reason.code(), message));
            }
            Event::NotEstablished { error } => {
                self.writer
                    .put(&EventLine::error(code(error.get_ref()), chain(error)));
            }
            Event::HighWater {
                peer,
                messages,
                bytes,
            } => {
                let peer = &peer.identity().peer_id;
                tracing::info!(?peer, messages, bytes, "the queue of the peer is full");
            }
            Event::Drained { peer } => {
                tracing::info!(peer = ?peer.identity().peer_id, "the queue of the peer is empty again");
            }
            Event::Diagnostic {
                peer,
                doc,
                diagnostic,
            } => self.writer.put(&EventLine::Diagnostic {
                code: diagnostic.code(),
                doc: doc.as_ref().map(DocId::as_str),
                peer: peer.as_ref().map(PeerId::as_str),
            }),
            Event::HeldBack { peer, pause } => {
                let peer = peer.as_ref().map(PeerId::as_str);
                tracing::info!(
                    ?peer,
                    ?pause,
                    "the member sends too much, and is read more slowly"
                );
            }
            Event::HandedOver { pid } => self.writer.put(&EventLine::HandedOver { pid: *pid }),
            Event::TookOver {
                pid,
                connections,
                pause,
            } => self.writer.put(&EventLine::TookOver {
                pid: *pid,
                connections: *connections,
                pause_us: u64::try_from(pause.as_micros()).unwrap_or(u64::MAX),
            }),
            Event::NotHandedOver { error } => {
                self.writer
                    .put(&EventLine::error("not-handed-over", chain(error)));
            }
            Event::NotTakenOver { error } => {
                self.writer
                    .put(&EventLine::error("not-taken-over", chain(error)));
            }
            Event::RouterPanicked(panic) => {
                self.writer.put(&EventLine::error("router-panicked", panic));
            }
            #[cfg(feature = "links")]
            Event::Link { machine, change } => {
                self.writer.put(&EventLine::link(machine, change));
            }
            #[cfg(feature = "links")]
            Event::MachinesFailed { error } => {
                self.writer
                    .put(&EventLine::error("machines-failed", chain(error)));
            }
            Event::MissedEvents(count) => {
                let message = format!("{count} events were not reported: stdout was too slow");
                self.writer.put(&EventLine::error("missed-events", message));
            }
            other => tracing::info!(?other, "event"),
        }
    }

    fn state(&self, state: &State) {
        let report = match state {
            // Reported last, by `finish`.
            State::Disconnected { .. } => return,
            State::Connecting { attempt } => EventLine::connecting(*attempt),
            State::Connected => EventLine::connected(),
            State::Reconnecting { attempt, delay } => {
                EventLine::reconnecting(*attempt, *delay, self.last_failure.get().as_ref())
            }
        };
        self.writer.put(&report);
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
        let mut line = PeerChanged::new(name, identity, peer.wire(), peer.credentials());
        line.reason = reason.map(Reason::of);
        self.writer.put(&EventLine::Peer(line));
    }

    fn error_of(&self, peer: &PeerInfo, code: &str, message: &str) {
        let peer = peer.identity().peer_id.as_str();
        self.writer.put(&EventLine::error_of(peer, code, message));
    }
}

fn chain(error: &kyneta_uds::SharedError) -> String {
    Chain(error.get_ref()).to_string()
}

/// The code of the error that ended a connection: that of its outermost known cause.
fn code(error: &(dyn Error + 'static)) -> &'static str {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<Stalled>() {
            return "stalled";
        }
        if error.is::<IdOfAnotherUser>() {
            return "id-of-another-user";
        }
        if error.is::<TooManyErrors>() {
            return "too-many-errors";
        }
        match error.downcast_ref() {
            // What was cut by the end of a process is no fault in what it said.
            Some(FramingError::Io(_) | FramingError::Truncated { .. }) | None => {}
            Some(FramingError::OverBudget { .. }) => return "over-budget",
            Some(_) => return "reassembly-failed",
        }
        next = error.source();
    }
    "connection-failed"
}

//! Counts of limits reached, messages lost and connections that failed.
//!
//! In: events. Out: numbers. Touches nothing.

use std::error::Error;

use kyneta_uds_core::{DisconnectReason, Notice, Rejection};
use kyneta_uds_framing::FramingError;
use kyneta_uds_handshake::HandshakeError;
use kyneta_uds_queue::{DrainTimedOut, Stalled, TooManyErrors};
use kyneta_uds_unix::RejectReason;

use crate::{
    event::{Event, PeerChange},
    peers::IdOfAnotherUser,
};

macro_rules! counts {
    ($(#[$of:meta])* { $($(#[$doc:meta])+ $name:ident: $help:literal,)+ }) => {
        $(#[$of])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[cfg_attr(feature = "status", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "status", serde(default))]
        #[non_exhaustive]
        pub struct Counts {
            $($(#[$doc])+ pub $name: u64,)+
        }

        impl Counts {
            /// The metric's name, its help text and the value of each count.
            #[cfg(feature = "status")]
            pub(crate) fn metrics(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + use<> {
                [$((concat!("kyneta_uds.", stringify!($name)), $help, self.$name),)+].into_iter()
            }
        }
    };
}

counts! {
    /// How often each limit was reached, and other failures, since the start: see
    /// [`Server::counts`](crate::Server::counts), [`Peer::counts`](crate::Peer::counts) and
    /// [`Client::counts`](crate::Client::counts).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// # use kyneta_uds::{Incoming, Server};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bus.sock");
    /// # let ignore = tower::service_fn(async |_: Incoming| Ok::<(), std::convert::Infallible>(()));
    /// let server = Server::builder(&path).listen(ignore).await?;
    /// assert_eq!(server.counts().not_allowed, 0);
    /// # Ok(())
    /// # }
    /// ```
    {
        /// Handshakes completed.
        established: "Handshakes completed",
        /// Connections rejected by the access policy
        /// ([`ListenerOptions::allow`](crate::ListenerOptions::allow)).
        not_allowed: "Connections rejected by the access policy",
        /// Connections over [`max_connections`](crate::ListenerOptions::max_connections).
        too_many: "Connections over the limit",
        /// Connections over
        /// [`max_connections_per_uid`](crate::ListenerOptions::max_connections_per_uid).
        too_many_of_uid: "Connections over the limit of one user",
        /// Connections over [`max_accepts_per_uid`](crate::ListenerOptions::max_accepts_per_uid) a second.
        too_fast: "Connections of one user over the limit a second",
        /// Peers rejected after the handshake
        /// ([`HandshakeLayer::admit`](crate::HandshakeLayer::admit)).
        not_admitted: "Peers rejected after the handshake",
        /// Peers that claimed the id of another user ([`IdOfAnotherUser`](crate::IdOfAnotherUser)).
        ids_of_another_user: "Peers that claimed the id of another user",
        /// Accepted connections that did not complete the handshake: silent until the
        /// [`timeout`](crate::HandshakeLayer::timeout), with more than
        /// [`max_early_messages`](crate::HandshakeLayer::max_early_messages), or broken before.
        not_introduced: "Accepted connections that did not complete the handshake",
        /// Peers for which no handler could be made
        /// ([`MakeHandler`](crate::MakeHandler)).
        not_served: "Peers for which no handler could be made",
        /// Frames that were skipped: of an unknown type or version, or fragments.
        frames_skipped: "Frames of an unknown type or version, or fragments",
        /// Payloads that could not be decoded, or were over one of the
        /// [`DecodeLimits`](crate::DecodeLimits): nesting, documents, keys.
        payloads_rejected: "Payloads that could not be decoded",
        /// Payloads that were not a message.
        messages_rejected: "Payloads that were not a message",
        /// Aliases that could not be used: unknown, or over one of the
        /// [`DecodeLimits`](crate::DecodeLimits) of a table.
        aliases_rejected: "Aliases that could not be used",
        /// Connections that ended because a frame was over
        /// [`max_frame`](crate::FramingConfig::max_frame).
        too_large: "Connections that ended because a frame was too large",
        /// Connections that ended because the data arriving on all connections was over the
        /// [`InboundBudget`](crate::InboundBudget).
        over_budget: "Connections that ended because the data arriving was over the inbound budget",
        /// Connections that ended over
        /// [`max_errors_per_minute`](crate::QueueConfig::max_errors_per_minute).
        too_many_errors: "Connections that ended over the errors a minute",
        /// Times that a queue became full.
        queues_full: "Times that a queue became full",
        /// Connections that ended because the peer did not read.
        stalled: "Connections that ended because the peer did not read",
        /// Connections that ended with messages unsent after the
        /// [`drain_timeout`](crate::QueueConfig::drain_timeout).
        undrained: "Connections that ended with messages unsent",
        /// Connections that ended with another error.
        broken: "Connections that ended with another error",
        /// Messages of this side that could not be encoded.
        messages_refused: "Messages of this side that could not be encoded",
        /// Messages to all that were dropped, since no peer was connected and none was
        /// [expected](crate::PeerBuilder::regroup).
        unheard: "Messages to all while no peer was connected",
        /// Messages for which the handler returned an error.
        handler_failures: "Messages for which the handler returned an error",
        /// Messages that the handler panicked on.
        handler_panics: "Messages that the handler panicked on",
        /// Frames missing in a peer's sequence numbers.
        frames_missing: "Frames missing in a peer's sequence numbers",
        /// Frames that arrived more than once; the copies were dropped. A frame counts once, however many
        /// copies arrived: [`ConnectionInfo`](crate::ConnectionInfo) counts each copy.
        frames_repeated: "Frames that arrived more than once, whose copies were dropped",
        /// Messages of members, or parts of them, that the [relay](crate::Builder::relay) could not pass on.
        diagnostics: "Messages, or parts of them, that the relay could not pass on",
        /// Times that a member was not read because it sent more than its [`Rates`](crate::Rates) allow.
        held_back: "Times that a member was not read because it sent too much",
        /// Times that the router panicked, and all members were disconnected.
        router_panics: "Times that the router panicked",
        /// Log lines left out ([`log_lines`](crate::ServerBuilder::log_lines)).
        log_lines_left_out: "Log lines left out",
    }
}

impl Counts {
    pub(crate) fn count(&mut self, event: &Event) {
        let counter = match event {
            Event::Peer { change, .. } => match change {
                PeerChange::Established | PeerChange::Reconnected => &mut self.established,
                PeerChange::Disconnected(DisconnectReason::Error(error)) => {
                    self.of_end(error.get_ref())
                }
                _ => return,
            },
            Event::ConnectionRejected { reason } => match reason {
                RejectReason::NotAllowed { .. } => &mut self.not_allowed,
                RejectReason::TooMany { .. } => &mut self.too_many,
                RejectReason::TooManyOfUid { .. } => &mut self.too_many_of_uid,
                RejectReason::TooFast { .. } => &mut self.too_fast,
                _ => return,
            },
            Event::NotEstablished { error } => match error.get_ref().downcast_ref() {
                Some(HandshakeError::NotAdmitted { .. }) => &mut self.not_admitted,
                _ if error.get_ref().is::<IdOfAnotherUser>() => &mut self.ids_of_another_user,
                of => match (framing_error(error.get_ref()), of) {
                    (Some(FramingError::TooLarge { .. }), _) => &mut self.too_large,
                    (Some(FramingError::OverBudget { .. }), _) => &mut self.over_budget,
                    (_, Some(_)) => &mut self.not_introduced,
                    (_, None) => &mut self.not_served,
                },
            },
            Event::Rejected { rejection, .. } => self.of_rejection(rejection),
            Event::HighWater { .. } => &mut self.queues_full,
            Event::Refused { .. } => &mut self.messages_refused,
            Event::HandlerFailed { .. } => &mut self.handler_failures,
            Event::HandlerPanicked { .. } => &mut self.handler_panics,
            Event::Diagnostic { .. } => &mut self.diagnostics,
            Event::HeldBack { .. } => &mut self.held_back,
            Event::RouterPanicked(_) => &mut self.router_panics,
            Event::Noticed { notice, .. } => match notice {
                Notice::Gap { missing } => {
                    self.frames_missing += u64::from(*missing);
                    return;
                }
                Notice::Repeated => &mut self.frames_repeated,
                _ => return,
            },
            _ => return,
        };
        *counter += 1;
    }

    fn of_rejection(&mut self, rejection: &Rejection) -> &mut u64 {
        match rejection {
            Rejection::Frame(_) => &mut self.frames_skipped,
            Rejection::Decode { .. } => &mut self.payloads_rejected,
            Rejection::Alias(_) => &mut self.aliases_rejected,
            _ => &mut self.messages_rejected,
        }
    }

    fn of_end(&mut self, error: &(dyn Error + Send + Sync + 'static)) -> &mut u64 {
        if error.is::<Stalled>() {
            &mut self.stalled
        } else if error.is::<TooManyErrors>() {
            &mut self.too_many_errors
        } else if error.is::<DrainTimedOut>() {
            &mut self.undrained
        } else {
            match framing_error(error) {
                Some(FramingError::TooLarge { .. }) => &mut self.too_large,
                Some(FramingError::OverBudget { .. }) => &mut self.over_budget,
                _ => &mut self.broken,
            }
        }
    }
}

/// The layers above wrap the errors of framing.
fn framing_error<'a>(error: &'a (dyn Error + Send + Sync + 'static)) -> Option<&'a FramingError> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// An error, its source, and so on.
pub(crate) fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        (**error).source()
    })
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use kyneta_uds_cbor::CborError;
    use kyneta_uds_core::{AliasFault, BoxError, Credentials, FrameFault, PeerId, SharedError};

    use super::*;

    type Field = fn(&mut Counts) -> &mut u64;

    fn one(field: Field) -> Counts {
        let mut counts = Counts::default();
        *field(&mut counts) = 1;
        counts
    }

    fn shared(error: impl Into<BoxError>) -> SharedError {
        SharedError::new(error)
    }

    /// As the layers wrap it.
    fn too_large() -> CborError {
        let error = FramingError::TooLarge { size: 2, limit: 1 };
        CborError::Transport(error.into())
    }

    #[test]
    fn every_kind_of_rejected_connection_has_its_counter() {
        let (uid, gid, pid) = (1, 1, None);
        let credentials = Credentials { uid, gid, pid };
        let (limit, per_second) = (1, 1);
        let not_admitted = HandshakeError::NotAdmitted {
            peer: PeerId::new("p").unwrap(),
            credentials: None,
            source: io::ErrorKind::PermissionDenied.into(),
        };
        let not_allowed = RejectReason::NotAllowed { credentials: None };
        let too_many_of_uid = RejectReason::TooManyOfUid { credentials, limit };
        let credentials = None;
        let too_many = RejectReason::TooMany { credentials, limit };
        let too_fast = RejectReason::TooFast {
            credentials,
            per_second,
        };
        let rejected: [(RejectReason, Field); 4] = [
            (not_allowed, |c| &mut c.not_allowed),
            (too_many, |c| &mut c.too_many),
            (too_many_of_uid, |c| &mut c.too_many_of_uid),
            (too_fast, |c| &mut c.too_fast),
        ];
        let early = HandshakeError::TooManyEarlyMessages { limit: 1 };
        let broken = HandshakeError::Channel(too_large().into());
        let failed: [(HandshakeError, Field); 3] = [
            (not_admitted, |c| &mut c.not_admitted),
            (early, |c| &mut c.not_introduced),
            (broken, |c| &mut c.too_large),
        ];
        let rejected =
            rejected.map(|(reason, field)| (Event::ConnectionRejected { reason }, one(field)));
        let failed = failed.map(|(error, field)| {
            let error = shared(error);
            (Event::NotEstablished { error }, one(field))
        });
        let error = shared("it");
        let uncounted = [(Event::InTheWay { error }, Counts::default())];
        for (event, expected) in rejected.into_iter().chain(failed).chain(uncounted) {
            let mut counts = Counts::default();
            counts.count(&event);
            assert_eq!(counts, expected, "{event:?}");
        }
    }

    #[test]
    fn every_kind_of_end_has_its_counter() {
        let (after, messages, bytes, limit) = (Duration::from_secs(1), 1, 1, 1);
        let (size, used, uid) = (2, 1, None);
        let over_budget = FramingError::OverBudget {
            size,
            used,
            limit,
            uid,
        };
        let over_budget = CborError::Transport(over_budget.into());
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let ends: [(BoxError, Field); 6] = [
            (over_budget.into(), |c| &mut c.over_budget),
            (
                Stalled {
                    after,
                    messages,
                    bytes,
                }
                .into(),
                |c| &mut c.stalled,
            ),
            (TooManyErrors { limit: 1 }.into(), |c| {
                &mut c.too_many_errors
            }),
            (DrainTimedOut { after, messages: 1 }.into(), |c| {
                &mut c.undrained
            }),
            (too_large().into(), |c| &mut c.too_large),
            (reset.into(), |c| &mut c.broken),
        ];
        for (error, field) in ends {
            let mut counts = Counts::default();
            *counts.of_end(shared(error).get_ref()) += 1;
            assert_eq!(counts, one(field));
        }
    }

    #[test]
    fn every_kind_of_rejection_has_its_counter() {
        let decode = Rejection::Decode {
            what: "bad".into(),
            at: 0,
        };
        let (path, what) = (String::new(), "bad".into());
        let rejections: [(Rejection, Field); 4] = [
            (FrameFault::UnknownType { byte: 9 }.into(), |c| {
                &mut c.frames_skipped
            }),
            (decode, |c| &mut c.payloads_rejected),
            (Rejection::Invalid { path, what }, |c| {
                &mut c.messages_rejected
            }),
            (AliasFault::UnknownDoc { alias: 1.0 }.into(), |c| {
                &mut c.aliases_rejected
            }),
        ];
        for (rejection, field) in rejections {
            let mut counts = Counts::default();
            *counts.of_rejection(&rejection) += 1;
            assert_eq!(counts, one(field), "{rejection}");
        }
    }
}

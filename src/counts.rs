//! Counts of limits reached, messages lost and connections that failed.
//!
//! In: events. Out: numbers. Touches nothing.

use std::error::Error;

use kyneta_uds_core::{DisconnectReason, Notice, Rejection};
use kyneta_uds_framing::FramingError;
use kyneta_uds_handshake::HandshakeError;
use kyneta_uds_queue::{Stalled, TooManyErrors, Undrained};
use kyneta_uds_unix::Refusal;

use crate::event::{Event, PeerChange};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "status", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "status", serde(default))]
#[non_exhaustive]
pub struct Counts {
    /// Handshakes completed.
    pub established: u64,
    /// Connections rejected by the access policy
    /// ([`ListenerOptions::allow`](crate::ListenerOptions::allow)).
    pub not_allowed: u64,
    /// Connections over [`max_connections`](crate::ListenerOptions::max_connections).
    pub too_many: u64,
    /// Connections over
    /// [`max_connections_per_uid`](crate::ListenerOptions::max_connections_per_uid).
    pub too_many_of_uid: u64,
    /// Connections over [`max_accepts_per_uid`](crate::ListenerOptions::max_accepts_per_uid) a second.
    pub too_fast: u64,
    /// Peers rejected after the handshake
    /// ([`HandshakeLayer::admit`](crate::HandshakeLayer::admit)).
    pub not_admitted: u64,
    /// Accepted connections that did not complete the handshake: silent until the
    /// [`timeout`](crate::HandshakeLayer::timeout), with more than
    /// [`max_early_messages`](crate::HandshakeLayer::max_early_messages), or broken before.
    pub not_introduced: u64,
    /// Peers for which no handler could be made
    /// ([`MakeHandler`](crate::MakeHandler)).
    pub not_served: u64,
    /// Frames that were skipped: of an unknown type or version, or fragments.
    pub frames_skipped: u64,
    /// Payloads that could not be decoded, or were over one of the
    /// [`DecodeLimits`](crate::DecodeLimits): nesting, documents, keys.
    pub payloads_rejected: u64,
    /// Payloads that were not a message.
    pub messages_rejected: u64,
    /// Aliases that could not be used: unknown, or over one of the
    /// [`DecodeLimits`](crate::DecodeLimits) of a table.
    pub aliases_rejected: u64,
    /// Connections that ended because a frame was over
    /// [`max_frame`](crate::FramingConfig::max_frame).
    pub too_large: u64,
    /// Connections that ended because the data arriving on all connections was over the
    /// [`InboundBudget`](crate::InboundBudget).
    pub over_budget: u64,
    /// Connections that ended over
    /// [`max_errors_per_minute`](crate::QueueConfig::max_errors_per_minute).
    pub too_many_errors: u64,
    /// Times that a queue became full.
    pub queues_full: u64,
    /// Connections that ended because the peer did not read.
    pub stalled: u64,
    /// Connections that ended with messages unsent after the
    /// [`drain_timeout`](crate::QueueConfig::drain_timeout).
    pub undrained: u64,
    /// Connections that ended with another error.
    pub broken: u64,
    /// Messages of this side that could not be encoded.
    pub messages_refused: u64,
    /// Messages for which the handler returned an error.
    pub handler_failures: u64,
    /// Messages that the handler panicked on.
    pub handler_panics: u64,
    /// Frames missing in a peer's sequence numbers.
    pub frames_missing: u64,
    /// Frames that arrived more than once; the copies were dropped. A frame counts once, however many
    /// copies arrived: [`ConnectionInfo`](crate::ConnectionInfo) counts each copy.
    pub frames_repeated: u64,
    /// Log lines left out ([`log_lines`](crate::ServerBuilder::log_lines)).
    pub log_lines_left_out: u64,
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
            Event::TurnedAway { refusal } => match refusal {
                Refusal::NotAllowed { .. } => &mut self.not_allowed,
                Refusal::TooMany { .. } => &mut self.too_many,
                Refusal::TooManyOfUid { .. } => &mut self.too_many_of_uid,
                Refusal::TooFast { .. } => &mut self.too_fast,
                _ => return,
            },
            Event::NotEstablished { error } => match error.get_ref().downcast_ref() {
                Some(HandshakeError::NotAdmitted { .. }) => &mut self.not_admitted,
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
        } else if error.is::<Undrained>() {
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
    let first: &'a (dyn Error + 'static) = error;
    let mut chain = std::iter::successors(Some(first), |error: &&'a (dyn Error + 'static)| {
        (**error).source()
    });
    chain.find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use kyneta_uds_cbor::CborError;
    use kyneta_uds_core::{AliasFault, BoxError, Credentials, FrameFault, PeerId, SharedError};

    use super::*;

    type Counter = fn(&Counts) -> u64;

    fn shared(error: impl Into<BoxError>) -> SharedError {
        SharedError::new(error)
    }

    /// As the layers wrap it.
    fn too_large() -> CborError {
        let error = FramingError::TooLarge { size: 2, limit: 1 };
        CborError::Transport(error.into())
    }

    #[test]
    fn every_kind_of_refusal_has_its_counter() {
        let credentials = Credentials {
            uid: 1,
            gid: 1,
            pid: None,
        };
        let turned_away = |refusal| Event::TurnedAway { refusal };
        let not_established = |error: BoxError| Event::NotEstablished {
            error: shared(error),
        };
        let table = [
            (
                turned_away(Refusal::NotAllowed { credentials: None }),
                Counts {
                    not_allowed: 1,
                    ..Counts::default()
                },
            ),
            (
                turned_away(Refusal::TooMany {
                    credentials: None,
                    limit: 1,
                }),
                Counts {
                    too_many: 1,
                    ..Counts::default()
                },
            ),
            (
                turned_away(Refusal::TooManyOfUid {
                    credentials,
                    limit: 1,
                }),
                Counts {
                    too_many_of_uid: 1,
                    ..Counts::default()
                },
            ),
            (
                turned_away(Refusal::TooFast {
                    credentials: None,
                    per_second: 1,
                }),
                Counts {
                    too_fast: 1,
                    ..Counts::default()
                },
            ),
            (
                not_established(
                    HandshakeError::NotAdmitted {
                        peer: PeerId::new("p").unwrap(),
                        credentials: None,
                        source: io::ErrorKind::PermissionDenied.into(),
                    }
                    .into(),
                ),
                Counts {
                    not_admitted: 1,
                    ..Counts::default()
                },
            ),
            (
                not_established(HandshakeError::TooManyEarlyMessages { limit: 1 }.into()),
                Counts {
                    not_introduced: 1,
                    ..Counts::default()
                },
            ),
            (
                not_established(HandshakeError::Channel(too_large().into()).into()),
                Counts {
                    too_large: 1,
                    ..Counts::default()
                },
            ),
            (
                Event::InTheWay {
                    error: shared("it"),
                },
                Counts::default(),
            ),
        ];
        for (event, expected) in table {
            let mut counts = Counts::default();
            counts.count(&event);
            assert_eq!(counts, expected, "{event:?}");
        }
    }

    #[test]
    fn every_kind_of_end_has_its_counter() {
        let after = Duration::from_secs(1);
        let over_budget = FramingError::OverBudget {
            size: 2,
            used: 1,
            limit: 1,
            uid: None,
        };
        let ends: [(BoxError, Counter); 6] = [
            (CborError::Transport(over_budget.into()).into(), |counts| {
                counts.over_budget
            }),
            (
                Stalled {
                    after,
                    messages: 1,
                    bytes: 1,
                }
                .into(),
                |counts| counts.stalled,
            ),
            (TooManyErrors { limit: 1 }.into(), |counts| {
                counts.too_many_errors
            }),
            (Undrained { after, messages: 1 }.into(), |counts| {
                counts.undrained
            }),
            (too_large().into(), |counts| counts.too_large),
            (
                io::Error::from(io::ErrorKind::ConnectionReset).into(),
                |counts| counts.broken,
            ),
        ];
        for (error, counter) in ends {
            let said = error.to_string();
            let mut counts = Counts::default();
            *counts.of_end(shared(error).get_ref()) += 1;
            assert_eq!(counter(&counts), 1, "{said}");
        }
    }

    #[test]
    fn every_kind_of_rejection_has_its_counter() {
        let rejections: [(Rejection, Counter); 4] = [
            (FrameFault::UnknownType { byte: 9 }.into(), |counts| {
                counts.frames_skipped
            }),
            (
                Rejection::Decode {
                    what: "bad".into(),
                    at: 0,
                },
                |counts| counts.payloads_rejected,
            ),
            (
                Rejection::Invalid {
                    path: String::new(),
                    what: "bad".into(),
                },
                |counts| counts.messages_rejected,
            ),
            (AliasFault::UnknownDoc { alias: 1.0 }.into(), |counts| {
                counts.aliases_rejected
            }),
        ];
        for (rejection, counter) in rejections {
            let mut counts = Counts::default();
            *counts.of_rejection(&rejection) += 1;
            assert_eq!(counter(&counts), 1, "{rejection}");
        }
    }
}

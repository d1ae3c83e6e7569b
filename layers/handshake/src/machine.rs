//! The handshake as a pure state machine (wire section 3).
//!
//! In: inbound messages. Out: what to do about each. Touches nothing.
//!
//! The connecting side sends `establish` first. The accepting side answers only the first one: the reference sends
//! its own twice, so answering every one would loop.

use kyneta_uds_core::{ChannelMsg, Establish};

/// The side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Sends `establish` as soon as the connection is made.
    Connecting,
    /// Waits for the peer's `establish`, then answers.
    Accepting,
}

/// The handshake of one connection.
///
/// ```
/// use kyneta_uds_core::{ChannelMsg, Establish, Identity};
/// use kyneta_uds_handshake::{HandshakeMachine, Reaction, Side};
///
/// let hello = ChannelMsg::from(Establish::new(Identity::service("alice")?));
/// let mut accepting = HandshakeMachine::new(Side::Accepting);
/// assert!(matches!(accepting.received(hello.clone()), Reaction::Established { answer: true, .. }));
/// assert_eq!(accepting.received(hello), Reaction::Nothing);
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug)]
pub struct HandshakeMachine {
    side: Side,
    established: bool,
}

/// What to do about an inbound message.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum Reaction {
    /// Ignore it.
    Nothing,
    /// The handshake is complete.
    Established {
        /// The peer's `establish`.
        peer: Establish,
        /// True if this side has to answer with its own `establish`.
        answer: bool,
    },
    /// Deliver this message about documents.
    Deliver(ChannelMsg),
    /// The peer is about to leave on purpose. Until it closes the connection, it is served as before.
    Departing,
}

impl HandshakeMachine {
    /// The handshake of a new connection.
    pub const fn new(side: Side) -> Self {
        Self {
            side,
            established: false,
        }
    }

    /// After the handshake.
    #[cfg(feature = "tokio")]
    pub(crate) const fn established(side: Side) -> Self {
        Self {
            side,
            established: true,
        }
    }

    /// This side.
    pub const fn side(&self) -> Side {
        self.side
    }

    /// Handles an inbound message.
    pub fn received(&mut self, msg: ChannelMsg) -> Reaction {
        match (self.established, msg) {
            (false, ChannelMsg::Establish(peer)) => {
                self.established = true;
                Reaction::Established {
                    peer,
                    answer: self.side == Side::Accepting,
                }
            }
            // Before the peer's `establish` all else is ignored, and later each further `establish`.
            (false, _) | (true, ChannelMsg::Establish(_)) => Reaction::Nothing,
            (true, ChannelMsg::Depart) => Reaction::Departing,
            (true, sync) => Reaction::Deliver(sync),
        }
    }
}

#[cfg(test)]
mod tests {
    use kyneta_uds_core::{DocId, Identity};

    use super::*;

    fn hello(id: &str) -> Establish {
        Establish::new(Identity::service(id).unwrap())
    }

    fn sync() -> ChannelMsg {
        ChannelMsg::Dismiss(DocId::new("d").unwrap())
    }

    #[test]
    fn every_message_in_every_state() {
        let establish = || ChannelMsg::from(hello("p"));
        let established = |answer| Reaction::Established {
            peer: hello("p"),
            answer,
        };
        let table = [
            (Side::Connecting, vec![establish()], established(false)),
            (Side::Accepting, vec![establish()], established(true)),
            (Side::Accepting, vec![sync()], Reaction::Nothing),
            (Side::Accepting, vec![ChannelMsg::Depart], Reaction::Nothing),
            (Side::Connecting, vec![sync()], Reaction::Nothing),
            (
                Side::Connecting,
                vec![sync(), establish()],
                established(false),
            ),
            (
                Side::Accepting,
                vec![establish(), establish()],
                Reaction::Nothing,
            ),
            (
                Side::Accepting,
                vec![establish(), hello("mallory").into()],
                Reaction::Nothing,
            ),
            (
                Side::Accepting,
                vec![establish(), sync()],
                Reaction::Deliver(sync()),
            ),
            (
                Side::Connecting,
                vec![establish(), ChannelMsg::Depart],
                Reaction::Departing,
            ),
            (
                Side::Connecting,
                vec![establish(), ChannelMsg::Depart, sync()],
                Reaction::Deliver(sync()),
            ),
        ];
        for (side, inputs, last) in table {
            let mut handshake = HandshakeMachine::new(side);
            let name = format!("{side:?} {inputs:?}");
            let reaction = inputs.into_iter().map(|msg| handshake.received(msg)).last();
            assert_eq!(reaction, Some(last), "{name}");
        }
    }
}

//! The handshake as a pure machine (wire section 3).
//!
//! In: messages as they arrive. Out: what to do about each. Touches nothing.
//!
//! The connecting side speaks first; the accepting side answers the first `establish` and no later
//! one (the reference sends its own twice: answering would loop).

use kyneta_uds_core::{ChannelMsg, Establish};

/// Who speaks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Introduces itself as soon as the connection stands.
    Connecting,
    /// Waits to be introduced to, then answers.
    Accepting,
}

/// One connection's handshake and what follows from it.
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

/// What an inbound message asks for.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum Reaction {
    /// Nothing.
    Nothing,
    /// The peer is known from now on.
    Established {
        /// As it introduced itself.
        peer: Establish,
        /// True when this side's own `establish` goes back.
        answer: bool,
    },
    /// A message about documents, to be passed on.
    Deliver(ChannelMsg),
    /// The peer leaves on purpose; until it closes it is still served.
    Departing,
}

impl HandshakeMachine {
    /// A fresh connection.
    pub const fn new(side: Side) -> Self {
        Self {
            side,
            established: false,
        }
    }

    /// Who spoke first.
    pub const fn side(&self) -> Side {
        self.side
    }

    /// Takes an inbound message.
    pub fn received(&mut self, msg: ChannelMsg) -> Reaction {
        match (self.established, msg) {
            (false, ChannelMsg::Establish(peer)) => {
                self.established = true;
                Reaction::Established {
                    peer,
                    answer: self.side == Side::Accepting,
                }
            }
            // Before the introduction all else is ignored; after it, introductions are.
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
            let named = format!("{side:?} {inputs:?}");
            let reaction = inputs.into_iter().map(|msg| handshake.received(msg)).last();
            assert_eq!(reaction, Some(last), "{named}");
        }
    }
}

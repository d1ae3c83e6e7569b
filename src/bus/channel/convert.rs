//! Messages of the machines as those of the wire, and back; what is wrong with a payload.

use kyneta_uds_bus::{Message, SeqNo};
use kyneta_uds_core::Rejection;

use crate::bus::wire::{Body, WireMessage};

pub(super) fn unknown() -> Rejection {
    invalid("a member that was not introduced")
}

pub(in crate::bus) fn invalid(what: &'static str) -> Rejection {
    Rejection::Invalid {
        path: String::new(),
        what: what.into(),
    }
}

pub(in crate::bus) fn message(wire: WireMessage) -> Message<Body> {
    Message {
        n: SeqNo(wire.n),
        addressed: wire.addressed,
        body: wire.body,
    }
}

pub(in crate::bus) fn wire_message(message: Message<Body>) -> WireMessage {
    WireMessage {
        n: message.n.0,
        addressed: message.addressed,
        body: message.body,
    }
}

//! What an error says and what its sources say.

// A test that cannot go on says so by panicking, in its helpers too.
#![allow(clippy::expect_used)]

use std::{error::Error, io, time::Duration};

use kyneta_uds_cbor::{CborError, EncodeError};
use kyneta_uds_core::{
    AliasFault, Chain, Credentials, DisconnectReason, FrameFault, PeerId, Rejection, TextTooLong,
    WireVersion,
};
use kyneta_uds_framing::FramingError;
use kyneta_uds_handshake::HandshakeError;

fn io_error() -> io::Error {
    io::Error::other("the socket is on fire")
}

fn framing() -> FramingError {
    FramingError::Io(io_error())
}

fn all() -> Vec<Box<dyn Error + Send + Sync>> {
    let peer = PeerId::new("p").expect("short enough");
    let source = io::ErrorKind::PermissionDenied.into();
    vec![
        Box::new(framing()),
        Box::new(FramingError::TooLarge { size: 2, limit: 1 }),
        Box::new(CborError::Transport(framing().into())),
        Box::new(CborError::Encode(EncodeError::TooLarge {
            size: 2,
            limit: 1,
        })),
        Box::new(CborError::Encode(EncodeError::Serialize(io_error().into()))),
        Box::new(HandshakeError::Make(io_error().into())),
        Box::new(HandshakeError::Channel(
            CborError::Transport(framing().into()).into(),
        )),
        Box::new(HandshakeError::Closed),
        Box::new(HandshakeError::NotAdmitted {
            peer,
            credentials: None::<Credentials>,
            source,
        }),
        Box::new(HandshakeError::Unanswered {
            tried: vec![WireVersion::V2],
            waited: Duration::ZERO,
        }),
        Box::new(Rejection::from(FrameFault::UnknownType { byte: 7 })),
        Box::new(Rejection::from(AliasFault::UnknownDoc { alias: 7.0 })),
        Box::new(TextTooLong {
            what: "docId",
            len: 2,
            limit: 1,
        }),
        Box::new(DisconnectReason::error(CborError::Transport(
            framing().into(),
        ))),
    ]
}

#[test]
fn no_error_says_what_its_source_says() {
    for error in all() {
        let mut above: &(dyn Error + 'static) = &*error;
        while let Some(source) = above.source() {
            let (said, again) = (above.to_string(), source.to_string());
            assert!(!said.contains(&again), "{said:?} repeats {again:?}");
            above = source;
        }
    }
}

#[test]
fn a_chain_says_all_of_it() {
    let lost = CborError::Transport(framing().into());
    assert_eq!(
        Chain(&lost).to_string(),
        "the connection failed: the byte stream failed: the socket is on fire"
    );
    let before = HandshakeError::Channel(lost.into());
    assert_eq!(
        Chain(&before).to_string(),
        "the connection broke before the peer introduced itself: the connection failed: \
         the byte stream failed: the socket is on fire"
    );
    // A reason has it all in its own text, and whoever looks for the cause finds it.
    let reason = DisconnectReason::error(before);
    assert!(reason.to_string().ends_with("the socket is on fire"));
}

//! The texts of errors and of their sources.
//!
//! Every error of the layers below a role, with all of its causes. A failure shows both texts of which one repeats
//! the other.

// Tests and their helpers panic when they fail.
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
        Box::new(HandshakeError::Closed {
            tried: vec![WireVersion::V3],
        }),
        Box::new(HandshakeError::OtherVersion {
            theirs: WireVersion::V2,
            ours: WireVersion::V3,
            waited: Duration::ZERO,
        }),
        Box::new(HandshakeError::NotAdmitted {
            peer,
            credentials: None::<Credentials>,
            source,
        }),
        Box::new(HandshakeError::OtherProtocol),
        Box::new(HandshakeError::TooManyEarlyMessages { limit: 1 }),
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
fn no_error_repeats_its_source() {
    for error in all() {
        let mut above: &(dyn Error + 'static) = &*error;
        while let Some(source) = above.source() {
            let (text, inner) = (above.to_string(), source.to_string());
            assert!(!text.contains(&inner), "{text:?} repeats {inner:?}");
            above = source;
        }
    }
}

#[test]
fn a_chain_has_all_texts() {
    let lost = CborError::Transport(framing().into());
    assert_eq!(
        Chain(&lost).to_string(),
        "the connection failed: the byte stream failed: the socket is on fire"
    );
    let before = HandshakeError::Channel(lost.into());
    assert_eq!(
        Chain(&before).to_string(),
        "the connection broke during the handshake: the connection failed: \
         the byte stream failed: the socket is on fire"
    );
    // A reason contains all of it in its own text.
    let reason = DisconnectReason::error(before);
    assert!(reason.to_string().ends_with("the socket is on fire"));
}

#[test]
fn the_errors_of_a_handshake_read_well() {
    let waited = Duration::from_millis(500);
    let unanswered = |tried| HandshakeError::Unanswered { tried, waited };
    let table = [
        (unanswered(vec![]), "no establish within 500ms"),
        (
            HandshakeError::Closed { tried: vec![] },
            "the peer closed the connection during the handshake",
        ),
        (
            HandshakeError::Closed {
                tried: vec![WireVersion::V2],
            },
            "the peer closed the connection during the handshake, without an answer to establish on wire version 2",
        ),
        (
            unanswered(vec![WireVersion::V3, WireVersion::V2]),
            "no answer to establish on wire version 3 or 2 within 500ms",
        ),
        (
            HandshakeError::TooManyEarlyMessages { limit: 10 },
            "the peer sent more than 10 frames or messages before establish",
        ),
    ];
    for (error, text) in table {
        assert_eq!(error.to_string(), text);
    }
}

//! A side that sends the admission frame has no handshake: the other one says so, and does not wait.
//!
//! Time is paused, so a wait would show. A failure shows the error that came instead.

// Tests and their helpers panic when they fail.
#![allow(clippy::unwrap_used)]

mod support;

use kyneta_uds_core::WireVersion;
use kyneta_uds_framing::WireMode;
use kyneta_uds_handshake::HandshakeError;
use support::us;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    time::Instant,
};

/// The admission frame on each wire version: a header of a payload of no bytes.
const ADMISSIONS: [&[u8]; 2] = [&[2, 0, 0, 0, 0, 0], &[3, 0, 0, 0, 0, 0, 0, 0, 0, 1]];

/// How the handshake of one end fails when the other one writes this.
async fn failed(connects: bool, wire: WireMode, written: &[u8]) -> (HandshakeError, DuplexStream) {
    let (stream, mut other) = duplex(1 << 12);
    other.write_all(written).await.unwrap();
    let error = support::failed(us(), wire, stream, connects).await;
    (error, other)
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_admits_is_of_another_protocol_on_whichever_wire_version() {
    let start = Instant::now();
    for admission in ADMISSIONS {
        for wire in [
            WireMode::Auto,
            WireMode::Fixed(WireVersion::V2),
            WireMode::Fixed(WireVersion::V3),
        ] {
            let (error, _) = failed(true, wire, admission).await;
            assert!(matches!(error, HandshakeError::OtherProtocol), "{error}");
        }
    }
    assert_eq!(start.elapsed().as_millis(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_asks_for_its_admission_gets_a_message_and_no_establish() {
    for (admission, header) in ADMISSIONS.into_iter().zip([6, 10]) {
        let (error, mut other) = failed(false, WireMode::Auto, admission).await;
        assert!(matches!(error, HandshakeError::OtherProtocol), "{error}");
        let mut answer = Vec::new();
        other.read_to_end(&mut answer).await.unwrap();
        // `{t: 2}`: depart.
        assert_eq!(answer[header..], [0xa1, 0x61, b't', 2], "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_is_no_message_is_ignored_as_ever() {
    let garbage = [2, 0, 0, 0, 0, 1, 0xff];
    let (error, _) = failed(false, WireMode::Auto, &garbage).await;
    assert!(!matches!(error, HandshakeError::OtherProtocol), "{error}");
}

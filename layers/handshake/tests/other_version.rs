//! A side of one wire version beside a peer of the other one: the errors name the versions.
//!
//! Time is paused. A failure shows the error that came instead.

// Tests and their helpers panic when they fail.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use kyneta_uds_core::WireVersion;
use kyneta_uds_framing::WireMode;
use kyneta_uds_handshake::HandshakeError;
use support::us;
use tokio::{
    io::{DuplexStream, duplex},
    time::sleep,
};

/// How the handshake of one end fails, which waits for so long.
async fn failed(
    stream: DuplexStream,
    connects: bool,
    wire: WireVersion,
    timeout: Duration,
) -> HandshakeError {
    let wire = WireMode::Fixed(wire);
    support::failed(us().timeout(timeout), wire, stream, connects).await
}

#[tokio::test(start_paused = true)]
async fn both_sides_of_different_wire_versions_say_so_whichever_waits_longer() {
    let (short, long) = (Duration::from_secs(4), Duration::from_secs(5));
    for (connects, accepts, accepting, connecting) in [
        (
            short,
            long,
            "no establish on wire version 3 within 4s: the peer uses wire version 2",
            "no answer to establish on wire version 2 within 4s",
        ),
        (
            long,
            short,
            "no establish on wire version 3 within 4s: the peer uses wire version 2",
            "the peer closed the connection during the handshake, without an answer to establish on wire version 2",
        ),
    ] {
        let (here, there) = duplex(1 << 12);
        let (at_connector, at_acceptor) = tokio::join!(
            failed(here, true, WireVersion::V2, connects),
            failed(there, false, WireVersion::V3, accepts),
        );
        assert_eq!(at_acceptor.to_string(), accepting);
        assert_eq!(at_connector.to_string(), connecting);
    }
}

/// It has come to find out which version is used here, and connects again with the other one.
#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_after_its_first_wait_is_no_fault() {
    let (here, there) = duplex(1 << 12);
    let leaves = async {
        let connects = failed(here, true, WireVersion::V2, Duration::MAX);
        tokio::select! {
            error = connects => Err(error),
            () = sleep(Duration::from_millis(500)) => Ok(()),
        }
    };
    let accepts = failed(there, false, WireVersion::V3, Duration::from_secs(5));
    let (left, error) = tokio::join!(leaves, accepts);
    left.unwrap();
    assert!(matches!(error, HandshakeError::Closed { .. }), "{error}");
}

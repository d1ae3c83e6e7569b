//! A peer made of a bare socket, whose bytes are written by hand.
//!
//! In: bytes, right or wrong. Out: what is answered, or that the connection is closed in time.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
};

use kyneta_uds::{ChannelMsg, Establish};

use crate::{
    DEADLINE,
    support::common::{raw, service},
};

pub(crate) const WIRE: u8 = 3;
pub(crate) const HEADER: usize = 10;

#[derive(Debug)]
pub(crate) struct RawPeer {
    pub(crate) stream: UnixStream,
    seq: u32,
}

impl RawPeer {
    pub(crate) fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { stream, seq: 0 }
    }

    /// A peer that has completed the handshake.
    pub(crate) fn established(path: &Path, id: &str) -> Self {
        let mut peer = Self::connect(path);
        peer.send(&establish(id));
        peer.receive();
        peer
    }

    pub(crate) fn send(&mut self, payload: &[u8]) {
        self.seq += 1;
        let frame = raw::frame(WIRE, self.seq, payload);
        self.stream.write_all(&frame).unwrap();
    }

    /// Receives the payload of a frame.
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        let mut header = [0; HEADER];
        self.stream.read_exact(&mut header).unwrap();
        let mut payload = vec![0; length(&header)];
        self.stream.read_exact(&mut payload).unwrap();
        payload
    }

    /// Sends an offer and receives the answer.
    pub(crate) fn round_trip(&mut self, offer: &ChannelMsg) {
        self.send(&raw::payload(offer));
        self.receive();
    }

    /// Waits until the other side closes the connection.
    pub(crate) fn expect_end(&mut self) {
        let mut block = [0; 4096];
        loop {
            match self.stream.read(&mut block) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return,
                Err(error) => panic!("not closed: {error}"),
            }
        }
    }
}

/// The length of the payload, from a header of wire version 3.
pub(crate) fn length(header: &[u8; HEADER]) -> usize {
    let [version, kind, length @ .., _, _, _, _] = *header;
    assert_eq!((version, kind), (WIRE, 0));
    u32::from_be_bytes(length) as usize
}

/// A header that claims a payload of `claims` bytes.
pub(crate) fn header(seq: u32, claims: u32) -> Vec<u8> {
    let mut header = raw::frame(WIRE, seq, b"");
    header[2..6].copy_from_slice(&claims.to_be_bytes());
    header
}

/// The payload of an `establish`.
pub(crate) fn establish(id: &str) -> Vec<u8> {
    raw::payload(&Establish::new(service(id)).into())
}

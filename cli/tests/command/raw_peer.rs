//! A peer made of a bare socket, whose bytes are written by hand.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
};

use crate::support::{
    DEADLINE,
    common::{Bus, raw},
};

/// A bare socket.
pub(crate) struct RawPeer {
    pub(crate) stream: UnixStream,
}

impl RawPeer {
    pub(crate) fn connect(bus: &Bus) -> Self {
        let stream = UnixStream::connect(&bus.path).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { stream }
    }

    /// Connects and sends `establish`.
    pub(crate) fn established(bus: &Bus, wire: u8, id: &str) -> Self {
        let mut raw = Self::connect(bus);
        raw.write(&raw::frame(wire, 1, &establish(id)));
        raw
    }

    /// Accepts a connection and sends `establish`.
    pub(crate) fn accept(socket: &UnixListener, wire: u8, id: &str) -> Self {
        let (stream, _) = socket.accept().unwrap();
        let mut raw = Self { stream };
        raw.write(&raw::frame(wire, 1, &establish(id)));
        raw
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads until the other side closes the connection.
    pub(crate) fn read_to_end(mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut block = [0; 4096];
        loop {
            match self.stream.read(&mut block) {
                Ok(0) => return all,
                Ok(n) => all.extend_from_slice(&block[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return all,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The payload of an `establish` without a name.
pub(crate) fn establish(id: &str) -> Vec<u8> {
    assert!(id.len() < 24);
    let mut payload = b"\xa4\x61t\x01\x62id".to_vec();
    payload.push(0x60 | id.len() as u8);
    payload.extend_from_slice(id.as_bytes());
    payload.extend_from_slice(b"\x61y\x67service\x61f\xa1\x61a\xf5");
    payload
}

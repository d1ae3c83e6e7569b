//! Good peers: bare sockets that do round trips.

use std::path::Path;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use crate::{
    paced::RoundTrips,
    raw_peer::{HEADER, WIRE, establish, length},
    support::common::{offer, raw},
};

pub(crate) struct GoodPeer {
    stream: UnixStream,
    payload: Vec<u8>,
}

impl GoodPeer {
    /// Established.
    pub(crate) async fn connect(path: &Path, number: u32) -> Self {
        let mut stream = UnixStream::connect(path).await.unwrap();
        let establish = raw::frame(WIRE, 1, &establish(&format!("good-{number}")));
        stream.write_all(&establish).await.unwrap();
        receive(&mut stream).await;
        let payload = raw::payload(&offer("d", 64));
        Self { stream, payload }
    }
}

impl RoundTrips for GoodPeer {
    async fn round_trip(&mut self, number: u32) {
        let frame = raw::frame(WIRE, number + 2, &self.payload);
        self.stream.write_all(&frame).await.unwrap();
        receive(&mut self.stream).await;
    }
}

pub(crate) async fn receive(stream: &mut UnixStream) -> Vec<u8> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).await.unwrap();
    let mut payload = vec![0; length(&header)];
    stream.read_exact(&mut payload).await.unwrap();
    payload
}

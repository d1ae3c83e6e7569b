//! A server that ends closes its pending connections in order.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream as ForeignStream,
};

use kyneta_uds::ListenerOptions;

use crate::{roles::bind_as_server, support::Dir};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disposed_server_closes_connections_without_a_handshake_in_order() {
    let dir = Dir::new();
    let server = bind_as_server(&dir.path(), ListenerOptions::new())
        .await
        .unwrap();
    let streams: Vec<_> = (0..300)
        .map(|_| {
            let mut stream = ForeignStream::connect(dir.path()).unwrap();
            stream.write_all(&[3, 0, 0, 0]).unwrap();
            stream
        })
        .collect();
    server.dispose().await;
    assert!(dir.names().is_empty());
    for (i, mut stream) in streams.into_iter().enumerate() {
        let end = stream.read_to_end(&mut Vec::new());
        assert!(matches!(end, Ok(0)), "{i}: {end:?}");
    }
}

//! Those whom nobody will serve any more get an orderly end.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream as ForeignStream,
};

use kyneta_uds::{Listener, ListenerOptions};

use crate::support::{Dir, bind_as_server};

#[tokio::test]
async fn those_who_wait_to_be_accepted_get_an_orderly_end() {
    // Without a word from tokio's driver, with it, and more than tokio lets a task do in one go.
    for (driven, waiting) in [(false, 3), (true, 3), (true, 300)] {
        let dir = Dir::new();
        let mut listener = Listener::bind(dir.path()).await.unwrap();
        if driven {
            let _first = ForeignStream::connect(dir.path()).unwrap();
            let _ = listener.accept().await;
        }
        let mut streams: Vec<_> = (0..waiting)
            .map(|_| ForeignStream::connect(dir.path()).unwrap())
            .collect();
        for stream in &mut streams {
            // As every client does; closing with this unread would reset it.
            stream.write_all(b"establish").unwrap();
        }
        listener.close().unwrap();
        for (i, mut stream) in streams.into_iter().enumerate() {
            let mut rest = Vec::new();
            let end = stream.read_to_end(&mut rest);
            assert!(
                matches!(end, Ok(0)),
                "{i} of {waiting}, driven {driven}: {end:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_ends_those_who_have_not_introduced_themselves_in_order() {
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

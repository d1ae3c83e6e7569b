//! Closing a listener: pending connections end without a reset, and only its own files are removed.
//!
//! A failure says how many connections waited, and how one of them ended; or which file is gone.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{
        fs::symlink,
        net::{UnixListener as ForeignListener, UnixStream as ForeignStream},
    },
};

use kyneta_uds_unix::Listener;

use crate::support::{Dir, Obstacle, runtime};

#[tokio::test]
async fn pending_connections_are_closed_in_order() {
    // Before tokio's driver has run, after it, and more than tokio lets a task do in one turn.
    for (driven, pending) in [(false, 3), (true, 3), (true, 300)] {
        let dir = Dir::new();
        let mut listener = Listener::bind(dir.path()).await.unwrap();
        if driven {
            let _first = ForeignStream::connect(dir.path()).unwrap();
            let _ = listener.accept().await;
        }
        let mut streams: Vec<_> = (0..pending)
            .map(|_| ForeignStream::connect(dir.path()).unwrap())
            .collect();
        for stream in &mut streams {
            // As every client does; closing with unread bytes would reset the connection.
            stream.write_all(b"establish").unwrap();
        }
        listener.close().unwrap();
        for (i, mut stream) in streams.into_iter().enumerate() {
            let mut rest = Vec::new();
            let end = stream.read_to_end(&mut rest);
            assert!(
                matches!(end, Ok(0)),
                "{i} of {pending}, driven {driven}: {end:?}"
            );
        }
    }
}

#[tokio::test]
async fn pending_connections_of_a_former_socket_are_closed_in_order() {
    let dir = Dir::new();
    let mut listener = Listener::bind(dir.path()).await.unwrap();
    let mut before = ForeignStream::connect(dir.path()).unwrap();
    fs::remove_file(dir.path()).unwrap();
    listener.restore().await.unwrap();
    let mut after = ForeignStream::connect(dir.path()).unwrap();
    for stream in [&mut before, &mut after] {
        stream.write_all(b"establish").unwrap();
    }
    listener.close().unwrap();
    for stream in [&mut before, &mut after] {
        assert!(matches!(stream.read_to_end(&mut Vec::new()), Ok(0)));
    }
}

#[tokio::test]
async fn the_path_is_free_before_pending_connections_are_closed() {
    let dir = Dir::new();
    let mut listener = Listener::bind(dir.path()).await.unwrap();
    let mut pending = ForeignStream::connect(dir.path()).unwrap();
    let successor = std::thread::spawn({
        let path = dir.path();
        move || {
            // Closed: the path must be free by now.
            assert!(matches!(pending.read(&mut [0]), Ok(0)));
            runtime().block_on(Listener::bind(path)).map(drop)
        }
    });
    listener.close().unwrap();
    successor.join().unwrap().unwrap();
}

/// A file that another process has put there since is not removed.
#[tokio::test]
async fn files_that_are_no_longer_ours_are_left_alone() {
    let replace: [Obstacle; 4] = [
        |path| Box::new(fs::write(path, "mine")),
        |path| Box::new(ForeignListener::bind(path).unwrap()),
        |path| Box::new(symlink("elsewhere", path)),
        |path| Box::new(fs::create_dir(path)),
    ];
    for replace in replace {
        let dir = Dir::new();
        let mut listener = Listener::bind(dir.path()).await.unwrap();
        fs::remove_file(dir.path()).unwrap();
        let _theirs = replace(&dir.path());
        let theirs = dir.state().remove(&dir.path());
        listener.close().unwrap();
        assert_eq!(dir.state().remove(&dir.path()), theirs);
        assert_eq!(dir.names(), ["bus.sock"], "our lock is gone");
    }

    let dir = Dir::new();
    let mut listener = Listener::bind(dir.path()).await.unwrap();
    fs::remove_file(dir.path()).unwrap();
    listener.close().unwrap();
    assert!(dir.names().is_empty(), "a missing file is no error");

    let dir = Dir::new();
    let listener = Listener::bind(dir.path()).await.unwrap();
    fs::remove_file(dir.lock()).unwrap();
    fs::write(dir.lock(), "theirs").unwrap();
    drop(listener);
    assert_eq!(fs::read(dir.lock()).unwrap(), b"theirs");
    assert_eq!(dir.names(), ["bus.sock.lock"]);

    // An older file of that name with content is not a lock file.
    let dir = Dir::new();
    fs::write(dir.lock(), "theirs").unwrap();
    drop(Listener::bind(dir.path()).await.unwrap());
    assert_eq!(fs::read(dir.lock()).unwrap(), b"theirs");
}

#[tokio::test]
async fn a_socket_that_was_handed_over_is_not_removed() {
    let dir = Dir::new();
    let socket = tokio::net::UnixListener::bind(dir.path()).unwrap();
    let before = dir.state();
    let mut listener = Listener::from(socket);
    let _stream = ForeignStream::connect(dir.path()).unwrap();
    let _ = listener.accept().await;
    listener.close().unwrap();
    drop(listener);
    assert_eq!(dir.state(), before);
}

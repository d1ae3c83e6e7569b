//! A listener that goes over within one process: its path, its lock, and the connections that wait to be accepted. A
//! failure says in which round a client was lost.

use std::{fs, io::Write as _, os::unix::net::UnixStream as Client};

use super::*;
use crate::{BindError, ListenerEvent};

#[tokio::test]
async fn a_successor_has_the_path_the_lock_and_those_that_wait() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut listener = Listener::bind(&path).await.unwrap();
    let mut clients = Vec::new();
    for round in 0..5 {
        let mut waits = Client::connect(&path).unwrap();
        waits.write_all(b"hello").unwrap();
        let (descriptors, saved) = listener.hand_over().unwrap();
        let saved = Saved::decode(&saved.encode()).unwrap();
        let next = ListenerOptions::new()
            .resume(path.clone(), descriptors, &saved)
            .unwrap();
        listener.leave();
        listener = next;
        listener.listen_again().unwrap();
        let ListenerEvent::Accepted(stream, permit) = listener.next().await else {
            panic!("no client in round {round}");
        };
        let mut bytes = [0; 5];
        stream.readable().await.unwrap();
        assert_eq!(stream.try_read(&mut bytes).unwrap(), 5);
        clients.push((waits, stream, permit));
        let second = Listener::bind(&path).await.unwrap_err();
        assert!(matches!(second, BindError::InUse { .. }), "{second}");
        assert!(dir.path().join("bus.sock.lock").exists());
    }
    listener.close().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0); // as any listener: file and lock are gone
    Listener::bind(&path).await.unwrap();
}

#[tokio::test]
async fn a_predecessor_that_is_not_succeeded_serves_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut listener = Listener::bind(&path).await.unwrap();
    let (descriptors, saved) = listener.hand_over().unwrap();
    drop(descriptors);
    assert!(Listener::bind(&path).await.is_err());
    let _client = Client::connect(&path).unwrap();
    assert!(matches!(listener.next().await, ListenerEvent::Accepted(..)));

    let resume = |descriptors| ListenerOptions::new().resume(path.clone(), descriptors, &saved);
    let error = resume(Vec::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "other descriptors than the listener's state says"
    );
    let later = Saved::new(2, 2);
    let error = ListenerOptions::new()
        .resume(path.clone(), Vec::new(), &later)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the saved state of a listener has version 2")
    );
    let adopted = Listener::from(UnixListener::bind(dir.path().join("other")).unwrap());
    assert!(adopted.hand_over().is_err());
}

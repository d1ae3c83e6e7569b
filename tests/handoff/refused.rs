//! A handover that one of the two refuses leaves the predecessor serving, with its path and its lock.
//!
//! A failure shows the error of the successor, in which the reason has to be.

use std::{convert::Infallible, fs, future::ready, os::fd::AsFd as _, path::Path, time::Duration};

use kyneta_uds::{HandoffPolicy, Incoming, ListenError, Listener, Server};
use kyneta_uds_core::{Saved, SavedBytes};
use kyneta_uds_handoff::{Frozen, HandOver, Limits, Offer, Outcome, Refusal};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{net::UnixStream, task::spawn_blocking, time::sleep};
use tower::service_fn;

use crate::{member, next, number, offer};

/// What a process of another version hands over.
struct Other {
    shared: Vec<std::os::fd::OwnedFd>,
    process: Saved,
    connection: std::os::unix::net::UnixStream,
    state: Saved,
}

impl HandOver for Other {
    fn shared(&mut self) -> Vec<std::os::fd::BorrowedFd<'_>> {
        self.shared.iter().map(|shared| shared.as_fd()).collect()
    }
    fn connections(&self) -> usize {
        1
    }
    fn freeze(&mut self) -> Result<Frozen, Refusal> {
        let copy = self.connection.try_clone().unwrap();
        Ok(Frozen {
            process: self.process.clone(),
            connections: vec![(copy.into(), SavedBytes::from(&self.state))],
        })
    }
    fn thaw(&mut self, _: Option<Frozen>) {}
}

/// Why a server does not take over from a process with states of these versions; that process keeps its path.
async fn refusal(process: u32, connection: u32) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut listener = Listener::bind(&path).await.unwrap();
    let files = || fs::read_dir(dir.path()).unwrap().count();
    let (mut shared, saved) = listener.hand_over().unwrap();
    let offered = Offer::bind(&path).unwrap();
    shared.push(offered.as_fd().try_clone_to_owned().unwrap());
    let (before, ours) = (files(), std::os::unix::net::UnixStream::pair().unwrap());
    let mut other = Other {
        shared,
        process: Saved::new(process, process).with("listener", saved),
        connection: ours.0,
        state: Saved::new(connection, connection),
    };
    let serving = spawn_blocking(move || {
        loop {
            if let Some(asking) = offered.accept().unwrap() {
                let outcome = asking.hand_over(&mut other, Limits::default());
                return (outcome, offered);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let ignore = service_fn(|_: Incoming| ready(Ok::<_, Infallible>(())));
    let error = Server::builder(&path).take_over().listen(ignore).await;
    let Err(ListenError::NotTakenOver { source, .. }) = error else {
        panic!("{error:?}");
    };
    let (outcome, _offered) = serving.await.unwrap();
    assert!(matches!(outcome, Outcome::Stayed { .. }), "{outcome:?}");
    // Socket, lock and offer are where they were, and it still accepts.
    assert_eq!(files(), before);
    let (_client, accepted) = tokio::join!(UnixStream::connect(&path), listener.accept());
    drop(accepted);
    source.to_string()
}

#[tokio::test]
async fn a_state_of_an_unknown_version_is_refused_and_the_predecessor_keeps_its_path() {
    let why = refusal(99, 1).await;
    assert!(why.contains("version 99"), "{why}");
    let why = refusal(1, 99).await;
    assert!(why.contains("version 99"), "{why}");
}

#[tokio::test]
async fn a_successor_without_descriptors_refuses_and_the_server_serves_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let echo = service_fn(async |incoming: Incoming| incoming.from().queue(incoming.message).await);
    let builder = || Server::builder(&path).relay(false);
    let offering = builder().offer_handoff(HandoffPolicy::default());
    let server = offering.listen(echo).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(member(&path).await);
    }
    while server.connection_count() < 40 {
        sleep(Duration::from_millis(1)).await;
    }
    let limit = getrlimit(Resource::Nofile);
    let open = fs::read_dir(Path::new("/proc/self/fd")).unwrap().count() as u64;
    let current = Some(open + 20);
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    let error = builder().take_over().listen(echo).await;
    setrlimit(Resource::Nofile, limit).unwrap();
    let Err(ListenError::NotTakenOver { source, .. }) = error else {
        panic!("{error:?}");
    };
    let why = source.to_string();
    assert!(why.contains("raise its RLIMIT_NOFILE"), "{why}");
    for (client, inbox) in &mut clients {
        client.queue(offer(7, 64)).await.unwrap();
        assert_eq!(number(&next(inbox).await), 7);
    }
    // With descriptors it takes over.
    let successor = builder().take_over().listen(echo).await.unwrap();
    assert_eq!(successor.connection_count(), 40);
}

//! Idle connections are put aside before the freeze, and served on: until then, and if no handoff comes of it, no peer sees it.
//!
//! A failure is a message that is lost or twice, or a client that does not see the end of its connection.

use std::{os::fd::OwnedFd, path::Path, time::Duration};

use kyneta_uds::{Client, Connection, Event, HandoffPolicy, Incoming, Server};
use kyneta_uds_handoff::{Formats, Word, control_path};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket,
};
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tower::service_fn;

use crate::{client, offer};

const LIMIT: Duration = Duration::from_secs(20);
/// Longer than a handoff, and shorter than the predecessor waits for a word.
const AT_ONCE: Duration = Duration::from_secs(1);
const SIZE: usize = 64;

/// A successor that has what is shared, and says nothing more: all that is idle is aside.
fn hangs(path: &Path) -> OwnedFd {
    let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    connect(&socket, &SocketAddrUnix::new(control_path(path)).unwrap()).unwrap();
    let (formats, free) = (Formats::OURS, 1_000);
    let hello = Word::Hello { formats, free }.encode();
    send(&socket, &hello, SendFlags::empty()).unwrap();
    loop {
        // The descriptors are not taken.
        let mut bytes = [0; 4096];
        let (length, _) = recv(&socket, &mut bytes, RecvFlags::empty()).unwrap();
        if let Word::Shared { .. } = Word::decode(&bytes[..length]).unwrap() {
            return socket;
        }
    }
}

/// A client, and the server's connection to it.
async fn met(path: &Path, server: &Server) -> (Client, mpsc::UnboundedReceiver<u64>, Connection) {
    let former = server.connections();
    let (client, answers) = client(path).await;
    loop {
        let is_new = |to: &Connection| former.iter().all(|of| of.peer_id() != to.peer_id());
        if let Some(to) = server.connections().into_iter().find(is_new) {
            return (client, answers, to);
        }
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_served_until_the_freeze_and_end_as_always() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let echo = service_fn(async |incoming: Incoming| incoming.from().queue(incoming.message).await);
    let builder = || Server::builder(&path).relay(false);
    let offering = builder().offer_handoff(HandoffPolicy::default());
    let mut events = offering.events();
    let server = offering.listen(echo).await.unwrap();
    let (mut talks, mut answers, _) = met(&path, &server).await;
    // Whoever knows these does not hold what they have of a handoff.
    let (ends, _, to_ends) = met(&path, &server).await;
    let (ends_later, _, to_ends_later) = met(&path, &server).await;

    let at = path.clone();
    let successor = spawn_blocking(move || hangs(&at)).await.unwrap();
    talks.queue(offer(0, SIZE)).await.unwrap();
    assert_eq!(timeout(LIMIT, answers.recv()).await.unwrap(), Some(0));
    to_ends.handle().abort();
    timeout(AT_ONCE, ends.closed()).await.unwrap();
    drop(successor);
    let failed =
        async { while !matches!(events.recv().await.unwrap(), Event::NotHandedOver { .. }) {} };
    timeout(LIMIT, failed).await.unwrap();
    to_ends_later.handle().abort();
    timeout(AT_ONCE, ends_later.closed()).await.unwrap();

    talks.queue(offer(1, SIZE)).await.unwrap();
    assert_eq!(timeout(LIMIT, answers.recv()).await.unwrap(), Some(1));
    let successor = builder().take_over().listen(echo).await.unwrap();
    server.closed().await;
    assert_eq!(successor.connection_count(), 1);
    talks.queue(offer(2, SIZE)).await.unwrap();
    assert_eq!(timeout(LIMIT, answers.recv()).await.unwrap(), Some(2));
    successor.dispose().await;
}

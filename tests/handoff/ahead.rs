//! Much waits for a client that reads slowly while its server is replaced: it goes to the successor before the pause.
//!
//! A failure says how much went ahead, and which message came out of order.

use std::{convert::Infallible, future::ready, path::Path, sync::Arc, time::Duration};

use kyneta_uds::{Client, Event, HandoffPolicy, Incoming, QueueConfig, Server};
use kyneta_uds_handoff::{Formats, Limits, Refusal, Word, control_path, take_over};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket,
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tower::service_fn;

use crate::{number, offer};

const MIB: usize = 1 << 20;
const SIZE: usize = 64 << 10;
const LIMIT: Duration = Duration::from_secs(20);

/// How many messages wait at first: some 3.7 of 4 MiB.
const WAIT: u64 = 60;

/// A client that reads as many messages as there are permits.
async fn slow_client(
    path: &Path,
    may_read: Arc<Semaphore>,
) -> (Client, mpsc::UnboundedReceiver<u64>) {
    let (seen, inbox) = mpsc::unbounded_channel();
    let handler = service_fn(move |incoming: Incoming| {
        let (seen, may_read) = (seen.clone(), may_read.clone());
        async move {
            may_read.acquire().await.unwrap().forget();
            let _ = seen.send(number(&incoming.message));
            Ok::<_, Infallible>(())
        }
    });
    // It reads little ahead.
    let queue = QueueConfig::default().max_bytes(SIZE);
    let client = Client::builder(path).queue(queue).connect(handler).await;
    (client.unwrap(), inbox)
}

/// A successor that ends as soon as it has what goes ahead.
fn ends_early(path: &Path) {
    let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    connect(&socket, &SocketAddrUnix::new(control_path(path)).unwrap()).unwrap();
    let say = |word: Word| send(&socket, &word.encode(), SendFlags::empty()).unwrap();
    // The descriptors are not taken.
    let hear = || {
        let mut bytes = [0; 4096];
        let (length, _) = recv(&socket, &mut bytes, RecvFlags::empty()).unwrap();
        Word::decode(&bytes[..length]).unwrap()
    };
    let (formats, free) = (Formats::OURS, 1_000);
    say(Word::Hello { formats, free });
    assert!(matches!(hear(), Word::Welcome { .. }));
    let shared = hear().descriptors();
    say(Word::Have(shared));
    assert_eq!(hear(), Word::Ahead { descriptors: 1 });
}

/// A successor that has everything and refuses: how many bytes went ahead.
fn refuses(path: &Path) -> usize {
    let mut ahead = 0;
    let refused = take_over(path, Limits::default(), |received| {
        ahead = received.ahead.iter().map(|bytes| bytes.len()).sum();
        // What is left is a small part of it.
        let (_, state) = &received.connections[0];
        assert!(state.as_ref().len() < SIZE * 5, "{}", state.as_ref().len());
        Err::<(), _>(Refusal::Other("not today".to_owned()))
    });
    assert!(refused.is_err());
    ahead
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_goes_ahead_and_nothing_is_lost_with_successors_that_fail() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let queue = QueueConfig::default().max_bytes(4 * MIB);
    let builder = || Server::builder(&path).relay(false).queue(queue.clone());
    let ignore = service_fn(|_: Incoming| ready(Ok::<_, Infallible>(())));
    let offering = builder().offer_handoff(HandoffPolicy::default());
    let mut events = offering.events();
    let server = offering.listen(ignore).await.unwrap();
    let may_read = Arc::new(Semaphore::new(0));
    let (_client, mut inbox) = slow_client(&path, may_read.clone()).await;
    while server.connection_count() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let to_client = || server.connections().remove(0);
    for n in 0..WAIT {
        to_client().queue(offer(n, SIZE)).await.unwrap();
    }

    let at = path.clone();
    spawn_blocking(move || ends_early(&at)).await.unwrap();
    let at = path.clone();
    let ahead = spawn_blocking(move || refuses(&at)).await.unwrap();
    assert!(ahead > 2 * MIB, "{ahead}");
    for _ in 0..2 {
        let failed =
            async { while !matches!(events.recv().await.unwrap(), Event::NotHandedOver { .. }) {} };
        timeout(LIMIT, failed).await.unwrap();
    }
    // What had gone ahead is not held against the connection for ever.
    let waits = || to_client().handle().queued().1;
    let falls = async {
        while waits() > 4 * MIB - SIZE * 4 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, falls).await.unwrap();
    to_client().queue(offer(WAIT, SIZE)).await.unwrap();

    // Part of what goes ahead is written meanwhile.
    may_read.add_permits(5);
    let successor = builder().take_over().listen(ignore).await.unwrap();
    assert_eq!(server.closed().await.kind(), "intentional");
    may_read.add_permits(1_000);
    let mut to_client = successor.connections().remove(0);
    to_client.queue(offer(WAIT + 1, SIZE)).await.unwrap();
    for n in 0..WAIT + 2 {
        assert_eq!(timeout(LIMIT, inbox.recv()).await.unwrap(), Some(n));
    }
    successor.dispose().await;
}

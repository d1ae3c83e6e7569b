//! A blocking client and the async server.
//!
//! A failure shows the error, or the number of the message at which the order breaks.

#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests.

use std::time::{Duration, Instant};

use kyneta_uds::{BoxError, Incoming, Server};
use kyneta_uds_blocking::{Client, Error};
use kyneta_uds_core::{
    ChannelMsg, DocEntry, DocId, Identity, Offer, PeerId, ReplicaType, SchemaHash, SocketPath,
    Version, WireVersion,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tower::service_fn;

const SOON: Option<Duration> = Some(Duration::from_secs(10));

/// A server that answers each message with itself, on threads of its own.
struct Echo {
    runtime: Runtime,
    server: Server,
    path: SocketPath,
    _dir: TempDir,
}

impl Echo {
    fn start() -> Self {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = SocketPath::new(dir.path().join("bus.sock")).unwrap();
        let echo = service_fn(async |incoming: Incoming| {
            let mut from = incoming.from();
            from.queue(incoming.message).await?;
            Ok::<(), BoxError>(())
        });
        let listening = Server::builder(path.as_pathname().unwrap())
            .relay(false)
            .listen(echo);
        let server = runtime.block_on(listening).unwrap();
        Self {
            runtime,
            server,
            path,
            _dir: dir,
        }
    }

    fn connect(&self) -> Client {
        let identity = Identity::service("blocking").unwrap();
        Client::builder(self.path.clone(), identity)
            .connect()
            .unwrap()
    }
}

fn doc() -> DocId {
    DocId::new("settings").unwrap()
}

fn present() -> ChannelMsg {
    let replica = ReplicaType::new("loro", 1.0, 0.0).unwrap();
    let hash = SchemaHash::new("00a1b2c3d4e5f60718293a4b5c6d7e8f90").unwrap();
    ChannelMsg::Present(vec![DocEntry::new(doc(), replica, hash)])
}

fn offer(number: usize, size: usize) -> ChannelMsg {
    let version = Version::new(number.to_string()).unwrap();
    Offer::binary(doc(), version, vec![number as u8; size]).into()
}

#[test]
fn a_request_is_answered_and_the_end_is_in_good_order() {
    let echo = Echo::start();
    let mut client = echo.connect();
    assert_eq!(client.connection().wire, Some(WireVersion::V3));
    // The first one announces the document: later ones have an alias.
    for msg in [present(), offer(1, 64), offer(2, 0), offer(3, 300_000)] {
        let answer = client.request(&msg, |answer| *answer == msg, SOON).unwrap();
        assert_eq!(answer, msg);
    }
    let id = PeerId::new("blocking").unwrap();
    assert!(echo.server.is_connected(&id));
    client.leave().unwrap();
}

#[test]
fn a_stream_arrives_in_order_whatever_the_sizes() {
    let echo = Echo::start();
    let mut client = echo.connect();
    let size = |i: usize| [0, 64, 1000, 20_000, 100_000][i % 5];
    const BATCH: usize = 20;
    for batch in 0..50 {
        let numbers = batch * BATCH..(batch + 1) * BATCH;
        for i in numbers.clone() {
            // The server reads on while its answers wait, up to its bounds.
            match client.queue(&offer(i, size(i)), SOON) {
                Ok(()) => {}
                Err(error) => panic!("{i}: {error}"),
            }
            if i % BATCH == BATCH / 2 {
                client.flush(SOON).unwrap();
            }
        }
        client.flush(SOON).unwrap();
        assert_eq!(client.unsent(), 0);
        for i in numbers {
            assert_eq!(client.recv(SOON).unwrap(), offer(i, size(i)), "{i}");
        }
    }
}

#[test]
fn what_comes_before_an_answer_is_kept_in_order() {
    let echo = Echo::start();
    let mut client = echo.connect();
    for i in 0..5 {
        client.queue(&offer(i, 10), SOON).unwrap();
    }
    let last = offer(5, 10);
    let answer = client.request(&last, |answer| *answer == last, SOON);
    assert_eq!(answer.unwrap(), last);
    for i in 0..5 {
        assert_eq!(client.recv(SOON).unwrap(), offer(i, 10));
    }
}

#[test]
fn a_request_without_an_answer_keeps_a_bounded_number_of_others() {
    let echo = Echo::start();
    let mut client = echo.connect();
    for i in 0..1100 {
        client.queue(&offer(i, 10), SOON).unwrap();
    }
    let error = client.request(&offer(1100, 10), |_| false, SOON);
    let error = error.unwrap_err();
    assert_eq!(
        error.to_string(),
        "1024 other messages came before the answer"
    );
    assert!(!error.ends_connection());
    for i in 0..=1100 {
        assert_eq!(client.recv(SOON).unwrap(), offer(i, 10));
    }
}

#[test]
fn a_limit_of_time_is_kept_and_the_next_message_still_comes() {
    let echo = Echo::start();
    let mut client = echo.connect();
    let started = Instant::now();
    let error = client.recv(Some(Duration::from_millis(50))).unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert!(started.elapsed() >= Duration::from_millis(50));
    // Without time it only looks.
    assert!(client.recv(Some(Duration::ZERO)).is_err());
    client.send(&offer(1, 1), SOON).unwrap();
    assert_eq!(client.recv(None).unwrap(), offer(1, 1));
}

#[test]
fn the_end_of_the_server_is_seen() {
    let echo = Echo::start();
    let mut client = echo.connect();
    let server = echo.server;
    let ended = echo.runtime.spawn(async move { server.dispose().await });
    for _ in 0..2 {
        let error = client.recv(SOON).unwrap_err();
        assert!(matches!(error, Error::Closed), "{error}");
        assert!(client.is_departing());
    }
    drop(client);
    echo.runtime.block_on(ended).unwrap();
}

#[test]
fn without_a_listener_the_error_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.sock");
    let connect = |path: &std::path::Path| {
        let identity = Identity::service("blocking").unwrap();
        Client::builder(SocketPath::new(path).unwrap(), identity).connect()
    };
    let error = connect(&path).unwrap_err();
    assert!(error.ends_connection());
    assert_eq!(
        error.to_string(),
        format!("cannot connect to {}", path.display())
    );
    let Error::Connect { source, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);

    let link = dir.path().join("link.sock");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(connect(&link), Err(Error::Symlink { .. })));
}

#[test]
fn of_large_messages_a_request_keeps_few() {
    const SIZE: usize = 1 << 20;
    let echo = Echo::start();
    let mut client = echo.connect();
    for n in 0..40 {
        client.queue(&offer(n, SIZE), SOON).unwrap();
        // It comes back before what is asked for does.
        let asked = client.request(&present(), |_| false, Some(Duration::from_millis(50)));
        match asked.unwrap_err() {
            Error::TimedOut { .. } => {}
            Error::NoAnswerAmong { limit } => {
                assert!(limit < 60, "{limit}");
                return;
            }
            error => panic!("{error}"),
        }
    }
    panic!("all were kept");
}

//! The status endpoint over real sockets, with requests as bytes.
//!
//! A failure shows the answer, byte by byte as curl would get it.
#![cfg(feature = "status")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::{os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use kyneta_uds::{
    Client, Event, Incoming, Peer, PeerId, ReconnectPolicy, Role, Server, StateKind,
    status::{Endpoint, Inspect as _, Queued, Snapshot, Standing},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::Instant,
};
use tower::{Service as _, ServiceExt as _, service_fn};

use support::{Bus, collect, dismiss, offer, service, soon};

/// A path for the status socket, beside the bus.
fn beside(bus: &Bus) -> std::path::PathBuf {
    bus.path.with_file_name("status.sock")
}

/// Sends `request`, and reads to the end. Errors of the connection are ignored.
async fn say(path: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}

/// The answer's status and body.
async fn get(path: &Path, target: &str) -> (u16, String) {
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let answer = say(path, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}

async fn ask(path: &Path) -> Snapshot {
    let (status, body) = get(path, "/status").await;
    assert_eq!((status, body.lines().count()), (200, 1), "{body}");
    serde_json::from_str(&body).unwrap()
}

const IGNORE: fn(Incoming) -> std::future::Ready<Result<(), std::convert::Infallible>> =
    |_| std::future::ready(Ok(()));

#[tokio::test]
async fn a_server_and_its_client_show_their_peers_and_counts() {
    let bus = Bus::new();
    let server = bus.echo("hub").await;
    let (handler, mut inbox) = collect(8);
    let mut client = Client::builder(&bus.path)
        .identity(service("billing-1").named("Billing").unwrap())
        .connect(handler)
        .await
        .unwrap();
    for i in 0..3 {
        client
            .ready()
            .await
            .unwrap()
            .call(dismiss(&i.to_string()))
            .await
            .unwrap();
        soon(inbox.recv()).await.unwrap();
    }
    let path = beside(&bus);
    let endpoint = Endpoint::bind(&path, server.clone()).await.unwrap();

    let seen = ask(&path).await;
    assert_eq!((seen.role, seen.id.as_str()), (Standing::Listener, "hub"));
    assert_eq!(seen.path.as_deref(), bus.path.to_str());
    assert_eq!((seen.sent, seen.received), (3, 3));
    assert_eq!(seen.counts.established, 1);
    let [peer] = &seen.peers[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(
        (peer.id.as_str(), peer.name.as_deref()),
        ("billing-1", Some("Billing"))
    );
    assert_eq!(
        (peer.peer_type.as_str(), peer.wire, peer.sent),
        ("service", 3, 3)
    );
    assert_eq!(peer.uid, Some(rustix::process::getuid().as_raw()));
    assert_eq!(peer.pid, Some(std::process::id() as i32));
    assert!(peer.connected_ms <= seen.uptime_ms);

    let seen = client.snapshot();
    assert_eq!(seen.role, Standing::Connected);
    assert_eq!((seen.sent, seen.received), (3, 3));
    let peer = &seen.peers[0];
    assert_eq!((peer.id.as_str(), peer.sent, peer.received), ("hub", 3, 3));

    let (status, text) = get(&path, "/metrics").await;
    let sent = "messaging_client_sent_messages_total{messaging_system=\"kyneta_uds\"} 3\n";
    assert!(status == 200 && text.contains(sent), "{text}");

    // Messages to a peer that has left still count.
    client.dispose().await;
    let mut events = server.events();
    while server.connection_count() > 0 {
        soon(events.recv()).await.unwrap();
    }
    let seen = ask(&path).await;
    assert_eq!((seen.peers.len(), seen.sent, seen.received), (0, 3, 3));

    assert_eq!(get(&path, "/healthz").await, (200, "ok\n".to_owned()));
    server.dispose().await;
    let (status, reason) = get(&path, "/healthz").await;
    assert_eq!(status, 503);
    assert!(reason.starts_with("disposed"), "{reason}");

    assert!(path.exists());
    endpoint.close().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn queued_messages_are_shown_in_total_and_for_each_connection() {
    let bus = Bus::new();
    let server = Server::builder(&bus.path)
        .identity(service("hub"))
        .listen(service_fn(IGNORE))
        .await
        .unwrap();
    // It does not read after the first message: its handler never ends.
    let stuck = service_fn(async |_: Incoming| {
        std::future::pending::<Result<(), std::convert::Infallible>>().await
    });
    let client = Client::builder(&bus.path)
        .identity(service("stuck"))
        .connect(stuck)
        .await
        .unwrap();
    let mut to = server.connection(&PeerId::new("stuck").unwrap()).unwrap();
    for _ in 0..20 {
        to.queue(offer("d", 100_000)).await.unwrap();
    }
    // Until the socket is full.
    let mut before = usize::MAX;
    let seen = loop {
        let seen = server.snapshot();
        if seen.queued.messages == before {
            break seen;
        }
        before = seen.queued.messages;
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!((1..20).contains(&seen.queued.messages), "{seen:?}");
    assert!(seen.queued.bytes > 100_000 * (seen.queued.messages - 1));
    assert_eq!(seen.peers[0].queued, seen.queued);
    assert!(seen.sent < 20 && seen.sent == seen.peers[0].sent);
    to.handle().abort();
    drop(client);
    server.dispose().await;
}

#[tokio::test]
async fn a_client_without_a_server_is_unhealthy_and_its_messages_wait() {
    let bus = Bus::new();
    let mut client = Client::builder(&bus.path)
        .identity(service("billing-1"))
        .reconnect(ReconnectPolicy::new().base(Duration::from_millis(20)))
        .connect_lazy(service_fn(IGNORE))
        .await
        .unwrap();
    client.queue(dismiss("d")).await.unwrap();
    let path = beside(&bus);
    let _endpoint = Endpoint::bind(&path, client.clone()).await.unwrap();
    // Before or after its first attempt.
    let (status, reason) = get(&path, "/healthz").await;
    assert!(status == 503 && reason.contains("connecting: "), "{reason}");
    let seen = ask(&path).await;
    assert_eq!(
        (seen.queued.messages, seen.sent, seen.peers.len()),
        (1, 0, 0)
    );

    let server = bus.echo("hub").await;
    soon(client.wait_for(|state| state.kind() == StateKind::Connected)).await;
    client.flushed().await.unwrap();
    assert_eq!(get(&path, "/healthz").await.0, 200);
    let seen = ask(&path).await;
    assert_eq!((seen.queued, seen.sent), (Queued::default(), 1));
    client.dispose().await;
    let (status, reason) = get(&path, "/healthz").await;
    assert!(
        status == 503 && reason.starts_with("disconnected"),
        "{reason}"
    );
    server.dispose().await;
}

#[tokio::test]
async fn a_server_whose_path_another_process_has_taken_is_unhealthy_until_it_has_it_back() {
    let bus = Bus::new();
    let path = beside(&bus);
    let server = bus.echo("hub").await;
    let mut events = server.events();
    let endpoint = Endpoint::bind(&path, server.clone()).await.unwrap();
    assert_eq!(get(&path, "/healthz").await, (200, "ok\n".to_owned()));

    std::fs::remove_file(&bus.path).unwrap();
    let other = std::os::unix::net::UnixListener::bind(&bus.path).unwrap();
    let Some(Event::InTheWay { error }) = soon(events.recv()).await else {
        panic!("the path is taken")
    };
    let (status, reason) = get(&path, "/healthz").await;
    let expected = "listener: not to be found for 0.";
    assert!(status == 503 && reason.starts_with(expected), "{reason}");
    assert!(reason.contains(&error.to_string()), "{reason}");
    let seen = ask(&path).await;
    assert_eq!(seen.role, Standing::Listener);
    assert!(seen.waiting.unwrap().why.contains("is in use"));
    assert_eq!(
        server.waiting().unwrap().why().to_string(),
        error.to_string()
    );

    drop(other);
    std::fs::remove_file(&bus.path).unwrap();
    let Some(Event::Regained { .. }) = soon(events.recv()).await else {
        panic!("the path is its own again")
    };
    assert!(server.waiting().is_none() && ask(&path).await.waiting.is_none());
    assert_eq!(get(&path, "/healthz").await, (200, "ok\n".to_owned()));
    endpoint.close().await;
    server.dispose().await;
}

#[tokio::test]
async fn a_path_that_is_moved_aside_and_back_is_healthy_again() {
    let bus = Bus::new();
    let server = bus.echo("hub").await;
    let mut events = server.events();
    let aside = bus.path.with_extension("aside");
    std::fs::rename(&bus.path, &aside).unwrap();
    let other = std::os::unix::net::UnixListener::bind(&bus.path).unwrap();
    let Some(Event::InTheWay { .. }) = soon(events.recv()).await else {
        panic!("the path is taken")
    };
    std::fs::rename(&aside, &bus.path).unwrap();
    drop(other);
    let Some(Event::Regained { .. }) = soon(events.recv()).await else {
        panic!("the path is its own again")
    };
    assert!(server.waiting().is_none());
    server.dispose().await;
}

#[tokio::test]
async fn a_listening_peer_is_unhealthy_while_its_path_has_an_obstacle() {
    let bus = Bus::new();
    let peer = Peer::builder(&bus.path).join(service_fn(IGNORE));
    let peer = soon(peer).await.unwrap();
    let mut events = peer.events();
    let aside = bus.path.with_extension("aside");
    for moved_aside in [false, true, true] {
        match moved_aside {
            true => std::fs::rename(&bus.path, &aside).unwrap(),
            false => std::fs::remove_file(&bus.path).unwrap(),
        }
        std::fs::write(&bus.path, "no socket").unwrap();
        let Some(Event::InTheWay { .. }) = soon(events.recv()).await else {
            panic!("the path is taken")
        };
        let health = peer.snapshot().health().unwrap_err().to_string();
        let expected = "listener: not to be found for 0.";
        assert!(health.starts_with(expected), "{health}");
        assert!(health.contains("is not a socket"), "{health}");
        match moved_aside {
            true => std::fs::rename(&aside, &bus.path).unwrap(),
            false => std::fs::remove_file(&bus.path).unwrap(),
        }
        let well = async {
            while peer.waiting().is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon(well).await;
        assert!(peer.snapshot().health().is_ok());
    }
    peer.dispose().await;
}

#[tokio::test]
async fn a_server_that_has_ended_waits_for_nothing() {
    let bus = Bus::new();
    let server = bus.echo("hub").await;
    let mut events = server.events();
    std::fs::remove_file(&bus.path).unwrap();
    let _other = std::os::unix::net::UnixListener::bind(&bus.path).unwrap();
    let Some(Event::InTheWay { .. }) = soon(events.recv()).await else {
        panic!("the path is taken")
    };
    assert!(server.waiting().is_some());
    server.dispose().await;
    assert!(server.waiting().is_none());
    let health = server.snapshot().health().unwrap_err().to_string();
    assert_eq!(health, "disposed: neither listening nor connected");
}

#[tokio::test]
async fn what_goes_out_is_counted_across_connections() {
    let bus = Bus::new();
    let first = bus.echo("hub").await;
    let (handler, mut inbox) = collect(8);
    let mut client = Client::builder(&bus.path)
        .reconnect(ReconnectPolicy::new().base(Duration::from_millis(1)))
        .connect(handler)
        .await
        .unwrap();
    let mut server = first;
    for expected in [(1, 1), (2, 1)] {
        soon(client.wait_for(|state| state.kind() == StateKind::Connected)).await;
        client
            .ready()
            .await
            .unwrap()
            .call(dismiss("d"))
            .await
            .unwrap();
        soon(inbox.recv()).await.unwrap();
        let seen = client.snapshot();
        assert_eq!((seen.sent, seen.peers[0].sent), expected);
        server.dispose().await;
        soon(client.wait_for(|state| state.kind() != StateKind::Connected)).await;
        server = bus.echo("hub").await;
    }
    client.dispose().await;
    server.dispose().await;
}

#[tokio::test]
async fn a_peer_says_its_role_and_counts_a_message_for_all_once_for_each() {
    let bus = Bus::new();
    let join = async |id: &str| {
        let builder = Peer::builder(&bus.path).identity(service(id));
        builder.join(service_fn(IGNORE)).await.unwrap()
    };
    let mut hub = join("hub").await;
    let (a, b) = (join("a").await, join("b").await);
    while hub.connection_count() < 2 {
        tokio::task::yield_now().await;
    }
    hub.ready().await.unwrap().call(dismiss("d")).await.unwrap();
    let seen = hub.snapshot();
    assert_eq!((seen.role, seen.sent), (Standing::Listener, 2));
    let ids: Vec<_> = seen.peers.iter().map(|peer| peer.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(a.snapshot().role, Standing::Connector);

    hub.dispose().await;
    assert_eq!(hub.snapshot().role, Standing::Disposed);
    soon(async {
        tokio::select! {
            _ = a.wait_for(|role| role == Role::Listener) => {}
            _ = b.wait_for(|role| role == Role::Listener) => {}
        }
    })
    .await;
    let roles = [a.snapshot().role, b.snapshot().role];
    assert!(roles.contains(&Standing::Listener), "{roles:?}");
    a.dispose().await;
    b.dispose().await;
}

#[tokio::test]
async fn unknown_and_invalid_requests_are_answered_and_do_no_harm() {
    let bus = Bus::new();
    let server = bus.echo("hub").await;
    let path = beside(&bus);
    let endpoint = Endpoint::bind(&path, server.clone()).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let large = format!(
        "GET /status HTTP/1.1\r\nx: {}\r\n\r\n",
        "x".repeat(64 << 10)
    );
    let many = format!("GET /status HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(1000));
    for (request, start) in [
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "),
        (
            "GET http://localhost/status HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 ",
        ),
        ("GET /status?x=1 HTTP/1.0\r\n\r\n", "HTTP/1.0 200 "),
        ("HEAD /status HTTP/1.1\r\n\r\n", "HTTP/1.1 200 "),
        ("DELETE /status HTTP/1.1\r\n\r\n", "HTTP/1.1 405 "),
        // It does not wait for a body that never comes.
        (
            "POST /status HTTP/1.1\r\ncontent-length: 9999999\r\n\r\n",
            "HTTP/1.1 405 ",
        ),
        (
            "POST /status HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzzz",
            "HTTP/1.1 405 ",
        ),
        (&large, "HTTP/1.1 431 "),
        (&many, "HTTP/1.1 431 "),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""),
        ("\u{0}\u{1}\u{2}garbage\r\n\r\n", "HTTP/1.1 400 "),
        ("\r\n\r\n\r\n\r\n", ""),
    ] {
        let answer = say_and_shut(&path, request.as_bytes()).await;
        let shown: String = request.chars().take(60).collect();
        assert!(answer.starts_with(start), "{shown:?}: {answer:?}");
        assert!(answer.matches("HTTP/1.").count() <= 1, "{answer:?}");
    }
    let twice = "GET /healthz HTTP/1.1\r\n\r\n".repeat(2);
    let answers = say_and_shut(&path, twice.as_bytes()).await;
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 2, "{answers:?}");
    let head = say(&path, b"HEAD /status HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    assert!(head.ends_with("\r\n\r\n"), "{head:?}");
    assert_eq!(get(&path, "/healthz").await.0, 200);
    endpoint.close().await;
    server.dispose().await;
}

/// As a script does that shuts its sending direction.
async fn say_and_shut(path: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let _ = stream.write_all(request).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test(start_paused = true)]
async fn silent_and_slow_connections_are_not_waited_for_and_16_at_once_are_answered() {
    let bus = Bus::new();
    let path = beside(&bus);
    let nothing = || Snapshot::new(Standing::Listener, "x");
    let _endpoint = Endpoint::bind(&path, nothing).await.unwrap();
    let start = Instant::now();
    let mut silent = Vec::new();
    for i in 0..16 {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        if i % 2 == 0 {
            stream
                .write_all(b"GET /status HTTP/1.1\r\nx: ")
                .await
                .unwrap();
        }
        silent.push(stream);
    }
    // The connection over the limit is closed at once.
    let mut unheard = UnixStream::connect(&path).await.unwrap();
    assert_eq!(unheard.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(start.elapsed(), Duration::ZERO);
    for mut stream in silent {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
    }
    let waited = start.elapsed();
    assert!((2..=3).contains(&waited.as_secs()), "{waited:?}");
    assert_eq!(get(&path, "/healthz").await.0, 200);
}

/// As `status --watch` or a scraper does.
#[tokio::test(start_paused = true)]
async fn repeated_requests_are_answered_on_one_connection_for_10_s() {
    let bus = Bus::new();
    let path = beside(&bus);
    let nothing = || Snapshot::new(Standing::Listener, "x");
    let _endpoint = Endpoint::bind(&path, nothing).await.unwrap();
    let start = Instant::now();
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let mut answers = 0;
    loop {
        // The end may come during a request.
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await;
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).await.unwrap_or(0);
        if length == 0 {
            break;
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 ") && answer[..length].ends_with(b"ok\n"));
        answers += 1;
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    assert_eq!((answers, start.elapsed().as_millis()), (7, 10_500));
}

#[tokio::test]
async fn dropping_the_endpoint_removes_its_socket_and_a_removed_one_is_restored() {
    let bus = Bus::new();
    let path = beside(&bus);
    let nothing = || Snapshot::new(Standing::Listener, "x");
    let endpoint = Endpoint::bind(&path, nothing).await.unwrap();
    let second = Endpoint::bind(&path, nothing).await.unwrap_err();
    assert!(second.to_string().contains("in use"), "{second}");
    std::fs::remove_file(&path).unwrap();
    soon(async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(get(&path, "/healthz").await.0, 200);
    drop(endpoint);
    soon(async {
        while path.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[test]
fn a_snapshot_goes_to_the_installed_recorder() {
    use metrics::{
        Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder,
        SharedString, Unit,
    };
    use std::{
        collections::BTreeMap,
        sync::{Arc, Mutex},
    };

    type Known = Arc<Mutex<BTreeMap<String, f64>>>;
    #[derive(Default)]
    struct Notes(Known);
    struct Note(Known, String);
    impl Note {
        fn is(&self, value: f64) {
            self.0.lock().unwrap().insert(self.1.clone(), value);
        }
    }
    impl CounterFn for Note {
        fn increment(&self, _: u64) {
            panic!("{} is not set to where it stands", self.1);
        }
        fn absolute(&self, value: u64) {
            self.is(value as f64);
        }
    }
    impl GaugeFn for Note {
        fn increment(&self, _: f64) {
            panic!("{} is not set to where it stands", self.1);
        }
        fn decrement(&self, _: f64) {
            panic!("{} is not set to where it stands", self.1);
        }
        fn set(&self, value: f64) {
            self.is(value);
        }
    }
    impl Recorder for Notes {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(Arc::new(Note(self.0.clone(), key.to_string())))
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(Arc::new(Note(self.0.clone(), key.to_string())))
        }
        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            panic!("{key} is none");
        }
    }

    let mut snapshot = Snapshot::new(Standing::Listener, "x");
    snapshot.sent = 3;
    snapshot.counts.stalled = 2;
    let notes = Notes::default();
    metrics::with_local_recorder(&notes, || snapshot.record());
    let known = notes.0.lock().unwrap();
    for (name, value) in [
        (
            "Key(messaging.client.sent.messages, [messaging.system = kyneta_uds])",
            3.0,
        ),
        (
            "Key(messaging.client.connection.count, [messaging.system = kyneta_uds])",
            0.0,
        ),
        ("Key(kyneta_uds.role, [role = listener])", 1.0),
        ("Key(kyneta_uds.stalled)", 2.0),
        ("Key(kyneta_uds.healthy)", 1.0),
    ] {
        assert_eq!(known.get(name), Some(&value), "{name} in {known:?}");
    }
}

//! Access to a server, a client and a peer: the access policy, the limits of connections, and what a connected
//! process may do. Each violation is an event with its reason, a count, and the end of that connection only.

#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

mod support;

use std::{path::Path, time::Duration};

use kyneta_uds::{
    AccessPolicy, BoxError, Client, ClientBuilder, ClientError, DisconnectReason, Event, Events,
    Features, HandshakeError, HandshakeLayer, JoinError, ListenerOptions, Peer, PeerChange,
    QueueConfig, ReconnectPolicy, RejectReason, Role, Server, ServerBuilder, State, TooManyErrors,
};
use rustix::process::geteuid;
use support::{Bus, collect, dismiss, raw::frame, said, service, soon};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

fn no_process() -> AccessPolicy {
    AccessPolicy::uids([])
}

async fn serve(builder: ServerBuilder) -> (Server, Events) {
    let events = builder.events();
    let (handler, _) = collect(1);
    (builder.listen(handler).await.unwrap(), events)
}

fn client(path: &Path, id: &str) -> ClientBuilder {
    Client::builder(path)
        .identity(service(id))
        .reconnect(ReconnectPolicy::off())
}

async fn connect(builder: ClientBuilder) -> Result<Client, ClientError> {
    soon(builder.connect(collect(1).0)).await
}

/// `{t: 1, id: "raw", y: "bot"}`
const ESTABLISH: &[u8] = b"\xa3\x61t\x01\x62id\x63raw\x61y\x63bot";

/// `{t: 99}`: well-formed, and no message.
const NO_MESSAGE: &[u8] = b"\xa1\x61t\x18\x63";

/// True when the other side has closed it.
async fn is_ended(mut stream: UnixStream) -> bool {
    soon(stream.read_to_end(&mut Vec::new())).await.is_ok()
}

async fn next_end(events: &mut Events) -> DisconnectReason {
    loop {
        if let Some(Event::Peer {
            change: PeerChange::Disconnected(reason),
            ..
        }) = soon(events.recv()).await
        {
            return reason;
        }
    }
}

#[tokio::test]
async fn a_process_that_is_not_allowed_is_rejected_before_any_message() {
    let bus = Bus::new();
    let options = ListenerOptions::new().allow(no_process());
    let (server, mut events) = serve(Server::builder(&bus.path).listener(options)).await;
    let stranger = UnixStream::connect(&bus.path).await.unwrap();
    assert!(is_ended(stranger).await);
    let Some(Event::ConnectionRejected { reason: refusal }) = soon(events.recv()).await else {
        panic!("turned away")
    };
    assert!(matches!(refusal, RejectReason::NotAllowed { .. }));
    let credentials = refusal.credentials().unwrap();
    assert_eq!(credentials.uid, geteuid().as_raw());
    assert_eq!(credentials.pid, Some(std::process::id() as i32));
    assert_eq!(server.counts().not_allowed, 1);
    server.dispose().await;
}

#[tokio::test]
async fn a_connection_above_the_limit_is_rejected_until_another_closes() {
    let bus = Bus::new();
    let options = ListenerOptions::new().max_connections(2);
    let (server, mut events) = serve(Server::builder(&bus.path).listener(options)).await;
    let a = connect(client(&bus.path, "a")).await.unwrap();
    // A connection without a handshake counts as well.
    let silent = UnixStream::connect(&bus.path).await.unwrap();
    let late = connect(client(&bus.path, "late")).await.unwrap_err();
    assert!(said(&late).contains("closed"), "{late}");
    let refusal = loop {
        if let Event::ConnectionRejected { reason: refusal } = soon(events.recv()).await.unwrap() {
            break refusal;
        }
    };
    assert!(matches!(refusal, RejectReason::TooMany { limit: 2, .. }));
    assert_eq!(server.counts().too_many, 1);
    drop(silent);
    let b = soon(async {
        loop {
            if let Ok(b) = connect(client(&bus.path, "b")).await {
                break b;
            }
        }
    })
    .await;
    a.dispose().await;
    b.dispose().await;
    server.dispose().await;
}

#[tokio::test]
async fn the_connections_of_one_user_are_limited() {
    let bus = Bus::new();
    let options = ListenerOptions::new().max_connections_per_uid(1);
    let (server, _events) = serve(Server::builder(&bus.path).listener(options)).await;
    let _a = connect(client(&bus.path, "a")).await.unwrap();
    connect(client(&bus.path, "b")).await.unwrap_err();
    assert_eq!(server.counts().too_many_of_uid, 1);
}

#[tokio::test]
async fn one_user_that_connects_too_often_is_rejected() {
    let bus = Bus::new();
    let options = ListenerOptions::new().max_accepts_per_uid(0);
    let (server, _events) = serve(Server::builder(&bus.path).listener(options)).await;
    connect(client(&bus.path, "a")).await.unwrap_err();
    assert_eq!(server.counts().too_fast, 1);
}

#[tokio::test]
async fn a_connection_stops_counting_however_it_ends() {
    let bus = Bus::new();
    let options = ListenerOptions::new().max_connections(1);
    let join = |id| {
        let builder = Peer::builder(&bus.path)
            .identity(service(id))
            .listener(options.clone());
        soon(builder.join(collect(1).0))
    };
    let listener = join("a").await.unwrap();
    assert_eq!(listener.role(), Role::Listener);
    for _ in 0..3 {
        let orderly = soon(join("b")).await.unwrap();
        assert_eq!(listener.connection_count(), 1);
        orderly.dispose().await;
        let mut rude = soon(async {
            loop {
                let mut stream = UnixStream::connect(&bus.path).await.unwrap();
                // Rejected while the previous connection is closing.
                if stream.write_all(&frame(3, 1, ESTABLISH)).await.is_ok()
                    && stream.read_u8().await.is_ok()
                {
                    break stream;
                }
            }
        })
        .await;
        rude.write_all(b"\xff").await.unwrap();
        assert!(is_ended(rude).await);
    }
    listener.dispose().await;
}

#[tokio::test]
async fn a_peer_that_is_not_admitted_gets_no_answer() {
    let bus = Bus::new();
    let establish =
        HandshakeLayer::new(service("s")).admit(|peer| peer.identity().peer_id.as_str() != "bad");
    let (server, mut events) = serve(Server::builder(&bus.path).handshake(establish)).await;
    connect(client(&bus.path, "bad")).await.unwrap_err();
    let Some(Event::NotEstablished { error }) = soon(events.recv()).await else {
        panic!("not established")
    };
    let why = said(&error);
    let uid = format!("the peer \"bad\" of uid {} (", geteuid().as_raw());
    assert!(why.starts_with(&uid), "{why}");
    assert_eq!(server.counts().not_admitted, 1);
    let good = connect(client(&bus.path, "good")).await.unwrap();
    assert_eq!(server.counts().established, 1);
    good.dispose().await;
}

#[tokio::test]
async fn an_identity_set_after_the_other_settings_keeps_them() {
    let bus = Bus::new();
    let layer = |id: &str| {
        HandshakeLayer::new(service(id))
            .admit(|peer| peer.identity().peer_id.as_str() != "bad")
            .features(Features::default())
    };
    let builder = Server::builder(&bus.path).handshake(layer("template"));
    let (server, _) = serve(builder.identity(service("s"))).await;
    connect(client(&bus.path, "bad")).await.unwrap_err();
    assert_eq!(server.counts().not_admitted, 1);

    let builder = Client::builder(&bus.path).handshake(layer("template"));
    let good = connect(builder.identity(service("good"))).await.unwrap();
    assert_eq!(good.peer().unwrap().identity().peer_id.as_str(), "s");
    assert_eq!(
        good.peer().unwrap().establish().features,
        Some(Features::default())
    );
    let connection = server.connection(&service("good").peer_id).unwrap();
    assert_eq!(
        connection.peer().establish().features,
        Some(Features::default())
    );
    server.dispose().await;
    good.dispose().await;

    let path = bus.path.with_extension("peers");
    let builder = Peer::builder(&path).handshake(layer("template"));
    let handler = collect(1).0;
    let peer = soon(builder.identity(service("p")).join(handler))
        .await
        .unwrap();
    connect(client(&path, "bad")).await.unwrap_err();
    assert_eq!(peer.counts().not_admitted, 1);
    peer.dispose().await;
}

#[tokio::test]
async fn a_client_checks_the_listener() {
    let bus = Bus::new();
    let server = bus.echo("s").await;
    // Final, although its policy would retry.
    let not_allowed = Client::builder(&bus.path).allow_listener(no_process());
    let error = soon(not_allowed.connect(collect(1).0)).await.unwrap_err();
    assert!(
        said(&error).contains("listens there, which is not allowed"),
        "{error}"
    );
    let layer = HandshakeLayer::new(service("c")).admit(|_| false);
    let not_admitted = Client::builder(&bus.path).handshake(layer);
    let error = soon(not_admitted.connect(collect(1).0)).await.unwrap_err();
    assert!(said(&error).contains("is not admitted"), "{error}");
    assert!(
        connect(client(&bus.path, "c").allow_listener(AccessPolicy::same_uid()))
            .await
            .is_ok()
    );
    server.dispose().await;
}

#[tokio::test]
async fn a_client_reconnects_to_its_server_although_a_stranger_listened_meanwhile() {
    let bus = Bus::new();
    let server = bus.echo("s").await;
    let is_s =
        HandshakeLayer::new(service("c")).admit(|peer| peer.identity().peer_id.as_str() == "s");
    let quickly = ReconnectPolicy::new()
        .base(Duration::from_millis(20))
        .max(Duration::from_millis(20))
        .max_attempts(1000);
    let (handler, mut inbox) = collect(1);
    let builder = Client::builder(&bus.path)
        .handshake(is_s)
        .reconnect(quickly);
    let mut client = soon(builder.connect(handler)).await.unwrap();
    // The connection counts as useful: a message has arrived.
    client.queue(dismiss("d")).await.unwrap();
    soon(inbox.recv()).await.unwrap();
    server.dispose().await;

    let builder = Server::builder(&bus.path).identity(service("stranger"));
    let mut seen = builder.events();
    let (stranger, _) = serve(builder).await;
    // A process has connected to the other user's listener, and has disconnected.
    next_end(&mut seen).await;
    stranger.dispose().await;
    let server = bus.echo("s").await;
    soon(client.wait_for(|state| matches!(state, State::Connected))).await;
    client.dispose().await;
    server.dispose().await;
}

#[tokio::test]
async fn the_id_of_a_stranger_is_quoted_in_errors() {
    let bus = Bus::new();
    let layer = HandshakeLayer::new(service("s")).admit(|_| false);
    let (_server, mut events) = serve(Server::builder(&bus.path).handshake(layer)).await;
    connect(client(&bus.path, "x\nERROR forged"))
        .await
        .unwrap_err();
    let Some(Event::NotEstablished { error }) = soon(events.recv()).await else {
        panic!("not established")
    };
    assert!(!said(&error).contains('\n'), "{error}");
}

#[tokio::test]
async fn a_peer_checks_the_listener() {
    let bus = Bus::new();
    let server = bus.echo("s").await;
    let options = ListenerOptions::new().allow(no_process());
    let by_its_own_policy = Peer::builder(&bus.path).listener(options.clone());
    let error = soon(by_its_own_policy.join(collect(1).0))
        .await
        .unwrap_err();
    assert!(matches!(error, JoinError::InTheWay { .. }), "{error}");
    let separate = Peer::builder(&bus.path)
        .listener(options)
        .allow_listener(AccessPolicy::anyone());
    let peer = soon(separate.join(collect(1).0)).await.unwrap();
    assert_eq!(peer.role(), Role::Connector);
    let layer = HandshakeLayer::new(service("c")).admit(|_| false);
    let not_admitted = Peer::builder(&bus.path).handshake(layer);
    let error = soon(not_admitted.join(collect(1).0)).await.unwrap_err();
    assert!(said(&error).contains("is not admitted"), "{error}");
    peer.dispose().await;
    server.dispose().await;
}

#[tokio::test]
async fn a_connection_that_sends_but_does_not_complete_the_handshake_is_closed() {
    let bus = Bus::new();
    let establish = HandshakeLayer::new(service("s")).max_early_messages(10);
    let (server, mut events) = serve(Server::builder(&bus.path).handshake(establish)).await;
    let mut stranger = UnixStream::connect(&bus.path).await.unwrap();
    let strays: Vec<u8> = (1..=11).flat_map(|seq| frame(3, seq, NO_MESSAGE)).collect();
    stranger.write_all(&strays).await.unwrap();
    let Some(Event::NotEstablished { error }) = soon(events.recv()).await else {
        panic!("not established")
    };
    let error = error.get_ref().downcast_ref::<HandshakeError>();
    assert!(
        matches!(
            error,
            Some(HandshakeError::TooManyEarlyMessages { limit: 10 })
        ),
        "{error:?}"
    );
    assert!(is_ended(stranger).await);
    assert_eq!(server.counts().not_introduced, 1);
    // Ten of them are ignored.
    let mut slow = UnixStream::connect(&bus.path).await.unwrap();
    let mut words: Vec<u8> = (1..=10).flat_map(|seq| frame(3, seq, NO_MESSAGE)).collect();
    words.extend(frame(3, 11, ESTABLISH));
    slow.write_all(&words).await.unwrap();
    assert_eq!(soon(slow.read_u8()).await.unwrap(), 3, "it is answered");
}

#[tokio::test]
async fn the_errors_of_a_peer_are_limited() {
    let bus = Bus::new();
    let queue = QueueConfig::default().max_errors_per_minute(5);
    let (server, mut events) = serve(Server::builder(&bus.path).queue(queue)).await;
    let mut peer = UnixStream::connect(&bus.path).await.unwrap();
    let mut words = frame(3, 1, ESTABLISH);
    words.extend((2..=7).flat_map(|seq| frame(3, seq, NO_MESSAGE)));
    peer.write_all(&words).await.unwrap();
    let DisconnectReason::Error(error) = next_end(&mut events).await else {
        panic!("an error")
    };
    let error = error.get_ref().downcast_ref::<TooManyErrors>();
    assert_eq!(error, Some(&TooManyErrors { limit: 5 }));
    let counts = server.counts();
    assert_eq!((counts.too_many_errors, counts.messages_rejected), (1, 6));
}

#[tokio::test]
async fn a_peer_that_never_reads_is_disconnected_by_the_write_stall() {
    let bus = Bus::new();
    let queue = QueueConfig::default().write_stall(Duration::from_millis(200));
    let (server, mut events) = serve(Server::builder(&bus.path).queue(queue)).await;
    let mut peer = UnixStream::connect(&bus.path).await.unwrap();
    peer.write_all(&frame(3, 1, ESTABLISH)).await.unwrap();
    while server.connection_count() == 0 {
        soon(events.recv()).await;
    }
    let mut connection = server.connections().remove(0);
    let big = support::offer("d", 1 << 20);
    connection.queue(big).await.unwrap();
    let reason = next_end(&mut events).await;
    assert!(said(&reason).contains("does not read"), "{reason}");
    assert_eq!(server.counts().stalled, 1);
    // A connection with nothing to read is not affected.
    let quiet = connect(client(&bus.path, "quiet")).await.unwrap();
    server.broadcast(dismiss("d")).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(quiet.is_connected());
}

#[tokio::test]
async fn log_lines_and_events_are_bounded() -> Result<(), BoxError> {
    let bus = Bus::new();
    let builder = Server::builder(&bus.path).log_lines(1);
    let (server, _events) = serve(builder).await;
    for id in ["a", "b", "c"] {
        connect(client(&bus.path, id)).await?.dispose().await;
    }
    while server.connection_count() > 0 {
        tokio::task::yield_now().await;
    }
    // Three have connected and disconnected: two lines each, of which one was written.
    let left_out = soon(async {
        loop {
            match server.counts().log_lines_left_out {
                5 => break 5,
                _ => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    assert_eq!(left_out, 5);
    Ok(())
}

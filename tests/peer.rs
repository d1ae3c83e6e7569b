//! Many on one path, none of them special: roles, messages, and what survives a change.

#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

mod support;

use std::{convert::Infallible, time::Duration};

use support::{Bus, collect, dismiss, said, service, soon};
use kyneta_uds::{
    ChannelMsg, Client, Event, Events, Incoming, JoinError, Listener, Overflow, Peer, PeerChange,
    PeerId, QueueConfig, ReconnectPolicy, Role, RoleWait, Server, WaitReason, Waiting,
};
use tokio::{sync::mpsc::Receiver, time::timeout};
use tower::{Service as _, ServiceExt as _, service_fn};

async fn join(bus: &Bus, name: &str) -> (Peer, Receiver<Incoming>) {
    let (handler, inbox) = collect(64);
    let joining = Peer::builder(&bus.path)
        .identity(service(name))
        .join(handler);
    (soon(joining).await.unwrap(), inbox)
}

async fn say(peer: &mut Peer, what: &str) {
    let saying = async { peer.ready().await.unwrap().call(dismiss(what)).await };
    soon(saying).await.unwrap();
}

async fn hear(inbox: &mut Receiver<Incoming>, from: &str, what: &str) {
    let heard = soon(inbox.recv()).await.unwrap();
    assert_eq!(heard.peer().identity().peer_id.as_str(), from);
    assert_eq!(heard.message, dismiss(what));
}

/// Names of what has happened to peers and roles, as far as `until`.
async fn told(events: &mut Events, until: &str) -> Vec<String> {
    let mut told = Vec::new();
    while told.last().is_none_or(|last| last != until) {
        let event = match soon(events.recv()).await.unwrap() {
            Event::Role(role) => role.to_string(),
            Event::Peer { peer, change } => {
                let change = match change {
                    PeerChange::Established => "established",
                    PeerChange::Reconnected => "reconnected",
                    PeerChange::Disconnected(_) => "disconnected",
                    PeerChange::Departed => "departed",
                    _ => continue,
                };
                format!("{} {change}", peer.identity().peer_id)
            }
            Event::DuplicatePeer { peer } => format!("{} twice", peer.identity().peer_id),
            Event::SelfConnection { .. } => "self".to_owned(),
            _ => continue,
        };
        told.push(event);
    }
    told
}

#[tokio::test]
async fn the_first_listens_the_others_connect_and_all_are_heard() {
    let bus = Bus::new();
    let (mut a, mut inbox_a) = join(&bus, "a").await;
    let (mut b, mut inbox_b) = join(&bus, "b").await;
    let (c, mut inbox_c) = join(&bus, "c").await;
    let roles = [a.role(), b.role(), c.role()];
    assert_eq!(roles, [Role::Listener, Role::Connector, Role::Connector]);

    say(&mut b, "to the listener").await;
    hear(&mut inbox_a, "b", "to the listener").await;
    assert_eq!(a.connection_count(), 2);
    say(&mut a, "to all").await;
    hear(&mut inbox_b, "a", "to all").await;
    hear(&mut inbox_c, "a", "to all").await;

    // To one of them, and back by the way it came.
    let to_c = a.connection(&PeerId::new("c").unwrap()).unwrap();
    to_c.clone().queue(dismiss("to c")).await.unwrap();
    let heard = inbox_c.recv().await.unwrap();
    heard.from().queue(dismiss("back")).await.unwrap();
    hear(&mut inbox_a, "c", "back").await;
    assert!(inbox_b.try_recv().is_err());
}

#[tokio::test]
async fn when_the_listener_leaves_the_next_takes_over_with_the_same_handles() {
    let bus = Bus::new();
    let (a, _inbox_a) = join(&bus, "a").await;
    let (handler, mut inbox_b) = collect(64);
    let builder = Peer::builder(&bus.path).identity(service("b"));
    let mut events = builder.events();
    let mut b = builder.join(handler).await.unwrap();
    let begun = told(&mut events, "a established").await;
    assert_eq!(begun, ["negotiating", "connector", "a established"]);

    soon(a.dispose()).await;
    assert_eq!(a.role(), Role::Disposed);
    soon(b.wait_for(|role| role == Role::Listener)).await;
    let taken = told(&mut events, "listener").await;
    assert_eq!(taken, ["a departed", "negotiating", "listener"]);

    // Nobody is here, but somebody was a moment ago: it waits for the next.
    let mut waits = b.clone();
    let saying = tokio::spawn(async move { say(&mut waits, "first words").await });
    let (mut c, mut inbox_c) = join(&bus, "c").await;
    hear(&mut inbox_c, "b", "first words").await;
    soon(saying).await.unwrap();
    say(&mut c, "and back").await;
    hear(&mut inbox_b, "c", "and back").await;

    soon(b.dispose()).await;
    soon(c.wait_for(|role| role == Role::Listener)).await;
    soon(c.dispose()).await;
    assert!(b.ready().await.is_err());
    let left: Vec<_> = std::fs::read_dir(bus.path.parent().unwrap())
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn one_who_is_alone_and_always_was_speaks_to_nobody() {
    let bus = Bus::new();
    let (mut a, _inbox) = join(&bus, "a").await;
    assert!(!soon(a.wait_for_peers()).await);
    say(&mut a, "hello?").await;
}

#[tokio::test]
async fn one_whom_all_have_left_holds_on_for_the_regroup_time_and_no_longer() {
    let bus = Bus::new();
    let (handler, _inbox) = collect(8);
    let regroup = Duration::from_millis(50);
    let joining = Peer::builder(&bus.path).regroup(regroup).join(handler);
    let mut a = joining.await.unwrap();
    let (b, _inbox_b) = join(&bus, "b").await;
    assert!(soon(a.wait_for_peers()).await);
    soon(b.dispose()).await;
    say(&mut a, "to nobody, in the end").await;
    assert!(!soon(a.wait_for_peers()).await);
}

#[tokio::test]
async fn the_last_handle_dropped_is_the_end() {
    let bus = Bus::new();
    let (a, _inbox) = join(&bus, "a").await;
    let (b, _inbox) = join(&bus, "b").await;
    drop(a);
    soon(b.wait_for(|role| role == Role::Listener)).await;
    drop(b.clone());
    assert_eq!(b.role(), Role::Listener);
    drop(b);
    soon(async {
        while bus.path.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_does_not_heal_by_itself_is_said_and_nothing_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    let sub = dir.path().join("sub");
    std::fs::create_dir(&sub).unwrap();
    let missing = dir.path().join("missing").join("bus.sock");
    let table = [
        (&file, "is not a socket"),
        (&sub, "is not a socket"),
        (&missing, "does not exist"),
    ];
    for (path, text) in table {
        let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
        let error = soon(Peer::builder(path).join(ignore)).await.unwrap_err();
        assert!(matches!(error, JoinError::InTheWay { .. }), "{error:?}");
        let why = said(&error);
        assert!(
            why.contains(text) && why.contains(path.to_str().unwrap()),
            "{why}"
        );
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    let long = "x".repeat(300);
    let error = Peer::builder(long.as_str()).join(ignore).await.unwrap_err();
    assert!(matches!(error, JoinError::Path(_)), "{error:?}");
}

#[tokio::test]
async fn a_listener_that_does_not_read_is_given_up_after_the_stall_limit_and_not_replaced() {
    let bus = Bus::new();
    // Introduces itself and then reads nothing: its handler never ends.
    let deaf =
        service_fn(async |_: Incoming| std::future::pending::<Result<(), Infallible>>().await);
    let brief = QueueConfig::default().drain_timeout(Duration::ZERO);
    let listening = Server::builder(&bus.path).queue(brief).listen(deaf);
    let server = listening.await.unwrap();
    let (handler, _inbox) = collect(8);
    let after = Duration::from_millis(100);
    let config = QueueConfig::default()
        .max_bytes(64 << 10)
        .overflow(Overflow::Disconnect { after });
    let builder = Peer::builder(&bus.path).queue(config);
    let mut events = builder.events();
    let peer = builder.join(handler).await.unwrap();
    let mut flood = peer.clone();
    let flooding = tokio::spawn(async move {
        let large = "x".repeat(500);
        for _ in 0..100_000 {
            flood.queue(dismiss(&large)).await.unwrap();
        }
    });
    let reason = loop {
        if let Event::Peer {
            change: PeerChange::Disconnected(reason),
            ..
        } = soon(events.recv()).await.unwrap()
        {
            break reason;
        }
    };
    assert!(said(&reason).contains("does not read"), "{reason}");
    // Connected again, to the same one.
    soon(peer.wait_for(|role| role == Role::Connector)).await;
    assert!(server.connection_count() > 0);
    flooding.abort();
    server.dispose().await;
}

#[tokio::test]
async fn who_is_away_for_a_while_comes_back_and_who_stays_away_departs() {
    let bus = Bus::new();
    let (handler, _inbox) = collect(8);
    let builder = Server::builder(&bus.path).departure_timeout(Duration::from_millis(200));
    let mut events = builder.events();
    let server = builder.listen(handler).await.unwrap();
    let client = || async {
        let (handler, inbox) = collect(8);
        let client = Client::builder(&bus.path)
            .identity(service("c"))
            .connect(handler)
            .await
            .unwrap();
        (client, inbox)
    };
    let first = client().await;
    let second = client().await;
    assert_eq!(
        told(&mut events, "c twice").await,
        ["c established", "c twice"]
    );
    drop(first);
    drop(second);
    assert_eq!(
        told(&mut events, "c disconnected").await,
        ["c disconnected"]
    );
    let third = client().await;
    assert_eq!(told(&mut events, "c reconnected").await, ["c reconnected"]);
    drop(third);
    let gone = told(&mut events, "c departed").await;
    assert_eq!(gone, ["c disconnected", "c departed"]);
    server.dispose().await;
}

#[tokio::test]
async fn a_server_whose_file_is_removed_or_replaced_is_found_again_when_it_can_be() {
    let bus = Bus::new();
    let (handler, mut inbox) = collect(8);
    let builder = Server::builder(&bus.path);
    let mut events = builder.events();
    let server = builder.listen(handler).await.unwrap();
    let (mut first, _inbox) = join(&bus, "first").await;

    std::fs::remove_file(&bus.path).unwrap();
    let (mut second, _inbox) = join(&bus, "second").await;
    assert_eq!(second.role(), Role::Connector);
    for (peer, name) in [(&mut first, "first"), (&mut second, "second")] {
        say(peer, name).await;
        hear(&mut inbox, name, name).await;
    }

    std::fs::remove_file(&bus.path).unwrap();
    std::fs::write(&bus.path, "mine").unwrap();
    let error = loop {
        if let Event::InTheWay { error } = soon(events.recv()).await.unwrap() {
            break said(&error);
        }
    };
    assert!(error.contains("not a socket"), "{error}");
    say(&mut first, "still here").await;
    hear(&mut inbox, "first", "still here").await;
    std::fs::remove_file(&bus.path).unwrap();
    let (third, _inbox) = join(&bus, "third").await;
    assert_eq!(third.role(), Role::Connector);
    server.dispose().await;
}

#[tokio::test]
async fn ones_own_id_at_the_other_end_is_noticed() {
    let bus = Bus::new();
    let (_a, _inbox) = join(&bus, "a").await;
    let (handler, _inbox) = collect(8);
    let builder = Peer::builder(&bus.path).identity(service("a"));
    let mut events = builder.events();
    let _again = builder.join(handler).await.unwrap();
    told(&mut events, "self").await;
}

#[tokio::test]
async fn a_client_comes_back_and_what_waited_goes_out_in_order() {
    let bus = Bus::new();
    let (handler, mut inbox) = collect(64);
    let server = Server::builder(&bus.path).listen(handler).await.unwrap();
    let (ours, _inbox) = collect(8);
    let policy = ReconnectPolicy::new().base(Duration::from_millis(5));
    let mut client = Client::builder(&bus.path)
        .reconnect(policy)
        .connect(ours)
        .await
        .unwrap();
    let connection = client.connection().unwrap();
    server.dispose().await;
    soon(client.wait_for(|state| state.kind() != kyneta_uds::StateKind::Connected)).await;
    assert!(!client.is_connected() && client.connection().is_none());
    assert!(!connection.is_connected());
    assert_eq!(soon(connection.closed()).await.kind(), "closed");
    for n in 0..10 {
        client.queue(dismiss(&n.to_string())).await.unwrap();
    }
    assert!(inbox.try_recv().is_err());
    let (handler, mut inbox) = collect(64);
    let server = Server::builder(&bus.path).listen(handler).await.unwrap();
    soon(client.flushed()).await.unwrap();
    for n in 0..10 {
        let heard = soon(inbox.recv()).await.unwrap();
        assert_eq!(heard.message, dismiss(&n.to_string()));
    }
    client.dispose().await;
    server.dispose().await;
}

#[tokio::test]
async fn a_listener_that_is_there_and_silent_is_never_replaced() {
    let bus = Bus::new();
    // Bound, and never accepting.
    let silent = Listener::bind(&bus.path).await.unwrap();
    let (handler, _inbox) = collect(8);
    let joining = Peer::builder(&bus.path).join(handler);
    assert!(timeout(Duration::from_millis(1200), joining).await.is_err());
    drop(silent);
    let (peer, _inbox) = join(&bus, "b").await;
    assert_eq!(peer.role(), Role::Listener);
}

#[tokio::test]
async fn a_handler_that_is_never_ready_fails_the_join_at_once() {
    #[derive(Clone)]
    struct Broken;
    impl tower::Service<Incoming> for Broken {
        type Response = ();
        type Error = kyneta_uds::BoxError;
        type Future = std::future::Ready<Result<(), kyneta_uds::BoxError>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), kyneta_uds::BoxError>> {
            std::task::Poll::Ready(Err("its inbox is closed".into()))
        }

        fn call(&mut self, _: Incoming) -> Self::Future {
            std::future::ready(Ok(()))
        }
    }
    let bus = Bus::new();
    let alone = soon(Peer::builder(&bus.path).join(Broken)).await;
    let error = alone.unwrap_err();
    assert!(matches!(error, JoinError::Ended { .. }), "{error}");
    assert!(
        said(&error).contains("its inbox is closed"),
        "{}",
        said(&error)
    );

    let (_first, _inbox) = join(&bus, "first").await;
    let second = soon(Peer::builder(&bus.path).join(Broken)).await;
    assert!(matches!(second, Err(JoinError::Ended { .. })), "{second:?}");
}

#[tokio::test(start_paused = true)]
async fn a_join_beside_a_listener_that_does_not_answer_ends_in_time_and_says_why() {
    let bus = Bus::new();
    let silent = std::os::unix::net::UnixListener::bind(&bus.path).unwrap();
    let (handler, _inbox) = collect(1);
    let builder = Peer::builder(&bus.path);
    let mut events = builder.events();
    let started = tokio::time::Instant::now();
    let error = builder.join(handler).await.unwrap_err();
    assert_eq!(started.elapsed().as_secs(), 30);
    let JoinError::TimedOut { why: Some(why), .. } = &error else {
        panic!("{error:?}")
    };
    let for_role = |waiting: &Waiting| {
        let why = waiting.why().get_ref().downcast_ref();
        why.cloned().unwrap()
    };
    let RoleWait { why, .. } = for_role(why);
    assert_eq!(why, WaitReason::ListenerSilent);
    assert!(
        error.to_string().contains("does not introduce itself"),
        "{error}"
    );
    let mut told = Vec::new();
    while let Some(event) = events.try_recv() {
        if let Event::Waiting(waiting) = event {
            told.push(for_role(&waiting).waited.as_secs());
        }
    }
    assert_eq!(told, [1, 2, 4, 8, 16]);
    drop(silent);
}

#[test]
fn a_peer_whose_runtime_is_dropped_is_disposed_of_and_says_so() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let bus = Bus::new();
    let first = runtime();
    let (handler, _inbox) = collect(1);
    let peer = first
        .block_on(Peer::builder(&bus.path).join(handler))
        .unwrap();
    drop(first);
    assert_eq!(peer.role(), Role::Disposed);
    runtime().block_on(async {
        soon(peer.wait_for(|role| role == Role::Connector)).await;
        assert!(!soon(peer.wait_for_peers()).await);
        soon(peer.closed()).await;
    });
}

#[tokio::test]
async fn a_panic_of_the_handler_costs_one_message_and_neither_the_role_nor_a_member() {
    let bus = Bus::new();
    let fragile = |seen: tokio::sync::mpsc::Sender<ChannelMsg>| {
        service_fn(move |incoming: Incoming| {
            let seen = seen.clone();
            async move {
                assert_ne!(incoming.message, dismiss("boom"), "as it was asked to");
                seen.send(incoming.message).await
            }
        })
    };
    let (a_seen, mut a_inbox) = tokio::sync::mpsc::channel(8);
    let (b_seen, mut b_inbox) = tokio::sync::mpsc::channel(8);
    let mut a = Peer::builder(&bus.path)
        .join(fragile(a_seen))
        .await
        .unwrap();
    let mut b = Peer::builder(&bus.path)
        .join(fragile(b_seen))
        .await
        .unwrap();
    for _ in 0..2 {
        for doc in ["boom", "after"] {
            soon(a.queue(dismiss(doc))).await.unwrap();
            soon(b.queue(dismiss(doc))).await.unwrap();
        }
        assert_eq!(soon(a_inbox.recv()).await, Some(dismiss("after")));
        assert_eq!(soon(b_inbox.recv()).await, Some(dismiss("after")));
    }
    assert_eq!((a.role(), b.role()), (Role::Listener, Role::Connector));
    assert!(!a.connections().is_empty() && !b.connections().is_empty());
}

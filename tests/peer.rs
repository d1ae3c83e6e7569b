//! Peers on one path: which one listens, messages, and what survives a change of the listener.
//!
//! A failure shows the events so far, or the message that came instead.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

mod support;

use std::{convert::Infallible, sync::Arc, time::Duration};

use kyneta_uds::{
    Event, Incoming, JoinError, Listener, Peer, PeerChange, PeerId, QueueConfig, Role, RoleWait,
    Server, WaitReason, Waiting,
};
use support::{Bus, changes, collect, dismiss, said, service, soon};
use tokio::{
    sync::{Notify, mpsc::Receiver},
    time::{Instant, timeout},
};
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

async fn receive(inbox: &mut Receiver<Incoming>, from: &str, what: &str) {
    let received = soon(inbox.recv()).await.unwrap();
    assert_eq!(received.peer().identity().peer_id.as_str(), from);
    assert_eq!(received.message, dismiss(what));
}

#[tokio::test]
async fn the_first_listens_the_others_connect_and_all_messages_arrive() {
    let bus = Bus::new();
    let (mut a, mut inbox_a) = join(&bus, "a").await;
    let (mut b, mut inbox_b) = join(&bus, "b").await;
    let (c, mut inbox_c) = join(&bus, "c").await;
    let roles = [a.role(), b.role(), c.role()];
    assert_eq!(roles, [Role::Listener, Role::Connector, Role::Connector]);

    say(&mut b, "to the listener").await;
    receive(&mut inbox_a, "b", "to the listener").await;
    assert_eq!(a.connection_count(), 2);
    say(&mut a, "to all").await;
    receive(&mut inbox_b, "a", "to all").await;
    receive(&mut inbox_c, "a", "to all").await;

    // To one of them, and back on the same connection.
    let to_c = a.connection(&PeerId::new("c").unwrap()).unwrap();
    to_c.clone().queue(dismiss("to c")).await.unwrap();
    let received = inbox_c.recv().await.unwrap();
    received.from().queue(dismiss("back")).await.unwrap();
    receive(&mut inbox_a, "c", "back").await;
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
    let begun = changes(&mut events, "a established").await;
    assert_eq!(begun, ["negotiating", "connector", "a established"]);

    soon(a.dispose()).await;
    assert_eq!(a.role(), Role::Disposed);
    soon(b.wait_for(|role| role == Role::Listener)).await;
    let taken = changes(&mut events, "listener").await;
    assert_eq!(taken, ["a departed", "negotiating", "listener"]);

    // No peer is connected, but one was within the regroup time: the message waits for the next.
    let mut waits = b.clone();
    let saying = tokio::spawn(async move { say(&mut waits, "first words").await });
    let (mut c, mut inbox_c) = join(&bus, "c").await;
    receive(&mut inbox_c, "b", "first words").await;
    soon(saying).await.unwrap();
    say(&mut c, "and back").await;
    receive(&mut inbox_b, "c", "and back").await;

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
async fn a_listener_that_was_always_alone_does_not_wait_for_peers() {
    let bus = Bus::new();
    let (mut a, _inbox) = join(&bus, "a").await;
    assert!(!soon(a.wait_for_peers()).await);
    say(&mut a, "hello?").await;
    assert_eq!(a.counts().unheard, 1);
}

#[tokio::test]
async fn a_listener_without_peers_keeps_messages_for_the_regroup_time_and_no_longer() {
    let bus = Bus::new();
    let (handler, _inbox) = collect(8);
    let regroup = Duration::from_millis(50);
    let joining = Peer::builder(&bus.path).regroup(regroup).join(handler);
    let mut a = joining.await.unwrap();
    let (b, _inbox_b) = join(&bus, "b").await;
    assert!(soon(a.wait_for_peers()).await);
    soon(b.dispose()).await;
    say(&mut a, "to no peer, in the end").await;
    assert_eq!(a.counts().unheard, 1);
    assert!(!soon(a.wait_for_peers()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_is_sent_to_all_once_a_peer_is_seen_reaches_it() {
    for round in 0..100 {
        let bus = Bus::new();
        let (mut a, _inbox_a) = join(&bus, "a").await;
        let seen = a.clone();
        let seen = tokio::task::spawn_blocking(move || {
            // Not by an event: that would give the listener the time that it is not to need.
            while seen.connection_count() == 0 {
                std::hint::spin_loop();
            }
        });
        let said = tokio::spawn(async move {
            seen.await.unwrap();
            say(&mut a, "welcome").await;
            a
        });
        let (_b, mut inbox_b) = join(&bus, "b").await;
        let received = timeout(Duration::from_secs(5), inbox_b.recv()).await;
        assert!(received.is_ok(), "not in round {round}");
        drop(said.await.unwrap());
    }
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_peer() {
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
async fn an_obstacle_at_the_path_fails_the_join_and_is_not_touched() {
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
        receive(&mut inbox, name, name).await;
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
    receive(&mut inbox, "first", "still here").await;
    std::fs::remove_file(&bus.path).unwrap();
    let (third, _inbox) = join(&bus, "third").await;
    assert_eq!(third.role(), Role::Connector);
    server.dispose().await;
}

#[tokio::test]
async fn a_peer_with_our_own_id_is_reported() {
    let bus = Bus::new();
    let (_a, _inbox) = join(&bus, "a").await;
    let (handler, _inbox) = collect(8);
    let builder = Peer::builder(&bus.path).identity(service("a"));
    let mut events = builder.events();
    let _again = builder.join(handler).await.unwrap();
    changes(&mut events, "self").await;
}

#[tokio::test]
async fn a_silent_listener_is_never_replaced() {
    let bus = Bus::new();
    // It is bound, and never accepts.
    let silent = Listener::bind(&bus.path).await.unwrap();
    let (handler, _inbox) = collect(8);
    let joining = Peer::builder(&bus.path).join(handler);
    assert!(timeout(Duration::from_millis(1200), joining).await.is_err());
    drop(silent);
    let (peer, _inbox) = join(&bus, "b").await;
    assert_eq!(peer.role(), Role::Listener);
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
    let mut reported = Vec::new();
    while let Some(event) = events.try_recv() {
        if let Event::Waiting(waiting) = event {
            reported.push(for_role(&waiting).waited.as_secs());
        }
    }
    assert_eq!(reported, [1, 2, 4, 8, 16]);
    drop(silent);
}

#[tokio::test]
async fn a_busy_handler_does_not_keep_others_from_joining() {
    let bus = Bus::new();
    let (handler, _inbox) = collect(64);
    let a = Peer::builder(&bus.path).identity(service("a"));
    let mut a = soon(a.join(handler.clone())).await.unwrap();

    let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let at_work = {
        let (began, go_on) = (began.clone(), go_on.clone());
        service_fn(move |_: Incoming| {
            let (began, go_on) = (began.clone(), go_on.clone());
            async move {
                began.notify_one();
                go_on.notified().await;
                Ok::<(), Infallible>(())
            }
        })
    };
    let b = Peer::builder(&bus.path).identity(service("b"));
    let mut b = soon(b.join(at_work)).await.unwrap();
    soon(a.queue(dismiss("work"))).await.unwrap();
    soon(began.notified()).await;
    a.connections().iter().for_each(|to| to.handle().abort());
    soon(a.dispose()).await;

    // A write finds out that the listener is gone.
    while b.role() != Role::Listener {
        let _ = soon(async { b.ready().await.unwrap().call(dismiss("hello")).await }).await;
    }
    let c = Peer::builder(&bus.path).identity(service("c"));
    let c = soon(c.join(handler)).await.unwrap();
    assert_eq!(c.role(), Role::Connector);
    go_on.notify_one();
}

#[tokio::test]
async fn a_message_for_all_waits_while_the_only_connection_is_closing() {
    let bus = Bus::new();
    let (handler, mut inbox) = collect(64);
    let a = Peer::builder(&bus.path)
        .identity(service("a"))
        .queue(QueueConfig::default().drain_timeout(Duration::from_secs(2)));
    let mut a = soon(a.join(handler.clone())).await.unwrap();
    let b = Peer::builder(&bus.path).identity(service("b"));
    let b = soon(b.join(handler.clone())).await.unwrap();
    soon(a.wait_for_peers()).await;
    // The connection is closing, and takes no further message.
    a.connections()
        .iter()
        .for_each(|to_b| to_b.handle().close());
    soon(a.queue(dismiss("to the next one"))).await.unwrap();
    let c = Peer::builder(&bus.path).identity(service("c"));
    let c = soon(c.join(handler)).await.unwrap();
    let received = soon(inbox.recv()).await.unwrap();
    assert_eq!(received.message, dismiss("to the next one"));
    drop((b, c));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_peer_waits_between_attempts() {
    let bus = Bus::new();
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    let server = Server::builder(&bus.path).identity(service("server"));
    let mut comings = server.events();
    let server = soon(server.listen(ignore)).await.unwrap();
    tokio::spawn(async move {
        while let Some(event) = comings.recv().await {
            if let Event::Peer { peer, change } = event
                && let PeerChange::Established | PeerChange::Reconnected = change
                && let Some(there) = server.connection(&peer.identity().peer_id)
            {
                there.handle().abort();
            }
        }
    });

    let peer = Peer::builder(&bus.path).identity(service("peer"));
    let mut events = peer.events();
    let joining = tokio::spawn(peer.join(ignore));
    let (start, mut times) = (Instant::now(), 0);
    while times < 12 {
        let event = soon(events.recv()).await;
        times += i32::from(matches!(event, Some(Event::Role(Role::Connector))));
    }
    // Each wait is at least as long as the one before. Without waits this takes a few milliseconds.
    let took = start.elapsed();
    assert!(
        took > Duration::from_millis(60),
        "{times} times in {took:?}"
    );
    joining.abort();
}

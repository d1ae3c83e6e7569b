//! What goes on while a handler is at work, a member does not read, or nobody is left.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers stand beside the tests.

mod support;

use std::{convert::Infallible, sync::Arc, time::Duration};

use support::{Bus, collect, dismiss, said, service, soon};
use kyneta_uds::{
    Client, ClientError, ConnectError, DisconnectReason, Event, Incoming, Peer, PeerChange,
    QueueConfig, ReconnectPolicy, Role, Server, State,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};
use tower::{Service as _, ServiceExt as _, service_fn};

#[tokio::test]
async fn events_end_with_the_peer_and_with_the_client() {
    let bus = Bus::new();
    let (handler, _inbox) = collect(64);
    let peer = Peer::builder(&bus.path).identity(service("a"));
    let peer = soon(peer.join(handler.clone())).await.unwrap();
    let client = Client::builder(&bus.path).identity(service("b"));
    let client = soon(client.connect(handler)).await.unwrap();

    let mut events = client.events();
    soon(client.dispose()).await;
    drop(client);
    while soon(events.recv()).await.is_some() {}

    let mut events = peer.events();
    soon(peer.dispose()).await;
    drop(peer);
    while soon(events.recv()).await.is_some() {}
}

#[tokio::test]
async fn a_handler_at_work_keeps_nobody_from_joining() {
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

    // Writing finds out that nobody is there any more.
    while b.role() != Role::Listener {
        let _ = soon(async { b.ready().await.unwrap().call(dismiss("anybody?")).await }).await;
    }
    let c = Peer::builder(&bus.path).identity(service("c"));
    let c = soon(c.join(handler)).await.unwrap();
    assert_eq!(c.role(), Role::Connector);
    go_on.notify_one();
}

#[tokio::test]
async fn who_waits_for_the_kernel_is_told_though_others_never_pause() {
    let bus = Bus::new();
    let (handler, mut inbox) = collect(64);
    let a = Peer::builder(&bus.path).identity(service("a"));
    let mut a = soon(a.join(handler.clone())).await.unwrap();
    let b = Peer::builder(&bus.path).identity(service("b"));
    let _b = soon(b.join(handler)).await.unwrap();
    soon(a.wait_for_peers()).await;
    let reading = tokio::spawn(async move { while inbox.recv().await.is_some() {} });
    let mut never_pauses = a.clone();
    let pumping =
        tokio::spawn(async move { while never_pauses.queue(dismiss("again")).await.is_ok() {} });
    for _ in 0..20 {
        let told = async { a.ready().await.unwrap().call(dismiss("once")).await };
        timeout(Duration::from_secs(5), told)
            .await
            .unwrap()
            .unwrap();
    }
    pumping.abort();
    reading.abort();
}

#[tokio::test]
async fn what_is_for_all_waits_while_the_only_one_is_about_to_go() {
    let bus = Bus::new();
    let (handler, mut inbox) = collect(64);
    let a = Peer::builder(&bus.path)
        .identity(service("a"))
        .queue(QueueConfig::default().drain_timeout(Duration::from_secs(2)));
    let mut a = soon(a.join(handler.clone())).await.unwrap();
    let b = Peer::builder(&bus.path).identity(service("b"));
    let b = soon(b.join(handler.clone())).await.unwrap();
    soon(a.wait_for_peers()).await;
    // It is let go of, and nothing may be added to what waits for it.
    a.connections()
        .iter()
        .for_each(|to_b| to_b.handle().close());
    soon(a.queue(dismiss("to whoever is next"))).await.unwrap();
    let c = Peer::builder(&bus.path).identity(service("c"));
    let c = soon(c.join(handler)).await.unwrap();
    let heard = soon(inbox.recv()).await.unwrap();
    assert_eq!(heard.message, dismiss("to whoever is next"));
    drop((b, c));
}

#[tokio::test]
async fn last_words_are_from_whom_they_are() {
    let bus = Bus::new();
    let (handler, mut heard_by_c) = collect(64);
    let a = Peer::builder(&bus.path).identity(service("a"));
    let mut a = soon(a.join(handler.clone())).await.unwrap();

    // One at work, the next one waits to be read.
    let (handler_of_b, mut heard_by_b) = collect(1);
    let b = Peer::builder(&bus.path).identity(service("b"));
    let mut b = soon(b.join(handler_of_b)).await.unwrap();
    for said in ["1", "2", "3", "4"] {
        soon(a.ready().await.unwrap().call(dismiss(said)))
            .await
            .unwrap();
    }
    let c = Peer::builder(&bus.path).identity(service("c"));
    let c = soon(c.join(handler)).await.unwrap();
    a.connections().iter().for_each(|to| to.handle().abort());
    soon(a.dispose()).await;
    soon(c.wait_for(|role| role == Role::Listener)).await;

    // Writing finds out, and goes on with the next listener.
    while heard_by_c.try_recv().is_err() {
        let _ = soon(async { b.ready().await.unwrap().call(dismiss("hello")).await }).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for said in ["1", "2", "3", "4"] {
        let heard = soon(heard_by_b.recv()).await.unwrap();
        assert_eq!(heard.message, dismiss(said));
        assert_eq!(heard.peer().identity().peer_id.as_str(), "a");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_turned_away_does_not_come_again_without_end() {
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
    // Each wait is at least half of twice the one before; without any they take a few milliseconds.
    let took = start.elapsed();
    assert!(
        took > Duration::from_millis(60),
        "{times} times in {took:?}"
    );
    joining.abort();
}

#[tokio::test]
async fn what_is_in_a_clients_way_for_a_moment_is_told_of_and_tried_again() {
    let bus = Bus::new();
    std::fs::write(&bus.path, "no socket").unwrap();
    let policy = ReconnectPolicy::new()
        .base(Duration::from_millis(10))
        .max(Duration::from_millis(10))
        .max_attempts(1000);
    let (handler, _inbox) = collect(1);
    let builder = Client::builder(&bus.path).reconnect(policy);
    let mut events = builder.events();
    let client = builder.connect_lazy(handler).await.unwrap();
    let error = loop {
        if let Event::InTheWay { error } = soon(events.recv()).await.unwrap() {
            break error;
        }
    };
    assert!(error.to_string().contains("not a socket"), "{error}");
    soon(client.wait_for(|state| matches!(state, State::Reconnecting { attempt: 4.., .. }))).await;
    while let Some(event) = events.try_recv() {
        assert!(
            !matches!(event, Event::InTheWay { .. }),
            "told once in a row"
        );
    }
    std::fs::remove_file(&bus.path).unwrap();
    let server = bus.echo("s").await;
    soon(client.wait_for(|state| matches!(state, State::Connected))).await;
    assert!(client.is_connected());
    server.dispose().await;
}

#[tokio::test]
async fn what_stays_in_a_clients_way_ends_it_when_its_policy_says_so() {
    let bus = Bus::new();
    std::fs::write(&bus.path, "no socket").unwrap();
    let policy = ReconnectPolicy::new()
        .base(Duration::from_millis(1))
        .max_attempts(3);
    let (handler, _inbox) = collect(1);
    let client = Client::builder(&bus.path).reconnect(policy);
    let error = soon(client.connect(handler)).await.unwrap_err();
    let ClientError::NotConnected { reason, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(matches!(
        reason,
        DisconnectReason::MaxRetriesExceeded { attempts: 3 }
    ));
    assert!(matches!(
        error.connect_error(),
        Some(ConnectError::NotASocket { .. })
    ));
    let said = said(&error);
    assert!(
        said.contains("gave up after 3 attempts: ") && said.contains("not a socket"),
        "{said}"
    );
}

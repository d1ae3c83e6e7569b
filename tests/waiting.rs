//! A role that cannot do its work says why and since when: by a method, as an event, in the status.
//!
//! A failure shows the reason that was given instead, or that there was none.

#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

mod support;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    time::Duration,
};

use kyneta_uds::{
    BusIncoming, Client, Event, Events, Incoming, ReconnectPolicy, StateKind, Waiting,
    bus::BusEvent,
};
use support::{Bus, said, soon};
use tokio::{io::AsyncWriteExt as _, net::UnixListener};
use tower::service_fn;

const IGNORE: fn(Incoming) -> Ready<Result<(), Infallible>> = |_| ready(Ok(()));

async fn waiting(events: &mut Events) -> Waiting {
    loop {
        if let Event::Waiting(waiting) = events.recv().await.unwrap() {
            return waiting;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_listener_says_why_from_a_second_on_with_pauses_that_grow() {
    let bus = Bus::new();
    let every_100_ms = ReconnectPolicy::new()
        .base(Duration::from_millis(100))
        .max(Duration::from_millis(100))
        .max_attempts(u32::MAX);
    let builder = Client::builder(&bus.path).reconnect(every_100_ms);
    let mut events = builder.events();
    let client = builder.connect_lazy(service_fn(IGNORE)).await.unwrap();
    for seconds in [1, 2, 4, 8] {
        let waiting = waiting(&mut events).await;
        assert_eq!(waiting.elapsed().as_secs(), seconds);
        assert!(said(waiting.why()).contains("No such file"), "{waiting:?}");
    }
    let now = client.waiting().unwrap();
    assert_eq!(now.elapsed().as_secs(), 8);
    client.dispose().await;
    drop(client);
    // Nothing more is reported.
    while let Some(event) = events.recv().await {
        assert!(!matches!(event, Event::Waiting(_)), "{event:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_connected_waits_for_nothing_and_one_that_lost_its_server_does() {
    let bus = Bus::new();
    let server = bus.echo("hub").await;
    let client = Client::builder(&bus.path).connect(service_fn(IGNORE));
    let client = soon(client).await.unwrap();
    soon(client.wait_for(|state| state.kind() == StateKind::Connected)).await;
    assert!(client.waiting().is_none());
    server.dispose().await;
    soon(client.wait_for(|state| state.kind() == StateKind::Reconnecting)).await;
    let waiting = client.waiting().unwrap();
    assert!(waiting.elapsed() < Duration::from_secs(5), "{waiting:?}");
    assert_eq!(said(waiting.why()), "closed by the peer");
    client.dispose().await;
}

#[cfg(feature = "status")]
#[tokio::test(start_paused = true)]
async fn what_a_client_waits_for_is_in_its_status_and_its_health() {
    use kyneta_uds::status::Inspect as _;

    let bus = Bus::new();
    let client = Client::builder(&bus.path).connect_lazy(service_fn(IGNORE));
    let client = client.await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let snapshot = client.snapshot();
    let waiting = snapshot.waiting.as_ref().unwrap();
    assert!(waiting.why.contains("No such file"), "{snapshot:?}");
    assert_eq!(waiting.for_ms / 100, 30);
    let health = snapshot.health().unwrap_err().to_string();
    assert!(
        health.contains("waiting for 3.0 s: ") && health.contains(": no process listens"),
        "{health}"
    );
}

/// A listener with messages of its own admits a connection, and does not know the greeting of a bus.
#[tokio::test]
async fn a_member_of_a_bus_that_the_listener_does_not_welcome_says_so_with_pauses_that_grow() {
    let bus = Bus::new();
    let listener = UnixListener::bind(&bus.path).unwrap();
    let ignore = service_fn(async |_: BusIncoming<String>| Ok::<_, Infallible>(()));
    let member = kyneta_uds::Bus::<String>::builder(&bus.path).join_lazy(ignore);
    let member = member.unwrap();
    let mut events = member.events();
    let (mut connection, _) = soon(listener.accept()).await.unwrap();
    let admission = [3, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    connection.write_all(&admission).await.unwrap();
    for seconds in [1, 2] {
        let waiting = loop {
            if let BusEvent::Waiting(waiting) = soon(events.recv()).await.unwrap() {
                break waiting;
            }
        };
        assert_eq!(waiting.elapsed().as_secs(), seconds);
        let why = said(waiting.why());
        assert!(why.contains("does not welcome this member"), "{why}");
    }
}

//! A client whose server goes away, or whose path has an obstacle.
//!
//! A failure shows the state that the client was in instead.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // Helpers stand beside the tests.

mod support;

use std::time::Duration;

use kyneta_uds::{
    Client, ClientError, ConnectError, DisconnectReason, Event, ReconnectPolicy, Server, State,
};
use support::{Bus, collect, dismiss, said, soon};

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
        let received = soon(inbox.recv()).await.unwrap();
        assert_eq!(received.message, dismiss(&n.to_string()));
    }
    client.dispose().await;
    server.dispose().await;
}

#[tokio::test]
async fn an_obstacle_at_a_clients_path_is_reported_once_and_tried_again() {
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
            "reported once in a row"
        );
    }
    std::fs::remove_file(&bus.path).unwrap();
    let server = bus.echo("s").await;
    soon(client.wait_for(|state| matches!(state, State::Connected))).await;
    assert!(client.is_connected());
    server.dispose().await;
}

#[tokio::test]
async fn an_obstacle_that_stays_ends_a_client_when_its_policy_gives_up() {
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

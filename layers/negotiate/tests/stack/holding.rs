//! A listener that another process may take over from.
//!
//! A failure says which of the two it did: accept or send while it was held, or lose what waited.

use std::time::Duration;

use kyneta_uds_negotiate::Role;
use tokio::time::{sleep, timeout};
use tower::{Service as _, ServiceExt as _};

use crate::support::{Place, is, join, joined, soon};

const HANDSHAKES: Duration = Duration::from_millis(500);

#[tokio::test]
async fn while_it_is_held_nothing_is_accepted_or_sent_and_then_everything() {
    let place = Place::new();
    let mut listener = joined(&place).await;
    let mut member = joined(&place).await;
    let held = soon(listener.roles.hold(HANDSHAKES)).await.unwrap();
    let again = soon(listener.roles.hold(HANDSHAKES)).await.unwrap_err();
    assert!(again.to_string().contains("handed over already"), "{again}");
    soon(held.pause()).await;
    let sent = listener.handle.ready().await.unwrap().call(7);
    let late = join(&place, |layer| layer).await;
    // Only time shows that nothing happens.
    sleep(Duration::from_millis(100)).await;
    assert_eq!(late.roles.role(), Role::Negotiating);
    assert!(member.inbox.try_recv().is_err());
    drop(held);
    soon(sent).await.unwrap();
    assert_eq!(soon(member.inbox.recv()).await, Some(7));
    is(&late, Role::Connector).await;
    assert_eq!(listener.roles.role(), Role::Listener);
}

#[tokio::test]
async fn one_that_ends_while_it_is_held_leaves_the_path_alone() {
    let place = Place::new();
    let listener = joined(&place).await;
    let held = soon(listener.roles.hold(HANDSHAKES)).await.unwrap();
    held.leave();
    listener.handle.abort();
    is(&listener, Role::Disposed).await;
    assert!(place.file().exists());
    // The descriptors are closed: the file is stale.
    let next = joined(&place).await;
    assert_eq!(next.roles.role(), Role::Listener);
}

#[tokio::test]
async fn one_that_is_closed_meanwhile_ends_when_it_is_released() {
    let place = Place::new();
    let listener = joined(&place).await;
    let member = joined(&place).await;
    let held = soon(listener.roles.hold(HANDSHAKES)).await.unwrap();
    listener.roles.leave();
    listener.handle.close();
    let closed = timeout(Duration::from_millis(100), listener.handle.closed());
    assert!(closed.await.is_err(), "it waits");
    assert!(place.file().exists());
    drop(held);
    soon(listener.handle.closed()).await;
    is(&member, Role::Listener).await;
}

#[tokio::test]
async fn a_hold_that_is_not_waited_for_is_none() {
    let place = Place::new();
    let listener = joined(&place).await;
    let error = {
        let connector = joined(&place).await;
        soon(connector.roles.hold(HANDSHAKES)).await.unwrap_err()
    };
    assert!(error.to_string().contains("does not listen"), "{error}");
    // A connection that does not introduce itself is no handshake here: without one, the answer comes with the next poll.
    let dropped = timeout(Duration::ZERO, listener.roles.hold(HANDSHAKES)).await;
    drop(dropped);
    let member = joined(&place).await;
    assert_eq!(member.roles.role(), Role::Connector);
    drop(soon(listener.roles.hold(HANDSHAKES)).await.unwrap());
}

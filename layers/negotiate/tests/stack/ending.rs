//! A `RoleWatch` reports the end, however it comes.

use std::{convert::Infallible, task::Poll};

use kyneta_uds_core::{BoxError, Channel};
use kyneta_uds_negotiate::{AcceptHandler, Entrance, NegotiateLayer, Role};
use kyneta_uds_unix::ConnectionPermit;
use tower::{ServiceExt as _, service_fn};

use crate::support::{Place, join, joined, soon};

#[tokio::test]
async fn a_wait_for_a_role_ends_when_there_will_be_none() {
    let place = Place::new();
    let peer = join(&place, |layer| layer).await;
    let roles = peer.roles.clone();
    let waiting = tokio::spawn({
        let roles = roles.clone();
        async move { roles.wait_for(|role| role == Role::Connector).await }
    });
    drop(peer);
    assert_eq!(soon(waiting).await.unwrap(), Role::Disposed);
    assert_eq!(soon(roles.settled()).await.unwrap(), Role::Disposed);
    assert_eq!(roles.role(), Role::Disposed);
}

#[test]
fn a_runtime_that_is_dropped_is_the_end_of_its_roles() {
    let place = Place::new();
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let first = runtime();
    let (a, b) = first.block_on(async { (joined(&place).await, joined(&place).await) });
    assert_eq!(
        (a.roles.role(), b.roles.role()),
        (Role::Listener, Role::Connector)
    );
    drop(first);
    assert_eq!(
        (a.roles.role(), b.roles.role()),
        (Role::Disposed, Role::Disposed)
    );
    assert!(!place.file().exists(), "and the path is given up");
    runtime().block_on(async {
        soon(a.roles.wait_for(|role| role == Role::Listener)).await;
        soon(b.handle.closed()).await;
    });
}

#[tokio::test]
async fn a_driver_that_ends_by_a_panic_is_the_end_of_the_role() {
    let place = Place::new();
    let ignore = service_fn(async |_: u32| Ok::<(), Infallible>(()));
    let negotiate = NegotiateLayer::new(ignore);
    let roles = negotiate.role_watch();
    let stack = tower::ServiceBuilder::new()
        .layer(negotiate)
        .layer(kyneta_uds_cbor::CborLayer::typed::<u32>())
        .layer(kyneta_uds_framing::FramingLayer::new())
        .service(kyneta_uds_unix::UnixConnector::new());
    let Ok(mut channel) = stack.oneshot(place.path.clone()).await;
    let driving = tokio::spawn(std::future::poll_fn(move |cx| {
        let _ = kyneta_uds_core::Channel::poll_flush(&mut channel, cx);
        if channel.role() == Role::Listener {
            panic!("of a handler");
        }
        Poll::<()>::Pending
    }));
    soon(driving).await.unwrap_err();
    assert_eq!(soon(roles.settled()).await.unwrap(), Role::Disposed);
}

/// Panics whenever a role is reported to it.
#[derive(Clone)]
struct Panicking;

impl<C, E> AcceptHandler<C, E, u32> for Panicking
where
    C: Channel<u32, In = u32, Future: Send> + Send + 'static,
    E: Into<BoxError>,
{
    async fn accept(self, _: C, _: ConnectionPermit, _: Entrance<u32>) {}

    fn accept_failed(&self, _: E) {}

    fn role_changed(&self, role: Role) {
        panic!("as the test wants it: {role}");
    }
}

#[tokio::test]
async fn a_panic_at_each_report_of_a_role_costs_neither_the_role_nor_the_process() {
    let place = Place::new();
    let negotiate = NegotiateLayer::with_accept_handler(Panicking);
    let roles = negotiate.role_watch();
    let stack = tower::ServiceBuilder::new()
        .layer(negotiate)
        .layer(kyneta_uds_cbor::CborLayer::typed::<u32>())
        .layer(kyneta_uds_framing::FramingLayer::new())
        .service(kyneta_uds_unix::UnixConnector::new());
    let path = place.path.clone();
    let driving = tokio::spawn(async move {
        let Ok(mut channel) = stack.oneshot(path).await;
        std::future::poll_fn(move |cx| {
            let _ = channel.poll_flush(cx);
            Poll::<()>::Pending
        })
        .await;
    });
    soon(roles.wait_for(|role| role == Role::Listener)).await;
    driving.abort();
    assert!(soon(driving).await.unwrap_err().is_cancelled());
    assert_eq!(roles.role(), Role::Disposed);
}

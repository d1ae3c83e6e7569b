//! A connection gets what is sent to all from the moment that its accept handler has entered it.
//!
//! Not from the handler's end on: by then other code may know of the connection, and send.

use std::{convert::Infallible, future::pending, sync::Arc};

use kyneta_uds_cbor::CborLayer;
use kyneta_uds_core::{BoxError, Channel};
use kyneta_uds_framing::FramingLayer;
use kyneta_uds_negotiate::{AcceptHandler, Entrance, NegotiateLayer, PerPeer};
use kyneta_uds_queue::{QueueConfig, QueueLayer};
use kyneta_uds_unix::{ConnectionPermit, UnixConnector};
use tokio::sync::Notify;
use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};

use crate::support::{Place, joined, soon};

/// Enters each connection, tells of it, and does not end.
#[derive(Clone)]
struct Entering(Arc<Notify>);

impl<C, E> AcceptHandler<C, E, u32> for Entering
where
    C: Channel<u32, In = u32, Future: Send> + Send + 'static,
    E: Into<BoxError>,
{
    async fn accept(self, channel: C, permit: ConnectionPermit, entrance: Entrance<u32>) {
        let ignore = service_fn(async |_: u32| Ok::<(), Infallible>(()));
        let per_peer = PerPeer::new(ignore, QueueConfig::default());
        AcceptHandler::<C, BoxError, u32>::accept(per_peer, channel, permit, entrance).await;
        self.0.notify_one();
        pending::<()>().await;
    }

    fn accept_failed(&self, _: E) {}
}

#[tokio::test]
async fn what_is_sent_once_a_connection_is_entered_reaches_it() {
    let place = Place::new();
    let entered = Arc::new(Notify::new());
    let negotiate = NegotiateLayer::with_accept_handler(Entering(entered.clone()));
    let roles = negotiate.role_watch();
    let stack = ServiceBuilder::new()
        .layer(QueueLayer::new(service_fn(async |_: u32| {
            Ok::<(), Infallible>(())
        })))
        .layer(negotiate)
        .layer(CborLayer::typed::<u32>())
        .layer(FramingLayer::new())
        .service(UnixConnector::new());
    let mut listener = stack.oneshot(place.path.clone()).await.unwrap();
    soon(roles.settled()).await.unwrap();

    let mut member = joined(&place).await;
    soon(entered.notified()).await;
    let ready = listener.ready().await.unwrap();
    soon(ready.call(7)).await.unwrap();
    assert_eq!(soon(member.inbox.recv()).await, Some(7));
}

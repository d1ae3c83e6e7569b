//! Typed peers on a path of their own.
//!
//! In: a path, a handler. Out: peers, their roles and what they have heard. May touch: a directory of the test.

use std::{
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use kyneta_uds_cbor::CborLayer;
use kyneta_uds_core::{BoxError, Channel, SocketPath};
use kyneta_uds_framing::FramingLayer;
use kyneta_uds_negotiate::{
    AcceptHandler, Entrance, NegotiateLayer, PerPeer, Role, RoleWait, RoleWatch, WaitReason,
};
use kyneta_uds_queue::{Handle, QueueConfig, QueueLayer};
use kyneta_uds_unix::{ConnectionPermit, UnixConnector};
use tokio::sync::mpsc;
use tower::{ServiceBuilder, ServiceExt as _, service_fn, util::BoxCloneService};

/// A directory with a path in it.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) path: SocketPath,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = SocketPath::new(dir.path().join("bus.sock")).unwrap();
        Self { dir, path }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("bus.sock")
    }
}

type Handler = BoxCloneService<u32, (), Infallible>;

pub(crate) type Layer = NegotiateLayer<Noting, u32>;

/// A peer of numbers: its handle, its role, what comes in, what it has reported.
pub(crate) struct Peer {
    pub(crate) handle: Handle<u32>,
    pub(crate) roles: RoleWatch,
    pub(crate) inbox: mpsc::UnboundedReceiver<u32>,
    pub(crate) reports: Reports,
}

/// A peer whose layer is set up by `with`.
pub(crate) async fn join(place: &Place, with: impl FnOnce(Layer) -> Layer) -> Peer {
    join_over(place, FramingLayer::new(), with).await
}

/// As [`join`], with a framing layer.
pub(crate) async fn join_over(
    place: &Place,
    framing: FramingLayer,
    with: impl FnOnce(Layer) -> Layer,
) -> Peer {
    let (seen, inbox) = mpsc::unbounded_channel();
    let handler = Handler::new(service_fn(move |msg: u32| {
        // The test may have ended.
        let _ = seen.send(msg);
        std::future::ready(Ok(()))
    }));
    let reports = Reports::default();
    let negotiate = with(NegotiateLayer::with_accept_handler(Noting {
        reports: reports.clone(),
        handler: handler.clone(),
    }));
    let roles = negotiate.role_watch();
    let stack = ServiceBuilder::new()
        .layer(QueueLayer::new(handler))
        .layer(negotiate)
        .layer(CborLayer::typed::<u32>())
        .layer(framing)
        .service(UnixConnector::new());
    let handle = stack.oneshot(place.path.clone()).await.unwrap();
    Peer {
        handle,
        roles,
        inbox,
        reports,
    }
}

pub(crate) async fn joined(place: &Place) -> Peer {
    let peer = join(place, |layer| layer).await;
    soon(peer.roles.settled()).await.unwrap();
    peer
}

/// Reports of a wait, with the seconds that had passed; and roles.
#[derive(Clone, Default)]
pub(crate) struct Reports(Arc<Mutex<Vec<(WaitReason, u64)>>>, Arc<Mutex<Vec<Role>>>);

impl Reports {
    pub(crate) fn all(&self) -> Vec<(WaitReason, u64)> {
        self.0.lock().unwrap().clone()
    }

    /// Every role that it has had.
    pub(crate) fn roles(&self) -> Vec<Role> {
        self.1.lock().unwrap().clone()
    }
}

/// [`PerPeer`], and the reports of the peer.
#[derive(Clone)]
pub(crate) struct Noting {
    reports: Reports,
    handler: Handler,
}

impl<C, E> AcceptHandler<C, E, u32> for Noting
where
    C: Channel<u32, In = u32, Future: Send> + Send + 'static,
    E: Into<BoxError>,
{
    async fn accept(self, channel: C, permit: ConnectionPermit, entrance: Entrance<u32>) {
        let per_peer = PerPeer::new(self.handler, QueueConfig::default());
        AcceptHandler::<C, BoxError, u32>::accept(per_peer, channel, permit, entrance).await;
    }

    fn accept_failed(&self, _: E) {}

    fn role_changed(&self, role: Role) {
        self.reports.1.lock().unwrap().push(role);
    }

    fn waiting(&self, waiting: &RoleWait) {
        let mut reports = self.reports.0.lock().unwrap();
        reports.push((waiting.why, waiting.waited.as_secs()));
    }
}

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, what).await.unwrap()
}

/// A complete frame of wire version 3.
pub(crate) fn frame(seq: u32, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u32;
    [&[3, 0][..], &len.to_be_bytes(), &seq.to_be_bytes(), payload].concat()
}

pub(crate) async fn is(peer: &Peer, role: Role) {
    assert_eq!(soon(peer.roles.wait_for(|now| now == role)).await, role);
}

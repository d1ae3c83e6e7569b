//! The handle of a bus: publishes, and sees the others.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use kyneta_uds_bus::{MemberId, NotAccepted};
use kyneta_uds_cbor::EncodeError;
use kyneta_uds_core::{PeerId, SharedError, SocketPath, SocketPathError};
use kyneta_uds_negotiate::{Role, RoleWatch};
use kyneta_uds_queue::Handle;
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, futures::OwnedNotified, oneshot, watch},
    time::{Duration, timeout},
};
use tokio_util::sync::PollSemaphore;
use tower_service::Service;

use super::{
    builder::BusBuilder,
    encode::encode,
    event::{BusCounts, BusEventReader},
    info::MemberInfo,
    member::UnknownMember,
    shared::{Present, Shared},
    wire::{Kind, Wire},
};
use crate::waiting::Waiting;

/// How long the end may take: messages that are not acknowledged are waited for.
const DRAIN: Duration = Duration::from_secs(5);

/// A member of a bus: `Service<M, Response = Delivered>`, cloneable. See the [module](crate::bus).
///
/// `call` publishes to all other members. Its future is ready when each of them has the message, or has left and is
/// named; dropping it does not take the message back. `poll_ready` waits while the window is full: messages are kept
/// until they are acknowledged.
///
/// It leaves when the last clone is dropped; [`dispose`](Self::dispose) waits for what is not acknowledged yet.
pub struct Bus<M> {
    guard: Arc<Guard>,
    window: PollSemaphore,
    permit: Option<OwnedSemaphorePermit>,
    /// Ready when fewer bytes are kept.
    room: Option<Pin<Box<OwnedNotified>>>,
    message: PhantomData<fn(M)>,
}

struct Guard {
    shared: Arc<Shared>,
    handle: Handle<Wire>,
    roles: RoleWatch,
    path: SocketPath,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared.bye();
        self.roles.leave();
        self.handle.close();
    }
}

/// A message is with all that it was owed to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered {
    /// Its number among the messages of this member; the first is 1.
    pub seq: u64,
    /// The members that left before they said that they have it.
    pub missed: Vec<PeerId>,
}

/// Why a message is not sent.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The message cannot be encoded, or is too large.
    #[error(transparent)]
    Encode(SharedError),
    /// The member to which it was addressed is not there.
    #[error(transparent)]
    Unknown(#[from] UnknownMember),
    /// This member has ended. What was accepted before may have been delivered.
    #[error("this member of the bus has ended")]
    Ended,
}

impl From<EncodeError> for BusError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(SharedError::new(error))
    }
}

impl<M> Bus<M> {
    /// A bus at `path`.
    pub fn builder<P>(path: P) -> BusBuilder<M>
    where
        P: TryInto<SocketPath>,
        SocketPathError: From<P::Error>,
    {
        BusBuilder::new(path.try_into().map_err(SocketPathError::from))
    }

    pub(super) fn new(
        shared: Arc<Shared>,
        handle: Handle<Wire>,
        roles: RoleWatch,
        path: SocketPath,
    ) -> Self {
        Self {
            window: PollSemaphore::new(shared.window.clone()),
            permit: None,
            room: None,
            guard: Arc::new(Guard {
                shared,
                handle,
                roles,
                path,
            }),
            message: PhantomData,
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.guard.shared
    }

    pub(super) fn roles(&self) -> &RoleWatch {
        &self.guard.roles
    }

    /// The path.
    pub fn path(&self) -> &SocketPath {
        &self.guard.path
    }

    /// Its own id.
    pub fn id(&self) -> &PeerId {
        &self.shared().me().id
    }

    #[cfg(feature = "status")]
    pub(crate) fn age(&self) -> Duration {
        self.shared().me().since.elapsed()
    }

    /// How many messages it has accepted, to all and to one.
    pub fn sent(&self) -> u64 {
        self.shared().last().0
    }

    /// The present role.
    pub fn role(&self) -> Role {
        self.guard.roles.role()
    }

    /// Why there has been no role for a second or more, and for how long. `None` otherwise.
    pub fn waiting(&self) -> Option<Waiting> {
        self.guard.roles.waiting().as_ref().map(Waiting::for_role)
    }

    /// The other members that are listed, by id: what is accepted now is owed to these.
    pub fn members(&self) -> Vec<Arc<MemberInfo>> {
        self.shared().present.borrow().values().cloned().collect()
    }

    /// The same, to be waited for.
    pub fn watch_members(&self) -> MembersWatch {
        MembersWatch {
            present: self.shared().present.subscribe(),
        }
    }

    /// The events from now on; those from the start on are [the builder's](BusBuilder::events).
    pub fn events(&self) -> BusEventReader {
        self.shared().events.subscribe()
    }

    /// How often something has happened.
    pub fn counts(&self) -> BusCounts {
        self.shared().counts()
    }

    /// Messages that wait for acknowledgements, and their bytes.
    pub fn unacknowledged(&self) -> (usize, usize) {
        self.shared().kept()
    }

    /// Ready when this member has ended.
    ///
    /// Cancel safe.
    pub async fn closed(&self) {
        self.shared().ended.cancelled().await;
    }

    /// Leaves the bus: waits for what is not acknowledged yet, for 5 s at most, says so to the others, and gives up
    /// the path if it listens.
    pub async fn dispose(&self) {
        let shared = self.shared();
        let kept = async {
            while shared.kept().0 > 0 && !shared.ended.is_cancelled() {
                let room = shared.room.notified();
                if shared.kept().0 == 0 {
                    break;
                }
                let _ = timeout(Duration::from_millis(50), room).await;
            }
        };
        if timeout(DRAIN, kept).await.is_err() {
            let (messages, _) = shared.kept();
            tracing::warn!(messages, "not acknowledged within {DRAIN:?}");
        }
        shared.bye();
        self.guard.roles.leave();
        self.guard.handle.close();
        self.closed().await;
    }
}

/// The members that are listed, to be waited for: see [`Bus::watch_members`].
#[derive(Debug, Clone)]
pub struct MembersWatch {
    present: watch::Receiver<Arc<Present>>,
}

impl MembersWatch {
    /// The present ones, by id.
    pub fn get(&self) -> Vec<Arc<MemberInfo>> {
        self.present.borrow().values().cloned().collect()
    }

    /// Ready when the list has changed since it was asked for last; `None` after the end.
    ///
    /// Cancel safe.
    pub async fn changed(&mut self) -> Option<Vec<Arc<MemberInfo>>> {
        self.present.changed().await.ok()?;
        let present = self.present.borrow_and_update();
        Some(present.values().cloned().collect())
    }
}

impl<M: Serialize> Bus<M> {
    /// Waits for a slot of the window.
    pub(super) fn poll_slot(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BusError>> {
        if self.permit.is_none() {
            let permit = ready!(self.window.poll_acquire(cx));
            match permit {
                Some(permit) => self.permit = Some(permit),
                None => return Poll::Ready(Err(BusError::Ended)),
            }
        }
        let shared = self.guard.shared.clone();
        let is_full = || {
            let kept = shared.kept_bytes.load(Ordering::Acquire);
            kept >= shared.settings().max_bytes && !shared.ended.is_cancelled()
        };
        while is_full() {
            let room = self
                .room
                .get_or_insert_with(|| Box::pin(shared.room.clone().notified_owned()));
            // Polled before it is looked again: what is resolved in between is not missed.
            let polled = room.as_mut().poll(cx);
            if polled.is_ready() {
                self.room = None;
            } else if is_full() {
                return Poll::Pending;
            }
        }
        self.room = None;
        Poll::Ready(Ok(()))
    }

    /// Sends a message in the slot that was waited for, or beyond the window.
    pub(super) fn send_in_slot(
        &mut self,
        to: Option<MemberId>,
        kind: Kind,
        message: &M,
        request: Option<oneshot::Sender<Result<bytes::Bytes, super::request::RequestError>>>,
    ) -> Publish {
        let permit = self.permit.take();
        let shared = self.shared();
        let data = match encode(message, shared.settings().max_message) {
            Ok(data) => data,
            Err(error) => return Publish::failed(error.into()),
        };
        if shared.ended.is_cancelled() {
            return Publish::failed(BusError::Ended);
        }
        let fast = shared.settings().fast && to.is_none();
        match shared.accept(to, kind, data, request) {
            Ok(accepted) => {
                // Given back when the message is resolved.
                if let Some(permit) = permit {
                    permit.forget();
                }
                Publish {
                    state: match fast {
                        true => State::Fast(accepted.seq.0),
                        false => State::Waiting(accepted.seq.0, accepted.done),
                    },
                }
            }
            Err(NotAccepted::NotListed(member)) => {
                Publish::failed(UnknownMember::new(member.peer, self.members()).into())
            }
            Err(_) => Publish::failed(BusError::Ended),
        }
    }
}

impl<M: Serialize> Service<M> for Bus<M> {
    type Response = Delivered;
    type Error = BusError;
    type Future = Publish;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BusError>> {
        self.poll_slot(cx)
    }

    fn call(&mut self, message: M) -> Publish {
        self.send_in_slot(None, Kind::Plain, &message, None)
    }
}

impl<M> Clone for Bus<M> {
    fn clone(&self) -> Self {
        Self {
            guard: self.guard.clone(),
            window: self.window.clone(),
            permit: None,
            room: None,
            message: PhantomData,
        }
    }
}

impl<M> fmt::Debug for Bus<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("path", self.path())
            .field("role", &self.role())
            .finish_non_exhaustive()
    }
}

/// The future of a message: see [`Bus`]. Dropping it does not take the message back.
#[derive(Debug)]
#[must_use = "the message is sent; without this it is not known which members have it"]
pub struct Publish {
    state: State,
}

#[derive(Debug)]
enum State {
    Failed(Option<BusError>),
    Fast(u64),
    Waiting(u64, oneshot::Receiver<Vec<MemberId>>),
}

impl Publish {
    pub(super) const fn failed(error: BusError) -> Self {
        Self {
            state: State::Failed(Some(error)),
        }
    }

    /// The number of the message among those of this member; `None` if it was not accepted.
    pub const fn seq(&self) -> Option<u64> {
        match &self.state {
            State::Failed(_) => None,
            State::Fast(seq) | State::Waiting(seq, _) => Some(*seq),
        }
    }
}

impl Future for Publish {
    type Output = Result<Delivered, BusError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Failed(error) => Poll::Ready(Err(error.take().unwrap_or(BusError::Ended))),
            State::Fast(seq) => Poll::Ready(Ok(Delivered {
                seq: *seq,
                missed: Vec::new(),
            })),
            State::Waiting(seq, done) => {
                let seq = *seq;
                let resolved = ready!(Pin::new(done).poll(cx));
                let missed = resolved.map_err(|_| BusError::Ended)?;
                let missed = missed.into_iter().map(|member| member.peer).collect();
                Poll::Ready(Ok(Delivered { seq, missed }))
            }
        }
    }
}

//! The handle of a bus: publishes, and sees the others.
//!
//! In: messages, questions about the members. Out: futures of deliveries, the members, the status. May touch: the state of
//! the bus, under its lock; tokio's clock.

#[cfg(feature = "status")]
use std::collections::HashMap;
use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use kyneta_uds_bus::{MemberId, NotAccepted};
use kyneta_uds_cbor::EncodeError;
use kyneta_uds_core::{PeerId, SharedError, SocketPath, SocketPathError};
use kyneta_uds_negotiate::{Role, RoleWatch};
use kyneta_uds_queue::Handle;
use serde::Serialize;
use tokio::{
    sync::{TryAcquireError, futures::OwnedNotified, watch},
    time::{Duration, timeout},
};
use tokio_util::sync::PollSemaphore;
use tower_service::Service;

use super::{
    builder::BusBuilder,
    encode::Encoder,
    event::{BusCounts, BusEventReader},
    info::MemberInfo,
    member::UnknownMember,
    receipts::Receipt,
    request::Asker,
    shared::{Accepted, Present, Shared},
    trace::{CarriesTrace, TraceParent},
    wire::{Kind, Wire},
};
use crate::waiting::Waiting;

/// After so many bytes the task that writes has its turn: else a window of small messages is full before the first is
/// written.
const BURST: usize = 64 << 10;

/// So many slots of the window are taken at a time by a handle that goes on sending.
const AHEAD: u32 = 16;

/// What a message counts beside its own bytes.
const EACH: usize = 64;

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
    encoder: Encoder,
    /// Slots of the window that are taken for its next messages.
    slots: u32,
    /// Bytes that were sent since other tasks could run.
    burst: usize,
    /// Waits for one; absent unless there was none.
    waits: Option<PollSemaphore>,
    /// Ready when fewer bytes are kept.
    room: Option<Pin<Box<OwnedNotified>>>,
    #[cfg(feature = "machines")]
    links: Option<crate::machines::Host>,
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
    /// Another process goes on as this member, and was handed over to before the message was sent.
    #[error("the message is not sent: another process has taken over")]
    NotSent,
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
            encoder: Encoder::default(),
            slots: 0,
            burst: 0,
            waits: None,
            room: None,
            #[cfg(feature = "machines")]
            links: None,
            guard: Arc::new(Guard {
                shared,
                handle,
                roles,
                path,
            }),
            message: PhantomData,
        }
    }

    #[cfg(feature = "machines")]
    pub(super) fn with_links(mut self, links: Option<crate::machines::Host>) -> Self {
        self.links = links;
        self
    }

    /// The links to other machines: while this member listens, those that it runs.
    #[cfg(feature = "machines")]
    pub fn links(&self) -> Vec<crate::machines::LinkState> {
        let links = self.links.as_ref();
        links.map(crate::machines::Host::status).unwrap_or_default()
    }

    #[cfg(all(feature = "machines", feature = "status"))]
    pub(crate) fn host(&self) -> Option<&crate::machines::Host> {
        self.links.as_ref()
    }

    /// Why the links to other machines cannot be started while this member listens, such as an address that another process
    /// has. `None` when they are started, and where there are to be none.
    #[cfg(feature = "machines")]
    pub fn links_failure(&self) -> Option<crate::machines::LinksFailure> {
        self.links.as_ref()?.failure()
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

    /// As the listener: how many frames wait for each member that is connected.
    #[cfg(feature = "status")]
    pub(crate) fn waits(&self) -> HashMap<PeerId, usize> {
        self.shared().waits()
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
        self.shared().listed()
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

    /// The process that goes on as this member, once this one has [handed over](BusBuilder::offer_handoff).
    pub fn handed_over_to(&self) -> Option<u32> {
        self.shared().handed_over.get().copied()
    }

    /// After a [takeover](BusBuilder::take_over): the messages of the former process that not all of their receivers had
    /// at that time, in order. They arrive whether this is called or not; the second time there are none.
    pub fn inherited(&self) -> Vec<Publish> {
        let inherited = self.shared().inherited().into_iter();
        let publish = inherited.map(|(seq, receipt)| Publish {
            state: State::Waiting(seq.0, receipt),
        });
        publish.collect()
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
    /// the path if it listens. It waits 500 ms for a member that does not read its end, and 5 s for a listener.
    ///
    /// If the future is dropped while it waits for acknowledgements, the member stays; later it ends all the same.
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
    present: watch::Receiver<Present>,
}

impl MembersWatch {
    /// The present ones, by id.
    pub fn get(&self) -> Vec<Arc<MemberInfo>> {
        self.present.borrow().infos()
    }

    /// Ready when the list has changed since it was asked for last; `None` after the end.
    ///
    /// Cancel safe.
    pub async fn changed(&mut self) -> Option<Vec<Arc<MemberInfo>>> {
        self.present.changed().await.ok()?;
        Some(self.present.borrow_and_update().infos())
    }
}

impl<M: Serialize> Bus<M> {
    /// Waits for a slot of the window.
    pub(super) fn poll_slot(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BusError>> {
        if self.slots == 0 {
            self.slots = ready!(self.poll_permits(cx))?;
        } else if self.guard.shared.window.is_closed() {
            return Poll::Ready(Err(self.over()));
        }
        let shared = &*self.guard.shared;
        // What is accepted while it is handed over would not be part of it.
        let is_full = || {
            let kept = shared.kept_bytes.load(Ordering::Acquire);
            let is_full = kept >= shared.settings().max_bytes || shared.is_frozen();
            is_full && !shared.ended.is_cancelled()
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
        if shared.handed_over.get().is_some() {
            return Poll::Ready(Err(self.over()));
        }
        if self.burst >= BURST {
            // The receivers work on these while more are made.
            self.burst = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes permits of the window. They are given back when the messages are resolved, or with this handle.
    fn poll_permits(&mut self, cx: &mut Context<'_>) -> Poll<Result<u32, BusError>> {
        let shared = &self.guard.shared;
        let window = &shared.window;
        if self.waits.is_none() {
            // What idle handles hold is never more than half of the window.
            let is_half_free =
                window.available_permits() >= shared.settings().window / 2 + AHEAD as usize;
            let count = match self.burst > 0 && is_half_free {
                true => AHEAD,
                false => 1,
            };
            match window.try_acquire_many(count) {
                Ok(permits) => {
                    permits.forget();
                    return Poll::Ready(Ok(count));
                }
                Err(TryAcquireError::Closed) => return Poll::Ready(Err(self.over())),
                Err(TryAcquireError::NoPermits) => {}
            }
        }
        let waits = self
            .waits
            .get_or_insert_with(|| PollSemaphore::new(window.clone()));
        let permit = ready!(waits.poll_acquire(cx));
        self.waits = None;
        match permit {
            Some(permit) => {
                permit.forget();
                Poll::Ready(Ok(1))
            }
            None => Poll::Ready(Err(self.over())),
        }
    }

    /// Why a message is not accepted any more.
    fn over(&self) -> BusError {
        match self.guard.shared.handed_over.get() {
            Some(_) => BusError::NotSent,
            None => BusError::Ended,
        }
    }

    /// Publishes a message in the slot that was waited for, or beyond the window.
    fn publish_in_slot(&mut self, message: &M, trace: Option<TraceParent>) -> Publish {
        let data = match self.encoded(message) {
            Ok(data) => data,
            Err(error) => return Publish::failed(error),
        };
        let shared = &self.guard.shared;
        let accepted = shared.publish(data, trace, self.slots > 0);
        let is_fast = shared.settings().fast;
        self.accepted(accepted, is_fast)
    }

    /// The same for a message to one member.
    pub(super) fn send_in_slot(
        &mut self,
        to: MemberId,
        kind: Kind,
        message: &M,
        trace: Option<TraceParent>,
        request: Option<Asker>,
    ) -> Publish {
        let data = match self.encoded(message) {
            Ok(data) => data,
            Err(error) => return Publish::failed(error),
        };
        let shared = &self.guard.shared;
        let accepted = shared.send(to, kind, data, trace, request, self.slots > 0);
        self.accepted(accepted, false)
    }

    #[inline]
    fn encoded(&mut self, message: &M) -> Result<Bytes, BusError> {
        let shared = &self.guard.shared;
        let data = self
            .encoder
            .encode(message, shared.settings().max_message)?;
        self.burst += data.len() + EACH;
        // Closed at the end, and asked without a lock.
        match shared.window.is_closed() {
            true => Err(self.over()),
            false => Ok(data),
        }
    }

    #[inline]
    fn accepted(&mut self, accepted: Result<Accepted, NotAccepted>, is_fast: bool) -> Publish {
        match accepted {
            Ok(accepted) => {
                // Given back when the message is resolved.
                self.slots = self.slots.saturating_sub(1);
                Publish {
                    // It fails if it was too late to be handed over.
                    state: match is_fast && !self.guard.shared.is_frozen() {
                        true => State::Fast(accepted.seq.0),
                        false => State::Waiting(accepted.seq.0, accepted.receipt),
                    },
                }
            }
            Err(NotAccepted::NotListed(member)) => {
                Publish::failed(UnknownMember::new(member.peer.as_str(), &self.members()).into())
            }
            Err(_) => Publish::failed(BusError::Ended),
        }
    }
}

impl<M> Drop for Bus<M> {
    fn drop(&mut self) {
        if self.slots > 0 {
            self.guard.shared.window.add_permits(self.slots as usize);
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
        self.publish_in_slot(&message, None)
    }
}

impl<M: Serialize> CarriesTrace<M> for Bus<M> {
    fn call_in_trace(&mut self, message: M, trace: TraceParent) -> Publish {
        self.publish_in_slot(&message, Some(trace))
    }
}

impl<M> Clone for Bus<M> {
    fn clone(&self) -> Self {
        Self {
            guard: self.guard.clone(),
            encoder: Encoder::default(),
            slots: 0,
            burst: 0,
            waits: None,
            room: None,
            #[cfg(feature = "machines")]
            links: self.links.clone(),
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
    Waiting(u64, Receipt),
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
            State::Waiting(seq, receipt) => {
                let seq = *seq;
                let missed = ready!(receipt.poll(cx)).map_err(|over| match seq > over.0.0 {
                    true => BusError::NotSent,
                    false => BusError::Ended,
                })?;
                let missed = missed.into_iter().map(|member| member.peer).collect();
                Poll::Ready(Ok(Delivered { seq, missed }))
            }
        }
    }
}

//! The user's handlers: one for all members, or one for each.
//!
//! In: messages, members that have left. Out: calls of the user's services. May touch: those services.

use std::{
    any::Any,
    collections::{HashMap, hash_map::Entry},
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    sync::Arc,
};

use futures_util::FutureExt as _;
use kyneta_uds_bus::Incarnation;
use kyneta_uds_core::{BoxError, PeerId, SharedError};
use tower_service::Service;

use super::{
    hand_over::{HandOver, panicked},
    incoming::BusIncoming,
    info::MemberInfo,
    looking::Looking,
    shared::Shared,
};

/// From so many handlers on, those of members that are not listed are dropped. A member is listed soon after its first
/// message, unless it does not follow the protocol.
const MANY: usize = 1024;

/// What handles messages, one after the other.
pub(crate) trait Handlers<M>: Send + 'static {
    fn handle(
        &mut self,
        incoming: BusIncoming<M>,
        shared: &Shared,
    ) -> impl Future<Output = Result<(), SharedError>> + Send;

    /// The handler of a member, if it is there and looks.
    fn looking(&self, from: &MemberInfo) -> Option<&Looking<M>>;

    /// A member has left: nothing more of it comes.
    fn left(&mut self, member: &MemberInfo);
}

/// One handler for the messages of all members.
pub(crate) struct One<H>(pub(crate) H);

impl<M, H> Handlers<M> for One<H>
where
    M: Send + 'static,
    H: Service<BusIncoming<M>, Response = (), Error: Into<BoxError>, Future: Send> + Send + 'static,
{
    #[inline]
    fn handle(
        &mut self,
        incoming: BusIncoming<M>,
        _: &Shared,
    ) -> impl Future<Output = Result<(), SharedError>> + Send {
        HandOver::new(&mut self.0, incoming)
    }

    // The compiler knows which one it is.
    #[inline(always)]
    fn looking(&self, _: &MemberInfo) -> Option<&Looking<M>> {
        (&self.0 as &dyn Any).downcast_ref()
    }

    fn left(&mut self, _: &MemberInfo) {}
}

/// A handler for each member, made at its first message and dropped when it has left.
pub(crate) struct Each<F, H> {
    make: F,
    handlers: HashMap<PeerId, (Incarnation, One<H>)>,
}

impl<F, H> Each<F, H> {
    pub(crate) fn new(make: F) -> Self {
        Self {
            make,
            handlers: HashMap::new(),
        }
    }

    /// The handler of a member.
    async fn of(&mut self, from: &Arc<MemberInfo>, shared: &Shared) -> Result<&mut One<H>, BoxError>
    where
        F: Service<Arc<MemberInfo>, Response = H, Error: Into<BoxError>>,
    {
        if self.handlers.len() >= MANY && !self.handlers.contains_key(&from.id) {
            self.forget_unlisted(shared);
        }
        let known = match self.handlers.entry(from.id.clone()) {
            Entry::Occupied(known) if known.get().0 == from.incarnation => known.into_mut(),
            // It is another process, or there was none.
            entry => {
                poll_fn(|cx| self.make.poll_ready(cx))
                    .await
                    .map_err(Into::into)?;
                let made = self.make.call(from.clone()).await.map_err(Into::into)?;
                entry.insert_entry((from.incarnation, One(made))).into_mut()
            }
        };
        Ok(&mut known.1)
    }

    fn forget_unlisted(&mut self, shared: &Shared) {
        let present = shared.present.borrow().infos();
        self.handlers
            .retain(|id, _| present.iter().any(|listed| listed.id == *id));
    }
}

impl<M, F, H> Handlers<M> for Each<F, H>
where
    M: Send + 'static,
    F: Service<Arc<MemberInfo>, Response = H, Error: Into<BoxError>, Future: Send> + Send + 'static,
    H: Service<BusIncoming<M>, Response = (), Error: Into<BoxError>, Future: Send> + Send + 'static,
{
    async fn handle(
        &mut self,
        incoming: BusIncoming<M>,
        shared: &Shared,
    ) -> Result<(), SharedError> {
        let of = AssertUnwindSafe(self.of(&incoming.from, shared));
        let handler = of.catch_unwind().await;
        let handler = handler.map_err(|panic| panicked("the handler", &*panic))?;
        handler
            .map_err(SharedError::new)?
            .handle(incoming, shared)
            .await
    }

    fn looking(&self, from: &MemberInfo) -> Option<&Looking<M>> {
        let (incarnation, one) = self.handlers.get(&from.id)?;
        (*incarnation == from.incarnation)
            .then_some(one)?
            .looking(from)
    }

    fn left(&mut self, member: &MemberInfo) {
        if let Some((incarnation, _)) = self.handlers.get(&member.id)
            && *incarnation == member.incarnation
        {
            self.handlers.remove(&member.id);
        }
    }
}

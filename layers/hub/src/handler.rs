//! A handler that shows each message to a hub, then to the handler below.
//!
//! In: a member's messages. Out: the same. May touch: the hub.

use std::{
    fmt,
    task::{Context, Poll, ready},
};

use kyneta_uds_core::{ByReference, Look};
use tower_service::Service;

use crate::{member::Member, rates::Metered};

/// Routes each message that a member sends, then calls the handler below with it. Its requests are messages, or
/// something that holds one (`AsRef<M>`). Not ready while the member is to wait: then nothing is read from it.
///
/// ```
/// use kyneta_uds_core::ChannelMsg;
/// use kyneta_uds_hub::{Hub, RelayHandler};
/// use kyneta_uds_queue::Handle;
/// use kyneta_uds_relay::MemberFacts;
/// use tower::service_fn;
///
/// # fn relay(hub: &Hub<ChannelMsg>, facts: MemberFacts, handle: Handle<ChannelMsg>) {
/// let print = service_fn(async |msg: ChannelMsg| Ok::<_, std::io::Error>(println!("{msg:?}")));
/// let handler = RelayHandler::new(print, hub.enter(facts, handle));
/// // for `driver.drive_looking(channel, handler)`, or `driver.drive(..)`: then each message is routed alone
/// # }
/// ```
pub struct RelayHandler<H, M: Metered> {
    handler: H,
    /// Boxed: without one, it costs a pointer.
    member: Option<Box<Member<M>>>,
}

impl<H, M: Metered> RelayHandler<H, M> {
    /// Relays what a member sends.
    pub fn new(handler: H, member: Member<M>) -> Self {
        Self {
            handler,
            member: Some(Box::new(member)),
        }
    }

    /// Relays nothing: for a listener without a hub.
    pub const fn off(handler: H) -> Self {
        Self {
            handler,
            member: None,
        }
    }
}

impl<H, M, In> Service<In> for RelayHandler<H, M>
where
    H: Service<In>,
    In: AsRef<M>,
    M: Metered,
{
    type Response = H::Response;
    type Error = H::Error;
    type Future = H::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), H::Error>> {
        if let Some(member) = &mut self.member {
            ready!(member.poll_ready(cx));
        }
        self.handler.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, incoming: In) -> H::Future {
        if let Some(member) = &mut self.member {
            member.received(incoming.as_ref().clone());
        }
        self.handler.call(incoming)
    }
}

/// Without a hub the handler below is shown messages by reference. A hub passes on messages by value, those of a round
/// of reading together.
impl<H, M, In> Look<In> for RelayHandler<H, M>
where
    H: Look<In>,
    In: ByReference,
    M: Metered,
{
    #[inline]
    fn more(&self) -> bool {
        self.member.is_none() && self.handler.more()
    }

    #[inline]
    fn look(&mut self, msg: In::Ref<'_>) {
        self.handler.look(msg);
    }

    #[inline]
    fn round_begins(&mut self) {
        if let Some(member) = &mut self.member {
            member.round_begins();
        }
        self.handler.round_begins();
    }

    #[inline]
    fn round_over(&mut self) {
        self.handler.round_over();
        if let Some(member) = &mut self.member {
            member.round_over();
        }
    }
}

impl<H, M: Metered> fmt::Debug for RelayHandler<H, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayHandler")
            .field("member", &self.member)
            .finish_non_exhaustive()
    }
}

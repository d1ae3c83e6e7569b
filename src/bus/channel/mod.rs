//! A connection of a bus: frames of the machines on one side, payloads on the other.
//!
//! In: payloads; what waits in the connection's outbox. Out: [`Input`]s; payloads. It takes from the outbox as the
//! connection has room, so nothing is sent through the queue above it. May touch: the state of the bus, when it is
//! polled first and when it ends.

mod accepted;
pub(super) mod convert;
mod dialed;
mod greeting;
mod saved;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use kyneta_uds_bus::ConnectionKey;
use kyneta_uds_core::{
    Admission, Channel, ConnectionInfo, DisconnectReason, Inbound, Rejection, WireVersion,
};
use tower_service::Service;

use self::{accepted::Accepted, dialed::Dialed};
pub(crate) use self::{
    greeting::{MAGIC, hello},
    saved::{SaveFn, save},
};
use super::{input::Input, outbox::DownBox, shared::Shared, wire::Wire};

/// How many payloads become one input at most. After each input what waits is written.
const MOST: usize = 128;

/// After so many bytes an input is complete, too.
const MOST_BYTES: u64 = 32 << 10;

/// A channel of [`Wire`] whose messages are its own.
pub(crate) struct BusChannel<C: Channel<Wire>> {
    inner: C,
    /// Gives the state of what is below, if it can.
    save: Option<SaveFn<C>>,
    shared: Arc<Shared>,
    side: Side,
    /// What ended an input, and is yielded after it.
    next: Option<Item<C>>,
}

/// What the channel yields; `None` is the end.
type Item<C> = Option<Result<Inbound<Input>, <C as Service<Wire>>::Error>>;

enum Side {
    /// Made by this side. Entered with the first poll: then the layer above uses it.
    Dialed(Option<Dialed>),
    /// Accepted; absent until the accept handler has registered it.
    Accepted(Option<Accepted>),
}

impl<C: Channel<Wire>> BusChannel<C> {
    pub(crate) const fn dialed(inner: C, shared: Arc<Shared>) -> Self {
        Self {
            inner,
            save: None,
            shared,
            side: Side::Dialed(None),
            next: None,
        }
    }

    pub(crate) const fn accepted(inner: C, save: Option<SaveFn<C>>, shared: Arc<Shared>) -> Self {
        Self {
            inner,
            save,
            shared,
            side: Side::Accepted(None),
            next: None,
        }
    }

    /// The accept handler has registered it.
    pub(crate) fn register(&mut self, key: ConnectionKey, outbox: Arc<DownBox>) {
        self.side = Side::Accepted(Some(Accepted::new(key, outbox)));
    }

    fn enter(&mut self) {
        if let Side::Dialed(side @ None) = &mut self.side {
            let (number, waker) = self.shared.connected();
            *side = Some(Dialed::new(number, waker));
        }
    }

    /// The connection to the hub has ended.
    fn leave(&self) {
        // How an accepted one has ended is told by what drives it.
        if let Side::Dialed(Some(dialed)) = &self.side {
            self.shared.disconnected(dialed.number);
        }
    }
}

/// Not structurally pinned: its fields are only used by `&mut`.
impl<C: Channel<Wire>> Unpin for BusChannel<C> {}

impl<C: Channel<Wire>> Drop for BusChannel<C> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<C: Channel<Wire, In = Wire>> BusChannel<C> {
    /// Writes what waits, as far as there is room. Ready when nothing waits.
    fn poll_outbox(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.enter();
        match &self.side {
            Side::Dialed(Some(dialed)) => dialed.waker.register(cx.waker()),
            Side::Accepted(Some(accepted)) => accepted.outbox.register(cx.waker()),
            _ => return Poll::Ready(Ok(())),
        }
        let mut writes = false;
        loop {
            ready!(self.inner.poll_ready(cx))?;
            let next = match &mut self.side {
                Side::Dialed(Some(dialed)) => dialed.next(&self.shared, writes),
                Side::Accepted(Some(accepted)) => accepted.next(&self.shared),
                _ => None,
            };
            match next {
                // A message that cannot be encoded would be too large: its sender was told.
                Some(wire) => drop(self.inner.call(wire)),
                None => return Poll::Ready(Ok(())),
            }
            writes = true;
        }
    }

    /// Adds a payload to the present input.
    fn add(&mut self, wire: Wire) -> Result<(), Rejection> {
        // A member that has waited long for it has sent one, too.
        if matches!(wire, Wire::Admission) {
            return Ok(());
        }
        match &mut self.side {
            Side::Dialed(Some(dialed)) => dialed.add(wire),
            Side::Accepted(Some(accepted)) => accepted.add(wire),
            _ => Ok(()),
        }
    }

    /// The present input, unless it is empty.
    fn take(&mut self) -> Option<Input> {
        match &mut self.side {
            Side::Dialed(Some(dialed)) => dialed.input(),
            Side::Accepted(Some(accepted)) => accepted.input(),
            _ => None,
        }
    }

    /// Gives the bus the present input where it is. False if it is empty.
    fn put_in(&mut self) -> bool {
        match &mut self.side {
            Side::Dialed(Some(dialed)) => dialed.put_in(&self.shared),
            Side::Accepted(Some(accepted)) => accepted.put_in(&self.shared),
            _ => false,
        }
    }

    /// Reads what has come, up to a bound, as one input.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Item<C>> {
        let before = self.inner.worked();
        let mut payloads = 0;
        let mut next = self.next.take().map_or(Poll::Pending, Poll::Ready);
        let mut is_drained = false;
        while next.is_pending()
            && payloads < MOST
            && self.inner.worked().wrapping_sub(before) < MOST_BYTES
        {
            let Poll::Ready(polled) = Pin::new(&mut self.inner).poll_next(cx) else {
                is_drained = true;
                break;
            };
            payloads += 1;
            next = match polled {
                Some(Ok(Inbound::Message(wire))) => match self.add(wire) {
                    Ok(()) => continue,
                    Err(rejection) => Poll::Ready(Some(Ok(Inbound::Rejected(rejection)))),
                },
                Some(Ok(Inbound::Rejected(rejection))) => {
                    Poll::Ready(Some(Ok(Inbound::Rejected(rejection))))
                }
                Some(Ok(Inbound::Noticed(notice))) => {
                    Poll::Ready(Some(Ok(Inbound::Noticed(notice))))
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => Poll::Ready(Some(Err(error))),
                None => Poll::Ready(None),
            };
        }
        // The layer above would call with it and poll again, for nothing.
        if next.is_pending() && is_drained && self.put_in() {
            return Poll::Pending;
        }
        match (self.take(), next) {
            (Some(input), next) => {
                if let Poll::Ready(next) = next {
                    self.next = Some(next);
                }
                Poll::Ready(Some(Ok(Inbound::Message(input))))
            }
            // A bound was reached by payloads that are no input.
            (None, Poll::Pending) if payloads > 0 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            (None, next) => next,
        }
    }
}

impl<C: Channel<Wire, In = Wire>> Service<Wire> for BusChannel<C> {
    type Response = ();
    type Error = C::Error;
    type Future = C::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        ready!(self.poll_outbox(cx))?;
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, wire: Wire) -> C::Future {
        self.inner.call(wire)
    }
}

impl<C: Channel<Wire, In = Wire>> Stream for BusChannel<C> {
    type Item = Result<Inbound<Input>, C::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.enter();
        let polled = this.poll_input(cx);
        // The layer above has nothing to send, so it does not ask for room: what waits is written here.
        let item = match this.poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            _ => polled,
        };
        if let Poll::Ready(None | Some(Err(_))) = item {
            this.leave();
        }
        item
    }
}

impl<C: Channel<Wire, In = Wire>> Channel<Wire> for BusChannel<C> {
    type In = Input;

    fn put_aside(&mut self) -> bool {
        self.set_aside()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        let is_empty = self.poll_outbox(cx)?.is_ready();
        ready!(self.inner.poll_flush(cx))?;
        // What is left waits for room, which the flush has made.
        match is_empty {
            true => Poll::Ready(Ok(())),
            false => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        ready!(self.poll_flush(cx))?;
        self.inner.poll_close(cx)
    }

    fn buffered(&self) -> usize {
        self.inner.buffered()
    }

    fn connection(&self) -> ConnectionInfo {
        self.inner.connection()
    }

    fn begin_with(&mut self, wire: WireVersion) -> bool {
        self.inner.begin_with(wire)
    }

    fn poll_admission(
        &mut self,
        cx: &mut Context<'_>,
        admission: Admission,
    ) -> Poll<Result<(), C::Error>> {
        self.inner.poll_admission(cx, admission)
    }

    fn worked(&self) -> u64 {
        self.inner.worked()
    }

    fn keep(&mut self) -> bool {
        self.inner.keep()
    }

    fn free_kept(&mut self) {
        self.inner.free_kept();
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        self.inner.lost()
    }

    fn interrupt(&mut self, reason: DisconnectReason) -> bool {
        self.leave();
        self.inner.interrupt(reason)
    }
}

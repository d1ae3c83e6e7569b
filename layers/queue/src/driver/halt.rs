//! Halting for a handoff: first quiet, then frozen.
//!
//! In: an order. Out: whether it is carried out. Quiet: nothing is read, and the handler is at work on nothing. Frozen:
//! all that waited is encoded, whether the channel had room or not, and the channel is put aside; nothing is polled
//! until the driver is thawed. A connection that is ending does not halt. May touch: the
//! channel, the handler, the send queue.

use std::{
    ops::ControlFlow::{Break, Continue},
    pin::Pin,
    sync::atomic::Ordering,
    task::Context,
};

use kyneta_uds_core::{BoxError, Channel, DisconnectReason, Message};
use tower_service::Service;

use super::{
    Drive,
    looking::Reading,
    state::{Phase, Step},
};
use crate::shared::order;

impl<C, H, M, R> Drive<C, H, M, R>
where
    C: Channel<M, In: Message>,
    H: Service<C::In, Response = (), Error: Into<BoxError>>,
    M: Message,
    R: Reading<C, H, M>,
{
    /// Carries out an order other than to run. `None`: there is none for this connection.
    #[inline]
    pub(super) fn ordered(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<Step> {
        match self.shared.order.load(Ordering::Acquire) {
            order::RUN => None,
            order::ABORT => Some(Break(DisconnectReason::Intentional)),
            order => self.halt(cx, order),
        }
    }

    #[cold]
    fn halt(mut self: Pin<&mut Self>, cx: &mut Context<'_>, order: u8) -> Option<Step> {
        if self.phase != Phase::Open {
            self.shared.cannot_halt();
            return None;
        }
        *self.as_mut().project().uncounted = true;
        let step = match order {
            order::QUIET => self.as_mut().quiet(cx, false),
            order::ROOM => self.as_mut().quiet(cx, true),
            _ if self.shared.is_halting(order) => self.as_mut().freeze(cx),
            _ => self.as_mut().rest(cx),
        };
        // An order that came meanwhile has woken no task.
        if self.shared.order.load(Ordering::Acquire) != order {
            cx.waker().wake_by_ref();
        }
        Some(step)
    }

    /// Lets the handler finish with what was read. `makes_room`: encodes beyond the channel's room, but no further than as
    /// many bytes as may wait in the queue. A handler may wait for room in the queue of another connection.
    fn quiet(mut self: Pin<&mut Self>, cx: &mut Context<'_>, makes_room: bool) -> Step {
        let mut count = 0;
        let read = self
            .as_mut()
            .guarded(|this| this.hand_over::<true>(cx, usize::MAX, 0, u64::MAX, &mut count))?;
        if makes_room && self.channel.buffered() < self.shared.config.max_bytes {
            self.as_mut().write::<true>(cx)?;
            if self.shared.lock().level().messages > 0 {
                // What came meanwhile has woken no task.
                cx.waker().wake_by_ref();
            }
        } else {
            self.as_mut().write::<false>(cx)?;
        }
        if self.phase != Phase::Open {
            self.shared.cannot_halt();
        } else if !read.held && self.ahead.is_none() && self.handling.is_none() {
            self.shared.halted(order::QUIET);
        }
        Continue(())
    }

    /// Encodes what waits, and puts the channel aside.
    fn freeze(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Step {
        self.as_mut().write::<true>(cx)?;
        let this = self.as_mut().project();
        if *this.phase != Phase::Open {
            this.shared.cannot_halt();
        } else if this.calling.is_none() && this.batch.is_empty() {
            match this.channel.put_aside() {
                true => this.shared.halted(order::FREEZE),
                false => this.shared.cannot_halt(),
            }
            return self.rest(cx);
        }
        Continue(())
    }

    /// Waits for the next order.
    fn rest(self: Pin<&mut Self>, cx: &Context<'_>) -> Step {
        let this = self.project();
        *this.waker = Some(cx.waker().clone());
        this.shared.lock().register_driver(this.waker, true);
        Continue(())
    }

    /// What the channel holds when it begins, or goes on, counts against the queue's bound.
    #[cold]
    pub(super) fn carry(self: Pin<&mut Self>) {
        let this = self.project();
        let held = this.channel.buffered();
        (*this.carries, *this.uncounted) = (held > 0, false);
        this.shared.lock().carry(held);
    }
}

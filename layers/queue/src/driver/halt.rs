//! Halting for a handoff: first quiet, then frozen.
//!
//! In: an order. Out: whether it is carried out. Quiet: nothing is read, and the handler is at work on nothing. Frozen:
//! all that waited is encoded, whether the channel had room or not, and the channel is put aside; nothing is polled
//! until the driver is thawed. Before both, what waits can go ahead while everything goes on, and the channel of an idle
//! connection can be put aside: as long as its driver is not polled after that, it is quiet and frozen without a turn.
//! A connection that is ending does not halt. May touch: the channel, the handler, the send queue.

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
    state::{Phase, Step, Turn, Wrote},
};
use crate::shared::order;

/// What goes ahead is encoded in turns of so many bytes, some 2 ms of small messages: others of the same thread go on.
const AHEAD_BYTES: usize = 1 << 20;

/// Where something has gone ahead, no more than so many bytes wait at the halt. A stream does not need more.
const WAITS_AFTER: usize = 256 << 10;

/// A peer that reads as fast as is written lets no more than this wait in the channel, in bytes.
const KEEPS_UP: usize = 128 << 10;

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
            order::AHEAD => self.ahead(cx),
            order::IS_AHEAD => None,
            order::ASIDE => {
                let this = self.project();
                *this.puts_aside = this.shared.take_aside_order();
                None
            }
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

    /// A turn of what goes ahead; everything goes on after it.
    #[cold]
    fn ahead(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<Step> {
        if self.phase != Phase::Open {
            self.shared.is_ahead(false);
            return None;
        }
        let held = self.channel.buffered();
        let beyond = held.saturating_add(AHEAD_BYTES);
        if let Break(reason) = self.as_mut().write::<true>(cx, beyond) {
            return Some(Break(reason));
        }
        let this = self.as_mut().project();
        let holds = this.channel.buffered();
        let waits = !this.batch.is_empty() || this.shared.lock().level().messages > 0;
        let has_room = (KEEPS_UP..this.shared.config.max_bytes).contains(&holds);
        if waits && has_room && this.calling.is_none() && holds > held {
            *this.uncounted = true;
            cx.waker().wake_by_ref();
        } else {
            let has_gone = *this.phase == Phase::Open && this.channel.put_ahead();
            self.as_mut().carry();
            let this = self.project();
            (*this.is_ahead, *this.uncounted) = (has_gone, has_gone);
            this.shared.is_ahead(has_gone);
        }
        None
    }

    /// At the end of a turn that an order has asked for: puts the channel of a connection aside that had nothing to do in it.
    #[cold]
    pub(super) fn aside(self: Pin<&mut Self>, turn: &Turn, wrote: &Wrote) {
        let this = self.project();
        *this.puts_aside = false;
        let is_idle = !(turn.read || turn.encoded || turn.moved) && wrote.done && !wrote.unflushed;
        let has_nothing = this.ahead.is_none() && this.handling.is_none();
        let is_open = *this.phase == Phase::Open;
        let is_aside = is_idle && has_nothing && is_open && this.channel.put_aside();
        this.shared.is_aside(is_aside);
    }

    /// Lets the handler finish with what was read. `makes_room`: encodes beyond the channel's room, but no further than as
    /// many bytes as may wait in the queue. A handler may wait for room in the queue of another connection.
    fn quiet(mut self: Pin<&mut Self>, cx: &mut Context<'_>, makes_room: bool) -> Step {
        let mut count = 0;
        let read = self
            .as_mut()
            .guarded(|this| this.hand_over::<true>(cx, usize::MAX, 0, u64::MAX, &mut count))?;
        if makes_room && self.channel.buffered() < self.shared.config.max_bytes {
            self.as_mut().write::<true>(cx, usize::MAX)?;
            if self.shared.lock().level().messages > 0 {
                // What came meanwhile has woken no task.
                cx.waker().wake_by_ref();
            }
        } else {
            self.as_mut().write::<false>(cx, 0)?;
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
        self.as_mut().write::<true>(cx, usize::MAX)?;
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

    /// What the channel holds when it begins, or goes on, counts against the queue's bound. What has gone ahead does until then.
    #[cold]
    pub(super) fn carry(self: Pin<&mut Self>) {
        let this = self.project();
        if *this.is_ahead && this.shared.order.load(Ordering::Acquire) != order::RUN {
            return;
        }
        let held = this.channel.buffered();
        (*this.carries, *this.uncounted, *this.is_ahead) = (held > 0, false, false);
        this.shared.lock().carry(held);
    }
}

/// What of `held` bytes of the channel still counts as carried. While something is ahead that is no less than what went:
/// else as much would wait again at the halt.
pub(super) fn still_carried(is_ahead: bool, max_bytes: usize, held: usize) -> usize {
    match is_ahead {
        true => held.max(max_bytes.saturating_sub(WAITS_AFTER)),
        false => held,
    }
}

//! How a driver's handler gets what has arrived: by value alone, or by reference where it can be.
//!
//! In: a channel and a handler. Out: how many messages the handler was shown; what the channel could not show. May
//! touch: these two.

use kyneta_uds_core::{ByReference, Channel, Inbound, Look};

use super::handler::Running;

/// A driver whose handler is called with each message.
#[derive(Debug)]
pub struct ByValue;

/// A driver whose handler, which is a [`Look`] too, is shown the messages that have arrived where they are, and is
/// called with the others.
#[derive(Debug)]
pub struct ByRef;

/// [`ByValue`] or [`ByRef`].
pub trait Reading<C: Channel<M>, H, M>: sealed::Sealed {
    #[doc(hidden)]
    fn look(channel: &mut C, handler: &mut H, round: Round<'_>) -> Option<Inbound<C::In>>;

    /// A round begins.
    #[doc(hidden)]
    fn begins(_: &mut H) {}

    /// It is over.
    #[doc(hidden)]
    fn over(_: &mut H) {}
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::ByValue {}
    impl Sealed for super::ByRef {}
}

/// What one round of reading allows.
#[derive(Debug)]
pub struct Round<'a> {
    /// Messages so far.
    pub(super) count: &'a mut usize,
    /// The most of them.
    pub(super) most: usize,
    /// Whose code runs.
    pub(super) running: &'a mut Running,
}

impl<C: Channel<M>, H, M> Reading<C, H, M> for ByValue {
    #[inline(always)]
    fn look(_: &mut C, _: &mut H, _: Round<'_>) -> Option<Inbound<C::In>> {
        None
    }
}

impl<C, H, M> Reading<C, H, M> for ByRef
where
    C: Channel<M, In: ByReference>,
    H: Look<C::In>,
{
    #[inline(always)]
    fn look(channel: &mut C, handler: &mut H, round: Round<'_>) -> Option<Inbound<C::In>> {
        if !handler.more() {
            return None;
        }
        let allowed = round.most.saturating_sub(*round.count);
        channel.look(&mut Within {
            handler,
            allowed,
            shown: 0,
            is_handling: false,
            round,
        })
    }

    #[inline(always)]
    fn begins(handler: &mut H) {
        handler.round_begins();
    }

    #[inline(always)]
    fn over(handler: &mut H) {
        handler.round_over();
    }
}

/// The handler, within a round. What has happened is told to the round at the end, also by a panic: followed for each
/// message, its references cost five instructions.
struct Within<'a, H> {
    handler: &'a mut H,
    /// Messages that it may be shown, and those that it was.
    allowed: usize,
    shown: usize,
    /// The handler's code runs.
    is_handling: bool,
    round: Round<'a>,
}

impl<H: Look<In>, In: ByReference> Look<In> for Within<'_, H> {
    #[inline(always)]
    fn more(&self) -> bool {
        self.shown < self.allowed && self.handler.more()
    }

    #[inline(always)]
    fn look(&mut self, msg: In::Ref<'_>) {
        // Before the handler sees it: a panic of the handler costs the message.
        self.shown += 1;
        self.is_handling = true;
        self.handler.look(msg);
        self.is_handling = false;
    }
}

impl<H> Drop for Within<'_, H> {
    #[inline]
    fn drop(&mut self) {
        *self.round.count += self.shown;
        if self.is_handling {
            *self.round.running = Running::Message;
        }
    }
}

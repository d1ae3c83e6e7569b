//! The one task of a connection: it reads, calls the handler, encodes and flushes.
//!
//! In: a channel, a handler, the shared send queue. Out: the reason of the end. May touch: the channel,
//! the handler, tokio's clock (for deadlines, never per message), and std's clock where it spins.
//!
//! A poll does, in this order: see whether the connection was aborted, read and handle messages, write, and
//! (while the handler waits and the kernel takes nothing) read ahead; then deadlines. So a handler that
//! waits for room to reply does not stop the writing that makes the room. A poll works on a bounded number
//! of bytes.

mod deadlines;
mod halt;
mod handler;
mod in_place;
mod looking;
mod read;
mod read_ahead;
mod reclaim;
mod spin;
mod state;
mod write;

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    ops::ControlFlow::{Break, Continue},
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
};

use kyneta_uds_core::{BoxError, ByReference, Channel, DisconnectReason, Look, Message, RateLimit};
use pin_project::{pin_project, pinned_drop};
use tokio::{task::yield_now, time::Sleep};
use tower_service::Service;

pub use self::looking::{ByRef, ByValue};
use self::{
    deadlines::Timer,
    handler::Running,
    looking::Reading,
    read_ahead::ReadAhead,
    spin::Spin,
    state::{Phase, Step, Turn, Wrote},
};
use crate::{
    config::QueueConfig,
    error::Ended,
    handle::Handle,
    send_queue::Batch,
    shared::{Shared, order},
};

/// Inbound bytes that one poll works on before it yields to other tasks: some 80 µs.
const POLL_BYTES: u64 = 64 << 10;

/// A queue: the handle that fills it, and the driver of the one task that empties it into a channel.
/// Messages can be queued before there is a channel. [`QueueLayer`](crate::QueueLayer) makes the channel
/// and spawns the task.
///
/// ```
/// use kyneta_uds_cbor::CborLayer;
/// use kyneta_uds_core::ChannelMsg;
/// use kyneta_uds_framing::FramingLayer;
/// use kyneta_uds_queue::{QueueConfig, queue};
/// use tower::{ServiceBuilder, ServiceExt as _, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let (handle, driver) = queue(QueueConfig::default());
/// let channel = ServiceBuilder::new()
///     .layer(CborLayer::new())
///     .layer(FramingLayer::new())
///     .service(service_fn(async |io| Ok::<tokio::io::DuplexStream, std::io::Error>(io)))
///     .oneshot(tokio::io::duplex(64).0)
///     .await?;
/// let ignore = service_fn(async |_: ChannelMsg| Ok::<(), std::convert::Infallible>(()));
/// let task = tokio::spawn(driver.drive(channel, ignore));
/// drop(handle);
/// assert_eq!(task.await?.kind(), "closed"); // the other end of the pipe is gone
/// # Ok(())
/// # }
/// ```
pub fn queue<M: Message>(config: QueueConfig) -> (Handle<M>, Driver<M>) {
    let shared = Shared::new(config);
    let handle = Handle::new(shared.clone());
    let driver = Driver {
        shared,
        driven: false,
    };
    (handle, driver)
}

/// The other side of a [`Handle`]: takes what is queued to a channel. Dropping it undriven ends the queue.
pub struct Driver<M> {
    shared: Arc<Shared<M>>,
    driven: bool,
}

impl<M> Drop for Driver<M> {
    fn drop(&mut self) {
        if !self.driven {
            self.shared.end(0, DisconnectReason::error(Ended));
        }
    }
}

impl<M: Message> Driver<M> {
    /// The connection's whole life: ready, with the reason, when it has ended. Dropping it ends the
    /// connection at once. `handler` takes what `channel` yields.
    ///
    /// It is to be polled inside a tokio runtime whose time is enabled.
    pub fn drive<C, H>(self, channel: C, handler: H) -> Drive<C, H, M>
    where
        C: Channel<M, In: Message>,
        H: Service<C::In, Response = (), Error: Into<BoxError>>,
    {
        self.reading(channel, handler)
    }

    /// As [`drive`](Self::drive). While `handler` [wants more](Look::more), it is shown what has arrived by reference,
    /// without a future and without a copy, if the channel [can](Channel::look); and is called with the rest, in
    /// order. So it does the same with a message in either way.
    pub fn drive_looking<C, H>(self, channel: C, handler: H) -> Drive<C, H, M, ByRef>
    where
        C: Channel<M, In: Message + ByReference>,
        H: Service<C::In, Response = (), Error: Into<BoxError>> + Look<C::In>,
    {
        self.reading(channel, handler)
    }

    fn reading<C, H, R>(mut self, channel: C, handler: H) -> Drive<C, H, M, R>
    where
        C: Channel<M>,
        H: Service<C::In>,
    {
        self.driven = true;
        let shared = self.shared.clone();
        let spin = Spin::new(shared.config.spin);
        Drive {
            handling: None,
            calling: None,
            timer: None,
            errors: None,
            ahead: None,
            reclaim: None,
            waker: None,
            channel,
            handler,
            shared,
            handler_ready: false,
            running: Running::Channel,
            carries: false,
            uncounted: true,
            is_ahead: false,
            puts_aside: false,
            batch: Batch::new(),
            encoded: 0,
            taken: 0,
            phase: Phase::Open,
            write_error: None,
            spin,
            reading: PhantomData,
        }
    }
}

impl<M> fmt::Debug for Driver<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

/// Drives one connection. See [`Driver::drive`].
#[must_use = "futures do nothing unless they are awaited"]
#[pin_project(PinnedDrop)]
pub struct Drive<C: Channel<M>, H: Service<C::In>, M, R = ByValue> {
    /// The handler at work on a message.
    #[pin]
    handling: Option<H::Future>,
    /// The channel at work on a message; ready at once unless a layer of the user's waits.
    #[pin]
    calling: Option<C::Future>,
    timer: Option<Pin<Box<Timer>>>,
    /// Rejected frames and messages of the peer; absent until there is one.
    errors: Option<Box<RateLimit>>,
    /// What was read while the handler waited; absent when nothing was.
    ahead: Option<Box<ReadAhead<C::In>>>,
    /// Set while there is memory to be given back.
    reclaim: Option<Pin<Box<Sleep>>>,
    /// Cloned before the lock is taken.
    waker: Option<Waker>,
    channel: C,
    handler: H,
    shared: Arc<Shared<M>>,
    handler_ready: bool,
    running: Running,
    /// What the channel holds counts as bytes that wait; what it holds is to be counted.
    carries: bool,
    uncounted: bool,
    /// Something has gone ahead, and counts as carried until the driver goes on.
    is_ahead: bool,
    /// The channel is to be put aside at the end of this turn.
    puts_aside: bool,
    batch: Batch<M>,
    /// Messages given to the channel.
    encoded: u64,
    /// Messages that the kernel has taken.
    taken: u64,
    phase: Phase,
    /// Why writing has failed.
    write_error: Option<DisconnectReason>,
    /// Absent unless it is asked for.
    spin: Option<Box<Spin>>,
    reading: PhantomData<fn() -> R>,
}

impl<C, H, M, R> Future for Drive<C, H, M, R>
where
    C: Channel<M, In: Message>,
    H: Service<C::In, Response = (), Error: Into<BoxError>>,
    M: Message,
    R: Reading<C, H, M>,
{
    type Output = DisconnectReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<DisconnectReason> {
        let Break(reason) = self.as_mut().drive(cx) else {
            return Poll::Pending;
        };
        self.as_mut().finish(reason.clone());
        Poll::Ready(reason)
    }
}

impl<C, H, M, R> Drive<C, H, M, R>
where
    C: Channel<M, In: Message>,
    H: Service<C::In, Response = (), Error: Into<BoxError>>,
    M: Message,
    R: Reading<C, H, M>,
{
    /// Reads, handles and writes until both directions are pending or the byte budget is used up.
    fn drive(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Step {
        // What a handler queues meanwhile is written below: it wakes no task.
        let high_water = self.shared.lock().driver_runs();
        self.shared.tell_high_water(high_water);
        let mut turn = Turn {
            read: false,
            encoded: false,
            moved: false,
            messages: read::FIRST,
            bytes: POLL_BYTES,
        };
        if let Some(step) = self.as_mut().ordered(cx) {
            return step;
        }
        if self.uncounted {
            self.as_mut().carry();
        }
        loop {
            let read = self.as_mut().read(cx, &mut turn)?;
            let wrote = self.as_mut().write::<false>(cx, 0)?;
            // Looked at again: before write() registers the waker, an order wakes no task.
            self.check_order(cx)?;
            turn.encoded |= wrote.encoded;
            turn.moved |= wrote.moved;
            let mut exhausted = read.more && turn.bytes == 0;
            if read.held && wrote.unflushed {
                exhausted |= self.as_mut().read_ahead(cx, &mut turn.bytes);
            }
            if exhausted {
                // Not woken at once: a runtime of one thread looks at its I/O only after sixty-one such
                // polls, or when no task is woken.
                let _ = pin!(yield_now()).poll(cx);
            }
            if !read.more || exhausted {
                return self.end_turn(cx, &turn, read.held, wrote);
            }
        }
    }

    /// Both directions wait, or other tasks have their turn: deadlines are checked in either case.
    fn end_turn(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        turn: &Turn,
        held: bool,
        wrote: Wrote,
    ) -> Step {
        if self.ahead.is_some() && !wrote.unflushed {
            let progress = turn.read || turn.encoded || turn.moved;
            self.as_mut().admit(cx, progress, held);
        }
        let ahead = self.ahead.as_ref();
        let lacks_budget = ahead.is_some_and(|ahead| ahead.lacks_budget());
        let again = held && wrote.unflushed && lacks_budget;
        let kept = self.as_mut().project().channel.keep();
        self.as_mut()
            .reclaim(cx, wrote.reclaim || kept, again || kept);
        self.as_mut().check_end(cx, &wrote)?;
        self.as_mut().check_deadlines(cx, turn.moved, &wrote)?;
        if self.puts_aside {
            self.as_mut().aside(turn, &wrote);
        }
        if let Some(spin) = self.project().spin {
            spin.turned(cx, turn.read || turn.encoded);
        }
        Continue(())
    }
}

impl<C: Channel<M>, H: Service<C::In>, M, R> Drive<C, H, M, R> {
    fn check_order(&self, cx: &Context<'_>) -> Step {
        match self.shared.order.load(Ordering::Acquire) {
            order::RUN => Continue(()),
            order::ABORT => Break(DisconnectReason::Intentional),
            // A connection that is ending does not halt.
            order => {
                if self.shared.is_halting(order) && self.phase == Phase::Open {
                    cx.waker().wake_by_ref();
                }
                Continue(())
            }
        }
    }

    fn finish(self: Pin<&mut Self>, reason: DisconnectReason) {
        let mut this = self.project();
        if std::mem::replace(this.phase, Phase::Ended) == Phase::Ended {
            return;
        }
        // Reported after both are dropped, even if one of them panics.
        let _end = EndOnDrop {
            shared: this.shared,
            encoded: *this.encoded,
            reason,
        };
        this.handling.set(None);
        this.calling.set(None);
    }
}

/// Reports the end when it is dropped.
struct EndOnDrop<'a, M> {
    shared: &'a Shared<M>,
    encoded: u64,
    reason: DisconnectReason,
}

impl<M> Drop for EndOnDrop<'_, M> {
    fn drop(&mut self) {
        self.shared.end(self.encoded, self.reason.clone());
    }
}

#[pinned_drop]
impl<C: Channel<M>, H: Service<C::In>, M, R> PinnedDrop for Drive<C, H, M, R> {
    fn drop(self: Pin<&mut Self>) {
        self.finish(DisconnectReason::error(Ended));
    }
}

impl<C: Channel<M>, H: Service<C::In>, M, R> fmt::Debug for Drive<C, H, M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drive")
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

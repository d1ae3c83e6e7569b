//! The one task of a connection: it reads, hands over, encodes and flushes.
//!
//! In: a channel, a handler, the shared backlog. Out: the reason why it ended. May touch: the
//! channel, the handler, tokio's clock (for the two deadlines, never per message).
//!
//! Both directions are driven by every poll, so a handler that waits for room to reply does not
//! stop the writing that makes the room. Work per poll is bounded; the rest is taken up by the next.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    ops::ControlFlow::{self, Break, Continue},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use kyneta_uds_core::{BoxError, Channel, DisconnectReason, Inbound, Message, SharedError};
use pin_project::{pin_project, pinned_drop};
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use crate::{
    config::{Overflow, QueueConfig, QueueEvent},
    error::{Ended, Stalled},
    handle::Handle,
    shared::Shared,
};

/// Inbound messages before the write side has its turn.
const READ_BUDGET: usize = 128;

/// Turns before other tasks have theirs.
const TURNS: usize = 16;

/// Splits a channel into a handle and the driver of its one task, for those who spawn it
/// themselves. [`QueueLayer`](crate::QueueLayer) does both.
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
/// let channel = ServiceBuilder::new()
///     .layer(CborLayer::new())
///     .layer(FramingLayer::new())
///     .service(service_fn(async |io| Ok::<tokio::io::DuplexStream, std::io::Error>(io)))
///     .oneshot(tokio::io::duplex(64).0)
///     .await?;
/// let (handle, driver) = queue(channel, QueueConfig::default());
/// let ignore = service_fn(async |_: ChannelMsg| Ok::<(), std::convert::Infallible>(()));
/// let task = tokio::spawn(driver.drive(ignore));
/// drop(handle);
/// assert_eq!(task.await?.kind(), "closed"); // the other end of the pipe is gone
/// # Ok(())
/// # }
/// ```
pub fn queue<C, M>(channel: C, config: QueueConfig) -> (Handle<M>, Driver<C, M>)
where
    C: Channel<M>,
    M: Message,
{
    let shared = Shared::new(config);
    (Handle::new(shared.clone()), Driver { channel, shared })
}

/// A channel and its queue, not yet driven.
pub struct Driver<C, M> {
    channel: C,
    shared: Arc<Shared<M>>,
}

impl<C: Channel<M>, M: Message> Driver<C, M> {
    /// The connection's whole life: ready, with the reason, when it has ended. Dropping it ends the
    /// connection at once.
    pub fn drive<H>(self, handler: H) -> Drive<C, H, M>
    where
        H: Service<M, Response = (), Error: Into<BoxError>>,
    {
        Drive {
            handling: None,
            calling: None,
            timer: None,
            timer_for: None,
            channel: self.channel,
            handler,
            shared: self.shared,
            handler_ready: false,
            batch: VecDeque::new(),
            called: 0,
            taken: 0,
            phase: Phase::Open,
        }
    }
}

impl<C: fmt::Debug, M> fmt::Debug for Driver<C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

/// Drives one connection. See [`Driver::drive`].
#[pin_project(PinnedDrop)]
pub struct Drive<C: Service<M>, H: Service<M>, M> {
    /// The handler at work on a message.
    #[pin]
    handling: Option<H::Future>,
    /// The channel at work on a message; ready at once unless a layer of the user's waits.
    #[pin]
    calling: Option<C::Future>,
    #[pin]
    timer: Option<Sleep>,
    timer_for: Option<Deadline>,
    channel: C,
    handler: H,
    shared: Arc<Shared<M>>,
    handler_ready: bool,
    batch: VecDeque<M>,
    /// Messages given to the channel.
    called: u64,
    /// Messages that the kernel has taken.
    taken: u64,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// What waits is sent; `peer` says who wanted the end.
    Draining {
        peer: bool,
    },
    /// All is sent and said; the peer's own end is read for, so that it gets no reset.
    Lingering,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deadline {
    Stall,
    Drain,
}

type Step<T = ()> = ControlFlow<DisconnectReason, T>;

impl<C, H, M> Future for Drive<C, H, M>
where
    C: Channel<M>,
    H: Service<M, Response = (), Error: Into<BoxError>>,
    M: Message,
{
    type Output = DisconnectReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<DisconnectReason> {
        let Break(reason) = self.as_mut().turn(cx) else {
            return Poll::Pending;
        };
        self.as_mut().finish(reason.clone());
        Poll::Ready(reason)
    }
}

impl<C, H, M> Drive<C, H, M>
where
    C: Channel<M>,
    H: Service<M, Response = (), Error: Into<BoxError>>,
    M: Message,
{
    fn turn(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Step {
        let mut written = false;
        for _ in 0..TURNS {
            if self.shared.abort.load(Ordering::Acquire) {
                return Break(DisconnectReason::Intentional);
            }
            let more_in = self.as_mut().read(cx)?;
            let wrote = self.as_mut().write(cx)?;
            written |= wrote.progress;
            if !more_in {
                return self.rest(cx, written, wrote);
            }
        }
        // Others have their turn first.
        cx.waker().wake_by_ref();
        Continue(())
    }

    /// Reads and hands over, until either end is pending. True when there is more to do.
    fn read(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Step<bool> {
        let mut this = self.project();
        for _ in 0..READ_BUDGET {
            if let Some(handling) = this.handling.as_mut().as_pin_mut() {
                match handling.poll(cx) {
                    Poll::Pending => return Continue(false),
                    Poll::Ready(done) => {
                        this.handling.set(None);
                        if let Err(error) = done {
                            this.shared
                                .config
                                .emit(QueueEvent::HandlerFailed(SharedError::new(error)));
                        }
                    }
                }
            }
            if let Phase::Draining { peer: true } = this.phase {
                return Continue(false);
            }
            if !*this.handler_ready {
                match this.handler.poll_ready(cx) {
                    Poll::Pending => return Continue(false),
                    Poll::Ready(Ok(())) => *this.handler_ready = true,
                    Poll::Ready(Err(error)) => return Break(DisconnectReason::error(error)),
                }
            }
            match Pin::new(&mut *this.channel).poll_next(cx) {
                Poll::Pending => return Continue(false),
                Poll::Ready(Some(Ok(Inbound::Message(msg)))) => {
                    *this.handler_ready = false;
                    this.handling.set(Some(this.handler.call(msg)));
                }
                Poll::Ready(Some(Ok(Inbound::Rejected(rejection)))) => {
                    this.shared.config.emit(QueueEvent::Rejected(rejection));
                }
                Poll::Ready(Some(Err(error))) => return Break(DisconnectReason::error(error)),
                Poll::Ready(None) => match this.phase {
                    Phase::Lingering => return Break(DisconnectReason::Intentional),
                    _ => *this.phase = Phase::Draining { peer: true },
                },
            }
        }
        Continue(true)
    }

    /// Encodes what waits and flushes, until the channel is pending or nothing waits.
    fn write(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Step<Wrote> {
        let mut this = self.project();
        let mut progress = false;
        loop {
            let (mut messages, mut bytes) = (0, 0);
            let blocked = loop {
                if let Some(calling) = this.calling.as_mut().as_pin_mut() {
                    match calling.poll(cx) {
                        Poll::Pending => break true,
                        Poll::Ready(done) => {
                            this.calling.set(None);
                            if let Err(error) = done {
                                refused(this.shared, *this.called - 1, error.into());
                            }
                        }
                    }
                }
                if this.batch.is_empty() {
                    break false;
                }
                match this.channel.poll_ready(cx) {
                    Poll::Pending => break true,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Break(broken(*this.phase, error.into())),
                }
                if this.channel.buffered() == 0 {
                    *this.taken = *this.called;
                }
                let Some(msg) = this.batch.pop_front() else {
                    break false;
                };
                messages += 1;
                bytes += msg.size();
                *this.called += 1;
                this.calling.set(Some(this.channel.call(msg)));
            };
            if !blocked && *this.taken < *this.called {
                match this.channel.poll_flush(cx) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(())) => *this.taken = *this.called,
                    Poll::Ready(Err(error)) => return Break(broken(*this.phase, error.into())),
                }
            }
            progress |= messages > 0;

            let mut backlog = this.shared.lock();
            let (drained, wakes) = backlog.progress(messages, bytes, *this.taken);
            let idle = this.batch.is_empty() && {
                backlog.take(this.batch);
                backlog.park(cx.waker()) && this.batch.is_empty()
            };
            let (closing, stuck) = (backlog.is_closing(), backlog.is_stuck());
            drop(backlog);
            wakes.wake();
            if drained {
                this.shared.config.emit(QueueEvent::Drained);
            }
            if blocked || idle {
                let done = idle && *this.taken == *this.called;
                return Continue(Wrote {
                    progress,
                    done,
                    closing,
                    stuck,
                });
            }
        }
    }

    /// Both sides wait: for the end, for a deadline, or just for the next event.
    fn rest(mut self: Pin<&mut Self>, cx: &mut Context<'_>, written: bool, wrote: Wrote) -> Step {
        let this = self.as_mut().project();
        if wrote.closing && *this.phase == Phase::Open {
            *this.phase = Phase::Draining { peer: false };
        }
        if let Phase::Draining { peer } = *this.phase {
            if peer {
                // Nobody can be let in whose message would be sent.
                this.shared.lock().close().wake();
            }
            if wrote.done {
                match this.channel.poll_close(cx) {
                    Poll::Pending => {}
                    Poll::Ready(_) if peer => return Break(DisconnectReason::Closed),
                    Poll::Ready(Err(error)) => return Break(DisconnectReason::error(error)),
                    Poll::Ready(Ok(())) => {
                        *this.phase = Phase::Lingering;
                        // The stream may hold the end already.
                        cx.waker().wake_by_ref();
                    }
                }
            }
        }
        let wanted = match (*this.phase, this.shared.config.overflow) {
            (Phase::Draining { .. } | Phase::Lingering, _) => {
                Some((Deadline::Drain, this.shared.config.drain_timeout))
            }
            (Phase::Open, Overflow::Disconnect { after }) if wrote.stuck => {
                Some((Deadline::Stall, after))
            }
            _ => None,
        };
        self.keep_time(cx, written, wanted)
    }

    /// Keeps the one timer: set when a deadline begins, unset when its cause is gone.
    fn keep_time(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        written: bool,
        wanted: Option<(Deadline, std::time::Duration)>,
    ) -> Step {
        let mut this = self.project();
        let Some((deadline, after)) = wanted else {
            if this.timer_for.take().is_some() {
                this.timer.set(None);
            }
            return Continue(());
        };
        // A stall is over with every message that goes out; a drain has one deadline.
        let fresh = *this.timer_for != Some(deadline) || (deadline == Deadline::Stall && written);
        if fresh {
            *this.timer_for = Some(deadline);
            this.timer.set(Some(sleep(after)));
        }
        match this.timer.as_pin_mut().map(|timer| timer.poll(cx)) {
            Some(Poll::Ready(())) => {}
            _ => return Continue(()),
        }
        Break(match (deadline, *this.phase) {
            (Deadline::Stall, _) => {
                let level = this.shared.lock().level();
                let (messages, bytes) = (level.messages, level.bytes);
                DisconnectReason::error(Stalled {
                    after,
                    messages,
                    bytes,
                })
            }
            (Deadline::Drain, Phase::Draining { peer: true }) => DisconnectReason::Closed,
            (Deadline::Drain, _) => DisconnectReason::Intentional,
        })
    }
}

impl<C: Service<M>, H: Service<M>, M> Drive<C, H, M> {
    fn finish(self: Pin<&mut Self>, reason: DisconnectReason) {
        let mut this = self.project();
        if std::mem::replace(this.phase, Phase::Ended) == Phase::Ended {
            return;
        }
        this.handling.set(None);
        this.calling.set(None);
        let wakes = this.shared.lock().end(*this.called, reason);
        wakes.wake();
    }
}

/// How far one round of writing came.
struct Wrote {
    progress: bool,
    /// Nothing waits and the kernel has all.
    done: bool,
    closing: bool,
    /// Senders stand in line.
    stuck: bool,
}

/// A peer that has ended its direction may be gone altogether: that is no error of writing.
fn broken(phase: Phase, error: BoxError) -> DisconnectReason {
    match phase {
        Phase::Draining { peer: true } => DisconnectReason::Closed,
        _ => DisconnectReason::error(error),
    }
}

#[cold]
fn refused<M>(shared: &Shared<M>, number: u64, error: BoxError) {
    let error = SharedError::new(error);
    shared.refusals.store(true, Ordering::Release);
    shared.lock().refuse(number, error.clone());
    shared.config.emit(QueueEvent::Refused(error));
}

#[pinned_drop]
impl<C: Service<M>, H: Service<M>, M> PinnedDrop for Drive<C, H, M> {
    fn drop(self: Pin<&mut Self>) {
        self.finish(DisconnectReason::error(Ended));
    }
}

impl<C: Service<M>, H: Service<M>, M> fmt::Debug for Drive<C, H, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drive")
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

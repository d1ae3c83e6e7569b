//! The cloneable handle: `Service<M>`.
//!
//! In: messages. Out: a future of each one's outcome. May touch: the send queue, tokio's coop budget.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use kyneta_uds_core::{DisconnectReason, Message, SmallOffer};
use tower_service::Service;

use crate::{
    batch::MessageBatch,
    counts::QueueCounts,
    current_handler,
    error::{NotQueued, SendError},
    future::{Closed, Flushed, SendFuture, yield_some},
    send_queue::{Acquire, Batch, ByValue, Permit, PermitRequest, Pushed, SendQueue, WaiterKey},
    shared::{Shared, order},
};

/// A bounded, cloneable handle to one channel. When the last one is dropped, what waits is sent and
/// the connection is closed.
///
/// As a `Service`: `poll_ready` reserves a permit, or fails once the connection has ended; `call` uses
/// it, and without one fails with [`SendError::Full`] when there is no room. Nothing panics. A clone
/// has no permit. A permit that is not used for 100 ms while others wait for it and nothing else waits no
/// longer keeps them waiting; it stays good.
///
/// What the connection's own handler sends comes before what others send while messages that were read
/// ahead wait for it: two ends that answer each other never wait for one another.
///
/// ```
/// # use kyneta_uds_core::{Channel, ChannelMsg};
/// # use kyneta_uds_queue::{Handle, SendError};
/// use tower::{Service as _, ServiceExt as _};
///
/// # async fn send(mut handle: Handle<ChannelMsg>, msg: ChannelMsg) -> Result<(), SendError> {
/// handle.ready().await?.call(msg.clone()).await?; // the kernel has taken it
/// handle.queue(msg).await?; // it waits in the queue
/// handle.flushed().await?; // the kernel has taken all
/// # Ok(())
/// # }
/// ```
pub struct Handle<M> {
    pub(crate) shared: Arc<Shared<M>>,
    permit: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    None,
    Waiting(WaiterKey),
    Permit(Permit),
    /// The policy is to fail, and there was no room.
    Overflow,
}

impl<M> Handle<M> {
    pub(crate) fn new(shared: Arc<Shared<M>>) -> Self {
        shared.handles.fetch_add(1, Ordering::Relaxed);
        Self::counted(shared)
    }

    /// One that is counted already.
    pub(crate) const fn counted(shared: Arc<Shared<M>>) -> Self {
        Self {
            shared,
            permit: State::None,
        }
    }

    /// Ready when the kernel has taken all that was called so far, through any handle; or an error
    /// when some of it went down with a connection.
    ///
    /// Cancel safe: dropping it cancels no send.
    pub fn flushed(&self) -> Flushed<M> {
        let outstanding = self.shared.lock().outstanding();
        Flushed::new(self.shared.clone(), outstanding)
    }

    /// Ready, with the reason, when the connection has ended and the handler's last message is over.
    /// Sending may fail earlier: when writing has failed, what the peer said before is still read. The
    /// connection's own handler must not await it: the end waits for the handler, until the drain timeout.
    pub fn closed(&self) -> Closed<M> {
        Closed::new(self.shared.clone())
    }

    /// Accepts no more messages, sends those that wait, then ends the connection. [`closed`](Self::closed)
    /// resolves when that is done, at the latest after the drain timeout.
    pub fn close(&self) {
        self.shared.close(DisconnectReason::Intentional);
    }

    /// Ends the connection at once; what waits fails.
    pub fn abort(&self) {
        self.shared.order.store(order::ABORT, Ordering::Release);
        self.close();
        // One that closes already is not woken by closing.
        let driver = self.shared.lock().take_driver();
        driver.wake();
    }

    /// For a handoff: nothing more is read, and the handler finishes with what was. `done` is told `true` when it has,
    /// and `false` if the connection ends. What is sent is still written. Until [`thaw`](Self::thaw) it stays so.
    ///
    /// ```
    /// # use kyneta_uds_core::ChannelMsg;
    /// # use kyneta_uds_queue::Handle;
    /// # async fn hand_over(handle: Handle<ChannelMsg>) {
    /// let (done, is_aside) = tokio::sync::oneshot::channel();
    /// handle.put_aside(|is_aside| { let _ = done.send(is_aside); }); // it is served on
    /// let _ = is_aside.await;
    /// let (done, is_quiet) = tokio::sync::oneshot::channel();
    /// handle.quiesce(|is_quiet| { let _ = done.send(is_quiet); });
    /// handle.make_room(); // after some time, if the handlers of others do not finish
    /// if is_quiet.await == Ok(true) {
    ///     let (done, is_frozen) = tokio::sync::oneshot::channel();
    ///     handle.freeze(|is_frozen| { let _ = done.send(is_frozen); });
    ///     // Now the state of the channel can be handed over.
    ///     let _ = is_frozen.await;
    /// }
    /// handle.thaw();
    /// # }
    /// ```
    pub fn quiesce(&self, done: impl FnOnce(bool) + Send + 'static) {
        self.shared.halt(order::QUIET, Box::new(done));
    }

    /// Before [`quiesce`](Self::quiesce), where much waits: encodes it beyond the room of the channel, in turns of 1 MiB and up
    /// to as many bytes as may wait in the queue, and has the channel [give out](kyneta_uds_core::Channel::put_ahead) what is
    /// not written. Everything goes on meanwhile; what was given out counts as waiting, except for 256 KiB. `done` is told
    /// `true` then, and `false` if the connection ends, or has a channel that cannot. [`thaw`](Self::thaw) takes it back.
    pub fn send_ahead(&self, done: impl FnOnce(bool) + Send + 'static) {
        self.shared.halt(order::AHEAD, Box::new(done));
    }

    /// Before [`quiesce`](Self::quiesce), where nothing waits: [puts the channel aside](kyneta_uds_core::Channel::put_aside), and
    /// everything goes on. As long as the connection has nothing to do after that, `quiesce` and [`freeze`](Self::freeze) are
    /// done at once; else they do it anew. `done` is told `true` then, and `false` for a connection that has something to do,
    /// ends, or has a channel that cannot be put aside.
    pub fn put_aside(&self, done: impl FnOnce(bool) + Send + 'static) {
        self.shared.halt(order::ASIDE, Box::new(done));
    }

    /// After [`quiesce`](Self::quiesce), for handlers of other connections that wait for room in this queue: what is sent is
    /// encoded beyond the room of the channel, too, up to as many bytes as may wait in the queue.
    pub fn make_room(&self) {
        self.shared.make_room();
    }

    /// After [`quiesce`](Self::quiesce): encodes all that waits, and [puts the channel
    /// aside](kyneta_uds_core::Channel::put_aside). `done` is told `true` then, and `false` if the connection ends or has
    /// a channel that cannot be put aside. What is sent from now on waits, and fails if the connection is dropped.
    pub fn freeze(&self, done: impl FnOnce(bool) + Send + 'static) {
        self.shared.halt(order::FREEZE, Box::new(done));
    }

    /// The channel was put back, if it was aside: everything goes on.
    pub fn thaw(&self) {
        self.shared.thaw();
    }

    /// True once no more messages are accepted.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().is_closed()
    }

    /// How many messages wait, and how many bytes: theirs, and those that a process before this one had encoded and not
    /// written when it handed the connection over.
    pub fn queued(&self) -> (usize, usize) {
        let level = self.shared.lock().level();
        (level.messages, level.bytes)
    }

    /// How many messages have gone out since the start, whatever became of them: with the kernel,
    /// refused, or lost with a connection that they were on their way on. It is a mark that the queue
    /// keeps anyway; asking takes its lock once.
    pub fn gone_out(&self) -> u64 {
        self.shared.lock().outstanding().start
    }

    /// How often each [event](crate::QueueEvent) has happened since the start.
    pub fn counts(&self) -> QueueCounts {
        self.shared.counts()
    }

    /// The request for a permit for a message of `size`.
    fn asks(&self, size: Option<usize>) -> PermitRequest {
        PermitRequest {
            answers: current_handler::is_answering(&self.shared),
            size,
        }
    }
}

impl<M: Message> Handle<M> {
    /// Queues the message if there is room now.
    ///
    /// ```
    /// # use kyneta_uds_core::ChannelMsg;
    /// # use kyneta_uds_queue::{Handle, SendError};
    /// # async fn send(mut handle: Handle<ChannelMsg>, msg: ChannelMsg) -> Result<(), SendError> {
    /// if let Err(not_queued) = handle.try_queue(msg) {
    ///     let SendError::Full { .. } = not_queued.error else { return Err(not_queued.error) };
    ///     handle.queue(not_queued.message).await?; // now it waits for room
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`NotQueued`] with the message: [`SendError::Full`], or the end of the connection.
    pub fn try_queue(&mut self, msg: M) -> Result<(), NotQueued<M>> {
        let size = msg.size();
        let mut msg = Some(msg);
        match (self.push(&mut msg, size), msg) {
            (Err(error), Some(message)) => Err(NotQueued { error, message }),
            _ => Ok(()),
        }
    }

    /// Queues the message at once, whether or not there is room: for a sender that must not wait here, and
    /// waits for room (`poll_ready`) before it takes on the next message. True while there is room for more.
    ///
    /// ```
    /// # use kyneta_uds_core::ChannelMsg;
    /// # use kyneta_uds_queue::{Handle, NotQueued};
    /// # use tower::ServiceExt as _;
    /// # async fn pass_on(handle: &mut Handle<ChannelMsg>, msg: ChannelMsg) -> Result<(), NotQueued<ChannelMsg>> {
    /// if !handle.queue_now(msg)? {
    ///     let _ = handle.clone().ready().await; // the clone returns its permit
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`NotQueued`] with the message: the end of the connection.
    pub fn queue_now(&self, msg: M) -> Result<bool, NotQueued<M>> {
        let size = msg.size();
        let mut send_queue = self.shared.lock();
        if send_queue.is_closed() {
            let error = send_queue.disconnected(false);
            drop(send_queue);
            return Err(NotQueued {
                error,
                message: msg,
            });
        }
        let pushed = send_queue.push_now(msg, size);
        let has_room = send_queue.has_room();
        drop(send_queue);
        wake_driver(pushed);
        Ok(has_room)
    }

    /// Queues all of `batch` at once, in order, as [`queue_now`](Self::queue_now) does each: under one lock. True while
    /// there is room for more.
    ///
    /// ```
    /// # use kyneta_uds_core::ChannelMsg;
    /// # use kyneta_uds_queue::{Handle, MessageBatch, SendError};
    /// # fn pass_on(handle: &Handle<ChannelMsg>, msgs: Vec<ChannelMsg>) -> Result<bool, SendError> {
    /// handle.queue_all_now(&mut msgs.into_iter().collect())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The end of the connection; all messages are left in the batch.
    pub fn queue_all_now(&self, batch: &mut MessageBatch<M>) -> Result<bool, SendError> {
        let mut send_queue = self.shared.lock();
        if send_queue.is_closed() {
            return Err(send_queue.disconnected(false));
        }
        let driver = send_queue.push_all_now(batch.waiting());
        let has_room = send_queue.has_room();
        drop(send_queue);
        if let Some(driver) = driver {
            driver.wake();
        }
        Ok(has_room)
    }

    /// With room and no line, one turn of the lock instead of two. True when the message was taken.
    #[inline]
    pub(crate) fn push_at_once(&mut self, msg: &mut Option<M>, size: usize) -> bool {
        if !matches!(self.permit, State::None) {
            return false;
        }
        let pushed = self.shared.lock().push_at_once(msg, size);
        match pushed {
            Some(pushed) => {
                wake_driver(pushed);
                true
            }
            None => false,
        }
    }

    /// As [`push_at_once`](Self::push_at_once), of a small offer.
    #[inline]
    pub(crate) fn push_small_at_once(
        &mut self,
        offer: &SmallOffer<'_>,
        size: usize,
        by_value: ByValue<M>,
    ) -> bool {
        if !matches!(self.permit, State::None) {
            return false;
        }
        let pushed = self.shared.lock().push_small_at_once(offer, size, by_value);
        match pushed {
            Some(pushed) => {
                wake_driver(pushed);
                true
            }
            None => false,
        }
    }

    /// Queues from the front of `msgs` what there is room for; nothing while this handle holds or waits for a permit, which
    /// is used first.
    pub(crate) fn push_all_at_once(&mut self, msgs: &mut Batch<M>) {
        if matches!(self.permit, State::None) && !msgs.is_empty() {
            let driver = self.shared.lock().push_all_at_once(msgs);
            if let Some(driver) = driver {
                driver.wake();
            }
        }
    }

    /// Reserves a permit, for a message of `size` where that is known.
    #[inline]
    pub(crate) fn poll_permit(
        &mut self,
        cx: &mut Context<'_>,
        size: Option<usize>,
    ) -> Poll<Result<(), SendError>> {
        let permit = match self.permit {
            State::Permit(_) => return Poll::Ready(Ok(())),
            State::Waiting(key) => {
                let mut waker = Some(cx.waker().clone());
                let permit = self.shared.lock().poll_acquire(key, &mut waker);
                drop(waker);
                permit
            }
            State::None | State::Overflow => {
                let asks = self.asks(size);
                let free = self.shared.lock().try_acquire(asks);
                match free {
                    Some(permit) => permit,
                    None => {
                        let mut waker = Some(cx.waker().clone());
                        let (permit, wakes) = self.shared.lock().acquire_or_wait(asks, &mut waker);
                        wakes.wake();
                        permit
                    }
                }
            }
        };
        match permit {
            Acquire::Permit(reserved) => {
                self.permit = State::Permit(reserved);
                Poll::Ready(Ok(()))
            }
            Acquire::Wait(key) => {
                self.permit = State::Waiting(key);
                Poll::Pending
            }
            Acquire::Full => {
                // A task that tries again at once must not keep its thread from the driver.
                self.permit = State::None;
                let wakes = self.shared.lock().reject_full();
                wakes.wake();
                ready!(yield_some(cx));
                self.permit = State::Overflow;
                Poll::Ready(Ok(()))
            }
            Acquire::Closed(error) => {
                self.permit = State::None;
                Poll::Ready(Err(error))
            }
        }
    }

    /// Queues a message of `size`; else leaves it where it is.
    #[inline]
    pub(crate) fn push(&mut self, msg: &mut Option<M>, size: usize) -> Result<u64, SendError> {
        self.push_by(size, |send_queue, permit| {
            send_queue.push(msg.take(), size, permit)
        })
    }

    /// Queues a small offer of `size`.
    pub(crate) fn push_small(
        &mut self,
        offer: &SmallOffer<'_>,
        size: usize,
        by_value: ByValue<M>,
    ) -> Result<u64, SendError> {
        self.push_by(size, |send_queue, permit| {
            send_queue.push_small(offer, size, by_value, permit)
        })
    }

    /// Queues the first message of `msgs`, which is of `size`; else leaves it where it is.
    pub(crate) fn push_first(
        &mut self,
        msgs: &mut Batch<M>,
        size: usize,
    ) -> Result<u64, SendError> {
        self.push_by(size, |send_queue, permit| {
            send_queue.push_first(msgs, size, permit)
        })
    }

    /// Queues a message of `size`, by `push`.
    #[inline(always)]
    fn push_by(
        &mut self,
        size: usize,
        push: impl FnOnce(&mut SendQueue<M>, Permit) -> Pushed,
    ) -> Result<u64, SendError> {
        let asks = self.asks(Some(size));
        let permit = std::mem::replace(&mut self.permit, State::None);
        let mut left = None;
        let mut send_queue = self.shared.lock();
        let reserved = match permit {
            State::Permit(reserved) => Ok(reserved),
            State::Overflow => Err(send_queue.full()),
            State::Waiting(key) => {
                let (granted, waits) = send_queue.take_granted(key);
                left = waits;
                match granted {
                    Some(reserved) => Ok(reserved),
                    None => send_queue.acquire_now(asks),
                }
            }
            State::None => send_queue.acquire_now(asks),
        };
        let pushed = match reserved {
            Ok(_) if send_queue.is_closed() => Err(send_queue.disconnected(false)),
            Ok(reserved) => Ok(push(&mut send_queue, reserved)),
            Err(error) => {
                let wakes = send_queue.reject_full();
                drop(send_queue);
                drop(left);
                wakes.wake();
                return Err(error);
            }
        };
        drop(send_queue);
        drop(left);
        pushed.map(wake_driver)
    }

    /// Returns a permit, or stops waiting for one.
    pub(crate) fn give_back(&mut self) {
        give_back(&self.shared, &mut self.permit);
    }
}

#[inline]
fn wake_driver(pushed: Pushed) -> u64 {
    if let Some(driver) = pushed.driver {
        driver.wake();
    }
    pushed.number
}

fn give_back<M>(shared: &Shared<M>, permit: &mut State) {
    match std::mem::replace(permit, State::None) {
        State::Waiting(key) => {
            let (wakes, left) = shared.lock().cancel_wait(key);
            wakes.wake();
            drop(left);
        }
        State::Permit(reserved) => {
            let wakes = shared.lock().release(reserved);
            wakes.wake();
        }
        State::None | State::Overflow => {}
    }
}

impl<M: Message> Service<M> for Handle<M> {
    type Response = ();
    type Error = SendError;
    type Future = SendFuture<M>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_permit(cx, None)
    }

    #[inline]
    fn call(&mut self, msg: M) -> SendFuture<M> {
        let size = msg.size();
        match self.push(&mut Some(msg), size) {
            Ok(number) => SendFuture::queued(self.shared.clone(), number),
            Err(error) => SendFuture::failed(error),
        }
    }
}

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone())
    }
}

impl<M> Drop for Handle<M> {
    fn drop(&mut self) {
        give_back(&self.shared, &mut self.permit);
        if self.shared.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close();
        }
    }
}

impl<M> fmt::Debug for Handle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (messages, bytes) = self.queued();
        f.debug_struct("Handle")
            .field("permit", &self.permit)
            .field("messages", &messages)
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}

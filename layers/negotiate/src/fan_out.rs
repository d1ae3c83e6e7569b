//! The queues of those who have connected to us, as one.
//!
//! In: handles as members come. Out: each message to each of them. May touch: their queues, tokio's
//! clock for the time that an empty hub holds on to messages.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use kyneta_uds_core::Message;
use kyneta_uds_queue::{Flushed, Handle};
use tokio::time::{Sleep, sleep};
use tower_service::Service as _;

use crate::acceptor::Member as Joined;

/// Those who have connected to us.
pub(crate) struct FanOut<M> {
    members: Vec<Member<M>>,
    next: u64,
    /// Each ready, with its member's key, when that one has ended.
    ends: FuturesUnordered<Pin<Box<dyn Future<Output = u64> + Send>>>,
    regroup: Duration,
    /// Nobody is here, but somebody was a moment ago.
    hold: Option<Pin<Box<Sleep>>>,
    /// That messages are held has been logged.
    told: bool,
}

struct Member<M> {
    key: u64,
    handle: Handle<M>,
    /// Has a slot.
    ready: bool,
    flush: Flush<M>,
}

enum Flush<M> {
    Clean,
    Dirty,
    Waiting(Flushed<M>),
}

impl<M: Message + Clone> FanOut<M> {
    /// An empty hub. It is `expecting` when somebody was connected to us or we to somebody.
    pub(crate) fn new(regroup: Duration, expecting: bool) -> Self {
        Self {
            members: Vec::new(),
            next: 0,
            ends: FuturesUnordered::new(),
            regroup,
            hold: expecting.then(|| Box::pin(sleep(regroup))),
            told: false,
        }
    }

    pub(crate) fn add(&mut self, joined: Joined<M>) {
        let Joined { handle, permit } = joined;
        let (key, closed) = (self.next, handle.closed());
        self.next += 1;
        self.hold = None;
        self.ends.push(Box::pin(async move {
            closed.await;
            drop(permit);
            key
        }));
        self.members.push(Member {
            key,
            handle,
            ready: false,
            flush: Flush::Clean,
        });
    }

    /// Nobody will come any more.
    pub(crate) fn expect_no_members(&mut self) {
        (self.regroup, self.hold) = (Duration::ZERO, None);
    }

    /// Forgets those who have ended.
    pub(crate) fn reap(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(key)) = self.ends.poll_next_unpin(cx) {
            self.members.retain(|member| member.key != key);
            if self.members.is_empty() {
                self.hold = Some(Box::pin(sleep(self.regroup)));
                self.told = false;
            }
        }
    }

    /// Ready when each who is not at its end has room, or when nobody is here, or waited for.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.reap(cx);
        if self.members.is_empty() {
            let Some(hold) = &mut self.hold else {
                return Poll::Ready(());
            };
            let held = hold.as_mut().poll(cx);
            if held.is_pending() && !std::mem::replace(&mut self.told, true) {
                let most = self.regroup;
                tracing::info!(
                    ?most,
                    "no member is connected: a message is held for one to come"
                );
            }
            return held;
        }
        let (mut all, mut any) = (true, false);
        for member in &mut self.members {
            // One that fails lets no more in; when it has ended it is reaped.
            if !member.ready {
                member.ready = matches!(member.handle.poll_ready(cx), Poll::Ready(Ok(())));
                all &= member.ready || member.handle.is_closed();
            }
            any |= member.ready;
            // Looked at before more is called: who never pauses must not put off the rest's news.
            if let Flush::Waiting(_) = member.flush {
                let _ = member.poll_flush(cx);
            }
        }
        // With all of them at their end nobody would get it.
        if all && any {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Queues a copy with each who has room.
    pub(crate) fn call(&mut self, msg: M) {
        let mut ready = self.members.iter_mut().filter(|member| member.ready);
        let last = ready.next_back();
        for member in ready {
            member.take(msg.clone());
        }
        if let Some(member) = last {
            member.take(msg);
        }
    }

    /// Ready when each one's kernel has taken all, or is gone.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut all = true;
        for member in &mut self.members {
            all &= member.poll_flush(cx).is_ready();
        }
        if all { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(crate) fn is_flushed(&self) -> bool {
        let clean = |member: &Member<M>| matches!(member.flush, Flush::Clean);
        self.members.iter().all(clean)
    }

    /// Ready when all have ended.
    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.reap(cx);
        if self.members.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl<M> FanOut<M> {
    /// Ends each, once what waits for it is sent.
    pub(crate) fn close(&self) {
        for member in &self.members {
            member.handle.close();
        }
    }
}

impl<M: Message> Member<M> {
    fn take(&mut self, msg: M) {
        self.ready = false;
        self.flush = Flush::Dirty;
        drop(self.handle.call(msg));
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Flush::Dirty = self.flush {
            self.flush = Flush::Waiting(self.handle.flushed());
        }
        let Flush::Waiting(flushed) = &mut self.flush else {
            return Poll::Ready(());
        };
        // One that fails has ended: its copy is told of by its own end.
        if Pin::new(flushed).poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.flush = Flush::Clean;
        Poll::Ready(())
    }
}

impl<M> Drop for FanOut<M> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<M> fmt::Debug for FanOut<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanOut")
            .field("members", &self.members.len())
            .field("regroup", &self.regroup)
            .finish_non_exhaustive()
    }
}

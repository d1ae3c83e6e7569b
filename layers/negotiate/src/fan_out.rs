//! The queues of all accepted connections, as one.
//!
//! In: handles of new members. Out: each message to each member. May touch: their queues, tokio's clock for
//! the time that messages are kept without members.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use kyneta_uds_core::Message;
use kyneta_uds_queue::{Flushed, Handle};
use tokio::time::{Sleep, sleep};
use tower_service::Service as _;

/// The members: the accepted connections that stand.
pub(crate) struct FanOut<M> {
    members: Vec<Member<M>>,
    next_key: u64,
    /// Each resolves to its member's key when that member has ended.
    ends: FuturesUnordered<Pin<Box<dyn Future<Output = u64> + Send>>>,
    regroup: Duration,
    /// While there are no members: until when messages are kept for the next one.
    keep: Option<Pin<Box<Sleep>>>,
    /// It has been logged that messages are kept.
    is_logged: bool,
}

struct Member<M> {
    key: u64,
    handle: Handle<M>,
    /// Has a permit for the next message.
    ready: bool,
    flush: Flush<M>,
}

enum Flush<M> {
    Clean,
    Dirty,
    Waiting(Flushed<M>),
}

impl<M: Message + Clone> FanOut<M> {
    /// Without members. Messages are kept for some time if there `were_peers`.
    pub(crate) fn new(regroup: Duration, were_peers: bool) -> Self {
        Self {
            members: Vec::new(),
            next_key: 0,
            ends: FuturesUnordered::new(),
            regroup,
            keep: were_peers.then(|| Box::pin(sleep(regroup))),
            is_logged: false,
        }
    }

    pub(crate) fn add(&mut self, handle: Handle<M>) {
        let (key, closed) = (self.next_key, handle.closed());
        self.next_key += 1;
        self.keep = None;
        self.ends.push(Box::pin(closed.map(move |_| key)));
        self.members.push(Member {
            key,
            handle,
            ready: false,
            flush: Flush::Clean,
        });
    }

    /// No more members will come.
    pub(crate) fn expect_no_members(&mut self) {
        (self.regroup, self.keep) = (Duration::ZERO, None);
    }

    /// Removes members that have ended.
    pub(crate) fn reap(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(key)) = self.ends.poll_next_unpin(cx) {
            self.members.retain(|member| member.key != key);
            if self.members.is_empty() {
                self.keep = Some(Box::pin(sleep(self.regroup)));
                self.is_logged = false;
            }
        }
    }

    /// Ready when every open member has room, or when there are no members and the regroup timeout has
    /// passed.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.reap(cx);
        if self.members.is_empty() {
            let Some(keep) = &mut self.keep else {
                return Poll::Ready(());
            };
            let kept = keep.as_mut().poll(cx);
            if kept.is_pending() && !std::mem::replace(&mut self.is_logged, true) {
                let most = self.regroup;
                tracing::info!(
                    ?most,
                    "no member is connected: a message is held for one to come"
                );
            }
            return kept;
        }
        let (mut all, mut any) = (true, false);
        for member in &mut self.members {
            // A member that fails takes no more, and is removed once it has ended.
            if !member.ready {
                member.ready = matches!(member.handle.poll_ready(cx), Poll::Ready(Ok(())));
                all &= member.ready || member.handle.is_closed();
            }
            any |= member.ready;
            // Before more is called: a sender that never pauses must not delay what the others flushed.
            if let Flush::Waiting(_) = member.flush {
                let _ = member.poll_flush(cx);
            }
        }
        // With all members at their end no peer would get the message.
        if all && any {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Queues a copy for each member that has room. False without one: the message is dropped.
    pub(crate) fn call(&mut self, msg: M) -> bool {
        let mut ready = self.members.iter_mut().filter(|member| member.ready);
        let Some(last) = ready.next_back() else {
            return false;
        };
        for member in ready {
            member.call(msg.clone());
        }
        last.call(msg);
        true
    }

    /// Ready when the kernel has taken all for each member, or the member has ended.
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

    /// Ready when all members have ended.
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
    /// Ends each member, once what is queued for it is sent.
    pub(crate) fn close(&self) {
        for member in &self.members {
            member.handle.close();
        }
    }
}

impl<M: Message> Member<M> {
    fn call(&mut self, msg: M) {
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
        // A member that fails has ended, and its end reports what was lost.
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

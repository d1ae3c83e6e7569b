//! What waits for the handler: messages, and events that are in one order with them.
//!
//! In: deliveries of the member. Out: the same, one by one; which of them the handler has got. May touch: locks of its own. It
//! is bounded by the windows of the senders, because what waits here is not acknowledged; or, of a member that keeps the newest,
//! by their number.

use std::{
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use kyneta_uds_bus::{Message, SeqNo, SlowPolicy};
use kyneta_uds_core::ignore_poison;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{bundle, event::BusEvent, info::MemberInfo, newest, wire::Body};

/// From so many requests and answers on, their acknowledgement goes with what is written next. One of its own for each would
/// cost as much as the answer.
const RIPE: usize = 16;

/// One thing to hand over.
#[derive(Debug)]
pub(crate) enum Delivery {
    Message {
        from: Arc<MemberInfo>,
        message: Message<Body>,
        /// Of a request: cancelled when its answer is not wanted any more.
        request: Option<CancellationToken>,
    },
    /// Messages of one sender that ask for no answer, and bundles of such to all.
    Run(Arc<MemberInfo>, Vec<Message<Body>>),
    Event(BusEvent),
}

impl Delivery {
    fn len(&self) -> usize {
        match self {
            Self::Run(_, run) => run.iter().map(bundle::count).sum(),
            _ => 1,
        }
    }
}

/// What the task that hands over does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Handing {
    #[default]
    Runs,
    /// It is to stop.
    Stops,
    /// The handler is at work on nothing, and gets nothing.
    Rests,
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Vec<Delivery>>,
    /// So many messages to all wait at most: older ones give way.
    newest: Option<NonZeroU32>,
    /// How many messages and events that is.
    len: AtomicUsize,
    some: Notify,
    /// The last message of each sender that the handler has got, where that is to be acknowledged.
    got: Mutex<Vec<(Arc<MemberInfo>, SeqNo)>>,
    /// Requests and answers that are not acknowledged.
    owed_lazily: AtomicUsize,
    is_closed: AtomicBool,
    /// The handler is to get nothing more.
    is_held: AtomicBool,
    handing: watch::Sender<Handing>,
}

impl Inbox {
    pub(crate) fn new(slow: SlowPolicy) -> Self {
        let newest = match slow {
            SlowPolicy::Newest(most) => Some(most),
            _ => None,
        };
        Self {
            newest,
            ..Self::default()
        }
    }

    pub(crate) fn push(&self, delivery: Delivery) {
        let mut waiting = ignore_poison(self.waiting.lock());
        let len = self.len.fetch_add(delivery.len(), Ordering::Relaxed) + delivery.len();
        waiting.push(delivery);
        if let Some(most) = self.newest {
            self.keep_newest(most, len, &mut waiting);
        }
    }

    /// Drops a quarter at a time where many may wait: each time all that waits is looked at.
    fn keep_newest(&self, most: NonZeroU32, len: usize, waiting: &mut Vec<Delivery>) {
        let most = usize::try_from(most.get()).unwrap_or(usize::MAX);
        let limit = most.saturating_add(most / 4);
        if len <= limit {
            return;
        }
        let waits: usize = waiting.iter().map(newest::droppable).sum();
        if waits > limit {
            // What gives way is not waited for, and what is addressed before it no longer.
            newest::drop_oldest(waiting, waits - most, |from, n| self.got(from, n));
            let len = waiting.iter().map(Delivery::len).sum();
            self.len.store(len, Ordering::Relaxed);
        }
    }

    /// After something was pushed.
    pub(crate) fn wake(&self) {
        self.some.notify_one();
    }

    /// Moves what waits, if anything does, to an empty list, whose memory is used from now on.
    pub(crate) fn take(&self, into: &mut Vec<Delivery>) {
        let mut waiting = ignore_poison(self.waiting.lock());
        self.len.store(0, Ordering::Relaxed);
        std::mem::swap(&mut *waiting, into);
    }

    /// A request or an answer has come, whose acknowledgement may go with others: how many of these there are now.
    pub(crate) fn owe_lazily(&self) -> usize {
        self.owed_lazily.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub(crate) fn owed_lazily(&self) -> usize {
        self.owed_lazily.load(Ordering::Acquire)
    }

    /// All that has come is acknowledged now.
    pub(crate) fn owe_nothing_lazily(&self) {
        self.owed_lazily.store(0, Ordering::Release);
    }

    /// True when what is written now is to take acknowledgements along.
    pub(crate) fn has_ripe(&self) -> bool {
        self.owed_lazily() >= RIPE
    }

    /// The handler has got a sender's messages up to this number.
    pub(crate) fn got(&self, from: &Arc<MemberInfo>, n: SeqNo) {
        let mut got = ignore_poison(self.got.lock());
        match got.iter_mut().rfind(|(of, _)| Arc::ptr_eq(of, from)) {
            Some((_, last)) => *last = n.max(*last),
            None => got.push((from.clone(), n)),
        }
    }

    /// What it has got since the last time, of each sender.
    pub(crate) fn tell_got(&self, mut tell: impl FnMut(&MemberInfo, SeqNo)) {
        let mut got = ignore_poison(self.got.lock());
        got.drain(..).for_each(|(from, n)| tell(&from, n));
    }

    /// Looks at what waits.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&[Delivery]) -> T) -> T {
        look(&ignore_poison(self.waiting.lock()))
    }

    /// The handler gets nothing more, until [`release`](Self::release).
    pub(crate) fn hold(&self) {
        self.handing.send_if_modified(|handing| {
            let runs = *handing == Handing::Runs;
            if runs {
                *handing = Handing::Stops;
            }
            runs
        });
        self.is_held.store(true, Ordering::Release);
        self.some.notify_one();
    }

    pub(crate) fn release(&self) {
        self.is_held.store(false, Ordering::Release);
        self.handing.send_replace(Handing::Runs);
    }

    /// The handler is to get nothing more.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Acquire)
    }

    /// Ready when the handler is at work on nothing, after [`hold`](Self::hold). Cancel safe.
    pub(crate) async fn held(&self) {
        let mut handing = self.handing.subscribe();
        // No error: there is a sender.
        let _ = handing.wait_for(|of| *of == Handing::Rests).await;
    }

    /// Puts back what the handler has not got, and waits until it is released or closed.
    pub(crate) async fn rest(&self, mut not_got: Vec<Delivery>) {
        if !not_got.is_empty() {
            let mut waiting = ignore_poison(self.waiting.lock());
            let len = not_got.iter().map(Delivery::len).sum();
            self.len.fetch_add(len, Ordering::Relaxed);
            not_got.append(&mut waiting);
            *waiting = not_got;
        }
        let mut handing = self.handing.subscribe();
        while *handing.borrow_and_update() != Handing::Runs {
            self.handing.send_if_modified(|of| {
                let stops = *of == Handing::Stops;
                if stops {
                    *of = Handing::Rests;
                }
                stops
            });
            if handing.changed().await.is_err() {
                return;
            }
        }
        // What came meanwhile.
        self.some.notify_one();
    }

    /// Ready when something may wait, or when it is closed. Cancel safe.
    pub(crate) async fn changed(&self) {
        self.some.notified().await;
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.release();
        self.some.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}

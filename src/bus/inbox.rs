//! What waits for the handler: messages, and events that are in one order with them.
//!
//! In: deliveries of the member. Out: the same, one by one. May touch: a lock of its own. It is bounded by the windows
//! of the senders, because what waits here is not acknowledged once it is many.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use kyneta_uds_bus::SeqNo;
use kyneta_uds_core::ignore_poison;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{event::BusEvent, info::MemberInfo};

/// One thing to hand over.
#[derive(Debug)]
pub(crate) enum Delivery {
    Message {
        from: Arc<MemberInfo>,
        seq: SeqNo,
        to_me: bool,
        at_once: bool,
        data: Bytes,
        /// Of a request: cancelled when its answer is not wanted any more.
        request: Option<CancellationToken>,
    },
    Event(BusEvent),
    /// A message that was for this library. It is to be acknowledged at once.
    Handled,
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<VecDeque<Delivery>>,
    some: Notify,
    is_closed: AtomicBool,
}

impl Inbox {
    pub(crate) fn push(&self, delivery: Delivery) {
        ignore_poison(self.waiting.lock()).push_back(delivery);
    }

    /// After something was pushed.
    pub(crate) fn wake(&self) {
        self.some.notify_one();
    }

    /// What waits, if anything does.
    pub(crate) fn take(&self) -> VecDeque<Delivery> {
        let mut waiting = ignore_poison(self.waiting.lock());
        std::mem::take(&mut *waiting)
    }

    pub(crate) fn len(&self) -> usize {
        ignore_poison(self.waiting.lock()).len()
    }

    /// Ready when something may wait, or when it is closed. Cancel safe.
    pub(crate) async fn changed(&self) {
        self.some.notified().await;
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.some.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}

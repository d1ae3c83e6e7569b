//! Completion: what became of each message, for the futures that wait for it.
//!
//! In: numbers of messages, wakers. Out: outcomes, and wakers to be woken or dropped without the lock.
//! Touches nothing.

use std::{ops::Range, task::Waker};

use kyneta_uds_core::DisconnectReason;

use super::{SendQueue, State, wakes::Wakes};
use crate::error::SendError;

/// The number of a future that waits for the end.
const END: u64 = u64::MAX;

/// Identifies a waiting `Flushed` or `Closed` future; removed when that is dropped. Ordered by the number
/// that it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CompletionKey {
    mark: u64,
    number: u64,
}

impl<M> SendQueue<M> {
    /// The number after the last message queued so far.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The messages that the kernel has not taken yet.
    pub(crate) fn outstanding(&self) -> Range<u64> {
        self.taken..self.next
    }

    /// The outcome of message `number`; `None` while it is open, and `waker` is kept then. What `waker` holds
    /// afterwards is to be dropped without the lock.
    pub(crate) fn outcome(
        &mut self,
        number: u64,
        waker: &mut Option<Waker>,
    ) -> Option<Result<(), SendError>> {
        if let Some(failures) = &mut self.failures {
            if let Some(error) = failures.take_refusal(number) {
                return Some(Err(SendError::Refused(error)));
            }
            if number < self.taken {
                if let Some(error) = failures.losses.within(number..number + 1) {
                    return Some(Err(error));
                }
                if !failures.knows(number) {
                    return Some(Err(SendError::Forgotten));
                }
            }
        }
        if number < self.taken {
            return Some(Ok(()));
        }
        if let State::Failed(_) | State::Closed(_) = self.state {
            return Some(Err(self.disconnected(number < self.encoded)));
        }
        self.wait_for_message(number, waker);
        None
    }

    /// Wakes `waker` when the kernel has taken message `number`. One future waits for each number.
    fn wait_for_message(&mut self, number: u64, waker: &mut Option<Waker>) {
        let found = self
            .message_waiters
            .binary_search_by_key(&number, |(number, _)| *number);
        match found {
            Err(at) => {
                if let Some(waker) = waker.take() {
                    self.message_waiters.insert(at, (number, waker));
                }
            }
            Ok(at) => {
                if let (Some((_, known)), Some(waker)) = (self.message_waiters.get_mut(at), waker)
                    && !known.will_wake(waker)
                {
                    std::mem::swap(known, waker);
                }
            }
        }
    }

    /// Ready when the kernel has taken all of `range`, or some were lost with a connection. `key` identifies
    /// the waiting future. What `waker` holds afterwards is to be dropped without the lock.
    pub(crate) fn flushed(
        &mut self,
        range: Range<u64>,
        key: &mut Option<CompletionKey>,
        waker: &mut Option<Waker>,
    ) -> Option<Result<(), SendError>> {
        if let Some(failures) = &self.failures
            && let Some(error) = failures.losses.within(range.clone())
        {
            return Some(Err(error));
        }
        if range.end <= self.taken {
            return Some(Ok(()));
        }
        if let State::Failed(_) | State::Closed(_) = self.state {
            // The kernel may have taken some of what was encoded, in order.
            return Some(Err(self.disconnected(range.start < self.encoded)));
        }
        self.wait_for(key, range.end, waker);
        None
    }

    /// Ready at the end.
    pub(crate) fn closed(
        &mut self,
        key: &mut Option<CompletionKey>,
        waker: &mut Option<Waker>,
    ) -> Option<DisconnectReason> {
        if let State::Closed(reason) = &self.state {
            return Some(reason.clone());
        }
        self.wait_for(key, END, waker);
        None
    }

    fn wait_for(&mut self, key: &mut Option<CompletionKey>, mark: u64, waker: &mut Option<Waker>) {
        let known = key.and_then(|key| self.completions.get_mut(&key));
        match (known, &mut *waker) {
            (Some(known), Some(waker)) => {
                if !known.will_wake(waker) {
                    std::mem::swap(known, waker);
                }
            }
            _ => {
                let number = self.next_completion;
                self.next_completion += 1;
                let taken = CompletionKey { mark, number };
                *key = Some(taken);
                if let Some(waker) = waker.take() {
                    self.completions.insert(taken, waker);
                }
            }
        }
    }

    /// A waiting future is dropped; drop its waker without the lock.
    #[must_use]
    pub(crate) fn forget_waiter(&mut self, key: CompletionKey) -> Option<Waker> {
        self.completions.remove(&key)
    }

    /// Wakes the futures whose number has been reached.
    pub(super) fn reached(&mut self, taken: u64, wakes: &mut Wakes) {
        let done = self
            .message_waiters
            .partition_point(|(number, _)| *number < taken);
        for (_, waker) in self.message_waiters.drain(..done) {
            wakes.push(Some(waker));
        }
        while let Some(key) = self.completions.first_entry()
            && key.key().mark <= taken
        {
            wakes.push(Some(key.remove()));
        }
    }

    /// Wakes the futures that wait for messages, but for the end.
    pub(super) fn reached_all(&mut self, wakes: &mut Wakes) {
        self.reached(END - 1, wakes);
    }

    pub(super) fn reached_end(&mut self, wakes: &mut Wakes) {
        self.reached(END, wakes);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use crate::{config::Overflow, send_queue::SendQueue};

    #[test]
    fn a_future_that_waits_is_registered_once_and_removed_when_it_is_dropped() {
        let mut send_queue: SendQueue<u8> = SendQueue::new(1, 1, Overflow::Wait, None);
        let (mut flushed, mut closed) = (None, None);
        let waker = || Some(Waker::noop().clone());
        for _ in 0..3 {
            assert!(
                send_queue
                    .flushed(0..1, &mut flushed, &mut waker())
                    .is_none()
            );
            assert!(send_queue.closed(&mut closed, &mut waker()).is_none());
            assert_eq!(send_queue.completions.len(), 2);
        }
        assert!(send_queue.forget_waiter(flushed.unwrap()).is_some());
        assert!(send_queue.forget_waiter(closed.unwrap()).is_some());
        assert!(send_queue.completions.is_empty());
    }
}

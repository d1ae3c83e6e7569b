//! Marks: what became of each message, for the futures that ask.

use std::{ops::Range, task::Waker};

use kyneta_uds_core::{DisconnectReason, SharedError};

use super::{Backlog, State, Wakes};
use crate::error::SendError;

/// How many refusals are kept for futures that have not asked yet.
const MAX_REFUSALS: usize = 1024;

/// Where a future waits that is not about one message; given up when it is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat(u64);

#[derive(Debug)]
pub(super) struct Sitter {
    seat: Seat,
    mark: u64,
    waker: Waker,
}

impl<M> Backlog<M> {
    /// The number after the last message queued so far.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The messages that the kernel has not taken yet.
    pub(crate) fn outstanding(&self) -> Range<u64> {
        self.taken..self.next
    }

    /// What became of message `number`; `None` while that is open, and `waker` is woken when not.
    pub(crate) fn outcome(&mut self, number: u64, waker: &Waker) -> Option<Result<(), SendError>> {
        if let Some(error) = self.refused.remove(&number) {
            return Some(Err(SendError::Refused(error)));
        }
        if number < self.taken {
            if let Some(error) = self.losses.within(number..number + 1) {
                return Some(Err(error));
            }
            let known = number >= self.forgotten;
            return Some(if known {
                Ok(())
            } else {
                Err(SendError::Forgotten)
            });
        }
        if let State::Closed(_) = self.state {
            return Some(Err(self.disconnected(number < self.encoded)));
        }
        self.watch(number, waker);
        None
    }

    /// Wakes `waker` when message `number` is with the kernel. One future asks for a number.
    fn watch(&mut self, number: u64, waker: &Waker) {
        match self
            .watchers
            .binary_search_by_key(&number, |(number, _)| *number)
        {
            Err(at) => self.watchers.insert(at, (number, waker.clone())),
            Ok(at) => {
                if let Some((_, known)) = self.watchers.get_mut(at) {
                    known.clone_from(waker);
                }
            }
        }
    }

    /// Forgets a refusal that a dropped future would have asked for.
    pub(crate) fn forget(&mut self, number: u64) {
        self.refused.remove(&number);
    }

    /// Ready when all of `range` are with the kernel, or some went down with a connection. `seat` is
    /// where the future waits.
    pub(crate) fn flushed(
        &mut self,
        range: Range<u64>,
        seat: &mut Option<Seat>,
        waker: &Waker,
    ) -> Option<Result<(), SendError>> {
        if let Some(error) = self.losses.within(range.clone()) {
            return Some(Err(error));
        }
        if range.end <= self.taken {
            return Some(Ok(()));
        }
        if let State::Closed(_) = self.state {
            return Some(Err(self.disconnected(range.end <= self.encoded)));
        }
        self.sit(seat, range.end, waker);
        None
    }

    /// Ready at the end.
    pub(crate) fn closed(
        &mut self,
        seat: &mut Option<Seat>,
        waker: &Waker,
    ) -> Option<DisconnectReason> {
        if let State::Closed(reason) = &self.state {
            return Some(reason.clone());
        }
        self.sit(seat, u64::MAX, waker);
        None
    }

    fn sit(&mut self, seat: &mut Option<Seat>, mark: u64, waker: &Waker) {
        let known = seat.and_then(|seat| self.seated.iter_mut().find(|sitter| sitter.seat == seat));
        match known {
            Some(sitter) => sitter.waker.clone_from(waker),
            None => {
                let taken = Seat(self.next_seat);
                self.next_seat += 1;
                *seat = Some(taken);
                self.seated.push(Sitter {
                    seat: taken,
                    mark,
                    waker: waker.clone(),
                });
            }
        }
    }

    /// A future that waited is dropped.
    pub(crate) fn stand(&mut self, seat: Seat) {
        self.seated.retain(|sitter| sitter.seat != seat);
    }

    /// Those who wait for a mark that has been reached.
    pub(super) fn reached(&mut self, taken: u64, wakes: &mut Wakes) {
        let done = self.watchers.partition_point(|(number, _)| *number < taken);
        for (_, waker) in self.watchers.drain(..done) {
            wakes.push(Some(waker));
        }
        for sitter in self.seated.extract_if(.., |sitter| sitter.mark <= taken) {
            wakes.push(Some(sitter.waker));
        }
    }

    /// Message `number` could not be encoded.
    pub(crate) fn refuse(&mut self, number: u64, error: SharedError) {
        if self.refused.len() >= MAX_REFUSALS
            && let Some((number, _)) = self.refused.pop_first()
        {
            self.forgotten = self.forgotten.max(number + 1);
        }
        self.refused.insert(number, error);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use crate::{backlog::Backlog, config::Overflow};

    #[test]
    fn who_waits_has_one_seat_and_gives_it_up() {
        let mut backlog: Backlog<u8> = Backlog::new(1, 1, Overflow::Wait, None);
        let (mut flushed, mut closed) = (None, None);
        for _ in 0..3 {
            assert!(backlog.flushed(0..1, &mut flushed, Waker::noop()).is_none());
            assert!(backlog.closed(&mut closed, Waker::noop()).is_none());
            assert_eq!(backlog.seated.len(), 2);
        }
        backlog.stand(flushed.unwrap());
        backlog.stand(closed.unwrap());
        assert!(backlog.seated.is_empty());
    }
}

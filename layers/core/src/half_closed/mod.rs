//! A half-closed connection: one direction has ended, the other is finished within a time limit.
//!
//! In: a channel, which direction has ended, a deadline. Out: what still arrives, and how it ended. May touch: the
//! channel.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::channel::{Channel, Inbound};

/// Which direction of a [`HalfClosed`] connection has ended, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HalfClose {
    /// The peer has ended its direction: what was called is flushed.
    ReadClosed,
    /// This side ends its direction: what was called is flushed, and what arrives is read meanwhile.
    Closing,
    /// Writing has failed: what the peer has sent before is read.
    WriteFailed,
    /// This side has ended its direction: what the peer still sends is read up to its end.
    AwaitingEof,
}

/// How a [`HalfClosed`] connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HalfClosedEnd<E> {
    /// All was flushed, or the peer's end was read.
    Complete,
    /// The remaining direction has failed.
    Failed(E),
    /// The deadline has passed.
    TimedOut,
}

/// A channel over a connection of which one direction has ended. `D` is the deadline for the other one.
///
/// Layers that replace a connection finish the old one with this before they drop it.
#[derive(Debug)]
pub struct HalfClosed<C, D> {
    channel: C,
    state: HalfClose,
    deadline: D,
}

impl<C, D> HalfClosed<C, D> {
    /// The channel, of which one direction has ended.
    pub const fn new(channel: C, state: HalfClose, deadline: D) -> Self {
        Self {
            channel,
            state,
            deadline,
        }
    }

    /// Which direction has ended.
    pub const fn state(&self) -> HalfClose {
        self.state
    }

    /// The channel.
    pub const fn get_ref(&self) -> &C {
        &self.channel
    }

    /// The channel.
    pub const fn get_mut(&mut self) -> &mut C {
        &mut self.channel
    }

    /// The channel, for another use.
    pub fn into_inner(self) -> C {
        self.channel
    }
}

/// What comes in on a half-closed connection, or how it has ended.
type HalfClosedRead<M, E> = Result<Inbound<M>, HalfClosedEnd<E>>;

impl<C, D: Future<Output = ()> + Unpin> HalfClosed<C, D> {
    /// Flushes or closes the writing direction, and reads nothing. If only reading is left, it waits for the
    /// deadline.
    pub fn poll_write<M>(&mut self, cx: &mut Context<'_>) -> Poll<HalfClosedEnd<C::Error>>
    where
        C: Channel<M>,
    {
        let written = match self.state {
            HalfClose::ReadClosed => self.channel.poll_flush(cx),
            HalfClose::Closing => self.channel.poll_close(cx),
            HalfClose::WriteFailed | HalfClose::AwaitingEof => Poll::Pending,
        };
        match written {
            Poll::Ready(Ok(())) => Poll::Ready(HalfClosedEnd::Complete),
            Poll::Ready(Err(error)) => Poll::Ready(HalfClosedEnd::Failed(error)),
            Poll::Pending => self.poll_deadline(cx),
        }
    }

    /// What still arrives; an error is the end. Flushes or closes the writing direction, too.
    ///
    /// # Errors
    /// The connection has ended in both directions, or the deadline has passed.
    pub fn poll_next<M>(&mut self, cx: &mut Context<'_>) -> Poll<HalfClosedRead<C::In, C::Error>>
    where
        C: Channel<M>,
    {
        let read = match self.state {
            HalfClose::ReadClosed => return self.poll_write::<M>(cx).map(Err),
            _ => Pin::new(&mut self.channel).poll_next(cx),
        };
        match (read, self.state) {
            (Poll::Ready(Some(Ok(inbound))), _) => Poll::Ready(Ok(inbound)),
            (_, HalfClose::Closing) => self.poll_write::<M>(cx).map(Err),
            (Poll::Ready(Some(Err(error))), _) => Poll::Ready(Err(HalfClosedEnd::Failed(error))),
            (Poll::Ready(None), _) => Poll::Ready(Err(HalfClosedEnd::Complete)),
            (Poll::Pending, _) => self.poll_deadline(cx).map(Err),
        }
    }

    fn poll_deadline<E>(&mut self, cx: &mut Context<'_>) -> Poll<HalfClosedEnd<E>> {
        let passed = Pin::new(&mut self.deadline).poll(cx);
        passed.map(|()| HalfClosedEnd::TimedOut)
    }
}

#[cfg(test)]
mod tests;

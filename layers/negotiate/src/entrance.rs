//! The way of an accepted connection's queue into those that get what is sent to all.
//!
//! In: the queue's handle, from the task of its handshake. Out: the handle, for the acceptor. Touches nothing else.

use std::{
    fmt,
    task::{Context, Poll},
};

use kyneta_uds_queue::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Enters the queue of one accepted connection. Dropped unused, the connection is not kept.
pub struct Entrance<M>(UnboundedSender<Handle<M>>);

impl<M> Entrance<M> {
    /// What is sent to all from now on goes into this queue, too.
    ///
    /// To be called before other code can learn of the connection: that code may send to all at once.
    pub fn enter(self, handle: Handle<M>) {
        // Refused by an acceptor that has ended: the handle comes back in the error.
        if let Err(error) = self.0.send(handle) {
            error.0.close();
        }
    }
}

impl<M> fmt::Debug for Entrance<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entrance")
    }
}

/// The handles that have been entered and not yielded: one for each connection at most. Dropped, it closes
/// them: their peers would wait for messages that never come.
pub(crate) struct Entered<M> {
    sender: UnboundedSender<Handle<M>>,
    receiver: UnboundedReceiver<Handle<M>>,
}

impl<M> Entered<M> {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = unbounded_channel();
        Self { sender, receiver }
    }

    pub(crate) fn entrance(&self) -> Entrance<M> {
        Entrance(self.sender.clone())
    }

    pub(crate) fn len(&self) -> usize {
        self.receiver.len()
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Handle<M>> {
        match self.receiver.poll_recv(cx) {
            Poll::Ready(Some(handle)) => Poll::Ready(handle),
            // Not ended: a sender is kept here.
            _ => Poll::Pending,
        }
    }

    pub(crate) fn try_next(&mut self) -> Option<Handle<M>> {
        self.receiver.try_recv().ok()
    }
}

impl<M> Drop for Entered<M> {
    fn drop(&mut self) {
        self.receiver.close();
        while let Some(handle) = self.try_next() {
            handle.close();
        }
    }
}

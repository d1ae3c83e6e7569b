//! A listener that holds still while another process takes over from it.
//!
//! In: a request to hold, from outside. Out: the parts of the listener, when no handshake is under way. May touch: copies
//! of descriptors, tokio's clock.

use std::{
    fmt, io,
    os::fd::OwnedFd,
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds_core::{Saved, ignore_poison};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Sleep, sleep},
};

use crate::{machine::Role, role_watch::RoleWatch};

/// What a successor needs to go on with the path.
type Parts = (Vec<OwnedFd>, Saved);

type Reply = oneshot::Sender<io::Result<Held>>;

/// What the channel is told.
#[derive(Debug)]
pub(crate) enum Order {
    Hold {
        handshakes: Duration,
        reply: Reply,
    },
    /// Nothing more is sent to the members, from the answer on.
    Pause(oneshot::Sender<()>),
    Release,
}

/// Orders on their way to the channel.
#[derive(Debug)]
pub(crate) struct Orders {
    sender: mpsc::UnboundedSender<Order>,
    receiver: Mutex<mpsc::UnboundedReceiver<Order>>,
}

impl Orders {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            sender,
            receiver: Mutex::new(receiver),
        }
    }

    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Order> {
        let polled = ignore_poison(self.receiver.lock()).poll_recv(cx);
        match polled {
            Poll::Ready(Some(order)) => Poll::Ready(order),
            // The sender lives as long as the receiver.
            _ => Poll::Pending,
        }
    }
}

/// A channel that holds still.
pub(crate) struct Holding {
    /// Until no handshake is under way.
    settling: Option<Settling>,
    /// Nothing is sent to the members.
    pub(crate) is_paused: bool,
}

struct Settling {
    held: Held,
    reply: Reply,
    deadline: Pin<Box<Sleep>>,
}

impl Holding {
    pub(crate) fn new(held: Held, handshakes: Duration, reply: Reply) -> Self {
        Self {
            settling: Some(Settling {
                held,
                reply,
                deadline: Box::pin(sleep(handshakes)),
            }),
            is_paused: false,
        }
    }

    /// Answers when no handshake is under way, or their time is over. What is not waited for any more is dropped, and
    /// so released.
    pub(crate) fn poll_settled(&mut self, cx: &mut Context<'_>, handshakes: usize) {
        let Some(mut settling) = self.settling.take() else {
            return;
        };
        if handshakes > 0 && settling.deadline.as_mut().poll(cx).is_pending() {
            self.settling = Some(settling);
            return;
        }
        let _ = settling.reply.send(Ok(settling.held));
    }
}

impl RoleWatch {
    /// For a handoff: the listener accepts nothing more, until the answer is dropped. Ready when the handshakes under way have become
    /// connections, for which `handshakes` is the limit; those that take longer are lost if another process goes on.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// It does not listen, its path is being put back, or the listener has nothing that could be handed over.
    pub async fn hold(&self, handshakes: Duration) -> io::Result<Held> {
        let not_listening = || io::Error::other("this peer does not listen");
        if self.role() != Role::Listener {
            return Err(not_listening());
        }
        let (reply, held) = oneshot::channel();
        let order = Order::Hold { handshakes, reply };
        self.orders()
            .sender
            .send(order)
            .map_err(|_| not_listening())?;
        // A channel that is gone, or that is no listener any more, answers nothing.
        let ends = self.wait_for(|role| role != Role::Listener);
        tokio::select! {
            biased;
            held = held => held.map_err(|_| not_listening())?,
            _ = ends => Err(not_listening()),
        }
    }
}

/// A listener that holds still. Dropped, it goes on. See [`RoleWatch::hold`].
pub struct Held {
    orders: mpsc::UnboundedSender<Order>,
    parts: Option<Parts>,
    is_left: bool,
}

impl Held {
    pub(crate) fn new(orders: &Orders, parts: Parts) -> Self {
        Self {
            orders: orders.sender.clone(),
            parts: Some(parts),
            is_left: false,
        }
    }

    /// Copies of the listener's descriptors and its state, as [`Listener::hand_over`](kyneta_uds_unix::Listener::hand_over)
    /// gives them. `None` the second time.
    pub fn listener(&mut self) -> Option<(Vec<OwnedFd>, Saved)> {
        self.parts.take()
    }

    /// Nothing more is sent to the members: what is called on the channel waits in the queue above. To be called when
    /// their handlers are at work on nothing, because a handler may wait for such a call.
    pub async fn pause(&self) {
        let (done, paused) = oneshot::channel();
        let _ = self.orders.send(Order::Pause(done));
        // An error: the channel is gone, and sends nothing.
        let _ = paused.await;
    }

    /// Another process goes on. End the channel now: drop it, or abort the queue above it. A channel that ends while
    /// it is held removes no file, and gives up neither path nor lock; abort its members first.
    pub fn leave(mut self) {
        self.is_left = true;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.is_left {
            // A channel that is gone does not go on.
            let _ = self.orders.send(Order::Release);
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

//! The client.
//!
//! In: messages by reference, limits of time. Out: messages. May touch: its socket, the clock.

use std::time::Duration;

use kyneta_uds_core::{ChannelMsg, ConnectionInfo, Establish, Identity, Message as _, SocketPath};
use kyneta_uds_handshake::{HandshakeMachine, Reaction};

use crate::{
    builder::Builder, connection::Connection, deadline::Deadline, error::Error, handshake::Greeted,
    held::Held,
};

/// How long the end of the connection may take in [`Client::leave`].
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection to a listener, for one thread.
///
/// Limits of time are those of the whole call; `None` waits without limit. A call that has run out of time can be
/// repeated: nothing is lost by it.
///
/// While it sends, it reads nothing. A peer that waits for this side to read, and does not read itself, is resolved
/// by a limit of time: [`Error::TimedOut`], then [`recv`](Self::recv), then [`flush`](Self::flush).
///
/// It holds 64 KiB to read into, up to 128 KiB of what it has read, and as much that it has written; what it
/// has sent larger than 16 KiB is not copied.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    handshake: HandshakeMachine,
    peer: Establish,
    is_departing: bool,
    /// What came while a request waited for its answer.
    held: Held<ChannelMsg>,
}

impl Client {
    /// The settings of a client that connects to `path` as `identity`.
    pub fn builder(path: SocketPath, identity: Identity) -> Builder {
        Builder::new(path, identity)
    }

    pub(crate) fn new(greeted: Greeted) -> Self {
        Self {
            connection: greeted.connection,
            handshake: greeted.handshake,
            peer: greeted.peer,
            is_departing: false,
            held: Held::default(),
        }
    }

    /// What the listener has said of itself in the handshake.
    pub const fn peer(&self) -> &Establish {
        &self.peer
    }

    /// True once the listener has said that it is about to leave on purpose. It is known after the `recv` that has
    /// read that.
    pub const fn is_departing(&self) -> bool {
        self.is_departing
    }

    /// The wire version, and how many frames were missing or came twice. Without credentials.
    pub fn connection(&self) -> ConnectionInfo {
        self.connection.info()
    }

    /// Sends a message: the kernel has taken it when this returns.
    ///
    /// # Errors
    /// [`Error::Encode`]: it was not sent, the connection goes on. [`Error::TimedOut`]: the kernel has not taken all.
    /// The message stays in the write buffer if there was room for it, that is, if less than 64 KiB waited;
    /// [`unsent`](Self::unsent) tells. Any other: the connection has ended.
    pub fn send(&mut self, msg: &ChannelMsg, timeout: Option<Duration>) -> Result<(), Error> {
        let mut deadline = Deadline::after(timeout);
        self.connection.queue(msg, &mut deadline)?;
        self.connection.flush(&mut deadline)
    }

    /// Adds a message to the write buffer, which is written when it holds 64 KiB: the cheapest way to send many.
    /// [`flush`](Self::flush) writes the rest.
    ///
    /// # Errors
    /// As of [`send`](Self::send), but with [`Error::TimedOut`] the message has not been added.
    pub fn queue(&mut self, msg: &ChannelMsg, timeout: Option<Duration>) -> Result<(), Error> {
        self.connection.queue(msg, &mut Deadline::after(timeout))
    }

    /// Writes what is in the write buffer.
    ///
    /// # Errors
    /// [`Error::TimedOut`], after which it can be repeated; or the end of the connection.
    pub fn flush(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.connection.flush(&mut Deadline::after(timeout))
    }

    /// Bytes in the write buffer: added and not yet taken by the kernel.
    pub fn unsent(&self) -> usize {
        self.connection.unsent()
    }

    /// The next message about documents.
    ///
    /// # Errors
    /// [`Error::TimedOut`]: none has come. [`Error::Rejected`]: the peer has sent what is no message, which is skipped.
    /// Any other: the connection has ended; [`Error::Closed`] if in good order.
    pub fn recv(&mut self, timeout: Option<Duration>) -> Result<ChannelMsg, Error> {
        match self.held.pop() {
            Some(msg) => Ok(msg),
            None => self.next(&mut Deadline::after(timeout)),
        }
    }

    /// Sends a message and waits for the first one for which `is_answer` is true. Others that come meanwhile are kept,
    /// up to 1,024 or 16 MiB, for [`recv`](Self::recv).
    ///
    /// # Errors
    /// As of [`send`](Self::send) and [`recv`](Self::recv); [`Error::NoAnswerAmong`] when too many others have come.
    pub fn request(
        &mut self,
        msg: &ChannelMsg,
        mut is_answer: impl FnMut(&ChannelMsg) -> bool,
        timeout: Option<Duration>,
    ) -> Result<ChannelMsg, Error> {
        let mut deadline = Deadline::after(timeout);
        self.connection.queue(msg, &mut deadline)?;
        self.connection.flush(&mut deadline)?;
        while !self.held.is_full() {
            let msg = self.next(&mut deadline)?;
            if is_answer(&msg) {
                return Ok(msg);
            }
            let size = msg.size();
            self.held.push(msg, size);
        }
        let limit = self.held.len();
        Err(Error::NoAnswerAmong { limit })
    }

    /// Leaves in good order: says so, writes what is left, and waits up to a second for the listener's end.
    /// What comes meanwhile is dropped. Dropping a client closes the connection without a word.
    ///
    /// # Errors
    /// [`Error::TimedOut`], when the listener has not ended in time; or the connection has failed.
    pub fn leave(mut self) -> Result<(), Error> {
        let mut deadline = Deadline::after(Some(LEAVE_TIMEOUT));
        self.connection.queue(&ChannelMsg::Depart, &mut deadline)?;
        self.connection.flush(&mut deadline)?;
        self.connection.shut_down()?;
        loop {
            match self.connection.next(&mut deadline) {
                Ok(_) | Err(Error::Rejected(_)) => deadline.left().map(drop)?,
                Err(Error::Closed) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn next(&mut self, deadline: &mut Deadline) -> Result<ChannelMsg, Error> {
        loop {
            match self.handshake.received(self.connection.next(deadline)?) {
                Reaction::Deliver(msg) => return Ok(msg),
                Reaction::Departing => self.is_departing = true,
                // A further `establish`, as the reference sends.
                _ => {}
            }
        }
    }
}

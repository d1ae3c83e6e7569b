//! The control channel: words, each one message of a SOCK_SEQPACKET socket, with their descriptors.
//!
//! In: words to send, with descriptors. Out: words that have arrived, with theirs. May touch: that socket, and the
//! clock for how long to wait.
//!
//! The kernel keeps the bounds of messages, so a descriptor cannot arrive with another word than its own.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, Shutdown, recvmsg, sendmsg, shutdown,
    },
};

use crate::{BATCH, Refusal, Word};

/// Longer than any word.
const MAX_WORD: usize = 4096;

/// Room for the descriptors of one message.
const ANCILLARY: usize = rustix::cmsg_space!(ScmRights(BATCH as usize));

#[derive(Debug)]
pub(super) struct Channel {
    socket: OwnedFd,
}

/// What has arrived.
#[derive(Debug)]
pub(super) enum Arrived {
    Word(Word, Vec<OwnedFd>),
    /// Something that is no word, or is not whole.
    Unusable(Refusal),
    /// The other side has closed the channel, or its process has ended.
    Closed,
    /// Nothing, for as long as was waited.
    Timeout,
}

/// Why something was not sent.
#[derive(Debug)]
pub(super) enum NotSent {
    /// The other side does not receive any more.
    Closed,
    Failed(Refusal),
}

impl Channel {
    pub(super) const fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Sends a word, until the deadline.
    pub(super) fn send(
        &self,
        word: &Word,
        descriptors: &[BorrowedFd<'_>],
        deadline: Instant,
    ) -> Result<(), NotSent> {
        let bytes = word.encode();
        loop {
            let mut space = [MaybeUninit::uninit(); ANCILLARY];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty()
                && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors))
            {
                let why = format!("{} descriptors do not fit one message", descriptors.len());
                return Err(NotSent::Failed(Refusal::Other(why)));
            }
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match sendmsg(&self.socket, &[IoSlice::new(&bytes)], &mut ancillary, flags) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if !self.wait(PollFlags::OUT, deadline) {
                        let why = "the other process does not receive".to_owned();
                        return Err(NotSent::Failed(Refusal::Other(why)));
                    }
                }
                Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => {
                    return Err(NotSent::Closed);
                }
                Err(error) => {
                    let why = format!("`{}` could not be sent: {error}", word.name());
                    return Err(NotSent::Failed(Refusal::Other(why)));
                }
            }
        }
    }

    /// The next word, until the deadline.
    pub(super) fn receive(&self, deadline: Instant) -> Arrived {
        loop {
            if let Some(arrived) = self.try_receive() {
                return arrived;
            }
            if !self.wait(PollFlags::IN, deadline) {
                // What came at the last moment counts.
                return self.try_receive().unwrap_or(Arrived::Timeout);
            }
        }
    }

    /// The next word, if it is there.
    pub(super) fn try_receive(&self) -> Option<Arrived> {
        loop {
            let mut bytes = [0; MAX_WORD];
            let mut space = [MaybeUninit::uninit(); ANCILLARY];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            let buffers = &mut [IoSliceMut::new(&mut bytes)];
            let message = match recvmsg(&self.socket, buffers, &mut ancillary, flags) {
                Ok(message) => message,
                // A process that ended with unread words resets the channel once, before what it had said.
                Err(Errno::INTR | Errno::CONNRESET) => continue,
                Err(Errno::AGAIN) => return None,
                Err(error) => {
                    return Some(Arrived::Unusable(Refusal::Other(error.to_string())));
                }
            };
            // Taken first: what is not used is closed.
            let mut descriptors = Vec::new();
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    descriptors.extend(rights);
                }
            }
            return Some(arrived(&bytes, message.bytes, message.flags, descriptors));
        }
    }

    /// After this nothing can be sent to this side; what was sent before is still received.
    pub(super) fn shut(&self) {
        // It fails only on a channel whose other side is gone.
        let _ = shutdown(&self.socket, Shutdown::Read);
    }

    /// False after the deadline.
    fn wait(&self, flags: PollFlags, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(left) = Timespec::try_from(left.min(Duration::from_secs(3600))) else {
            return false;
        };
        let polled = poll(&mut [PollFd::new(&self.socket, flags)], Some(&left));
        !matches!(polled, Ok(0)) && Instant::now() < deadline
    }
}

fn arrived(bytes: &[u8], length: usize, flags: ReturnFlags, descriptors: Vec<OwnedFd>) -> Arrived {
    if flags.contains(ReturnFlags::CTRUNC) {
        let why = "descriptors were cut off: this process cannot open as many".to_owned();
        return Arrived::Unusable(Refusal::Other(why));
    }
    if flags.contains(ReturnFlags::TRUNC) {
        return Arrived::Unusable(Refusal::Other("a word that is too long".to_owned()));
    }
    // No word is empty.
    let bytes = match bytes.get(..length) {
        Some([]) | None => return Arrived::Closed,
        Some(bytes) => bytes,
    };
    match Word::decode(bytes) {
        Ok(word) if word.descriptors() as usize == descriptors.len() => {
            Arrived::Word(word, descriptors)
        }
        Ok(word) => {
            let (has, name) = (descriptors.len(), word.name());
            let why = format!(
                "`{name}` came with {has} descriptors, not with {}",
                word.descriptors()
            );
            Arrived::Unusable(Refusal::Other(why))
        }
        Err(error) => Arrived::Unusable(Refusal::Other(error.to_string())),
    }
}

#[cfg(test)]
mod tests;

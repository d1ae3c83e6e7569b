//! Each state against what the channel and the clock say.
//!
//! A channel that answers from a script, and a clock that the test moves. A failure names the case and the answer at
//! which it went another way.

use std::{
    future::{Ready, poll_fn, ready},
    io,
    task::Waker,
};

use futures_core::Stream;
use tower_service::Service;

use super::*;
use crate::{
    admission::Admission,
    disconnect::DisconnectReason,
    wire::{ConnectionInfo, WireVersion},
};

/// The result of polling one direction of the channel.
#[derive(Clone, Copy)]
enum Says {
    Pending,
    Done,
    Fails,
    /// A message: a result of reading only.
    Message,
}

/// A channel that always gives the same results, and whether it was flushed or closed.
struct Scripted {
    read: Says,
    write: Says,
    polled: Vec<&'static str>,
}

impl Scripted {
    fn write(&mut self, what: &'static str) -> Poll<io::Result<()>> {
        self.polled.push(what);
        match self.write {
            Says::Pending => Poll::Pending,
            Says::Fails => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Says::Done | Says::Message => Poll::Ready(Ok(())),
        }
    }
}

impl Service<u8> for Scripted {
    type Response = ();
    type Error = io::Error;
    type Future = Ready<io::Result<()>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u8) -> Self::Future {
        ready(Ok(()))
    }
}

impl Stream for Scripted {
    type Item = io::Result<Inbound<u8>>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.polled.push("read");
        match self.read {
            Says::Pending => Poll::Pending,
            Says::Done => Poll::Ready(None),
            Says::Fails => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            Says::Message => Poll::Ready(Some(Ok(Inbound::Message(7)))),
        }
    }
}

impl Channel<u8> for Scripted {
    type In = u8;

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write("flush")
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write("close")
    }

    fn buffered(&self) -> usize {
        0
    }

    fn connection(&self) -> ConnectionInfo {
        ConnectionInfo::default()
    }

    fn begin_with(&mut self, _: WireVersion) -> bool {
        false
    }

    fn poll_admission(&mut self, _: &mut Context<'_>, _: Admission) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn worked(&self) -> u64 {
        0
    }

    fn lost(&mut self) -> Option<DisconnectReason> {
        None
    }

    fn interrupt(&mut self, _: DisconnectReason) -> bool {
        false
    }
}

fn half(
    state: HalfClose,
    read: Says,
    write: Says,
    late: bool,
) -> HalfClosed<Scripted, impl Future<Output = ()> + Unpin> {
    let polled = Vec::new();
    let channel = Scripted {
        read,
        write,
        polled,
    };
    let deadline = poll_fn(move |_| if late { Poll::Ready(()) } else { Poll::Pending });
    HalfClosed::new(channel, state, deadline)
}

fn word<E>(end: Poll<HalfClosedEnd<E>>) -> &'static str {
    match end {
        Poll::Pending => "pending",
        Poll::Ready(HalfClosedEnd::Complete) => "complete",
        Poll::Ready(HalfClosedEnd::Failed(_)) => "failed",
        Poll::Ready(HalfClosedEnd::TimedOut) => "timed out",
    }
}

#[test]
fn each_state_finishes_the_direction_that_is_left() {
    use HalfClose::{AwaitingEof, Closing, ReadClosed, WriteFailed};
    use Says::{Done, Fails, Message, Pending};
    // State, reading and writing say, the deadline has passed; what `poll_next` and `poll_write` answer;
    // what `poll_next` has polled.
    let table = [
        (ReadClosed, Message, Done, false, "complete", "flush"),
        (ReadClosed, Message, Fails, false, "failed", "flush"),
        (ReadClosed, Message, Pending, false, "pending", "flush"),
        (ReadClosed, Message, Pending, true, "timed out", "flush"),
        (ReadClosed, Done, Done, true, "complete", "flush"),
        (Closing, Pending, Done, false, "complete", "read close"),
        (Closing, Done, Pending, false, "pending", "read close"),
        (Closing, Fails, Pending, false, "pending", "read close"),
        (Closing, Pending, Pending, true, "timed out", "read close"),
        (Closing, Fails, Fails, false, "failed", "read close"),
    ];
    let table = table.map(|(state, read, write, late, answer, polled)| {
        (state, read, write, late, answer, answer, polled)
    });
    // The answers differ.
    let message = [(Closing, Message, Done, true, "7", "complete", "read")];
    let reading = [
        (Message, false, "7", "pending"),
        (Message, true, "7", "timed out"),
        (Done, false, "complete", "pending"),
        (Fails, false, "failed", "pending"),
        (Pending, false, "pending", "pending"),
        (Pending, true, "timed out", "timed out"),
    ];
    let reading = [WriteFailed, AwaitingEof].into_iter().flat_map(|state| {
        reading.map(|(read, late, next, write)| (state, read, Done, late, next, write, "read"))
    });
    let mut cx = Context::from_waker(Waker::noop());
    for (n, (state, read, write, late, next, written, polled)) in
        table.into_iter().chain(message).chain(reading).enumerate()
    {
        let case = format!("case {n}: {state:?}");
        let mut connection = half(state, read, write, late);
        assert_eq!(connection.state(), state);
        let answer = match connection.poll_next(&mut cx) {
            Poll::Ready(Ok(inbound)) => {
                assert_eq!(inbound, Inbound::Message(7));
                "7"
            }
            Poll::Ready(Err(end)) => word(Poll::Ready(end)),
            Poll::Pending => "pending",
        };
        assert_eq!(answer, next, "{case}, poll_next");
        assert_eq!(connection.into_inner().polled.join(" "), polled, "{case}");
        let mut connection = half(state, read, write, late);
        assert_eq!(
            word(connection.poll_write(&mut cx)),
            written,
            "{case}, poll_write"
        );
        assert!(!connection.get_ref().polled.contains(&"read"), "{case}");
    }
}

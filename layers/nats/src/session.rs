//! One connection of two machines: what its stream, its task and the frames that come for it share.
//!
//! In: bytes, frames. Out: bytes, frames; who waits is woken. May touch: a lock of its own.

use std::{
    io,
    sync::{Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};

use kyneta_uds_core::ignore_poison;
use tokio::{sync::Notify, time::Instant};

use crate::{
    frame::{Alive, Frame},
    window::{Incoming, Outgoing},
};

/// Why a session has ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum End {
    #[error("the other machine has ended the session, or never had it")]
    Reset,
    #[error("the other machine has given no sign of life for {0:?}")]
    Silent(Duration),
    #[error("the server has lost a message: the other machine has lacked one for {0:?}")]
    Lost(Duration),
    #[error("the other machine has sent more than there is room for")]
    Overrun,
    #[error("another process uses the name of this machine")]
    Replaced,
    #[error("this side has closed the engine")]
    Closed,
}

impl End {
    /// Its kind is as [`Accept::Io`](kyneta_uds_machines::Accept::Io) has it.
    fn error(self) -> io::Error {
        let kind = match self {
            Self::Reset => io::ErrorKind::ConnectionReset,
            Self::Silent(_) => io::ErrorKind::TimedOut,
            Self::Overrun => io::ErrorKind::InvalidData,
            // The other machine has no part in these.
            Self::Lost(_) | Self::Replaced | Self::Closed => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }
}

#[derive(Debug)]
pub(crate) struct Session {
    state: Mutex<State>,
    /// The session's task has something to look at.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    out: Outgoing,
    inc: Incoming,
    end: Option<End>,
    /// When the other side has last given a sign of life.
    heard: Instant,
    /// Since when there is no stream.
    dropped: Option<Instant>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What the session's task is to do.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Have the server store this.
    Store(Frame),
    /// Say what has come.
    Tell(Alive),
    /// Wait for a change.
    Wait,
    /// Nothing more. With an end that the other side may not know.
    Over(Option<End>),
}

impl Session {
    /// The side that opens numbers its frames from 1 on: number 0 is what opens.
    pub(crate) fn new(window: u32, opens: bool) -> Self {
        let (ours, theirs) = (u64::from(opens), u64::from(!opens));
        let state = State {
            out: Outgoing::new(window, ours),
            inc: Incoming::new(window, theirs),
            end: None,
            heard: Instant::now(),
            dropped: None,
            reader: None,
            writer: None,
        };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        ignore_poison(self.state.lock())
    }

    /// Changes the state; then its task looks at it, and what waits for bytes or room.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let answer = change(&mut state);
        let woken = [state.reader.take(), state.writer.take()];
        drop(state);
        woken.into_iter().flatten().for_each(Waker::wake);
        self.changed.notify_one();
        answer
    }

    /// A frame of the other side has come.
    pub(crate) fn frame(&self, frame: Frame) {
        self.change(|state| {
            state.heard = Instant::now();
            match frame {
                Frame::Open => {}
                Frame::Part { number, part } => {
                    if state.inc.frame(number, part).is_err() {
                        state.end.get_or_insert(End::Overrun);
                    }
                }
                Frame::Reset => {
                    state.end.get_or_insert(End::Reset);
                }
                Frame::Alive(alive) => state.out.heard(alive),
            }
        });
    }

    pub(crate) fn end(&self, end: End) {
        self.change(|state| {
            state.end.get_or_insert(end);
        });
    }

    /// The server has stored a frame.
    pub(crate) fn stored(&self, number: u64) {
        self.change(|state| state.out.stored(number));
    }

    /// Its stream is dropped: what was written is still sent, and what comes is not read.
    pub(crate) fn dropped(&self) {
        self.change(|state| {
            state.dropped = Some(Instant::now());
            state.out.finish();
        });
    }

    /// Looks at the times: `idle` is how long the other side may give no sign of life, `linger` how long what was written
    /// may take after the stream was dropped. `since` is when the session began.
    pub(crate) fn tick(&self, since: Instant, idle: Duration, linger: Duration) {
        let mut state = self.state();
        let lingers = state.dropped.is_some_and(|at| at.elapsed() >= linger);
        let end = if lingers {
            Some(End::Closed)
        } else if state.heard.elapsed() >= idle {
            Some(End::Silent(idle))
        } else if state.out.is_lost(since.elapsed(), idle) {
            Some(End::Lost(idle))
        } else {
            None
        };
        drop(state);
        if let Some(end) = end {
            self.end(end);
        }
    }

    /// What its task is to do now. `beat`: it is time to say what has come.
    pub(crate) fn turn(&self, beat: &mut bool) -> Turn {
        let mut state = self.state();
        if let Some(end) = state.end {
            return Turn::Over(Some(end));
        }
        if let Some(frame) = state.out.next() {
            return Turn::Store(frame);
        }
        if state.out.is_stored() && (state.inc.has_fin() || state.dropped.is_some()) {
            return Turn::Over(None);
        }
        if std::mem::take(beat) || state.inc.owes() {
            return Turn::Tell(state.inc.tell());
        }
        Turn::Wait
    }

    /// Ready when its state may have changed since the last look.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Bytes for the reader; none at their end.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        into: &mut impl bytes::BufMut,
    ) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if into.remaining_mut() == 0 {
            return Poll::Ready(Ok(()));
        }
        let read = state.inc.read(into);
        if read > 0 {
            let owes = state.inc.owes();
            drop(state);
            if owes {
                self.changed.notify_one();
            }
            return Poll::Ready(Ok(()));
        }
        match state.end {
            _ if state.inc.is_ended() => Poll::Ready(Ok(())),
            Some(end) => Poll::Ready(Err(end.error())),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Takes bytes as far as there is room.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if let Some(end) = state.end {
            return Poll::Ready(Err(end.error()));
        }
        if state.out.is_finished() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        match state.out.write(bytes) {
            0 if !bytes.is_empty() => {
                state.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            taken => {
                drop(state);
                self.changed.notify_one();
                Poll::Ready(Ok(taken))
            }
        }
    }

    /// No byte comes any more. Ready when the server has all.
    pub(crate) fn poll_finish(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if state.out.is_stored() {
            return Poll::Ready(Ok(()));
        }
        if let Some(end) = state.end {
            return Poll::Ready(Err(end.error()));
        }
        state.writer = Some(cx.waker().clone());
        if !state.out.is_finished() {
            state.out.finish();
            drop(state);
            self.changed.notify_one();
        }
        Poll::Pending
    }
}

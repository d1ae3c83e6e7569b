//! What one side sends: bytes become frames, as many as the other side has room for.
//!
//! In: bytes, what the server has stored, what the other side has had. Out: frames. Touches nothing.

use std::{collections::BTreeSet, time::Duration};

use bytes::{Bytes, BytesMut};

use super::{MAX_FRAME, MAX_FRAMES, MAX_IN_FLIGHT};
use crate::frame::{Alive, Frame, Part};

/// One direction of a session, at its sender. The caller keeps a frame until the server has stored it.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Written, and in no frame yet.
    buffer: BytesMut,
    window: u64,
    written: u64,
    /// The number of the next frame.
    next: u64,
    in_flight: BTreeSet<u64>,
    /// What the other side has had.
    had: Alive,
    fin: Fin,
    /// Since when the other side lacks the frame `had.frames`, which the server has stored.
    lacks: Option<(u64, Duration)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fin {
    No,
    Asked,
    Sent,
}

impl Outgoing {
    /// `window`: how many bytes may be written that the other side has not read. `first`: the number of the first frame.
    pub(crate) fn new(window: u32, first: u64) -> Self {
        Self {
            buffer: BytesMut::new(),
            window: u64::from(window),
            written: 0,
            next: first,
            in_flight: BTreeSet::new(),
            had: Alive::default(),
            fin: Fin::No,
            lacks: None,
        }
    }

    /// Takes as many bytes as there is room for: none when there is none.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let room = self.window.saturating_sub(self.written - self.had.bytes);
        let taken = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        self.buffer
            .extend_from_slice(bytes.get(..taken).unwrap_or_default());
        self.written += taken as u64;
        taken
    }

    /// No byte comes any more.
    pub(crate) fn finish(&mut self) {
        if self.fin == Fin::No {
            self.fin = Fin::Asked;
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.fin != Fin::No
    }

    /// The next frame to be stored by the server.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let ahead = self.next.saturating_sub(self.had.frames);
        if self.in_flight.len() >= MAX_IN_FLIGHT || ahead >= MAX_FRAMES {
            return None;
        }
        let part = match self.buffer.len() {
            0 if self.fin == Fin::Asked => {
                self.fin = Fin::Sent;
                Part::Fin
            }
            0 => return None,
            length => Part::Data(self.split(length.min(MAX_FRAME))),
        };
        let number = self.next;
        self.next += 1;
        self.in_flight.insert(number);
        Some(Frame::Part { number, part })
    }

    fn split(&mut self, length: usize) -> Bytes {
        self.buffer.split_to(length).freeze()
    }

    /// The server has stored this frame.
    pub(crate) fn stored(&mut self, number: u64) {
        self.in_flight.remove(&number);
    }

    /// The server has all, the end included.
    pub(crate) fn is_stored(&self) -> bool {
        self.fin == Fin::Sent && self.in_flight.is_empty()
    }

    /// The other side says what it has had. Such words may come late: the largest count.
    pub(crate) fn heard(&mut self, alive: Alive) {
        self.had.frames = self.had.frames.max(alive.frames.min(self.next));
        self.had.bytes = self.had.bytes.max(alive.bytes.min(self.written));
    }

    /// Whether the server has lost a frame: the other side lacks one that is stored, and has had none for `limit`.
    pub(crate) fn is_lost(&mut self, now: Duration, limit: Duration) -> bool {
        let stored = self.in_flight.first().copied().unwrap_or(self.next);
        if self.had.frames >= stored {
            self.lacks = None;
            return false;
        }
        match self.lacks {
            Some((frame, since)) if frame == self.had.frames => now.saturating_sub(since) >= limit,
            _ => {
                self.lacks = Some((self.had.frames, now));
                false
            }
        }
    }
}

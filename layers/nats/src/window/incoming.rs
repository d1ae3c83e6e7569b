//! What one side receives: frames in any order, each perhaps more than once, become bytes in order.
//!
//! In: frames. Out: bytes, and what to tell the sender. Touches nothing.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf as _, Bytes};

use super::MAX_FRAMES;
use crate::frame::{Alive, Part};

/// One direction of a session, at its receiver.
#[derive(Debug)]
pub(crate) struct Incoming {
    window: u64,
    /// What was had and read so far: the next number is `had.frames`.
    had: Alive,
    /// What of it the sender was told.
    told: Alive,
    /// Frames after a gap.
    parked: BTreeMap<u64, Part>,
    ready: VecDeque<Bytes>,
    /// Bytes in `parked` and `ready`.
    pub(super) held: u64,
    has_fin: bool,
}

/// The sender has sent more than there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overrun;

impl Incoming {
    /// `window`: how many bytes may wait to be read. `first`: the number of the first frame.
    pub(crate) fn new(window: u32, first: u64) -> Self {
        let had = Alive {
            frames: first,
            bytes: 0,
        };
        Self {
            window: u64::from(window),
            had,
            told: had,
            parked: BTreeMap::new(),
            ready: VecDeque::new(),
            held: 0,
            has_fin: false,
        }
    }

    /// A frame has come. One that was had before changes nothing.
    pub(crate) fn frame(&mut self, number: u64, part: Part) -> Result<(), Overrun> {
        if number < self.had.frames || self.has_fin || self.parked.contains_key(&number) {
            return Ok(());
        }
        let length = match &part {
            Part::Data(data) => data.len() as u64,
            Part::Fin => 0,
        };
        if number - self.had.frames >= MAX_FRAMES || self.held + length > self.window {
            return Err(Overrun);
        }
        self.held += length;
        self.parked.insert(number, part);
        while let Some(part) = self.parked.remove(&self.had.frames) {
            self.had.frames += 1;
            match part {
                Part::Data(data) => self.ready.push_back(data),
                Part::Fin => {
                    self.has_fin = true;
                    self.parked.clear();
                }
            }
        }
        Ok(())
    }

    /// Moves bytes to `into`, as many as it takes. None are left to be read if it gets none.
    pub(crate) fn read(&mut self, into: &mut impl bytes::BufMut) -> usize {
        let mut read = 0;
        while let Some(first) = self.ready.front_mut() {
            let length = first.len().min(into.remaining_mut());
            if length == 0 && !first.is_empty() {
                break;
            }
            into.put_slice(first.get(..length).unwrap_or_default());
            first.advance(length);
            read += length;
            if first.is_empty() {
                self.ready.pop_front();
            }
        }
        self.had.bytes += read as u64;
        self.held -= read as u64;
        read
    }

    /// All is read, and no byte comes any more.
    pub(crate) fn is_ended(&self) -> bool {
        self.has_fin && self.ready.is_empty()
    }

    /// The sender has said its last.
    pub(crate) fn has_fin(&self) -> bool {
        self.has_fin
    }

    /// Whether the sender should hear at once, because it might wait for it.
    pub(crate) fn owes(&self) -> bool {
        let [bytes, frames] = [
            self.had.bytes - self.told.bytes,
            self.had.frames - self.told.frames,
        ];
        bytes >= self.window / 4 || frames >= MAX_FRAMES / 4
    }

    /// What to tell the sender.
    pub(crate) fn tell(&mut self) -> Alive {
        self.told = self.had;
        self.had
    }
}

//! The predecessor's shell: carries out what its machine says.
//!
//! In: a successor that asks, and what is to be handed over. Out: whether it was. May touch: the control channel, the
//! clock. It blocks, for as long as the limits say.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use bytes::Bytes;
use kyneta_uds_core::{Saved, SavedBytes};

use super::{
    channel::{Arrived, Channel, NotSent},
    credentials::same_user,
    descriptors,
    offer::Asking,
    sealed::{seal, seal_bytes},
};
use crate::{
    Formats, Limits, Predecessor, PredecessorEffect as Effect, PredecessorInput as Input, Refusal,
    Word,
};

/// What a process hands over. See [`Asking::hand_over`].
pub trait HandOver {
    /// The descriptors that both processes may hold while this one serves: of the listener, of its lock, of the
    /// [`Offer`](super::Offer), in the order that the successor expects. At most [`BATCH`](crate::BATCH), and at
    /// least one.
    fn shared(&mut self) -> Vec<BorrowedFd<'_>>;

    /// How many connections there are.
    fn connections(&self) -> usize;

    /// The first step, for a successor that is fit: what can be prepared for the freeze while all goes on. It takes no longer
    /// than `within`. Provided: nothing.
    fn prepare(&mut self, within: Duration) {
        let _ = within;
    }

    /// Bytes that are to be written to connections and still are, of at most so many of them, in pieces. The successor has
    /// them before the freeze, by their place in this list. What is given after `within` is too late.
    fn ahead(&mut self, at_most: usize, within: Duration) -> Vec<Vec<Bytes>> {
        let _ = (at_most, within);
        Vec::new()
    }

    /// Stops reading and writing, and collects the state. It is on the way of the pause that peers see.
    ///
    /// # Errors
    /// A reason, as a sentence. [`thaw`](Self::thaw) is called then, too.
    fn freeze(&mut self) -> Result<Frozen, Refusal>;

    /// It was not handed over: reads and writes again, and drops what it had [prepared](Self::prepare). With what [`freeze`](Self::freeze) has returned, if it has.
    fn thaw(&mut self, frozen: Option<Frozen>);
}

/// A process that neither reads nor writes: its state, and each connection with its state.
#[derive(Debug)]
pub struct Frozen {
    /// What belongs to no one connection.
    pub process: Saved,
    /// The connections. Who has them encodes their states, and can do so in several threads.
    pub connections: Vec<(OwnedFd, SavedBytes)>,
}

/// How a handoff has ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The successor serves. This process closes its own descriptors of everything (the connections that it had
    /// frozen are here) and ends: it removes no file, unlocks no lock and shuts down no connection.
    Left {
        /// The successor's process.
        pid: u32,
        /// The connections, of which the successor has copies.
        frozen: Frozen,
        /// From the freeze to the successor's commit.
        pause: Duration,
    },
    /// This process serves on.
    Stayed {
        /// The successor's process, if it is known.
        pid: Option<u32>,
        /// Why.
        why: Refusal,
    },
}

impl Asking {
    /// Hands everything over to this successor, or serves on. Blocks: until something is frozen for the time that
    /// the successor takes, at most [`Limits::answer`] an answer, and from then on [`Limits::frozen`].
    pub fn hand_over(self, what: &mut impl HandOver, limits: Limits) -> Outcome {
        let channel = self.channel;
        let pid = match same_user(channel.as_fd()) {
            Ok(pid) => pid,
            Err(why) => {
                let deadline = Instant::now() + limits.answer;
                let _ = channel.send(&Word::Refused(why.clone()), &[], deadline);
                return Outcome::Stayed { pid: None, why };
            }
        };
        let shared = what.shared().len().try_into().unwrap_or(u32::MAX);
        let expected = what.connections().try_into().unwrap_or(u32::MAX);
        // Of each connection there is a copy while all wait.
        descriptors::make_room(channel.as_fd(), expected);
        let mut effects = Vec::new();
        let machine = Predecessor::new(Formats::OURS, limits, shared, expected, &mut effects);
        let shell = Shell {
            channel,
            machine,
            what,
            frozen: None,
            frozen_at: Instant::now(),
            deadline: Instant::now() + limits.answer,
            limits,
            last_word: Ok(()),
        };
        shell.run(effects, pid)
    }
}

struct Shell<'a, W> {
    channel: Channel,
    machine: Predecessor,
    what: &'a mut W,
    frozen: Option<Frozen>,
    frozen_at: Instant,
    deadline: Instant,
    limits: Limits,
    last_word: Result<(), NotSent>,
}

impl<W: HandOver> Shell<'_, W> {
    fn run(mut self, effects: Vec<Effect>, pid: u32) -> Outcome {
        let mut effects = VecDeque::from(effects);
        let mut added = Vec::new();
        loop {
            let input = match effects.pop_front() {
                Some(Effect::Leave) => {
                    let pause = self.frozen_at.elapsed();
                    let frozen = self.frozen.take().unwrap_or_else(|| Frozen {
                        process: Saved::new(1, 1),
                        connections: Vec::new(),
                    });
                    return Outcome::Left { pid, frozen, pause };
                }
                Some(Effect::Stay(why)) => {
                    self.close();
                    return Outcome::Stayed {
                        pid: Some(pid),
                        why,
                    };
                }
                Some(effect) => self.carry_out(effect),
                None => Some(self.listen()),
            };
            if let Some(input) = input {
                self.machine.input(input, &mut added);
                effects.extend(added.drain(..));
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Say(word) => {
                // The end of the channel is heard where it matters.
                let deadline = Instant::now() + self.limits.answer;
                self.last_word = self.channel.send(&word, &[], deadline);
                None
            }
            Effect::Wait(limit) => {
                self.deadline = Instant::now() + limit;
                None
            }
            Effect::Share => {
                self.what.prepare(self.limits.answer / 2);
                let shared = self.what.shared();
                let descriptors = shared.len().try_into().unwrap_or(u32::MAX);
                let word = Word::Shared { descriptors };
                failed(self.channel.send(&word, &shared, self.deadline))
            }
            Effect::SendAhead { at_most } => Some(self.send_ahead(at_most)),
            Effect::Freeze => Some(self.freeze()),
            Effect::Send { first, count } => {
                let connections = self.frozen.iter().flat_map(|frozen| &frozen.connections);
                let batch: Vec<_> = connections
                    .skip(first as usize)
                    .take(count as usize)
                    .map(|(descriptor, _)| descriptor.as_fd())
                    .collect();
                let word = Word::Batch { descriptors: count };
                failed(self.channel.send(&word, &batch, self.deadline))
            }
            Effect::SendState => self.send_state(),
            Effect::Revoke => {
                self.channel.shut();
                let mut taken = false;
                while let Some(arrived) = self.channel.try_receive() {
                    match arrived {
                        Arrived::Word(Word::Taken, _) => taken = true,
                        Arrived::Closed => break,
                        _ => {}
                    }
                }
                Some(Input::ShutDown { taken })
            }
            Effect::Thaw => {
                self.what.thaw(self.frozen.take());
                None
            }
            Effect::Leave | Effect::Stay(_) => None, // the ends, above
        }
    }

    fn send_ahead(&mut self, at_most: u32) -> Input {
        // The successor waits longer than that.
        let within = self.limits.answer / 2;
        let ahead = self.what.ahead(at_most as usize, within);
        let files = ahead.iter().take(at_most as usize).map(|of| seal_bytes(of));
        let files = match files.collect::<io::Result<Vec<_>>>() {
            Ok(files) => files,
            Err(error) => {
                let why = format!("what goes ahead could not be written: {error}");
                return Input::Failed(Refusal::Other(why));
            }
        };
        let connections = files.len().try_into().unwrap_or(u32::MAX);
        if connections == 0 {
            return Input::SentAhead { connections };
        }
        let word = Word::Ahead {
            descriptors: connections,
        };
        let files: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
        let deadline = Instant::now() + self.limits.answer;
        let sent = self.channel.send(&word, &files, deadline);
        failed(sent).unwrap_or(Input::SentAhead { connections })
    }

    fn freeze(&mut self) -> Input {
        self.frozen_at = Instant::now();
        match self.what.freeze() {
            Ok(frozen) => {
                let connections = frozen.connections.len().try_into().unwrap_or(u32::MAX);
                self.frozen = Some(frozen);
                Input::Frozen { connections }
            }
            Err(why) => Input::NotFrozen(why),
        }
    }

    fn send_state(&mut self) -> Option<Input> {
        let frozen = self.frozen.as_ref()?;
        let states = frozen.connections.iter().map(|(_, state)| state);
        let (file, size) = match seal(frozen.process.clone(), states) {
            Ok(sealed) => sealed,
            Err(error) => {
                let why = format!("the state could not be written: {error}");
                return Some(Input::Failed(Refusal::Other(why)));
            }
        };
        let connections = frozen.connections.len().try_into().unwrap_or(u32::MAX);
        let word = Word::State { size, connections };
        failed(self.channel.send(&word, &[file.as_fd()], self.deadline))
    }

    /// What the successor says next.
    fn listen(&self) -> Input {
        match self.channel.receive(self.deadline) {
            Arrived::Word(word, _) => Input::Heard(word), // a successor has nothing to send; it is closed
            Arrived::Unusable(why) => Input::Failed(why),
            Arrived::Closed => Input::Closed,
            Arrived::Timeout => Input::Timeout,
        }
    }

    /// A successor takes a channel that ends without a last word for the end of this process. So one that has not
    /// heard it and may still live keeps the channel, until this process ends.
    fn close(self) {
        if let Err(NotSent::Failed(why)) = self.last_word {
            tracing::warn!(%why, "the control channel stays open: the successor was not told");
            std::mem::forget(self.channel);
        }
    }
}

fn failed(sent: Result<(), NotSent>) -> Option<Input> {
    match sent {
        Ok(()) => None,
        Err(NotSent::Closed) => Some(Input::Closed),
        Err(NotSent::Failed(why)) => Some(Input::Failed(why)),
    }
}

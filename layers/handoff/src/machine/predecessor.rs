//! The side that hands over, as a pure machine.
//!
//! In: what the successor says, and how the shell's steps went. Out: effects. Touches nothing.

use std::time::Duration;

use super::{BATCH, Formats, Limits, Refusal, Word, format::WITH_AHEAD};

/// The process that listens and hands over.
///
/// ```
/// use kyneta_uds_handoff::{Formats, Limits, Predecessor, PredecessorEffect, PredecessorInput, Word};
///
/// let mut effects = Vec::new();
/// let mut predecessor = Predecessor::new(Formats::OURS, Limits::default(), 2, 100, &mut effects);
/// let hello = Word::Hello { formats: Formats::OURS, free: 1_000 };
/// effects.clear();
/// predecessor.input(PredecessorInput::Heard(hello), &mut effects);
/// assert_eq!(effects[0], PredecessorEffect::Say(Word::Welcome { format: 2, connections: 100 }));
/// assert!(!predecessor.is_frozen());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Predecessor {
    formats: Formats,
    limits: Limits,
    /// Descriptors that both sides may hold.
    shared: u32,
    /// How many connections there were when it was asked; new ones may have come since.
    expected: u32,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum State {
    /// Connected; nothing was said.
    Asked,
    /// Listener and lock are on their way. So many connections may give bytes ahead.
    Sharing { ahead: u32 },
    /// The shell collects what goes ahead.
    Collecting,
    /// Bytes are on their way, ahead of the rest.
    Ahead,
    /// The shell freezes the connections.
    Freezing,
    /// Some of the connections are on their way.
    Sending { connections: u32, sent: u32 },
    /// The state is on its way: the successor may say `Taken`.
    Offered,
    /// It has shut its side down, and looks whether `Taken` was said before.
    Revoking { offered: bool, why: Refusal },
    /// The end.
    Ended,
}

/// What happens to the predecessor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PredecessorInput {
    /// The successor has said something.
    Heard(Word),
    /// The wait is over.
    Timeout,
    /// The channel has ended.
    Closed,
    /// Something could not be sent.
    Failed(Refusal),
    /// [`PredecessorEffect::SendAhead`] is done.
    SentAhead {
        /// The bytes of so many connections; with 0 no word was sent.
        connections: u32,
    },
    /// [`PredecessorEffect::Freeze`] is done: so many connections, none of which is read or written.
    Frozen {
        /// How many.
        connections: u32,
    },
    /// [`PredecessorEffect::Freeze`] was not possible.
    NotFrozen(Refusal),
    /// [`PredecessorEffect::Revoke`] is done.
    ShutDown {
        /// `Taken` was in the queue.
        taken: bool,
    },
}

/// What the predecessor's shell has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PredecessorEffect {
    /// Send a word without descriptors.
    Say(Word),
    /// Wait so long for the next input, from now on; an earlier wait is over.
    Wait(Duration),
    /// Prepare the freeze, as far as that is possible while all goes on, and send [`Word::Shared`] with the descriptors of
    /// listener and lock.
    Share,
    /// Send [`Word::Ahead`], with a sealed file for each connection that has many bytes to write, which it does meanwhile.
    SendAhead {
        /// How many at most.
        at_most: u32,
    },
    /// Read and write no connection any more, and collect their state.
    Freeze,
    /// Send [`Word::Batch`] with the connections from `first` on.
    Send {
        /// The first of them.
        first: u32,
        /// How many.
        count: u32,
    },
    /// Send [`Word::State`] with the sealed file.
    SendState,
    /// Shut down the reading half of the channel, then receive what is in the queue.
    Revoke,
    /// Serve the connections again, as before anything of them was prepared or went ahead.
    Thaw,
    /// The successor serves: close all descriptors, and unlink, unlock and shut down nothing.
    Leave,
    /// The handoff has not taken place. Close the channel, after what was said; serve on.
    Stay(Refusal),
}

impl State {
    const fn is_before_freeze(&self) -> bool {
        matches!(
            self,
            Self::Asked | Self::Sharing { .. } | Self::Collecting | Self::Ahead
        )
    }
}

use PredecessorEffect as Effect;
use PredecessorInput as Input;

impl Predecessor {
    /// A successor has connected. `shared` counts the descriptors of listener and lock, `expected` the
    /// connections as they are now.
    pub fn new(
        formats: Formats,
        limits: Limits,
        shared: u32,
        expected: u32,
        effects: &mut Vec<Effect>,
    ) -> Self {
        effects.push(Effect::Wait(limits.answer));
        Self {
            formats,
            limits,
            shared,
            expected,
            state: State::Asked,
        }
    }

    /// True while no connection may be read or written.
    pub const fn is_frozen(&self) -> bool {
        !self.state.is_before_freeze() && !self.has_ended()
    }

    /// True when the handoff has ended, one way or the other.
    pub const fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// What follows an input. One that does not fit the state ends the handoff, and changes nothing after its end.
    pub fn input(&mut self, input: Input, effects: &mut Vec<Effect>) {
        match (std::mem::replace(&mut self.state, State::Ended), input) {
            (State::Ended, _) => {}
            (State::Asked, Input::Heard(Word::Hello { formats, free })) => {
                self.hello(formats, free, effects);
            }
            (
                State::Sharing {
                    ahead: at_most @ 1..,
                },
                Input::Heard(Word::Have(have)),
            ) if have == self.shared => {
                self.state = State::Collecting;
                let wait = Effect::Wait(self.limits.answer);
                effects.extend([Effect::SendAhead { at_most }, wait]);
            }
            (State::Collecting, Input::SentAhead { connections: 1.. }) => {
                self.state = State::Ahead;
            }
            (State::Collecting, Input::SentAhead { connections: 0 }) => self.freeze(effects),
            (State::Sharing { ahead: 0 } | State::Ahead, Input::Heard(Word::Have(have)))
                if have == self.shared =>
            {
                self.freeze(effects);
            }
            (State::Freezing, Input::Frozen { connections }) => self.send(connections, 0, effects),
            (State::Freezing, Input::NotFrozen(why)) => {
                let said = Effect::Say(Word::Refused(why.clone()));
                effects.extend([said, Effect::Thaw, Effect::Stay(why)]);
            }
            (State::Sending { connections, sent }, Input::Heard(Word::Have(have)))
                if have == self.shared.saturating_add(sent) =>
            {
                self.send(connections, sent, effects);
            }
            (State::Offered, Input::Heard(Word::Taken)) => effects.push(Effect::Leave),
            (State::Revoking { offered, why }, Input::ShutDown { taken }) => {
                if offered && taken {
                    effects.push(Effect::Leave);
                } else {
                    let said = Effect::Say(Word::Revoked);
                    effects.extend([said, Effect::Thaw, Effect::Stay(why)]);
                }
            }
            // Its shell answers in the same turn: nothing else can come in between.
            (state @ State::Revoking { .. }, _) => self.state = state,
            (state, input) => self.give_up(state, &input, effects),
        }
    }

    fn hello(&mut self, theirs: Formats, free: u32, effects: &mut Vec<Effect>) {
        // One more for the state, which is closed when it was read.
        let needed = self.shared.saturating_add(self.expected).saturating_add(1);
        let ours = self.formats;
        let refusal = match ours.common(theirs) {
            None => Refusal::Format { ours, theirs },
            Some(_) if free < needed => Refusal::Descriptors { needed, free },
            Some(format) => {
                let ahead = if format < WITH_AHEAD {
                    0
                } else {
                    BATCH.min(free.saturating_sub(self.shared))
                };
                self.state = State::Sharing { ahead };
                let connections = self.expected;
                let welcome = Effect::Say(Word::Welcome {
                    format,
                    connections,
                });
                return effects.extend([welcome, Effect::Share, Effect::Wait(self.limits.answer)]);
            }
        };
        let said = Effect::Say(Word::Refused(refusal.clone()));
        effects.extend([said, Effect::Stay(refusal)]);
    }

    fn freeze(&mut self, effects: &mut Vec<Effect>) {
        self.state = State::Freezing;
        effects.extend([Effect::Wait(self.limits.frozen), Effect::Freeze]);
    }

    /// The next batch, or the state after the last.
    fn send(&mut self, connections: u32, first: u32, effects: &mut Vec<Effect>) {
        let count = connections.saturating_sub(first).min(BATCH);
        if count == 0 {
            self.state = State::Offered;
            effects.push(Effect::SendState);
        } else {
            let sent = first.saturating_add(count);
            self.state = State::Sending { connections, sent };
            effects.push(Effect::Send { first, count });
        }
    }

    fn give_up(&mut self, state: State, input: &Input, effects: &mut Vec<Effect>) {
        let limit = match state.is_before_freeze() {
            true => self.limits.answer,
            false => self.limits.frozen,
        };
        let why = match input {
            Input::Timeout => Refusal::Late(limit.as_millis().try_into().unwrap_or(u64::MAX)),
            Input::Closed => Refusal::Closed,
            Input::Heard(Word::Refused(why)) | Input::Failed(why) => why.clone(),
            Input::Heard(word) => Refusal::Unexpected(word.name()),
            Input::SentAhead { .. }
            | Input::Frozen { .. }
            | Input::NotFrozen(_)
            | Input::ShutDown { .. } => {
                self.state = state; // not asked for
                return;
            }
        };
        match state {
            // The successor may hold the listener: it must not take a closed channel for a dead predecessor.
            State::Asked => {
                effects.extend([Effect::Say(Word::Revoked), Effect::Stay(why)]);
            }
            // What is prepared has copies of descriptors, and what went ahead holds its connections back.
            State::Sharing { .. } | State::Collecting | State::Ahead => {
                let said = Effect::Say(Word::Revoked);
                effects.extend([said, Effect::Thaw, Effect::Stay(why)]);
            }
            state => {
                let offered = matches!(state, State::Offered);
                self.state = State::Revoking { offered, why };
                effects.push(Effect::Revoke);
            }
        }
    }
}

//! The side that takes over, as a pure machine.
//!
//! In: what the predecessor says, and how the shell's steps went. Out: effects. Touches nothing.

use std::time::Duration;

use super::{BATCH, Formats, Limits, Refusal, Word};

/// The process that takes over.
///
/// ```
/// use kyneta_uds_handoff::{Formats, Limits, Successor, SuccessorEffect, SuccessorInput, Word};
///
/// let mut effects = Vec::new();
/// let mut successor = Successor::new(Formats::OURS, Limits::default(), 1_000, &mut effects);
/// successor.input(SuccessorInput::Heard(Word::Welcome { format: 1, connections: 9 }), &mut effects);
/// effects.clear();
/// successor.input(SuccessorInput::Heard(Word::Shared { descriptors: 2 }), &mut effects);
/// assert_eq!(effects, [SuccessorEffect::Say(Word::Have(2))]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Successor {
    formats: Formats,
    limits: Limits,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum State {
    /// It has said what it understands.
    Asking,
    /// The predecessor hands over.
    Receiving { shared: u32, connections: u32 },
    /// The shell decodes and registers everything.
    Preparing,
    /// The shell sends `Taken`.
    Committing,
    /// `Taken` could not be sent: given up by the predecessor, or dead?
    Uncertain,
    /// The end.
    Ended,
}

/// What happens to the successor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SuccessorInput {
    /// The predecessor has said something.
    Heard(Word),
    /// The wait is over.
    Timeout,
    /// The channel has ended: the predecessor is dead, as it never closes without a last word.
    Closed,
    /// What was received cannot be used: too few descriptors, or no word.
    Unusable(Refusal),
    /// [`SuccessorEffect::Prepare`] is done.
    Prepared,
    /// [`SuccessorEffect::Prepare`] was not possible.
    NotPrepared(Refusal),
    /// [`SuccessorEffect::Commit`]: the kernel has taken it.
    Committed,
    /// [`SuccessorEffect::Commit`]: the channel does not take anything any more.
    NotCommitted,
}

/// What the successor's shell has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SuccessorEffect {
    /// Send a word.
    Say(Word),
    /// Wait so long for the next input, from now on; an earlier wait is over.
    Wait(Duration),
    /// Decode the state and register every descriptor. No byte may be read or written.
    Prepare,
    /// Send [`Word::Taken`].
    Commit,
    /// Serve the listener and all connections.
    ServeAll,
    /// The predecessor died before its state had arrived. Serve the listener, under its lock; close the
    /// connections.
    ServeListener,
    /// The predecessor died and handed over nothing: bind the path as always.
    Bind,
    /// It has not taken over: close everything that was received.
    GiveUp(Refusal),
}

use SuccessorEffect as Effect;
use SuccessorInput as Input;

impl Successor {
    /// Connected to a predecessor, and able to open `free` descriptors more.
    pub fn new(formats: Formats, limits: Limits, free: u32, effects: &mut Vec<Effect>) -> Self {
        let hello = Effect::Say(Word::Hello { formats, free });
        effects.extend([hello, Effect::Wait(limits.successor)]);
        Self {
            formats,
            limits,
            state: State::Asking,
        }
    }

    /// True when the handoff has ended, one way or the other.
    pub const fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// What follows an input. One that does not fit the state ends the handoff, and changes nothing after its end.
    pub fn input(&mut self, input: Input, effects: &mut Vec<Effect>) {
        match (std::mem::replace(&mut self.state, State::Ended), input) {
            (State::Ended, _) => {}
            (_, Input::Heard(Word::Refused(why))) => effects.push(Effect::GiveUp(why)),
            (_, Input::Heard(Word::Revoked)) => effects.push(Effect::GiveUp(Refusal::Revoked)),
            (State::Asking, Input::Heard(Word::Welcome { format, .. })) => {
                self.welcome(format, effects);
            }
            (
                State::Receiving {
                    shared: 0,
                    connections,
                },
                Input::Heard(Word::Shared { descriptors }),
            ) if (1..=BATCH).contains(&descriptors) => {
                self.received(descriptors, connections, effects);
            }
            (
                State::Receiving {
                    shared: shared @ 1..,
                    connections: 0,
                },
                Input::Heard(Word::Ahead { descriptors }),
            ) if (1..=BATCH).contains(&descriptors) => self.received(shared, 0, effects),
            (
                State::Receiving {
                    shared: shared @ 1..,
                    connections,
                },
                Input::Heard(Word::Batch { descriptors }),
            ) if (1..=BATCH).contains(&descriptors) => {
                self.received(shared, connections.saturating_add(descriptors), effects);
            }
            (
                State::Receiving {
                    shared: 1..,
                    connections: received,
                },
                Input::Heard(Word::State { connections, .. }),
            ) if connections == received => {
                self.state = State::Preparing;
                effects.push(Effect::Prepare);
            }
            (State::Preparing, Input::Prepared) => {
                self.state = State::Committing;
                effects.push(Effect::Commit);
            }
            (State::Preparing, Input::NotPrepared(why)) => self.refuse(why, effects),
            (State::Committing, Input::Committed) => effects.push(Effect::ServeAll),
            (State::Committing, Input::NotCommitted) => {
                self.state = State::Uncertain;
                effects.push(Effect::Wait(self.limits.successor));
            }
            (State::Asking | State::Receiving { shared: 0, .. }, Input::Closed) => {
                effects.push(Effect::Bind);
            }
            (State::Receiving { .. }, Input::Closed) => effects.push(Effect::ServeListener),
            (State::Uncertain, Input::Closed) => effects.push(Effect::ServeAll),
            // What was said before the end does not matter any more.
            (State::Uncertain, Input::Heard(_)) => self.state = State::Uncertain,
            (_, Input::Timeout) => {
                let limit = self.limits.successor.as_millis();
                let why = Refusal::Late(limit.try_into().unwrap_or(u64::MAX));
                effects.push(Effect::GiveUp(why));
            }
            (_, Input::Heard(word)) => self.refuse(Refusal::Unexpected(word.name()), effects),
            (_, Input::Unusable(why)) => self.refuse(why, effects),
            // The shell answers `Prepare` and `Commit` in the same turn, and says nothing else unasked.
            (state, _) => self.state = state,
        }
    }

    fn welcome(&mut self, format: u32, effects: &mut Vec<Effect>) {
        let Formats { oldest, newest } = self.formats;
        if (oldest..=newest).contains(&format) {
            self.state = State::Receiving {
                shared: 0,
                connections: 0,
            };
        } else {
            let theirs = Formats {
                oldest: format,
                newest: format,
            };
            let ours = self.formats;
            self.refuse(Refusal::Format { ours, theirs }, effects);
        }
    }

    fn received(&mut self, shared: u32, connections: u32, effects: &mut Vec<Effect>) {
        self.state = State::Receiving {
            shared,
            connections,
        };
        let have = shared.saturating_add(connections);
        effects.push(Effect::Say(Word::Have(have)));
    }

    fn refuse(&mut self, why: Refusal, effects: &mut Vec<Effect>) {
        self.state = State::Ended;
        let said = Effect::Say(Word::Refused(why.clone()));
        effects.extend([said, Effect::GiveUp(why)]);
    }
}

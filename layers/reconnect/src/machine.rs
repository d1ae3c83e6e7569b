//! The lifecycle of a connection that is made again (wire section 7).
//!
//! In: events, and the policy's answers. Out: the next state, and actions. May touch: nothing; no clock, no
//! randomness, no I/O.

use std::{fmt, time::Duration};

use kyneta_uds_core::DisconnectReason;

/// The state of a connection.
///
/// ```
/// use kyneta_uds_reconnect::{State, StateKind};
///
/// let state = State::Connecting { attempt: 1 };
/// assert_eq!(state.kind(), StateKind::Connecting);
/// assert_eq!(state.to_string(), "connecting (attempt 1)");
/// ```
#[derive(Debug, Clone)]
pub enum State {
    /// There is none, and none is attempted.
    Disconnected {
        /// Why the last one ended; absent before the first.
        reason: Option<DisconnectReason>,
    },
    /// It is being made.
    Connecting {
        /// Which attempt in a row, from 1.
        attempt: u32,
    },
    /// There is one.
    Connected,
    /// It has ended or could not be made, and the next attempt follows.
    Reconnecting {
        /// Which attempt will be next, from 1.
        attempt: u32,
        /// How long the wait is in all; absent when a backoff of the user's does not report it.
        delay: Option<Duration>,
    },
}

impl State {
    /// The state without its particulars.
    pub const fn kind(&self) -> StateKind {
        match self {
            Self::Disconnected { .. } => StateKind::Disconnected,
            Self::Connecting { .. } => StateKind::Connecting,
            Self::Connected => StateKind::Connected,
            Self::Reconnecting { .. } => StateKind::Reconnecting,
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self::Disconnected { reason: None }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Disconnected { reason: None } | Self::Connected => kind.fmt(f),
            Self::Disconnected {
                reason: Some(reason),
            } => write!(f, "{kind} ({reason})"),
            Self::Connecting { attempt }
            | Self::Reconnecting {
                attempt,
                delay: None,
            } => write!(f, "{kind} (attempt {attempt})"),
            Self::Reconnecting {
                attempt,
                delay: Some(delay),
            } => write!(f, "{kind} (attempt {attempt} after {delay:?})"),
        }
    }
}

/// A [`State`] without its particulars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateKind {
    /// [`State::Disconnected`].
    Disconnected,
    /// [`State::Connecting`].
    Connecting,
    /// [`State::Connected`].
    Connected,
    /// [`State::Reconnecting`].
    Reconnecting,
}

impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disconnected => "disconnected",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Reconnecting => "reconnecting",
        })
    }
}

/// One change of state.
#[derive(Debug, Clone)]
pub struct Transition {
    /// The state that was left.
    pub from: State,
    /// The state that was entered.
    pub to: State,
}

/// An event.
#[derive(Debug, Clone)]
pub enum Input {
    /// A connection is wanted.
    Start,
    /// The attempt has succeeded.
    Opened,
    /// The connection was useful: attempts are counted from the start after the next loss.
    Proved,
    /// The peer has ended the connection.
    Closed,
    /// The attempt has failed, or the connection has broken.
    Failed(DisconnectReason),
    /// The wait is over.
    TimerFired,
    /// No connection is wanted any more.
    Stop,
}

/// An action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Make a connection.
    Connect {
        /// Which attempt in a row this is, from 1.
        attempt: u32,
    },
    /// Use the connection that was made.
    Adopt,
    /// Drop the connection: it has ended.
    Release,
    /// Close the connection in good order. The machine takes no more inputs of it.
    Close,
    /// Wait before the next attempt, as long as the policy said.
    SetTimer(Option<Duration>),
    /// Stop waiting, and give up the attempt under way, if any.
    CancelTimer,
    /// Do not reconnect: the state has the reason.
    GiveUp,
}

/// The result of an input.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Absent when the state has not changed.
    pub transition: Option<Transition>,
    /// The actions, in order.
    pub effects: Vec<Effect>,
}

/// The machine.
///
/// A policy is asked about each failure, with the number of failed attempts in a row; it answers how long to
/// wait, or with the reason to give up. A connection counts as a failed attempt until it was useful: with a
/// peer that accepts and closes at once the waits grow.
///
/// ```
/// use std::time::Duration;
/// use kyneta_uds_core::DisconnectReason;
/// use kyneta_uds_reconnect::{Effect, Input, Machine, StateKind};
///
/// let wait = |_attempts: u32, _reason: &DisconnectReason| Ok(Some(Duration::from_secs(1)));
/// let mut machine = Machine::default();
/// machine.handle(Input::Start, wait);
/// machine.handle(Input::Opened, wait);
/// let outcome = machine.handle(Input::Closed, wait);
/// assert_eq!(machine.state().kind(), StateKind::Reconnecting);
/// assert_eq!(outcome.effects.last(), Some(&Effect::SetTimer(Some(Duration::from_secs(1)))));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Machine {
    state: State,
    /// While connected: the attempts since a connection was last useful, this one included.
    unproved: u32,
}

/// A machine that starts in this state; a connection counts as useful.
impl From<State> for Machine {
    fn from(state: State) -> Self {
        Self { state, unproved: 0 }
    }
}

impl Machine {
    /// The present state.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Takes an input. `recover` is the policy: it is called at most once, with the number of failed attempts
    /// in a row and the reason of the last.
    pub fn handle(
        &mut self,
        input: Input,
        recover: impl FnOnce(u32, &DisconnectReason) -> Result<Option<Duration>, DisconnectReason>,
    ) -> Outcome {
        match (&self.state, input) {
            (State::Disconnected { .. }, Input::Start) => self.connect(1),
            (State::Connecting { attempt }, Input::Opened) => {
                self.unproved = *attempt;
                self.enter(State::Connected, vec![Effect::Adopt])
            }
            (State::Connected, Input::Proved) => {
                self.unproved = 0;
                Outcome::default()
            }
            (State::Connecting { attempt }, Input::Failed(reason)) => {
                let attempts = *attempt;
                self.fail(attempts, reason, Vec::new(), recover)
            }
            (State::Connected, Input::Failed(reason)) => {
                self.fail(self.unproved, reason, vec![Effect::Release], recover)
            }
            (State::Connected, Input::Closed) => {
                let reason = DisconnectReason::Closed;
                self.fail(self.unproved, reason, vec![Effect::Release], recover)
            }
            (State::Reconnecting { attempt, .. }, Input::TimerFired) => {
                let attempt = *attempt;
                self.connect(attempt)
            }
            (State::Connected, Input::Stop) => self.stop(vec![Effect::CancelTimer, Effect::Close]),
            (State::Connecting { .. } | State::Reconnecting { .. }, Input::Stop) => {
                self.stop(vec![Effect::CancelTimer])
            }
            // Late or repeated: it is known, or of a connection that is gone.
            (_, _) => Outcome::default(),
        }
    }

    fn connect(&mut self, attempt: u32) -> Outcome {
        self.enter(
            State::Connecting { attempt },
            vec![Effect::Connect { attempt }],
        )
    }

    fn stop(&mut self, effects: Vec<Effect>) -> Outcome {
        let reason = Some(DisconnectReason::Intentional);
        self.enter(State::Disconnected { reason }, effects)
    }

    fn fail(
        &mut self,
        attempts: u32,
        reason: DisconnectReason,
        mut effects: Vec<Effect>,
        recover: impl FnOnce(u32, &DisconnectReason) -> Result<Option<Duration>, DisconnectReason>,
    ) -> Outcome {
        match recover(attempts, &reason) {
            Ok(delay) => {
                effects.push(Effect::SetTimer(delay));
                let attempt = attempts.saturating_add(1);
                self.enter(State::Reconnecting { attempt, delay }, effects)
            }
            Err(reason) => {
                effects.push(Effect::GiveUp);
                let reason = Some(reason);
                self.enter(State::Disconnected { reason }, effects)
            }
        }
    }

    fn enter(&mut self, to: State, effects: Vec<Effect>) -> Outcome {
        let from = std::mem::replace(&mut self.state, to.clone());
        Outcome {
            transition: Some(Transition { from, to }),
            effects,
        }
    }
}

//! Who listens and who connects, as a pure machine.
//!
//! In: what came of a probe, of a bind, of a connection; a random number. Out: what to do next.
//! Touches nothing.
//!
//! ```text
//!                 nobody there        bound
//! Negotiating probe --------> bind ---------> Listener --- path another's --> Negotiating
//!      ^ |      |               | in use
//!      | wait <-+---------------+             Connector -- connection lost -> Negotiating
//!               | joined                          ^
//!               +---------------------------------+
//! ```
//!
//! A listener that does not answer is a live one: it is waited for, and never replaced. Only where
//! nobody listens is there a bind, and that decides under the lock beside the path; whoever is not
//! first waits a little, each for a time of its own, and joins who was.

use std::time::Duration;

/// The first wait of those who were not first, before jitter. Each next one is twice as long.
const FIRST_WAIT: Duration = Duration::from_micros(500);

/// The longest wait for somebody else, before jitter.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// The first wait after a refusal that will not heal by itself. Each next one is twice as long.
const FIRST_DENIED_WAIT: Duration = Duration::from_millis(250);

/// The longest wait after such a refusal.
const LONGEST_DENIED_WAIT: Duration = Duration::from_secs(1);

/// No wait doubles oftener: 0.5 ms * 2^8 is past the longest.
const MOST_DOUBLINGS: u8 = 8;

/// What a peer is on its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Neither yet, or not any more.
    Negotiating,
    /// The path is ours; others connect to us.
    Listener,
    /// Connected to the one whose path it is.
    Connector,
    /// Gone for good.
    Disposed,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Negotiating => "negotiating",
            Self::Listener => "listener",
            Self::Connector => "connector",
            Self::Disposed => "disposed",
        })
    }
}

/// What came of a probe: a connection that is kept if somebody answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Probe {
    /// A connection stands and the peer has introduced itself: the probe is the connection.
    Joined,
    /// No file, or nobody behind it.
    NobodyThere,
    /// Somebody listens, but the backlog is full.
    Busy,
    /// Somebody accepted, or may, but did not introduce itself.
    Silent,
    /// Not permitted, not a socket: nothing that heals by itself.
    Denied,
}

/// What came of a bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bind {
    /// The path is ours, and we listen.
    Done,
    /// Somebody else holds the lock, or listens.
    InUse,
    /// Not permitted, not a socket, no directory: nothing that heals by itself.
    Denied,
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// The first of all.
    Start,
    /// Answers [`Effect::Probe`].
    Probed(Probe),
    /// Answers [`Effect::Bind`].
    Bound(Bind),
    /// The connection that a probe has become is gone for good.
    ConnectionLost,
    /// As [`ConnectionLost`](Self::ConnectionLost), and at once, and not for the first time: who
    /// listens lets us in and lets go.
    TurnedAway {
        /// How often in a row.
        times: u8,
    },
    /// The listener's path is not its own any more, and nobody else's either: the file is gone, or
    /// nobody listens behind what is there.
    PathFree,
    /// Answers [`Effect::Restore`].
    Restored(Bind),
    /// The listener's path belongs to somebody else, who is alive.
    PathLost,
    /// The time of [`Effect::Wait`] is over.
    TimerFired,
    /// The last of all.
    Dispose,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Connect, and keep the connection if the peer introduces itself; say what came of it with
    /// [`Input::Probed`].
    Probe,
    /// Take the path; say what came of it with [`Input::Bound`].
    Bind,
    /// Come back with [`Input::TimerFired`] after this time.
    Wait(Duration),
    /// Put the listener's socket file back in its place; say what came of it with
    /// [`Input::Restored`].
    Restore,
    /// Give up the path; the members are told to go.
    StopListening,
    /// Close the connection that a probe has become.
    Disconnect,
    /// Tell the user of the refusal that was just handed in. Once for a row of them.
    Report,
    /// Tell the user what we are from now on.
    Announce(Role),
}

/// What to do, in this order.
pub type Effects = Vec<Effect>;

/// One peer's part in who listens and who connects. At most one of a probe, a bind, a restoration
/// and a wait is under way at any time; after `Announce(Disposed)` it is dropped.
///
/// ```
/// use kyneta_uds_negotiate::machine::{Bind, Effect, Input, Negotiation, Probe, Role};
///
/// let mut peer = Negotiation::new();
/// assert_eq!(peer.on(Input::Start, 0.0), [Effect::Announce(Role::Negotiating), Effect::Probe]);
/// assert_eq!(peer.on(Input::Probed(Probe::NobodyThere), 0.0), [Effect::Bind]);
/// assert_eq!(peer.on(Input::Bound(Bind::Done), 0.0), [Effect::Announce(Role::Listener)]);
/// assert_eq!(peer.role(), Role::Listener);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Negotiation {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    Negotiating {
        step: Step,
        /// Waits for somebody else since we began, at most [`MOST_DOUBLINGS`].
        tries: u8,
        /// Refusals in a row, at most [`MOST_DOUBLINGS`].
        denials: u8,
    },
    Listener {
        restoring: bool,
        /// The last restoration was refused.
        denied: bool,
    },
    Connector,
    Disposed,
}

/// What a negotiating peer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Starting,
    Probing,
    Binding,
    Waiting,
}

impl Default for Negotiation {
    fn default() -> Self {
        Self::new()
    }
}

impl Negotiation {
    /// A peer that has not started yet.
    pub const fn new() -> Self {
        Self {
            state: State::Negotiating {
                step: Step::Starting,
                tries: 0,
                denials: 0,
            },
        }
    }

    /// What we are.
    pub const fn role(&self) -> Role {
        match self.state {
            State::Negotiating { .. } => Role::Negotiating,
            State::Listener { .. } => Role::Listener,
            State::Connector => Role::Connector,
            State::Disposed => Role::Disposed,
        }
    }

    /// Takes what has happened, with a random number from 0 to 1 (exclusive) that sets the waits of
    /// many apart. What is not waited for changes nothing; a connection or a path that comes too
    /// late is given back.
    pub fn on(&mut self, input: Input, random: f64) -> Effects {
        let (state, effects) = match (self.state, input) {
            (State::Disposed, input) => (State::Disposed, too_late(input)),
            (state, Input::Dispose) => (State::Disposed, leave(state, Role::Disposed, None)),
            (
                State::Negotiating {
                    step,
                    tries,
                    denials,
                },
                input,
            ) => negotiate(step, tries, denials, input, random),
            (State::Listener { restoring, denied }, input) => listen(restoring, denied, input),
            (State::Connector, Input::ConnectionLost) => afresh(State::Connector),
            (State::Connector, Input::TurnedAway { times }) => {
                let wait = Effect::Wait(for_somebody(times, random));
                let state = State::Negotiating {
                    step: Step::Waiting,
                    tries: more(times),
                    denials: 0,
                };
                (
                    state,
                    leave(State::Connector, Role::Negotiating, Some(wait)),
                )
            }
            // A probe that stands twice is one connection.
            (State::Connector, Input::Probed(_)) => (State::Connector, vec![]),
            (State::Connector, input) => (State::Connector, too_late(input)),
        };
        self.state = state;
        effects
    }
}

fn negotiate(step: Step, tries: u8, denials: u8, input: Input, random: f64) -> (State, Effects) {
    let go = |step| State::Negotiating {
        step,
        tries,
        denials: 0,
    };
    match (step, input) {
        (Step::Starting, Input::Start) => (
            go(Step::Probing),
            vec![Effect::Announce(Role::Negotiating), Effect::Probe],
        ),
        (Step::Waiting, Input::TimerFired) => (
            State::Negotiating {
                step: Step::Probing,
                tries,
                denials,
            },
            vec![Effect::Probe],
        ),
        (Step::Probing, Input::Probed(Probe::Joined)) => {
            (State::Connector, vec![Effect::Announce(Role::Connector)])
        }
        (Step::Probing, Input::Probed(Probe::NobodyThere)) => (
            State::Negotiating {
                step: Step::Binding,
                tries,
                denials,
            },
            vec![Effect::Bind],
        ),
        (Step::Binding, Input::Bound(Bind::Done)) => (
            State::Listener {
                restoring: false,
                denied: false,
            },
            vec![Effect::Announce(Role::Listener)],
        ),
        (Step::Probing, Input::Probed(Probe::Busy | Probe::Silent))
        | (Step::Binding, Input::Bound(Bind::InUse)) => (
            State::Negotiating {
                step: Step::Waiting,
                tries: more(tries),
                denials: 0,
            },
            vec![Effect::Wait(for_somebody(tries, random))],
        ),
        (Step::Probing, Input::Probed(Probe::Denied))
        | (Step::Binding, Input::Bound(Bind::Denied)) => {
            let wait = doubled(FIRST_DENIED_WAIT, denials, LONGEST_DENIED_WAIT);
            let mut effects = vec![Effect::Wait(wait)];
            if denials == 0 {
                effects.insert(0, Effect::Report);
            }
            (
                State::Negotiating {
                    step: Step::Waiting,
                    tries: 0,
                    denials: more(denials),
                },
                effects,
            )
        }
        (step, input) => (
            State::Negotiating {
                step,
                tries,
                denials,
            },
            too_late(input),
        ),
    }
}

fn listen(restoring: bool, denied: bool, input: Input) -> (State, Effects) {
    let stay = |restoring, denied| State::Listener { restoring, denied };
    match input {
        Input::PathFree if !restoring => (stay(true, denied), vec![Effect::Restore]),
        Input::Restored(Bind::Done) if restoring => (stay(false, false), vec![]),
        // Whoever watches the path says so again while it is not ours.
        Input::Restored(Bind::Denied) if restoring && denied => (stay(false, true), vec![]),
        Input::Restored(Bind::Denied) if restoring => (stay(false, true), vec![Effect::Report]),
        Input::PathLost => afresh(stay(restoring, denied)),
        Input::Restored(Bind::InUse) if restoring => afresh(stay(restoring, denied)),
        // A path that came twice is one path.
        Input::Bound(Bind::Done) | Input::Restored(_) => (stay(restoring, denied), vec![]),
        input => (stay(restoring, denied), too_late(input)),
    }
}

/// Negotiates anew, and at once: the lock keeps survivors from storming in.
fn afresh(from: State) -> (State, Effects) {
    (
        State::Negotiating {
            step: Step::Probing,
            tries: 0,
            denials: 0,
        },
        leave(from, Role::Negotiating, Some(Effect::Probe)),
    )
}

/// Gives up what a role holds.
fn leave(from: State, to: Role, then: Option<Effect>) -> Effects {
    let give_up = match from {
        State::Listener { .. } => Some(Effect::StopListening),
        // A connection that is lost needs no end.
        State::Connector if to == Role::Disposed => Some(Effect::Disconnect),
        _ => None,
    };
    let effects = [give_up, Some(Effect::Announce(to)), then];
    effects.into_iter().flatten().collect()
}

/// What comes when nobody waits for it is given back.
fn too_late(input: Input) -> Effects {
    match input {
        Input::Probed(Probe::Joined) => vec![Effect::Disconnect],
        Input::Bound(Bind::Done) | Input::Restored(Bind::Done) => vec![Effect::StopListening],
        _ => vec![],
    }
}

fn more(count: u8) -> u8 {
    count.saturating_add(1).min(MOST_DOUBLINGS)
}

fn doubled(first: Duration, times: u8, longest: Duration) -> Duration {
    first
        .saturating_mul(1 << times.min(MOST_DOUBLINGS))
        .min(longest)
}

/// The wait for somebody else after so many: half to one and a half times as long, so that many come
/// apart.
fn for_somebody(tries: u8, random: f64) -> Duration {
    // `clamp` would let pass what is no number, and there is no such wait.
    let random = if random.is_nan() {
        0.5
    } else {
        random.clamp(0.0, 1.0)
    };
    doubled(FIRST_WAIT, tries, LONGEST_WAIT).mul_f64(0.5 + random)
}

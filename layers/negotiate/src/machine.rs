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
//!
//! A peer that has no role for a second says why, and again after pauses that grow. A connector
//! whose path has another live socket leaves its listener in good order and negotiates at the path.

use std::time::Duration;

/// The first wait of those who were not first, before jitter. Each next one is twice as long.
const FIRST_WAIT: Duration = Duration::from_micros(500);

/// The longest wait for another process that is about to listen or to accept, before jitter. It keeps
/// to this for [`CROWD`] waits: a crowd that takes a path over is done by then.
const CROWD_WAIT: Duration = Duration::from_millis(100);

/// Waits of [`CROWD_WAIT`] in a row, some two seconds.
const CROWD: u8 = 20;

/// The longest wait for a listener that does not answer or does not let us in, and for a lock that
/// another process keeps, before jitter.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The first time without a role after which it is said why, and each pause after that, at most
/// [`LONGEST_PAUSE`], is as long as what has passed.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two times that it is said why there is no role.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The first wait after a refusal that will not heal by itself. Each next one is twice as long.
const FIRST_DENIED_WAIT: Duration = Duration::from_millis(250);

/// The longest wait after such a refusal.
const LONGEST_DENIED_WAIT: Duration = Duration::from_secs(1);

/// As many waits for one listener in a row take a second.
const SECOND_OF_WAITS: u8 = 11;

/// No wait doubles oftener: 0.5 ms * 2^8 is past [`CROWD_WAIT`].
const MOST_DOUBLINGS: u8 = 8;

/// No more waits in a row are told apart: all further ones are the longest.
const MOST_TRIES: u8 = MOST_DOUBLINGS + CROWD + 4;

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

/// Why a peer has no role: what it waits for.
///
/// ```
/// use kyneta_uds_negotiate::machine::WaitReason;
/// assert_eq!(WaitReason::Locked.to_string(), "another process holds the lock beside the path, and none listens");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitReason {
    /// A process listens and does not introduce itself: it is stopped, overloaded, or of another kind.
    ListenerSilent,
    /// A process listens and does not accept: its backlog is full.
    ListenerBusy,
    /// The process that listens closes our connections at once: this process is not allowed there,
    /// or there is no place for one more connection.
    TurnedAway,
    /// The process that listens is not one that this side deals with.
    ListenerNotAllowed,
    /// Another process holds the lock beside the path, or is about to listen.
    Locked,
    /// Not permitted, not a socket, no directory.
    InTheWay,
}

impl std::fmt::Display for WaitReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ListenerSilent => "a process listens at the path and does not introduce itself",
            Self::ListenerBusy => "a process listens at the path and its backlog is full",
            Self::TurnedAway => {
                "the process that listens at the path closes our connections at once"
            }
            Self::ListenerNotAllowed => "the process that listens at the path is not allowed",
            Self::Locked => "another process holds the lock beside the path, and none listens",
            Self::InTheWay => "the path cannot be used",
        })
    }
}

/// What came of a probe: a connection that is kept if somebody answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Probe {
    /// A connection stands and the listener has said that it serves it: the probe is the connection.
    Joined,
    /// No file, or nobody behind it.
    NobodyThere,
    /// Somebody listens, but the backlog is full.
    Busy,
    /// Somebody accepted, or may, but did not introduce itself.
    Silent,
    /// The listener closed the connection before it said a word.
    TurnedAway,
    /// The process that listens is not allowed.
    NotAllowed,
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
#[non_exhaustive]
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
    /// Another socket than our listener's stands at the connector's path, and is alive.
    PathMoved,
    /// The listener's path is not its own any more, and nobody else's either: the file is gone, or
    /// nobody listens behind what is there.
    PathFree,
    /// Answers [`Effect::Restore`]; [`Bind::Done`] also when the path is its own again by itself.
    Restored(Bind),
    /// The listener's path belongs to somebody else, who is alive.
    PathLost,
    /// The time of [`Effect::Wait`] is over.
    TimerFired,
    /// The time of [`Effect::Remind`] is over.
    Overdue,
    /// The last of all.
    Dispose,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Connect, and keep the connection if the peer introduces itself; say what came of it with
    /// [`Input::Probed`].
    Probe,
    /// Take the path; say what came of it with [`Input::Bound`].
    Bind,
    /// Come back with [`Input::TimerFired`] after this time.
    Wait(Duration),
    /// Come back with [`Input::Overdue`] after this time, unless there is a role by then.
    Remind(Duration),
    /// Tell the user why there is no role yet.
    Waiting(WaitReason),
    /// Leave the listener in good order: what was called goes out to it, what it has said comes in.
    /// Say so with [`Input::ConnectionLost`] when that is done or has taken too long.
    Part,
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
/// use std::time::Duration;
///
/// let mut peer = Negotiation::new();
/// let remind = Effect::Remind(Duration::from_secs(1));
/// let start = [Effect::Announce(Role::Negotiating), remind, Effect::Probe];
/// assert_eq!(peer.on(Input::Start, 0.0), start);
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
    Negotiating(Negotiating),
    Listener {
        restoring: bool,
        /// The last restoration was refused.
        denied: bool,
    },
    Connector {
        /// The path has moved; the connection is coming to its end.
        parting: bool,
    },
    Disposed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Negotiating {
    step: Step,
    /// Waits for another process since we began, at most [`MOST_TRIES`].
    tries: u8,
    /// Refusals in a row, at most [`MOST_DOUBLINGS`].
    denials: u8,
    /// What the last attempt came to.
    why: Option<WaitReason>,
    /// How often it was said why, at most [`MOST_DOUBLINGS`].
    told: u8,
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
            state: State::Negotiating(Negotiating::at(Step::Starting)),
        }
    }

    /// What we are.
    pub const fn role(&self) -> Role {
        match self.state {
            State::Negotiating(_) => Role::Negotiating,
            State::Listener { .. } => Role::Listener,
            State::Connector { .. } => Role::Connector,
            State::Disposed => Role::Disposed,
        }
    }

    /// Why there is no role, as far as is known; `None` with a role.
    pub const fn why(&self) -> Option<WaitReason> {
        match self.state {
            State::Negotiating(negotiating) => Some(negotiating.reason()),
            _ => None,
        }
    }

    /// Takes what has happened, with a random number from 0 to 1 (exclusive) that sets the waits of
    /// many apart. What is not waited for changes nothing; a connection or a path that comes too
    /// late is given back.
    pub fn on(&mut self, input: Input, random: f64) -> Effects {
        let (state, effects) = match (self.state, input) {
            (State::Disposed, input) => (State::Disposed, too_late(input)),
            (state, Input::Dispose) => (State::Disposed, leave(state, Role::Disposed)),
            (State::Negotiating(negotiating), input) => negotiating.on(input, random),
            (State::Listener { restoring, denied }, input) => listen(restoring, denied, input),
            (state @ State::Connector { parting }, input) => match input {
                Input::ConnectionLost => afresh(state),
                // It was to end: that it ended soon tells nothing of the next one.
                Input::TurnedAway { .. } if parting => afresh(state),
                Input::TurnedAway { times } => turned_away(times, random),
                Input::PathMoved if !parting => {
                    (State::Connector { parting: true }, vec![Effect::Part])
                }
                // A probe that stands twice is one connection.
                Input::Probed(_) => (state, vec![]),
                input => (state, too_late(input)),
            },
        };
        self.state = state;
        effects
    }
}

impl Negotiating {
    const fn at(step: Step) -> Self {
        Self {
            step,
            tries: 0,
            denials: 0,
            why: None,
            told: 0,
        }
    }

    /// What the last attempt came to; during the first one, what holds it up.
    const fn reason(&self) -> WaitReason {
        match (self.why, self.step) {
            (Some(why), _) => why,
            (None, Step::Binding) => WaitReason::Locked,
            (None, _) => WaitReason::ListenerSilent,
        }
    }

    fn on(self, input: Input, random: f64) -> (State, Effects) {
        let go = |step| State::Negotiating(Self { step, ..self });
        match (self.step, input) {
            (Step::Starting, Input::Start) => (
                go(Step::Probing),
                vec![
                    Effect::Announce(Role::Negotiating),
                    Effect::Remind(FIRST_PAUSE),
                    Effect::Probe,
                ],
            ),
            (Step::Waiting, Input::TimerFired) => (go(Step::Probing), vec![Effect::Probe]),
            (Step::Probing, Input::Probed(Probe::Joined)) => (
                State::Connector { parting: false },
                vec![Effect::Announce(Role::Connector)],
            ),
            (Step::Probing, Input::Probed(Probe::NobodyThere)) => {
                (go(Step::Binding), vec![Effect::Bind])
            }
            (Step::Binding, Input::Bound(Bind::Done)) => (
                State::Listener {
                    restoring: false,
                    denied: false,
                },
                vec![Effect::Announce(Role::Listener)],
            ),
            (Step::Probing, Input::Probed(Probe::Busy)) => {
                self.wait(WaitReason::ListenerBusy, in_a_crowd(self.tries, random))
            }
            (Step::Binding, Input::Bound(Bind::InUse)) => {
                self.wait(WaitReason::Locked, in_a_crowd(self.tries, random))
            }
            (Step::Probing, Input::Probed(Probe::Silent)) => {
                self.wait(WaitReason::ListenerSilent, for_one(self.tries, random))
            }
            (Step::Probing, Input::Probed(Probe::TurnedAway)) => {
                self.wait(WaitReason::TurnedAway, for_one(self.tries, random))
            }
            (Step::Probing, Input::Probed(Probe::NotAllowed)) => {
                self.denied(WaitReason::ListenerNotAllowed)
            }
            (Step::Probing, Input::Probed(Probe::Denied))
            | (Step::Binding, Input::Bound(Bind::Denied)) => self.denied(WaitReason::InTheWay),
            (Step::Probing | Step::Binding | Step::Waiting, Input::Overdue) => {
                let told = more(self.told, MOST_DOUBLINGS);
                let pause = doubled(FIRST_PAUSE, self.told, LONGEST_PAUSE);
                (
                    State::Negotiating(Self { told, ..self }),
                    vec![Effect::Waiting(self.reason()), Effect::Remind(pause)],
                )
            }
            (_, input) => (State::Negotiating(self), too_late(input)),
        }
    }

    /// For another process to be done.
    fn wait(self, why: WaitReason, wait: Duration) -> (State, Effects) {
        let state = State::Negotiating(Self {
            step: Step::Waiting,
            tries: more(self.tries, MOST_TRIES),
            denials: 0,
            why: Some(why),
            told: self.told,
        });
        (state, vec![Effect::Wait(wait)])
    }

    /// For what does not heal by itself, which is told once in a row.
    fn denied(self, why: WaitReason) -> (State, Effects) {
        let wait = doubled(FIRST_DENIED_WAIT, self.denials, LONGEST_DENIED_WAIT);
        let mut effects = vec![Effect::Wait(wait)];
        if self.denials == 0 {
            effects.insert(0, Effect::Report);
        }
        let state = State::Negotiating(Self {
            step: Step::Waiting,
            tries: 0,
            denials: more(self.denials, MOST_DOUBLINGS),
            why: Some(why),
            told: self.told,
        });
        (state, effects)
    }
}

/// The listener lets us in and lets go, so often in a row.
fn turned_away(times: u8, random: f64) -> (State, Effects) {
    let mut negotiating = Negotiating::at(Step::Waiting);
    negotiating.tries = more(times, MOST_TRIES);
    negotiating.why = Some(WaitReason::TurnedAway);
    let mut effects = vec![
        Effect::Announce(Role::Negotiating),
        Effect::Remind(FIRST_PAUSE),
        Effect::Wait(for_one(times, random)),
    ];
    // Each such connection is a role, so the waits are counted where the time is not.
    let late = times.saturating_sub(SECOND_OF_WAITS);
    if late > 0 && (late.is_power_of_two() || late.is_multiple_of(64)) {
        effects.insert(1, Effect::Waiting(WaitReason::TurnedAway));
    }
    (State::Negotiating(negotiating), effects)
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
        // It has come back without our doing: the next refusal is the first of a row.
        Input::Restored(Bind::Done) => (stay(false, false), vec![]),
        // A path that came twice is one path.
        Input::Bound(Bind::Done) | Input::Restored(_) => (stay(restoring, denied), vec![]),
        input => (stay(restoring, denied), too_late(input)),
    }
}

/// Negotiates anew, and at once: the lock keeps survivors from storming in.
fn afresh(from: State) -> (State, Effects) {
    let mut effects = leave(from, Role::Negotiating);
    effects.extend([Effect::Remind(FIRST_PAUSE), Effect::Probe]);
    (State::Negotiating(Negotiating::at(Step::Probing)), effects)
}

/// Gives up what a role holds.
fn leave(from: State, to: Role) -> Effects {
    let give_up = match from {
        State::Listener { .. } => Some(Effect::StopListening),
        // A connection that is lost needs no end.
        State::Connector { .. } if to == Role::Disposed => Some(Effect::Disconnect),
        _ => None,
    };
    let effects = [give_up, Some(Effect::Announce(to))];
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

fn more(count: u8, most: u8) -> u8 {
    count.saturating_add(1).min(most)
}

fn doubled(first: Duration, times: u8, longest: Duration) -> Duration {
    first
        .saturating_mul(1 << times.min(MOST_TRIES.min(31)))
        .min(longest)
}

/// The wait for one of many to be done after so many waits: short for as long as a crowd takes.
fn in_a_crowd(tries: u8, random: f64) -> Duration {
    let wait = match tries.checked_sub(MOST_DOUBLINGS + CROWD) {
        None => doubled(FIRST_WAIT, tries, CROWD_WAIT),
        Some(late) => doubled(CROWD_WAIT, late, LONGEST_WAIT),
    };
    jittered(wait, random)
}

/// The wait for the one that listens after so many waits: as long as what has passed.
fn for_one(tries: u8, random: f64) -> Duration {
    jittered(doubled(FIRST_WAIT, tries, LONGEST_WAIT), random)
}

/// Half to one and a half times as long, so that many come apart.
fn jittered(wait: Duration, random: f64) -> Duration {
    // `clamp` would let pass what is no number, and there is no such wait.
    let random = if random.is_nan() {
        0.5
    } else {
        random.clamp(0.0, 1.0)
    };
    wait.mul_f64(0.5 + random)
}

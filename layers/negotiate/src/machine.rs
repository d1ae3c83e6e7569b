//! Which peer listens and which connect, as a pure machine.
//!
//! In: results of probes, binds and connections; a random number. Out: what to do next. Touches nothing.
//!
//! ```text
//!                 no listener         bound
//! Negotiating probe --------> bind ---------> Listener --- path taken -----> Negotiating
//!      ^ |      |               | in use
//!      | wait <-+---------------+             Connector -- connection lost -> Negotiating
//!               | joined                          ^
//!               +---------------------------------+
//! ```
//!
//! A listener that does not answer is alive: it is waited for, and never replaced. A bind follows only where
//! no process listens, and the lock beside the path decides which peer wins; the others wait, each for a
//! random time, and connect to it.
//!
//! A peer that has had no role for a second reports why, and again after pauses that grow. A connector whose
//! path has another live socket closes its connection in good order and negotiates at the path. A peer that takes
//! over from a listener begins as the listener. A peer may be fixed to one of the roles ([`Only`]).

use std::time::Duration;

/// First wait for another peer that binds, before jitter. Each next one is twice as long.
const FIRST_WAIT: Duration = Duration::from_micros(500);

/// Longest wait for a process that is about to listen or to accept, before jitter, for the first
/// [`CROWD_WAITS`] waits of this length: by then, many peers that start at once have connected.
const CROWD_WAIT: Duration = Duration::from_millis(100);

/// Waits of [`CROWD_WAIT`] in a row: about two seconds.
const CROWD_WAITS: u8 = 20;

/// Longest wait for a listener that does not answer or rejects this peer, and for a lock that another
/// process keeps, before jitter.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Time before the first report that there is no role.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause between two reports that there is no role.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// First wait after an obstacle that does not go away by itself. Each next one is twice as long.
const FIRST_DENIED_WAIT: Duration = Duration::from_millis(250);

/// Longest wait after such an obstacle.
const LONGEST_DENIED_WAIT: Duration = Duration::from_secs(1);

/// So many waits for a listener, one after the other, take one second.
const WAITS_PER_SECOND: u8 = 11;

/// A wait doubles at most this often: 0.5 ms * 2^8 is past [`CROWD_WAIT`].
const MOST_DOUBLINGS: u8 = 8;

/// Waits in a row are counted up to this; all further ones are the longest.
const MOST_TRIES: u8 = MOST_DOUBLINGS + CROWD_WAITS + 4;

/// What a peer is at its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Neither listener nor connector.
    Negotiating,
    /// The path is this peer's; the others connect to it.
    Listener,
    /// Connected to the listener.
    Connector,
    /// Left for good.
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

/// The one role that a peer takes, besides none.
///
/// ```
/// use kyneta_uds_negotiate::machine::{Effect, Input, Negotiation, Only, Probe};
///
/// let mut peer = Negotiation::new().only(Only::Connector);
/// peer.on(Input::Start, 0.0);
/// let effects = peer.on(Input::Probed(Probe::NoListener), 0.0);
/// assert!(matches!(effects[..], [Effect::Wait(_)])); // it does not bind
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Only {
    /// It binds, and never connects. That another process listens is an obstacle.
    Listener,
    /// It connects, and never binds. Where no process listens it waits for one.
    Connector,
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
    /// A process listens and does not complete the handshake: it is stopped, overloaded, or another program.
    ListenerSilent,
    /// A process listens and speaks another protocol: this side's is kyneta's and the other's a bus's, or the reverse.
    OtherProtocol,
    /// A process listens and does not accept: its backlog is full.
    ListenerBusy,
    /// The process that listens closes our connections at once: this process is not allowed there,
    /// or the listener has as many connections as it allows.
    Rejected,
    /// This side's access policy does not allow the process that listens.
    ListenerNotAllowed,
    /// Another process holds the lock beside the path, or is about to listen.
    Locked,
    /// No process listens, and this peer only connects.
    NoListener,
    /// Not permitted, not a socket, no directory. Of a peer that only listens also: another process does.
    InTheWay,
}

impl std::fmt::Display for WaitReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ListenerSilent => "a process listens at the path and does not introduce itself",
            Self::OtherProtocol => "the process that listens at the path speaks another protocol",
            Self::ListenerBusy => "a process listens at the path and its backlog is full",
            Self::Rejected => "the process that listens at the path closes our connections at once",
            Self::ListenerNotAllowed => "the process that listens at the path is not allowed",
            Self::Locked => "another process holds the lock beside the path, and none listens",
            Self::NoListener => "no process listens at the path, and this one only connects",
            Self::InTheWay => "the path cannot be used",
        })
    }
}

/// Result of a probe: an attempt to connect whose connection is kept if the listener answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Probe {
    /// There is a connection, and the listener has said that it serves it: the probe is the connection.
    Joined,
    /// No file, or a file at which no process listens.
    NoListener,
    /// A process listens, but its backlog is full.
    Busy,
    /// A process accepted the connection, or will, but did not complete the handshake.
    Silent,
    /// The listener speaks another protocol: does not go away by itself.
    Foreign,
    /// The listener closed the connection before it sent anything.
    Rejected,
    /// The process that listens is not allowed.
    NotAllowed,
    /// Not permitted, not a socket: does not go away by itself.
    Denied,
}

/// Result of a bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bind {
    /// The path is this peer's, and it listens.
    Done,
    /// Another process holds the lock, or listens.
    InUse,
    /// Not permitted, not a socket, no directory: does not go away by itself.
    Denied,
}

/// An event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Input {
    /// The first input.
    Start,
    /// Instead of [`Start`](Self::Start): this peer goes on as the listener of another process.
    TakenOver,
    /// Answers [`Effect::Probe`].
    Probed(Probe),
    /// Answers [`Effect::Bind`].
    Bound(Bind),
    /// The connection of the last probe has ended.
    ConnectionLost,
    /// As [`ConnectionLost`](Self::ConnectionLost), of a short connection, and repeatedly: the listener accepts
    /// and closes at once.
    Rejected {
        /// How often in a row.
        times: u8,
    },
    /// Another live socket has taken the place of the connector's listener at the path.
    PathMoved,
    /// The listener's socket file is gone, or no process listens at what is there now.
    PathFree,
    /// Answers [`Effect::Restore`]; [`Bind::Done`] also when the path is the listener's again by itself.
    Restored(Bind),
    /// Another process listens at the listener's path.
    PathLost,
    /// The time of [`Effect::Wait`] is over.
    TimerFired,
    /// The time of [`Effect::Remind`] is over.
    Overdue,
    /// The last input.
    Dispose,
}

/// An action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Connect, and keep the connection if the listener answers. Feed the result as [`Input::Probed`].
    Probe,
    /// Take the path. Feed the result as [`Input::Bound`].
    Bind,
    /// Feed [`Input::TimerFired`] after this time.
    Wait(Duration),
    /// Feed [`Input::Overdue`] after this time, unless there is a role by then.
    Remind(Duration),
    /// Report why there is no role yet.
    Waiting(WaitReason),
    /// End this direction of the connection once what was called is flushed, and read what comes in. Feed
    /// [`Input::ConnectionLost`] when that is done or has timed out.
    HalfClose,
    /// Put the listener's socket file back. Feed the result as [`Input::Restored`].
    Restore,
    /// Give up the path, and close the members' connections.
    StopListening,
    /// Close the connection of the last probe.
    Disconnect,
    /// Report the obstacle of the last input. Once for a row of them.
    Report,
    /// Report the role from now on.
    Announce(Role),
}

/// Actions, in order.
pub type Effects = Vec<Effect>;

/// One peer's negotiation. At most one of a probe, a bind, a restoration and a wait is under way at any
/// time; after `Announce(Disposed)` it is dropped.
///
/// ```
/// use kyneta_uds_negotiate::machine::{Bind, Effect, Input, Negotiation, Probe, Role};
/// use std::time::Duration;
///
/// let mut peer = Negotiation::new();
/// let remind = Effect::Remind(Duration::from_secs(1));
/// let start = [Effect::Announce(Role::Negotiating), remind, Effect::Probe];
/// assert_eq!(peer.on(Input::Start, 0.0), start);
/// assert_eq!(peer.on(Input::Probed(Probe::NoListener), 0.0), [Effect::Bind]);
/// assert_eq!(peer.on(Input::Bound(Bind::Done), 0.0), [Effect::Announce(Role::Listener)]);
/// assert_eq!(peer.role(), Role::Listener);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Negotiation {
    state: State,
    only: Option<Only>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    Negotiating(Negotiating),
    Listener {
        restoring: bool,
        /// The last restoration was denied.
        denied: bool,
    },
    Connector {
        /// The path has moved; the connection is half-closed.
        leaving: bool,
    },
    Disposed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Negotiating {
    step: Step,
    /// Waits for another process since negotiating began, at most [`MOST_TRIES`].
    tries: u8,
    /// Obstacles in a row, at most [`MOST_DOUBLINGS`].
    denials: u8,
    /// Result of the last attempt.
    why: Option<WaitReason>,
    /// Reports that there is no role, at most [`MOST_DOUBLINGS`].
    reports: u8,
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
            only: None,
        }
    }

    /// Takes this role alone. Before the first input.
    pub const fn only(mut self, only: Only) -> Self {
        self.only = Some(only);
        self
    }

    /// The present role.
    pub const fn role(&self) -> Role {
        match self.state {
            State::Negotiating(_) => Role::Negotiating,
            State::Listener { .. } => Role::Listener,
            State::Connector { .. } => Role::Connector,
            State::Disposed => Role::Disposed,
        }
    }

    /// Why there is no role, as far as it is known; `None` with a role.
    pub const fn why(&self) -> Option<WaitReason> {
        match self.state {
            State::Negotiating(negotiating) => Some(negotiating.reason()),
            _ => None,
        }
    }

    /// True of a listener whose socket file is being put back.
    pub const fn is_restoring(&self) -> bool {
        matches!(
            self.state,
            State::Listener {
                restoring: true,
                ..
            }
        )
    }

    /// Takes an input, with a random number from 0 to 1 (exclusive) that spreads the waits of many peers. An
    /// input that is not expected changes nothing; a connection or a path that comes too late is given
    /// back.
    pub fn on(&mut self, input: Input, random: f64) -> Effects {
        let only = self.only;
        let (state, effects) = match (self.state, input) {
            (State::Disposed, input) => (State::Disposed, give_back(input)),
            (state, Input::Dispose) => (State::Disposed, give_up(state, Role::Disposed)),
            (State::Negotiating(negotiating), input) => negotiating.on(only, input, random),
            (State::Listener { restoring, denied }, input) => {
                on_listener(only, restoring, denied, input)
            }
            (state @ State::Connector { leaving }, input) => match input {
                Input::ConnectionLost => restart(only, state),
                // It was to end: that it was short does not mean that the next one will be.
                Input::Rejected { .. } if leaving => restart(only, state),
                Input::Rejected { times } => rejected(times, random),
                Input::PathMoved if !leaving => {
                    (State::Connector { leaving: true }, vec![Effect::HalfClose])
                }
                // Repeated: it is the same connection.
                Input::Probed(_) => (state, vec![]),
                input => (state, give_back(input)),
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
            reports: 0,
        }
    }

    /// Result of the last attempt; during the first one, what it waits for.
    const fn reason(&self) -> WaitReason {
        match (self.why, self.step) {
            (Some(why), _) => why,
            (None, Step::Binding) => WaitReason::Locked,
            (None, _) => WaitReason::ListenerSilent,
        }
    }

    fn on(self, only: Option<Only>, input: Input, random: f64) -> (State, Effects) {
        let go = |step| State::Negotiating(Self { step, ..self });
        let (first, begin) = attempt(only);
        match (self.step, input) {
            (Step::Starting, Input::Start) => (
                go(first),
                vec![
                    Effect::Announce(Role::Negotiating),
                    Effect::Remind(FIRST_PAUSE),
                    begin,
                ],
            ),
            (Step::Starting, Input::TakenOver) => (
                State::Listener {
                    restoring: false,
                    denied: false,
                },
                vec![Effect::Announce(Role::Listener)],
            ),
            (Step::Waiting, Input::TimerFired) => (go(first), vec![begin]),
            (Step::Probing, Input::Probed(Probe::Joined)) => (
                State::Connector { leaving: false },
                vec![Effect::Announce(Role::Connector)],
            ),
            (Step::Probing, Input::Probed(Probe::NoListener)) if only.is_some() => {
                self.wait(WaitReason::NoListener, listener_wait(self.tries, random))
            }
            (Step::Probing, Input::Probed(Probe::NoListener)) => {
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
                self.wait(WaitReason::ListenerBusy, crowd_wait(self.tries, random))
            }
            (Step::Binding, Input::Bound(Bind::InUse)) if only.is_some() => {
                self.denied(WaitReason::InTheWay)
            }
            (Step::Binding, Input::Bound(Bind::InUse)) => {
                self.wait(WaitReason::Locked, crowd_wait(self.tries, random))
            }
            (Step::Probing, Input::Probed(Probe::Silent)) => self.wait(
                WaitReason::ListenerSilent,
                listener_wait(self.tries, random),
            ),
            (Step::Probing, Input::Probed(Probe::Foreign)) => {
                self.denied(WaitReason::OtherProtocol)
            }
            (Step::Probing, Input::Probed(Probe::Rejected)) => {
                self.wait(WaitReason::Rejected, listener_wait(self.tries, random))
            }
            (Step::Probing, Input::Probed(Probe::NotAllowed)) => {
                self.denied(WaitReason::ListenerNotAllowed)
            }
            (Step::Probing, Input::Probed(Probe::Denied))
            | (Step::Binding, Input::Bound(Bind::Denied)) => self.denied(WaitReason::InTheWay),
            (Step::Probing | Step::Binding | Step::Waiting, Input::Overdue) => {
                let reports = incremented(self.reports, MOST_DOUBLINGS);
                let pause = reminder_pause(self.reports);
                (
                    State::Negotiating(Self { reports, ..self }),
                    vec![Effect::Waiting(self.reason()), Effect::Remind(pause)],
                )
            }
            (_, input) => (State::Negotiating(self), give_back(input)),
        }
    }

    /// Waits for another process.
    fn wait(self, why: WaitReason, wait: Duration) -> (State, Effects) {
        let state = State::Negotiating(Self {
            step: Step::Waiting,
            tries: incremented(self.tries, MOST_TRIES),
            denials: 0,
            why: Some(why),
            reports: self.reports,
        });
        (state, vec![Effect::Wait(wait)])
    }

    /// Waits at an obstacle that does not go away by itself, which is reported once in a row.
    fn denied(self, why: WaitReason) -> (State, Effects) {
        let wait = exponential(FIRST_DENIED_WAIT, self.denials, LONGEST_DENIED_WAIT);
        let mut effects = vec![Effect::Wait(wait)];
        if self.denials == 0 {
            effects.insert(0, Effect::Report);
        }
        let state = State::Negotiating(Self {
            step: Step::Waiting,
            tries: 0,
            denials: incremented(self.denials, MOST_DOUBLINGS),
            why: Some(why),
            reports: self.reports,
        });
        (state, effects)
    }
}

/// The listener has accepted and closed at once, so often in a row.
fn rejected(times: u8, random: f64) -> (State, Effects) {
    let mut negotiating = Negotiating::at(Step::Waiting);
    negotiating.tries = incremented(times, MOST_TRIES);
    negotiating.why = Some(WaitReason::Rejected);
    let mut effects = vec![
        Effect::Announce(Role::Negotiating),
        Effect::Remind(FIRST_PAUSE),
        Effect::Wait(listener_wait(times, random)),
    ];
    // Each such connection was a role, which ends the reminder: waits are counted instead of time.
    let late = times.saturating_sub(WAITS_PER_SECOND);
    if late > 0 && (late.is_power_of_two() || late.is_multiple_of(64)) {
        effects.insert(1, Effect::Waiting(WaitReason::Rejected));
    }
    (State::Negotiating(negotiating), effects)
}

fn on_listener(
    only: Option<Only>,
    restoring: bool,
    denied: bool,
    input: Input,
) -> (State, Effects) {
    let stay = |restoring, denied| State::Listener { restoring, denied };
    match input {
        Input::PathFree if !restoring => (stay(true, denied), vec![Effect::Restore]),
        Input::Restored(Bind::Done) if restoring => (stay(false, false), vec![]),
        // The path is reported lost again as long as it is.
        Input::Restored(Bind::Denied) if restoring && denied => (stay(false, true), vec![]),
        Input::Restored(Bind::Denied) if restoring => (stay(false, true), vec![Effect::Report]),
        Input::PathLost => restart(only, stay(restoring, denied)),
        Input::Restored(Bind::InUse) if restoring => restart(only, stay(restoring, denied)),
        // The path is this peer's again without a restoration: the next obstacle counts as the first.
        Input::Restored(Bind::Done) => (stay(false, false), vec![]),
        // Repeated: it is the same path.
        Input::Bound(Bind::Done) | Input::Restored(_) => (stay(restoring, denied), vec![]),
        input => (stay(restoring, denied), give_back(input)),
    }
}

/// What is attempted first: to connect, if this peer may.
const fn attempt(only: Option<Only>) -> (Step, Effect) {
    match only {
        Some(Only::Listener) => (Step::Binding, Effect::Bind),
        Some(Only::Connector) | None => (Step::Probing, Effect::Probe),
    }
}

/// Negotiates anew, and at once: the lock orders the survivors.
fn restart(only: Option<Only>, from: State) -> (State, Effects) {
    let (first, begin) = attempt(only);
    let mut effects = give_up(from, Role::Negotiating);
    effects.extend([Effect::Remind(FIRST_PAUSE), begin]);
    (State::Negotiating(Negotiating::at(first)), effects)
}

/// Gives up the connection or the path of a role.
fn give_up(from: State, to: Role) -> Effects {
    let held = match from {
        State::Listener { .. } => Some(Effect::StopListening),
        // A connection that is lost needs no end.
        State::Connector { .. } if to == Role::Disposed => Some(Effect::Disconnect),
        _ => None,
    };
    let effects = [held, Some(Effect::Announce(to))];
    effects.into_iter().flatten().collect()
}

/// Gives back a connection or a path that is not expected.
fn give_back(input: Input) -> Effects {
    match input {
        Input::Probed(Probe::Joined) => vec![Effect::Disconnect],
        Input::Bound(Bind::Done) | Input::Restored(Bind::Done) => vec![Effect::StopListening],
        _ => vec![],
    }
}

fn incremented(count: u8, most: u8) -> u8 {
    count.saturating_add(1).min(most)
}

fn exponential(first: Duration, times: u8, longest: Duration) -> Duration {
    first
        .saturating_mul(1 << times.min(MOST_TRIES.min(31)))
        .min(longest)
}

/// The pause after so many reports of the same wait: as long as the time that has passed, one second at
/// least and one minute at most.
pub fn reminder_pause(reports: u8) -> Duration {
    exponential(FIRST_PAUSE, reports, LONGEST_PAUSE)
}

/// The wait for another peer after so many waits: short while many peers may be starting.
fn crowd_wait(tries: u8, random: f64) -> Duration {
    let wait = match tries.checked_sub(MOST_DOUBLINGS + CROWD_WAITS) {
        None => exponential(FIRST_WAIT, tries, CROWD_WAIT),
        Some(late) => exponential(CROWD_WAIT, late, LONGEST_WAIT),
    };
    jittered(wait, random)
}

/// The wait for the listener after so many waits: as long as the time that has passed.
fn listener_wait(tries: u8, random: f64) -> Duration {
    jittered(exponential(FIRST_WAIT, tries, LONGEST_WAIT), random)
}

/// Half to one and a half times as long, to spread many peers.
fn jittered(wait: Duration, random: f64) -> Duration {
    // `clamp` lets NaN pass, which is no duration.
    let random = if random.is_nan() {
        0.5
    } else {
        random.clamp(0.0, 1.0)
    };
    wait.mul_f64(0.5 + random)
}

//! One link to one other machine: when to dial or to knock, what replaces what, what is reported.
//!
//! In: what happened, and a random number for pauses. Out: effects, in order. Touches nothing.

mod answers;
mod dials;
mod event;

pub use event::{
    Conn, DownReason, Effect, Hello, Incarnation, Input, Knock, Reason, Refusal, Role,
};

use std::time::Duration;

use crate::settings::LinkSettings;

/// How many processes are remembered that may not come back with this key.
const MAX_FORMER: usize = 8;

/// The state of one link. At most one connection is up at a time.
///
/// ```
/// use kyneta_uds_machines::{Conn, Effect, Incarnation, Input, Link, LinkSettings, Role};
///
/// let mut link = Link::new(Role::Dials, Incarnation(7), LinkSettings::default());
/// let mut effects = Vec::new();
/// link.step(Input::Start, 0, &mut effects);
/// assert_eq!(effects, [Effect::Dial { attempt: 1 }]);
///
/// effects.clear();
/// let (conn, other) = (Conn(1), Incarnation(8));
/// link.step(Input::Dialed { attempt: 1, conn, other }, 0, &mut effects);
/// assert_eq!(effects[0], Effect::Up { conn });
/// assert_eq!(link.up(), Some(conn));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Link {
    role: Role,
    me: Incarnation,
    settings: LinkSettings,
    /// The last number that a dial or a knock had.
    attempt: u64,
    /// A dial or a knock is under way.
    is_opening: bool,
    up: Option<Live>,
    /// In a row, since a link last stood for some time.
    failures: u32,
    /// What was last reported as the reason of its absence.
    reported: Option<Reason>,
    /// Dials: which process has knocked and is to be reached by the next dial.
    knocked: Option<Knocked>,
    /// Dials: processes that knock but do not own the address. Answers: processes that were replaced.
    former: Vec<Incarnation>,
    /// Answers: the newest link that was accepted.
    seen: Option<Hello>,
}

/// The connection that is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Live {
    conn: Conn,
    attempt: u64,
    other: Incarnation,
}

/// A process that has knocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Knocked {
    by: Incarnation,
    /// The first dial that began after the knock.
    reached_by: u64,
}

impl Link {
    /// Not started yet. `me` differs from process to process: a random number.
    pub fn new(role: Role, me: Incarnation, settings: LinkSettings) -> Self {
        Self {
            role,
            me,
            settings,
            attempt: 0,
            is_opening: false,
            up: None,
            failures: 0,
            reported: None,
            knocked: None,
            former: Vec::new(),
            seen: None,
        }
    }

    /// Which part this side has.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The connection that is up.
    pub fn up(&self) -> Option<Conn> {
        self.up.map(|live| live.conn)
    }

    /// Something happened. `random` makes pauses differ.
    pub fn step(&mut self, input: Input, random: u64, out: &mut Vec<Effect>) {
        match input {
            Input::Start => self.open(out),
            Input::TimerFired => self.timer_fired(out),
            Input::Dialed {
                attempt,
                conn,
                other,
            } => self.dialed(attempt, conn, other, out),
            Input::KnockHeard { attempt } => self.knock_heard(attempt, random, out),
            Input::Failed { attempt, reason } => self.failed(attempt, reason, random, out),
            Input::Accepted { conn, hello } => self.accepted(conn, hello, out),
            Input::Knocked { knock } => self.knocked(knock, out),
            Input::Ended { conn, reason } => self.ended(conn, reason, random, out),
        }
    }

    /// Dials or knocks, whichever is this side's part.
    fn open(&mut self, out: &mut Vec<Effect>) {
        if self.is_opening {
            return;
        }
        self.is_opening = true;
        self.attempt += 1;
        let attempt = self.attempt;
        out.push(match self.role {
            Role::Dials => Effect::Dial { attempt },
            Role::Answers => Effect::Knock {
                attempt,
                knock: Knock {
                    by: self.me,
                    seen: self.seen,
                },
            },
        });
    }

    fn timer_fired(&mut self, out: &mut Vec<Effect>) {
        match self.up {
            Some(_) => self.failures = 0,
            None => self.open(out),
        }
    }

    /// A dial or a knock did not succeed.
    fn failed(&mut self, attempt: u64, reason: Reason, random: u64, out: &mut Vec<Effect>) {
        if !self.ends_opening(attempt) || self.up.is_some() {
            return;
        }
        if self
            .knocked
            .is_some_and(|knocked| attempt < knocked.reached_by)
        {
            // It was on its way to the process before the one that knocks.
            self.open(out);
            return;
        }
        self.knocked = None;
        self.report(reason, out);
        self.retry(Duration::ZERO, random, out);
    }

    /// Whether this is the dial or the knock that is under way, which it is no more.
    fn ends_opening(&mut self, attempt: u64) -> bool {
        let is_present = self.is_opening && attempt == self.attempt;
        self.is_opening &= !is_present;
        is_present
    }

    /// The first time that it has this reason.
    fn report(&mut self, reason: Reason, out: &mut Vec<Effect>) {
        if self.reported.as_ref() != Some(&reason) {
            self.reported = Some(reason.clone());
            out.push(Effect::Absent { reason });
        }
    }

    fn retry(&mut self, at_least: Duration, random: u64, out: &mut Vec<Effect>) {
        self.failures = self.failures.saturating_add(1);
        let after = self.settings.delay(self.failures, random).max(at_least);
        out.push(Effect::Timer { after });
    }

    fn rises(&mut self, live: Live, out: &mut Vec<Effect>) {
        self.up = Some(live);
        self.reported = None;
        out.push(Effect::Up { conn: live.conn });
        let after = self.settings.steady_after;
        out.push(Effect::Timer { after });
    }

    /// A connection has ended. The next dial goes out at once if the link had stood for some time.
    fn ended(&mut self, conn: Conn, reason: DownReason, random: u64, out: &mut Vec<Effect>) {
        if self.up() != Some(conn) {
            return;
        }
        self.up = None;
        self.former.clear();
        out.push(Effect::Down { conn, reason });
        match (self.role, self.failures) {
            (Role::Dials, 0) => {
                self.failures = 1;
                self.open(out);
            }
            // The other side dials by itself, if it has noticed.
            _ => self.retry(Duration::ZERO, random, out),
        }
    }

    fn is_former(&self, other: Incarnation) -> bool {
        self.former.contains(&other)
    }

    fn add_former(&mut self, other: Incarnation) {
        if self.former.len() == MAX_FORMER {
            self.former.remove(0);
        }
        self.former.push(other);
    }
}

//! The two ends of a link in every order of few events: dials, knocks, crashes with successors, breaks, lost dials.
//!
//! After each step: an end has at most one connection up, and only one that it was welcomed on. From each state,
//! without further faults: both ends come to have the same connection up, and no other one is left open.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)] // Helpers stand beside the tests.

use std::collections::{HashSet, VecDeque};

use kyneta_uds_machines::{
    Conn, DownReason, Effect, Hello, Incarnation, Input, Knock, Link, LinkSettings, Reason,
    Refusal, Role,
};

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Node {
    link: Link,
    me: Incarnation,
    timer: bool,
    /// As the effects say.
    up: Option<Conn>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Says {
    Link(Hello),
    Knock(u64, Knock),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Stage {
    /// The opener's words are under way.
    Opening,
    /// The answer is under way: who welcomes, or the refusal.
    Answered(Result<Incarnation, Refusal>),
    Open,
}

/// A connection. Ends: 0 is the machine that dials, 1 the one that answers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Pipe {
    conn: Conn,
    opener: usize,
    says: Says,
    stage: Stage,
    /// Which process has each end open; the answerer's is absent until the words have come.
    ends: [Option<Incarnation>; 2],
    broken: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct World {
    nodes: [Node; 2],
    pipes: Vec<Pipe>,
    next: u64,
    crashes: u8,
    breaks: u8,
    timers: u8,
}

impl World {
    fn new(crashes: u8, breaks: u8, timers: u8) -> Self {
        let node = |role, me| Node {
            link: Link::new(role, Incarnation(me), LinkSettings::default()),
            me: Incarnation(me),
            timer: false,
            up: None,
        };
        let mut world = Self {
            nodes: [node(Role::Dials, 1), node(Role::Answers, 2)],
            pipes: Vec::new(),
            next: 2,
            crashes,
            breaks,
            timers,
        };
        world.step(0, Input::Start);
        world.step(1, Input::Start);
        world
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn step(&mut self, at: usize, input: Input) {
        let mut effects = Vec::new();
        self.nodes[at].link.step(input, 7, &mut effects);
        for effect in effects {
            match effect {
                Effect::Dial { attempt } => {
                    let by = self.nodes[at].me;
                    self.open(at, Says::Link(Hello { by, attempt }));
                }
                Effect::Knock { attempt, knock } => self.open(at, Says::Knock(attempt, knock)),
                Effect::Welcome { conn } => self.answer(conn, Ok(self.nodes[at].me)),
                Effect::Refuse { conn, refusal } => {
                    self.answer(conn, Err(refusal));
                    self.close(at, conn);
                }
                Effect::Close { conn } => self.close(at, conn),
                Effect::Timer { .. } => self.nodes[at].timer = true,
                Effect::Up { conn } => {
                    assert_eq!(self.nodes[at].up, None, "two at once");
                    let pipe = self.pipes.iter().find(|pipe| pipe.conn == conn).unwrap();
                    assert!(
                        pipe.ends[at] == Some(self.nodes[at].me) && pipe.stage != Stage::Opening
                    );
                    self.nodes[at].up = Some(conn);
                }
                Effect::Down { conn, .. } | Effect::Replaced { conn } => {
                    assert_eq!(self.nodes[at].up.take(), Some(conn));
                }
                Effect::Refused { .. } | Effect::Absent { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(self.nodes[at].up, self.nodes[at].link.up());
    }

    fn open(&mut self, opener: usize, says: Says) {
        let conn = Conn(self.number());
        let mut ends = [None; 2];
        ends[opener] = Some(self.nodes[opener].me);
        self.pipes.push(Pipe {
            conn,
            opener,
            says,
            stage: Stage::Opening,
            ends,
            broken: false,
        });
    }

    fn pipe(&mut self, conn: Conn) -> &mut Pipe {
        self.pipes
            .iter_mut()
            .find(|pipe| pipe.conn == conn)
            .unwrap()
    }

    fn answer(&mut self, conn: Conn, answer: Result<Incarnation, Refusal>) {
        self.pipe(conn).stage = Stage::Answered(answer);
    }

    fn close(&mut self, at: usize, conn: Conn) {
        self.pipe(conn).ends[at] = None;
    }

    fn is_live(&self, pipe: &Pipe, at: usize) -> bool {
        pipe.ends[at] == Some(self.nodes[at].me)
    }

    /// The words arrive at the process that is there now.
    fn deliver_opening(&mut self, place: usize) {
        let pipe = &mut self.pipes[place];
        let (conn, at, says) = (pipe.conn, 1 - pipe.opener, pipe.says);
        pipe.ends[at] = Some(self.nodes[at].me);
        match says {
            Says::Link(hello) => self.step(at, Input::Accepted { conn, hello }),
            Says::Knock(_, knock) => {
                self.answer(conn, Ok(self.nodes[at].me));
                self.close(at, conn);
                self.step(at, Input::Knocked { knock });
            }
        }
    }

    fn deliver_answer(&mut self, place: usize, answer: Result<Incarnation, Refusal>) {
        let pipe = &mut self.pipes[place];
        let (conn, at, says) = (pipe.conn, pipe.opener, pipe.says);
        pipe.stage = Stage::Open;
        match (says, answer) {
            (Says::Link(Hello { attempt, .. }), Ok(other)) => self.step(
                at,
                Input::Dialed {
                    attempt,
                    conn,
                    other,
                },
            ),
            (Says::Knock(attempt, _), Ok(_)) => {
                self.close(at, conn);
                self.step(at, Input::KnockHeard { attempt });
            }
            (Says::Link(Hello { attempt, .. }) | Says::Knock(attempt, _), Err(refusal)) => {
                self.close(at, conn);
                let reason = Reason::Refused(refusal);
                self.step(at, Input::Failed { attempt, reason });
            }
        }
    }

    /// An opener gives up: what it waits for does not come.
    fn fail(&mut self, place: usize) {
        let pipe = &mut self.pipes[place];
        let (at, says) = (pipe.opener, pipe.says);
        pipe.ends[at] = None;
        let (Says::Link(Hello { attempt, .. }) | Says::Knock(attempt, _)) = says;
        let reason = Reason::Timeout;
        self.step(at, Input::Failed { attempt, reason });
    }

    fn notice(&mut self, place: usize, at: usize) {
        let conn = self.pipes[place].conn;
        self.close(at, conn);
        let reason = DownReason::Finished;
        self.step(at, Input::Ended { conn, reason });
    }

    fn crash(&mut self, at: usize) {
        let me = Incarnation(self.number());
        let role = [Role::Dials, Role::Answers][at];
        self.nodes[at] = Node {
            link: Link::new(role, me, LinkSettings::default()),
            me,
            timer: false,
            up: None,
        };
        self.step(at, Input::Start);
    }

    fn fire(&mut self, at: usize) {
        self.nodes[at].timer = false;
        self.step(at, Input::TimerFired);
    }

    /// What nothing but time brings about: words that arrive, ends that are noticed.
    fn moves(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut add = |act: &dyn Fn(&mut Self)| {
            let mut next = self.clone();
            act(&mut next);
            next.tidy();
            all.push(next);
        };
        for (place, pipe) in self.pipes.iter().enumerate() {
            let opener = pipe.opener;
            match pipe.stage {
                Stage::Opening if !pipe.broken => add(&|w| w.deliver_opening(place)),
                Stage::Answered(answer) if self.is_live(pipe, opener) && !pipe.broken => {
                    add(&|w| w.deliver_answer(place, answer));
                }
                Stage::Opening | Stage::Answered(_) if self.is_live(pipe, opener) => {
                    add(&|w| w.fail(place));
                }
                _ => {}
            }
            for at in [0, 1] {
                let waits = at == opener && pipe.stage != Stage::Open;
                let is_gone = pipe.broken
                    || !self.is_live(pipe, 1 - at)
                        && (at == opener || pipe.stage != Stage::Opening);
                if self.is_live(pipe, at) && is_gone && !waits {
                    add(&|w| w.notice(place, at));
                }
            }
        }
        all
    }

    fn successors(&self) -> Vec<Self> {
        let mut all = self.moves();
        let mut add = |act: &dyn Fn(&mut Self)| {
            let mut next = self.clone();
            act(&mut next);
            next.tidy();
            all.push(next);
        };
        for at in [0, 1] {
            if self.nodes[at].timer && self.timers > 0 {
                add(&|w| {
                    w.timers -= 1;
                    w.fire(at);
                });
            }
            if self.crashes > 0 {
                add(&|w| {
                    w.crashes -= 1;
                    w.crash(at);
                });
            }
        }
        for place in 0..self.pipes.len() {
            if self.breaks > 0 && !self.pipes[place].broken {
                add(&|w| {
                    w.breaks -= 1;
                    w.pipes[place].broken = true;
                });
            }
        }
        all
    }

    /// Forgets connections that no live process has open and that carry nothing.
    fn tidy(&mut self) {
        let mut pipes = std::mem::take(&mut self.pipes);
        pipes.retain(|pipe| {
            let is_under_way = pipe.stage == Stage::Opening && !pipe.broken;
            is_under_way || self.is_live(pipe, 0) || self.is_live(pipe, 1)
        });
        self.pipes = pipes;
    }

    /// Goes on without faults, in a fair order. Whether one link stands, alone, and stays.
    fn settles(mut self) -> bool {
        for _ in 0..200 {
            if let Some(next) = self.moves().into_iter().next() {
                self = next;
                continue;
            }
            if self.stands() {
                (0..2).for_each(|at| self.fire(at));
                return self.stands() && self.moves().is_empty();
            }
            for at in [0, 1] {
                if self.nodes[at].timer {
                    self.fire(at);
                }
            }
            self.tidy();
        }
        false
    }

    fn stands(&self) -> bool {
        let [a, b] = [self.nodes[0].up, self.nodes[1].up];
        a.is_some() && a == b && self.pipes.len() == 1
    }
}

/// How many states there are, each of which settles.
fn explore(crashes: u8, breaks: u8, timers: u8, most: usize) -> usize {
    let first = World::new(crashes, breaks, timers);
    let mut seen = HashSet::from([first.clone()]);
    let mut line = VecDeque::from([first]);
    while let Some(world) = line.pop_front() {
        assert!(world.clone().settles(), "does not settle: {world:#?}");
        for next in world.successors() {
            if seen.len() < most && seen.insert(next.clone()) {
                line.push_back(next);
            }
        }
    }
    println!(
        "{crashes} crashes, {breaks} breaks, {timers} timers: {} states",
        seen.len()
    );
    seen.len()
}

#[test]
fn one_link_comes_to_stand_whatever_crashes_breaks_and_crosses() {
    for (crashes, breaks, timers) in [(0, 0, 2), (1, 0, 2), (0, 1, 2), (1, 1, 1), (2, 0, 1)] {
        assert!(explore(crashes, breaks, timers, 300_000) > 10);
    }
}

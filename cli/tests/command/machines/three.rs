//! The processes of three machines: how they are started, and which of them listen.
//!
//! In: machines, the edits that they make. Out: who listens, what the documents hold. A failure after the time to
//! settle prints the last lines of every process.

use std::{
    path::PathBuf,
    process,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::key;
use crate::process::{Process, Signal};

pub(super) const MACHINES: [&str; 3] = ["oslo", "rome", "lima"];

/// How long it may take until all is as it is to be.
const SETTLED: Duration = Duration::from_secs(20);

/// What one process is and does, beside its role and its links.
pub(super) trait Member {
    /// Its command and options, without path, id and machines.
    fn command(&self) -> Vec<String>;

    /// An event that is none of its role or links.
    fn heard(&mut self, event: &Value);

    /// For a person.
    fn shown(&self) -> String;

    /// What it does from time to time.
    fn turn(&mut self, process: &mut Process);
}

/// Where three machines are, and what links them.
pub(super) trait Place {
    /// A command of a machine with these arguments, and with the options of its links. `keys` has a key file of each
    /// machine, and its public part.
    fn command(
        &self,
        machine: usize,
        args: Vec<String>,
        keys: &[(PathBuf, String)],
    ) -> process::Command;
}

/// A process.
pub(super) struct Running<M> {
    pub(super) id: String,
    pub(super) machine: usize,
    pub(super) member: M,
    pub(super) process: Process,
    pub(super) is_alive: bool,
    pub(super) is_listener: bool,
    /// By machine: whether the link is up, and since when.
    links: [Option<(bool, Instant)>; 3],
}

/// All processes that were started.
pub(super) struct Machines<M, P> {
    pub(super) net: P,
    pub(super) all: Vec<Running<M>>,
    pub(super) dir: TempDir,
    keys: Vec<(PathBuf, String)>,
    /// Between two turns of each process.
    pace: Duration,
    last_turn: Instant,
    pub(super) is_quiet: bool,
}

impl<M: Member, P: Place> Machines<M, P> {
    pub(super) fn new(net: P, pace: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = MACHINES.iter().map(|name| {
            let file = dir.path().join(format!("{name}.key"));
            let public = key(&file);
            (file, public)
        });
        Self {
            net,
            all: Vec::new(),
            keys: keys.collect(),
            dir,
            pace,
            last_turn: Instant::now(),
            is_quiet: false,
        }
    }

    /// Starts one more process of a machine.
    pub(super) fn start(&mut self, machine: usize, member: M) {
        let id = format!("{}-{}", MACHINES[machine], self.all.len());
        let path = self.dir.path().join(format!("{}.sock", MACHINES[machine]));
        let mut args = member.command();
        let path = path.to_str().unwrap().to_owned();
        args.extend([path, "--json".into(), "--id".into(), id.clone()]);
        let process = Process::of(self.net.command(machine, args, &self.keys));
        self.all.push(Running {
            id,
            machine,
            member,
            process,
            is_alive: true,
            is_listener: false,
            links: [None; 3],
        });
    }

    pub(super) fn alive(&self) -> impl Iterator<Item = &Running<M>> {
        self.all.iter().filter(|running| running.is_alive)
    }

    /// Reads what there is to read, and has each process do what it does.
    fn step(&mut self) {
        let is_turn = !self.is_quiet && self.last_turn.elapsed() >= self.pace;
        if is_turn {
            self.last_turn = Instant::now();
        }
        for running in self.all.iter_mut().filter(|running| running.is_alive) {
            while let Some(event) = running.process.try_next() {
                running.heard(&event);
            }
            if is_turn {
                running.member.turn(&mut running.process);
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            self.step();
        }
    }

    /// Goes on until it is so. How long that took.
    pub(super) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) -> Duration {
        let start = Instant::now();
        while !is_so(self) {
            if start.elapsed() > SETTLED {
                let states = self.alive().map(Running::shown).collect::<Vec<_>>();
                panic!("not within {SETTLED:?}: {what}\n{}", states.join("\n"));
            }
            self.step();
        }
        start.elapsed()
    }

    /// Whether the listeners of two machines both say that their link is up, and both since `since`.
    fn is_linked(&self, a: usize, b: usize, since: Instant) -> bool {
        let says = |of: usize, other: usize| {
            let mut listeners = self
                .alive()
                .filter(|running| running.machine == of && running.is_listener);
            listeners
                .any(|listener| matches!(listener.links[other], Some((true, at)) if at >= since))
        };
        says(a, b) && says(b, a)
    }

    /// Goes on until all three links are up.
    pub(super) fn until_linked(&mut self, since: Instant) -> Duration {
        let pairs = [(0, 1), (0, 2), (1, 2)];
        let all = |machines: &Self| pairs.iter().all(|(a, b)| machines.is_linked(*a, *b, since));
        self.until("all links are up", all)
    }

    /// Whether no link of a process that is alive has changed since then.
    #[cfg(feature = "nats")]
    pub(super) fn is_unchanged_since(&self, since: Instant) -> bool {
        let links = self.alive().flat_map(|running| running.links);
        links.flatten().all(|(_, at)| at < since)
    }

    /// Kills the listener of a machine, has another process start there, and goes on until both links of the machine are up
    /// again. How long that took.
    pub(super) fn kill_listener(&mut self, machine: usize, next: M) -> Duration {
        self.kill(machine);
        let start = Instant::now();
        self.start(machine, next);
        let others = (0..MACHINES.len()).filter(|other| *other != machine);
        let others: Vec<_> = others.collect();
        self.until("both links are up again", |machines| {
            others
                .iter()
                .all(|other| machines.is_linked(machine, *other, start))
        })
    }

    /// Kills the listener of a machine.
    pub(super) fn kill(&mut self, machine: usize) {
        let is_listener = |running: &Running<M>| {
            running.machine == machine && running.is_alive && running.is_listener
        };
        self.until("a process listens", |machines| {
            machines.all.iter().any(is_listener)
        });
        let listener = self
            .all
            .iter_mut()
            .find(|running| is_listener(running))
            .unwrap();
        listener.process.signal(Signal::KILL);
        listener.is_alive = false;
    }

    /// Ends all in good order.
    pub(super) fn stop(self) {
        for running in self.all.into_iter().filter(|running| running.is_alive) {
            running.process.stop();
        }
    }
}

impl<M: Member> Running<M> {
    /// Its role and its links, for a person.
    fn shown(&self) -> String {
        let links = self
            .links
            .map(|link| link.map(|(is_up, at)| (is_up, at.elapsed())));
        let role = if self.is_listener {
            "listens"
        } else {
            "is connected"
        };
        format!("{} {role}: {links:?}, {}", self.id, self.member.shown())
    }

    fn heard(&mut self, event: &Value) {
        match event["event"].as_str() {
            Some("role") => {
                self.is_listener = event["role"] == "listener";
                if !self.is_listener {
                    self.links = [None; 3];
                }
            }
            Some("link") => {
                let machine = MACHINES.iter().position(|name| event["machine"] == **name);
                let is_up = event["change"] == "up";
                self.links[machine.unwrap()] = Some((is_up, Instant::now()));
            }
            _ => self.member.heard(event),
        }
    }
}

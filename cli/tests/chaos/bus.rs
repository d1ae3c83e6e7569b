//! A bus of processes: starts, stops and kills them, and checks whether they are one bus.
//!
//! A failed test prints all their events. No process outlives its bus.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    fs::File,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    DEADLINE,
    foreign_listener::ForeignListener,
    support::event_log::EventLog,
    support::peer_state::{OneBus, listeners, one_bus},
    support::process::{Process, Signal},
};

/// Why the processes are not one bus.
#[derive(Debug)]
pub(crate) enum RoundFailure {
    /// More than one listens, or another process answers at the path.
    Split(String),
    /// A process has not found the others.
    Hang,
}

impl fmt::Display for RoundFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Split(how) => write!(f, "split: {how}"),
            Self::Hang => write!(f, "not one bus within {DEADLINE:?}"),
        }
    }
}

pub(crate) struct Bus {
    pub(crate) path: PathBuf,
    pub(crate) log: Arc<EventLog>,
    processes: BTreeMap<String, Process>,
    foreign: Option<ForeignListener>,
    started: usize,
    pub(crate) directory: tempfile::TempDir,
    /// Not in the socket's directory: a file there would wake the watchers of that directory.
    stderr_files: tempfile::TempDir,
}

impl Bus {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            path: directory.path().join("bus.sock"),
            log: Arc::new(EventLog::new()),
            processes: BTreeMap::new(),
            foreign: None,
            started: 0,
            directory,
            stderr_files: tempfile::tempdir().unwrap(),
        }
    }

    /// A bus of `count` processes, connected.
    pub(crate) fn of(count: usize) -> (Self, OneBus) {
        let mut bus = Self::new();
        for _ in 0..count {
            bus.start(&[]);
        }
        let one = bus.one();
        (bus, one)
    }

    /// Starts a process; returns its id.
    pub(crate) fn start(&mut self, options: &[&str]) -> String {
        self.launch(options, Process::start)
    }

    /// Starts a process without the privileges of root; returns its id.
    pub(crate) fn start_unprivileged(&mut self) -> String {
        self.launch(&["--allow-uid", "0"], Process::unprivileged)
    }

    /// Starts many processes at the same instant; returns it.
    pub(crate) fn start_together(&mut self, count: usize) -> Instant {
        let mark = self.log.mark();
        for _ in 0..count {
            self.launch(&[], Process::gated);
        }
        let gates = self.log.wait(DEADLINE, |known| {
            (known.entries.len() == mark + count).then_some(())
        });
        assert!(gates.is_some(), "a process does not wait at its gate");
        let start = Instant::now();
        for process in self.processes.values_mut() {
            process.open();
        }
        start
    }

    fn launch(
        &mut self,
        options: &[&str],
        start: fn(&str, &[OsString], &Arc<EventLog>, PathBuf) -> Process,
    ) -> String {
        let id = format!("p{}", self.started);
        self.started += 1;
        let mut args: Vec<OsString> = vec!["peer".into(), self.path.clone().into()];
        args.extend(["--json", "--id", &id].map(OsString::from));
        args.extend(options.iter().map(OsString::from));
        let process = start(&id, &args, &self.log, self.stderr_files.path().join(&id));
        self.processes.insert(id.clone(), process);
        id
    }

    /// A listener of another implementation takes the path.
    pub(crate) fn taken_by(&mut self, foreign: ForeignListener) {
        self.foreign = Some(foreign);
    }

    /// The ids of all live processes, and of the foreign listener.
    fn members(&self) -> impl Iterator<Item = &str> {
        let ours = self.processes.keys().map(String::as_str);
        ours.chain(self.foreign.as_ref().map(|_| ForeignListener::ID))
    }

    /// The ids of our live processes.
    pub(crate) fn all(&self) -> Vec<String> {
        self.processes.keys().cloned().collect()
    }

    /// The ids of our live processes, without `one`.
    pub(crate) fn all_but(&self, one: &str) -> Vec<String> {
        let others = self.processes.keys().filter(|id| *id != one);
        others.cloned().collect()
    }

    pub(crate) fn process(&mut self, id: &str) -> &mut Process {
        self.processes.get_mut(id).unwrap()
    }

    /// Waits until all live processes are one bus.
    pub(crate) fn settled(&self) -> Result<OneBus, RoundFailure> {
        let one = self
            .log
            .wait(DEADLINE, |known| one_bus(&known.peers, self.members()));
        let Some(one) = one else {
            return Err(self.failure());
        };
        let (answers, expected) = (self.pid_at_path(), self.pid_of(&one.listener));
        if answers != Some(expected) {
            let listener = &one.listener;
            let how = format!(
                "{listener} listens, process {expected}, but {answers:?} answers at the path"
            );
            return Err(RoundFailure::Split(how));
        }
        Ok(one)
    }

    /// The same; fails if they are not.
    pub(crate) fn one(&self) -> OneBus {
        match self.settled() {
            Ok(one) => one,
            Err(failure) => panic!("{failure}"),
        }
    }

    fn failure(&self) -> RoundFailure {
        let listen = self.log.look(|known| {
            let listeners = listeners(&known.peers, self.members());
            listeners
                .iter()
                .map(|id| (*id).to_owned())
                .collect::<Vec<_>>()
        });
        if listen.len() > 1 {
            RoundFailure::Split(format!("{listen:?} listen"))
        } else {
            RoundFailure::Hang
        }
    }

    pub(crate) fn pid_of(&self, id: &str) -> u32 {
        let ours = self.processes.get(id).map(Process::pid);
        ours.unwrap_or_else(std::process::id)
    }

    /// The processes that have become the listener since `mark`, and when.
    pub(crate) fn took_over(&self, mark: usize) -> Vec<(String, Instant)> {
        let listens = json!({"event": "role", "role": "listener"});
        self.log.look(|known| {
            let since = known.entries.iter().skip(mark);
            since
                .filter(|entry| entry.is(&entry.id, &listens))
                .map(|entry| (entry.id.clone(), entry.at))
                .collect()
        })
    }

    /// Waits for an event of `id` with these fields; returns its time.
    pub(crate) fn until(&self, mark: usize, id: &str, fields: &Value) -> Instant {
        match self.soon(DEADLINE, mark, id, fields) {
            Some(at) => at,
            None => panic!("{id} has no event {fields} within {DEADLINE:?}"),
        }
    }

    /// The same; `None` if there is none in time.
    pub(crate) fn soon(
        &self,
        within: Duration,
        mark: usize,
        id: &str,
        fields: &Value,
    ) -> Option<Instant> {
        self.log.wait(within, |known| {
            let mut since = known.entries.iter().skip(mark);
            since
                .find(|entry| entry.is(id, fields))
                .map(|entry| entry.at)
        })
    }

    /// Kills a process; returns the time.
    pub(crate) fn kill(&mut self, id: &str) -> Instant {
        let process = self.processes.remove(id).unwrap();
        let before = Instant::now();
        process.signal(Signal::KILL);
        // Waited for on another thread, to not delay the measurement.
        std::thread::spawn(move || drop(process));
        before
    }

    /// Removes a process, which is to end by itself.
    pub(crate) fn remove(&mut self, id: &str) -> Process {
        self.processes.remove(id).unwrap()
    }

    /// Kills the listener and takes the path's lock before the others notice, so that none of them can
    /// take over while the lock is held.
    pub(crate) fn kill_and_lock(&mut self, listener: &str) -> File {
        let others = self.all_but(listener);
        for other in &others {
            self.process(other).freeze();
        }
        drop(self.processes.remove(listener));
        let lock = File::create(self.lock_path()).unwrap();
        lock.try_lock().unwrap();
        for other in &others {
            self.process(other).signal(Signal::CONT);
        }
        lock
    }

    /// The events and the stderr of all processes.
    pub(crate) fn transcript(&self) -> String {
        let mut transcript = self.log.text();
        for (id, process) in &self.processes {
            for line in process.stderr_text().lines() {
                transcript += &format!("{id:>18} {line}\n");
            }
        }
        transcript
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.transcript());
        }
    }
}

//! A bus of processes: they come, go, are put out of action, and are asked whether they are one.
//!
//! A test that fails prints what each of them has said. None outlives its bus.

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
    foreign_listener::Stranger,
    support::event_log::Log,
    support::peer_state::{OneBus, listeners, one_bus},
    support::process::{Process, Signal},
};

/// Why a bus is not one.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// More than one listens, or the path leads to somebody else.
    Split(String),
    /// Somebody is still looking for the others.
    Hang,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Split(how) => write!(f, "split: {how}"),
            Self::Hang => write!(f, "not one bus within {DEADLINE:?}"),
        }
    }
}

pub(crate) struct Bus {
    pub(crate) path: PathBuf,
    pub(crate) log: Arc<Log>,
    processes: BTreeMap<String, Process>,
    stranger: Option<Stranger>,
    started: usize,
    pub(crate) directory: tempfile::TempDir,
    /// Apart from the socket, so that nobody who watches its directory is woken for nothing.
    complaints: tempfile::TempDir,
}

impl Bus {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            path: directory.path().join("bus.sock"),
            log: Arc::new(Log::new()),
            processes: BTreeMap::new(),
            stranger: None,
            started: 0,
            directory,
            complaints: tempfile::tempdir().unwrap(),
        }
    }

    /// One of so many, all of which are one.
    pub(crate) fn of(count: usize) -> (Self, OneBus) {
        let mut bus = Self::new();
        for _ in 0..count {
            bus.start(&[]);
        }
        let one = bus.one();
        (bus, one)
    }

    /// Starts one more; its id.
    pub(crate) fn start(&mut self, options: &[&str]) -> String {
        self.launch(options, Process::start)
    }

    /// Starts one more, which may not do what root may; its id.
    pub(crate) fn start_unprivileged(&mut self) -> String {
        self.launch(&["--allow-uid", "0"], Process::unprivileged)
    }

    /// Starts many at the same instant; that instant.
    pub(crate) fn start_together(&mut self, count: usize) -> Instant {
        let mark = self.log.mark();
        for _ in 0..count {
            self.launch(&[], Process::gated);
        }
        let gates = self.log.wait(DEADLINE, |known| {
            (known.entries.len() == mark + count).then_some(())
        });
        assert!(gates.is_some(), "somebody is not at the gate");
        let start = Instant::now();
        for process in self.processes.values_mut() {
            process.open();
        }
        start
    }

    fn launch(
        &mut self,
        options: &[&str],
        start: fn(&str, &[OsString], &Arc<Log>, PathBuf) -> Process,
    ) -> String {
        let id = format!("p{}", self.started);
        self.started += 1;
        let mut args: Vec<OsString> = vec!["peer".into(), self.path.clone().into()];
        args.extend(["--json", "--id", &id].map(OsString::from));
        args.extend(options.iter().map(OsString::from));
        let process = start(&id, &args, &self.log, self.complaints.path().join(&id));
        self.processes.insert(id.clone(), process);
        id
    }

    /// A neighbour that is not ours takes the path.
    pub(crate) fn taken_by(&mut self, stranger: Stranger) {
        self.stranger = Some(stranger);
    }

    /// Those who are alive, strangers included.
    fn members(&self) -> impl Iterator<Item = &str> {
        let ours = self.processes.keys().map(String::as_str);
        ours.chain(self.stranger.as_ref().map(|_| Stranger::ID))
    }

    /// Ours who are alive, but for `one`.
    pub(crate) fn all_but(&self, one: &str) -> Vec<String> {
        let others = self.processes.keys().filter(|id| *id != one);
        others.cloned().collect()
    }

    pub(crate) fn process(&mut self, id: &str) -> &mut Process {
        self.processes.get_mut(id).unwrap()
    }

    /// Waits until all who are alive are one bus.
    pub(crate) fn settled(&self) -> Result<OneBus, Trouble> {
        let one = self
            .log
            .wait(DEADLINE, |known| one_bus(&known.standings, self.members()));
        let Some(one) = one else {
            return Err(self.trouble());
        };
        let (there, its) = (self.who_answers(), self.pid_of(&one.listener));
        if there != Some(its) {
            let listener = &one.listener;
            let how =
                format!("{listener} listens, process {its}, but {there:?} answers at the path");
            return Err(Trouble::Split(how));
        }
        Ok(one)
    }

    /// The same, and nothing else will do.
    pub(crate) fn one(&self) -> OneBus {
        match self.settled() {
            Ok(one) => one,
            Err(trouble) => panic!("{trouble}"),
        }
    }

    fn trouble(&self) -> Trouble {
        let listen = self.log.look(|known| {
            let listeners = listeners(&known.standings, self.members());
            listeners
                .iter()
                .map(|id| (*id).to_owned())
                .collect::<Vec<_>>()
        });
        if listen.len() > 1 {
            Trouble::Split(format!("{listen:?} listen"))
        } else {
            Trouble::Hang
        }
    }

    pub(crate) fn pid_of(&self, id: &str) -> u32 {
        let ours = self.processes.get(id).map(Process::pid);
        ours.unwrap_or_else(std::process::id)
    }

    /// Who has said, since `mark`, that it listens; and when.
    pub(crate) fn took_over(&self, mark: usize) -> Vec<(String, Instant)> {
        let listens = json!({"event": "role", "role": "listener"});
        self.log.look(|known| {
            let since = known.entries.iter().skip(mark);
            since
                .filter(|entry| entry.is(&entry.who, &listens))
                .map(|entry| (entry.who.clone(), entry.at))
                .collect()
        })
    }

    /// Waits until `who` says something with these fields; when it did.
    pub(crate) fn until(&self, mark: usize, who: &str, fields: &Value) -> Instant {
        match self.soon(DEADLINE, mark, who, fields) {
            Some(at) => at,
            None => panic!("{who} has not said {fields} within {DEADLINE:?}"),
        }
    }

    /// The same, but it need not.
    pub(crate) fn soon(
        &self,
        within: Duration,
        mark: usize,
        who: &str,
        fields: &Value,
    ) -> Option<Instant> {
        self.log.wait(within, |known| {
            let mut since = known.entries.iter().skip(mark);
            since
                .find(|entry| entry.is(who, fields))
                .map(|entry| entry.at)
        })
    }

    /// Kills one; when.
    pub(crate) fn kill(&mut self, id: &str) -> Instant {
        let process = self.processes.remove(id).unwrap();
        let before = Instant::now();
        process.signal(Signal::KILL);
        // Waited for elsewhere: whoever measures has no time for it.
        std::thread::spawn(move || drop(process));
        before
    }

    /// Takes one out, which is to end by itself.
    pub(crate) fn leave(&mut self, id: &str) -> Process {
        self.processes.remove(id).unwrap()
    }

    /// Kills the listener and holds the lock beside the path before the others know, so that none
    /// of them can take over while the lock is held.
    pub(crate) fn orphan(&mut self, listener: &str) -> File {
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

    /// What everybody has said.
    pub(crate) fn story(&self) -> String {
        let mut story = self.log.text();
        for (id, process) in &self.processes {
            for line in process.complaints().lines() {
                story += &format!("{id:>18} {line}\n");
            }
        }
        story
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.story());
        }
    }
}

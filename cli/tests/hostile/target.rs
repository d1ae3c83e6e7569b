//! The process under attack: the command, or a [`service`](crate::service), at a path of its own.
//!
//! In: how it is started. Out: its events, its memory and descriptors by proc(5). A wait that is in vain prints all
//! its events and stderr.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    DEADLINE,
    support::common::{raise_descriptor_limit, vitals},
    support::event_log::EventLog,
    support::process::Process,
};

pub(crate) struct Target {
    pub(crate) path: PathBuf,
    pub(crate) process: Process,
    pub(crate) log: Arc<EventLog>,
    directory: tempfile::TempDir,
}

impl Target {
    pub(crate) const ID: &str = "target";

    /// `kyneta-uds listen` with these options.
    pub(crate) fn listen(options: &[&str]) -> Self {
        Self::start(|path, log, stderr| {
            let mut args: Vec<OsString> = vec!["listen".into(), path.into()];
            args.extend(["--json", "--id", Self::ID].map(OsString::from));
            args.extend(options.iter().map(OsString::from));
            Process::start(Self::ID, &args, log, stderr)
        })
    }

    /// A process that prints `listening` on its stdout.
    pub(crate) fn start(start: impl FnOnce(PathBuf, &Arc<EventLog>, PathBuf) -> Process) -> Self {
        // For both ends: a child process inherits it.
        raise_descriptor_limit();
        let directory = tempfile::tempdir().unwrap();
        // Other users may enter: the socket has a mode of its own.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let path = directory.path().join("bus.sock");
        let log = Arc::new(EventLog::new());
        let process = start(path.clone(), &log, directory.path().join("stderr"));
        let target = Self {
            path,
            process,
            log,
            directory,
        };
        target.until(&json!({"event": "listening"}));
        target
    }

    /// Waits for an event with these fields.
    pub(crate) fn until(&self, fields: &Value) {
        let found = self.log.wait(DEADLINE, |known| {
            let mut entries = known.entries.iter();
            entries
                .any(|entry| entry.is(Self::ID, fields))
                .then_some(())
        });
        if found.is_none() {
            let (text, stderr) = (self.log.text(), self.process.stderr_text());
            panic!("no event {fields}\n{text}{stderr}");
        }
    }

    /// How many events it has with these fields.
    pub(crate) fn count(&self, fields: &Value) -> usize {
        self.log.look(|known| {
            let entries = known.entries.iter();
            entries.filter(|entry| entry.is(Self::ID, fields)).count()
        })
    }

    /// Its stderr, once there is any: a thread of its own writes it.
    pub(crate) fn stderr_text(&self) -> String {
        let start = Instant::now();
        while self.process.stderr_text().is_empty() {
            assert!(start.elapsed() < DEADLINE, "nothing on stderr");
            thread::sleep(Duration::from_millis(1));
        }
        self.process.stderr_text()
    }

    pub(crate) fn resident(&self) -> usize {
        vitals::resident_bytes(self.process.pid())
    }

    /// The largest resident memory during `span`.
    pub(crate) fn peak(&self, span: Duration) -> usize {
        let (start, mut peak) = (Instant::now(), self.resident());
        while start.elapsed() < span {
            thread::sleep(Duration::from_millis(10));
            peak = peak.max(self.resident());
        }
        peak
    }

    pub(crate) fn descriptors(&self) -> usize {
        vitals::descriptors(self.process.pid())
    }

    /// Waits until it has at most this many files open; returns how long that took.
    pub(crate) fn wait_for_descriptors(&self, count: usize) -> Duration {
        let start = Instant::now();
        while self.descriptors() > count {
            let open = self.descriptors();
            assert!(start.elapsed() < DEADLINE, "{open} are open, not {count}");
            thread::sleep(Duration::from_millis(1));
        }
        start.elapsed()
    }

    /// A `connect` of another user.
    pub(crate) fn with_other_uid(&self, options: &[&str]) -> Process {
        let stderr = self.directory.path().join("other-uid");
        Process::unprivileged("other-uid", &self.connect(options), &self.log, stderr)
    }

    /// A `connect` of our own user with the same id.
    pub(crate) fn with_own_uid(&self, name: &str) -> Process {
        let stderr = self.directory.path().join(name);
        Process::start(name, &self.connect(&["--name", name]), &self.log, stderr)
    }

    fn connect(&self, options: &[&str]) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["connect".into(), self.path.clone().into()];
        args.extend(["--json", "--id", "other-uid"].map(OsString::from));
        args.extend(options.iter().map(OsString::from));
        args
    }
}

/// A test of this binary as a process of its own.
pub(crate) fn this_binary(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--nocapture"]);
    command
}

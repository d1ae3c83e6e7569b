//! The process that is attacked: the command, or a [`service`](crate::service), at a path of its own.

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
    support::event_log::Log,
    support::process::Process,
};

pub(crate) struct Target {
    pub(crate) path: PathBuf,
    pub(crate) process: Process,
    pub(crate) log: Arc<Log>,
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

    /// Whatever says on its stdout that it listens.
    pub(crate) fn start(start: impl FnOnce(PathBuf, &Arc<Log>, PathBuf) -> Process) -> Self {
        // For both ends: what it starts has what it has.
        raise_descriptor_limit();
        let directory = tempfile::tempdir().unwrap();
        // Where others may come in: the socket has a mode of its own.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let path = directory.path().join("bus.sock");
        let log = Arc::new(Log::new());
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

    /// Waits until it has said something with these fields.
    pub(crate) fn until(&self, fields: &Value) {
        let said = self.log.wait(DEADLINE, |known| {
            let mut entries = known.entries.iter();
            entries
                .any(|entry| entry.is(Self::ID, fields))
                .then_some(())
        });
        if said.is_none() {
            let (text, stderr) = (self.log.text(), self.process.complaints());
            panic!("{fields} was not said\n{text}{stderr}");
        }
    }

    /// How often it has said something with these fields.
    pub(crate) fn count(&self, fields: &Value) -> usize {
        self.log.look(|known| {
            let entries = known.entries.iter();
            entries.filter(|entry| entry.is(Self::ID, fields)).count()
        })
    }

    /// What it has said on stderr, as soon as that is anything: a thread of its own says it.
    pub(crate) fn complaints(&self) -> String {
        let start = Instant::now();
        while self.process.complaints().is_empty() {
            assert!(start.elapsed() < DEADLINE, "nothing on stderr");
            thread::sleep(Duration::from_millis(1));
        }
        self.process.complaints()
    }

    pub(crate) fn resident(&self) -> usize {
        vitals::resident_bytes(self.process.pid())
    }

    /// The most that it holds during `span`.
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

    /// Waits until it has no more files open than this; how long that took.
    pub(crate) fn closes_all_but(&self, count: usize) -> Duration {
        let start = Instant::now();
        while self.descriptors() > count {
            let open = self.descriptors();
            assert!(start.elapsed() < DEADLINE, "{open} are open, not {count}");
            thread::sleep(Duration::from_millis(1));
        }
        start.elapsed()
    }

    /// Another command that connects, as somebody else.
    pub(crate) fn as_nobody(&self, options: &[&str]) -> Process {
        let mut args: Vec<OsString> = vec!["connect".into(), self.path.clone().into()];
        args.extend(["--json", "--id", "nobody"].map(OsString::from));
        args.extend(options.iter().map(OsString::from));
        let stderr = self.directory.path().join("nobody");
        Process::unprivileged("nobody", &args, &self.log, stderr)
    }
}

/// A test of this binary as a process of its own.
pub(crate) fn this_binary(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--nocapture"]);
    command
}

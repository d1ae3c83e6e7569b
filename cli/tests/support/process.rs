//! A `kyneta-uds` process: started, written to, signalled; killed when dropped. Its lines of stdout go
//! into the event log, with the time at which they came.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::Value;

use super::{DEADLINE, event_log::EventLog};

/// Prints an empty line, waits for a line of stdin, then becomes the command.
const GATE: &str = r#"echo; read -r _; exec "$0" "$@""#;

/// The uid of unprivileged processes when the tests run as root.
pub(crate) const OTHER_UID: &str = "65534";

/// Options of setpriv(1): root may write anywhere, this user may not.
const AS_OTHER_UID: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

/// The path of the command.
pub(crate) fn binary() -> OsString {
    match std::env::var_os("KYNETA_BIN") {
        // Cargo starts tests in the package; a relative path is the workspace's.
        Some(binary) if !binary.is_empty() => {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            fs::canonicalize(root.join(binary)).unwrap().into()
        }
        _ => env!("CARGO_BIN_EXE_kyneta-uds").into(),
    }
}

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stderr: PathBuf,
}

impl Process {
    /// Starts the command with these arguments.
    pub(crate) fn start(
        name: &str,
        args: &[OsString],
        log: &Arc<EventLog>,
        stderr: PathBuf,
    ) -> Self {
        let mut command = Command::new(binary());
        command.args(args);
        Self::of(command, name, log, stderr)
    }

    /// The same, without the privileges of root.
    pub(crate) fn unprivileged(
        name: &str,
        args: &[OsString],
        log: &Arc<EventLog>,
        stderr: PathBuf,
    ) -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::start(name, args, log, stderr);
        }
        let mut command = Command::new("setpriv");
        command.args(AS_OTHER_UID).arg(binary()).args(args);
        Self::of(command, name, log, stderr)
    }

    /// True if the tests run as root and cannot change the uid.
    pub(crate) fn cannot_drop_root() -> bool {
        let mut command = Command::new("setpriv");
        command.args(AS_OTHER_UID).arg(binary()).arg("--version");
        let mut worked = || command.stdout(Stdio::null()).status();
        rustix::process::geteuid().is_root() && !worked().is_ok_and(|status| status.success())
    }

    /// The same, but it starts only after [`open`](Self::open).
    pub(crate) fn gated(
        name: &str,
        args: &[OsString],
        log: &Arc<EventLog>,
        stderr: PathBuf,
    ) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", GATE]).arg(binary()).args(args);
        Self::of(command, name, log, stderr)
    }

    /// Starts any program that prints its events as lines on stdout.
    pub(crate) fn of(
        mut command: Command,
        name: &str,
        log: &Arc<EventLog>,
        stderr: PathBuf,
    ) -> Self {
        command
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr).unwrap());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (name, log) = (name.to_owned(), log.clone());
        thread::spawn(move || read(stdout, &name, &log));
        Self {
            stdin: child.stdin.take(),
            child,
            stderr,
        }
    }

    /// Starts the command of a gated process.
    pub(crate) fn open(&mut self) {
        self.write("\n");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its stdin.
    pub(crate) fn write_line(&mut self, line: &Value) {
        self.write(&format!("{line}\n"));
    }

    fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
    }

    /// Its stdin, to be written from another thread.
    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }

    /// Gives stdin back.
    pub(crate) fn take_back(&mut self, stdin: ChildStdin) {
        self.stdin = Some(stdin);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Stops it (SIGSTOP), and waits until it is stopped.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        let start = Instant::now();
        while self.state() != 'T' {
            assert!(start.elapsed() < DEADLINE, "{} is not stopped", self.pid());
            thread::yield_now();
        }
    }

    /// Its state (proc(5)).
    fn state(&self) -> char {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let after_the_name = stat.rsplit_once(") ").unwrap().1;
        after_the_name.chars().next().unwrap()
    }

    /// Processor time of all its threads so far.
    pub(crate) fn on_cpu(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let nanoseconds = threads.map(|thread| -> u64 {
            let path = thread.unwrap().path().join("schedstat");
            let stat = fs::read_to_string(path).unwrap();
            stat.split(' ').next().unwrap().parse().unwrap()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// How often its threads have waited, and so woken up, so far.
    pub(crate) fn wake_ups(&self) -> u64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let switches = threads.map(|thread| -> u64 {
            let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
            let mut fields = status.lines().filter_map(|line| line.split_once(':'));
            let (_, count) = fields
                .find(|(name, _)| *name == "voluntary_ctxt_switches")
                .unwrap();
            count.trim().parse().unwrap()
        });
        switches.sum()
    }

    /// How many of its descriptors are inotify instances.
    pub(crate) fn inotify_instances(&self) -> usize {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let files = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        files
            .filter(|file| file.to_string_lossy() == "anon_inode:inotify")
            .count()
    }

    /// Its exit code, or minus the signal; it must end by itself.
    pub(crate) fn end(&mut self) -> i32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or_else(|| -status.signal().unwrap());
            }
            assert!(start.elapsed() < DEADLINE, "{} does not end", self.pid());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Its stderr so far.
    pub(crate) fn stderr_text(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(stdout: ChildStdout, name: &str, log: &EventLog) {
    let mut stdout = BufReader::with_capacity(1 << 16, stdout);
    let mut line = String::new();
    while stdout.read_line(&mut line).unwrap() > 0 {
        let at = Instant::now();
        let event = match line.trim_end() {
            "" => Value::Null,
            json => serde_json::from_str(json).unwrap_or_else(|_| Value::from(json)),
        };
        log.record(name, at, event);
        line.clear();
    }
    log.end(name);
}

//! A `kyneta-uds` process: started, spoken to, signalled; killed when dropped. What it says goes
//! into the log, with the time at which it came.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::Value;

use super::{DEADLINE, event_log::Log};

/// Starts at once when told to. Says an empty line when it waits to be told.
const GATE: &str = r#"echo; read -r _; exec "$0" "$@""#;

/// The user of those that are unprivileged where the tests are root's.
pub(crate) const NOBODY: &str = "65534";

/// Root may write anywhere, and becomes somebody who may not (setpriv(1)).
const AS_NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

/// Where the command is.
fn binary() -> OsString {
    match std::env::var_os("KYNETA_BIN") {
        Some(binary) if !binary.is_empty() => fs::canonicalize(binary).unwrap().into(),
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
    pub(crate) fn start(who: &str, args: &[OsString], log: &Arc<Log>, stderr: PathBuf) -> Self {
        let mut command = Command::new(binary());
        command.args(args);
        Self::of(command, who, log, stderr)
    }

    /// The same, but it may not do what root may.
    pub(crate) fn unprivileged(
        who: &str,
        args: &[OsString],
        log: &Arc<Log>,
        stderr: PathBuf,
    ) -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::start(who, args, log, stderr);
        }
        let mut command = Command::new("setpriv");
        command.args(AS_NOBODY).arg(binary()).args(args);
        Self::of(command, who, log, stderr)
    }

    /// Nobody can be nobody here.
    pub(crate) fn never_unprivileged() -> bool {
        let mut command = Command::new("setpriv");
        command.args(AS_NOBODY).arg(binary()).arg("--version");
        let mut worked = || command.stdout(Stdio::null()).status();
        rustix::process::geteuid().is_root() && !worked().is_ok_and(|status| status.success())
    }

    /// The same, but it waits for [`open`](Self::open).
    pub(crate) fn gated(who: &str, args: &[OsString], log: &Arc<Log>, stderr: PathBuf) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", GATE]).arg(binary()).args(args);
        Self::of(command, who, log, stderr)
    }

    /// Starts whatever tells on stdout, in lines, what happens to it.
    pub(crate) fn of(mut command: Command, who: &str, log: &Arc<Log>, stderr: PathBuf) -> Self {
        command
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr).unwrap());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (who, log) = (who.to_owned(), log.clone());
        thread::spawn(move || read(stdout, &who, &log));
        Self {
            stdin: child.stdin.take(),
            child,
            stderr,
        }
    }

    /// Lets a gated one go.
    pub(crate) fn open(&mut self) {
        self.write("\n");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its stdin.
    pub(crate) fn say(&mut self, line: &Value) {
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

    /// Its stdin, written to from here again.
    pub(crate) fn take_back(&mut self, stdin: ChildStdin) {
        self.stdin = Some(stdin);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Stops it (SIGSTOP), and does not return before it stands still.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        let start = Instant::now();
        while self.state() != 'T' {
            assert!(start.elapsed() < DEADLINE, "{} goes on", self.pid());
            thread::yield_now();
        }
    }

    /// What the kernel says of it (proc(5)).
    fn state(&self) -> char {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let after_the_name = stat.rsplit_once(") ").unwrap().1;
        after_the_name.chars().next().unwrap()
    }

    /// What it has had of the processors so far, all its threads together.
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

    /// What it has said on stderr.
    pub(crate) fn complaints(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(stdout: ChildStdout, who: &str, log: &Log) {
    let mut stdout = BufReader::with_capacity(1 << 16, stdout);
    let mut line = String::new();
    while stdout.read_line(&mut line).unwrap() > 0 {
        let at = Instant::now();
        let event = match line.trim_end() {
            "" => Value::Null,
            json => serde_json::from_str(json).unwrap_or_else(|_| Value::from(json)),
        };
        log.hear(who, at, event);
        line.clear();
    }
    log.end(who);
}

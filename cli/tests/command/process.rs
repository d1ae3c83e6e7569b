//! A `kyneta-uds` process: its input, its output, its end. Every wait has a deadline and an event that ends
//! it.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read, Write as _},
    os::unix::process::ExitStatusExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::{Value, json};

use crate::support::{DEADLINE, process::binary};

/// The command with these arguments, all its streams piped. `KYNETA_BIN` names another build of it, to measure.
pub(crate) fn command<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(binary());
    command
        .args(args)
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The same in a network namespace, as root.
#[cfg(feature = "machines")]
pub(crate) fn command_in<A: AsRef<OsStr>>(
    namespace: &str,
    args: impl IntoIterator<Item = A>,
) -> Command {
    let inner = command(args);
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", namespace])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Starts the command with these arguments.
pub(crate) fn start(args: &[&str]) -> Process {
    Process::of(command(args))
}

/// A running command. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
}

/// The end of a command.
#[derive(Debug)]
pub(crate) struct End {
    /// The exit code, or minus the signal.
    pub(crate) code: i32,
    /// The lines of stdout that were not read before.
    pub(crate) rest: Vec<String>,
    pub(crate) stderr: String,
}

impl Process {
    /// Starts it.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut process = Self::without_stdout(child);
        process.lines = lines(stdout);
        process
    }

    /// A process whose stdout is handled elsewhere.
    pub(crate) fn without_stdout(mut child: Child) -> Self {
        let stderr = child.stderr.take();
        Self {
            stdin: child.stdin.take(),
            lines: channel().1,
            stderr: Some(thread::spawn(move || {
                let mut text = String::new();
                if let Some(mut stderr) = stderr {
                    stderr.read_to_string(&mut text).unwrap();
                }
                text
            })),
            child,
        }
    }

    /// A process whose stderr is handled elsewhere.
    pub(crate) fn without_stderr(mut child: Child) -> Self {
        let stdout = child.stdout.take().unwrap();
        let mut process = Self::without_stdout(child);
        process.lines = lines(stdout);
        process
    }

    /// Waits for the end of a process whose stdout is handled elsewhere.
    pub(crate) fn wait_for_end(&mut self) -> End {
        self.wait(DEADLINE, Vec::new())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its stdin.
    pub(crate) fn write_line(&mut self, line: impl ToString) {
        self.write(format!("{}\n", line.to_string()).as_bytes());
    }

    /// Writes bytes to its stdin.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if let Err(error) = self.stdin.as_mut().unwrap().write_all(bytes) {
            panic!("{error}: {:?}", self.end());
        }
    }

    /// Its stdin, to be written from another thread.
    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }

    /// Its next line.
    pub(crate) fn line(&mut self) -> String {
        match self.next_line() {
            Some(line) => line,
            None => panic!("no more lines: {:?}", self.end()),
        }
    }

    /// Its next line; `None` when it has ended.
    pub(crate) fn next_line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {DEADLINE:?}"),
        }
    }

    /// Its next event.
    pub(crate) fn next(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Its next event, if there is one now.
    #[cfg(feature = "machines")]
    pub(crate) fn try_next(&mut self) -> Option<Value> {
        let line = self.lines.try_recv().ok()?;
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// The next event with these fields; skips the events before it.
    pub(crate) fn until(&mut self, fields: &Value) -> Value {
        let mut passed = Vec::new();
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) => {
                    let event: Value = serde_json::from_str(&line).unwrap();
                    if has(&event, fields) {
                        return event;
                    }
                    passed.push(line);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("no event {fields}, but {passed:#?}, {:?}", self.end())
                }
            }
        }
        panic!("no event {fields} within {DEADLINE:?}, but {passed:#?}")
    }

    /// Its next role other than negotiating.
    pub(crate) fn settled(&mut self) -> String {
        loop {
            let event = self.until(&json!({"event": "role"}));
            let role = event["role"].as_str().unwrap();
            if role != "negotiating" {
                return role.to_owned();
            }
        }
    }

    /// Waits until it listens, as `listen` does, or as the first of its path.
    pub(crate) fn listens_as(&mut self, command: &str) {
        match command {
            "listen" => drop(self.until(&json!({"event": "listening"}))),
            _ => assert_eq!(self.settled(), "listener"),
        }
    }

    /// True if it has a handler for the signal (proc(5)).
    pub(crate) fn catches(&self, signal: Signal) -> bool {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).unwrap();
        let caught = status.split_once("SigCgt:").unwrap().1;
        let caught = caught.split_whitespace().next().unwrap();
        let caught = u64::from_str_radix(caught, 16).unwrap();
        caught & (1 << (signal.as_raw() - 1)) != 0
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> End {
        let start = Instant::now();
        let mut rest = Vec::new();
        // Its stdout ends with it.
        loop {
            let left = DEADLINE.saturating_sub(start.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("no end within {DEADLINE:?}: {rest:#?}"),
            }
        }
        self.wait(DEADLINE.saturating_sub(start.elapsed()), rest)
    }

    fn wait(&mut self, within: Duration, rest: Vec<String>) -> End {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if start.elapsed() > within => panic!("stdout has ended, the process has not"),
                None => thread::sleep(Duration::from_millis(2)),
            }
        };
        let code = status.code();
        End {
            code: code.unwrap_or_else(|| -status.signal().unwrap()),
            rest,
            stderr: self.stderr.take().unwrap().join().unwrap(),
        }
    }

    /// Ends its stdin and waits for its end.
    pub(crate) fn finish(mut self) -> End {
        self.stdin = None;
        self.end()
    }

    /// Sends SIGTERM; it must end with exit code 0.
    pub(crate) fn stop(mut self) -> End {
        self.signal(Signal::TERM);
        let end = self.end();
        assert_eq!(end.code, 0, "{end:?}");
        end
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::with_capacity(1 << 20, stdout).lines() {
            if sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// True when `event` has all of `fields`, whatever else it has.
fn has(event: &Value, fields: &Value) -> bool {
    let fields = fields.as_object().unwrap();
    fields.iter().all(|(name, value)| &event[name] == value)
}

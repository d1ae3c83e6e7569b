//! A `kyneta-uds` process: what one says to it, what it says, how it ends. Every wait has a
//! deadline and an event that ends it.

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
use serde_json::Value;

use crate::support::DEADLINE;

/// The command with these arguments, all of its streams to us.
pub(crate) fn command<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kyneta-uds"));
    command
        .args(args)
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The command with words for arguments.
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

/// How a command has ended.
#[derive(Debug)]
pub(crate) struct End {
    /// The exit code, or minus the signal.
    pub(crate) code: i32,
    /// The lines that had not been asked for.
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

    /// One whose stdout is seen to elsewhere.
    pub(crate) fn without_stdout(mut child: Child) -> Self {
        let stderr = child.stderr.take();
        Self {
            stdin: child.stdin.take(),
            lines: channel().1,
            stderr: Some(thread::spawn(move || {
                let mut said = String::new();
                if let Some(mut stderr) = stderr {
                    stderr.read_to_string(&mut said).unwrap();
                }
                said
            })),
            child,
        }
    }

    /// One whose stderr is seen to elsewhere.
    pub(crate) fn without_stderr(mut child: Child) -> Self {
        let stdout = child.stdout.take().unwrap();
        let mut process = Self::without_stdout(child);
        process.lines = lines(stdout);
        process
    }

    /// How it ends, its stdout seen to elsewhere.
    pub(crate) fn wait_for_end(&mut self) -> End {
        self.wait(DEADLINE, Vec::new())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its stdin.
    pub(crate) fn say(&mut self, line: impl ToString) {
        self.write(format!("{}\n", line.to_string()).as_bytes());
    }

    /// Writes bytes to its stdin.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Its stdin, to be written from another thread.
    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }

    /// Its next line.
    pub(crate) fn line(&mut self) -> String {
        match self.first() {
            Some(line) => line,
            None => panic!("no more lines: {:?}", self.end()),
        }
    }

    /// Its next line, or none when it has ended.
    pub(crate) fn first(&mut self) -> Option<String> {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {DEADLINE:?}"),
        }
    }

    /// Its next line, which is JSON.
    pub(crate) fn next(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The next event with these fields, those before it passed over.
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
                    panic!("{fields} never came, {passed:#?}, {:?}", self.end())
                }
            }
        }
        panic!("{fields} did not come within {DEADLINE:?}, but {passed:#?}")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// How it ends; it must do so by itself.
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

    /// Asks it to end, which it must do well.
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

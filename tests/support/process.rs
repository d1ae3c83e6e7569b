//! A process of a test: this program again, in one of its tests, which says lines and is told some.
//!
//! In: the name of the test, variables; lines for its stdin. Out: its lines that begin with `> `; the harness has lines
//! of its own. It is killed when it is dropped.

#![allow(dead_code)] // Each test uses its part.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};

pub(crate) struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    /// This program, in one test alone.
    pub(crate) fn of_test<'a>(
        test: &str,
        variables: impl IntoIterator<Item = (&'a str, &'a OsStr)>,
    ) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]);
        Self::of(command.envs(variables))
    }

    pub(crate) fn of(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line that it says. Empty at its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            if let Some((_, said)) = line.split_once("> ") {
                return said.trim().to_owned();
            }
            line.clear();
        }
        String::new()
    }

    /// The numbers of the next line.
    pub(crate) fn numbers(&mut self) -> Vec<u64> {
        let line = self.line();
        let numbers = line.split(' ').map(|word| word.parse());
        numbers
            .collect::<Result<_, _>>()
            .unwrap_or_else(|_| panic!("{line:?}"))
    }

    pub(crate) fn tell(&mut self, what: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{what}").unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn ends(&mut self) {
        assert!(self.end().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

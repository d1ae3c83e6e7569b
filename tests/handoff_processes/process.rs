//! Processes of the tests: this program again, in another part, and what a part says to the test.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

/// What a part is told by.
pub(crate) const PART: &str = "KYNETA_HANDOFF_PART";
pub(crate) const PATH: &str = "KYNETA_HANDOFF_PATH";

pub(crate) struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    /// This program, as what `part` names.
    pub(crate) fn start(part: &str, path: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "parts::part", "--nocapture"])
            .env(PART, part)
            .env(PATH, path);
        Self::of(command)
    }

    pub(crate) fn of(mut command: Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line that it says as a part; the harness has lines of its own. Empty at its end.
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

    pub(crate) fn ends(&mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

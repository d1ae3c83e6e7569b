//! One process of the demo.

use std::{ffi::OsStr, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{
    failure::Failure,
    out,
    style::{Ink, Style},
};

/// How long a process may take to say what it is expected to say.
const PATIENCE: Duration = Duration::from_secs(10);

/// A process with a name, its lines shown under that name.
pub(super) struct Actor {
    name: &'static str,
    ink: Ink,
    style: Style,
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Actor {
    /// Starts this command with other arguments.
    pub(super) fn enter<I, S>(name: &'static str, ink: Ink, args: I) -> Result<Self, Failure>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut child = Command::new(std::env::current_exe()?)
            .args(args)
            .args(["--id", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::work(
                "a process was started without stdin and stdout",
            ));
        };
        let lines = BufReader::new(stdout).lines();
        Ok(Self {
            name,
            ink,
            style: Style::of_stdout(),
            child,
            stdin,
            lines,
        })
    }

    /// Gives it a line on stdin and shows it.
    pub(super) async fn told(&mut self, line: &str) -> Result<(), Failure> {
        self.show(
            &self
                .style
                .paint(Ink::Faint, format_args!("$ {line}"))
                .to_string(),
        )?;
        self.stdin.write_all(line.as_bytes()).await?;
        Ok(self.stdin.write_all(b"\n").await?)
    }

    /// Has it send a message, and shows that it has.
    pub(super) async fn sends(&mut self, line: &str) -> Result<(), Failure> {
        self.told(line).await?;
        self.says("> sent").await
    }

    /// Shows what it says, up to a line that contains `what`.
    pub(super) async fn says(&mut self, what: &str) -> Result<(), Failure> {
        let heard = async {
            while let Some(line) = self.lines.next_line().await? {
                self.show(&line)?;
                if line.contains(what) {
                    return Ok(());
                }
            }
            Err(Failure::work(format!(
                "{} ended without saying {what:?}",
                self.name
            )))
        };
        timeout(PATIENCE, heard).await.unwrap_or_else(|_| {
            Err(Failure::work(format!(
                "{} has not said {what:?} for {PATIENCE:?}",
                self.name
            )))
        })
    }

    /// Kills it, as a crash would.
    pub(super) async fn crashes(mut self) -> Result<(), Failure> {
        self.show(&self.style.paint(Ink::Faint, "$ kill -9").to_string())?;
        Ok(self.child.kill().await?)
    }

    /// Asks it to end, and shows what it says until it has.
    pub(super) async fn leaves(mut self) -> Result<(), Failure> {
        self.told(r#"{"quit":true}"#).await?;
        let last_words = async {
            while let Some(line) = self.lines.next_line().await? {
                self.show(&line)?;
            }
            let status = self.child.wait().await?;
            if status.success() {
                return Ok(());
            }
            Err(Failure::work(format!("{} ended with {status}", self.name)))
        };
        timeout(PATIENCE, last_words)
            .await
            .unwrap_or_else(|_| Err(Failure::work(format!("{} does not end", self.name))))
    }

    fn show(&self, line: &str) -> Result<(), Failure> {
        let name = self.style.paint(self.ink, format!("{:>6} |", self.name));
        out::line(format!("{name} {line}").as_bytes())
    }
}

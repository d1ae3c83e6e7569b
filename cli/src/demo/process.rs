//! One process of the demo.

use std::{
    ffi::OsStr,
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

use crate::{
    failure::Failure,
    stdout,
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
    lines: UnboundedReceiver<Line>,
}

/// Something said.
pub(super) struct Line {
    pub(super) at: Instant,
    pub(super) text: String,
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
        let (heard, lines) = unbounded_channel();
        tokio::spawn(listen(stdout, heard));
        Ok(Self {
            name,
            ink,
            style: Style::of_stdout(),
            child,
            stdin,
            lines,
        })
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// Gives it a line on stdin and shows it.
    pub(super) async fn told(&mut self, line: &str) -> Result<(), Failure> {
        let shown = self.style.paint(Ink::Faint, format!("$ {line}"));
        self.show(&shown.to_string())?;
        self.stdin.write_all(line.as_bytes()).await?;
        Ok(self.stdin.write_all(b"\n").await?)
    }

    /// Has it send a message, and shows that it has.
    pub(super) async fn sends(&mut self, line: &str) -> Result<(), Failure> {
        self.told(line).await?;
        self.says("> sent").await
    }

    /// Its next line. It must have one.
    pub(super) async fn line(&mut self) -> Result<Line, Failure> {
        match timeout(PATIENCE, self.lines.recv()).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(Failure::work(format!("{} has ended", self.name))),
            Err(_) => Err(Failure::work(format!(
                "{} has said nothing for {PATIENCE:?}",
                self.name
            ))),
        }
    }

    /// Shows what it says, up to a line that contains `what`.
    pub(super) async fn says(&mut self, what: &str) -> Result<(), Failure> {
        loop {
            let line = self.line().await?;
            self.show(&line.text)?;
            if line.text.contains(what) {
                return Ok(());
            }
        }
    }

    /// Kills it, as a crash would; that instant.
    pub(super) async fn crashes(mut self) -> Result<Instant, Failure> {
        self.show(&self.style.paint(Ink::Faint, "$ kill -9").to_string())?;
        let now = Instant::now();
        self.child.kill().await?;
        Ok(now)
    }

    /// Asks it to end; that instant.
    pub(super) async fn asked_to_leave(&mut self) -> Result<Instant, Failure> {
        let now = Instant::now();
        self.told(r#"{"quit":true}"#).await?;
        Ok(now)
    }

    /// Shows what it says until it has ended in good order.
    pub(super) async fn leaves(mut self) -> Result<(), Failure> {
        let last_words = async {
            while let Some(line) = self.lines.recv().await {
                self.show(&line.text)?;
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

    /// Shows a line that was heard `after` something.
    pub(super) fn show_after(&self, line: &str, after: Duration) -> Result<(), Failure> {
        let after = format!("{:6.1} ms", after.as_secs_f64() * 1e3);
        self.show(&format!("{} {line}", self.style.paint(Ink::Faint, after)))
    }

    fn show(&self, line: &str) -> Result<(), Failure> {
        let name = self.style.paint(self.ink, format!("{:>6} |", self.name));
        stdout::line(format!("{name} {line}").as_bytes())
    }
}

/// Notes when each line came. Ends with the process.
async fn listen(stdout: ChildStdout, heard: UnboundedSender<Line>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        let at = Instant::now();
        if heard.send(Line { at, text }).is_err() {
            return;
        }
    }
}

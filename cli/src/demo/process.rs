//! One process of the demo.
//!
//! In: what to start, lines for it. Out: its lines, with the time. May touch: that process, stdout.

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
    style::{Color, Style},
};

/// Limit for the next line of a process.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A process with a name; its lines are shown under that name.
pub(super) struct Process {
    name: &'static str,
    color: Color,
    style: Style,
    child: Child,
    stdin: ChildStdin,
    lines: UnboundedReceiver<Line>,
}

/// A line of its stdout.
pub(super) struct Line {
    pub(super) at: Instant,
    pub(super) text: String,
}

impl Process {
    /// Starts this program with other arguments.
    pub(super) fn start<I, S>(name: &'static str, color: Color, args: I) -> Result<Self, Failure>
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
        let (sender, lines) = unbounded_channel();
        tokio::spawn(read(stdout, sender));
        Ok(Self {
            name,
            color,
            style: Style::of_stdout(),
            child,
            stdin,
            lines,
        })
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// Writes a line to its stdin and shows it.
    pub(super) async fn write(&mut self, line: &str) -> Result<(), Failure> {
        let shown = self.style.paint(Color::Faint, format!("$ {line}"));
        self.show(&shown.to_string())?;
        self.stdin.write_all(line.as_bytes()).await?;
        Ok(self.stdin.write_all(b"\n").await?)
    }

    /// Has it send a message, and waits until that is done.
    pub(super) async fn send(&mut self, line: &str) -> Result<(), Failure> {
        self.write(line).await?;
        self.show_until("> sent").await
    }

    /// Its next line.
    pub(super) async fn line(&mut self) -> Result<Line, Failure> {
        match timeout(TIMEOUT, self.lines.recv()).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(Failure::work(format!("{} has ended", self.name))),
            Err(_) => Err(Failure::work(format!(
                "{} printed nothing for {TIMEOUT:?}",
                self.name
            ))),
        }
    }

    /// Shows its lines, up to one that contains `what`.
    pub(super) async fn show_until(&mut self, what: &str) -> Result<(), Failure> {
        loop {
            let line = self.line().await?;
            self.show(&line.text)?;
            if line.text.contains(what) {
                return Ok(());
            }
        }
    }

    /// Kills it; returns the time.
    pub(super) async fn kill(mut self) -> Result<Instant, Failure> {
        self.show(&self.style.paint(Color::Faint, "$ kill -9").to_string())?;
        let now = Instant::now();
        self.child.kill().await?;
        Ok(now)
    }

    /// Tells it to end; returns the time.
    pub(super) async fn quit(&mut self) -> Result<Instant, Failure> {
        let now = Instant::now();
        self.write(r#"{"quit":true}"#).await?;
        Ok(now)
    }

    /// Shows its lines until it has ended, which must be in good order.
    pub(super) async fn wait(mut self) -> Result<(), Failure> {
        let end = async {
            while let Some(line) = self.lines.recv().await {
                self.show(&line.text)?;
            }
            let status = self.child.wait().await?;
            if status.success() {
                return Ok(());
            }
            Err(Failure::work(format!("{} ended with {status}", self.name)))
        };
        timeout(TIMEOUT, end)
            .await
            .unwrap_or_else(|_| Err(Failure::work(format!("{} does not end", self.name))))
    }

    /// Shows a line with the time since something.
    pub(super) fn show_after(&self, line: &str, after: Duration) -> Result<(), Failure> {
        let after = format!("{:6.1} ms", after.as_secs_f64() * 1e3);
        self.show(&format!("{} {line}", self.style.paint(Color::Faint, after)))
    }

    fn show(&self, line: &str) -> Result<(), Failure> {
        let name = self.style.paint(self.color, format!("{:>6} |", self.name));
        stdout::print_line(format!("{name} {line}").as_bytes())
    }
}

/// Reads its lines and their times, until it ends.
async fn read(stdout: ChildStdout, sender: UnboundedSender<Line>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        let at = Instant::now();
        if sender.send(Line { at, text }).is_err() {
            return;
        }
    }
}

//! A process of a measurement, from inside and from outside: its reports, its processor time.
//!
//! In: lines between driver and process. Out: reports, processor time by proc(5). May touch: stdin and stdout of the
//! process, /proc.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{BoxError, contenders::Contender, tally::Summary, works::Task};

/// A line on stdout, for the driver.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The next process can be started; a sender waits for a line on stdin.
    Ready,
    /// Of a receiver: the last message has come. So many have come in their order.
    Got { messages: u64 },
    /// Of a process that asks.
    Asked(Summary),
}

impl Report {
    pub(crate) fn tell(&self) {
        // If stdout is closed, no driver waits for it.
        if let Ok(line) = serde_json::to_string(self) {
            let _ = writeln!(io::stdout(), "{line}");
        }
    }
}

/// Says that this sender is ready, and waits until it may begin.
pub(crate) async fn may_begin() -> Result<(), BoxError> {
    Report::Ready.tell();
    let read = || io::stdin().lock().read_line(&mut String::new());
    tokio::task::spawn_blocking(read).await??;
    Ok(())
}

/// A process, seen by the driver. Dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    says: mpsc::Receiver<Report>,
    part: &'static str,
}

impl Process {
    pub(crate) fn start(
        part: &'static str,
        number: usize,
        contender: Contender,
        path: &Path,
        task: Task,
    ) -> Result<Self, BoxError> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([part, contender.name()])
            .arg(path)
            .args([
                &number.to_string(),
                task.work.name(),
                &task.size.to_string(),
                &task.count.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("a process without stdout")?;
        let (heard, says) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines();
            for line in lines.map_while(Result::ok) {
                if serde_json::from_str(&line).is_ok_and(|report| heard.send(report).is_err()) {
                    return;
                }
            }
        });
        Ok(Self { child, says, part })
    }

    /// The next report.
    pub(crate) fn heard(&self) -> Result<Report, BoxError> {
        const LIMIT: Duration = Duration::from_secs(60);
        let heard = self.says.recv_timeout(LIMIT);
        heard.map_err(|error| format!("the {} has not reported: {error}", self.part).into())
    }

    pub(crate) fn ready(&self) -> Result<(), BoxError> {
        match self.heard()? {
            Report::Ready => Ok(()),
            other => Err(format!("the {} reported {other:?}", self.part).into()),
        }
    }

    /// The sender may begin.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        let stdin = self.child.stdin.as_mut();
        stdin.ok_or(io::ErrorKind::BrokenPipe)?.write_all(b"\n")
    }

    /// The processor time of all its threads so far; zero where the system does not say.
    pub(crate) fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let of = |task: fs::DirEntry| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        };
        let tasks = tasks.into_iter().flatten().filter_map(Result::ok);
        Duration::from_nanos(tasks.filter_map(of).sum())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

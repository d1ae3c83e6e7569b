//! stdout, written by a thread of its own.
//!
//! In: reports, from any task. Out: lines, each written as soon as stdout takes it. A reader that
//! is slow makes the tasks wait (and they their peers); one that has gone ends the command.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use super::event_line::Report;
use crate::{failure::Failure, stdout::broken_is_quiet, style::Style};

/// Tasks wait while so many bytes or more are to be written. One line more may come on top.
const FULL: usize = 256 << 10;

/// Where reports go.
#[derive(Debug, Clone)]
pub(super) struct Printer {
    shared: Arc<Shared>,
    form: Form,
}

/// For programs or for people.
#[derive(Debug, Clone, Copy)]
enum Form {
    Json,
    People(Style),
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    /// Something is to be written, or nothing ever again.
    work: Condvar,
    /// Something has been written, or nothing can be any more.
    progress: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    lines: Vec<u8>,
    writing: bool,
    broken: Option<Arc<io::Error>>,
}

impl Printer {
    /// Starts the thread.
    pub(super) fn start(json: bool) -> Result<Self, Failure> {
        let shared = Arc::<Shared>::default();
        let form = if json {
            Form::Json
        } else {
            Form::People(Style::of_stdout())
        };
        let writer = shared.clone();
        thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(move || writer.write_on())?;
        Ok(Self { shared, form })
    }

    /// Ready when there is room for a report, or an error when nobody reads any more.
    pub(super) async fn room(&self) -> Result<(), Failure> {
        self.shared
            .until(|pending| pending.lines.len() < FULL)
            .await
    }

    /// Prints a report, whether there is room or not.
    pub(super) fn put(&self, report: &Report<'_>) {
        let mut pending = self.shared.pending();
        if pending.broken.is_some() {
            return;
        }
        match self.form {
            Form::Json => {
                let start = pending.lines.len();
                if let Err(error) = serde_json::to_writer(&mut pending.lines, report) {
                    tracing::error!(%error, "a report cannot be written as JSON");
                    return pending.lines.truncate(start);
                }
            }
            Form::People(style) => {
                pending
                    .lines
                    .extend_from_slice(report.for_people(style).as_bytes());
            }
        }
        pending.lines.push(b'\n');
        self.shared.work.notify_one();
    }

    /// Ready when stdout breaks.
    pub(super) async fn broken(&self) -> Failure {
        match self.shared.until(|_| false).await {
            Err(failure) => failure,
            Ok(()) => Failure::Unread,
        }
    }

    /// Waits until all is written, but not for ever.
    pub(super) async fn finish(&self, deadline: Duration) {
        let all = self
            .shared
            .until(|pending| pending.lines.is_empty() && !pending.writing);
        // What nobody reads within the deadline is lost with the reader's consent.
        let _ = timeout(deadline, all).await;
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        // A panic under the lock leaves at worst half a line.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn until(&self, reached: impl Fn(&Pending) -> bool) -> Result<(), Failure> {
        loop {
            let mut progress = std::pin::pin!(self.progress.notified());
            progress.as_mut().enable();
            {
                let pending = self.pending();
                if let Some(error) = &pending.broken {
                    return Err(broken_is_quiet(io::Error::new(error.kind(), error.clone())));
                }
                if reached(&pending) {
                    return Ok(());
                }
            }
            progress.await;
        }
    }

    /// The thread: takes all there is, writes it, and so on.
    fn write_on(&self) {
        let mut lines = Vec::new();
        loop {
            {
                let mut pending = self.pending();
                pending.writing = false;
                self.progress.notify_waiters();
                while pending.lines.is_empty() {
                    pending = self
                        .work
                        .wait(pending)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                pending.writing = true;
                mem::swap(&mut lines, &mut pending.lines);
            }
            self.progress.notify_waiters();
            let mut stdout = io::stdout().lock();
            let written = stdout.write_all(&lines).and_then(|()| stdout.flush());
            if let Err(error) = written {
                self.pending().broken = Some(Arc::new(error));
                self.progress.notify_waiters();
                return;
            }
            lines.clear();
            lines.shrink_to(2 * FULL);
        }
    }
}

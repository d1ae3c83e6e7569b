//! Events, written to stdout by a thread of its own.
//!
//! In: events, from any task. Out: lines, each written as soon as stdout takes it. A slow reader of
//! stdout makes the tasks wait, and so the peers; a closed stdout ends the command.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use serde::Serialize;
use tokio::{sync::Notify, time::timeout};

use crate::{failure::Failure, stdout::broken_is_quiet, style::Style};

/// Tasks wait while this many bytes or more are pending. Each may add one more line.
const MAX_PENDING: usize = 256 << 10;

/// An event that can be shown to a person.
pub(crate) trait EventText: Serialize {
    /// As a line of text; empty for one that is not shown there.
    fn text(&self, style: Style) -> String;
}

/// Writes events, for programs or for people.
#[derive(Debug, Clone)]
pub(crate) struct EventWriter {
    shared: Arc<Shared>,
    format: Format,
}

/// The format of a line.
#[derive(Debug, Clone, Copy)]
enum Format {
    Json,
    Text(Style),
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    /// Lines are pending.
    work: Condvar,
    /// Lines were written, or stdout broke.
    progress: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    lines: Vec<u8>,
    writing: bool,
    broken: Option<Arc<io::Error>>,
}

impl EventWriter {
    /// Starts the thread.
    pub(crate) fn start(json: bool) -> Result<Self, Failure> {
        let shared = Arc::<Shared>::default();
        let format = if json {
            Format::Json
        } else {
            Format::Text(Style::of_stdout())
        };
        let writer = shared.clone();
        thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(move || writer.write_pending())?;
        Ok(Self { shared, format })
    }

    /// Ready when there is room for an event; an error when stdout is broken.
    pub(crate) async fn room(&self) -> Result<(), Failure> {
        self.shared
            .until(|pending| pending.lines.len() < MAX_PENDING)
            .await
    }

    /// Writes an event, whether there is room or not.
    pub(crate) fn put(&self, event: &impl EventText) {
        let mut pending = self.shared.pending();
        if pending.broken.is_some() {
            return;
        }
        match self.format {
            Format::Json => {
                let start = pending.lines.len();
                if let Err(error) = serde_json::to_writer(&mut pending.lines, event) {
                    tracing::error!(%error, "an event cannot be written as JSON");
                    return pending.lines.truncate(start);
                }
            }
            Format::Text(style) => {
                let text = event.text(style);
                if text.is_empty() {
                    return;
                }
                pending.lines.extend_from_slice(text.as_bytes());
            }
        }
        pending.lines.push(b'\n');
        self.shared.work.notify_one();
    }

    /// Resolves when stdout cannot be written any more.
    pub(crate) async fn broken(&self) -> Failure {
        match self.shared.until(|_| false).await {
            Err(failure) => failure,
            Ok(()) => Failure::Unread,
        }
    }

    /// Waits until all lines are written, or for `deadline`; an error when stdout is broken.
    pub(crate) async fn finish(&self, deadline: Duration) -> Result<(), Failure> {
        let all = self
            .shared
            .until(|pending| pending.lines.is_empty() && !pending.writing);
        timeout(deadline, all).await.unwrap_or(Ok(()))
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        // A panic while the lock is held leaves at worst half a line.
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

    /// The thread: takes all pending lines, writes them, and repeats.
    fn write_pending(&self) {
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
            lines.shrink_to(2 * MAX_PENDING);
        }
    }
}

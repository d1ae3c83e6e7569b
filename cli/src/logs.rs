//! stderr, written by a thread of its own.
//!
//! In: log lines, from any task. Out: the same on stderr. A reader that is slow loses lines and is
//! told how many; it never holds up the connections, for a neighbour decides how much there is to
//! log.

use std::{
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait for stderr. Those that come on top are dropped and counted.
const WAITING: usize = 256;

/// How long the last lines may take.
const LAST_WORDS: Duration = Duration::from_millis(500);

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// All before it is out.
    Mark(SyncSender<()>),
}

/// Where log lines go.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    lines: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

impl Logs {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (lines, waiting) = sync_channel(WAITING);
        let dropped = Arc::<AtomicU64>::default();
        let missed = dropped.clone();
        thread::Builder::new()
            .name("stderr".to_owned())
            .spawn(move || write_on(&waiting, &missed))?;
        Ok(Self { lines, dropped })
    }

    /// Waits until all is written, but not for long.
    pub(crate) fn finish(&self) {
        let (mark, reached) = sync_channel(1);
        if self.lines.try_send(Entry::Mark(mark)).is_ok() {
            let _ = reached.recv_timeout(LAST_WORDS);
        }
    }
}

fn write_on(entries: &Receiver<Entry>, dropped: &AtomicU64) {
    for entry in entries {
        let line = match entry {
            Entry::Line(line) => line,
            Entry::Mark(mark) => {
                let _ = mark.try_send(());
                continue;
            }
        };
        let missed = dropped.swap(0, Ordering::Relaxed);
        let mut stderr = io::stderr().lock();
        // Nobody who reads it is nobody who misses it.
        let _ = stderr.write_all(&line);
        if missed > 0 {
            let _ = writeln!(
                stderr,
                "kyneta-uds: {missed} log lines dropped: stderr is too slow"
            );
        }
    }
}

impl io::Write for Logs {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Entry::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

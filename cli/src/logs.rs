//! Logs and other lines for a person, written to stderr by a thread of its own.
//!
//! In: lines, from any task. Out: the same on stderr. If stderr is slow, lines are dropped and
//! counted: a peer decides how much there is to log, and must not be able to block the other ones.

use std::{
    fmt,
    io::{self, Write as _},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt::MakeWriter};

use crate::failure::Failure;

/// Lines that wait for stderr. More are dropped and counted.
const MAX_WAITING: usize = 256;

/// Warnings of these modules are events on stdout already.
const REPORTED_AS_EVENTS: [&str; 3] = [
    "kyneta_uds::event_sender=error",
    "kyneta_uds::accept_handler=error",
    "kyneta_uds_negotiate::channel=error",
];

/// How long the last lines may take at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// Confirms that all lines before it are written.
    Flush(SyncSender<()>),
}

/// Those of this process, once there are any.
static STARTED: OnceLock<Logs> = OnceLock::new();

/// Writes a line to stderr, as the logs are written: a stderr that is full or is not read blocks nothing.
pub(crate) fn say(line: impl fmt::Display) {
    let line = format!("{line}\n").into_bytes();
    match STARTED.get() {
        Some(logs) => logs.put(line),
        // A failed write has no other place to be reported.
        None => drop(io::stderr().write_all(&line)),
    }
}

/// Where log lines go.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    lines: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

impl Logs {
    /// Logs what RUST_LOG selects, else warnings and, with `-v`, more.
    pub(crate) fn to_stderr(verbose: u8) -> Result<Self, Failure> {
        let level = match verbose {
            0 => LevelFilter::WARN,
            1 => LevelFilter::INFO,
            2 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        };
        let mut filter = EnvFilter::builder()
            .with_default_directive(level.into())
            .from_env_lossy();
        if verbose == 0 && std::env::var_os("RUST_LOG").is_none() {
            let directives = REPORTED_AS_EVENTS.iter().flat_map(|text| text.parse());
            filter = directives.fold(filter, EnvFilter::add_directive);
        }
        let logs = Self::start()?;
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(logs.clone())
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .init();
        // Called once.
        let _ = STARTED.set(logs.clone());
        Ok(logs)
    }

    fn start() -> io::Result<Self> {
        let (lines, waiting) = sync_channel(MAX_WAITING);
        let dropped = Arc::<AtomicU64>::default();
        let missed = dropped.clone();
        thread::Builder::new()
            .name("stderr".to_owned())
            .spawn(move || write_entries(&waiting, &missed))?;
        Ok(Self { lines, dropped })
    }

    /// Waits until all lines are written, or for the flush timeout.
    pub(crate) fn finish(&self) {
        const PAUSE: Duration = Duration::from_millis(2);
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        let (mark, reached) = sync_channel(1);
        let mut entry = Entry::Flush(mark);
        while let Err(TrySendError::Full(back)) = self.lines.try_send(entry) {
            if Instant::now() >= deadline {
                return;
            }
            entry = back;
            thread::sleep(PAUSE);
        }
        let _ = reached.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }

    fn put(&self, line: Vec<u8>) {
        if self.lines.try_send(Entry::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_entries(entries: &Receiver<Entry>, dropped: &AtomicU64) {
    for entry in entries {
        let line = match entry {
            Entry::Line(line) => line,
            Entry::Flush(mark) => {
                let _ = mark.try_send(());
                continue;
            }
        };
        let missed = dropped.swap(0, Ordering::Relaxed);
        let mut stderr = io::stderr().lock();
        // A failed write has no other place to be reported.
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
        self.put(line.to_vec());
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

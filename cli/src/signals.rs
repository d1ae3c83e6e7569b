//! The signals that end the command.
//!
//! In: SIGINT, SIGTERM, SIGHUP. Out: a future that is ready at the first one. May touch: the signal handlers of the
//! process.

use std::{env, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The commands that end in good order at a signal. The other ones die of it.
const HANDLING: [&str; 11] = [
    "peer", "listen", "connect", "exchange", "doc", "bus", "tap", "expose", "reach", "status",
    "demo",
];

/// SIGINT, SIGTERM and SIGHUP (the terminal is gone), caught from the moment this is made.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Must be called inside a runtime.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Catches them if the process was started with a command that handles them.
    ///
    /// Looks at the arguments itself: a signal that came while clap parses them would kill the process.
    pub(crate) fn catch_early() -> io::Result<Option<Self>> {
        let mut args = env::args_os().skip(1);
        let command = args.find(|arg| !arg.as_encoded_bytes().starts_with(b"-"));
        let handles = command.is_some_and(|command| HANDLING.iter().any(|name| command == *name));
        handles.then(Self::catch).transpose()
    }

    /// Ready at the next signal.
    pub(crate) async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

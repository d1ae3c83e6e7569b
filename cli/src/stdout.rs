//! Lines on stdout, each flushed at once.

use std::io::{self, Write};

use crate::failure::Failure;

/// Prints one line.
pub(crate) fn print_line(line: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(line)
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush());
    written.map_err(broken_is_quiet)
}

/// A reader that has closed its end (`| head`) is no failure of this command.
pub(crate) fn broken_is_quiet(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Unread,
        _ => Failure::work(format!("stdout cannot be written: {error}")),
    }
}

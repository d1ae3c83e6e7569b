//! stdin, read by a thread of its own, no faster than the commands are executed.
//!
//! In: lines. Out: a command or an error for each line, in order; and, ahead of that order, whether the
//! last command was read. The end of stdin ends the process if anything was read from it or it is a
//! terminal: a service with /dev/null stays.

use std::{
    fmt,
    io::{self, BufReader, IsTerminal as _},
    sync::Arc,
    thread,
};

use tokio::sync::{SetOnce, mpsc};

use crate::{
    failure::Failure,
    line_reader::{Line, LineReader},
};

/// How lines become commands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grammar<C, E> {
    pub(crate) command: fn(&[u8]) -> Result<C, E>,
    /// The command to end; the end of stdin is one.
    pub(crate) quit: fn() -> C,
    pub(crate) is_quit: fn(&C) -> bool,
}

/// A line: a command, or why it is none.
pub(crate) type InputLine<C> = Result<C, String>;

/// The lines of stdin.
#[derive(Debug)]
pub(crate) struct Input<C> {
    pub(crate) lines: mpsc::Receiver<InputLine<C>>,
    /// Set when the command to end was read. Commands before it may still wait.
    pub(crate) quit: Arc<SetOnce<()>>,
}

/// Starts reading. The channel closes when stdin ends, which with `stay` does not end the process.
pub(crate) fn read<C, E>(
    grammar: Grammar<C, E>,
    max_frame: u32,
    stay: bool,
) -> Result<Input<C>, Failure>
where
    C: Send + 'static,
    E: fmt::Display + 'static,
{
    /// Lines read ahead. They may be large.
    const AHEAD: usize = 16;
    let (sender, lines) = mpsc::channel(AHEAD);
    let quit = Arc::new(SetOnce::new());
    let is_quit = quit.clone();
    thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || read_lines(grammar, max_frame, stay, &sender, &is_quit))?;
    Ok(Input { lines, quit })
}

fn read_lines<C, E: fmt::Display>(
    grammar: Grammar<C, E>,
    max_frame: u32,
    stay: bool,
    sender: &mpsc::Sender<InputLine<C>>,
    quit: &SetOnce<()>,
) {
    const BLOCK: usize = 64 << 10;
    // A byte of payload takes at most six characters of JSON.
    let limit = (max_frame as usize)
        .saturating_mul(6)
        .saturating_add(1 << 20);
    let mut lines = LineReader::new(BufReader::with_capacity(BLOCK, io::stdin().lock()), limit);
    loop {
        let line = match lines.next() {
            Ok(None) => {
                if stay || !(lines.any() || io::stdin().is_terminal()) {
                    return;
                }
                Ok((grammar.quit)())
            }
            Ok(Some(Line::TooLong)) => Err(format!("the line has more than {limit} bytes")),
            Ok(Some(Line::Whole(line))) => {
                (grammar.command)(line).map_err(|error| error.to_string())
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read stdin");
                return;
            }
        };
        let quits = line
            .as_ref()
            .is_ok_and(|command| (grammar.is_quit)(command));
        if quits {
            // Set once: no line is read after it.
            let _ = quit.set(());
        }
        if sender.blocking_send(line).is_err() || quits {
            return;
        }
    }
}

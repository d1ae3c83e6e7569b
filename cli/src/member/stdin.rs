//! stdin, read by a thread of its own, no faster than the commands are executed.
//!
//! In: lines. Out: a command or an error for each line, in order; and, ahead of that order, whether the
//! last command was read. The end of stdin ends the process if anything was read from it or it is a
//! terminal: a service with /dev/null stays.

use std::{
    io::{self, BufReader, IsTerminal as _},
    sync::Arc,
    thread,
};

use kyneta_uds::{ChannelMsg, PeerId};
use tokio::sync::{SetOnce, mpsc};

use crate::{
    failure::Failure,
    json::{Fields, Json, JsonError, boolean, message, text},
    line_reader::{Line, LineReader},
};

/// A command.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    /// Send a message, to one peer or to all.
    Send { msg: ChannelMsg, to: Option<PeerId> },
    /// End, as SIGTERM does.
    Quit,
}

/// A line: a command, or why it is none.
pub(super) type InputLine = Result<Command, String>;

/// The lines of stdin.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) lines: mpsc::Receiver<InputLine>,
    /// Set when the command to end was read. Commands before it may still wait.
    pub(super) quit: Arc<SetOnce<()>>,
}

/// Starts reading. The channel closes when stdin ends, which with `stay` does not end the process.
pub(super) fn read(max_frame: u32, stay: bool) -> Result<Input, Failure> {
    /// Lines read ahead. They may be large.
    const AHEAD: usize = 16;
    let (sender, lines) = mpsc::channel(AHEAD);
    let quit = Arc::new(SetOnce::new());
    let is_quit = quit.clone();
    thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || read_lines(max_frame, stay, &sender, &is_quit))?;
    Ok(Input { lines, quit })
}

fn read_lines(max_frame: u32, stay: bool, sender: &mpsc::Sender<InputLine>, quit: &SetOnce<()>) {
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
                Ok(Command::Quit)
            }
            Ok(Some(Line::TooLong)) => Err(format!("the line has more than {limit} bytes")),
            Ok(Some(Line::Whole(line))) => command(line).map_err(|error| error.to_string()),
            Err(error) => {
                tracing::warn!(%error, "cannot read stdin");
                return;
            }
        };
        let quits = line == Ok(Command::Quit);
        if quits {
            // Set once: no line is read after it.
            let _ = quit.set(());
        }
        if sender.blocking_send(line).is_err() || quits {
            return;
        }
    }
}

fn command(line: &[u8]) -> Result<Command, JsonError> {
    let json = Json::parse(line)?;
    let mut fields = Fields::of(&json)?;
    let msg = fields.optional("send", message)?;
    let to = fields.optional("to", |json| {
        PeerId::new(text(json)?).map_err(|error| JsonError::new(error.to_string()))
    })?;
    let quit = fields.optional("quit", boolean)?;
    fields.finish()?;
    match (msg, to, quit) {
        (Some(msg), to, None) => Ok(Command::Send { msg, to }),
        (None, None, Some(true)) => Ok(Command::Quit),
        _ => Err(JsonError::new(
            "expected {\"send\": MESSAGE}, {\"send\": MESSAGE, \"to\": PEER} or {\"quit\": true}",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood_or_say_why_not() {
        let depart = || ChannelMsg::Depart;
        let send = |to: Option<&str>| Command::Send {
            msg: depart(),
            to: to.map(|to| PeerId::new(to).unwrap()),
        };
        let usage = "expected {\"send\": MESSAGE}, {\"send\": MESSAGE, \"to\": PEER} or \
                     {\"quit\": true}";
        for (line, expected) in [
            (r#"{"send":{"type":"depart"}}"#, Ok(send(None))),
            (
                r#"{"send":{"type":"depart"},"to":"p"}"#,
                Ok(send(Some("p"))),
            ),
            (r#"{"quit":true}"#, Ok(Command::Quit)),
            (r#"{"quit":false}"#, Err(usage)),
            ("{}", Err(usage)),
            ("[]", Err("expected an object, not a list")),
            (
                r#"{"sned":1}"#,
                Err("sned: unknown field; known here: send, to, quit"),
            ),
            (r#"{"send":{"type":"dismiss"}}"#, Err("send.docId: missing")),
            (
                "{",
                Err("not JSON: EOF while parsing an object at column 1"),
            ),
        ] {
            let got = command(line.as_bytes()).map_err(|error| error.to_string());
            assert_eq!(got, expected.map_err(str::to_owned), "{line}");
        }
    }
}

//! stdin, read by a thread of its own, line by line and no faster than the lines are used.
//!
//! In: lines. Out: commands, or what is wrong with a line; and, beside their order, that the last command
//! was read. The end of stdin is a command to end, if anything was read from it or it is a terminal: a
//! service with /dev/null stays.

use std::{
    io::{self, BufReader, IsTerminal as _},
    sync::Arc,
    thread,
};

use kyneta_uds::{ChannelMsg, PeerId};
use tokio::sync::{SetOnce, mpsc};

use crate::{
    failure::Failure,
    json::{Fields, Json, JsonError, message, text, truth},
    line_reader::{Line, Lines},
};

/// What stdin asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    /// Send a message, to one peer or to all.
    Send { msg: ChannelMsg, to: Option<PeerId> },
    /// End, as SIGTERM does.
    Quit,
}

/// A line's worth.
pub(super) type Asked = Result<Command, String>;

/// What is read from stdin.
#[derive(Debug)]
pub(super) struct Commands {
    pub(super) asked: mpsc::Receiver<Asked>,
    /// Set when the command to end was read. Commands before it may still wait to be done.
    pub(super) quit: Arc<SetOnce<()>>,
}

/// Starts reading. The channel closes when stdin ends. With `stay` that is no command to end.
pub(super) fn commands(max_frame: u32, stay: bool) -> Result<Commands, Failure> {
    /// Lines that are read ahead. They may be large.
    const AHEAD: usize = 16;
    let (sender, asked) = mpsc::channel(AHEAD);
    let quit = Arc::new(SetOnce::new());
    let quits = quit.clone();
    thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || read_on(max_frame, stay, &sender, &quits))?;
    Ok(Commands { asked, quit })
}

fn read_on(max_frame: u32, stay: bool, sender: &mpsc::Sender<Asked>, quit: &SetOnce<()>) {
    const BLOCK: usize = 64 << 10;
    // A byte of payload takes six characters of JSON at most.
    let limit = (max_frame as usize)
        .saturating_mul(6)
        .saturating_add(1 << 20);
    let mut lines = Lines::new(BufReader::with_capacity(BLOCK, io::stdin().lock()), limit);
    loop {
        let asked = match lines.next() {
            Ok(None) => {
                if stay || !(lines.any() || io::stdin().is_terminal()) {
                    return;
                }
                Ok(Command::Quit)
            }
            Ok(Some(Line::TooLong)) => Err(format!("the line has more than {limit} bytes")),
            Ok(Some(Line::Whole(line))) => command(line).map_err(|error| error.to_string()),
            Err(error) => {
                tracing::warn!(%error, "stdin cannot be read any more");
                return;
            }
        };
        let quits = asked == Ok(Command::Quit);
        if quits {
            // Set once: nothing is read after it.
            let _ = quit.set(());
        }
        if sender.blocking_send(asked).is_err() || quits {
            return;
        }
    }
}

fn command(line: &[u8]) -> Result<Command, JsonError> {
    let json = Json::parse(line)?;
    let mut fields = Fields::of(&json)?;
    let msg = fields.may("send", message)?;
    let to = fields.may("to", |json| {
        PeerId::new(text(json)?).map_err(|error| JsonError::new(error.to_string()))
    })?;
    let quit = fields.may("quit", truth)?;
    fields.done()?;
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

//! The commands that a member of a kyneta path reads from stdin. Pure.

use kyneta_uds::{ChannelMsg, PeerId};

use crate::json::{Fields, Json, JsonError, boolean, message, text};

/// A command.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    /// Send a message, to one peer or to all.
    Send { msg: ChannelMsg, to: Option<PeerId> },
    /// End, as SIGTERM does.
    Quit,
}

/// The command of a line.
pub(super) fn command(line: &[u8]) -> Result<Command, JsonError> {
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

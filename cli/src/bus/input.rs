//! The commands that a member of a bus reads from stdin. Pure.

use serde_json::{Map, Value};

/// A command.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    Publish(Value),
    Send {
        value: Value,
        to: String,
    },
    Request {
        value: Value,
        to: String,
        id: Value,
        timeout_ms: Option<u64>,
    },
    Answer {
        id: u64,
        answer: Result<Value, String>,
    },
    Quit,
}

/// A line of text is published.
pub(super) fn text(line: &[u8]) -> Result<Command, String> {
    match std::str::from_utf8(line) {
        Ok(text) => Ok(Command::Publish(text.into())),
        Err(_) => Err("the line is no UTF-8".to_owned()),
    }
}

const EXPECTED: &str = "expected {\"publish\": VALUE}, {\"send\": VALUE, \"to\": ID}, \
    {\"request\": VALUE, \"to\": ID, \"id\": N}, {\"answer\": VALUE, \"id\": N}, {\"fail\": TEXT, \"id\": N} or \
    {\"quit\": true}";

/// A line of JSON is one object.
pub(super) fn json(line: &[u8]) -> Result<Command, String> {
    let value: Value =
        serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
    let Value::Object(mut fields) = value else {
        return Err(EXPECTED.to_owned());
    };
    let command = command(&mut fields)?;
    match fields.keys().next() {
        None => Ok(command),
        Some(unknown) => Err(format!("{unknown}: unknown field; {EXPECTED}")),
    }
}

fn command(fields: &mut Map<String, Value>) -> Result<Command, String> {
    if let Some(value) = fields.remove("publish") {
        return Ok(Command::Publish(value));
    }
    if let Some(value) = fields.remove("send") {
        let to = receiver(fields)?;
        return Ok(Command::Send { value, to });
    }
    if let Some(value) = fields.remove("request") {
        let to = receiver(fields)?;
        let id = fields.remove("id").ok_or("id: missing")?;
        let timeout_ms = match fields.remove("timeout_ms") {
            None => None,
            Some(of) => Some(
                of.as_u64()
                    .ok_or("timeout_ms: expected a number of milliseconds")?,
            ),
        };
        return Ok(Command::Request {
            value,
            to,
            id,
            timeout_ms,
        });
    }
    if let Some(value) = fields.remove("answer") {
        let (id, answer) = (number(fields)?, Ok(value));
        return Ok(Command::Answer { id, answer });
    }
    if let Some(why) = fields.remove("fail") {
        let why = why.as_str().ok_or("fail: expected a text")?.to_owned();
        let (id, answer) = (number(fields)?, Err(why));
        return Ok(Command::Answer { id, answer });
    }
    match fields.remove("quit") {
        Some(Value::Bool(true)) => Ok(Command::Quit),
        _ => Err(EXPECTED.to_owned()),
    }
}

fn receiver(fields: &mut Map<String, Value>) -> Result<String, String> {
    let to = fields.remove("to").ok_or("to: missing")?;
    Ok(to.as_str().ok_or("to: expected a member's id")?.to_owned())
}

fn number(fields: &mut Map<String, Value>) -> Result<u64, String> {
    let id = fields.remove("id").ok_or("id: missing")?;
    id.as_u64()
        .ok_or_else(|| "id: expected the number of a request".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json as value;

    use super::*;

    #[test]
    fn lines_are_understood_or_say_why_not() {
        for (line, expected) in [
            (r#"{"publish":null}"#, Ok(Command::Publish(Value::Null))),
            (
                r#"{"send":[1],"to":"a"}"#,
                Ok(Command::Send {
                    value: value!([1]),
                    to: "a".into(),
                }),
            ),
            (
                r#"{"request":1,"to":"a","id":7,"timeout_ms":5}"#,
                Ok(Command::Request {
                    value: value!(1),
                    to: "a".into(),
                    id: value!(7),
                    timeout_ms: Some(5),
                }),
            ),
            (
                r#"{"fail":"no","id":3}"#,
                Ok(Command::Answer {
                    id: 3,
                    answer: Err("no".into()),
                }),
            ),
            (r#"{"quit":true}"#, Ok(Command::Quit)),
            (r#"{"send":1}"#, Err("to: missing".to_owned())),
            (
                r#"{"answer":1,"id":"x"}"#,
                Err("id: expected the number of a request".to_owned()),
            ),
            ("[]", Err(EXPECTED.to_owned())),
            (
                r#"{"publish":1,"too":2}"#,
                Err(format!("too: unknown field; {EXPECTED}")),
            ),
        ] {
            assert_eq!(json(line.as_bytes()), expected, "{line}");
        }
        assert!(json(b"{").unwrap_err().starts_with("not JSON: "));
        assert_eq!(text(b"hi"), Ok(Command::Publish("hi".into())));
    }
}

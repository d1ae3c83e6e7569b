//! The commands that `exchange` reads from stdin. Pure.

use kyneta_uds::{DocId, documents::Json};

/// A command.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    /// About a document.
    Doc(DocId, Action),
    /// End, as SIGTERM does.
    Quit,
}

/// What to do with a document.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    Set(String, Json),
    Insert(String, usize, Json),
    Delete(String, usize, usize),
    Push(String, Json),
    Increment(String, f64),
    Get,
    Destroy,
}

const EXPECTED: &str = "expected {\"quit\": true} or \"doc\" with one of \"set\": [PATH, VALUE], \
    \"insert\": [PATH, INDEX, VALUE], \"delete\": [PATH, INDEX, COUNT], \"push\": [PATH, VALUE], \
    \"increment\": [PATH, N], \"get\": true, \"destroy\": true";

/// A line is one object.
pub(super) fn command(line: &[u8]) -> Result<Command, String> {
    let text = std::str::from_utf8(line).map_err(|_| "the line is no UTF-8".to_owned())?;
    let json = Json::parse(text).map_err(|error| error.to_string())?;
    let fields = json.as_object().ok_or(EXPECTED)?;
    let mut doc = None;
    let mut other = None;
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("doc", Json::String(id)) => {
                doc = Some(DocId::new(id.as_str()).map_err(|error| error.to_string())?);
            }
            _ if other.is_none() => other = Some((name.as_str(), value)),
            _ => return Err(EXPECTED.to_owned()),
        }
    }
    match (doc, other) {
        (None, Some(("quit", Json::Bool(true)))) => Ok(Command::Quit),
        (Some(doc), Some((name, value))) => {
            let action = action(name, value).ok_or_else(|| format!("{name}: {EXPECTED}"))?;
            Ok(Command::Doc(doc, action))
        }
        _ => Err(EXPECTED.to_owned()),
    }
}

fn action(name: &str, value: &Json) -> Option<Action> {
    let args = match value {
        Json::Array(args) => args.as_slice(),
        _ => &[],
    };
    Some(match (name, args) {
        ("get", []) if *value == Json::Bool(true) => Action::Get,
        ("destroy", []) if *value == Json::Bool(true) => Action::Destroy,
        ("set", [Json::String(path), value]) => Action::Set(path.clone(), value.clone()),
        ("push", [Json::String(path), value]) => Action::Push(path.clone(), value.clone()),
        ("insert", [Json::String(path), at, value]) => {
            Action::Insert(path.clone(), index(at)?, value.clone())
        }
        ("delete", [Json::String(path), at, count]) => {
            Action::Delete(path.clone(), index(at)?, index(count)?)
        }
        ("increment", [Json::String(path), Json::Number(by)]) => {
            Action::Increment(path.clone(), *by)
        }
        _ => return None,
    })
}

fn index(json: &Json) -> Option<usize> {
    match json {
        Json::Number(number)
            if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number) =>
        {
            Some(*number as usize)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood_or_say_why_not() {
        let doc = |action| Ok(Command::Doc(DocId::new("d").unwrap(), action));
        let path = || "a.b".to_owned();
        for (line, expected) in [
            (r#"{"quit":true}"#, Ok(Command::Quit)),
            (r#"{"doc":"d","get":true}"#, doc(Action::Get)),
            (r#"{"destroy":true,"doc":"d"}"#, doc(Action::Destroy)),
            (
                r#"{"doc":"d","set":["a.b",{"x":1}]}"#,
                doc(Action::Set(path(), Json::parse(r#"{"x":1}"#).unwrap())),
            ),
            (
                r#"{"doc":"d","insert":["a.b",2,"hi"]}"#,
                doc(Action::Insert(path(), 2, "hi".into())),
            ),
            (
                r#"{"doc":"d","delete":["a.b",0,3]}"#,
                doc(Action::Delete(path(), 0, 3)),
            ),
            (
                r#"{"doc":"d","push":["a.b",null]}"#,
                doc(Action::Push(path(), Json::Null)),
            ),
            (
                r#"{"doc":"d","increment":["a.b",-1.5]}"#,
                doc(Action::Increment(path(), -1.5)),
            ),
        ] {
            assert_eq!(command(line.as_bytes()), expected, "{line}");
        }
        for wrong in [
            "{",
            "[]",
            "{}",
            r#"{"quit":false}"#,
            r#"{"doc":"d"}"#,
            r#"{"doc":"d","get":false}"#,
            r#"{"doc":"d","get":true,"set":["a",1]}"#,
            r#"{"doc":"d","set":["a"]}"#,
            r#"{"doc":"d","insert":["a",-1,"x"]}"#,
            r#"{"doc":"d","delete":["a",0.5,1]}"#,
            r#"{"set":["a",1]}"#,
        ] {
            assert!(command(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}

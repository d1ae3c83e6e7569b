//! The members of a path, as JSON and as a table. Pure.

use std::fmt::Write as _;

use kyneta_uds::{
    SocketPath,
    bus::{Look, PathKind, Present},
};
use serde_json::{Map, Value, json};

use crate::{
    style::{Escaped, Style},
    table::Table,
};

/// What a path is, and its members: an object.
pub(crate) fn members_json(path: &SocketPath, look: &Look) -> Value {
    let members: Vec<_> = look.present().iter().map(member_json).collect();
    let found = match look.kind() {
        PathKind::Bus => "bus",
        _ => "kyneta",
    };
    json!({"found": found, "path": path.to_string(), "members": members})
}

/// The same for a person.
pub(crate) fn members_text(path: &SocketPath, look: &Look) -> String {
    let what = match look.kind() {
        PathKind::Bus => "a bus",
        _ => "a kyneta path",
    };
    let count = look.present().len();
    let mut text = format!("{path} is {what}, no status endpoint. Members: {count}\n\n");
    // Writing to a `String` does not fail.
    let _ = write!(text, "{}", table(look));
    text
}

/// The members, one on a line.
pub(super) fn table(look: &Look) -> String {
    let mut rows = vec![["ID", "NAME", "KIND", "PID", "UID", "SINCE", "WAITS"].map(str::to_owned)];
    rows.extend(look.present().iter().map(row));
    let style = Style::of_stdout();
    Table { rows: &rows, style }.to_string()
}

/// One member as an object.
pub(super) fn member_json(present: &Present) -> Value {
    let member = &present.member;
    let mut fields = Map::new();
    fields.insert("id".into(), member.id.as_str().into());
    if let Some(name) = &member.name {
        fields.insert("name".into(), name.as_str().into());
    }
    fields.insert("kind".into(), member.kind.name().into());
    if let Some(pid) = member.pid {
        fields.insert("pid".into(), pid.into());
    }
    if let Some(uid) = member.uid {
        fields.insert("uid".into(), uid.into());
    }
    if let Some(machine) = &member.machine {
        fields.insert("machine".into(), machine.as_str().into());
    }
    if let Some(since) = present.since {
        let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        fields.insert("since_ms".into(), since.into());
    }
    fields.insert("waits".into(), present.waits.into());
    Value::Object(fields)
}

fn row(present: &Present) -> [String; 7] {
    let member = &present.member;
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        Escaped(member.id.as_str()).to_string(),
        or_none(member.name.as_ref().map(|name| Escaped(name).to_string())),
        member.kind.name().to_owned(),
        or_none(member.pid.map(|pid| pid.to_string())),
        or_none(member.uid.map(|uid| uid.to_string())),
        or_none(present.since.map(|since| format!("{} s", since.as_secs()))),
        present.waits.to_string(),
    ]
}

//! `who` and `tap`: look at a bus without joining it.

use std::{fs::File, io::Write as _};

use kyneta_uds::bus::{Passed, Present, tap as tap_path, who as who_path};
use serde_json::{Map, Value, json};

use super::{
    args::{TapArgs, WhoArgs},
    line::plain,
};
use crate::{failure::Failure, signals::Signals, stdout::print_line, style::Escaped};

/// Prints the members.
pub(crate) async fn who(args: WhoArgs) -> Result<(), Failure> {
    let present = who_path(args.path).await?;
    if args.json {
        for member in &present {
            print_line(json_of(member).to_string().as_bytes())?;
        }
        return Ok(());
    }
    let mut rows = vec![["ID", "NAME", "KIND", "PID", "UID", "SINCE", "WAITS"].map(str::to_owned)];
    rows.extend(present.iter().map(row));
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        print_line(line.trim_end().as_bytes())?;
    }
    Ok(())
}

fn json_of(present: &Present) -> Value {
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
    let since = u64::try_from(present.since.as_millis()).unwrap_or(u64::MAX);
    fields.insert("since_ms".into(), since.into());
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
        format!("{} s", present.since.as_secs()),
        present.waits.to_string(),
    ]
}

/// Prints what passes.
pub(crate) async fn tap(args: TapArgs, mut signals: Signals) -> Result<(), Failure> {
    let mut raw = match &args.raw {
        Some(file) => Some(File::create(file)?),
        None => None,
    };
    let path = args.path.clone();
    let mut tap = tap_path(args.path).await?;
    let mut seq = 0;
    let mut seen = 0;
    while args.count.is_none_or(|count| seen < count) {
        let passed = tokio::select! {
            () = signals.recv() => return Ok(()),
            passed = tap.next() => passed?,
        };
        let Some(passed) = passed else {
            return Err(Failure::work(format!("the listener at {path} has ended")));
        };
        seen += 1;
        if let Some(raw) = &mut raw {
            seq += 1;
            raw.write_all(&frame(seq, &passed))?;
        }
        let value = value(&passed);
        let line = match args.json {
            true => tapped(&passed, &value).to_string(),
            false => {
                let to = match passed.to.is_empty() {
                    true => "all".to_owned(),
                    false => passed.to.join(", "),
                };
                let (from, to) = (Escaped(&passed.from), Escaped(&to));
                let missed = match passed.missed {
                    0 => String::new(),
                    missed => format!(" ({missed} not shown before)"),
                };
                format!("{from} -> {to} {}: {}{missed}", passed.kind, plain(&value))
            }
        };
        print_line(line.as_bytes())?;
    }
    Ok(())
}

fn tapped(passed: &Passed, value: &Value) -> Value {
    let to = match passed.to.is_empty() {
        true => json!("all"),
        false => json!(passed.to),
    };
    let mut line = json!({
        "from": passed.from, "to": to, "seq": passed.seq, "kind": passed.kind,
        "size": passed.data.len(), "msg": value,
    });
    if passed.missed > 0
        && let Value::Object(fields) = &mut line
    {
        fields.insert("missed".into(), passed.missed.into());
    }
    line
}

/// The body as JSON; what JSON cannot say is left to `--raw`.
fn value(passed: &Passed) -> Value {
    match passed.kind {
        "failure" => String::from_utf8_lossy(&passed.data).into(),
        _ => ciborium::from_reader(&*passed.data).unwrap_or(Value::Null),
    }
}

/// A frame of wire version 3 whose payload is `[from, [to...], seq, kind, body]`.
fn frame(seq: u32, passed: &Passed) -> Vec<u8> {
    let head = (&passed.from, &passed.to, passed.seq, passed.kind);
    let mut payload = Vec::new();
    // Neither fails: it is written to memory.
    let _ = ciborium::into_writer(&head, &mut payload);
    // Four items of the head's array, and the body.
    if let Some(first) = payload.first_mut() {
        *first = 0x85;
    }
    match passed.kind {
        "failure" => drop(ciborium::into_writer(
            &String::from_utf8_lossy(&passed.data),
            &mut payload,
        )),
        "cancel" => payload.push(0xf6),
        _ => payload.extend_from_slice(&passed.data),
    }
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut frame = vec![3, 0];
    frame.extend(length.to_be_bytes());
    frame.extend(seq.to_be_bytes());
    frame.extend(payload);
    frame
}

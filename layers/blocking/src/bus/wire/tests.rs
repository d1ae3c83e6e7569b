//! Holds payloads against the vectors of a bus: what a member sends is written as there, and what a hub sends is
//! read.
//!
//! The async codec is held against the same vectors, so both write the same bytes. A failure names the vector.

use std::fs;

use serde_json::Value as Json;

use super::*;

/// Name, payload, others that mean the same, meaning.
fn vectors() -> Vec<(String, String, Vec<String>, Option<Json>)> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/bus-frames.json"
    );
    let all: Vec<Json> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let text = |of: &Json| of.as_str().unwrap().to_owned();
    let read = |of: Json| {
        let also = of["also"].as_array().cloned().unwrap_or_default();
        let also = also.iter().map(text).collect();
        let means = of.get("means").cloned();
        (text(&of["name"]), text(&of["payload"]), also, means)
    };
    all.into_iter().map(read).collect()
}

fn payload(hex: &str) -> Value {
    ciborium::from_reader(&*hex::decode(hex).unwrap()).unwrap()
}

fn written(payload: &Value) -> String {
    let mut bytes = Vec::new();
    ciborium::into_writer(payload, &mut bytes).unwrap();
    hex::encode(bytes)
}

fn member(alias: u64) -> MemberId {
    MemberId::new(PeerId::new(format!("{alias}")).unwrap(), Incarnation(1))
}

/// Each number of the meaning names a member.
fn names(means: &Json) -> Names {
    fn numbers(of: &Json, found: &mut Vec<u64>) {
        match of {
            Json::Array(all) => all.iter().for_each(|of| numbers(of, found)),
            Json::Object(all) => all.values().for_each(|of| numbers(of, found)),
            of => found.extend(of.as_u64()),
        }
    }
    let mut found = Vec::new();
    numbers(means, &mut found);
    Names {
        members: found.iter().map(|of| (*of, member(*of))).collect(),
        aliases: found.iter().map(|of| (member(*of), *of)).collect(),
    }
}

#[test]
fn what_a_hub_sends_is_read() {
    const OF_HUBS: [&str; 8] = [
        "welcome",
        "refuse",
        "introduce",
        "joined",
        "peer",
        "left",
        "message",
        "missed",
    ];
    let mut count = 0;
    for (name, canonical, also, means) in vectors() {
        let Some(means) = means else { continue };
        if !OF_HUBS.iter().any(|kind| means.get(kind).is_some()) {
            continue;
        }
        let read = |hex: &str| {
            let down = names(&means).down(payload(hex));
            format!(
                "{:?}",
                down.unwrap_or_else(|error| panic!("{name}, {hex}: {error}"))
            )
        };
        let expected = read(&canonical);
        for hex in also {
            assert_eq!(read(&hex), expected, "{name}");
        }
        count += 1;
    }
    assert!(count > 10, "only {count}");
}

#[test]
fn what_a_member_sends_is_written_as_the_vectors_have_it() {
    let mut count = 0;
    for (name, canonical, _, means) in vectors() {
        let Some(means) = means else { continue };
        let number = |of: &Json, key: &str| of[key].as_u64().unwrap();
        let frame = if let Some(of) = means.get("position") {
            UpFrame::Position {
                sender: member(number(of, "sender")),
                session: Session(number(of, "session")),
                token: Token(number(of, "token")),
            }
        } else if let Some(of) = means.get("start")
            && number(of, "session") > 0
        {
            UpFrame::Start {
                receiver: member(number(of, "member")),
                session: Session(number(of, "session")),
                from: SeqNo(number(of, "from")),
            }
        } else if let Some(of) = means.get("send") {
            let (message, body) = (&of["message"], &of["message"]["body"]);
            let kind = match &body["kind"] {
                Json::String(kind) if kind == "plain" => Kind::Plain,
                Json::String(kind) if kind == "request" => Kind::Request,
                kind => match kind.as_object().unwrap().iter().next().unwrap() {
                    (kind, of) if kind == "answer" => Kind::Answer(of.as_u64().unwrap()),
                    (kind, of) if kind == "failure" => Kind::Failure(of.as_u64().unwrap()),
                    (kind, of) if kind == "cancel" => Kind::Cancel(of.as_u64().unwrap()),
                    _ => continue,
                },
            };
            if body.get("trace").is_some() {
                continue;
            }
            let to = of["to"].as_array().unwrap().iter();
            let to: Vec<_> = to.map(|of| member(of.as_u64().unwrap())).collect();
            UpFrame::Msg {
                to: match to.is_empty() {
                    true => Recipients::All,
                    false => Recipients::Listed(to),
                },
                message: Message {
                    n: SeqNo(number(message, "n")),
                    addressed: message["addressed"] == true,
                    body: Body {
                        kind,
                        at_once: body["at_once"] == true,
                        data: hex::decode(body["data"].as_str().unwrap()).unwrap().into(),
                    },
                },
            }
        } else if means == "bye" {
            UpFrame::Bye
        } else {
            continue;
        };
        let payload = names(&means).up(frame).unwrap();
        assert_eq!(written(&payload), canonical, "{name}");
        count += 1;
    }
    assert!(count > 10, "only {count}");
}

#[test]
fn what_is_cut_is_refused_and_what_is_changed_does_no_harm() {
    for (name, canonical, _, means) in vectors() {
        let means = means.unwrap_or_default();
        let bytes = hex::decode(&canonical).unwrap();
        for at in 0..bytes.len() {
            for byte in [0x00, 0x1b, 0x5b, 0x9b, 0x9f, 0xbb, 0xff] {
                let mut other = bytes.clone();
                other[at] = byte;
                if let Ok(payload) = ciborium::from_reader(&*other) {
                    let _ = names(&means).down(payload);
                }
            }
        }
        let Ok(Value::Array(mut items)) = ciborium::from_reader::<Value, _>(&*bytes) else {
            continue;
        };
        while items.pop().is_some() {
            let cut = names(&means).down(Value::Array(items.clone()));
            let may_be =
                matches!(&cut, Ok(Down::Frames(frames)) if items.len() > 3 || frames.len() <= 1);
            assert!(cut.is_err() || may_be, "{name}: {items:?}");
        }
    }
}

fn introduce(names: &mut Names, alias: u64, id: &str) -> Result<Down, Rejection> {
    let introduction = Value::Map(vec![
        ("id".into(), id.into()),
        ("inc".into(), 1.into()),
        ("kind".into(), "service".into()),
    ]);
    names.down(Value::Array(vec![18.into(), alias.into(), introduction]))
}

#[test]
fn a_number_names_one_member_and_a_member_has_one_number() {
    let mut names = Names::default();
    for n in 0..100 {
        introduce(&mut names, 1, &n.to_string()).unwrap();
    }
    for alias in 1..100 {
        introduce(&mut names, alias, "a").unwrap();
    }
    assert_eq!((names.members.len(), names.aliases.len()), (1, 1));
    assert!(names.member(99).is_ok() && names.member(1).is_err());
}

#[test]
fn a_hub_that_introduces_without_end_is_not_followed() {
    let mut names = Names::default();
    for alias in 0..10_000 {
        let introduced = introduce(&mut names, alias, &alias.to_string());
        assert_eq!(introduced.is_ok(), alias < 8192, "{alias}");
    }
    assert_eq!((names.members.len(), names.aliases.len()), (8192, 8192));
    // There is room for one when another one has left.
    names.down(numbers([21, 5])).unwrap();
    introduce(&mut names, 10_000, "late").unwrap();
}

//! A message that has passed, as JSON, as a line for a person, and as a frame. Pure.

use kyneta_uds::{
    Bytes, ChannelCodec, Codec as _, EncodeError, FrameWriter, Payload, WireVersion, WriteBuf,
    bus::{Passed, PathKind},
};
use serde_json::{Value, json};

use super::line::plain;
use crate::{json::Msg, style::Escaped};

/// Writes messages that have passed at a path of one kind.
pub(super) struct Writer {
    kind: PathKind,
    frames: FrameWriter,
}

impl Writer {
    pub(super) fn new(kind: PathKind) -> Self {
        Self {
            kind,
            frames: FrameWriter::new(u32::MAX as usize),
        }
    }

    /// An object on a line.
    pub(super) fn json(&self, passed: &Passed) -> String {
        let to = match passed.to.is_empty() {
            true => json!("all"),
            false => json!(passed.to),
        };
        let mut line = json!({
            "from": passed.from, "to": to, "seq": passed.seq, "kind": passed.kind,
            "size": passed.data.len(), "msg": self.value(passed),
        });
        if passed.missed > 0
            && let Value::Object(fields) = &mut line
        {
            fields.insert("missed".into(), passed.missed.into());
        }
        line.to_string()
    }

    /// A line for a person.
    pub(super) fn text(&self, passed: &Passed) -> String {
        let to = match passed.to.is_empty() {
            true => "all".to_owned(),
            false => passed.to.join(", "),
        };
        let (from, to) = (Escaped(&passed.from), Escaped(&to));
        let missed = match passed.missed {
            0 => String::new(),
            missed => format!(" ({missed} not shown before)"),
        };
        let value = plain(&self.value(passed));
        format!("{from} -> {to} {}: {value}{missed}", passed.kind)
    }

    /// A frame of wire version 3. Its payload is that of the message at a kyneta path, and
    /// `[from, [to...], seq, kind, body]` at that of a bus.
    pub(super) fn frame(&mut self, passed: &Passed) -> Result<Vec<u8>, EncodeError> {
        let payload: Bytes = match self.kind {
            PathKind::Bus => enveloped(passed).into(),
            _ => passed.data.clone(),
        };
        let mut buf = WriteBuf::default();
        self.frames.write(
            WireVersion::V3,
            &mut buf,
            |out| {
                out.put_slice(&payload);
                Ok(())
            },
            |size, limit| EncodeError::TooLarge { size, limit },
        )?;
        let mut frame = Vec::with_capacity(buf.len());
        while !buf.is_empty() {
            frame.extend_from_slice(buf.front());
            buf.advance(buf.front().len());
        }
        Ok(frame)
    }

    /// The message as JSON; what JSON cannot say is left to `--raw`.
    fn value(&self, passed: &Passed) -> Value {
        match (self.kind, passed.kind) {
            (PathKind::Bus, "failure") => String::from_utf8_lossy(&passed.data).into(),
            (PathKind::Bus, _) => ciborium::from_reader(&*passed.data).unwrap_or(Value::Null),
            _ => {
                let payload = Payload::new(&passed.data, 0..passed.data.len());
                let decoded = ChannelCodec::new().decode(payload);
                let json = decoded.map(|msg| serde_json::to_value(Msg(&msg)));
                json.ok().and_then(Result::ok).unwrap_or(Value::Null)
            }
        }
    }
}

fn enveloped(passed: &Passed) -> Vec<u8> {
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
    payload
}

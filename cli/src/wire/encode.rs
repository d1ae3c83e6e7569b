//! `wire encode`: messages to bytes.
//!
//! In: JSON lines on stdin. Out: hex on stdout. Each direction has its own sequence numbers and aliases, as one
//! connection would. May touch: stdin, stdout, and the log where the other end would refuse a message.

use std::collections::HashMap;

use kyneta_uds::{
    Bytes, ChannelCodec, ChannelMsg, Codec, EncodeError, FrameWriter, Payload, WireVersion,
    WriteBuf,
};
use serde::Serialize;

use super::json_lines::{Fault, LineDir, each_line};
use crate::{
    failure::Failure,
    json::{Fields, Hex, JsonError, message},
};

/// Lines of `{"dir", "msg"}` to lines of `{"dir", "bytes"}` or `{"dir", "error"}`.
pub(crate) fn encode(wire: WireVersion, max_frame: u32) -> Result<(), Failure> {
    let mut ends = Ends {
        wire,
        max_frame: max_frame as usize,
        ends: HashMap::new(),
    };
    each_line(max_frame, |json, out| {
        let mut fields = Fields::of(json)?;
        let line = LineDir::of(&mut fields)?;
        // As for a message that the encoder refuses, one that cannot be built uses up a sequence number.
        let msg = fields.required("msg", |msg| Ok(message(msg)))?;
        let frame = ends.pass(&line, msg.map_err(|error| error.under("msg")));
        let answer = match &frame {
            Ok(frame) => Answer {
                dir: line.dir,
                outcome: Outcome::Bytes(Hex(frame)),
            },
            Err(message) => {
                let fault = Fault {
                    code: "invalid-message",
                    message: message.clone(),
                };
                Answer {
                    dir: line.dir,
                    outcome: Outcome::Error(fault),
                }
            }
        };
        serde_json::to_writer(out, &answer).map_err(|error| JsonError::new(error.to_string()))
    })
}

#[derive(Serialize)]
struct Answer<'a> {
    dir: &'a str,
    #[serde(flatten)]
    outcome: Outcome<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome<'a> {
    Bytes(Hex<'a>),
    Error(Fault),
}

/// One end of a connection: its alias tables and its sequence number.
struct End {
    codec: ChannelCodec,
    writer: FrameWriter,
}

/// The ends of all connections, by the names of this end and the other end.
struct Ends {
    wire: WireVersion,
    max_frame: usize,
    ends: HashMap<(String, String), End>,
}

impl Ends {
    /// The frame of the message, as this end writes it. The other end reads it, to learn which aliases
    /// it may use.
    fn pass(
        &mut self,
        line: &LineDir<'_>,
        msg: Result<ChannelMsg, JsonError>,
    ) -> Result<Bytes, String> {
        let wire = self.wire;
        let mut buf = WriteBuf::default();
        let End { codec, writer } = self.end(line.from, line.to);
        let written = writer.write(
            wire,
            &mut buf,
            |payload| match &msg {
                Ok(msg) => codec
                    .encode(msg, payload)
                    .map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            },
            |size, limit| EncodeError::TooLarge { size, limit }.to_string(),
        );
        if let Err(error) = written {
            if msg.is_ok() {
                codec.not_sent();
            }
            return Err(error);
        }
        let frame = contiguous(buf);
        let payload = Payload::new(&frame, wire.header_len()..frame.len());
        if let Err(rejection) = self.end(line.to, line.from).codec.decode(payload) {
            tracing::warn!(dir = line.dir, %rejection, "the other end would reject this");
        }
        Ok(frame)
    }

    fn end(&mut self, here: &str, there: &str) -> &mut End {
        let max_frame = self.max_frame;
        self.ends
            .entry((here.to_owned(), there.to_owned()))
            .or_insert_with(|| End {
                codec: ChannelCodec::default(),
                writer: FrameWriter::new(max_frame),
            })
    }
}

fn contiguous(mut buf: WriteBuf) -> Bytes {
    let mut frame = Vec::with_capacity(buf.len());
    while !buf.is_empty() {
        let front = buf.front();
        frame.extend_from_slice(front);
        let taken = front.len();
        buf.advance(taken);
    }
    frame.into()
}

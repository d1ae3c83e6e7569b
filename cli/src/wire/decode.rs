//! `wire decode`: bytes to messages.
//!
//! In: stdin, in pieces of any size. Out: on stdout what each frame holds, in order; a failure at the end if anything
//! could not be read. May touch: stdin and stdout.

use std::{
    collections::{HashMap, hash_map::Entry},
    io::{BufRead, Write},
};

use kyneta_uds::{ChannelCodec, Codec, Frame, FrameParser, Rejection, WireMode};
use serde::Serialize;

use super::{
    diagnostic::foreign,
    json_lines::{Fault, LineDir, each_line, stdin, stdout, unreadable},
};
use crate::{
    failure::Failure,
    json::{Fields, JsonError, Msg, bytes, text},
    stdout::broken_is_quiet,
};

/// The largest line of input, bytes; more bytes need several lines.
const MAX_LINE: u32 = 64 << 20;

/// Lines of `{"dir", "bytes"}` to lines of `{"dir", "results"}`.
pub(crate) fn decode(wire: WireMode, max_frame: u32) -> Result<(), Failure> {
    let mut decoders = HashMap::new();
    each_line(max_frame.min(MAX_LINE), |json, out| {
        let mut fields = Fields::of(json)?;
        let line = LineDir::of(&mut fields)?;
        let read = fields.required("bytes", |json| bytes(text(json)?))?;
        let decoder = match decoders.entry(line.dir.to_owned()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Decoder::new(wire, max_frame)),
        };
        out.extend_from_slice(b"{\"dir\":");
        append(out, &line.dir)?;
        out.extend_from_slice(b",\"results\":[");
        let mut first = true;
        decoder.feed(&read, |result, _| {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            append(out, &result)
        })?;
        out.extend_from_slice(b"]}");
        Ok(())
    })
}

/// The bytes of one direction to a line for each frame; another protocol's payload in CBOR's diagnostic notation.
pub(crate) fn decode_raw(wire: WireMode, max_frame: u32) -> Result<(), Failure> {
    let mut decoder = Decoder::new(wire, max_frame);
    let (mut stdin, mut stdout) = (stdin(), stdout());
    let mut out = Vec::new();
    let mut unread = 0;
    loop {
        let block = stdin.fill_buf().map_err(unreadable)?;
        if block.is_empty() {
            break;
        }
        let read = block.len();
        decoder
            .feed(block, |result, payload| {
                match (result, foreign(payload)) {
                    (Outcome::Ok(Msg(msg)), _) => append(&mut out, &Msg(msg))?,
                    (Outcome::Error(_), Some(text)) => out.extend_from_slice(text.as_bytes()),
                    (error @ Outcome::Error(_), None) => {
                        unread += 1;
                        append(&mut out, &error)?;
                    }
                }
                out.push(b'\n');
                Ok::<_, JsonError>(())
            })
            .map_err(|error| Failure::work(error.to_string()))?;
        stdin.consume(read);
        stdout
            .write_all(&out)
            .and_then(|()| stdout.flush())
            .map_err(broken_is_quiet)?;
        out.clear();
        if decoder.broken.is_some() {
            return Err(Failure::work("the frames cannot be followed any further"));
        }
    }
    match (decoder.parser.partial_frame(), unread) {
        (None, 0) => Ok(()),
        (None, _) => Err(Failure::work(format!(
            "{unread} frames or payloads could not be read"
        ))),
        (Some((have, want)), _) => Err(Failure::work(format!(
            "the input ends inside a frame, after {have} of its {want} bytes: it was cut off, or holds no such frames"
        ))),
    }
}

fn append(out: &mut Vec<u8>, value: &impl Serialize) -> Result<(), JsonError> {
    serde_json::to_writer(out, value).map_err(|error| JsonError::new(error.to_string()))
}

/// The result of one frame.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome<'a> {
    Ok(Msg<'a>),
    Error(Fault),
}

impl From<Rejection> for Outcome<'_> {
    fn from(rejection: Rejection) -> Self {
        Self::Error(Fault {
            code: rejection.code(),
            message: rejection.to_string(),
        })
    }
}

/// The decoder of one direction: its parser and its alias table.
struct Decoder {
    parser: FrameParser,
    codec: ChannelCodec,
    /// Why the rest cannot be read.
    broken: Option<String>,
}

impl Decoder {
    fn new(wire: WireMode, max_frame: u32) -> Self {
        Self {
            parser: FrameParser::new(wire, max_frame as usize),
            codec: ChannelCodec::default(),
            broken: None,
        }
    }

    /// Takes bytes; `emit` gets the result of each frame that they complete, and the payload that is no message.
    fn feed<E>(
        &mut self,
        bytes: &[u8],
        mut emit: impl FnMut(Outcome<'_>, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.broken.is_none() {
            self.parser.feed(bytes);
            loop {
                match self.parser.next_frame() {
                    Ok(None) => return Ok(()),
                    Ok(Some(Frame::Skipped(fault))) => emit(Rejection::from(fault).into(), &[])?,
                    Ok(Some(Frame::Payload(payload))) => match self.codec.decode(payload) {
                        Ok(msg) => emit(Outcome::Ok(Msg(&msg)), &[])?,
                        Err(rejection) => emit(rejection.into(), payload.as_slice())?,
                    },
                    // A gap in the sequence numbers concerns the connection, not a message.
                    Ok(Some(_)) => {}
                    Err(error) => {
                        self.broken = Some(error.to_string());
                        break;
                    }
                }
            }
        }
        match &self.broken {
            Some(why) => {
                let code = "reassembly-failed";
                let message = format!("{why}; nothing after it can be read");
                emit(Outcome::Error(Fault { code, message }), &[])
            }
            None => Ok(()),
        }
    }
}

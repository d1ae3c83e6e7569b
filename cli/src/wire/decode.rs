//! `wire decode`: what do these bytes say?

use std::{
    collections::{HashMap, hash_map::Entry},
    io::{BufRead, Write},
};

use kyneta_uds::{ChannelCodec, Codec, Frame, FrameParser, Rejection, WireMode};
use serde::Serialize;

use super::json_lines::{Fault, Passage, each_line, stdin, stdout};
use crate::{
    failure::Failure,
    json::{Fields, JsonError, Msg, bytes, text},
    stdout::broken_is_quiet,
};

/// How many bytes one line may carry; more come in several lines.
const LINE: u32 = 64 << 20;

/// Lines of `{"dir", "bytes"}` to lines of `{"dir", "results"}`.
pub(crate) fn decode(wire: WireMode, max_frame: u32) -> Result<(), Failure> {
    let mut directions = HashMap::new();
    each_line(max_frame.min(LINE), |json, out| {
        let mut fields = Fields::of(json)?;
        let passage = Passage::of(&mut fields)?;
        let read = fields.need("bytes", |json| bytes(text(json)?))?;
        let direction = match directions.entry(passage.dir.to_owned()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Direction::new(wire, max_frame)),
        };
        out.extend_from_slice(b"{\"dir\":");
        append(out, &passage.dir)?;
        out.extend_from_slice(b",\"results\":[");
        let mut first = true;
        direction.feed(&read, |result| {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            append(out, &result)
        })?;
        out.extend_from_slice(b"]}");
        Ok(())
    })
}

/// The bytes of one direction to a line for each frame.
pub(crate) fn decode_raw(wire: WireMode, max_frame: u32) -> Result<(), Failure> {
    let mut direction = Direction::new(wire, max_frame);
    let (mut stdin, mut stdout) = (stdin(), stdout());
    let mut out = Vec::new();
    loop {
        let block = stdin.fill_buf()?;
        if block.is_empty() {
            break;
        }
        let read = block.len();
        direction
            .feed(block, |result| {
                match result {
                    Outcome::Ok(Msg(msg)) => append(&mut out, &Msg(msg))?,
                    error @ Outcome::Error(_) => append(&mut out, &error)?,
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
        if direction.broken.is_some() {
            return Err(Failure::work("the frames cannot be followed any further"));
        }
    }
    if direction.parser.is_between_frames() {
        Ok(())
    } else {
        Err(Failure::work("the bytes end inside a frame"))
    }
}

fn append(out: &mut Vec<u8>, value: &impl Serialize) -> Result<(), JsonError> {
    serde_json::to_writer(out, value).map_err(|error| JsonError::new(error.to_string()))
}

/// What one frame amounts to.
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

/// One direction: what its bytes so far have left behind.
struct Direction {
    parser: FrameParser,
    codec: ChannelCodec,
    /// Why nothing can be read any more.
    broken: Option<String>,
}

impl Direction {
    fn new(wire: WireMode, max_frame: u32) -> Self {
        Self {
            parser: FrameParser::new(wire, max_frame as usize),
            codec: ChannelCodec::default(),
            broken: None,
        }
    }

    /// Takes bytes; `emit` gets what each frame that they complete amounts to.
    fn feed<E>(
        &mut self,
        bytes: &[u8],
        mut emit: impl FnMut(Outcome<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.broken.is_none() {
            self.parser.feed(bytes);
            loop {
                match self.parser.next_frame() {
                    Ok(None) => return Ok(()),
                    Ok(Some(Frame::Skipped(fault))) => emit(Rejection::from(fault).into())?,
                    Ok(Some(Frame::Payload(payload))) => match self.codec.decode(payload) {
                        Ok(msg) => emit(Outcome::Ok(Msg(&msg)))?,
                        Err(rejection) => emit(rejection.into())?,
                    },
                    // What the numbers show is of the connection, not of a message.
                    Ok(Some(_)) => {}
                    Err(error) => {
                        self.broken = Some(error.to_string());
                        break;
                    }
                }
            }
        }
        match &self.broken {
            Some(why) => emit(Outcome::Error(Fault {
                code: "reassembly-failed",
                message: format!("{why}; nothing after it can be read"),
            })),
            None => Ok(()),
        }
    }
}

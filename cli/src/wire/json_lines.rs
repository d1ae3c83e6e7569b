//! JSON lines in, JSON lines out, and errors in a line, for all commands.
//!
//! In: stdin. Out: stdout, flushed when no line waits, so that a program can talk with the command. A line that is
//! not understood costs that line. May touch: stdin and stdout.

use std::io::{self, BufReader, BufWriter, StdinLock, StdoutLock, Write};

use kyneta_uds::WireVersion;
use serde::Serialize;

use crate::{
    failure::Failure,
    json::{Fields, Json, JsonError, text},
    line_reader::{Line, LineReader},
    stdout::broken_is_quiet,
};

/// An error, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// The answer to a line that was not understood.
#[derive(Serialize)]
struct BadLine<E> {
    error: E,
}

/// The direction of a line, and its two ends.
pub(super) struct LineDir<'j> {
    pub(super) dir: &'j str,
    pub(super) from: &'j str,
    pub(super) to: &'j str,
}

impl<'j> LineDir<'j> {
    pub(super) fn of(fields: &mut Fields<'j, '_>) -> Result<Self, JsonError> {
        let dir = fields.required("dir", text)?;
        match dir.split_once("->") {
            Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok(Self { dir, from, to }),
            _ => Err(
                JsonError::new(format!("{dir:?} is not a direction such as \"A->B\"")).under("dir"),
            ),
        }
    }
}

/// A wire version.
pub(super) fn wire(json: &Json<'_>) -> Result<WireVersion, JsonError> {
    match json {
        Json::Number(2.0) => Ok(WireVersion::V2),
        Json::Number(3.0) => Ok(WireVersion::V3),
        _ => Err(JsonError::new("expected the wire version 2 or 3")),
    }
}

/// As [`each_text`], with each line as JSON.
pub(super) fn each_line(
    max_frame: u32,
    mut answer: impl FnMut(&Json<'_>, &mut Vec<u8>) -> Result<(), JsonError>,
) -> Result<(), Failure> {
    let bad = |error: JsonError| Fault {
        code: "bad-input",
        message: error.to_string(),
    };
    each_text(max_frame, |line, out| answer(&Json::parse(line)?, out), bad)
}

/// Reads all lines, lets `answer` append one line for each, and prints it. A line that is not
/// understood is answered with what `bad` makes of the error, and the command fails at the end of stdin.
pub(super) fn each_text<E: Serialize>(
    max_frame: u32,
    mut answer: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), JsonError>,
    bad: impl Fn(JsonError) -> E,
) -> Result<(), Failure> {
    let mut lines = LineReader::new(stdin(), line_limit(max_frame));
    let mut stdout = stdout();
    let mut count = 0u64;
    let mut out = Vec::new();
    while let Some(line) = lines.next().map_err(unreadable)? {
        out.clear();
        let answered = match line {
            Line::TooLong => Err(JsonError::new(format!(
                "the line has more than {} bytes",
                line_limit(max_frame)
            ))),
            Line::Whole(line) => answer(line, &mut out),
        };
        if let Err(error) = answered {
            count += 1;
            out.clear();
            let error = bad(error);
            serde_json::to_writer(&mut out, &BadLine { error })?;
        }
        out.push(b'\n');
        stdout.write_all(&out).map_err(broken_is_quiet)?;
        if !lines.has_more(|reader| reader.buffer()) {
            stdout.flush().map_err(broken_is_quiet)?;
        }
    }
    stdout.flush().map_err(broken_is_quiet)?;
    match count {
        0 => Ok(()),
        1 => Err(Failure::work(
            "one line was not understood; its answer says why",
        )),
        _ => Err(Failure::work(format!(
            "{count} lines were not understood; their answers say why"
        ))),
    }
}

/// Enough for the largest frame in JSON, where a byte takes at most six characters.
const fn line_limit(max_frame: u32) -> usize {
    (max_frame as usize)
        .saturating_mul(6)
        .saturating_add(1 << 20)
}

pub(super) fn unreadable(error: io::Error) -> Failure {
    Failure::work(format!("stdin cannot be read: {error}"))
}

const BLOCK: usize = 64 << 10;

pub(super) fn stdin() -> BufReader<StdinLock<'static>> {
    BufReader::with_capacity(BLOCK, io::stdin().lock())
}

pub(super) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(BLOCK, io::stdout().lock())
}

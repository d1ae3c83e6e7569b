//! Reads lines of bounded length, from any reader.
//!
//! In: bytes. Out: lines without their ends; of one over the limit, that it was too long, and the reader goes on
//! behind it. May touch: the reader alone.

use std::io::{self, BufRead, Read};

/// A line read.
#[derive(Debug, PartialEq)]
pub(crate) enum Line<'a> {
    /// The line without its end.
    Whole(&'a [u8]),
    /// Longer than allowed; it has been skipped.
    TooLong,
}

/// Reads lines into one buffer that it uses again.
#[derive(Debug)]
pub(crate) struct LineReader<R> {
    reader: R,
    line: Vec<u8>,
    /// The longest line allowed, bytes.
    limit: usize,
    any: bool,
}

/// Capacity kept after a long line, bytes.
const RETAIN: usize = 1 << 20;

impl<R: BufRead> LineReader<R> {
    pub(crate) const fn new(reader: R, limit: usize) -> Self {
        Self {
            reader,
            line: Vec::new(),
            limit,
            any: false,
        }
    }

    /// The next line that is not blank; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            self.line.clear();
            self.line.shrink_to(RETAIN);
            let limit = self.limit as u64 + 1;
            let read = self
                .reader
                .by_ref()
                .take(limit)
                .read_until(b'\n', &mut self.line)?;
            if read == 0 {
                return Ok(None);
            }
            self.any = true;
            if self.line.last() != Some(&b'\n') && self.line.len() > self.limit {
                self.reader.skip_until(b'\n')?;
                return Ok(Some(Line::TooLong));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(Line::Whole(self.line.trim_ascii())));
            }
        }
    }

    /// True if anything was read, blank lines included.
    pub(crate) const fn any(&self) -> bool {
        self.any
    }

    /// True if the buffer holds the next line, so that reading it does not wait.
    pub(crate) fn has_more(&mut self, buffered: impl FnOnce(&R) -> &[u8]) -> bool {
        buffered(&self.reader).contains(&b'\n')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_skip_and_stop() {
        let mut lines = LineReader::new(&b"one\r\n\n  \ntoo long\nexact\nlast"[..], 5);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            seen.push(match line {
                Line::Whole(line) => String::from_utf8(line.to_vec()).unwrap(),
                Line::TooLong => "-".to_owned(),
            });
        }
        assert_eq!(seen, ["one", "-", "exact", "last"]);
    }
}

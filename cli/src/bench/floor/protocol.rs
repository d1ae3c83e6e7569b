//! What both halves of the floor agree on: the kinds of frames, and the size of reads and writes.

use std::io;

use super::scan::Scan;

pub(super) const BLOCK: usize = 64 << 10;

/// Byte 1 of a header: what the server does with the frame.
pub(super) const ECHO: u8 = 0;
pub(super) const COUNT: u8 = 1;
pub(super) const ANSWER: u8 = 2;
pub(super) const FAN: u8 = 3;

/// Counts the frames in what was read.
pub(super) fn seen(scan: &mut Scan, block: &[u8], read: usize) -> io::Result<u64> {
    match block.get(..read) {
        Some(bytes) if !bytes.is_empty() => Ok(scan.feed(bytes)),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

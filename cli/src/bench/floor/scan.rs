//! The frames of the floor, a header of ten bytes and a payload, counted in the bytes read.
//!
//! In: bytes, cut anywhere. Out: how many frames they complete. Pure.

/// The size of a header, bytes.
pub(crate) const HEADER: usize = 10;

/// The header of a payload of `len` bytes; `kind` has a meaning in the floor only.
pub(crate) fn header(kind: u8, len: usize) -> [u8; HEADER] {
    let [a, b, c, d] = (len as u32).to_be_bytes();
    [3, kind, a, b, c, d, 0, 0, 0, 0]
}

/// Counts frames in bytes that may be cut anywhere.
#[derive(Default)]
pub(crate) struct Scan {
    /// The kind of the frame being read, or of the last one.
    pub(crate) kind: u8,
    /// The kind of the last complete frame.
    pub(crate) completed: u8,
    header: [u8; HEADER],
    have: usize,
    payload_left: usize,
}

impl Scan {
    /// Takes bytes; returns how many frames they complete.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> u64 {
        let mut frames = 0;
        loop {
            // The common case first: the whole frame is in the buffer.
            while self.have == 0
                && let Some(([_, kind, a, b, c, d, ..], rest)) = bytes.split_first_chunk::<HEADER>()
                && let Some(rest) = rest.get(u32::from_be_bytes([*a, *b, *c, *d]) as usize..)
            {
                (self.kind, self.completed) = (*kind, *kind);
                bytes = rest;
                frames += 1;
            }
            if self.have < HEADER {
                let part = bytes.len().min(HEADER - self.have);
                for (to, from) in self.header.iter_mut().skip(self.have).zip(bytes) {
                    *to = *from;
                }
                self.have += part;
                bytes = bytes.get(part..).unwrap_or_default();
                if self.have < HEADER {
                    return frames;
                }
                let [_, kind, a, b, c, d, ..] = self.header;
                self.kind = kind;
                self.payload_left = u32::from_be_bytes([a, b, c, d]) as usize;
            }
            let part = bytes.len().min(self.payload_left);
            self.payload_left -= part;
            bytes = bytes.get(part..).unwrap_or_default();
            if self.payload_left > 0 {
                return frames;
            }
            self.have = 0;
            self.completed = self.kind;
            frames += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        let mut bytes = Vec::new();
        for len in [0usize, 1, 9, 10, 11, 200] {
            bytes.extend_from_slice(&header(1, len));
            bytes.extend(std::iter::repeat_n(3, len));
        }
        for piece in 1..bytes.len() {
            let mut scan = Scan::default();
            let seen: u64 = bytes.chunks(piece).map(|chunk| scan.feed(chunk)).sum();
            assert_eq!((seen, scan.have), (6, 0), "in pieces of {piece}");
        }
    }
}

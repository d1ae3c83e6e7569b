//! The writer: payloads in, frames into a write buffer. Pure: no I/O.

use kyneta_uds_core::{PayloadWriter, WireVersion, WriteBuf};

use crate::parser::header::COMPLETE;

/// Writes the frames of one direction of a connection.
///
/// ```
/// use kyneta_uds_core::{WireVersion, WriteBuf};
/// use kyneta_uds_framing::FrameWriter;
///
/// let (mut writer, mut buf) = (FrameWriter::new(1 << 20), WriteBuf::default());
/// writer.write(
///     WireVersion::V3,
///     &mut buf,
///     |payload| Ok(payload.put_slice(b"hi")),
///     |size, limit| format!("{size} bytes, {limit} allowed"),
/// )?;
/// assert_eq!(buf.front(), [3, 0, 0, 0, 0, 2, 0, 0, 0, 1, b'h', b'i']);
/// # Ok::<(), String>(())
/// ```
#[derive(Debug)]
pub struct FrameWriter {
    max_frame: usize,
    seq: u32,
}

impl FrameWriter {
    /// A writer for a new connection; `max_frame` limits a payload, in bytes (the header itself allows 4 GiB - 1).
    pub fn new(max_frame: usize) -> Self {
        Self {
            max_frame: max_frame.min(u32::MAX as usize),
            seq: 1,
        }
    }

    /// The sequence number of the next frame.
    pub(crate) const fn next_seq(&self) -> u32 {
        self.seq
    }

    /// Goes on with this sequence number.
    pub(crate) const fn go_on_with(&mut self, seq: u32) {
        self.seq = seq;
    }

    /// Appends one frame, whose payload `encode` writes. Even a failed call uses a sequence number, as the
    /// protocol requires (wire section 2).
    ///
    /// # Errors
    /// What `encode` returned, or `too_large(size, limit)` for a payload over the limit. On an error nothing is
    /// appended.
    #[inline]
    pub fn write<E>(
        &mut self,
        wire: WireVersion,
        buf: &mut WriteBuf,
        encode: impl FnOnce(&mut PayloadWriter<'_>) -> Result<(), E>,
        too_large: impl FnOnce(usize, usize) -> E,
    ) -> Result<(), E> {
        let seq = self.seq.to_be_bytes();
        self.seq = self.seq.wrapping_add(1);

        let start = buf.checkpoint();
        let mut payload = buf.writer();
        let [s0, s1, s2, s3] = seq;
        match wire {
            WireVersion::V2 => payload.put_slice(&[2, COMPLETE, 0, 0, 0, 0]),
            WireVersion::V3 => payload.put_slice(&[3, COMPLETE, 0, 0, 0, 0, s0, s1, s2, s3]),
        }
        let encoded = encode(&mut payload);
        let size = buf.len_since(start) - wire.header_len();
        let refused = match encoded {
            Ok(()) if size <= self.max_frame => {
                buf.patch(start, 2, &(size as u32).to_be_bytes());
                return Ok(());
            }
            Ok(()) => too_large(size, self.max_frame),
            Err(error) => error,
        };
        buf.rewind(start);
        Err(refused)
    }

    /// As [`write`](Self::write), where `encode` writes exactly `size` bytes: the header is complete at once.
    ///
    /// # Errors
    /// `too_large(size, limit)` for a payload over the limit; nothing is appended then.
    #[inline]
    pub fn write_sized<E>(
        &mut self,
        wire: WireVersion,
        buf: &mut WriteBuf,
        size: usize,
        encode: impl FnOnce(&mut PayloadWriter<'_>),
        too_large: impl FnOnce(usize, usize) -> E,
    ) -> Result<(), E> {
        let [s0, s1, s2, s3] = self.seq.to_be_bytes();
        self.seq = self.seq.wrapping_add(1);
        if size > self.max_frame {
            return Err(too_large(size, self.max_frame));
        }
        let [l0, l1, l2, l3] = (size as u32).to_be_bytes();
        let mut payload = buf.writer();
        match wire {
            WireVersion::V2 => payload.put_slice(&[2, COMPLETE, l0, l1, l2, l3]),
            WireVersion::V3 => payload.put_slice(&[3, COMPLETE, l0, l1, l2, l3, s0, s1, s2, s3]),
        }
        encode(&mut payload);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

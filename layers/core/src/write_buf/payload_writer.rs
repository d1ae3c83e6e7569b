//! The writer of one payload: what a codec writes with.

use bytes::Bytes;

use super::{ATTACH, WriteBuf};

/// Writes one payload into a [`WriteBuf`].
#[derive(Debug)]
pub struct PayloadWriter<'a> {
    pub(super) buf: &'a mut WriteBuf,
}

impl PayloadWriter<'_> {
    /// One byte.
    #[inline]
    pub fn put_u8(&mut self, byte: u8) {
        self.buf.small.push(byte);
    }

    /// Bytes, copied.
    #[inline]
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.buf.small.extend_from_slice(bytes);
    }

    /// Bytes, attached without a copy when they are large (16 KiB).
    #[inline]
    pub fn put_bytes(&mut self, bytes: &Bytes) {
        if bytes.len() < ATTACH {
            self.put_slice(bytes);
        } else {
            self.attach(bytes.clone());
        }
    }

    fn attach(&mut self, bytes: Bytes) {
        let at = self.buf.base + self.buf.small.len() as u64;
        self.buf.attached_len += bytes.len();
        self.buf.attached.push_back((at, bytes));
    }
}

impl std::io::Write for PayloadWriter<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.put_slice(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.put_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

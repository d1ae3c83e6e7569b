//! Messages over one blocking socket.
//!
//! In: messages by reference, bytes of the socket. Out: bytes, messages. May touch: the socket, the clock.

use std::{
    io::{self, Read as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    time::Duration,
};

use kyneta_uds_cbor::{ChannelCodec, Codec, EncodeError};
use kyneta_uds_core::{ConnectionInfo, Frame, PayloadWriter, WireVersion, WriteBuf};
use kyneta_uds_framing::{FrameParser, FrameWriter, FramingConfig, FramingError};

use crate::{
    deadline::Deadline,
    error::{Error, of_socket},
    socket,
};

/// Bytes of one read at most.
const READ: usize = 64 << 10;

/// Bytes in the write buffer from which on they are written before another message is added.
const HIGH_WATER: usize = 64 << 10;

/// After this long without an admission the listener is asked whether it speaks another protocol.
const ASK_AFTER: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Connection<C = ChannelCodec> {
    io: UnixStream,
    parser: FrameParser,
    writer: FrameWriter,
    out: WriteBuf,
    codec: C,
    /// Read into, because safe code reads only into initialised memory.
    chunk: Box<[u8]>,
    /// What is set at the socket; the outer `None`: not known.
    read_timeout: Option<Option<Duration>>,
}

impl<C: Codec + Default> Connection<C> {
    pub(crate) fn new(io: UnixStream, framing: &FramingConfig) -> Self {
        Self {
            io,
            parser: FrameParser::new(framing.wire_mode(), framing.frame_limit()).strict(),
            writer: FrameWriter::new(framing.frame_limit()),
            out: WriteBuf::default(),
            codec: C::default(),
            chunk: vec![0; READ].into(),
            read_timeout: None,
        }
    }

    /// See [`FrameParser::begin_with`].
    pub(crate) fn begin_with(&mut self, wire: WireVersion) -> bool {
        self.parser.begin_with(wire)
    }

    pub(crate) fn info(&self) -> ConnectionInfo {
        ConnectionInfo {
            wire: self.parser.wire(),
            credentials: None,
            duplicates_dropped: self.parser.duplicates_dropped(),
            frames_missing: self.parser.frames_missing(),
        }
    }

    /// Bytes up to the end of the last frame: more may have been read with it.
    pub(crate) const fn worked(&self) -> u64 {
        self.parser.worked()
    }

    /// Adds a message to the write buffer, once there is room.
    pub(crate) fn queue(&mut self, msg: &C::Message, deadline: &mut Deadline) -> Result<(), Error> {
        if self.out.len() >= HIGH_WATER {
            self.flush(deadline)?;
        }
        let written = self.write(|codec, payload| codec.encode(msg, payload));
        if written.is_err() {
            self.codec.not_sent();
        }
        written
    }

    /// Adds a frame to the write buffer.
    fn write(
        &mut self,
        encode: impl FnOnce(&mut C, &mut PayloadWriter<'_>) -> Result<(), EncodeError>,
    ) -> Result<(), Error> {
        let Self { writer, codec, .. } = self;
        let wire = self.parser.outbound_wire();
        writer.write(
            wire,
            &mut self.out,
            |payload| encode(codec, payload),
            |size, limit| EncodeError::TooLarge { size, limit },
        )?;
        self.parser.frame_written(wire);
        Ok(())
    }

    pub(crate) fn unsent(&self) -> usize {
        self.out.len()
    }

    /// Writes all that was queued.
    pub(crate) fn flush(&mut self, deadline: &mut Deadline) -> Result<(), Error> {
        while !self.out.is_empty() {
            let left = deadline.left()?;
            match socket::write(&self.io, &self.out, left) {
                Ok(n) => self.out.advance(n),
                Err(error) => again(error, deadline)?,
            }
        }
        Ok(())
    }

    /// The next message.
    pub(crate) fn next(&mut self, deadline: &mut Deadline) -> Result<C::Message, Error> {
        loop {
            match self.arrived()? {
                Some(msg) => return Ok(msg),
                None => self.fill(deadline)?,
            }
        }
    }

    /// Waits for the empty frame by which a listener of a connection without a handshake says that it has accepted it.
    /// A listener of kyneta's waits for `establish` meanwhile: asked with an empty frame, which no message is, it answers
    /// with one of its own.
    pub(crate) fn admitted(&mut self, deadline: &mut Deadline) -> Result<(), Error> {
        let left = deadline.left()?.unwrap_or(ASK_AFTER);
        match self.admission(&mut Deadline::after(Some(left.min(ASK_AFTER)))) {
            Err(Error::TimedOut { .. }) => {}
            admitted => return admitted,
        }
        self.write(|_, _| Ok(()))?;
        self.flush(deadline)?;
        self.admission(deadline)
    }

    fn admission(&mut self, deadline: &mut Deadline) -> Result<(), Error> {
        loop {
            match self.parser.next_frame()? {
                Some(Frame::Payload(payload)) if payload.as_slice().is_empty() => return Ok(()),
                Some(Frame::Skipped(fault)) => {
                    let is_admitted = fault.is_admission(self.worked());
                    return is_admitted.then_some(()).ok_or(Error::NotAdmitted);
                }
                // What listens says something else first.
                Some(Frame::Payload(_)) => return Err(Error::NotAdmitted),
                Some(_) => {}
                None => self.fill(deadline)?,
            }
        }
    }

    /// The next message, if it has been read.
    pub(crate) fn arrived(&mut self) -> Result<Option<C::Message>, Error> {
        loop {
            match self.parser.next_frame()? {
                Some(Frame::Payload(payload)) => {
                    return self
                        .codec
                        .decode(payload)
                        .map(Some)
                        .map_err(Error::Rejected);
                }
                Some(Frame::Skipped(fault)) => return Err(Error::Rejected(fault.into())),
                // Counted in `info`.
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// Reads some bytes.
    fn fill(&mut self, deadline: &mut Deadline) -> Result<(), Error> {
        let buf = self.parser.read_buf();
        let room = (buf.capacity() - buf.len()).min(self.chunk.len());
        let chunk = self.chunk.get_mut(..room).unwrap_or_default();
        let left = deadline.left()?;
        if self.read_timeout != Some(left) {
            self.io.set_read_timeout(left).map_err(of_socket)?;
            self.read_timeout = Some(left);
        }
        match self.io.read(chunk) {
            Ok(0) => Err(match self.parser.partial_frame() {
                None => Error::Closed,
                Some((have, want)) => FramingError::Truncated { have, want }.into(),
            }),
            Ok(n) => {
                buf.extend_from_slice(chunk.get(..n).unwrap_or_default());
                Ok(())
            }
            Err(error) => {
                self.parser.release();
                again(error, deadline)
            }
        }
    }

    /// Ends this direction.
    pub(crate) fn shut_down(&self) -> Result<(), Error> {
        self.io.shutdown(Shutdown::Write).map_err(of_socket)
    }
}

/// Fails unless the system call may be repeated.
fn again(error: io::Error, deadline: &Deadline) -> Result<(), Error> {
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(()),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Err(deadline.missed()),
        _ => Err(of_socket(error)),
    }
}

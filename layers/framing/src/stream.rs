//! The byte stream that the framing layer needs below.

use tokio::io::{AsyncRead, AsyncWrite};

/// A duplex of bytes: every `AsyncRead + AsyncWrite + Unpin + Send + 'static`.
///
/// ```
/// fn takes(_: impl kyneta_uds_framing::ByteStream) {}
/// takes(tokio::io::duplex(64).0);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a byte stream, so it cannot be cut into frames",
    label = "not a byte stream",
    note = "a `FramingLayer` goes directly above the connector, which makes byte streams \
            (`AsyncRead + AsyncWrite + Unpin + Send + 'static`)"
)]
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

// Otherwise rustc would report a missing `AsyncRead` and not the message above.
#[diagnostic::do_not_recommend]
impl<Io: AsyncRead + AsyncWrite + Unpin + Send + 'static> ByteStream for Io {}

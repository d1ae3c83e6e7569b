//! The same work through the public API, with CBOR and aliasing on, as a user would send it.
use std::{io, path::Path};

use super::{figures::Figures, work::Task};

/// The server half; `ready` is called once a client may come. Ends with its first client.
pub(super) async fn serve(_path: &Path, _ready: impl FnOnce()) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The client half.
pub(super) async fn run(_path: &Path, _task: Task) -> io::Result<Figures> {
    Err(io::ErrorKind::Unsupported.into())
}

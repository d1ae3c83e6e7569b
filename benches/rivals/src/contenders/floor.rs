//! The floor: a bare tokio `UnixStream` that does the same work with as little as possible.
//!
//! Frames with a 10-byte header, writes and reads of 64 KiB; headers are parsed and payloads skipped.

// Shared with `kyneta-uds bench`.
#[path = "../../../../cli/src/bench/floor/scan.rs"]
mod scan;

use std::path::Path;

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use self::scan::{Scan, header};
use super::{Contender, Facts, gone};
use crate::{
    BoxError,
    link::{Duplex, Link},
    works::{Pace, Task},
};

const BLOCK: usize = 64 << 10;

/// The only kind of frame.
const KIND: u8 = 0;

pub(super) struct Floor;

impl Contender for Floor {
    const FACTS: Facts = Facts {
        name: "floor",
        title: "bare tokio",
        package: "tokio",
        note: "the floor, a `UnixStream` by hand: 10-byte headers, writes coalesced to 64 KiB, \
               reads of 64 KiB, payloads passed over",
        pace: Pace {
            one_way: 30e6,
            piped: 1.2e6,
            bytes: 4e9,
        },
    };

    async fn serve(path: &Path, task: Task, ready: fn()) -> Result<(), BoxError> {
        let listener = UnixListener::bind(path)?;
        ready();
        let (mut stream, _) = listener.accept().await?;
        let mut block = vec![0; BLOCK];
        let mut scan = Scan::default();
        let mut back = Vec::with_capacity(2 * BLOCK);
        let mut got = 0;
        loop {
            let read = stream.read(&mut block).await?;
            let Some(bytes) = block.get(..read).filter(|bytes| !bytes.is_empty()) else {
                return Ok(());
            };
            let echo = task.work.window().is_some() || got < task.warm_up();
            let frames = scan.feed(bytes);
            got += frames;
            if echo {
                back.extend_from_slice(bytes);
                // The client does not read while it writes.
                if frames > 0 {
                    stream.write_all(&back).await?;
                    back.clear();
                }
            } else if got == task.total() {
                stream.write_all(&header(KIND, task.size)).await?;
                stream.write_all(&task.data()).await?;
            }
        }
    }

    async fn connect(path: &Path, task: Task) -> Result<impl Link, BoxError> {
        Ok(Bare {
            stream: UnixStream::connect(path).await?,
            out: Vec::with_capacity(2 * BLOCK),
            block: vec![0; BLOCK],
            scan: Scan::default(),
            payload: task.data(),
        })
    }
}

struct Bare {
    stream: UnixStream,
    out: Vec<u8>,
    block: Vec<u8>,
    scan: Scan,
    payload: Bytes,
}

impl Duplex for Bare {
    async fn feed(&mut self) -> Result<(), BoxError> {
        self.out
            .extend_from_slice(&header(KIND, self.payload.len()));
        self.out.extend_from_slice(&self.payload);
        if self.out.len() >= BLOCK {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), BoxError> {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        Ok(())
    }

    async fn back(&mut self) -> Result<u64, BoxError> {
        loop {
            let read = self.stream.read(&mut self.block).await?;
            let bytes = self.block.get(..read).filter(|bytes| !bytes.is_empty());
            let frames = self.scan.feed(bytes.ok_or_else(gone)?);
            if frames > 0 {
                return Ok(frames);
            }
        }
    }
}

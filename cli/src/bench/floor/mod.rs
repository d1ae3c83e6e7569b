//! The floor: the same work on a bare tokio `UnixStream`.
//!
//! The least code that does the same work: frames with a 10-byte header, writes gathered to 64 KiB,
//! reads of 64 KiB, headers parsed and payloads skipped.

mod fan;
mod protocol;
mod scan;

use std::{io, path::Path, time::Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use self::{
    protocol::{ANSWER, BLOCK, COUNT, ECHO, FAN, seen},
    scan::{Scan, header},
};
use super::{
    figures::{Figures, Stopwatch},
    work::{IN_FLIGHT, Task, Work},
};

/// The server half; `ready` is called once it accepts connections. Ends with its first client.
pub(super) async fn serve(path: &Path, ready: impl FnOnce()) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    ready();
    let (mut stream, _) = listener.accept().await?;
    let mut scan = Scan::default();
    let mut block = vec![0; BLOCK];
    loop {
        let read = stream.read(&mut block).await?;
        let Some(bytes) = block.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        let seen = scan.feed(bytes);
        if scan.kind == FAN {
            return fan::serve(&listener, stream, bytes).await;
        }
        if scan.kind == ECHO {
            stream.write_all(bytes).await?;
        } else if seen > 0 && scan.completed == ANSWER {
            stream.write_all(&header(COUNT, 0)).await?;
        }
    }
}

/// The client half.
pub(super) async fn run(path: &Path, task: Task) -> io::Result<Figures> {
    let window = match task.work {
        Work::Rtt => Some(1),
        Work::Pipe => Some(IN_FLIGHT),
        Work::Stream | Work::Bulk => None,
        Work::Fan => return fan::run(path, task).await,
    };
    let mut link = Link {
        stream: UnixStream::connect(path).await?,
        scan: Scan::default(),
        out: Vec::with_capacity(2 * BLOCK),
        block: vec![0; BLOCK],
        payload: vec![7; task.size],
    };
    link.echo(task.warm_up(), 1, |_| {}).await?;
    let mut watch = Stopwatch::start();
    match window {
        Some(1) => link.echo(task.count, 1, |at| watch.lap(at)).await?,
        Some(window) => link.echo(task.count, window, |_| {}).await?,
        None => link.push(task.count).await?,
    }
    Ok(watch.stop("bare tokio", task))
}

struct Link {
    stream: UnixStream,
    scan: Scan,
    out: Vec<u8>,
    block: Vec<u8>,
    payload: Vec<u8>,
}

impl Link {
    /// `count` frames out and back, `window` of them in flight; `lap` gets the time at which each was sent.
    async fn echo(
        &mut self,
        count: u64,
        window: u64,
        mut lap: impl FnMut(Instant),
    ) -> io::Result<()> {
        let (mut sent, mut back) = (0, 0);
        while back < count {
            let left = Instant::now();
            while sent < count && sent - back < window {
                self.put(ECHO);
                sent += 1;
            }
            let fresh = self.exchange().await?;
            back += fresh;
            if fresh > 0 {
                lap(left);
            }
        }
        Ok(())
    }

    /// `count` frames one way, one answer at the end.
    async fn push(&mut self, count: u64) -> io::Result<()> {
        for _ in 1..count {
            self.put(COUNT);
            if self.out.len() >= BLOCK {
                self.flush().await?;
            }
        }
        self.put(ANSWER);
        self.flush().await?;
        while self.receive().await? == 0 {}
        Ok(())
    }

    fn put(&mut self, kind: u8) {
        self.out
            .extend_from_slice(&header(kind, self.payload.len()));
        self.out.extend_from_slice(&self.payload);
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        Ok(())
    }

    /// Reads while it writes, so that the two sides do not block each other.
    async fn exchange(&mut self) -> io::Result<u64> {
        let (mut frames, mut written) = (0, 0);
        let (mut reader, mut writer) = self.stream.split();
        while let Some(rest) = self.out.get(written..).filter(|rest| !rest.is_empty()) {
            tokio::select! {
                biased;
                n = writer.write(rest) => written += n?,
                n = reader.read(&mut self.block) => frames += seen(&mut self.scan, &self.block, n?)?,
            }
        }
        self.out.clear();
        if frames == 0 {
            frames = self.receive().await?;
        }
        Ok(frames)
    }

    /// Reads once; returns how many frames that completed.
    async fn receive(&mut self) -> io::Result<u64> {
        let read = self.stream.read(&mut self.block).await?;
        seen(&mut self.scan, &self.block, read)
    }
}

//! The floor: the same work on a bare tokio `UnixStream`.
//!
//! As little as can be done and still be the same work: frames with a 10-byte header, writes
//! gathered to 64 KiB, reads of 64 KiB, headers looked at and payloads passed over.

use std::{io, path::Path, time::Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use super::{
    figures::{Figures, Stopwatch},
    work::{IN_FLIGHT, Task, Work},
};

const BLOCK: usize = 64 << 10;
const HEADER: usize = 10;

/// Byte 1 of a header: what the server does with the frame.
const ECHO: u8 = 0;
const COUNT: u8 = 1;
const ANSWER: u8 = 2;

/// The server half; `ready` is called once a client may come. Ends with its first client.
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
        if scan.kind == ECHO {
            stream.write_all(bytes).await?;
        } else if seen > 0 && scan.completed == ANSWER {
            stream.write_all(&header(COUNT, 0)).await?;
        }
    }
}

/// The client half.
pub(super) async fn run(path: &Path, task: Task) -> io::Result<Figures> {
    let mut link = Link {
        stream: UnixStream::connect(path).await?,
        scan: Scan::default(),
        out: Vec::with_capacity(2 * BLOCK),
        block: vec![0; BLOCK],
        payload: vec![7; task.size],
    };
    link.echo(task.warm_up(), 1, |_| {}).await?;
    let mut watch = Stopwatch::start();
    match task.work {
        Work::Rtt => link.echo(task.count, 1, |at| watch.lap(at)).await?,
        Work::Pipe => link.echo(task.count, IN_FLIGHT, |_| {}).await?,
        Work::Stream | Work::Bulk => link.push(task.count).await?,
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
    /// `count` frames out and back, `window` of them in flight; `lap` hears when each had left.
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

    /// Writes all while it reads, so that neither side waits for the other to read.
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

    /// Reads once; how many frames that completed.
    async fn receive(&mut self) -> io::Result<u64> {
        let read = self.stream.read(&mut self.block).await?;
        seen(&mut self.scan, &self.block, read)
    }
}

fn seen(scan: &mut Scan, block: &[u8], read: usize) -> io::Result<u64> {
    match block.get(..read) {
        Some(bytes) if !bytes.is_empty() => Ok(scan.feed(bytes)),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn header(kind: u8, len: usize) -> [u8; HEADER] {
    let [a, b, c, d] = (len as u32).to_be_bytes();
    [3, kind, a, b, c, d, 0, 0, 0, 0]
}

/// Counts frames in bytes that may be cut anywhere.
#[derive(Default)]
struct Scan {
    /// The kind of the frame that is being read, or was last.
    kind: u8,
    /// The kind of the last one that was read to its end.
    completed: u8,
    header: [u8; HEADER],
    have: usize,
    payload_left: usize,
}

impl Scan {
    /// Takes bytes; how many frames they complete.
    fn feed(&mut self, mut bytes: &[u8]) -> u64 {
        let mut frames = 0;
        loop {
            // The common case first: header and payload lie whole before us.
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
            bytes.extend_from_slice(&header(COUNT, len));
            bytes.extend(std::iter::repeat_n(3, len));
        }
        for piece in 1..bytes.len() {
            let mut scan = Scan::default();
            let seen: u64 = bytes.chunks(piece).map(|chunk| scan.feed(chunk)).sum();
            assert_eq!((seen, scan.have), (6, 0), "in pieces of {piece}");
        }
    }
}

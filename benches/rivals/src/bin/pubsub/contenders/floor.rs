//! The floor: one task copies chunks of up to 64 KiB between Unix sockets and parses nothing. Messages have a fixed
//! size and no frame; a publisher coalesces its writes to 64 KiB.

use std::{io, path::Path, rc::Rc};

use futures::future::join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
};

use crate::{
    BoxError,
    process::{Report, may_begin},
    tally::{Latencies, Tally},
    works::{Task, number, number_of},
};

const CHUNK: usize = 64 << 10;

pub(super) async fn hub(path: &Path, task: Task) -> Result<(), BoxError> {
    let listener = UnixListener::bind(path)?;
    Report::Ready.tell();
    let mut streams = Vec::new();
    for _ in 0..=task.work.receivers() {
        streams.push(listener.accept().await?.0);
    }
    let streams = Rc::new(streams);
    let copies = (0..streams.len()).map(|from| copy(streams.clone(), from));
    for copied in join_all(copies).await {
        copied?;
    }
    Ok(())
}

/// Copies what one says to all others.
async fn copy(streams: Rc<Vec<UnixStream>>, from: usize) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let Some(source) = streams.get(from) else {
        return Ok(());
    };
    loop {
        source.readable().await?;
        let read = match source.try_read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            read => read?,
        };
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        let others = streams.iter().enumerate().filter(|(at, _)| *at != from);
        for written in join_all(others.map(|(_, to)| write(to, bytes))).await {
            written?;
        }
    }
}

async fn write(to: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.try_write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => to.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads messages of a fixed size.
struct Messages {
    size: usize,
    buf: Vec<u8>,
    held: usize,
}

impl Messages {
    fn new(size: usize) -> Self {
        Self {
            size,
            buf: vec![0; CHUNK + size],
            held: 0,
        }
    }

    /// Reads once, and shows each whole message.
    async fn read(
        &mut self,
        from: &mut UnixStream,
        mut show: impl FnMut(&[u8]),
    ) -> Result<(), BoxError> {
        let room = self.buf.get_mut(self.held..).unwrap_or_default();
        let read = from.read(room).await?;
        if read == 0 {
            return Err("the hub has gone".into());
        }
        self.held += read;
        let held = self.buf.get(..self.held).unwrap_or_default();
        let whole = held.chunks_exact(self.size);
        let rest = whole.remainder().len();
        whole.for_each(&mut show);
        self.buf.copy_within(self.held - rest..self.held, 0);
        self.held = rest;
        Ok(())
    }
}

pub(super) async fn receive(path: &Path, task: Task) -> Result<(), BoxError> {
    let mut stream = UnixStream::connect(path).await?;
    Report::Ready.tell();
    let (mut messages, mut tally) = (Messages::new(task.size), Tally::new(task));
    loop {
        messages
            .read(&mut stream, |message| tally.count(message))
            .await?;
    }
}

pub(super) async fn publish(path: &Path, task: Task) -> Result<(), BoxError> {
    let mut stream = UnixStream::connect(path).await?;
    may_begin().await?;
    let mut message = task.message(0);
    let mut out = Vec::with_capacity(CHUNK + task.size);
    for nth in 0..task.count {
        number(&mut message, nth);
        out.extend_from_slice(&message);
        if out.len() >= CHUNK {
            stream.write_all(&out).await?;
            out.clear();
        }
    }
    stream.write_all(&out).await?;
    // The connection stays open.
    std::future::pending().await
}

pub(super) async fn answer(path: &Path, _task: Task) -> Result<(), BoxError> {
    let mut stream = UnixStream::connect(path).await?;
    Report::Ready.tell();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = stream.read(&mut chunk).await?;
        let bytes = chunk.get(..read).filter(|bytes| !bytes.is_empty());
        stream.write_all(bytes.ok_or("the hub has gone")?).await?;
    }
}

pub(super) async fn ask(path: &Path, task: Task, window: u64) -> Result<Latencies, BoxError> {
    let mut stream = UnixStream::connect(path).await?;
    may_begin().await?;
    let (mut messages, mut latencies) = (Messages::new(task.size), Latencies::new(task));
    let (mut message, mut out) = (task.message(0), Vec::new());
    let (mut next, mut free, mut is_done) = (0, window, false);
    while !is_done {
        while free > 0 && next < task.count {
            number(&mut message, next);
            latencies.asked(next);
            out.extend_from_slice(&message);
            (next, free) = (next + 1, free - 1);
        }
        stream.write_all(&out).await?;
        out.clear();
        messages
            .read(&mut stream, |answer| {
                is_done |= latencies.answered(number_of(answer));
                free += 1;
            })
            .await?;
    }
    Ok(latencies)
}

//! The same on bare tokio sockets: frames of ten bytes and a payload.
//!
//! In: the number of messages and of receivers. Out: the time from the first to the last. Touches sockets.

// Shared with the command's bench.
#[path = "../../../cli/src/bench/floor/scan.rs"]
mod scan;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    try_join,
};

use self::scan::{Scan, header};
use crate::{
    Error,
    place::Places,
    tally::{Tally, tally},
};

/// The size of a write and a read on one connection, bytes.
const BLOCK: usize = 64 << 10;

/// The size of a read with many readers.
const SMALL_BLOCK: usize = 4 << 10;

/// `count` frames one way over one connection, written together up to 64 KiB.
pub(crate) async fn stream(
    places: &Places,
    path: &Path,
    size: usize,
    count: u64,
) -> Result<Duration, Error> {
    let (tally, last) = tally(count);
    let (mut writers, readers) = connected(places, path, 1).await?;
    let reading = places.receiver.run(async move {
        for reader in readers {
            count_frames(reader, BLOCK, tally.clone()).await?;
        }
        Ok(())
    });
    let writing = places.sender.run(async move {
        let writer = writers.first_mut().ok_or("there is no connection")?;
        let (header, payload) = (header(0, size), vec![7; size]);
        let mut out = Vec::with_capacity(2 * BLOCK);
        let start = Instant::now();
        for _ in 0..count {
            out.extend_from_slice(&header);
            out.extend_from_slice(&payload);
            if out.len() >= BLOCK {
                writer.write_all(&out).await?;
                out.clear();
            }
        }
        writer.write_all(&out).await?;
        Ok(start)
    });
    let (start, ()) = try_join!(writing, reading)?;
    Ok(last.await?.duration_since(start))
}

/// `count` frames to each of `peers`, each with a write of its own.
pub(crate) async fn fan(
    places: &Places,
    path: &Path,
    peers: usize,
    size: usize,
    count: u64,
) -> Result<Duration, Error> {
    let (tally, last) = tally(count * peers as u64);
    let (mut writers, readers) = connected(places, path, peers).await?;
    let reading = places.receiver.run(async move {
        let mut all = tokio::task::JoinSet::new();
        for reader in readers {
            all.spawn(count_frames(reader, SMALL_BLOCK, tally.clone()));
        }
        while let Some(ended) = all.join_next().await {
            ended??;
        }
        Ok(())
    });
    let writing = places.sender.run(async move {
        let mut frame = header(0, size).to_vec();
        frame.resize(frame.len() + size, 7);
        let start = Instant::now();
        for _ in 0..count {
            for writer in &mut writers {
                writer.write_all(&frame).await?;
            }
        }
        Ok(start)
    });
    let (start, ()) = try_join!(writing, reading)?;
    Ok(last.await?.duration_since(start))
}

/// Reads to the end of the stream.
async fn count_frames(mut from: UnixStream, block: usize, tally: Arc<Tally>) -> Result<(), Error> {
    let (mut scan, mut block) = (Scan::default(), vec![0; block]);
    loop {
        let read = from.read(&mut block).await?;
        match block.get(..read) {
            Some(bytes) if !bytes.is_empty() => tally.came(scan.feed(bytes)),
            _ => return Ok(()),
        }
    }
}

/// The sending and the receiving ends of `peers` connections.
async fn connected(
    places: &Places,
    path: &Path,
    peers: usize,
) -> Result<(Vec<UnixStream>, Vec<UnixStream>), Error> {
    let target = path.to_owned();
    let listener = places
        .sender
        .run(async move { Ok(UnixListener::bind(target)?) })
        .await?;
    let accepting = places.sender.run(async move {
        let mut accepted = Vec::with_capacity(peers);
        while accepted.len() < peers {
            accepted.push(listener.accept().await?.0);
        }
        Ok(accepted)
    });
    let target = path.to_owned();
    let connecting = places.receiver.run(async move {
        let mut connected = Vec::with_capacity(peers);
        while connected.len() < peers {
            connected.push(UnixStream::connect(&target).await?);
        }
        Ok(connected)
    });
    try_join!(accepting, connecting)
}

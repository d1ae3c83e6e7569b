//! One process tells a hundred: a bare write to each socket for each message, a hundred readers.
//!
//! A header of the kind `FAN` asks for it: its length is that of a message's payload, its last four
//! bytes say how many messages.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream, unix::OwnedReadHalf},
    sync::Notify,
    task::JoinSet,
};

use super::{
    BLOCK, COUNT, FAN,
    scan::{HEADER, Scan, header},
    seen,
};
use crate::bench::{
    figures::{Figures, Stopwatch},
    work::{PEERS, Task},
};

/// Does what the first stream asks for: `order`, and what comes after it.
pub(super) async fn serve(
    listener: &UnixListener,
    first: UnixStream,
    order: &[u8],
) -> io::Result<()> {
    let mut order = *order.first_chunk().ok_or(io::ErrorKind::InvalidData)?;
    let (mut orders, first) = first.into_split();
    let mut peers = vec![first];
    while peers.len() < PEERS {
        let (_, peer) = listener.accept().await?.0.into_split();
        peers.push(peer);
    }
    loop {
        let (count, size) = told(order);
        let mut frame = header(COUNT, size).to_vec();
        frame.resize(HEADER + size, 7);
        for _ in 0..count {
            for peer in &mut peers {
                peer.write_all(&frame).await?;
            }
        }
        if orders.read(&mut order).await? < HEADER {
            return Ok(());
        }
    }
}

/// The client half: a hundred connections, a reader on each.
pub(super) async fn run(path: &Path, task: Task) -> io::Result<Figures> {
    let crowd = Arc::new(Crowd::default());
    let (mut writers, mut readers) = (Vec::with_capacity(PEERS), JoinSet::new());
    for _ in 0..PEERS {
        let (reader, writer) = UnixStream::connect(path).await?.into_split();
        readers.spawn(crowd.clone().listen(reader));
        writers.push(writer);
    }
    let first = writers.first_mut().ok_or(io::ErrorKind::NotConnected)?;
    let mut ask = async |count: u64| {
        crowd.to_come.store(count * PEERS as u64, Ordering::Relaxed);
        first.write_all(&order(count, task.size)?).await?;
        tokio::select! {
            () = crowd.done.notified() => Ok(()),
            Some(ended) = readers.join_next() => ended?,
        }
    };
    ask(task.warm_up()).await?;
    let watch = Stopwatch::start();
    ask(task.count).await?;
    Ok(watch.stop("bare tokio", task))
}

/// What all the readers have read.
#[derive(Default)]
struct Crowd {
    /// By any of them, still.
    to_come: AtomicU64,
    done: Notify,
}

impl Crowd {
    /// Counts the frames of a stream; ends with it alone.
    async fn listen(self: Arc<Self>, mut stream: OwnedReadHalf) -> io::Result<()> {
        let mut scan = Scan::default();
        let mut block = vec![0; BLOCK];
        loop {
            let read = stream.read(&mut block).await?;
            let frames = seen(&mut scan, &block, read)?;
            if frames > 0 && self.to_come.fetch_sub(frames, Ordering::Relaxed) == frames {
                self.done.notify_one();
            }
        }
    }
}

fn order(count: u64, size: usize) -> io::Result<[u8; HEADER]> {
    let [version, kind, a, b, c, d, ..] = header(FAN, size);
    let [e, f, g, h] = u32::try_from(count)
        .map_err(io::Error::other)?
        .to_be_bytes();
    Ok([version, kind, a, b, c, d, e, f, g, h])
}

fn told([_, _, a, b, c, d, e, f, g, h]: [u8; HEADER]) -> (u32, usize) {
    let size = u32::from_be_bytes([a, b, c, d]) as usize;
    (u32::from_be_bytes([e, f, g, h]), size)
}

//! One process sends to a hundred: one bare write to each socket for each message, a hundred readers.
//!
//! A header of the kind `FAN` starts it: its length is that of each payload, its last four bytes are the
//! number of messages.

use std::{io, path::Path, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream, unix::OwnedReadHalf},
    task::JoinSet,
};

use super::{
    protocol::{BLOCK, COUNT, FAN, seen},
    scan::{HEADER, Scan, header},
};
use crate::bench::{
    countdown::Countdown,
    figures::{Figures, Stopwatch},
    work::{PEERS, Task},
};

/// Executes the orders of the first stream: `order`, and those that follow.
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
        let (count, size) = parse(order);
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

/// The client half: a hundred connections, with a reader on each.
pub(super) async fn run(path: &Path, task: Task) -> io::Result<Figures> {
    let countdown = Arc::new(Countdown::default());
    let (mut writers, mut readers) = (Vec::with_capacity(PEERS), JoinSet::new());
    for _ in 0..PEERS {
        let (reader, writer) = UnixStream::connect(path).await?.into_split();
        readers.spawn(listen(countdown.clone(), reader));
        writers.push(writer);
    }
    let first = writers.first_mut().ok_or(io::ErrorKind::NotConnected)?;
    let mut ask = async |count: u64| {
        countdown.start(count * PEERS as u64);
        first.write_all(&order(count, task.size)?).await?;
        tokio::select! {
            () = countdown.done() => Ok(()),
            Some(ended) = readers.join_next() => ended?,
        }
    };
    ask(task.warm_up()).await?;
    let watch = Stopwatch::start();
    ask(task.count).await?;
    Ok(watch.stop("bare tokio", task))
}

/// Counts the frames of a stream. Ends only with an error.
async fn listen(countdown: Arc<Countdown>, mut stream: OwnedReadHalf) -> io::Result<()> {
    let mut scan = Scan::default();
    let mut block = vec![0; BLOCK];
    loop {
        let read = stream.read(&mut block).await?;
        countdown.received(seen(&mut scan, &block, read)?);
    }
}

fn order(count: u64, size: usize) -> io::Result<[u8; HEADER]> {
    let [version, kind, a, b, c, d, ..] = header(FAN, size);
    let [e, f, g, h] = u32::try_from(count)
        .map_err(io::Error::other)?
        .to_be_bytes();
    Ok([version, kind, a, b, c, d, e, f, g, h])
}

fn parse([_, _, a, b, c, d, e, f, g, h]: [u8; HEADER]) -> (u32, usize) {
    let size = u32::from_be_bytes([a, b, c, d]) as usize;
    (u32::from_be_bytes([e, f, g, h]), size)
}

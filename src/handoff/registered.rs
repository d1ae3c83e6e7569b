//! Streams of another process, registered at the runtime.
//!
//! In: descriptors. Out: streams, in their order. May touch: the runtime's workers, while all connections wait; no byte.
//!
//! A stream can be written as soon as it is registered, so a worker that sleeps is woken for each one, on a processor that
//! the others need. Workers that register do not sleep.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as ForeignStream},
};

use tokio::{net::UnixStream, runtime, task::yield_now};

/// A worker registers as many, some 100 us, before it looks at what else it has.
const TURN: usize = 64;

/// Blocks, until the workers and this thread have done it.
pub(super) fn registered(
    runtime: &runtime::Handle,
    descriptors: Vec<OwnedFd>,
) -> io::Result<Vec<UnixStream>> {
    let threads = runtime.metrics().num_workers() + 1;
    let share = descriptors.len().div_ceil(threads).max(TURN);
    let mut descriptors = descriptors.into_iter();
    let own: Vec<_> = descriptors.by_ref().take(share).collect();
    let mut parts = Vec::with_capacity(threads);
    while descriptors.len() > 0 {
        let part: Vec<_> = descriptors.by_ref().take(share).collect();
        parts.push(runtime.spawn(register(part)));
    }
    let mut streams = runtime.block_on(register(own))?;
    for part in parts {
        streams.extend(runtime.block_on(part)??);
    }
    Ok(streams)
}

async fn register(descriptors: Vec<OwnedFd>) -> io::Result<Vec<UnixStream>> {
    let mut streams = Vec::with_capacity(descriptors.len());
    for descriptor in descriptors {
        let stream = ForeignStream::from(descriptor);
        stream.set_nonblocking(true)?; // tokio panics on one that blocks
        streams.push(UnixStream::from_std(stream)?);
        if streams.len() % TURN == 0 {
            yield_now().await;
        }
    }
    Ok(streams)
}

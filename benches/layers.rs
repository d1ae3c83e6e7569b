//! What a layer of a user costs per message: almost nothing if it only passes messages on, however many layers there
//! are, and the same for a `tracing` call site without a subscriber.
//!
//! `cargo bench --bench layers`; each figure is of a thousand messages, so 1 us is 1 ns per message.

#![allow(clippy::unwrap_used)] // A bench panics when it fails.

mod common;

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Waker},
};

use common::{Void, five, offer, one, traced};
use divan::{Bencher, black_box};
use futures_core::Stream;
use kyneta_uds::{ChannelMsg, Inbound, QueueConfig, queue, trace::TraceLayer};
use tokio::runtime::Builder;
use tower::{Layer as _, Service, service_fn};

fn main() {
    divan::main();
}

/// Messages per iteration.
const COUNT: usize = 1000;

/// Messages between two polls of the queue's driver.
const BATCH: usize = 50;

const LAYERS: [usize; 3] = [0, 1, 5];

/// Sends through layers around a channel.
#[divan::bench(args = LAYERS)]
fn send(bencher: Bencher<'_, '_>, layers: usize) {
    match layers {
        0 => send_to(bencher, Void::default()),
        1 => send_to(bencher, one(Void::default())),
        _ => send_to(bencher, five(Void::default())),
    }
}

#[divan::bench]
fn send_traced(bencher: Bencher<'_, '_>) {
    send_to(bencher, traced(Void::default()));
}

#[divan::bench]
fn send_trace_layer(bencher: Bencher<'_, '_>) {
    send_to(bencher, TraceLayer::new().layer(Void::default()));
}

fn send_to(bencher: Bencher<'_, '_>, mut channel: impl Service<ChannelMsg, Response = ()>) {
    let msg = offer(64);
    let mut cx = Context::from_waker(Waker::noop());
    bencher.bench_local(|| {
        for _ in 0..COUNT {
            assert!(channel.poll_ready(&mut cx).is_ready());
            let calling = pin!(channel.call(msg.clone()));
            assert!(calling.poll(&mut cx).is_ready());
        }
    });
}

/// Receives through layers around a channel.
#[divan::bench(args = LAYERS)]
fn receive(bencher: Bencher<'_, '_>, layers: usize) {
    let source = Void::of(offer(64));
    match layers {
        0 => receive_from(bencher, source),
        1 => receive_from(bencher, one(source)),
        _ => receive_from(bencher, five(source)),
    }
}

type Item = Result<Inbound<ChannelMsg>, Infallible>;

fn receive_from(bencher: Bencher<'_, '_>, mut channel: impl Stream<Item = Item> + Unpin) {
    let mut cx = Context::from_waker(Waker::noop());
    bencher.bench_local(|| {
        for _ in 0..COUNT {
            black_box(Pin::new(&mut channel).poll_next(&mut cx)).is_ready();
        }
    });
}

/// Sends through layers around a handle, its queue and its driver.
#[divan::bench(args = LAYERS)]
fn call(bencher: Bencher<'_, '_>, layers: usize) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    let (handle, driver) = queue(QueueConfig::default());
    let ignore = service_fn(async |_: ChannelMsg| Ok::<(), Infallible>(()));
    let drive = driver.drive(Void::default(), ignore);
    match layers {
        0 => call_and_drive(bencher, handle, drive),
        1 => call_and_drive(bencher, one(handle), drive),
        _ => call_and_drive(bencher, five(handle), drive),
    }
}

fn call_and_drive(
    bencher: Bencher<'_, '_>,
    mut handle: impl Service<ChannelMsg>,
    drive: impl Future,
) {
    let msg = offer(64);
    let mut drive = pin!(drive);
    let mut cx = Context::from_waker(Waker::noop());
    bencher.bench_local(|| {
        for i in 0..COUNT {
            assert!(handle.poll_ready(&mut cx).is_ready());
            drop(handle.call(msg.clone()));
            if i % BATCH == 0 {
                assert!(drive.as_mut().poll(&mut cx).is_pending());
            }
        }
    });
}

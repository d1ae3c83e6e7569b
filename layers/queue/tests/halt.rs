//! Halting for a handoff: quiet, frozen, thawed.
//!
//! A failure is a message in the wrong process: handled after the halt, written twice, or nowhere.

#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

mod support;

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt as _;
use kyneta_uds_core::Inbound;
use kyneta_uds_queue::{Handle, QueueConfig, queue};
use support::{BUFFER, Num, OnCall, Pipe};
use tokio::sync::{Notify, oneshot};
use tower::service_fn;

async fn quiet(handle: &Handle<Num>) -> bool {
    let (done, reached) = oneshot::channel();
    handle.quiesce(|is| {
        let _ = done.send(is);
    });
    reached.await.unwrap()
}

async fn frozen(handle: &Handle<Num>) -> bool {
    let (done, reached) = oneshot::channel();
    handle.freeze(|is| {
        let _ = done.send(is);
    });
    reached.await.unwrap()
}

async fn queue_twenty(handle: &mut Handle<Num>) {
    for n in 0..20 {
        handle.queue(Num(n)).await.unwrap();
    }
}

/// Driven with a handler that ignores all.
fn driven(pipe: &Pipe) -> Handle<Num> {
    driven_with(pipe, QueueConfig::default())
}

fn driven_with(pipe: &Pipe, config: QueueConfig) -> Handle<Num> {
    pipe.0.lock().unwrap().can_be_aside = true;
    let (handle, driver) = queue(config);
    let ignore = service_fn(|_: Num| ready(Ok::<_, Infallible>(())));
    tokio::spawn(driver.drive(pipe.clone(), ignore));
    handle
}

#[tokio::test(start_paused = true)]
async fn the_handler_finishes_before_it_is_quiet_and_nothing_more_is_read() {
    let pipe = Pipe::with_room(100);
    pipe.0.lock().unwrap().can_be_aside = true;
    let (handle, driver) = queue(QueueConfig::default());
    let (go, seen) = (Arc::new(Notify::new()), Arc::new(Mutex::new(Vec::new())));
    let handler = {
        let (go, seen) = (go.clone(), seen.clone());
        service_fn(move |num: Num| {
            let (go, seen) = (go.clone(), seen.clone());
            async move {
                seen.lock().unwrap().push(num.0);
                go.notified().await;
                Ok::<_, Infallible>(())
            }
        })
    };
    tokio::spawn(driver.drive(pipe.clone(), handler));
    pipe.deliver(Inbound::Message(Num(1)));
    pipe.deliver(Inbound::Message(Num(2)));
    while seen.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let waits = tokio::spawn({
        let handle = handle.clone();
        async move { quiet(&handle).await }
    });
    // Paused time moves on when nothing else can run.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waits.is_finished());
    go.notify_one();
    assert!(waits.await.unwrap());
    assert_eq!(*seen.lock().unwrap(), [1]);

    assert!(frozen(&handle).await);
    handle.thaw();
    while seen.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
}

/// Whether what waits has gone ahead.
async fn ahead(handle: &Handle<Num>) -> bool {
    let (done, reached) = oneshot::channel();
    handle.send_ahead(|is| {
        let _ = done.send(is);
    });
    reached.await.unwrap()
}

/// The pipe counts a message that it holds as one byte, so nothing is large here: all goes ahead in one turn.
#[tokio::test(start_paused = true)]
async fn what_waits_goes_ahead_everything_goes_on_and_what_comes_later_waits() {
    let pipe = Pipe::with_room(0);
    let mut handle = driven(&pipe);
    queue_twenty(&mut handle).await;
    assert!(ahead(&handle).await);
    assert_eq!(pipe.0.lock().unwrap().ahead, (0..20).collect::<Vec<_>>());
    pipe.make_room(7);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(pipe.taken(), (0..7).collect::<Vec<_>>());
    // It was given out, so it counts until it is known whether it is handed over.
    assert_eq!(handle.queued(), (0, 20));
    handle.queue(Num(20)).await.unwrap();
    assert!(quiet(&handle).await && frozen(&handle).await);
    assert_eq!(pipe.0.lock().unwrap().buffer.len(), 14);
    handle.thaw();
    pipe.make_room(100);
    handle.flushed().await.unwrap();
    assert_eq!(pipe.taken(), (0..21).collect::<Vec<_>>());
    assert_eq!(handle.queued(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_gives_nothing_out_goes_on_as_before() {
    let pipe = Pipe::with_room(0);
    let mut handle = driven(&pipe);
    pipe.0.lock().unwrap().can_be_aside = false;
    queue_twenty(&mut handle).await;
    assert!(!ahead(&handle).await);
    pipe.make_room(100);
    handle.flushed().await.unwrap();
    assert_eq!(pipe.taken(), (0..20).collect::<Vec<_>>());
    pipe.0.lock().unwrap().follows = true;
    handle.close();
    handle.closed().await;
    assert!(!ahead(&handle).await);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_encoded_beyond_the_room_and_what_comes_later_waits_for_the_thaw() {
    let pipe = Pipe::with_room(0);
    let mut handle = driven(&pipe);
    queue_twenty(&mut handle).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(pipe.0.lock().unwrap().buffer.len(), BUFFER);
    assert!(quiet(&handle).await && frozen(&handle).await);
    assert_eq!(pipe.0.lock().unwrap().asides, 1);
    assert_eq!(pipe.0.lock().unwrap().buffer.len(), 20);

    handle.queue(Num(20)).await.unwrap();
    pipe.make_room(100);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(pipe.taken().len(), 0);
    handle.thaw();
    handle.flushed().await.unwrap();
    assert_eq!(pipe.taken(), (0..21).collect::<Vec<_>>());
}

/// Whether it was put aside while everything goes on.
async fn aside(handle: &Handle<Num>) -> bool {
    let (done, reached) = oneshot::channel();
    handle.put_aside(|is| {
        let _ = done.send(is);
    });
    reached.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_put_aside_before_the_halt_which_needs_no_turn_then() {
    let pipe = Pipe::with_room(100);
    let mut handle = driven(&pipe);
    assert!(aside(&handle).await);
    let polls = pipe.0.lock().unwrap().polls;
    let halted = async { quiet(&handle).await && frozen(&handle).await };
    assert_eq!(halted.now_or_never(), Some(true));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(pipe.0.lock().unwrap().asides, 1);
    assert_eq!(pipe.0.lock().unwrap().polls, polls);

    // Frozen: nothing is read or written.
    pipe.deliver(Inbound::Message(Num(7)));
    handle.queue(Num(0)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(pipe.0.lock().unwrap().polls, polls);
    assert!(pipe.taken().is_empty());
    handle.thaw();
    handle.flushed().await.unwrap();
    assert_eq!(pipe.taken(), [0]);
    // It is not aside any more.
    assert!(quiet(&handle).await && frozen(&handle).await);
    assert_eq!(pipe.0.lock().unwrap().asides, 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_had_something_to_do_since_is_put_aside_anew() {
    let pipe = Pipe::with_room(100);
    let mut handle = driven(&pipe);
    for n in 1..=3 {
        assert!(aside(&handle).await);
        match n {
            1 => {
                pipe.deliver(Inbound::Message(Num(n)));
                tokio::time::sleep(Duration::from_millis(1)).await; // it is read
            }
            2 => handle.queue(Num(n)).await.unwrap(),
            _ => handle.thaw(),
        }
        assert!(quiet(&handle).await && frozen(&handle).await);
        assert_eq!(pipe.0.lock().unwrap().asides, 2 * n as usize);
        handle.thaw();
        handle.flushed().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(pipe.taken(), [2]);
}

#[tokio::test(start_paused = true)]
async fn one_with_something_to_do_or_that_ends_is_not_put_aside_before_the_halt() {
    let pipe = Pipe::with_room(0);
    let mut handle = driven(&pipe);
    queue_twenty(&mut handle).await;
    assert!(!aside(&handle).await);
    assert_eq!(pipe.0.lock().unwrap().asides, 0);
    assert!(quiet(&handle).await && frozen(&handle).await);
    handle.thaw();
    pipe.make_room(100);
    handle.flushed().await.unwrap();
    pipe.0.lock().unwrap().can_be_aside = false;
    assert!(!aside(&handle).await);
    pipe.0.lock().unwrap().follows = true;
    handle.close();
    handle.closed().await;
    assert!(!aside(&handle).await);
    assert_eq!(pipe.taken(), (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_or_cannot_be_put_aside_does_not_halt() {
    let pipe = Pipe::with_room(100);
    let handle = driven(&pipe);
    pipe.0.lock().unwrap().can_be_aside = false;
    assert!(quiet(&handle).await);
    assert!(!frozen(&handle).await);
    handle.thaw();
    pipe.0.lock().unwrap().follows = true;
    handle.close();
    handle.closed().await;
    assert!(!quiet(&handle).await);

    let pipe = Pipe::with_room(100);
    let handle = driven(&pipe);
    assert!(quiet(&handle).await && frozen(&handle).await);
    handle.abort();
    handle.closed().await;
    assert!(!frozen(&handle).await);
}

#[tokio::test(start_paused = true)]
async fn where_another_handler_waits_for_room_it_is_made() {
    let pipe = Pipe::with_room(0);
    let mut handle = driven_with(&pipe, QueueConfig::default().max_messages(2));
    for n in 0..BUFFER + 2 {
        handle.queue(Num(n as u32)).await.unwrap();
    }
    let mut waits = tokio_test::task::spawn({
        let mut handle = handle.clone();
        async move { handle.queue(Num(100)).await }
    });
    assert!(waits.poll().is_pending());
    assert!(quiet(&handle).await);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(!waits.is_woken());
    handle.make_room();
    waits.await.unwrap();
    assert!(frozen(&handle).await);
    assert_eq!(pipe.0.lock().unwrap().buffer.len(), BUFFER + 3);
}

/// What a channel holds of another process goes out although nothing is sent here.
#[tokio::test(start_paused = true)]
async fn what_was_encoded_in_another_process_is_written_as_the_kernel_makes_room() {
    let pipe = Pipe::with_room(1);
    pipe.0.lock().unwrap().buffer.extend((0..20).map(Num));
    let _handle = driven(&pipe);
    for room in [4, 100] {
        tokio::time::sleep(Duration::from_millis(1)).await;
        pipe.make_room(room);
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(pipe.taken(), (0..20).collect::<Vec<_>>());
}

/// The pipe counts a message that it holds as one byte.
#[tokio::test(start_paused = true)]
async fn what_was_encoded_in_another_process_or_for_a_halt_counts_against_the_bound() {
    let pipe = Pipe::with_room(0);
    pipe.0.lock().unwrap().buffer.extend((0..20).map(Num));
    let config = QueueConfig::default().max_bytes(10);
    let mut handle = driven_with(&pipe, config);
    let mut waits = tokio_test::task::spawn(async move {
        handle.queue(Num(20)).await.unwrap();
        handle
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(waits.poll().is_pending());
    pipe.make_room(10);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(!waits.is_woken());
    pipe.make_room(1);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let handle = waits.await;
    assert_eq!(handle.queued(), (1, 109));

    assert!(quiet(&handle).await && frozen(&handle).await);
    handle.thaw();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(handle.queued(), (0, 10));
    pipe.make_room(100);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(handle.queued(), (0, 0));
    assert_eq!(pipe.taken(), (0..21).collect::<Vec<_>>());
}

/// It is a layer of the user's that says what is held.
#[tokio::test(start_paused = true)]
async fn a_channel_may_look_at_the_queue_when_it_is_asked_what_it_holds() {
    let pipe = Pipe::with_room(0);
    pipe.0.lock().unwrap().buffer.extend((0..20).map(Num));
    let handle = driven(&pipe);
    let looks = {
        let handle = handle.clone();
        OnCall(Arc::new(move |_| {
            let _ = handle.queued();
        }))
    };
    pipe.0.lock().unwrap().on_buffered = Some(looks);
    pipe.make_room(100);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(pipe.taken(), (0..20).collect::<Vec<_>>());
    pipe.0.lock().unwrap().on_buffered = None;
}

/// Whenever one message is encoded another one waits, as where another thread sends as fast as the driver encodes.
#[tokio::test(start_paused = true)]
async fn a_sender_that_never_stops_holds_no_halt_up() {
    let pipe = Pipe::with_room(0);
    let mut handle = driven(&pipe);
    let another = {
        let handle = handle.clone();
        OnCall(Arc::new(move |num| drop(handle.queue_now(num))))
    };
    pipe.0.lock().unwrap().on_call = Some(another);
    handle.queue(Num(0)).await.unwrap();
    let halts = async { quiet(&handle).await && frozen(&handle).await };
    let halted = tokio::time::timeout(Duration::from_secs(1), halts).await;
    assert_eq!(halted, Ok(true));
    pipe.0.lock().unwrap().on_call = None;
}

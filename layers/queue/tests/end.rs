//! The end: what senders, `flushed` and `closed` say of it, and when.
//!
//! A failure shows the error: whether a message may have been sent is in it.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers stand beside the tests.

mod support;

use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds_core::Inbound;
use kyneta_uds_queue::{QueueConfig, QueueEvent, SendError, queue};
use support::{Num, Pipe, REFUSED};
use tokio::{
    task::yield_now,
    time::{sleep, timeout},
};
use tower::{Service, ServiceExt, service_fn};

async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

#[tokio::test]
async fn flushed_does_not_deny_what_the_kernel_has_taken() {
    let pipe = Pipe::with_room(2);
    let (mut handle, driver) = queue(QueueConfig::default());
    let task = tokio::spawn(driver.drive(
        pipe.clone(),
        service_fn(async |_: Num| Ok::<_, Infallible>(())),
    ));
    for num in 0..8 {
        handle.queue(Num(num)).await.unwrap();
    }
    let flushed = handle.flushed();
    settle().await;
    assert_eq!(pipe.taken(), [0, 1]);
    pipe.break_it();
    task.await.unwrap();
    let error = flushed.await.unwrap_err();
    assert!(error.may_have_been_sent(), "{error}");
    // Of messages that were never encoded it does.
    let none = handle.flushed().await.unwrap_err();
    assert!(none.may_have_been_sent(), "the same range: {none}");
}

#[tokio::test(start_paused = true)]
async fn closed_is_ready_at_the_end_and_says_one_thing() {
    let pipe = Pipe::with_room(0);
    let handled = Arc::new(AtomicUsize::new(0));
    let (mut handle, driver) = queue(QueueConfig::default());
    let slow = service_fn({
        let handled = handled.clone();
        move |_: Num| {
            let handled = handled.clone();
            async move {
                sleep(Duration::from_millis(100)).await;
                handled.fetch_add(1, Relaxed);
                Ok::<_, Infallible>(())
            }
        }
    });
    let task = tokio::spawn(driver.drive(pipe.clone(), slow));
    handle.queue(Num(1)).await.unwrap();
    settle().await;
    // Writing fails. What the peer has said before is read and handled, then it ends.
    pipe.fails_to_write();
    for num in 0..3 {
        pipe.deliver(Inbound::Message(Num(num)));
    }
    pipe.end();
    settle().await;
    let refused = handle.ready().await.map(drop).unwrap_err();
    assert!(matches!(refused, SendError::Disconnected { .. }));
    assert!(handled.load(Relaxed) < 3, "senders learn at once");
    let reason = handle.closed().await;
    assert_eq!(handled.load(Relaxed), 3, "closed() is ready at the end");
    assert_eq!(task.await.unwrap().kind(), reason.kind());
    assert_eq!(handle.closed().await.kind(), reason.kind());
}

#[tokio::test]
async fn senders_learn_that_it_was_the_peer_that_ended_it() {
    let pipe = Pipe::with_room(0);
    let (mut handle, driver) = queue(QueueConfig::default());
    let _task = tokio::spawn(driver.drive(
        pipe.clone(),
        service_fn(async |_: Num| Ok::<_, Infallible>(())),
    ));
    for num in 0..6 {
        handle.queue(Num(num)).await.unwrap();
    }
    pipe.end();
    settle().await;
    match handle.ready().await.map(drop).unwrap_err() {
        SendError::Disconnected { reason, .. } => assert_eq!(reason.kind(), "closed"),
        other => panic!("{other}"),
    }
}

#[test]
fn a_full_queue_is_told_of_before_an_empty_one() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    runtime.block_on(async {
        let config = QueueConfig::default().max_messages(1).on_event({
            let order = order.clone();
            move |event| {
                let full = matches!(event, QueueEvent::HighWater { .. });
                if full {
                    // The thread that reports it may be interrupted here.
                    std::thread::sleep(Duration::from_micros(50));
                }
                order.lock().unwrap().push(full);
            }
        });
        let (mut handle, driver) = queue(config);
        let task = tokio::spawn(driver.drive(
            Pipe::with_room(usize::MAX),
            service_fn(async |_: Num| Ok::<_, Infallible>(())),
        ));
        for num in 0..2_000 {
            handle.ready().await.unwrap().call(Num(num)).await.unwrap();
        }
        handle.abort();
        task.await.unwrap();
    });
    let order = order.lock().unwrap();
    assert_eq!(order.len() % 2, 0);
    assert!(order.chunks(2).all(|pair| pair == [true, false]));
}

#[tokio::test]
async fn no_error_says_what_its_source_says() {
    let pipe = Pipe::with_room(0);
    let (mut handle, driver) = queue(QueueConfig::default());
    let task = tokio::spawn(driver.drive(
        pipe.clone(),
        service_fn(async |_: Num| Ok::<_, Infallible>(())),
    ));
    let refused = handle.call(REFUSED);
    settle().await;
    let refused = refused.await.unwrap_err();
    pipe.break_it();
    task.await.unwrap();
    let disconnected = handle.ready().await.map(drop).unwrap_err();
    let not_queued = handle.try_queue(Num(1)).unwrap_err();
    assert!(refused.to_string().ends_with("broken"), "{refused}");
    assert!(
        disconnected.to_string().ends_with("broken"),
        "{disconnected}"
    );
    let errors: [&dyn Error; 3] = [&refused, &disconnected, &not_queued];
    for error in errors {
        let mut next = Some(error);
        while let Some(error) = next {
            next = error.source();
            if let Some(source) = next {
                let (own, cause) = (error.to_string(), source.to_string());
                assert!(!own.contains(&cause), "{own:?} says {cause:?}");
            }
        }
    }
}

/// A handler's future that waits for ever, and panics when it is dropped.
struct PanicsWhenDropped;

impl Future for PanicsWhenDropped {
    type Output = Result<(), Infallible>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[tokio::test]
async fn the_end_is_told_even_if_the_handler_panics_when_it_is_dropped() {
    let pipe = Pipe::with_room(0);
    let (mut handle, driver) = queue(QueueConfig::default());
    let task = tokio::spawn(driver.drive(pipe.clone(), service_fn(|_: Num| PanicsWhenDropped)));
    pipe.deliver(Inbound::Message(Num(1)));
    let sent = handle.call(Num(2));
    settle().await;
    handle.abort();
    let ended = timeout(Duration::from_secs(5), handle.closed()).await;
    assert_eq!(ended.unwrap().kind(), "intentional");
    assert!(sent.await.is_err());
    assert!(task.await.unwrap_err().is_panic());
}

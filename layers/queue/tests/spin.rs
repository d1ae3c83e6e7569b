//! A driver that spins is polled again without being woken, for a while.
//!
//! No test waits for time to be short: a spin of an hour is not over, one of a nanosecond is.

#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

mod support;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds_core::{DisconnectReason, Inbound};
use kyneta_uds_queue::{Handle, QueueConfig, queue};
use support::{Num, Pipe};
use tokio::task::{JoinHandle, yield_now};
use tower::service_fn;

const LONG: Duration = Duration::from_secs(3600);

/// Counts how often what it wraps is polled.
struct Polled<F> {
    future: Pin<Box<F>>,
    polls: Arc<AtomicUsize>,
}

impl<F: Future> Future for Polled<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.future.as_mut().poll(cx)
    }
}

struct Driven {
    pipe: Pipe,
    handle: Handle<Num>,
    task: JoinHandle<DisconnectReason>,
    polls: Arc<AtomicUsize>,
}

impl Driven {
    /// Idle, with room for all that is sent.
    async fn start(spin: Duration) -> Self {
        let pipe = Pipe::with_room(100);
        let (handle, driver) = queue(QueueConfig::default().spin(spin));
        let ignore = service_fn(async |_: Num| Ok::<(), Infallible>(()));
        let polls = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(Polled {
            future: Box::pin(driver.drive(pipe.clone(), ignore)),
            polls: polls.clone(),
        });
        let driven = Self {
            pipe,
            handle,
            task,
            polls,
        };
        assert_eq!(driven.polls_of_twenty_turns().await, 1);
        driven
    }

    /// How often it is polled while the runtime looks at its tasks and its I/O twenty times.
    async fn polls_of_twenty_turns(&self) -> usize {
        let before = self.polls.load(Ordering::Relaxed);
        for _ in 0..20 {
            yield_now().await;
        }
        self.polls.load(Ordering::Relaxed) - before
    }

    fn deliver(&self) {
        self.pipe.deliver(Inbound::Message(Num(1)));
    }
}

#[tokio::test]
async fn after_a_read_the_driver_spins() {
    let driven = Driven::start(LONG).await;
    driven.deliver();
    let polls = driven.polls_of_twenty_turns().await;
    assert!((15..=25).contains(&polls), "{polls}");
}

#[tokio::test]
async fn after_a_write_the_driver_spins() {
    let mut driven = Driven::start(LONG).await;
    driven.handle.queue(Num(1)).await.unwrap();
    let polls = driven.polls_of_twenty_turns().await;
    assert!((15..=25).contains(&polls), "{polls}");
    assert_eq!(driven.pipe.taken(), [1]);
}

#[tokio::test]
async fn spinning_stops_when_its_time_is_over_and_starts_anew() {
    let driven = Driven::start(Duration::from_nanos(1)).await;
    for _ in 0..3 {
        driven.deliver();
        // Once for the message, once to find that the time is over.
        assert_eq!(driven.polls_of_twenty_turns().await, 2);
        assert_eq!(driven.polls_of_twenty_turns().await, 0);
    }
}

#[tokio::test]
async fn without_the_setting_no_driver_spins() {
    let mut driven = Driven::start(Duration::ZERO).await;
    driven.deliver();
    assert_eq!(driven.polls_of_twenty_turns().await, 1);
    driven.handle.queue(Num(1)).await.unwrap();
    assert_eq!(driven.polls_of_twenty_turns().await, 1);
}

#[tokio::test]
async fn a_driver_that_spins_does_what_it_is_woken_for() {
    let mut driven = Driven::start(LONG).await;
    driven.deliver();
    driven.polls_of_twenty_turns().await;
    driven.handle.queue(Num(1)).await.unwrap();
    driven.handle.flushed().await.unwrap();
    driven.deliver();
    driven.polls_of_twenty_turns().await;
    assert_eq!(driven.pipe.0.lock().unwrap().reads, 2);
}

#[tokio::test]
async fn a_driver_that_spins_ends_as_soon_as_it_is_closed() {
    let driven = Driven::start(LONG).await;
    driven.deliver();
    driven.polls_of_twenty_turns().await;
    driven.handle.close();
    driven.polls_of_twenty_turns().await;
    assert!(driven.pipe.0.lock().unwrap().closed);
    driven.pipe.end();
    driven.polls_of_twenty_turns().await;
    assert!(driven.task.is_finished());
    assert_eq!(driven.task.await.unwrap().kind(), "intentional");
    // No task is left to poll.
    assert_eq!(Arc::strong_count(&driven.polls), 1);
}

#[tokio::test]
async fn a_driver_that_spins_ends_as_soon_as_it_is_aborted() {
    let driven = Driven::start(LONG).await;
    driven.deliver();
    driven.polls_of_twenty_turns().await;
    driven.handle.abort();
    driven.polls_of_twenty_turns().await;
    assert!(driven.task.is_finished());
}

/// A paused clock goes on when no task can run, so it must not be what ends the spinning.
#[tokio::test(start_paused = true)]
async fn a_paused_clock_is_not_held_up() {
    let driven = Driven::start(Duration::from_millis(1)).await;
    driven.deliver();
    tokio::time::sleep(LONG).await;
    assert_eq!(driven.polls_of_twenty_turns().await, 0);
}

//! Handlers that look: shown by reference what the channel can show, called with the rest.
//!
//! A failure shows the list of what was shown and called, in order.

#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests.

mod support;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use kyneta_uds_core::{Inbound, Look, Rejection};
use kyneta_uds_queue::{Handle, QueueConfig, QueueEvent, queue};
use support::{Num, Pipe};
use tokio::task::{JoinHandle, yield_now};
use tower::Service;

/// What a handler was shown and called with.
#[derive(Debug, Default)]
struct Seen {
    all: Vec<u32>,
    shown: usize,
    /// Messages of each round that is over, and whether one has begun.
    rounds: Vec<usize>,
    in_round: bool,
    closed: bool,
    panics_on: Option<u32>,
}

#[derive(Debug, Clone, Default)]
struct Looking(Arc<Mutex<Seen>>);

impl Looking {
    fn see(&self, num: u32, is_shown: bool) {
        let panics = {
            let mut seen = self.0.lock().unwrap();
            seen.shown += usize::from(is_shown);
            let panics = seen.panics_on == Some(num);
            if !panics {
                seen.all.push(num);
            }
            panics
        };
        assert!(!panics, "as the test wants it");
    }

    async fn all(&self, count: usize) -> Vec<u32> {
        while self.0.lock().unwrap().all.len() < count {
            yield_now().await;
        }
        self.0.lock().unwrap().all.clone()
    }
}

impl Service<Num> for Looking {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        let closed = self.0.lock().unwrap().closed;
        match closed {
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, num: Num) -> Self::Future {
        self.see(num.0, false);
        ready(Ok(()))
    }
}

impl Look<Num> for Looking {
    fn more(&self) -> bool {
        !self.0.lock().unwrap().closed
    }

    fn look(&mut self, num: &Num) {
        self.see(num.0, true);
    }

    fn round_begins(&mut self) {
        self.0.lock().unwrap().in_round = true;
    }

    fn round_over(&mut self) {
        let mut seen = self.0.lock().unwrap();
        assert!(seen.in_round);
        let earlier: usize = seen.rounds.iter().sum();
        let count = seen.all.len() - earlier;
        seen.rounds.push(count);
        seen.in_round = false;
    }
}

fn start(pipe: &Pipe, config: QueueConfig) -> (Looking, Handle<Num>, JoinHandle<()>) {
    let looking = Looking::default();
    let (handle, driver) = queue(config);
    let drive = driver.drive_looking(pipe.clone(), looking.clone());
    let task = tokio::spawn(async move { drop(drive.await) });
    (looking, handle, task)
}

fn deliver(pipe: &Pipe, nums: impl IntoIterator<Item = u32>) {
    for num in nums {
        pipe.deliver(Inbound::Message(Num(num)));
    }
}

#[tokio::test]
async fn what_is_shown_and_what_is_called_with_keeps_its_order() {
    let pipe = Pipe::default();
    deliver(&pipe, 0..1_000);
    let (looking, _handle, _task) = start(&pipe, QueueConfig::default());
    assert_eq!(looking.all(1_000).await, (0..1_000).collect::<Vec<_>>());
    let shown = looking.0.lock().unwrap().shown;
    // The channel of these tests shows nothing every other time, and never a multiple of seven.
    assert!((300..900).contains(&shown), "{shown}");
}

/// Nothing is left in a round that does not end: also where the handler waits.
#[tokio::test]
async fn each_message_is_in_a_round_that_ends() {
    let pipe = Pipe::default();
    deliver(&pipe, 0..100);
    let (looking, _handle, _task) = start(&pipe, QueueConfig::default());
    looking.all(100).await;
    yield_now().await;
    let seen = |looking: &Looking| {
        let seen = looking.0.lock().unwrap();
        (seen.rounds.iter().sum::<usize>(), seen.rounds.len())
    };
    let (messages, rounds) = seen(&looking);
    assert_eq!(messages, 100);
    assert!((2..10).contains(&rounds), "{rounds}");
    looking.0.lock().unwrap().closed = true;
    deliver(&pipe, 100..110);
    for _ in 0..10 {
        yield_now().await;
    }
    assert!(!looking.0.lock().unwrap().in_round);
}

#[tokio::test]
async fn a_driver_by_value_shows_nothing() {
    let pipe = Pipe::default();
    deliver(&pipe, 0..100);
    let looking = Looking::default();
    let (_handle, driver) = queue(QueueConfig::default());
    let drive = driver.drive(pipe.clone(), looking.clone());
    let _task = tokio::spawn(async move { drop(drive.await) });
    assert_eq!(looking.all(100).await, (0..100).collect::<Vec<_>>());
    let seen = looking.0.lock().unwrap();
    assert_eq!((seen.shown, seen.rounds.len()), (0, 0));
}

#[tokio::test]
async fn a_panic_of_a_look_costs_one_message() {
    for panics_on in 0..8 {
        let pipe = Pipe::default();
        deliver(&pipe, 0..20);
        let panics = Arc::new(Mutex::new(Vec::new()));
        let noted = panics.clone();
        let config = QueueConfig::default().on_event(move |event| {
            if let QueueEvent::HandlerPanicked(panic) = event {
                noted.lock().unwrap().push(panic.message.clone());
            }
        });
        let looking = Looking::default();
        looking.0.lock().unwrap().panics_on = Some(panics_on);
        let (_handle, driver) = queue(config);
        let drive = driver.drive_looking(pipe.clone(), looking.clone());
        let _task = tokio::spawn(async move { drop(drive.await) });
        let expected: Vec<_> = (0..20).filter(|num| *num != panics_on).collect();
        assert_eq!(looking.all(19).await, expected);
        let said = panics.lock().unwrap().clone();
        assert_eq!(said.len(), 1);
        assert!(said.concat().contains("as the test wants it"));
    }
}

#[tokio::test]
async fn a_rejection_among_them_is_an_event_and_the_rest_goes_on() {
    let pipe = Pipe::default();
    deliver(&pipe, 0..10);
    let what = "nothing".into();
    pipe.deliver(Inbound::Rejected(Rejection::Decode { what, at: 3 }));
    deliver(&pipe, 10..20);
    let rejected = Arc::new(Mutex::new(0));
    let noted = rejected.clone();
    let config = QueueConfig::default().on_event(move |event| {
        if let QueueEvent::Rejected(_) = event {
            *noted.lock().unwrap() += 1;
        }
    });
    let (looking, _handle, _task) = start(&pipe, config);
    assert_eq!(looking.all(20).await, (0..20).collect::<Vec<_>>());
    assert_eq!(*rejected.lock().unwrap(), 1);
}

#[tokio::test]
async fn while_the_handler_is_not_ready_nothing_is_shown() {
    let pipe = Pipe::default();
    deliver(&pipe, 0..10);
    let looking = Looking::default();
    looking.0.lock().unwrap().closed = true;
    let (_handle, driver) = queue(QueueConfig::default());
    let drive = driver.drive_looking(pipe.clone(), looking.clone());
    let _task = tokio::spawn(async move { drop(drive.await) });
    for _ in 0..10 {
        yield_now().await;
    }
    assert!(looking.0.lock().unwrap().all.is_empty());
    assert_eq!(pipe.0.lock().unwrap().reads, 0);
}

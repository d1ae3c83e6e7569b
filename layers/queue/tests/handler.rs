//! The user's handler: what it may do, what it costs when it fails, and how much it gets in one poll.
//!
//! A failure says how many senders there were, and how many messages came of how many.

#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

mod support;

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use kyneta_uds_cbor::{CborChannel, CborLayer, SerdeCodec};
use kyneta_uds_core::{BoxError, Inbound, Notice};
use kyneta_uds_framing::{FrameTransport, FramingLayer};
use kyneta_uds_queue::{
    Budget, Handle, Overflow, QueueConfig, QueueEvent, QueueLayer, WeakHandle, queue,
};
use support::{Num, Pipe};
use tokio::{
    io::{DuplexStream, duplex},
    time::timeout,
};
use tokio_test::{assert_pending, task};
use tower::{Service, ServiceBuilder, ServiceExt, buffer::Buffer, service_fn};

type Text = CborChannel<FrameTransport<DuplexStream>, SerdeCodec<String>>;

async fn channel(io: DuplexStream) -> Text {
    ServiceBuilder::new()
        .layer(CborLayer::typed::<String>())
        .layer(FramingLayer::new())
        .service(service_fn(async |io| Ok::<DuplexStream, Infallible>(io)))
        .oneshot(io)
        .await
        .unwrap()
}

/// How a handler answers.
#[derive(Debug, Clone, Copy)]
enum How {
    /// It waits until the kernel has the answer.
    Call,
    /// It waits until the answer is in the queue.
    Queue,
    /// A task of its own does so, one after the other.
    Task,
}

async fn answer(mut handle: Handle<String>, how: How, text: String) -> Result<(), BoxError> {
    match how {
        How::Call => handle.ready().await?.call(text).await?,
        How::Queue | How::Task => handle.queue(text).await?,
    }
    Ok(())
}

/// One end: `senders` tasks send `count` questions each, its handler answers questions, and `seen` counts
/// received messages.
async fn end(
    io: DuplexStream,
    config: QueueConfig,
    how: How,
    senders: usize,
    count: usize,
    seen: Arc<AtomicUsize>,
) -> Handle<String> {
    let (handle, driver) = queue(config);
    let weak = handle.downgrade();
    let answers = service_fn(move |text: String| {
        seen.fetch_add(1, Relaxed);
        let handle = weak.upgrade();
        async move {
            match (text.strip_prefix("ask"), handle) {
                (Some(rest), Some(handle)) => answer(handle, how, format!("say{rest}")).await,
                _ => Ok(()),
            }
        }
    });
    match how {
        How::Task => tokio::spawn(driver.drive(channel(io).await, Buffer::new(answers, 1))),
        _ => tokio::spawn(driver.drive(channel(io).await, answers)),
    };
    for _ in 0..senders {
        let mut handle = handle.clone();
        tokio::spawn(async move {
            for _ in 0..count {
                let text = format!("ask{}", "x".repeat(1000));
                handle.queue(text).await.unwrap();
            }
        });
    }
    handle
}

#[tokio::test]
async fn two_ends_whose_handlers_answer_never_wait_for_one_another() {
    let config = QueueConfig::default().max_messages(32).max_bytes(64 << 10);
    all_is_answered(config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_ends_whose_handlers_answer_never_wait_where_one_message_fills_a_queue() {
    all_is_answered(QueueConfig::default().max_messages(4).max_bytes(500)).await;
}

async fn all_is_answered(config: QueueConfig) {
    for (how, senders, count) in [
        (How::Call, 1, 3_000),
        (How::Queue, 1, 3_000),
        (How::Call, 4, 1_000),
        (How::Queue, 4, 1_000),
        (How::Task, 1, 1_000),
    ] {
        let (a, b) = duplex(64 << 10);
        let seen = Arc::new(AtomicUsize::new(0));
        let all = 4 * senders * count;
        let _ends = (
            end(a, config.clone(), how, senders, count, seen.clone()).await,
            end(b, config.clone(), how, senders, count, seen.clone()).await,
        );
        let done = async {
            while seen.load(Relaxed) < all {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let ended = timeout(Duration::from_secs(20), done).await;
        let seen = seen.load(Relaxed);
        assert!(ended.is_ok(), "{how:?}, {senders} senders: {seen} of {all}");
    }
}

#[tokio::test]
async fn while_the_peer_takes_nothing_its_messages_are_read_ahead_within_a_bound() {
    let pipe = Pipe::with_room(0);
    let (handle, driver) = queue(QueueConfig::default().max_bytes(1_000));
    let answers = handle.clone();
    let mut drive = task::spawn(driver.drive(
        pipe.clone(),
        service_fn(move |num: Num| {
            let mut answers = answers.clone();
            async move { answers.ready().await?.call(num).await }
        }),
    ));
    let delivered = 100_000;
    for num in 0..delivered {
        pipe.deliver(Inbound::Message(Num(num)));
    }
    let mut reads = 0;
    loop {
        assert_pending!(drive.poll());
        let now = pipe.0.lock().unwrap().reads;
        if now == reads {
            break;
        }
        reads = now;
    }
    // (1,000 bytes twice and 4 MiB) at 164 bytes each.
    assert!((25_000..26_000).contains(&reads), "{reads}");
    // In order, one after the other, as soon as it takes them.
    pipe.make_room(10);
    for _ in 0..20 {
        assert_pending!(drive.poll());
    }
    assert_eq!(pipe.taken(), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_read_ahead_counts_what_was_read_for_it() {
    let pipe = Pipe::with_room(0);
    let (handle, driver) = queue(QueueConfig::default().max_bytes(1));
    let mut drive = task::spawn(driver.drive(
        pipe.clone(),
        service_fn(move |num: Num| {
            let mut answers = handle.clone();
            async move { answers.ready().await?.call(num).await }
        }),
    ));
    // Messages of 100 bytes, each with as much beside it that was passed over.
    pipe.0.lock().unwrap().effort = (64 << 10) - 100;
    for num in 0..1_000 {
        pipe.deliver(Inbound::Message(Num(num)));
    }
    for _ in 0..1_000 {
        assert_pending!(drive.poll());
    }
    // 4 MiB of them, and the one that the handler has.
    assert_eq!(pipe.0.lock().unwrap().reads, 64 + 2);
}

#[tokio::test(start_paused = true)]
async fn reading_ahead_goes_on_when_others_give_back_what_they_share() {
    let config = QueueConfig::default().budget(Budget::new(100, 1 << 20));
    // Another queue uses all of it.
    let (mut greedy, undriven) = queue(config.clone());
    while greedy.try_queue(Num(0)).is_ok() {}
    let pipe = Pipe::with_room(0);
    let (handle, driver) = queue(config);
    let weak = handle.downgrade();
    tokio::spawn(driver.drive(
        pipe.clone(),
        service_fn(move |num: Num| {
            let handle = weak.upgrade();
            async move { handle.unwrap().call(num).await }
        }),
    ));
    for num in 0..100 {
        pipe.deliver(Inbound::Message(Num(num)));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let reads = || pipe.0.lock().unwrap().reads;
    assert!(reads() < 100, "{}", reads());
    drop(undriven);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(reads(), 100);
}

#[tokio::test]
async fn a_slow_handler_alone_is_no_reason_to_read_on() {
    let pipe = Pipe::with_room(1_000);
    let (_handle, driver) = queue(QueueConfig::default());
    let never = service_fn(|_: Num| std::future::pending::<Result<(), Infallible>>());
    let mut drive = task::spawn(driver.drive(pipe.clone(), never));
    for num in 0..100 {
        pipe.deliver(Inbound::Message(Num(num)));
    }
    assert_pending!(drive.poll());
    assert_eq!(pipe.0.lock().unwrap().reads, 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_disconnected_while_its_messages_are_read_ahead() {
    let after = Duration::from_millis(250);
    let pipe = Pipe::with_room(0);
    let config = QueueConfig::default().overflow(Overflow::Disconnect { after });
    let (handle, driver) = queue(config);
    let weak = handle.downgrade();
    let answers = service_fn(move |num: Num| {
        let handle = weak.upgrade();
        async move {
            match handle {
                Some(mut handle) => handle.call(num).await,
                None => Ok(()),
            }
        }
    });
    let driven = tokio::spawn(driver.drive(pipe.clone(), answers));
    pipe.deliver(Inbound::Message(Num(1)));
    pipe.deliver(Inbound::Message(Num(2)));
    tokio::task::yield_now().await;
    let began = tokio::time::Instant::now();
    let mut other = handle.clone();
    assert!(other.queue(Num(3)).await.is_err());
    assert!(
        (after..2 * after).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
    assert!(driven.await.unwrap().to_string().contains("does not read"));
}

/// The handler waits for a task of its own, which sends as `send` does, again until it is let in.
fn waits_for_another_sender(config: QueueConfig, send: fn(&mut Handle<Num>) -> bool) {
    let pipe = Pipe::with_room(0);
    let (handle, driver) = queue(config);
    let sent = Arc::new(AtomicUsize::new(0));
    let waits = {
        let sent = sent.clone();
        service_fn(move |Num(num): Num| {
            let sent = sent.clone();
            std::future::poll_fn(move |cx| {
                if sent.load(Relaxed) > num as usize {
                    return Poll::Ready(Ok::<(), Infallible>(()));
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
        })
    };
    let mut drive = task::spawn(driver.drive(pipe.clone(), waits));
    let mut other = handle.clone();
    // Something is written and not taken: what comes in is read ahead.
    assert!(send(&mut other));
    sent.store(0, Relaxed);
    for num in 0..10 {
        pipe.deliver(Inbound::Message(Num(num)));
    }
    assert_pending!(drive.poll());
    assert_eq!(pipe.0.lock().unwrap().reads, 10);
    assert!(!send(&mut other), "the handler comes first");
    pipe.make_room(100);
    for _ in 0..100 {
        assert_pending!(drive.poll());
        if send(&mut other) {
            sent.fetch_add(1, Relaxed);
        }
    }
    assert!(sent.load(Relaxed) >= 10, "{sent:?}");
}

#[tokio::test]
async fn a_handler_that_waits_for_a_task_that_tries_again_and_again_waits_not_for_ever() {
    let tries = |handle: &mut Handle<Num>| handle.try_queue(Num(7)).is_ok();
    waits_for_another_sender(QueueConfig::default(), tries);
    let fails = QueueConfig::default().overflow(Overflow::Fail);
    waits_for_another_sender(fails.clone(), tries);
    waits_for_another_sender(fails, |handle| {
        match task::spawn(handle.queue(Num(7))).poll() {
            Poll::Ready(queued) => queued.is_ok(),
            Poll::Pending => panic!("the policy is to fail"),
        }
    });
}

/// Where a handler panics.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Panics {
    InCall,
    InFuture,
}

#[derive(Clone)]
struct Panicking(Panics, Arc<Mutex<Vec<u32>>>);

impl Service<Num> for Panicking {
    type Response = ();
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<(), Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, Num(num): Num) -> Self::Future {
        let bad = num % 2 == 1;
        let (panics, seen) = (self.0, self.1.clone());
        assert!(!(bad && panics == Panics::InCall), "bad {num}");
        Box::pin(async move {
            assert!(!bad, "bad {num}");
            seen.lock().unwrap().push(num);
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_panic_of_what_takes_events_costs_neither_the_connection_nor_a_message() {
    let pipe = Pipe::with_room(10);
    let config = QueueConfig::default()
        .max_messages(1)
        .on_event(|event| panic!("as the test wants it: {event:?}"));
    let (mut handle, driver) = queue(config);
    let seen = Arc::default();
    let handler = Panicking(Panics::InCall, Arc::clone(&seen));
    let mut drive = task::spawn(driver.drive(pipe.clone(), handler));
    for num in 0..3 {
        pipe.deliver(Inbound::Message(Num(num)));
    }
    pipe.deliver(Inbound::Noticed(Notice::Gap { missing: 3 }));
    let mut sent = task::spawn(handle.call(Num(7)));
    assert_pending!(sent.poll());
    assert_pending!(drive.poll());
    assert!(sent.poll().is_ready());
    assert_eq!(*seen.lock().unwrap(), [0, 2]);
    let counts = handle.counts();
    assert_eq!((counts.handler_panicked, counts.frames_missing), (1, 3));
}

#[tokio::test]
async fn a_panic_of_the_handler_costs_one_message() {
    for panics in [Panics::InCall, Panics::InFuture] {
        let pipe = Pipe::with_room(10);
        let (seen, events) = (Arc::default(), Arc::new(Mutex::new(Vec::new())));
        let config = QueueConfig::default().on_event({
            let events = events.clone();
            move |event| {
                if let QueueEvent::HandlerPanicked(panic) = event {
                    events.lock().unwrap().push(panic.message.clone());
                }
            }
        });
        let (mut handle, driver) = queue(config);
        let mut drive =
            task::spawn(driver.drive(pipe.clone(), Panicking(panics, Arc::clone(&seen))));
        for num in 0..5 {
            pipe.deliver(Inbound::Message(Num(num)));
        }
        assert_pending!(drive.poll());
        assert_eq!(*seen.lock().unwrap(), [0, 2, 4], "{panics:?}");
        assert_eq!(*events.lock().unwrap(), ["bad 1", "bad 3"]);
        assert_eq!(handle.counts().handler_panicked, 2);
        // And it goes on in the other direction.
        let mut sent = task::spawn(handle.call(Num(7)));
        assert_pending!(sent.poll());
        assert_pending!(drive.poll());
        assert!(sent.poll().is_ready());
    }
}

#[tokio::test]
async fn what_went_wrong_is_counted() {
    let pipe = Pipe::with_room(10);
    let (handle, driver) = queue(QueueConfig::default());
    let fails = service_fn(|_: Num| ready(Err::<(), _>("no")));
    let mut drive = task::spawn(driver.drive(pipe.clone(), fails));
    pipe.deliver(Inbound::Message(Num(1)));
    pipe.deliver(Inbound::Noticed(Notice::Gap { missing: 3 }));
    pipe.deliver(Inbound::Noticed(Notice::Repeated));
    assert_pending!(drive.poll());
    let counts = handle.counts();
    assert_eq!(counts.handler_failed, 1);
    assert_eq!((counts.frames_missing, counts.frames_repeated), (3, 1));
}

#[tokio::test]
async fn a_poll_is_bounded_by_the_bytes_worked_on() {
    let pipe = Pipe::with_room(10);
    pipe.0.lock().unwrap().effort = 60_000;
    let (_handle, driver) = queue(QueueConfig::default());
    let mut drive = task::spawn(driver.drive(pipe.clone(), ignore()));
    for num in 0..100 {
        pipe.deliver(Inbound::Message(Num(num)));
    }
    for polls in 1..=50 {
        assert_pending!(drive.poll());
        // The size of each says 100 bytes.
        assert_eq!(pipe.0.lock().unwrap().reads, 2 * polls);
    }
}

fn ignore()
-> impl Service<Num, Response = (), Error = Infallible, Future = Ready<Result<(), Infallible>>> {
    service_fn(|_: Num| ready(Ok(())))
}

#[tokio::test]
async fn a_handler_of_its_own_answers_on_its_connection_and_does_not_keep_it_open() {
    let (a, b) = duplex(4096);
    let echo = QueueLayer::per_connection(|handle: WeakHandle<String>| {
        service_fn(move |text: String| {
            let handle = handle.upgrade();
            async move {
                match handle {
                    Some(mut handle) => handle.queue(text).await,
                    None => Ok(()),
                }
            }
        })
    });
    let echo = ServiceBuilder::new()
        .layer(echo)
        .layer(CborLayer::typed::<String>())
        .layer(FramingLayer::new())
        .service(service_fn(async |io| Ok::<DuplexStream, Infallible>(io)))
        .oneshot(a)
        .await
        .unwrap();
    let (seen, mut inbox) = tokio::sync::mpsc::channel(1);
    let (mut asks, driver) = queue(QueueConfig::default());
    tokio::spawn(driver.drive(
        channel(b).await,
        service_fn(move |text: String| {
            let seen = seen.clone();
            async move { seen.send(text).await }
        }),
    ));
    asks.queue("hello".to_string()).await.unwrap();
    assert_eq!(inbox.recv().await.as_deref(), Some("hello"));
    drop(echo);
    assert_eq!(asks.closed().await.kind(), "closed");
}

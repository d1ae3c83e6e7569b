//! What the queue promises, over a channel that takes as many messages as the test allows.
//!
//! A failure is at the step of a table, or shows what the channel has got.

#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

mod support;

use std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use kyneta_uds_core::{DisconnectReason, Inbound, Rejection};
use kyneta_uds_queue::{
    Budget, Handle, MessageBatch, Overflow, QueueConfig, QueueEvent, SendError, Stalled,
    TooManyErrors, queue,
};
use support::{BUFFER, Num, Pipe, REFUSED};
use tokio::task::{JoinHandle, yield_now};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{Service, ServiceExt, service_fn};

/// A driven queue over `pipe`; its handler ignores all messages.
fn start(pipe: &Pipe, config: QueueConfig) -> (Handle<Num>, JoinHandle<DisconnectReason>) {
    let (handle, driver) = queue(config);
    let ignore = service_fn(async |_: Num| Ok::<(), Infallible>(()));
    (handle, tokio::spawn(driver.drive(pipe.clone(), ignore)))
}

/// Lets every task that can run do so.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

async fn send_all(handle: &mut Handle<Num>, nums: impl IntoIterator<Item = u32>) {
    for num in nums {
        handle.queue(Num(num)).await.unwrap();
    }
}

fn rejected() -> Inbound<Num> {
    Inbound::Rejected(Rejection::Decode {
        what: "bad".into(),
        at: 0,
    })
}

/// Queues as many as there is room for.
fn fill(handle: &mut Handle<Num>) {
    while let Poll::Ready(ready) = task::spawn(handle.ready()).poll() {
        drop(ready.unwrap().call(Num(0)));
    }
}

fn is_disconnected(error: &SendError, maybe: bool) -> bool {
    matches!(error, SendError::Disconnected { .. }) && error.may_have_been_sent() == maybe
}

#[tokio::test]
async fn a_call_is_done_when_the_kernel_has_taken_it() {
    let pipe = Pipe::with_room(0);
    let (mut handle, _task) = start(&pipe, QueueConfig::default());
    let mut sending = task::spawn(handle.ready().await.unwrap().call(Num(1)));
    assert_pending!(sending.poll());
    settle().await;
    assert_pending!(sending.poll());
    pipe.make_room(1);
    settle().await;
    assert!(sending.is_woken());
    assert_ready_ok!(sending.poll());
    assert_eq!(pipe.taken(), [1]);
}

#[tokio::test]
async fn dropping_the_future_does_not_unsend() {
    let pipe = Pipe::with_room(10);
    let (mut handle, _task) = start(&pipe, QueueConfig::default());
    drop(handle.ready().await.unwrap().call(Num(1)));
    handle.flushed().await.unwrap();
    assert_eq!(pipe.taken(), [1]);
}

#[tokio::test]
async fn order_is_kept_and_nothing_is_lost_or_repeated_however_the_kernel_takes_it() {
    for step in [1, 2, 3, 5, 7, 100] {
        let pipe = Pipe::with_room(0);
        let (mut handle, _task) = start(&pipe, QueueConfig::default().max_messages(10));
        let taker = tokio::spawn({
            let pipe = pipe.clone();
            async move {
                for _ in 0..1000 {
                    pipe.make_room(step);
                    yield_now().await;
                }
            }
        });
        send_all(&mut handle, 0..1000).await;
        taker.await.unwrap();
        handle.flushed().await.unwrap();
        assert_eq!(pipe.taken(), (0..1000).collect::<Vec<_>>(), "step {step}");
    }
}

#[tokio::test]
async fn a_full_queue_is_waited_for_in_line() {
    let pipe = Pipe::with_room(0);
    // Undriven: nothing moves.
    let (handle, driver) = queue(QueueConfig::default().max_messages(1));
    let mut first = task::spawn(handle.clone());
    let mut second = task::spawn(handle.clone());
    let mut third = task::spawn(handle.clone());
    assert_ready_ok!(first.enter(|cx, mut h| h.poll_ready(cx)));
    assert_pending!(second.enter(|cx, mut h| h.poll_ready(cx)));
    assert_pending!(third.enter(|cx, mut h| h.poll_ready(cx)));

    // A permit that was reserved and not used goes to the next sender that waits.
    drop(first);
    assert!(second.is_woken());
    assert!(!third.is_woken());
    assert_pending!(third.enter(|cx, mut h| h.poll_ready(cx)));
    // One that was granted and not taken up, too.
    drop(second);
    assert!(third.is_woken());
    assert_ready_ok!(third.enter(|cx, mut h| h.poll_ready(cx)));

    // A newcomer does not overtake.
    let mut fourth = task::spawn(handle.clone());
    assert_pending!(fourth.enter(|cx, mut h| h.poll_ready(cx)));
    drop(third.enter(|_, mut h| h.call(Num(3))));
    let mut fifth = task::spawn(handle.clone());
    assert_pending!(fifth.enter(|cx, mut h| h.poll_ready(cx)));
    let ignore = service_fn(async |_: Num| Ok::<(), Infallible>(()));
    let mut drive = task::spawn(driver.drive(pipe.clone(), ignore));
    assert_pending!(drive.poll());
    assert!(fourth.is_woken());
    assert!(!fifth.is_woken());
}

#[tokio::test]
async fn a_clone_has_no_permit() {
    let (mut handle, _driver) = queue::<Num>(QueueConfig::default().max_messages(1));
    handle.ready().await.unwrap();
    let mut clone = task::spawn(handle.clone());
    assert_pending!(clone.enter(|cx, mut h| h.poll_ready(cx)));
}

#[tokio::test]
async fn bytes_are_bounded_too() {
    let (handle, _driver) = queue(QueueConfig::default().max_bytes(250));
    let mut handle = task::spawn(handle);
    for num in 0..3 {
        assert_ready_ok!(handle.enter(|cx, mut h| h.poll_ready(cx)));
        drop(handle.enter(|_, mut h| h.call(Num(num))));
    }
    assert_eq!(handle.queued(), (3, 300));
    assert_pending!(handle.enter(|cx, mut h| h.poll_ready(cx)));
}

#[tokio::test]
async fn fail_fails_the_message_alone() {
    let config = QueueConfig::default()
        .max_messages(1)
        .overflow(Overflow::Fail);
    let pipe = Pipe::with_room(0);
    let (mut handle, driver) = queue(config);
    let first = handle.ready().await.unwrap().call(Num(1));
    let second = handle.ready().await.unwrap().call(Num(2)).await;
    assert!(
        matches!(
            second,
            Err(SendError::Full {
                messages: 1,
                bytes: 100
            })
        ),
        "{second:?}"
    );
    pipe.make_room(10);
    tokio::spawn(driver.drive(
        pipe.clone(),
        service_fn(async |_: Num| Ok::<(), Infallible>(())),
    ));
    first.await.unwrap();
    handle.ready().await.unwrap().call(Num(3)).await.unwrap();
    assert_eq!(pipe.taken(), [1, 3]);
}

#[tokio::test]
async fn a_call_without_poll_ready_never_panics() {
    let (mut handle, _driver) = queue(QueueConfig::default().max_messages(1));
    let mut first = task::spawn(handle.call(Num(1)));
    assert_pending!(first.poll());
    let mut second = task::spawn(handle.call(Num(2)));
    assert!(matches!(
        assert_ready!(second.poll()),
        Err(SendError::Full { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn disconnect_ends_a_connection_that_stays_full() {
    let after = Duration::from_secs(5);
    let config = QueueConfig::default()
        .max_messages(2)
        .overflow(Overflow::Disconnect { after });
    let pipe = Pipe::with_room(0);
    let (mut handle, task) = start(&pipe, config);
    let started = tokio::time::Instant::now();
    // Progress within the time puts it off.
    let feeder = tokio::spawn(async move {
        let mut sent = 0;
        while handle.queue(Num(sent)).await.is_ok() {
            sent += 1;
        }
        sent
    });
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(4)).await;
        pipe.make_room(8);
    }
    let reason = task.await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 12 + 5);
    let DisconnectReason::Error(error) = reason else {
        panic!("{reason:?}")
    };
    let stalled = error.get_ref().downcast_ref::<Stalled>().unwrap();
    assert_eq!(
        *stalled,
        Stalled {
            after,
            // Two wait in the queue, four in the write buffer, which counts each as one byte.
            messages: 6,
            bytes: 204
        }
    );
    assert!(feeder.await.unwrap() >= 24);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_without_waiting_senders_is_left_alone_until_the_write_stall() {
    let started = tokio::time::Instant::now();
    for (stall, lasts) in [(30, 30), (90, 90), (u64::MAX, 600)] {
        let after = Duration::from_secs(5);
        let config = QueueConfig::default()
            .max_messages(2)
            .overflow(Overflow::Disconnect { after })
            .write_stall(Duration::from_secs(stall));
        let pipe = Pipe::with_room(0);
        let (mut handle, task) = start(&pipe, config);
        send_all(&mut handle, 0..6).await;
        let begun = started.elapsed().as_secs();
        let ended = tokio::time::timeout(Duration::from_secs(600), task).await;
        assert_eq!(started.elapsed().as_secs() - begun, lasts);
        assert_eq!(ended.is_ok(), stall != u64::MAX);
    }
}

#[tokio::test(start_paused = true)]
async fn a_byte_within_the_write_stall_puts_it_off() {
    let config = QueueConfig::default().write_stall(Duration::from_secs(10));
    let pipe = Pipe::with_room(0);
    let (mut handle, task) = start(&pipe, config);
    let started = tokio::time::Instant::now();
    send_all(&mut handle, 0..20).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(9)).await;
        pipe.make_room(1);
    }
    let reason = task.await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 27 + 10);
    assert!(reason.to_string().contains("does not read"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn the_time_without_room_begins_when_a_sender_waits_for_it() {
    let after = Duration::from_secs(5);
    let config = QueueConfig::default()
        .max_messages(2)
        .overflow(Overflow::Disconnect { after });
    let pipe = Pipe::with_room(0);
    let (mut handle, task) = start(&pipe, config);
    // Unread for a while, with no sender waiting.
    send_all(&mut handle, 0..6).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let started = tokio::time::Instant::now();
    handle.queue(Num(6)).await.unwrap_err();
    assert_eq!(started.elapsed(), after);
    assert!(task.await.unwrap().to_string().contains("for 5s"));
}

#[tokio::test(start_paused = true)]
async fn a_byte_that_goes_out_as_another_comes_in_puts_the_stall_off() {
    let config = QueueConfig::default().write_stall(Duration::from_secs(10));
    let pipe = Pipe::with_room(0);
    let (mut handle, task) = start(&pipe, config);
    send_all(&mut handle, 0..2).await;
    settle().await;
    for num in 0..60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Both are seen in one turn.
        handle.queue(Num(num)).await.unwrap();
        pipe.make_room(1);
    }
    assert!(!task.is_finished());
    assert!(pipe.taken().len() >= 58);
}

#[tokio::test(start_paused = true)]
async fn nothing_written_is_no_stall() {
    let config = QueueConfig::default().write_stall(Duration::from_secs(10));
    let pipe = Pipe::with_room(3);
    let (mut handle, task) = start(&pipe, config);
    send_all(&mut handle, 0..3).await;
    handle.flushed().await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(!task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn more_errors_than_a_minute_may_have_end_the_connection() {
    let seen = Arc::new(Mutex::new(0));
    let config = QueueConfig::default().max_errors_per_minute(3).on_event({
        let seen = seen.clone();
        move |event| *seen.lock().unwrap() += usize::from(matches!(event, QueueEvent::Rejected(_)))
    });
    let pipe = Pipe::with_room(0);
    let (_handle, task) = start(&pipe, config);
    for _ in 0..2 {
        (0..3).for_each(|_| pipe.deliver(rejected()));
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert!(!task.is_finished());
    }
    (0..4).for_each(|_| pipe.deliver(rejected()));
    let DisconnectReason::Error(error) = task.await.unwrap() else {
        panic!("an error")
    };
    let too_many = error.get_ref().downcast_ref::<TooManyErrors>().unwrap();
    assert_eq!(*too_many, TooManyErrors { limit: 3 });
    assert_eq!(*seen.lock().unwrap(), 10, "each is told");
}

#[tokio::test]
async fn queues_that_share_a_budget_are_full_together_and_none_starves() {
    // Of each queue 64 messages are free.
    let budget = Budget::new(1, usize::MAX);
    let config = QueueConfig::default().budget(budget.clone());
    let pipes = [(); 2].map(|()| Pipe::with_room(0));
    let mut queues = pipes.each_ref().map(|pipe| start(pipe, config.clone()));
    // The first has one message more, which uses the budget up.
    for ((handle, _), messages) in queues.iter_mut().zip([65, 64]) {
        fill(handle);
        // Four move into the write buffer.
        settle().await;
        fill(handle);
        assert_eq!(handle.queued().0, messages);
        assert_eq!(budget.used(), (64, 0), "in steps");
    }
    // A queue whose peer reads goes on, though the other queue keeps its messages.
    pipes[0].make_room(2000);
    let (handle, _) = &mut queues[0];
    for num in 0..1000 {
        handle.queue(Num(num)).await.unwrap();
        settle().await;
    }
    pipes[1].break_it();
    drop(queues);
    settle().await;
    assert_eq!(budget.used(), (0, 0), "all is given back");
}

#[tokio::test]
async fn a_refused_message_fails_alone_and_in_an_event() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let config = QueueConfig::default().on_event({
        let events = events.clone();
        move |event| events.lock().unwrap().push(event.clone())
    });
    let pipe = Pipe::with_room(10);
    let (mut handle, _task) = start(&pipe, config);
    let first = handle.ready().await.unwrap().call(Num(1));
    let refused = handle.ready().await.unwrap().call(REFUSED);
    let dropped = handle.ready().await.unwrap().call(REFUSED);
    drop(dropped);
    let third = handle.ready().await.unwrap().call(Num(3));
    first.await.unwrap();
    third.await.unwrap();
    let error = refused.await.unwrap_err();
    assert_eq!(error.to_string(), "message refused: broken");
    assert!(!error.may_have_been_sent());
    assert_eq!(pipe.taken(), [1, 3]);
    let events = events.lock().unwrap();
    assert!(
        matches!(
            &events[..],
            [QueueEvent::Refused(_), QueueEvent::Refused(_)]
        ),
        "{events:?}"
    );
}

#[tokio::test]
async fn the_end_says_of_each_message_what_may_have_become_of_it() {
    // One is taken, four fill the write buffer, the rest waits.
    let pipe = Pipe::with_room(1);
    let (mut handle, task) = start(&pipe, QueueConfig::default());
    let mut sends = Vec::new();
    for num in 0..8 {
        sends.push(handle.ready().await.unwrap().call(Num(num)));
    }
    settle().await;
    pipe.break_it();
    assert_eq!(task.await.unwrap().to_string(), "broken");
    let mut outcomes = Vec::new();
    for send in sends {
        outcomes.push(match send.await {
            Ok(()) => "sent",
            Err(error) if is_disconnected(&error, true) => "maybe",
            Err(error) if is_disconnected(&error, false) => "not",
            Err(error) => panic!("{error}"),
        });
    }
    // The first one was taken, but no flush was completed that would say so.
    assert_eq!(outcomes[0], "maybe");
    assert_eq!(outcomes[7], "not");
    assert!(
        outcomes.is_sorted_by_key(|outcome| *outcome == "not"),
        "{outcomes:?}"
    );
    assert!(handle.ready().await.is_err());
    assert_eq!(handle.closed().await.kind(), "error");
}

#[tokio::test]
async fn closing_sends_what_waits_then_ends_then_reads_to_the_end() {
    let pipe = Pipe::with_room(0);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (mut handle, driver) = queue(QueueConfig::default());
    let note = {
        let seen = seen.clone();
        service_fn(move |num: Num| {
            seen.lock().unwrap().push(num.0);
            async { Ok::<(), Infallible>(()) }
        })
    };
    let task = tokio::spawn(driver.drive(pipe.clone(), note));
    send_all(&mut handle, 0..6).await;
    handle.close();
    assert!(handle.ready().await.is_err());
    settle().await;
    assert!(!pipe.0.lock().unwrap().closed);
    pipe.make_room(6);
    settle().await;
    assert_eq!(pipe.taken(), [0, 1, 2, 3, 4, 5]);
    assert!(pipe.0.lock().unwrap().closed);
    // What the peer still says is heard; its end is the end.
    pipe.deliver(Inbound::Message(Num(7)));
    settle().await;
    assert_eq!(*seen.lock().unwrap(), [7]);
    assert!(!task.is_finished());
    pipe.end();
    assert_eq!(task.await.unwrap().kind(), "intentional");
}

#[tokio::test]
async fn dropping_the_last_handle_closes() {
    let pipe = Pipe::with_room(10);
    let (mut handle, task) = start(&pipe, QueueConfig::default());
    handle.queue(Num(1)).await.unwrap();
    let clone = handle.clone();
    drop(handle);
    settle().await;
    assert!(!pipe.0.lock().unwrap().closed);
    drop(clone);
    pipe.end();
    assert!(matches!(
        task.await.unwrap().kind(),
        "intentional" | "closed"
    ));
    assert_eq!(pipe.taken(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_takes_too_long_is_cut() {
    let pipe = Pipe::with_room(0);
    let config = QueueConfig::default().drain_timeout(Duration::from_secs(3));
    let (mut handle, task) = start(&pipe, config);
    let send = handle.ready().await.unwrap().call(Num(1));
    let started = tokio::time::Instant::now();
    handle.close();
    let reason = task.await.unwrap();
    assert_eq!(
        reason.to_string(),
        "closed with 1 messages not sent within 3s"
    );
    assert_eq!(started.elapsed().as_secs(), 3);
    assert!(is_disconnected(&send.await.unwrap_err(), true));
}

/// Blocked in the middle of a batch, with all of it still to be encoded.
async fn blocked(config: QueueConfig) -> (Pipe, Handle<Num>, JoinHandle<DisconnectReason>) {
    let pipe = Pipe::with_room(0);
    let (mut handle, driver) = queue(config);
    send_all(&mut handle, 0..BUFFER as u32 * 3).await;
    let ignore = service_fn(async |_: Num| Ok::<(), Infallible>(()));
    let task = tokio::spawn(driver.drive(pipe.clone(), ignore));
    settle().await;
    assert_eq!(handle.queued().0, BUFFER * 2);
    (pipe, handle, task)
}

#[tokio::test(start_paused = true)]
async fn a_blocked_connection_still_hears_that_it_is_closed() {
    let (_pipe, handle, task) = blocked(QueueConfig::default()).await;
    handle.close();
    assert_eq!(
        task.await.unwrap().to_string(),
        "closed with 12 messages not sent within 5s"
    );
    let (_pipe, handle, task) = blocked(QueueConfig::default()).await;
    handle.abort();
    let now = tokio::time::Instant::now();
    assert_eq!(task.await.unwrap().kind(), "intentional");
    assert_eq!(now.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_cannot_write_still_notices_waiting_senders() {
    let after = Duration::from_secs(5);
    let config = QueueConfig::default()
        .max_messages(BUFFER * 3)
        .overflow(Overflow::Disconnect { after });
    let (_pipe, mut handle, task) = blocked(config).await;
    let waits = async { while handle.queue(Num(9)).await.is_ok() {} };
    let (reason, ()) = tokio::join!(task, waits);
    assert!(reason.unwrap().to_string().contains("does not read"));
}

#[tokio::test]
async fn aborting_does_not_drain() {
    let pipe = Pipe::with_room(0);
    let (mut handle, task) = start(&pipe, QueueConfig::default());
    send_all(&mut handle, 0..3).await;
    handle.abort();
    assert_eq!(task.await.unwrap().kind(), "intentional");
    assert!(handle.flushed().await.is_err());
}

#[tokio::test]
async fn a_peer_that_has_ended_its_direction_still_gets_what_waits() {
    let pipe = Pipe::with_room(0);
    let (mut handle, task) = start(&pipe, QueueConfig::default());
    send_all(&mut handle, 0..6).await;
    pipe.end();
    settle().await;
    assert!(!task.is_finished());
    pipe.make_room(6);
    assert_eq!(task.await.unwrap().kind(), "closed");
    assert_eq!(pipe.taken().len(), 6);
}

#[tokio::test]
async fn a_peer_that_is_gone_altogether_is_closed_not_an_error() {
    let pipe = Pipe::with_room(0);
    let (mut handle, task) = start(&pipe, QueueConfig::default());
    send_all(&mut handle, 0..6).await;
    pipe.end();
    settle().await;
    pipe.break_it();
    assert_eq!(task.await.unwrap().kind(), "closed");
}

#[tokio::test]
async fn nothing_is_read_while_the_handler_is_not_ready() {
    let pipe = Pipe::with_room(0);
    let (_handle, driver) = queue(QueueConfig::default());
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let handler = tower::ServiceBuilder::new().service(service_fn({
        let gate = gate.clone();
        move |_: Num| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                Ok::<(), Infallible>(())
            }
        }
    }));
    tokio::spawn(driver.drive(pipe.clone(), handler));
    for num in 0..5 {
        pipe.deliver(Inbound::Message(Num(num)));
    }
    for read in 1..=5 {
        settle().await;
        assert_eq!(pipe.0.lock().unwrap().reads, read);
        gate.add_permits(1);
    }
}

#[tokio::test]
async fn a_handler_that_waits_for_room_does_not_stop_the_writing() {
    let pipe = Pipe::with_room(0);
    let (handle, driver) = queue(QueueConfig::default().max_messages(1));
    let echo = service_fn(move |num: Num| {
        let mut handle = handle.clone();
        async move { handle.queue(num).await }
    });
    tokio::spawn(driver.drive(pipe.clone(), echo));
    for num in 0..100 {
        pipe.deliver(Inbound::Message(Num(num)));
    }
    for _ in 0..100 {
        pipe.make_room(1);
        settle().await;
    }
    assert_eq!(pipe.taken(), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn first_answers_go_out_while_the_rest_is_worked_on() {
    let pipe = Pipe::with_room(usize::MAX);
    let (handle, driver) = queue(QueueConfig::default());
    let out = Arc::new(Mutex::new(Vec::new()));
    let echo = {
        let (pipe, out) = (pipe.clone(), out.clone());
        service_fn(move |num: Num| {
            out.lock().unwrap().push(pipe.taken().len());
            let mut handle = handle.clone();
            async move { handle.queue(num).await }
        })
    };
    for num in 0..400 {
        pipe.deliver(Inbound::Message(Num(num)));
    }
    tokio::spawn(driver.drive(pipe.clone(), echo));
    settle().await;
    // As each message came in, so many answers were out.
    let rounds = [
        (16, 0),
        (32, 16),
        (64, 48),
        (128, 112),
        (128, 240),
        (32, 368),
    ];
    let expected = rounds.into_iter().flat_map(|(round, out)| vec![out; round]);
    assert_eq!(*out.lock().unwrap(), expected.collect::<Vec<_>>());
    assert_eq!(pipe.taken(), (0..400).collect::<Vec<_>>());
}

#[tokio::test]
async fn events_tell_of_full_empty_bad_and_failed() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let config = QueueConfig::default().max_messages(2).on_event({
        let events = events.clone();
        move |event| events.lock().unwrap().push(format!("{event:?}"))
    });
    let pipe = Pipe::with_room(0);
    let (mut handle, driver) = queue(config);
    let fails = service_fn(async |_: Num| Err::<(), _>("handler"));
    let mut drive = task::spawn(driver.drive(pipe.clone(), fails));
    for num in 0..2 {
        drop(handle.ready().await.unwrap().call(Num(num)));
    }
    pipe.deliver(Inbound::Message(Num(9)));
    pipe.deliver(rejected());
    pipe.make_room(10);
    assert_pending!(drive.poll());
    let events = events.lock().unwrap();
    let expected = ["HighWater", "HandlerFailed", "Rejected", "Drained"];
    assert_eq!(events.len(), expected.len(), "{events:?}");
    for (event, expected) in events.iter().zip(expected) {
        assert!(event.starts_with(expected), "{events:?}");
    }
}

#[tokio::test]
async fn a_dropped_driver_ends_what_waits() {
    let (mut handle, driver) = queue(QueueConfig::default());
    let send = handle.ready().await.unwrap().call(Num(1));
    let closed = handle.closed();
    drop(driver.drive(
        Pipe::with_room(0),
        service_fn(async |_: Num| Ok::<(), Infallible>(())),
    ));
    assert!(is_disconnected(&send.await.unwrap_err(), false));
    assert!(closed.await.to_string().contains("dropped"));
}

#[tokio::test]
async fn a_driver_that_is_never_driven_ends_its_handles() {
    let (mut handle, driver) = queue(QueueConfig::default());
    let send = handle.ready().await.unwrap().call(Num(1));
    drop(driver);
    assert!(handle.closed().await.to_string().contains("dropped"));
    assert!(is_disconnected(&send.await.unwrap_err(), false));
}

#[tokio::test]
async fn a_wait_for_room_that_is_given_up_starves_no_other_sender() {
    let pipe = Pipe::with_room(0);
    let (mut patient, driver) = queue(QueueConfig::default().max_messages(1));
    let mut hasty = patient.clone();
    patient.queue(Num(0)).await.unwrap();
    {
        let mut given_up = task::spawn(hasty.queue(Num(1)));
        assert_pending!(given_up.poll());
    }
    let mut waits = task::spawn(patient.queue(Num(2)));
    assert_pending!(waits.poll());
    let ignore = service_fn(async |_: Num| Ok::<(), Infallible>(()));
    let mut drive = task::spawn(driver.drive(pipe.clone(), ignore));
    pipe.make_room(10);
    assert_pending!(drive.poll());
    assert_ready_ok!(waits.poll());
    drop(waits);
    assert_pending!(drive.poll());
    assert_eq!(pipe.taken(), [0, 2]);
}

#[tokio::test]
async fn a_permit_that_was_granted_is_there_for_the_call() {
    let pipe = Pipe::with_room(0);
    let (mut first, driver) = queue(QueueConfig::default().max_messages(1));
    first.queue(Num(0)).await.unwrap();
    let mut second = task::spawn(first.clone());
    assert_pending!(second.enter(|cx, mut h| h.poll_ready(cx)));
    let ignore = service_fn(async |_: Num| Ok::<(), Infallible>(()));
    let mut drive = task::spawn(driver.drive(pipe.clone(), ignore));
    pipe.make_room(10);
    assert_pending!(drive.poll());
    assert!(second.is_woken());
    // Called without having asked again: legal, if unusual.
    let send = second.enter(|_, mut h| h.call(Num(1)));
    assert_pending!(drive.poll());
    send.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn aborting_what_closes_already_ends_it_at_once() {
    let (_pipe, handle, task) = blocked(QueueConfig::default()).await;
    handle.close();
    settle().await;
    let now = tokio::time::Instant::now();
    handle.abort();
    task.await.unwrap();
    assert_eq!(now.elapsed(), Duration::ZERO);
}

/// Wakes by looking at the queue: a deadlock, if the queue wakes with its lock held.
struct Looks(Mutex<Handle<Num>>);

impl std::task::Wake for Looks {
    fn wake(self: Arc<Self>) {
        self.0.lock().unwrap().queued();
    }
}

#[tokio::test]
async fn wakers_may_look_at_the_queue() {
    let pipe = Pipe::with_room(0);
    let (mut handle, task) = start(&pipe, QueueConfig::default().max_messages(1));
    send_all(&mut handle, 0..BUFFER as u32 + 1).await;
    let waker = Arc::new(Looks(Mutex::new(handle.clone()))).into();
    let mut waits = handle.clone();
    let polled = waits.poll_ready(&mut std::task::Context::from_waker(&waker));
    assert!(polled.is_pending());
    pipe.end();
    pipe.make_room(100);
    assert_eq!(task.await.unwrap().kind(), "closed");
}

#[tokio::test]
async fn a_refusal_that_is_forgotten_is_not_called_a_success() {
    let pipe = Pipe::with_room(0);
    let config = QueueConfig::default().max_messages(4096);
    let (mut handle, _task) = start(&pipe, config);
    let mut sends = Vec::new();
    for _ in 0..2000 {
        sends.push(handle.ready().await.unwrap().call(REFUSED));
    }
    handle.flushed().await.unwrap();
    for send in sends {
        let error = send.await.unwrap_err();
        assert!(matches!(
            error,
            SendError::Refused(_) | SendError::Forgotten
        ));
    }
}

/// What a peer said before it left is heard, also when answering it fails.
#[tokio::test]
async fn writing_that_fails_does_not_stop_the_reading() {
    let pipe = Pipe::with_room(0);
    let seen = Arc::new(Mutex::new(0));
    let (handle, driver) = queue(QueueConfig::default());
    let answer = {
        let (seen, handle) = (seen.clone(), handle.clone());
        service_fn(move |num: Num| {
            *seen.lock().unwrap() += 1;
            let mut handle = handle.clone();
            async move { handle.queue(num).await }
        })
    };
    for num in 0..1000 {
        pipe.deliver(Inbound::Message(Num(num)));
    }
    pipe.break_it();
    let reason = driver.drive(pipe.clone(), answer).await;
    assert_eq!(reason.to_string(), "broken");
    assert_eq!(*seen.lock().unwrap(), 1000);
    assert!(handle.is_closed());
}

/// Senders that come, wait, give up and go, in every order that the seeds give.
#[tokio::test]
async fn no_permit_is_ever_lost() {
    for seed in 0..200u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = move |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let pipe = Pipe::with_room(0);
        let (handle, driver) = queue(QueueConfig::default().max_messages(3));
        let ignore = service_fn(async |_: Num| Ok::<(), Infallible>(()));
        let mut drive = task::spawn(driver.drive(pipe.clone(), ignore));
        let mut senders: Vec<(task::Spawn<Handle<Num>>, bool)> = Vec::new();
        let mut called = Vec::new();
        for step in 0..200 {
            match next(7) {
                0 if senders.len() < 10 => senders.push((task::spawn(handle.clone()), false)),
                5 if !senders.is_empty() => {
                    let at = next(senders.len() as u64) as usize;
                    let (sender, ready) = &mut senders[at];
                    let many = 1 + next(4) as u32;
                    let nums = (0..many).map(|i| step * 10 + i);
                    let mut batch: MessageBatch<_> = nums.clone().map(Num).collect();
                    // Dropped at once, also where it waits.
                    drop(sender.enter(|cx, mut h| pin!(h.queue_all(&mut batch)).poll(cx)));
                    called.extend(nums.take(many as usize - batch.len()));
                    *ready = false;
                }
                1 | 2 if !senders.is_empty() => {
                    let at = next(senders.len() as u64) as usize;
                    let (sender, ready) = &mut senders[at];
                    *ready = sender.enter(|cx, mut h| h.poll_ready(cx)).is_ready();
                }
                3 => {
                    let ready = senders.iter_mut().find(|(_, ready)| *ready);
                    if let Some((sender, ready)) = ready {
                        drop(sender.enter(|_, mut h| h.call(Num(step * 10))));
                        called.push(step * 10);
                        *ready = false;
                    }
                }
                4 if !senders.is_empty() => {
                    let at = next(senders.len() as u64) as usize;
                    drop(senders.swap_remove(at));
                }
                _ => {
                    pipe.make_room(next(3) as usize);
                    assert!(drive.poll().is_pending());
                }
            }
        }
        // Everybody goes; all that was called is there; all permits are free.
        senders.clear();
        pipe.make_room(1000);
        assert!(drive.poll().is_pending());
        assert_eq!(pipe.taken(), called, "seed {seed}");
        let mut last: Vec<_> = (0..3).map(|_| task::spawn(handle.clone())).collect();
        for sender in &mut last {
            assert_ready_ok!(sender.enter(|cx, mut h| h.poll_ready(cx)), "seed {seed}");
        }
    }
}

#[tokio::test]
async fn what_goes_down_with_a_connection_is_told_of_and_the_rest_goes_out_on_the_next() {
    let pipe = Pipe::with_room(1);
    let (mut handle, _task) = start(&pipe, QueueConfig::default());
    let mut sent = Vec::new();
    for num in 0..8 {
        sent.push(handle.ready().await.unwrap().call(Num(num)));
    }
    let flushed = handle.flushed();
    settle().await;
    // The kernel has taken one message, four are encoded, three wait.
    assert_eq!(pipe.taken(), [0]);
    pipe.lose();
    settle().await;
    pipe.make_room(100);
    let mut outcomes = Vec::new();
    for sent in sent {
        outcomes.push(sent.await.map_err(|error| is_disconnected(&error, true)));
    }
    let taken = pipe.taken();
    for (num, outcome) in (0..).zip(&outcomes) {
        match outcome {
            Ok(()) => assert!(taken.contains(&num), "{num} {taken:?}"),
            Err(maybe) => assert!(*maybe && (num == 0 || !taken.contains(&num)), "{num}"),
        }
    }
    assert!(outcomes.iter().filter(|outcome| outcome.is_err()).count() >= 4);
    assert_eq!(taken[taken.len() - 3..], [5, 6, 7]);
    assert!(is_disconnected(&flushed.await.unwrap_err(), true));
    // What came before or after is no part of it.
    handle.flushed().await.unwrap();
    handle.ready().await.unwrap().call(Num(9)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_comes_back_is_interrupted_when_it_stays_full() {
    let pipe = Pipe::with_room(0);
    pipe.0.lock().unwrap().comes_back = true;
    let after = Duration::from_secs(3);
    let config = QueueConfig::default()
        .max_messages(2)
        .overflow(Overflow::Disconnect { after });
    let (mut handle, task) = start(&pipe, config);
    // Four in the buffer, two in the queue, and one that waits.
    send_all(&mut handle, 0..7).await;
    let reason = pipe.0.lock().unwrap().interrupted.clone().unwrap();
    assert!(reason.to_string().contains("does not read"), "{reason}");
    pipe.make_room(100);
    handle.flushed().await.unwrap();
    assert_eq!(pipe.taken().last(), Some(&6));
    assert!(!task.is_finished());
}

#[test]
fn auto_traits() {
    fn sound<T: Send + Sync + Unpin>() {}
    fn future<T: Future + Send>() {}
    sound::<Handle<Num>>();
    sound::<QueueConfig>();
    sound::<SendError>();
    future::<kyneta_uds_queue::SendFuture<Num>>();
    future::<kyneta_uds_queue::Flushed<Num>>();
}

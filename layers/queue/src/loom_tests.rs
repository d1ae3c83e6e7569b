//! What the queue promises whatever the order in which handles, futures and the driver do things on
//! threads of their own: each order is tried (loom), the real driver over a channel of the test's. A
//! wake that is lost leaves everybody waiting, which loom tells.
//!
//! The command is in CONTRIBUTING.md. Here and not in `tests`, so that loom is a dependency of tests
//! alone.

#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    convert::Infallible,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use kyneta_uds_core::DisconnectReason;
use loom::{future::block_on, sync::Notify, thread};
use tower::{Service, ServiceExt, service_fn};

use self::support::{Num, Pipe, REFUSED};
use crate::{Handle, QueueConfig, SendError, queue};

/// How often a thread is interrupted that could go on; `LOOM_MAX_PREEMPTIONS` says otherwise. Few
/// faults need more than two, and each more takes five to ten times as long.
const PREEMPTIONS: usize = 3;

/// Tries every order of `what`, says how many there were, and that there was more than one.
fn in_every_order(name: &str, what: impl Fn() + Send + Sync + 'static) {
    // The driver sets a timer on a clock that is never driven: it never fires.
    let clock = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _entered = clock.enter();
    let orders = Arc::new(AtomicUsize::new(0));
    let counted = orders.clone();
    let mut model = loom::model::Builder::new();
    model.preemption_bound.get_or_insert(PREEMPTIONS);
    model.check(move || {
        counted.fetch_add(1, Relaxed);
        what();
    });
    let orders = orders.load(Relaxed);
    println!("{name}: {orders} orders");
    assert!(orders > 1);
}

/// A queue over a pipe with room for all, and its driver.
fn start(
    change: impl FnOnce(&mut support::State),
    config: QueueConfig,
) -> (Pipe, Handle<Num>, impl Future<Output = DisconnectReason>) {
    let pipe = Pipe::with_room(1000);
    change(&mut pipe.0.lock().unwrap());
    let config = config.drain_timeout(Duration::from_secs(3600));
    let (handle, driver) = queue(config);
    let ignore = service_fn(async |_: Num| Ok::<(), Infallible>(()));
    let drive = driver.drive(pipe.clone(), ignore);
    (pipe, handle, drive)
}

fn a_peer_that_follows(state: &mut support::State) {
    state.follows = true;
}

fn a_stuck_peer(state: &mut support::State) {
    state.room = 0;
}

fn is_not_let_in(error: &SendError) -> bool {
    matches!(error, SendError::Disconnected { .. }) && !error.may_have_been_sent()
}

#[test]
fn a_message_wakes_a_driver_that_goes_to_rest() {
    in_every_order("message against rest", || {
        let (pipe, mut handle, drive) = start(a_peer_that_follows, QueueConfig::default());
        let sender = thread::spawn(move || {
            let sent = handle.call(Num(1));
            block_on(sent).unwrap();
            // Dropped when the message is out: a wake of its own is not what has sent it.
        });
        assert_eq!(block_on(drive).kind(), "intentional");
        sender.join().unwrap();
        assert_eq!(pipe.taken(), [1]);
    });
}

#[test]
fn a_batch_wakes_a_driver_that_goes_to_rest() {
    for room in [1, 8] {
        in_every_order(&format!("batch against rest, room for {room}"), move || {
            let config = QueueConfig::default().max_messages(room);
            let (pipe, mut handle, drive) = start(a_peer_that_follows, config);
            let sender = thread::spawn(move || {
                let mut batch = [Num(1), Num(2), Num(3)].into_iter().collect();
                block_on(handle.queue_all(&mut batch)).unwrap();
                assert!(batch.is_empty());
                block_on(handle.flushed()).unwrap();
            });
            assert_eq!(block_on(drive).kind(), "intentional");
            sender.join().unwrap();
            assert_eq!(pipe.taken(), [1, 2, 3]);
        });
    }
}

#[test]
fn the_last_of_two_handles_closes_and_what_both_have_queued_is_sent() {
    in_every_order("two last handles", || {
        let (pipe, handle, drive) = start(a_peer_that_follows, QueueConfig::default());
        let senders = [1, 2].map(|num| {
            let mut handle = handle.clone();
            thread::spawn(move || drop(handle.call(Num(num))))
        });
        drop(handle);
        assert_eq!(block_on(drive).kind(), "intentional");
        for sender in senders {
            sender.join().unwrap();
        }
        let mut taken = pipe.taken();
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
    });
}

/// The peer takes nothing and says nothing, so a driver that has missed the abort would wait.
#[test]
fn an_abort_is_not_missed() {
    in_every_order("abort against rest", || {
        let (_pipe, mut handle, drive) = start(a_stuck_peer, QueueConfig::default());
        let sent = handle.call(Num(1));
        let aborter = thread::spawn(move || handle.abort());
        assert_eq!(block_on(drive).kind(), "intentional");
        aborter.join().unwrap();
        assert!(block_on(sent).is_err());
    });
}

#[test]
fn an_abort_of_what_is_closing_is_not_missed() {
    in_every_order("abort after close against rest", || {
        let (_pipe, mut handle, drive) = start(a_stuck_peer, QueueConfig::default());
        let sent = handle.call(Num(1));
        let aborter = thread::spawn(move || {
            handle.close();
            handle.abort();
        });
        assert_eq!(block_on(drive).kind(), "intentional");
        aborter.join().unwrap();
        assert!(block_on(sent).is_err());
    });
}

/// Waits for what it is told.
fn answer() -> (impl FnOnce() -> bool, impl FnOnce(bool) + Send + 'static) {
    let (told, said) = (Arc::new(Notify::new()), Arc::new(Mutex::new(None)));
    let (tells, says) = (told.clone(), said.clone());
    let wait = move || {
        loop {
            // It may also go on without having been told.
            told.wait();
            if let Some(answer) = *said.lock().unwrap() {
                return answer;
            }
        }
    };
    let tell = move |answer| {
        *says.lock().unwrap() = Some(answer);
        tells.notify();
    };
    (wait, tell)
}

/// A message wakes the driver while it is quiet: it may say so once more when the next order has come.
#[test]
fn a_freeze_is_told_when_the_channel_is_aside() {
    in_every_order("freeze against a driver that is quiet", || {
        let can_be_aside = |state: &mut support::State| state.can_be_aside = true;
        let (pipe, mut handle, drive) = start(can_be_aside, QueueConfig::default());
        let orders = thread::spawn(move || {
            let (quiet, told) = answer();
            handle.quiesce(move |is_quiet| told(is_quiet));
            assert!(quiet());
            drop(handle.call(Num(1)));
            let (frozen, told) = answer();
            handle.freeze(move |is_frozen| told(is_frozen && pipe.0.lock().unwrap().asides > 0));
            assert!(frozen());
            handle.abort();
        });
        assert_eq!(block_on(drive).kind(), "intentional");
        orders.join().unwrap();
    });
}

/// A driver that rests is frozen without a turn, but not if a message has come since its channel was put aside.
#[test]
fn a_channel_is_put_aside_anew_after_what_was_sent_before_the_halt() {
    in_every_order("freeze of what is aside", || {
        let can_be_aside = |state: &mut support::State| state.can_be_aside = true;
        let (pipe, mut handle, drive) = start(can_be_aside, QueueConfig::default());
        let orders = thread::spawn(move || {
            let (aside, told) = answer();
            handle.put_aside(move |is_aside| told(is_aside));
            let before = usize::from(aside());
            drop(handle.call(Num(1)));
            let (quiet, told) = answer();
            handle.quiesce(move |is_quiet| told(is_quiet));
            assert!(quiet());
            let (frozen, told) = answer();
            handle
                .freeze(move |is_frozen| told(is_frozen && pipe.0.lock().unwrap().asides > before));
            assert!(frozen());
            handle.abort();
        });
        assert_eq!(block_on(drive).kind(), "intentional");
        orders.join().unwrap();
    });
}

#[test]
fn a_close_and_a_reserved_permit_agree_on_whether_the_message_is_sent() {
    in_every_order("close against permits", || {
        let one = QueueConfig::default().max_messages(1);
        let (pipe, mut handle, drive) = start(a_peer_that_follows, one);
        let closer = handle.clone();
        let mut second = handle.clone();
        // One has the permit, the other waits.
        block_on(handle.ready()).unwrap();
        let first = thread::spawn(move || block_on(handle.call(Num(1))));
        let second =
            thread::spawn(move || block_on(async { second.ready().await?.call(Num(2)).await }));
        closer.close();
        assert_eq!(block_on(drive).kind(), "intentional");
        let (first, second) = (first.join().unwrap(), second.join().unwrap());
        let mut sent = Vec::new();
        for (num, outcome) in [(1, first), (2, second)] {
            match outcome {
                Ok(()) => sent.push(num),
                Err(error) => assert!(is_not_let_in(&error), "{error:?}"),
            }
        }
        let mut taken = pipe.taken();
        taken.sort_unstable();
        assert_eq!(taken, sent);
    });
}

#[test]
fn a_refusal_is_told_to_its_future_and_disturbs_no_other() {
    in_every_order("refusal against a dropped future", || {
        let (pipe, mut handle, drive) = start(a_peer_that_follows, QueueConfig::default());
        let sender = thread::spawn(move || {
            let dropped = handle.call(REFUSED);
            let told = handle.call(REFUSED);
            let sent = handle.call(Num(1));
            drop(handle);
            drop(dropped);
            let told = block_on(told);
            assert!(matches!(told, Err(SendError::Refused(_))), "{told:?}");
            block_on(sent).unwrap();
        });
        assert_eq!(block_on(drive).kind(), "intentional");
        sender.join().unwrap();
        assert_eq!(pipe.taken(), [1]);
    });
}

//! Room: what is promised to senders, and what is held for them.
//!
//! A failure shows the error of a sender that should have had room, or how long the queue was full.

#![allow(clippy::unwrap_used)] // Helpers stand beside the tests.

mod support;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use kyneta_uds_core::Message;
use kyneta_uds_queue::{Handle, NotQueued, Overflow, QueueConfig, SendError, queue};
use support::{Num, Pipe, PipeOf};
use tokio::{
    task::yield_now,
    time::{Instant, timeout},
};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{Service, ServiceExt, service_fn};

fn ignore<M: Message>()
-> impl Service<M, Response = (), Error = Infallible, Future = Ready<Result<(), Infallible>>> {
    service_fn(|_: M| ready(Ok(())))
}

async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

fn disconnects() -> QueueConfig {
    QueueConfig::default()
        .max_messages(2)
        .overflow(Overflow::Disconnect {
            after: Duration::from_secs(5),
        })
}

#[tokio::test(start_paused = true)]
async fn unused_permits_end_no_connection_and_keep_no_other_sender_waiting() {
    for config in [disconnects(), QueueConfig::default().max_messages(2)] {
        let pipe = Pipe::with_room(1_000);
        let (handle, driver) = queue(config);
        let task = tokio::spawn(driver.drive(pipe.clone(), ignore()));
        let mut idle = [(); 2].map(|()| handle.clone());
        for holder in &mut idle {
            holder.ready().await.unwrap();
        }
        let mut sender = handle.clone();
        let started = Instant::now();
        for num in 0..3 {
            sender.queue(Num(num)).await.unwrap();
        }
        sender.flushed().await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(1));
        assert!(!task.is_finished());
        // What was promised stays good.
        for (holder, num) in idle.iter_mut().zip(10..) {
            holder.ready().await.unwrap().call(Num(num)).await.unwrap();
        }
        assert_eq!(pipe.taken(), [0, 1, 2, 10, 11]);
    }
}

#[tokio::test(start_paused = true)]
async fn unused_permits_do_not_reject_try_queue_for_ever() {
    let one = QueueConfig::default().max_messages(1);
    // As many bytes as the last message had: a permit stands for that many.
    let bytes = QueueConfig::default().max_bytes(100);
    for config in [one, bytes] {
        for overflow in [Overflow::Fail, Overflow::Wait] {
            let pipe = Pipe::with_room(1_000);
            let (handle, driver) = queue(config.clone().overflow(overflow));
            let _task = tokio::spawn(driver.drive(pipe.clone(), ignore()));
            let (mut idle, mut sender) = (handle.clone(), handle.clone());
            sender.queue(Num(0)).await.unwrap();
            sender.flushed().await.unwrap();
            idle.ready().await.unwrap();
            let full = sender.try_queue(Num(1)).unwrap_err().error;
            assert!(matches!(full, SendError::Full { .. }), "{full}");
            if overflow == Overflow::Fail {
                assert!(sender.queue(Num(1)).await.is_err());
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
            sender.try_queue(Num(1)).unwrap();
            idle.call(Num(2)).await.unwrap();
            assert_eq!(pipe.taken(), [0, 1, 2]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_disconnected_all_the_same() {
    let (mut handle, driver) = queue(disconnects());
    let task = tokio::spawn(driver.drive(Pipe::with_room(0), ignore()));
    let started = Instant::now();
    let ended = async {
        loop {
            if let Err(error) = handle.queue(Num(0)).await {
                return error;
            }
        }
    };
    assert!(matches!(ended.await, SendError::Disconnected { .. }));
    assert_eq!(started.elapsed(), Duration::from_secs(5));
    assert_eq!(task.await.unwrap().kind(), "error");
}

/// A message that says that it is as large as can be.
#[derive(Debug)]
struct Immense;

impl Message for Immense {
    fn size(&self) -> usize {
        usize::MAX
    }
}

#[tokio::test]
async fn sizes_that_add_up_to_more_than_there_are_fill_the_queue() {
    let (handle, driver) = queue(QueueConfig::default());
    let mut holders = [(); 3].map(|()| handle.clone());
    for holder in &mut holders {
        holder.ready().await.unwrap();
    }
    let sent = holders.each_mut().map(|holder| holder.call(Immense));
    assert_eq!(handle.queued(), (3, usize::MAX));
    assert!(handle.clone().try_queue(Immense).is_err());
    let _task = tokio::spawn(driver.drive(PipeOf::default(), ignore()));
    for sent in sent {
        sent.await.unwrap();
    }
    assert_eq!(handle.queued(), (0, 0));
}

/// A message whose size is another each time.
#[derive(Debug)]
struct Shrinking(Arc<AtomicUsize>);

impl Message for Shrinking {
    fn size(&self) -> usize {
        self.0.fetch_sub(90, Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn a_size_is_asked_for_once() {
    let pipe = PipeOf::<Shrinking>::default();
    let (mut handle, driver) = queue(QueueConfig::default().max_bytes(1_000));
    tokio::spawn(driver.drive(pipe, ignore()));
    for _ in 0..100 {
        let size = Arc::new(AtomicUsize::new(100));
        let queued = handle.queue(Shrinking(size.clone()));
        timeout(Duration::from_secs(60), queued)
            .await
            .unwrap()
            .unwrap();
        settle().await;
        assert_eq!(size.load(Relaxed), 10);
    }
    assert_eq!(handle.queued(), (0, 0));
}

const MIB: usize = 1 << 20;

#[derive(Debug)]
struct Large;

impl Message for Large {
    fn size(&self) -> usize {
        MIB
    }
}

#[tokio::test]
async fn waiting_senders_get_permits_for_as_many_bytes_as_there_is_room_for() {
    for by_queue in [true, false] {
        let pipe = PipeOf::<Large>::default();
        pipe.block_after(1);
        let (mut handle, driver) = queue(QueueConfig::default());
        for _ in 0..16 {
            handle.queue(Large).await.unwrap();
        }
        for _ in 0..2_000 {
            let mut handle = handle.clone();
            tokio::spawn(async move {
                if by_queue {
                    handle.queue(Large).await.unwrap();
                } else {
                    handle.ready().await.unwrap();
                    handle.call(Large).await.unwrap();
                }
            });
        }
        settle().await;
        assert_eq!(handle.queued(), (16, 16 * MIB));
        tokio::spawn(driver.drive(pipe.clone(), ignore()));
        settle().await;
        assert_eq!(handle.queued(), (16, 16 * MIB), "by queue: {by_queue}");
    }
}

#[tokio::test]
async fn a_future_that_is_polled_again_takes_no_permit() {
    let (handle, _driver) = queue(QueueConfig::default().max_messages(2));
    let mut sender = handle.clone();
    let mut enqueue = task::spawn(sender.queue(Num(1)));
    assert_ready_ok!(enqueue.poll());
    assert_ready_ok!(enqueue.poll());
    drop(enqueue);
    let mut other = task::spawn(handle.clone());
    assert_ready_ok!(other.enter(|cx, mut handle| handle.poll_ready(cx)));
}

#[test]
fn a_task_that_tries_a_full_queue_again_and_again_leaves_its_thread_to_the_driver() {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let config = QueueConfig::default()
                .max_messages(1)
                .overflow(Overflow::Fail);
            let (mut handle, driver) = queue(config);
            tokio::spawn(driver.drive(Pipe::with_room(100), ignore()));
            for num in 0..3 {
                while let Err(SendError::Full { .. }) = handle.queue(Num(num)).await {}
            }
            for num in 3..6 {
                while let Err(SendError::Full { .. }) = handle.call(Num(num)).await {}
            }
            for num in 6..9 {
                while let Err(SendError::Full { .. }) =
                    handle.ready().await.unwrap().call(Num(num)).await
                {}
            }
        });
        done.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_secs(20)).unwrap();
}

#[tokio::test]
async fn a_message_that_is_not_queued_comes_back() {
    let (mut handle, driver) = queue(QueueConfig::default().max_messages(1));
    handle.try_queue(Num(1)).unwrap();
    let NotQueued { error, message } = handle.try_queue(Num(2)).unwrap_err();
    assert!(
        matches!(error, SendError::Full { messages: 1, .. }),
        "{error:?}"
    );
    assert_eq!(message, Num(2));
    drop(driver);
    let NotQueued { error, message } = handle.try_queue(message).unwrap_err();
    assert!(matches!(error, SendError::Disconnected { .. }), "{error:?}");
    assert_eq!(message, Num(2));
}

#[tokio::test]
async fn a_weak_handle_keeps_no_connection_open() {
    let pipe = Pipe::with_room(10);
    let (handle, driver) = queue(QueueConfig::default());
    let weak = handle.downgrade();
    let task = tokio::spawn(driver.drive(pipe.clone(), ignore()));
    let mut upgraded = weak.upgrade().unwrap();
    drop(handle);
    upgraded.queue(Num(1)).await.unwrap();
    drop(upgraded);
    assert!(weak.clone().upgrade().is_none());
    pipe.end();
    task.await.unwrap();
    assert_eq!(pipe.taken(), [1]);
}

/// Time does not decide, only its growth: a linear search takes a hundred times as long.
#[tokio::test]
async fn a_send_costs_about_the_same_however_many_futures_wait_for_the_end() {
    let costs = [10, 100_000].map(|waiting| {
        let (mut handle, driver) = queue(QueueConfig::default());
        let mut drive = task::spawn(driver.drive(Pipe::with_room(usize::MAX), ignore()));
        let mut closed: Vec<_> = (0..waiting).map(|_| task::spawn(handle.closed())).collect();
        for future in &mut closed {
            assert_pending!(future.poll());
        }
        let mut send = || {
            let started = std::time::Instant::now();
            for num in 0..100 {
                let mut sent = task::spawn(handle.call(Num(num)));
                assert_pending!(sent.poll());
                assert_pending!(drive.poll());
                assert_ready!(sent.poll()).unwrap();
            }
            started.elapsed()
        };
        (0..5).map(|_| send()).min().unwrap()
    });
    assert!(costs[1] < 20 * costs[0], "{costs:?}");
}

fn _handles_are_sent<M: Message>(handle: Handle<M>) -> impl Send {
    handle
}

//! Messages that are queued together.
//!
//! A failure shows the order in which the channel has got them, or the permits that are left.

#![allow(missing_docs)]
#![allow(clippy::unwrap_used)] // Helpers of tests.

mod support;

use std::{
    convert::Infallible,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use kyneta_uds_core::Message;
use kyneta_uds_queue::{Handle, MessageBatch, Overflow, QueueConfig, SendError, queue};
use support::{Num, Pipe, PipeOf};
use tokio::task::{JoinHandle, yield_now};
use tower::{Service as _, ServiceExt as _, service_fn};

fn start(pipe: &Pipe, config: QueueConfig) -> (Handle<Num>, JoinHandle<()>) {
    let (handle, driver) = queue(config);
    let ignore = service_fn(async |_: Num| Ok::<(), Infallible>(()));
    let drive = driver.drive(pipe.clone(), ignore);
    (handle, tokio::spawn(async move { drop(drive.await) }))
}

fn batch(nums: std::ops::Range<u32>) -> MessageBatch<Num> {
    nums.map(Num).collect()
}

fn poll_once(
    handle: &mut Handle<Num>,
    batch: &mut MessageBatch<Num>,
) -> Poll<Result<(), SendError>> {
    let mut cx = Context::from_waker(Waker::noop());
    let queued = pin!(handle.queue_all(batch));
    Future::poll(queued, &mut cx)
}

#[tokio::test]
async fn a_batch_is_queued_at_once_and_in_order() {
    let pipe = Pipe::with_room(1000);
    let (mut handle, _task) = start(&pipe, QueueConfig::default());
    let mut msgs = MessageBatch::new();
    for from in [0, 100, 200] {
        msgs.extend((from..from + 100).map(Num));
        // The second and third are appended to what waits.
        assert!(poll_once(&mut handle, &mut msgs).is_ready());
        assert!(msgs.is_empty());
    }
    assert_eq!(handle.queued(), (300, 30_000));
    handle.flushed().await.unwrap();
    assert_eq!(pipe.taken(), (0..300).collect::<Vec<_>>());
    assert_eq!(handle.queued(), (0, 0));
    assert_eq!(handle.gone_out(), 300);
    // An empty one is queued, too.
    handle.queue_all(&mut MessageBatch::new()).await.unwrap();
}

#[tokio::test]
async fn the_bounds_are_those_of_single_messages() {
    // Each message has 100 bytes: the sixth one begins below the bound of bytes.
    let bounds = [
        QueueConfig::default().max_messages(6),
        QueueConfig::default().max_bytes(550),
    ];
    for config in bounds {
        let pipe = Pipe::with_room(0);
        let (mut handle, task) = start(&pipe, config);
        let mut msgs = batch(0..1000);
        assert!(poll_once(&mut handle, &mut msgs).is_pending());
        assert_eq!(handle.queued(), (6, 600));
        // What was dropped while it waited lost nothing, and keeps no permit.
        assert_eq!(msgs.len(), 994);
        let taker = tokio::spawn({
            let (pipe, handle) = (pipe.clone(), handle.clone());
            async move {
                for _ in 0..2000 {
                    pipe.make_room(3);
                    assert!(handle.queued().0 <= 6);
                    yield_now().await;
                }
            }
        });
        handle.queue_all(&mut msgs).await.unwrap();
        handle.flushed().await.unwrap();
        assert_eq!(pipe.taken(), (0..1000).collect::<Vec<_>>());
        taker.await.unwrap();
        task.abort();
    }
}

#[tokio::test]
async fn a_batch_does_not_overtake_a_sender_that_waits() {
    let pipe = Pipe::with_room(0);
    let (mut handle, _task) = start(&pipe, QueueConfig::default().max_messages(2));
    let mut other = handle.clone();
    handle.queue_all(&mut batch(0..2)).await.unwrap();
    let waits = tokio::spawn(async move { other.queue(Num(100)).await });
    yield_now().await;
    let mut msgs = batch(2..5);
    let taker = tokio::spawn({
        let pipe = pipe.clone();
        async move {
            for _ in 0..100 {
                pipe.make_room(1);
                yield_now().await;
            }
        }
    });
    handle.queue_all(&mut msgs).await.unwrap();
    waits.await.unwrap().unwrap();
    taker.await.unwrap();
    handle.flushed().await.unwrap();
    assert_eq!(pipe.taken(), [0, 1, 100, 2, 3, 4]);
}

#[tokio::test]
async fn a_permit_of_the_handle_is_used_first_and_none_is_lost() {
    let pipe = Pipe::with_room(0);
    let (mut handle, _task) = start(&pipe, QueueConfig::default().max_messages(4));
    handle.ready().await.unwrap();
    let mut msgs = batch(0..10);
    assert!(poll_once(&mut handle, &mut msgs).is_pending());
    assert_eq!((msgs.len(), handle.queued().0), (6, 4));
    pipe.make_room(100);
    handle.queue_all(&mut msgs).await.unwrap();
    handle.flushed().await.unwrap();
    // All four slots are free again.
    assert!(poll_once(&mut handle, &mut batch(10..14)).is_ready());
    handle.flushed().await.unwrap();
    assert_eq!(pipe.taken(), (0..14).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_an_error_leaves_stays_in_the_batch() {
    let pipe = Pipe::with_room(0);
    let config = QueueConfig::default().max_messages(3);
    let (mut handle, _task) = start(&pipe, config.overflow(Overflow::Fail));
    let mut msgs = batch(0..5);
    let error = handle.queue_all(&mut msgs).await.unwrap_err();
    assert!(matches!(error, SendError::Full { .. }), "{error}");
    assert_eq!((msgs.len(), msgs.pop()), (2, Some(Num(3))));

    pipe.break_it();
    handle.closed().await;
    let error = handle.queue_all(&mut msgs).await.unwrap_err();
    assert!(!error.may_have_been_sent());
    assert_eq!((msgs.pop(), msgs.pop()), (Some(Num(4)), None));
}

/// Looks at the queue when it is measured and when it is dropped.
struct Looks(Arc<Mutex<Option<Handle<Looks>>>>);

impl Looks {
    fn look(&self) {
        if let Some(handle) = &*self.0.lock().unwrap() {
            handle.queued();
        }
    }
}

impl Message for Looks {
    fn size(&self) -> usize {
        self.look();
        1
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        self.look();
    }
}

#[tokio::test]
async fn no_code_of_a_message_runs_under_the_lock() {
    let (mut handle, driver) = queue(QueueConfig::default().max_messages(3));
    let ignore = service_fn(async |_: Looks| Ok::<(), Infallible>(()));
    let task = tokio::spawn(driver.drive(PipeOf::default(), ignore));
    let looked_at = Arc::new(Mutex::new(Some(handle.clone())));
    let mut msgs: MessageBatch<_> = (0..10).map(|_| Looks(looked_at.clone())).collect();
    handle.queue_all(&mut msgs).await.unwrap();
    handle.flushed().await.unwrap();
    handle
        .ready()
        .await
        .unwrap()
        .call(Looks(looked_at.clone()))
        .await
        .unwrap();
    *looked_at.lock().unwrap() = None;
    task.abort();
}

//! Messages that are queued by reference, among those by value.
//!
//! Random mixtures of both kinds beside a list. A failure says the seed, or which message came in the wrong way.

#![allow(missing_docs)]
#![allow(clippy::unwrap_used)] // Helpers of tests.

#[path = "by_reference/record.rs"]
mod record;
mod support;

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use kyneta_uds_core::{
    Channel as _, ChannelMsg, DisconnectReason, DocId, Lineage, Message, Offer, Version,
};
use kyneta_uds_queue::{Handle, MessageBatch, Overflow, QueueConfig, QueueEvent, SendError, queue};
use record::{Record, Taken};
use tokio::task::{JoinHandle, yield_now};
use tower::{Service as _, ServiceExt as _, service_fn};

fn start(record: &Record, config: QueueConfig) -> (Handle<ChannelMsg>, JoinHandle<()>) {
    let (handle, driver) = queue(config);
    let ignore = service_fn(async |_: ChannelMsg| Ok::<(), std::convert::Infallible>(()));
    let drive = driver.drive(record.clone(), ignore);
    (handle, tokio::spawn(async move { drop(drive.await) }))
}

/// Message `n`: small and large offers of few documents, a lineage, other messages.
fn msg(n: u64) -> ChannelMsg {
    let doc = DocId::new(format!("d{}", n / 5 % 3)).unwrap();
    let version = Version::new(n.to_string()).unwrap();
    match n % 11 {
        3 => ChannelMsg::Dismiss(doc),
        5 => Offer::binary(doc, version, vec![7; 5000]).into(),
        7 => Offer::binary(doc, version, vec![7; 20])
            .lineage(Lineage::new("l").unwrap())
            .into(),
        _ => Offer::binary(doc, version, vec![n as u8; n as usize % 100]).into(),
    }
}

fn msgs(numbers: std::ops::Range<u64>) -> Vec<ChannelMsg> {
    numbers.map(msg).collect()
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A sequence that replays.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }
}

#[tokio::test]
async fn in_whatever_way_they_are_queued_all_come_in_order() {
    for seed in 0..30 {
        let mut random = Random(seed);
        let record = Record::with_room(usize::MAX);
        // One channel in three knows no messages by reference, and one knows no runs.
        record.change(|state| state.knows = (seed % 3) as u8);
        let config = QueueConfig::default().max_messages(1 + random.below(40) as usize);
        let (mut handle, task) = start(&record, config);
        let mut batch = MessageBatch::new();
        let (mut n, count) = (0, 200);
        while n < count {
            match random.below(5) {
                0 => handle.queue(msg(n)).await.unwrap(),
                1 | 2 => handle.queue_ref(&msg(n)).await.unwrap(),
                3 => drop(handle.ready().await.unwrap().call(msg(n))),
                _ => {
                    let end = (n + random.below(60)).min(count - 1);
                    for n in n..=end {
                        match random.below(2) {
                            0 => batch.push(msg(n)),
                            _ => batch.push_ref(&msg(n)),
                        }
                    }
                    handle.queue_all(&mut batch).await.unwrap();
                    n = end;
                }
            }
            n += 1;
            if random.below(8) == 0 {
                yield_now().await;
            }
        }
        handle.flushed().await.unwrap();
        assert!(record.messages() == msgs(0..count), "seed {seed}");
        assert_eq!((handle.queued(), handle.gone_out()), ((0, 0), count));
        task.abort();
    }
}

#[tokio::test]
async fn small_offers_reach_a_channel_that_asks_by_reference_and_others_by_value() {
    let record = Record::with_room(usize::MAX);
    let (mut handle, _task) = start(&record, QueueConfig::default());
    for n in [0, 1, 2, 3, 5, 7] {
        handle.queue_ref(&msg(n)).await.unwrap();
    }
    handle.flushed().await.unwrap();
    use Taken::{ByReference, InPlace};
    let how = record.0.lock().unwrap().how.clone();
    assert_eq!(
        how,
        [
            ByReference,
            ByReference,
            ByReference,
            InPlace,
            InPlace,
            InPlace
        ]
    );
    // A single one, too.
    handle.queue_ref(&msg(8)).await.unwrap();
    handle.flushed().await.unwrap();
    assert_eq!(record.0.lock().unwrap().how.last(), Some(&ByReference));
}

#[tokio::test]
async fn the_bounds_are_those_of_messages_by_value() {
    let size: usize = msgs(0..6).iter().map(Message::size).sum();
    let bounds = [
        (QueueConfig::default().max_messages(6), 6, usize::MAX),
        // The last one may exceed it.
        (
            QueueConfig::default().max_bytes(size - 1),
            usize::MAX,
            size + 5500,
        ),
    ];
    for (config, most, most_bytes) in bounds {
        let record = Record::with_room(0);
        let (mut handle, task) = start(&record, config);
        let all = msgs(0..300);
        for msg in &all[..6] {
            assert!(poll_once(pin!(handle.queue_ref(msg))).is_ready());
        }
        assert_eq!(handle.queued(), (6, size));
        // Dropped while it waits, it is not queued and keeps no permit.
        assert!(poll_once(pin!(handle.queue_ref(&all[6]))).is_pending());
        assert_eq!(handle.queued(), (6, size));
        let taker = tokio::spawn({
            let (record, handle) = (record.clone(), handle.clone());
            async move {
                for _ in 0..400 {
                    record.make_room(2);
                    let (messages, bytes) = handle.queued();
                    assert!(
                        messages <= most && bytes <= most_bytes,
                        "{messages}, {bytes}"
                    );
                    yield_now().await;
                }
            }
        });
        for msg in &all[6..] {
            handle.queue_ref(msg).await.unwrap();
        }
        handle.flushed().await.unwrap();
        assert!(record.messages() == all);
        taker.await.unwrap();
        task.abort();
    }
}

#[tokio::test]
async fn it_does_not_overtake_a_sender_that_waits_and_uses_the_permit_of_its_handle() {
    let record = Record::with_room(0);
    let (mut handle, _task) = start(&record, QueueConfig::default().max_messages(2));
    let mut other = handle.clone();
    // Four are in the channel's buffer, one waits, one has a permit.
    for n in 0..5 {
        handle.queue_ref(&msg(n)).await.unwrap();
    }
    yield_now().await;
    assert_eq!((record.buffered(), handle.queued().0), (4, 1));
    handle.ready().await.unwrap();
    let waits = tokio::spawn(async move { other.queue_ref(&msg(6)).await });
    yield_now().await;
    // With the permit at once; without one it waits behind the other.
    assert!(poll_once(pin!(handle.queue_ref(&msg(5)))).is_ready());
    let taker = tokio::spawn({
        let record = record.clone();
        async move {
            for _ in 0..20 {
                record.make_room(1);
                yield_now().await;
            }
        }
    });
    handle.queue_ref(&msg(7)).await.unwrap();
    waits.await.unwrap().unwrap();
    taker.await.unwrap();
    handle.flushed().await.unwrap();
    assert!(record.messages() == msgs(0..8));
}

#[tokio::test]
async fn at_a_full_queue_that_fails_it_is_not_queued() {
    let record = Record::with_room(0);
    let config = QueueConfig::default()
        .max_messages(2)
        .overflow(Overflow::Fail);
    let (mut handle, _task) = start(&record, config);
    for n in [0, 1] {
        handle.queue_ref(&msg(n)).await.unwrap();
    }
    let error = handle.queue_ref(&msg(2)).await.unwrap_err();
    assert!(matches!(error, SendError::Full { .. }), "{error}");
    // In a batch it stays there.
    let mut batch = MessageBatch::new();
    batch.push_ref(&msg(2));
    batch.push_ref(&msg(3));
    handle.queue_all(&mut batch).await.unwrap_err();
    assert_eq!(
        (batch.pop(), batch.pop(), batch.pop()),
        (Some(msg(2)), Some(msg(3)), None)
    );
}

#[tokio::test]
async fn after_a_loss_only_what_was_called_may_have_been_sent() {
    let record = Record::with_room(0);
    let (handle, _task) = start(&record, QueueConfig::default());
    // Four are in the channel's buffer when its connection is lost, the rest still waits.
    let mut sends = Vec::new();
    for n in 0..3 {
        let (mut by_value, mut by_reference) = (handle.clone(), handle.clone());
        sends.push(by_value.ready().await.unwrap().call(msg(3 * n)));
        by_reference.queue_ref(&msg(3 * n + 1)).await.unwrap();
        by_reference.queue_ref(&msg(3 * n + 2)).await.unwrap();
    }
    yield_now().await;
    assert_eq!(record.buffered(), 4);
    record.lose();
    record.make_room(usize::MAX);
    let mut lost = Vec::new();
    for send in sends {
        lost.push(send.await.is_err_and(|error| error.may_have_been_sent()));
    }
    assert_eq!(lost, [true, true, false]);
    assert!(record.messages() == msgs(4..9));
    assert!(handle.flushed().await.is_ok());
}

#[tokio::test]
async fn at_the_end_it_fails_and_what_waits_is_dropped() {
    let record = Record::with_room(0);
    let (mut handle, _task) = start(&record, QueueConfig::default().max_messages(8));
    for n in 0..8 {
        handle.queue_ref(&msg(n)).await.unwrap();
    }
    let flushed = handle.flushed();
    record.change(|state| state.broken = true);
    let reason = handle.closed().await;
    assert!(matches!(reason, DisconnectReason::Error(_)), "{reason}");
    assert!(flushed.await.is_err());
    assert_eq!(handle.queued(), (0, 0));
    let error = handle.queue_ref(&msg(8)).await.unwrap_err();
    assert!(!error.may_have_been_sent());
}

#[tokio::test]
async fn one_that_cannot_be_encoded_is_refused_alone() {
    let (told, mut events) = tokio::sync::mpsc::unbounded_channel();
    let config = QueueConfig::default().on_event(move |event| {
        if let QueueEvent::Refused(error) = event {
            told.send(error.to_string()).unwrap();
        }
    });
    let record = Record::with_room(usize::MAX);
    record.change(|state| state.refuses = Some(msg(1)));
    let (mut handle, _task) = start(&record, config);
    for n in 0..3 {
        handle.queue_ref(&msg(n)).await.unwrap();
    }
    handle.flushed().await.unwrap();
    assert_eq!(events.recv().await.unwrap(), "broken");
    assert_eq!(handle.counts().refused, 1);
    assert!(record.messages() == [msg(0), msg(2)]);
}

//! A peer that has no role reports why, and does not try ten times a second.
//!
//! Time is real: a listener that is silent is a socket. A failure shows the reports, with their times.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kyneta_uds_negotiate::{Role, WaitReason};
use tokio::{
    io::AsyncWriteExt as _,
    net::UnixListener,
    time::{Instant, sleep},
};

use crate::support::{Place, frame, is, join, soon};

const MINUTE: Duration = Duration::from_secs(60);

/// Accepts connections, keeps or closes them, and counts them.
fn foreign(place: &Place, keeps: bool) -> Arc<AtomicUsize> {
    let listener = UnixListener::bind(place.file()).unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    tokio::spawn({
        let count = count.clone();
        async move {
            let mut kept = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                if keeps {
                    kept.push(stream);
                }
            }
        }
    });
    count
}

/// The reports of one minute: from the first second on, after pauses that grow.
fn grow(reports: &[(WaitReason, u64)], why: WaitReason) {
    assert!((5..=8).contains(&reports.len()), "{reports:?}");
    assert!(
        reports.iter().all(|(reports, _)| *reports == why),
        "{reports:?}"
    );
    let seconds: Vec<_> = reports.iter().map(|(_, seconds)| *seconds).collect();
    assert!(seconds.starts_with(&[1, 2, 4, 8]), "{seconds:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_listener_is_reported_and_not_replaced() {
    let place = Place::new();
    let asked = foreign(&place, true);
    let peer = join(&place, |layer| layer).await;
    sleep(MINUTE).await;
    grow(&peer.reports.all(), WaitReason::ListenerSilent);
    let asked = asked.load(Ordering::Relaxed);
    assert!((5..=30).contains(&asked), "asked {asked} times");
    assert_eq!(peer.roles.role(), Role::Negotiating);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_rejects_is_reported_and_tried_once_a_second() {
    let place = Place::new();
    let asked = foreign(&place, false);
    let peer = join(&place, |layer| layer).await;
    sleep(MINUTE).await;
    grow(&peer.reports.all(), WaitReason::Rejected);
    let asked = asked.load(Ordering::Relaxed);
    assert!((20..=150).contains(&asked), "asked {asked} times");
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_another_process_holds_is_reported_and_then_taken() {
    let place = Place::new();
    let lock = File::create(place.dir.path().join("bus.sock.lock")).unwrap();
    lock.lock().unwrap();
    let peer = join(&place, |layer| layer).await;
    sleep(MINUTE).await;
    grow(&peer.reports.all(), WaitReason::Locked);
    let waiting = peer.roles.waiting().unwrap();
    assert!(
        waiting.waited >= MINUTE - Duration::from_secs(1),
        "{waiting:?}"
    );
    assert!(waiting.to_string().contains("holds the lock"), "{waiting}");
    drop(lock);
    is(&peer, Role::Listener).await;
    assert!(peer.roles.waiting().is_none());
}

#[tokio::test]
async fn a_peer_that_joins_in_time_reports_nothing() {
    let place = Place::new();
    let a = join(&place, |layer| layer).await;
    let b = join(&place, |layer| layer).await;
    is(&a, Role::Listener).await;
    is(&b, Role::Connector).await;
    assert_eq!((a.reports.all(), b.reports.all()), (vec![], vec![]));
    assert!(a.roles.waiting().is_none() && b.roles.waiting().is_none());
}

#[tokio::test]
async fn a_role_that_lasted_ends_the_wait_that_was_before_it() {
    let place = Place::new();
    let listener = UnixListener::bind(place.file()).unwrap();
    let peer = join(&place, |layer| layer).await;
    // Three connections that are admitted and end at once: the wait goes on across them.
    for _ in 0..3 {
        let (mut stream, _) = soon(listener.accept()).await.unwrap();
        stream.write_all(&frame(0, &[])).await.unwrap();
    }
    drop(listener);
    std::fs::remove_file(place.file()).unwrap();
    is(&peer, Role::Listener).await;
    sleep(Duration::from_millis(2500)).await;

    let before = peer.reports.all().len();
    std::fs::remove_file(place.file()).unwrap();
    let _asked = foreign(&place, true);
    let lost = Instant::now();
    soon(async {
        while peer.reports.all().len() == before {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let reports = peer.reports.all();
    assert_eq!(
        reports.get(before),
        Some(&(WaitReason::ListenerSilent, 1)),
        "{reports:?}"
    );
    let waiting = peer.roles.waiting().unwrap();
    assert!(waiting.waited <= lost.elapsed(), "{waiting:?}");
}

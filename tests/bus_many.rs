//! A bus of many members in one process: how long they take to join and to find the next listener, and what it costs
//! while each publishes once a second.
//!
//! `cargo test --release --test bus_many -- --ignored --nocapture`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::{
    convert::Infallible,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use kyneta_uds::{Bus, BusIncoming, Identity};
use tokio::time::{interval, sleep, timeout};
use tower::{Service as _, ServiceExt as _, service_fn};

async fn join(path: &Path, number: usize, received: &Arc<AtomicU64>) -> Bus<String> {
    let received = received.clone();
    let count = service_fn(move |_: BusIncoming<String>| {
        received.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok::<(), Infallible>(()))
    });
    let identity = Identity::service(format!("member-{number:03}")).unwrap();
    let bus = Bus::builder(path).identity(identity);
    bus.join(count).await.unwrap()
}

/// Each lists all others.
async fn have_met(all: &[Bus<String>]) {
    for bus in all {
        while bus.members().len() + 1 < all.len() {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Of all threads of this process.
fn processor_time() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let of = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(tasks.filter_map(Result::ok).filter_map(of).sum())
}

/// Resident memory, bytes.
fn memory() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|of| of.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

async fn many(members: usize, seconds: u64) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let received = Arc::<AtomicU64>::default();
    let before = memory();
    let start = Instant::now();
    let mut all = Vec::new();
    let mut slowest = Duration::ZERO;
    for number in 0..members {
        let start = Instant::now();
        all.push(join(&path, number, &received).await);
        slowest = slowest.max(start.elapsed());
    }
    have_met(&all).await;
    println!(
        "{members} members: all joined one after the other in {:?}, the slowest in {slowest:?}; {} MB in all",
        start.elapsed(),
        (memory() - before) / 1_000_000,
    );

    let cpu = processor_time();
    let mut second = interval(Duration::from_secs(1) / u32::try_from(members).unwrap());
    for at in 0..members * seconds as usize {
        second.tick().await;
        let bus = all.get_mut(at % members).unwrap();
        drop(bus.ready().await.unwrap().call("x".repeat(64)));
    }
    let owed = (members * (members - 1)) as u64 * seconds;
    let all_came = async {
        while received.load(Ordering::Relaxed) < owed {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(20), all_came).await.unwrap();
    let cpu = (processor_time() - cpu).as_secs_f64() / seconds as f64;
    println!(
        "{members} messages a second in all, {} received: {:.0} % of a core, listener and members together; {} MB",
        owed / seconds,
        cpu * 100.0,
        (memory() - before) / 1_000_000,
    );

    let start = Instant::now();
    drop(all.remove(0));
    let bus = all.last_mut().unwrap();
    let message = "after".to_owned();
    let delivered = bus.ready().await.unwrap().call(message).await.unwrap();
    // The listener may have been listed still.
    let left = delivered
        .missed
        .iter()
        .all(|of| of.as_str() == "member-000");
    assert!(left, "{:?}", delivered.missed);
    println!(
        "the listener left: a message is with all others after {:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn eight_members_hear_each_other_before_and_after() {
    many(8, 1).await;
}

#[tokio::test]
#[ignore = "measures; takes 20 s and a quiet machine"]
async fn two_hundred_members_join_and_find_the_next_listener() {
    many(200, 10).await;
}

//! A listener in a process that can have no inotify instance. Alone in its binary: the limit is the
//! process's.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

mod support;

use std::{fs, time::Duration};

use kyneta_uds_unix::{Listener, ListenerEvent, PathLoss};
use support::{Log, exhaust_descriptors, limit_descriptors};
use tokio::time::timeout;

fn inotify_instances() -> usize {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    let files = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    files
        .filter(|file| file.to_string_lossy() == "anon_inode:inotify")
        .count()
}

async fn lost(listener: &mut Listener) -> bool {
    let next = timeout(Duration::from_secs(20), listener.next()).await;
    matches!(next, Ok(ListenerEvent::Lost(PathLoss::Gone)))
}

#[tokio::test]
async fn it_checks_its_path_instead_and_logs_it_once() {
    let log = Log::start();
    limit_descriptors();
    let dir = tempfile::tempdir().unwrap();
    let file = |i| dir.path().join(format!("{i}.sock"));

    let mut listeners = Vec::new();
    for i in 0..2 {
        listeners.push(Listener::bind(file(i)).await.unwrap());
    }
    let all = exhaust_descriptors();
    for listener in &mut listeners {
        // Starts the watch.
        assert!(timeout(Duration::ZERO, listener.next()).await.is_err());
    }
    drop(all);
    let text = log.text();
    assert_eq!(text.matches("inotify cannot be used").count(), 1, "{text}");
    assert!(text.contains("Too many open files"), "{text}");

    for (i, listener) in listeners.iter_mut().enumerate() {
        fs::remove_file(file(i)).unwrap();
        assert!(lost(listener).await);
        listener.restore().await.unwrap();
        // Now an instance is available.
        assert!(timeout(Duration::ZERO, listener.next()).await.is_err());
        assert_eq!(inotify_instances(), 1, "one per process");
        fs::remove_file(file(i)).unwrap();
        assert!(lost(listener).await);
    }
}

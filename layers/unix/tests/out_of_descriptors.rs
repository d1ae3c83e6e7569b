//! A listener in a process without a file descriptor left. Alone in its binary: the limit is the process's.

mod support;

use std::time::Duration;

use kyneta_uds_unix::Listener;
use support::{Log, exhaust_descriptors, limit_descriptors};
use tokio::{net::UnixStream, time::timeout};

#[tokio::test(start_paused = true)]
async fn it_waits_continues_and_logs_each_once() {
    let log = Log::start();
    limit_descriptors();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut listener = Listener::bind(&path).await.unwrap();
    // After the first accept, the listener knows that the socket is ready.
    let _first = UnixStream::connect(&path).await.unwrap();
    let _ = listener.accept().await;

    for outage in 1..=2 {
        let pending = UnixStream::connect(&path).await.unwrap();
        let all = exhaust_descriptors();
        assert!(!all.is_empty());
        // Paused time: a hundred tries.
        let accepted = timeout(Duration::from_secs(10), listener.accept()).await;
        assert!(accepted.is_err(), "a descriptor was left");
        let text = log.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2 * outage - 1, "{lines:#?}");
        let begun = lines.last().unwrap();
        assert!(
            begun.contains("ERROR") && begun.contains("Too many open files"),
            "{begun}"
        );

        drop(all);
        let _ = listener.accept().await;
        let text = log.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2 * outage, "{lines:#?}");
        let over = lines.last().unwrap();
        assert!(
            over.contains("WARN") && over.contains("lasted=10"),
            "{over}"
        );
        drop(pending);
    }
}

//! A listener in a process that has no file descriptor left. Alone in its binary: the limit is the
//! process's.

#![allow(clippy::unwrap_used)] // Its writer is no test function.

use std::{
    fs::File,
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use kyneta_uds_unix::Listener;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{net::UnixStream, time::timeout};

/// What has been logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(Into::into).collect()
    }
}

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Takes all descriptors that the process may have.
fn exhaust() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[tokio::test(start_paused = true)]
async fn it_waits_goes_on_and_says_so_once() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let limit = Rlimit {
        current: Some(64),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut listener = Listener::bind(&path).await.unwrap();
    // Who accepts once knows that the socket has something to say.
    let _first = UnixStream::connect(&path).await.unwrap();
    let _ = listener.accept().await;

    for outage in 1..=2 {
        let waits = UnixStream::connect(&path).await.unwrap();
        let all = exhaust();
        assert!(!all.is_empty());
        // Paused time: a hundred tries.
        let nobody = timeout(Duration::from_secs(10), listener.accept()).await;
        assert!(nobody.is_err(), "a descriptor was left");
        let lines = log.lines();
        assert_eq!(lines.len(), 2 * outage - 1, "{lines:#?}");
        let begun = lines.last().unwrap();
        assert!(
            begun.contains("ERROR") && begun.contains("Too many open files"),
            "{begun}"
        );

        drop(all);
        let _ = listener.accept().await;
        let lines = log.lines();
        assert_eq!(lines.len(), 2 * outage, "{lines:#?}");
        let over = lines.last().unwrap();
        assert!(
            over.contains("WARN") && over.contains("lasted=10"),
            "{over}"
        );
        drop(waits);
    }
}

//! A listener in a process that can have no inotify instance. Alone in its binary: the limit is the
//! process's.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use std::{
    fs::{self, File},
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use kyneta_uds_unix::{Listener, ListenerEvent, Lost};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::timeout;

/// What has been logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
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

fn inotify_instances() -> usize {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    let files = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    files
        .filter(|file| file.to_string_lossy() == "anon_inode:inotify")
        .count()
}

async fn lost(listener: &mut Listener) -> bool {
    let next = timeout(Duration::from_secs(20), listener.next()).await;
    matches!(next, Ok(ListenerEvent::Lost(Lost::Gone)))
}

#[tokio::test]
async fn it_looks_at_its_path_instead_and_says_so_once() {
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
    let file = |i| dir.path().join(format!("{i}.sock"));

    let mut listeners = Vec::new();
    for i in 0..2 {
        listeners.push(Listener::bind(file(i)).await.unwrap());
    }
    let all: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    for listener in &mut listeners {
        // It begins to watch.
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
        // Now it can be had.
        assert!(timeout(Duration::ZERO, listener.next()).await.is_err());
        assert_eq!(inotify_instances(), 1, "one a process");
        fs::remove_file(file(i)).unwrap();
        assert!(lost(listener).await);
    }
}

//! A connector notices that another socket is at its path.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use std::{fs, future::poll_fn, path::PathBuf, time::Duration};

use kyneta_uds_core::SocketPath;
use kyneta_uds_unix::{Listener, ReplacementWatch, replacement::Sighting};
use tokio::{
    net::{UnixListener, UnixStream},
    time::{Instant, timeout},
};

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("bus.sock")
    }

    async fn connect(&self) -> (UnixStream, ReplacementWatch) {
        let path = SocketPath::new(self.file()).unwrap();
        let before = Sighting::of(&path);
        let stream = UnixStream::connect(self.file()).await.unwrap();
        let listener = stream.peer_cred().unwrap().pid();
        (stream, ReplacementWatch::new(&path, before, listener))
    }
}

async fn replaced(watch: &mut ReplacementWatch, within: Duration) -> bool {
    let replaced = poll_fn(|cx| watch.poll_replaced(cx));
    timeout(within, replaced).await.is_ok()
}

#[tokio::test]
async fn the_replacement_of_a_foreign_listener_is_reported_within_two_seconds() {
    let dir = Dir::new();
    let _first = UnixListener::bind(dir.file()).unwrap();
    let (_stream, mut watch) = dir.connect().await;
    // A missing file is no replacement, nor is a socket at which no process listens.
    fs::remove_file(dir.file()).unwrap();
    assert!(!replaced(&mut watch, Duration::from_millis(1_700)).await);
    drop(UnixListener::bind(dir.file()).unwrap());
    assert!(!replaced(&mut watch, Duration::from_millis(1_700)).await);

    fs::remove_file(dir.file()).unwrap();
    let _second = UnixListener::bind(dir.file()).unwrap();
    let start = Instant::now();
    assert!(replaced(&mut watch, Duration::from_secs(20)).await);
    // A loaded machine may be late.
    assert!(start.elapsed() < Duration::from_secs(4), "{start:?}");
    assert!(replaced(&mut watch, Duration::ZERO).await, "it stays so");
}

#[tokio::test]
async fn a_listener_of_ours_that_restores_its_path_is_no_replacement() {
    let dir = Dir::new();
    let mut listener = Listener::bind(dir.file()).await.unwrap();
    let (_stream, mut watch) = dir.connect().await;
    fs::remove_file(dir.file()).unwrap();
    listener.restore().await.unwrap();
    assert!(!replaced(&mut watch, Duration::from_millis(4_500)).await);
}

#[tokio::test]
async fn an_abstract_name_is_never_replaced() {
    let name = format!("@kyneta-uds-replacement-{}", std::process::id());
    let path = SocketPath::new(&name).unwrap();
    let mut watch = ReplacementWatch::new(&path, Sighting::of(&path), None);
    assert!(!replaced(&mut watch, Duration::ZERO).await);
}

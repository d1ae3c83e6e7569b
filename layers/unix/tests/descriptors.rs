//! The numbers of a listener's descriptors. Alone in its binary: they are process-wide.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use std::{collections::BTreeMap, fs, future::Future as _, pin::pin, task::Context, task::Waker};

use kyneta_uds_unix::{Listener, ListenerEvent};
use tokio::net::UnixStream;

/// What each descriptor of the process is.
fn descriptors() -> BTreeMap<u32, String> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let descriptor = |entry: fs::DirEntry| {
        let is = fs::read_link(entry.path()).ok()?;
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, is.to_string_lossy().into_owned()))
    };
    let all = entries.map(Result::unwrap).filter_map(descriptor);
    // Except the one that lists them.
    all.filter(|(_, is)| !is.starts_with("/proc/")).collect()
}

/// A killed process closes the highest first, and closing inotify takes ten milliseconds.
#[tokio::test]
async fn sockets_and_lock_are_above_the_inotify_instance() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let before = descriptors();
    let mut listener = Listener::bind(&path).await.unwrap();
    // Starts the watch.
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pin!(listener.next()).poll(&mut cx).is_pending());
    let _ours = UnixStream::connect(&path).await.unwrap();
    let accepted = listener.next().await;
    assert!(
        matches!(accepted, ListenerEvent::Accepted(..)),
        "{accepted:?}"
    );

    let mut after = descriptors();
    after.retain(|number, _| !before.contains_key(number));
    let after: Vec<_> = after.into_values().collect();
    let named = |name: &str| after.iter().filter(|is| is.contains(name)).count();
    assert_eq!(after.first().unwrap(), "anon_inode:inotify", "{after:?}");
    assert_eq!(named("inotify"), 1, "{after:?}");
    assert_eq!(named("bus.sock.lock"), 1, "{after:?}");
    assert_eq!(named("socket:"), 3, "{after:?}");
}

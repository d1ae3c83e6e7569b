//! A listener notices that its path was lost, and restores it where it may.
//!
//! A failure shows the event that came instead, or how often the path was looked at.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::{UnixListener as ForeignListener, UnixStream as ForeignStream},
    },
    time::{Duration, Instant},
};

use kyneta_uds_unix::{BindError, Listener, ListenerEvent, ListenerOptions, PathLoss};
use tokio::time::timeout;

use crate::support::{Dir, Obstacle, busy_listener, chain, nothing, stale_socket};

/// Longer than any step of these tests takes.
const LONG: Duration = Duration::from_secs(10);

async fn lost(listener: &mut Listener) -> PathLoss {
    match timeout(LONG, listener.next()).await.unwrap() {
        ListenerEvent::Lost(lost) => lost,
        other => panic!("{other:?}"),
    }
}

async fn accepted(listener: &mut Listener) -> tokio::net::UnixStream {
    match timeout(LONG, listener.next()).await.unwrap() {
        ListenerEvent::Accepted(stream, _) => stream,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_loss_is_reported_and_restored_where_allowed() {
    let table: [(Obstacle, PathLoss, Option<&str>); 7] = [
        (nothing, PathLoss::Gone, None),
        (stale_socket, PathLoss::Stale, None),
        (
            |path| Box::new(fs::write(path, "mine")),
            PathLoss::Blocked,
            Some("{path} exists and is not a socket but a regular file"),
        ),
        (
            |path| Box::new(fs::create_dir(path)),
            PathLoss::Blocked,
            Some("{path} exists and is not a socket but a directory"),
        ),
        (
            |path| Box::new(symlink("elsewhere", path)),
            PathLoss::Blocked,
            Some("{path} exists and is not a socket but a symbolic link, which is not followed"),
        ),
        (
            |path| Box::new(ForeignListener::bind(path).unwrap()),
            PathLoss::Taken,
            Some("{path} is in use: a process listens there"),
        ),
        (
            busy_listener,
            PathLoss::Taken,
            Some("{path} is in use: a process listens there, though its backlog is full"),
        ),
    ];
    for (replace, expected, error) in table {
        let dir = Dir::new();
        let mut listener = Listener::bind(dir.path()).await.unwrap();
        fs::remove_file(dir.path()).unwrap();
        let _theirs = replace(&dir.path());
        let before = dir.state();
        let start = Instant::now();
        assert_eq!(lost(&mut listener).await, expected);
        // Reported again while it lasts.
        assert_eq!(lost(&mut listener).await, expected);
        assert!(
            start.elapsed() >= Duration::from_millis(90),
            "not in a busy loop"
        );
        let restored = listener.restore().await.map_err(|error| chain(&error));
        match error {
            None => {
                restored.unwrap();
                assert_eq!(dir.names(), ["bus.sock", "bus.sock.lock"]);
                let _stream = ForeignStream::connect(dir.path()).unwrap();
                accepted(&mut listener).await;
            }
            Some(text) => {
                let text = text.replace("{path}", dir.path().to_str().unwrap());
                assert_eq!(restored.unwrap_err(), text);
                assert_eq!(dir.state(), before);
            }
        }
    }
}

/// Each check connects to the process that has the path: too many would fill its backlog.
#[tokio::test]
async fn a_path_that_stays_lost_is_checked_less_and_less_often() {
    let dir = Dir::new();
    let mut listener = Listener::bind(dir.path()).await.unwrap();
    fs::remove_file(dir.path()).unwrap();
    let foreign = ForeignListener::bind(dir.path()).unwrap();
    foreign.set_nonblocking(true).unwrap();
    let checks = async {
        loop {
            assert_eq!(lost(&mut listener).await, PathLoss::Taken);
            listener.restore().await.unwrap_err();
        }
    };
    timeout(Duration::from_secs(3), checks).await.unwrap_err();
    let met = std::iter::from_fn(|| foreign.accept().ok()).count();
    // Two a check: after 0, .1, .3, .7, 1.5, 2.5 s, and what a slow machine adds.
    assert!((2..=16).contains(&met), "{met}");
}

#[tokio::test]
async fn a_path_that_is_ours_is_neither_lost_nor_bound_again() {
    let dir = Dir::new();
    let mut listener = ListenerOptions::new()
        .mode(0o660)
        .bind(dir.path())
        .await
        .unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o600)).unwrap();
    let before = dir.state();
    for _ in 0..3 {
        assert!(
            timeout(Duration::from_millis(120), listener.next())
                .await
                .is_err()
        );
    }
    listener.restore().await.unwrap();
    assert_eq!(dir.state(), before);
}

#[tokio::test]
async fn pending_connections_are_accepted_after_the_path_is_restored() {
    let dir = Dir::new();
    let mut listener = Listener::bind(dir.path()).await.unwrap();
    let mut pending = Vec::new();
    for round in 0..3_u8 {
        for i in 0..40 {
            let mut stream = ForeignStream::connect(dir.path()).unwrap();
            stream.write_all(&[round, i]).unwrap();
            pending.push(stream);
        }
        fs::remove_file(dir.path()).unwrap();
        listener.restore().await.unwrap();
    }
    for round in 0..3 {
        for i in 0..40 {
            let stream = accepted(&mut listener).await.into_std().unwrap();
            stream.set_nonblocking(false).unwrap();
            let mut words = [0; 2];
            (&stream).read_exact(&mut words).unwrap();
            assert_eq!(words, [round, i]);
        }
    }
    let _late = ForeignStream::connect(dir.path()).unwrap();
    accepted(&mut listener).await;
}

#[tokio::test]
async fn a_removed_lock_file_is_made_and_locked_again() {
    let dir = Dir::new();
    let mut listener = Listener::bind(dir.path()).await.unwrap();
    fs::remove_file(dir.lock()).unwrap();
    assert!(
        timeout(Duration::from_millis(250), listener.next())
            .await
            .is_err()
    );
    let again = fs::File::open(dir.lock()).unwrap();
    assert!(again.try_lock().is_err(), "it is held");
    drop(again);

    // Another process holds it: the path is still ours, but could not be restored.
    fs::remove_file(dir.lock()).unwrap();
    let theirs = fs::File::create(dir.lock()).unwrap();
    theirs.try_lock().unwrap();
    assert!(
        timeout(Duration::from_millis(250), listener.next())
            .await
            .is_err()
    );
    fs::remove_file(dir.path()).unwrap();
    assert_eq!(lost(&mut listener).await, PathLoss::Gone);
    let error = listener.restore().await.unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error:?}");
    drop(theirs);
    listener.restore().await.unwrap();
    listener.close().unwrap();
    assert!(dir.names().is_empty());
}

#[tokio::test]
async fn a_removed_directory_is_reported_and_the_path_restored_when_it_is_back() {
    let dir = Dir::new();
    let inner = dir.0.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let mut listener = Listener::bind(inner.join("bus.sock")).await.unwrap();
    fs::remove_dir_all(&inner).unwrap();
    assert_eq!(lost(&mut listener).await, PathLoss::Gone);
    let error = listener.restore().await.unwrap_err();
    assert!(matches!(error, BindError::NoDirectory { .. }), "{error:?}");
    fs::create_dir(&inner).unwrap();
    assert_eq!(lost(&mut listener).await, PathLoss::Gone);
    listener.restore().await.unwrap();
    let _stream = ForeignStream::connect(inner.join("bus.sock")).unwrap();
    accepted(&mut listener).await;
}

#[tokio::test]
async fn a_socket_that_was_handed_over_and_an_abstract_name_are_not_watched() {
    let dir = Dir::new();
    let mut handed = Listener::from(tokio::net::UnixListener::bind(dir.path()).unwrap());
    fs::remove_file(dir.path()).unwrap();
    let name = format!("@kyneta-uds-watch-{}", std::process::id());
    let mut named = Listener::bind(&*name).await.unwrap();
    for listener in [&mut handed, &mut named] {
        assert!(
            timeout(Duration::from_millis(150), listener.next())
                .await
                .is_err()
        );
        listener.restore().await.unwrap();
    }
    assert!(dir.names().is_empty());
}

#[tokio::test]
async fn a_loss_is_noticed_although_next_is_dropped_again_and_again() {
    let dir = Dir::new();
    let mut listener = Listener::bind(dir.path()).await.unwrap();
    assert!(timeout(Duration::ZERO, listener.next()).await.is_err());
    fs::remove_file(dir.path()).unwrap();
    let start = Instant::now();
    let event = loop {
        if let Ok(event) = timeout(Duration::from_millis(1), listener.next()).await {
            break event;
        }
        assert!(start.elapsed() < LONG);
    };
    assert!(
        matches!(event, ListenerEvent::Lost(PathLoss::Gone)),
        "{event:?}"
    );
}

//! A listener notices that its path is not its own any more, and puts it back where it may.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::{UnixListener as ForeignListener, UnixStream as ForeignStream},
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use kyneta_uds::{BindError, Listener, ListenerOptions};
use kyneta_uds_unix::{ListenerEvent, Lost};
use tokio::time::timeout;

use crate::support::{Child, Dir, InTheWay, chain, full, nothing, stale};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(10);

async fn lost(listener: &mut Listener) -> Lost {
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
async fn what_has_become_of_the_path_is_told_and_what_may_be_is_put_back() {
    let table: [(InTheWay, Lost, Option<&str>); 7] = [
        (nothing, Lost::Gone, None),
        (
            |path| {
                stale(path);
                nothing(path)
            },
            Lost::Stale,
            None,
        ),
        (
            |path| Box::new(fs::write(path, "mine")),
            Lost::Blocked,
            Some("{path} exists and is not a socket but a regular file"),
        ),
        (
            |path| Box::new(fs::create_dir(path)),
            Lost::Blocked,
            Some("{path} exists and is not a socket but a directory"),
        ),
        (
            |path| Box::new(symlink("elsewhere", path)),
            Lost::Blocked,
            Some("{path} exists and is not a socket but a symbolic link, which is not followed"),
        ),
        (
            |path| Box::new(ForeignListener::bind(path).unwrap()),
            Lost::Taken,
            Some("{path} is in use: somebody listens there"),
        ),
        (
            |path| {
                let socket = tokio::net::UnixSocket::new_stream().unwrap();
                socket.bind(path).unwrap();
                Box::new(full(socket.listen(1).unwrap(), path))
            },
            Lost::Taken,
            Some("{path} is in use: somebody listens there, though its backlog is full"),
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
        // As long as it stays so it is said again.
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

/// Each look connects to the one that has the path: often enough, it would fill its backlog.
#[tokio::test]
async fn a_path_that_stays_lost_is_looked_at_less_and_less_often() {
    let dir = Dir::new();
    let mut listener = Listener::bind(dir.path()).await.unwrap();
    fs::remove_file(dir.path()).unwrap();
    let foreign = ForeignListener::bind(dir.path()).unwrap();
    foreign.set_nonblocking(true).unwrap();
    let looks = async {
        loop {
            assert_eq!(lost(&mut listener).await, Lost::Taken);
            listener.restore().await.unwrap_err();
        }
    };
    timeout(Duration::from_secs(3), looks).await.unwrap_err();
    let met = std::iter::from_fn(|| foreign.accept().ok()).count();
    // Two a look: after 0, .1, .3, .7, 1.5, 2.5 s, and what a slow machine adds.
    assert!((2..=16).contains(&met), "{met}");
}

#[tokio::test]
async fn a_path_that_is_ours_is_not_lost_and_not_made_again() {
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
async fn those_who_wait_are_accepted_after_the_path_is_put_back() {
    let dir = Dir::new();
    let mut listener = Listener::bind(dir.path()).await.unwrap();
    let mut waiting = Vec::new();
    for round in 0..3_u8 {
        for i in 0..40 {
            let mut stream = ForeignStream::connect(dir.path()).unwrap();
            stream.write_all(&[round, i]).unwrap();
            waiting.push(stream);
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
async fn those_who_wait_where_the_path_was_get_an_orderly_end_too() {
    let dir = Dir::new();
    let mut listener = Listener::bind(dir.path()).await.unwrap();
    let mut before = ForeignStream::connect(dir.path()).unwrap();
    fs::remove_file(dir.path()).unwrap();
    listener.restore().await.unwrap();
    let mut after = ForeignStream::connect(dir.path()).unwrap();
    for stream in [&mut before, &mut after] {
        stream.write_all(b"establish").unwrap();
    }
    listener.close().unwrap();
    for stream in [&mut before, &mut after] {
        assert!(matches!(stream.read_to_end(&mut Vec::new()), Ok(0)));
    }
}

#[tokio::test]
async fn a_lock_file_that_was_removed_is_made_and_held_again() {
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

    // Somebody else holds it: the path is ours still, but could not be put back.
    fs::remove_file(dir.lock()).unwrap();
    let theirs = fs::File::create(dir.lock()).unwrap();
    theirs.try_lock().unwrap();
    assert!(
        timeout(Duration::from_millis(250), listener.next())
            .await
            .is_err()
    );
    fs::remove_file(dir.path()).unwrap();
    assert_eq!(lost(&mut listener).await, Lost::Gone);
    let error = listener.restore().await.unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error:?}");
    drop(theirs);
    listener.restore().await.unwrap();
    listener.close().unwrap();
    assert!(dir.names().is_empty());
}

#[tokio::test]
async fn a_directory_that_was_removed_is_told_and_healed_when_it_is_back() {
    let dir = Dir::new();
    let inner = dir.0.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let mut listener = Listener::bind(inner.join("bus.sock")).await.unwrap();
    fs::remove_dir_all(&inner).unwrap();
    assert_eq!(lost(&mut listener).await, Lost::Gone);
    let error = listener.restore().await.unwrap_err();
    assert!(matches!(error, BindError::NoDirectory { .. }), "{error:?}");
    fs::create_dir(&inner).unwrap();
    assert_eq!(lost(&mut listener).await, Lost::Gone);
    listener.restore().await.unwrap();
    let _stream = ForeignStream::connect(inner.join("bus.sock")).unwrap();
    accepted(&mut listener).await;
}

#[tokio::test]
async fn what_was_handed_over_and_an_abstract_name_are_not_watched() {
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
async fn being_asked_and_dropped_over_and_over_it_notices_all_the_same() {
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
        matches!(event, ListenerEvent::Lost(Lost::Gone)),
        "{event:?}"
    );
}

/// What a crash has left under the temporary name is gone with the next one who binds.
#[tokio::test]
async fn what_a_crash_left_beside_the_path_is_removed() {
    let dir = Dir::new();
    // A lock file that says something stays, and the temporary name belongs to it.
    let temporary = |name: &str| {
        fs::write(dir.0.path().join(format!("{name}.lock")), "stays").unwrap();
        let path = dir.0.path().join(name);
        let done = Arc::new(AtomicBool::new(false));
        let watcher = std::thread::spawn({
            let (dir, done) = (dir.0.path().to_owned(), done.clone());
            move || {
                while !done.load(Ordering::Relaxed) {
                    let names = fs::read_dir(&dir).unwrap().flatten();
                    let mut names = names.filter_map(|entry| entry.file_name().into_string().ok());
                    if let Some(name) = names.find(|name| name.starts_with(".k")) {
                        done.store(true, Ordering::Relaxed);
                        return Some(name);
                    }
                }
                None
            }
        });
        let binder = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let start = Instant::now();
            while !done.load(Ordering::Relaxed) && start.elapsed() < LONG {
                drop(runtime.block_on(Listener::bind(&path)).unwrap());
            }
            done.store(true, Ordering::Relaxed);
        });
        binder.join().unwrap();
        watcher.join().unwrap().unwrap()
    };
    let (one, other) = (temporary("bus.sock"), temporary("other.sock"));
    assert_eq!(one.len(), ".k01234567".len());
    assert_ne!(one, other, "two paths in one directory have two");
    stale(&dir.0.path().join(&one));
    stale(&dir.0.path().join(&other));
    let mut listener = Listener::bind(dir.path()).await.unwrap();
    let mut left = vec!["bus.sock", "bus.sock.lock", "other.sock.lock", &*other];
    left.sort_unstable();
    assert_eq!(dir.names(), left, "another path's is left alone");
    listener.close().unwrap();

    // What is no socket is somebody's.
    fs::write(dir.0.path().join(&one), "mine").unwrap();
    let error = Listener::bind(dir.path()).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot bind "), "{error}");
    assert_eq!(fs::read(dir.0.path().join(&one)).unwrap(), b"mine");
}

#[tokio::test]
async fn the_next_one_takes_over_before_those_who_wait_are_turned_away() {
    let dir = Dir::new();
    let mut listener = Listener::bind(dir.path()).await.unwrap();
    let mut waiting = ForeignStream::connect(dir.path()).unwrap();
    let successor = std::thread::spawn({
        let path = dir.path();
        move || {
            // Turned away: the path must be free by now.
            assert!(matches!(waiting.read(&mut [0]), Ok(0)));
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(Listener::bind(path)).map(drop)
        }
    });
    listener.close().unwrap();
    successor.join().unwrap().unwrap();
}

/// A lock file that another user has left, readable to us, is locked all the same.
#[tokio::test]
async fn a_lock_file_that_may_only_be_read_is_enough() {
    let test = "watch::a_lock_file_that_may_only_be_read_is_enough";
    let Some(_child) = Child::run(test, true) else {
        return;
    };
    let dir = Dir::new();
    fs::write(dir.lock(), "").unwrap();
    fs::set_permissions(dir.lock(), fs::Permissions::from_mode(0o440)).unwrap();
    drop(Listener::bind(dir.path()).await.unwrap());
    assert!(dir.names().is_empty());
}

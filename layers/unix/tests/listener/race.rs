//! Many processes bind a path at once: one gets it, and no process sees it half made.
//!
//! A failure says how many have bound the path, or what another process saw of it meanwhile.

use std::{
    fs, io,
    os::unix::{fs::MetadataExt as _, net::UnixStream as ForeignStream},
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use kyneta_uds_unix::{BindError, Listener};

use crate::support::{Dir, runtime, stale};

/// As soon as the path is visible it has its mode, and its process listens.
#[tokio::test]
async fn the_path_never_has_another_mode_and_never_refuses() {
    let dir = Dir::new();
    let done = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (path, done) = (dir.path(), done.clone());
        let seen = move || {
            let meta = fs::symlink_metadata(&path).ok()?;
            Some((
                meta.ino(),
                meta.ctime(),
                meta.ctime_nsec(),
                meta.mode() & 0o7777,
                path.clone(),
            ))
        };
        thread::spawn(move || {
            let mut connected = 0;
            while !done.load(Ordering::Relaxed) {
                let Some(before) = seen() else { continue };
                assert_eq!(before.3, 0o600);
                match ForeignStream::connect(&before.4) {
                    Ok(_) => connected += 1,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    // The path was looked up before it was removed.
                    Err(error) => assert_ne!(seen(), Some(before), "{error}"),
                }
            }
            connected
        })
    };
    for _ in 0..500 {
        let mut listener = Listener::bind(dir.path()).await.unwrap();
        thread::yield_now();
        listener.close().unwrap();
    }
    done.store(true, Ordering::Relaxed);
    let connected = watcher.join().unwrap();
    assert!(connected > 0, "the watcher has connected");
    assert!(dir.names().is_empty());
}

#[test]
fn of_many_threads_that_bind_at_once_exactly_one_wins() {
    for threads in [2, 4, 8] {
        for round in 0..30 {
            let dir = Dir::new();
            if round % 2 == 1 {
                stale(&dir.path());
            }
            let start = Arc::new(Barrier::new(threads));
            let all: Vec<_> = (0..threads)
                .map(|_| {
                    let (start, path) = (start.clone(), dir.path());
                    thread::spawn(move || {
                        let runtime = runtime();
                        start.wait();
                        let bound = runtime.block_on(Listener::bind(path));
                        (bound, runtime)
                    })
                })
                .collect();
            let all: Vec<_> = all
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect();
            let bound: Vec<_> = all.iter().map(|(bound, _)| bound).collect();
            exactly_one(&dir, &bound);
            drop(all);
            assert!(dir.names().is_empty(), "{:?}", dir.names());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_tasks_that_bind_at_once_exactly_one_wins() {
    for tasks in [2, 4, 8] {
        for round in 0..30 {
            let dir = Dir::new();
            if round % 2 == 1 {
                stale(&dir.path());
            }
            let start = Arc::new(tokio::sync::Barrier::new(tasks));
            let mut all = tokio::task::JoinSet::new();
            for _ in 0..tasks {
                let (start, path) = (start.clone(), dir.path());
                all.spawn(async move {
                    start.wait().await;
                    Listener::bind(path).await
                });
            }
            let all = all.join_all().await;
            exactly_one(&dir, &all.iter().collect::<Vec<_>>());
            drop(all);
            assert!(dir.names().is_empty(), "{:?}", dir.names());
        }
    }
}

fn exactly_one(dir: &Dir, bound: &[&Result<Listener, BindError>]) {
    assert_eq!(
        bound.iter().filter(|bound| bound.is_ok()).count(),
        1,
        "{bound:?}"
    );
    for error in bound.iter().filter_map(|bound| bound.as_ref().err()) {
        assert!(matches!(error, BindError::InUse { .. }), "{error:?}");
    }
    assert_eq!(dir.names(), ["bus.sock", "bus.sock.lock"]);
    ForeignStream::connect(dir.path()).unwrap();
}

/// Many threads bind and close again and again: never two listeners at once.
#[test]
fn there_are_never_two_listeners_at_once() {
    let dir = Dir::new();
    let listeners = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (listeners, path) = (listeners.clone(), dir.path());
            thread::spawn(move || {
                runtime().block_on(async {
                    let mut bound = 0;
                    for _ in 0..200 {
                        match Listener::bind(&path).await {
                            Ok(mut listener) => {
                                assert_eq!(listeners.fetch_add(1, Ordering::SeqCst), 0);
                                ForeignStream::connect(&path).unwrap();
                                listeners.fetch_sub(1, Ordering::SeqCst);
                                listener.close().unwrap();
                                bound += 1;
                            }
                            Err(error) => {
                                assert!(matches!(error, BindError::InUse { .. }), "{error:?}");
                                thread::yield_now();
                            }
                        }
                    }
                    bound
                })
            })
        })
        .collect();
    let bound: usize = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    assert!(bound > 0);
    assert!(dir.names().is_empty(), "{:?}", dir.names());
}

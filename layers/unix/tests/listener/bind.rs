//! Binding a path: stale files, paths of all kinds, leftovers of a crash, foreign lock files.
//!
//! A failure shows the error, or the names that are left in the directory.

use std::{
    fs,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            fs::{PermissionsExt as _, symlink},
            net::{SocketAddr, UnixListener as ForeignListener, UnixStream as ForeignStream},
        },
    },
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use kyneta_uds_core::SocketPath;
use kyneta_uds_unix::{BindError, ConnectError, Listener, UnixConnector};
use tower::ServiceExt as _;

use crate::support::{Child, Dir, chain, runtime, stale};

#[tokio::test]
async fn a_stale_socket_is_replaced_and_no_file_is_left_at_the_end() {
    let dir = Dir::new();
    stale(&dir.path());
    // As a killed process leaves it.
    fs::write(dir.lock(), "").unwrap();
    let mut listener = Listener::bind(dir.path()).await.unwrap();
    assert_eq!(dir.names(), ["bus.sock", "bus.sock.lock"]);
    let _stream = ForeignStream::connect(dir.path()).unwrap();
    let _ = listener.accept().await;
    listener.close().unwrap();
    listener.close().unwrap();
    assert!(dir.names().is_empty());
}

#[tokio::test]
async fn a_path_can_be_bound_again_as_soon_as_its_listener_is_closed() {
    let dir = Dir::new();
    for _ in 0..50 {
        let listener = Listener::bind(dir.path()).await.unwrap();
        let second = Listener::bind(dir.path()).await.unwrap_err();
        assert!(matches!(second, BindError::InUse { .. }), "{second:?}");
        drop(listener);
    }
    assert!(dir.names().is_empty());
}

/// Only a link at the end of a path is not followed.
#[tokio::test]
async fn a_directory_that_is_a_symbolic_link_is_followed() {
    let dir = Dir::new();
    let link = dir.0.path().join("link");
    symlink(dir.0.path(), &link).unwrap();
    let path = SocketPath::new(link.join("bus.sock")).unwrap();
    let mut listener = Listener::bind(dir.path()).await.unwrap();
    let _stream = UnixConnector::new().oneshot(path.into()).await.unwrap();
    let _ = listener.accept().await;
}

#[tokio::test]
async fn a_path_may_be_relative_and_the_directory_may_change() {
    let Some(_child) = Child::run(
        "bind::a_path_may_be_relative_and_the_directory_may_change",
        false,
    ) else {
        return;
    };
    let dir = Dir::new();
    std::env::set_current_dir(dir.0.path()).unwrap();
    let mut listener = Listener::bind("bus.sock").await.unwrap();
    assert_eq!(dir.names(), ["bus.sock", "bus.sock.lock"]);
    std::env::set_current_dir("/").unwrap();
    listener.close().unwrap();
    assert!(dir.names().is_empty(), "{:?}", dir.names());
}

#[tokio::test]
async fn an_abstract_name_has_one_listener_and_no_file() {
    let name = format!("kyneta-uds-test-{}", std::process::id());
    let path = format!("@{name}");
    let target = || SocketPath::new(&path).unwrap();
    let connect = || UnixConnector::new().oneshot(target().into());

    let error = connect().await.unwrap_err();
    assert_eq!(
        chain(&error),
        format!("{path}: no process listens: Connection refused (os error 111)")
    );

    let mut listener = Listener::bind(&*path).await.unwrap();
    assert_eq!(
        chain(&Listener::bind(&*path).await.unwrap_err()),
        format!("{path} is in use: the abstract name is taken")
    );
    let (_connected, _accepted) = (connect().await.unwrap(), listener.accept().await);
    // The exact name, so that other programs find it, too.
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _foreign = ForeignStream::connect_addr(&address).unwrap();
    let _ = listener.accept().await;
    assert!(!Path::new(&path).exists() && !Path::new(&format!("{path}.lock")).exists());
    listener.close().unwrap();
    assert!(matches!(
        connect().await,
        Err(ConnectError::NoListener { .. })
    ));

    let foreign = ForeignListener::bind_addr(&address).unwrap();
    assert!(matches!(
        Listener::bind(&*path).await,
        Err(BindError::InUse { .. })
    ));
    drop(foreign);
    drop(Listener::bind(&*path).await.unwrap());
}

#[tokio::test]
async fn the_longest_path_is_bound_and_one_without_room_for_the_temporary_name_is_an_error() {
    let dir = Dir::new();
    let longest = |dir: &Path| {
        let room = SocketPath::limit() - dir.as_os_str().len() - 1;
        dir.join("x".repeat(room))
    };
    let path = longest(dir.0.path());
    assert_eq!(path.as_os_str().len(), SocketPath::limit());
    let mut listener = Listener::bind(&path).await.unwrap();
    let stream = UnixConnector::new().oneshot(SocketPath::new(&path).unwrap().into());
    let (_connected, _accepted) = (stream.await.unwrap(), listener.accept().await);
    drop(listener);
    assert!(dir.names().is_empty());

    // The directory's own name leaves three bytes.
    let mut deep = longest(dir.0.path())
        .into_os_string()
        .into_string()
        .unwrap();
    deep.truncate(SocketPath::limit() - 3);
    fs::create_dir(&deep).unwrap();
    let path = Path::new(&deep).join("ab");
    assert_eq!(path.as_os_str().len(), SocketPath::limit());
    let error = Listener::bind(&path).await.unwrap_err();
    let (limit, needed) = (SocketPath::limit(), deep.len() + 1 + ".k01234567".len());
    assert_eq!(
        chain(&error),
        format!(
            "the directory of {deep}/ab is too deep: a temporary name of {needed} bytes is needed \
             beside it; this platform allows {limit}"
        )
    );
    assert!(fs::read_dir(&deep).unwrap().next().is_none());
}

/// The next bind removes a socket that a crash has left under the temporary name.
#[tokio::test]
async fn a_leftover_of_a_crash_is_removed() {
    let dir = Dir::new();
    // A lock file with content stays, so the temporary name, which depends on its inode, stays the same.
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
            let runtime = runtime();
            let start = Instant::now();
            while !done.load(Ordering::Relaxed) && start.elapsed() < Duration::from_secs(10) {
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

    // A file that is not a socket belongs to another program.
    fs::write(dir.0.path().join(&one), "mine").unwrap();
    let error = Listener::bind(dir.path()).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot bind "), "{error}");
    assert_eq!(fs::read(dir.0.path().join(&one)).unwrap(), b"mine");
}

/// A lock file of another user that we may only read can be locked.
#[tokio::test]
async fn a_read_only_lock_file_is_enough() {
    let test = "bind::a_read_only_lock_file_is_enough";
    let Some(_child) = Child::run(test, true) else {
        return;
    };
    let dir = Dir::new();
    fs::write(dir.lock(), "").unwrap();
    fs::set_permissions(dir.lock(), fs::Permissions::from_mode(0o440)).unwrap();
    drop(Listener::bind(dir.path()).await.unwrap());
    assert!(dir.names().is_empty());
}

/// Opening a pipe to read would wait for a writer; then this test hangs.
#[tokio::test]
async fn a_pipe_in_place_of_the_lock_is_not_waited_for() {
    // Root may open it for writing as well, which does not wait.
    let Some(_child) = Child::run("bind::a_pipe_in_place_of_the_lock_is_not_waited_for", true)
    else {
        return;
    };
    let dir = Dir::new();
    let mode = rustix::fs::Mode::from_raw_mode(0o444);
    let pipe = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, dir.lock(), pipe, mode, 0).unwrap();
    let before = dir.state();
    drop(Listener::bind(dir.path()).await.unwrap());
    assert_eq!(dir.state(), before);
}

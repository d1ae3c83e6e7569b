//! A path has one owner: whatever is in the way is told with path and cause, and no file is touched
//! that is not ours.
#![cfg(target_os = "linux")] // The texts have Linux's error numbers in them.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    io::{self, Read as _, Write as _},
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink},
        net::{
            UnixDatagram, UnixListener as ForeignListener, UnixStream as ForeignStream,
        },
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use kyneta_uds::{
    BindError, Client, ClientError, ConnectError, EstablishError, Incoming, Listener,
    ListenerOptions, Server, SocketPath, SocketPathError, UnixConnector,
};
use tower::{ServiceExt as _, service_fn};

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("bus.sock")
    }

    fn lock(&self) -> PathBuf {
        self.0.path().join("bus.sock.lock")
    }

    /// All that can be seen of the files in it.
    fn state(&self) -> BTreeMap<PathBuf, (u64, u32, u64, (i64, i64))> {
        let entries = fs::read_dir(self.0.path()).unwrap().map(Result::unwrap);
        entries
            .map(|entry| {
                let meta = fs::symlink_metadata(entry.path()).unwrap();
                let changed = (meta.ctime(), meta.ctime_nsec());
                (entry.path(), (meta.ino(), meta.mode(), meta.len(), changed))
            })
            .collect()
    }

    fn names(&self) -> Vec<String> {
        let names = self.state().into_keys();
        names.map(|path| path.file_name().unwrap().to_str().unwrap().into()).collect()
    }
}

/// A socket file behind which nobody listens any more.
fn stale(path: &Path) {
    drop(ForeignListener::bind(path).unwrap());
    assert!(path.exists());
}

async fn bind_as_server(path: &Path, options: ListenerOptions) -> Result<Server, BindError> {
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    Server::builder(path).listener(options).listen(ignore).await
}

async fn connect_as_client(path: &Path) -> Result<Client, ClientError> {
    let ignore = service_fn(async |_: Incoming| Ok::<(), Infallible>(()));
    Client::builder(path).connect(ignore).await
}

/// What is in the way of a bind: made in a directory, which then says all that is kept alive.
type InTheWay = fn(&Path) -> Box<dyn std::any::Any>;

fn nothing(_: &Path) -> Box<dyn std::any::Any> {
    Box::new(())
}

#[tokio::test]
async fn whatever_is_in_the_way_of_a_bind_is_told_and_not_touched() {
    let table: &[(&str, &str, InTheWay, &str)] = &[
        ("NotASocket", "bus.sock", |path| Box::new(fs::write(path, "mine")),
            "{path} exists and is not a socket but a regular file"),
        ("NotASocket", "bus.sock", |path| Box::new(fs::create_dir(path)),
            "{path} exists and is not a socket but a directory"),
        ("NotASocket", "bus.sock", |path| Box::new(symlink("nowhere", path)),
            "{path} exists and is not a socket but a symbolic link, which is not followed"),
        ("NotASocket", "bus.sock", |path| {
            let target = path.with_extension("target");
            symlink(&target, path).unwrap();
            Box::new(ForeignListener::bind(target))
        }, "{path} exists and is not a socket but a symbolic link, which is not followed"),
        ("InUse", "bus.sock", |path| Box::new(ForeignListener::bind(path)),
            "{path} is in use: somebody listens there"),
        ("InUse", "bus.sock", |path| {
            let socket = tokio::net::UnixSocket::new_stream().unwrap();
            socket.bind(path).unwrap();
            Box::new(full(socket.listen(1).unwrap(), path))
        }, "{path} is in use: somebody listens there, though its backlog is full"),
        ("InUse", "bus.sock", |path| {
            let lock = fs::File::create(path.with_extension("sock.lock")).unwrap();
            lock.try_lock().unwrap();
            Box::new(lock)
        }, "{path} is in use: somebody holds the lock beside it"),
        ("Stale", "bus.sock", |path| Box::new(stale(path)),
            "{path} is stale: nobody listens behind it; remove it or let cleanup do so"),
        ("Io", "bus.sock", |path| Box::new(UnixDatagram::bind(path)),
            "cannot probe {path}: Protocol wrong type for socket (os error 91)"),
        ("NoDirectory", "missing/bus.sock", nothing,
            "the directory of {path} does not exist"),
        ("Io", "file/bus.sock", |path| Box::new(fs::write(path.parent().unwrap(), "mine")),
            "cannot look at {path}: Not a directory (os error 20)"),
        ("Io", "bus.sock", |path| Box::new(fs::create_dir(path.with_extension("sock.lock"))),
            "cannot open the lock {path}.lock: Is a directory (os error 21)"),
        ("Io", "bus.sock", |path| {
            let target = path.with_extension("target");
            fs::write(&target, "mine").unwrap();
            Box::new(symlink(target, path.with_extension("sock.lock")))
        }, "cannot open the lock {path}.lock: Too many levels of symbolic links (os error 40)"),
        ("Io", "bus.sock", |path| Box::new(ForeignListener::bind(path.with_extension("sock.lock"))),
            "cannot open the lock {path}.lock: No such device or address (os error 6)"),
    ];
    let options = ListenerOptions::new().cleanup(false);
    for (variant, name, in_the_way, text) in table {
        let dir = Dir::new();
        let path = dir.0.path().join(name);
        let _alive = in_the_way(&path);
        let before = dir.state();
        let text = text.replace("{path}", path.to_str().unwrap());
        let listener = options.bind(&path).await.unwrap_err();
        let server = bind_as_server(&path, options).await.unwrap_err();
        for error in [listener, server] {
            assert_eq!(error.to_string(), text);
            assert!(format!("{error:?}").starts_with(variant), "{error:?}");
        }
        assert_eq!(dir.state(), before, "{text}");
    }
}

/// A listener whose backlog has no room, and those who fill it.
fn full(
    listener: tokio::net::UnixListener,
    path: &Path,
) -> (tokio::net::UnixListener, Vec<ForeignStream>) {
    let mut waiting = Vec::new();
    loop {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        match rustix::net::connect(&socket, &SocketAddrUnix::new(path).unwrap()) {
            Ok(()) => waiting.push(socket.into()),
            Err(error) => {
                assert_eq!(error, rustix::io::Errno::AGAIN);
                return (listener, waiting);
            }
        }
    }
}

#[tokio::test]
async fn a_path_that_no_socket_can_have_is_told() {
    let long = format!("/tmp/{}", "x".repeat(SocketPath::limit() - 4));
    let (len, limit) = (SocketPath::limit() + 1, SocketPath::limit());
    let table = [
        ("", "the socket path is empty".to_owned()),
        ("@", "the socket path is empty".to_owned()),
        ("/tmp/a\0b", r#"socket path "/tmp/a\0b" contains a NUL byte"#.to_owned()),
        ("@a\0b", r#"socket path "@a\0b" contains a NUL byte"#.to_owned()),
        (
            &*long,
            format!("socket path {long:?} has {len} bytes; this platform allows {limit}"),
        ),
    ];
    for (path, text) in table {
        let path = Path::new(path);
        assert_eq!(Listener::bind(path).await.unwrap_err().to_string(), text);
        let server = bind_as_server(path, ListenerOptions::new()).await.unwrap_err();
        assert_eq!(server.to_string(), text);
        assert!(matches!(server, BindError::Path(_)), "{server:?}");
        let client = connect_as_client(path).await.unwrap_err();
        assert_eq!(client.to_string(), text);
        assert!(matches!(client, ClientError::Path(_)), "{client:?}");
    }
    assert!(matches!(SocketPath::new("x".repeat(200)), Err(SocketPathError::TooLong { .. })));
}

#[tokio::test]
async fn the_longest_path_is_bound_and_one_that_leaves_no_room_beside_it_is_told() {
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
    let mut deep = longest(dir.0.path()).into_os_string().into_string().unwrap();
    deep.truncate(SocketPath::limit() - 3);
    fs::create_dir(&deep).unwrap();
    let path = Path::new(&deep).join("ab");
    assert_eq!(path.as_os_str().len(), SocketPath::limit());
    let error = Listener::bind(&path).await.unwrap_err();
    let (limit, needed) = (SocketPath::limit(), deep.len() + 1 + ".k01234567".len());
    assert_eq!(
        error.to_string(),
        format!(
            "the directory of {deep}/ab is too deep: a temporary name of {needed} bytes is needed \
             beside it; this platform allows {limit}"
        )
    );
    assert!(fs::read_dir(&deep).unwrap().next().is_none());
}

#[tokio::test]
async fn whoever_cannot_be_connected_to_is_told_and_not_touched() {
    let table: &[(&str, &str, InTheWay, &str)] = &[
        ("NobodyThere", "bus.sock", nothing,
            "nobody listens at {path}: No such file or directory (os error 2)"),
        ("NobodyThere", "missing/bus.sock", nothing,
            "nobody listens at {path}: No such file or directory (os error 2)"),
        ("NobodyThere", "bus.sock", |path| Box::new(stale(path)),
            "nobody listens at {path}: Connection refused (os error 111)"),
        ("NotASocket", "bus.sock", |path| Box::new(fs::write(path, "mine")),
            "{path} is not a socket"),
        ("NotASocket", "bus.sock", |path| Box::new(fs::create_dir(path)),
            "{path} is not a socket"),
        ("Busy", "bus.sock", |path| {
            let socket = tokio::net::UnixSocket::new_stream().unwrap();
            socket.bind(path).unwrap();
            Box::new(full(socket.listen(1).unwrap(), path))
        }, "the listener at {path} is busy: its backlog is full"),
        ("Io", "bus.sock", |path| Box::new(UnixDatagram::bind(path)),
            "cannot connect to {path}: Protocol wrong type for socket (os error 91)"),
        ("Io", "file/bus.sock", |path| Box::new(fs::write(path.parent().unwrap(), "mine")),
            "cannot connect to {path}: Not a directory (os error 20)"),
        ("Io", "bus.sock", |path| Box::new(symlink(path, path)),
            "cannot connect to {path}: Too many levels of symbolic links (os error 40)"),
    ];
    for (variant, name, in_the_way, text) in table {
        let dir = Dir::new();
        let path = dir.0.path().join(name);
        let _alive = in_the_way(&path);
        let before = dir.state();
        let text = text.replace("{path}", path.to_str().unwrap());
        let target = SocketPath::new(&path).unwrap();
        let connector = UnixConnector::new().oneshot(target.into()).await.unwrap_err();
        assert_eq!(connector.to_string(), text);
        assert!(format!("{connector:?}").starts_with(variant), "{connector:?}");
        let client = connect_as_client(&path).await.unwrap_err();
        assert_eq!(client.to_string(), text);
        let ClientError::Establish(EstablishError::Make(error)) = client else {
            panic!("{client:?}")
        };
        assert!(error.is::<ConnectError>(), "the connector's own error is to be had: {error:?}");
        assert_eq!(dir.state(), before, "{text}");
    }
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_all_is_gone_at_the_end() {
    let dir = Dir::new();
    stale(&dir.path());
    // As a process leaves them that was killed.
    fs::write(dir.lock(), "").unwrap();
    let mut listener = Listener::bind(dir.path()).await.unwrap();
    assert_eq!(dir.names(), ["bus.sock", "bus.sock.lock"]);
    let _stream = ForeignStream::connect(dir.path()).unwrap();
    listener.accept().await;
    listener.close().unwrap();
    listener.close().unwrap();
    assert!(dir.names().is_empty());
}

#[tokio::test]
async fn a_path_is_bound_again_as_soon_as_its_owner_is_gone() {
    let dir = Dir::new();
    for _ in 0..50 {
        let listener = Listener::bind(dir.path()).await.unwrap();
        let second = Listener::bind(dir.path()).await.unwrap_err();
        assert!(matches!(second, BindError::InUse { .. }), "{second:?}");
        drop(listener);
    }
    assert!(dir.names().is_empty());
}

#[tokio::test]
async fn a_symbolic_link_to_a_listener_is_connected_through() {
    let dir = Dir::new();
    let mut listener = Listener::bind(dir.path()).await.unwrap();
    let link = dir.0.path().join("link");
    symlink(dir.path(), &link).unwrap();
    let target = SocketPath::new(&link).unwrap();
    let _stream = UnixConnector::new().oneshot(target.into()).await.unwrap();
    listener.accept().await;
}

/// What somebody else has put there since is not removed.
#[tokio::test]
async fn what_is_no_longer_ours_is_left_alone() {
    let replace: [InTheWay; 4] = [
        |path| Box::new(fs::write(path, "mine")),
        |path| Box::new(ForeignListener::bind(path).unwrap()),
        |path| Box::new(symlink("elsewhere", path)),
        |path| Box::new(fs::create_dir(path)),
    ];
    for replace in replace {
        let dir = Dir::new();
        let mut listener = Listener::bind(dir.path()).await.unwrap();
        fs::remove_file(dir.path()).unwrap();
        let _theirs = replace(&dir.path());
        let theirs = dir.state().remove(&dir.path());
        listener.close().unwrap();
        assert_eq!(dir.state().remove(&dir.path()), theirs);
        assert_eq!(dir.names(), ["bus.sock"], "our lock is gone");
    }

    let dir = Dir::new();
    let mut listener = Listener::bind(dir.path()).await.unwrap();
    fs::remove_file(dir.path()).unwrap();
    listener.close().unwrap();
    assert!(dir.names().is_empty(), "nothing there is no error");

    let dir = Dir::new();
    let listener = Listener::bind(dir.path()).await.unwrap();
    fs::remove_file(dir.lock()).unwrap();
    fs::write(dir.lock(), "theirs").unwrap();
    drop(listener);
    assert_eq!(fs::read(dir.lock()).unwrap(), b"theirs");
    assert_eq!(dir.names(), ["bus.sock.lock"]);

    // A file of that name that was there before and says something is nobody's lock file.
    let dir = Dir::new();
    fs::write(dir.lock(), "theirs").unwrap();
    drop(Listener::bind(dir.path()).await.unwrap());
    assert_eq!(fs::read(dir.lock()).unwrap(), b"theirs");
}

#[tokio::test]
async fn a_socket_that_was_handed_over_is_not_removed() {
    let dir = Dir::new();
    let socket = tokio::net::UnixListener::bind(dir.path()).unwrap();
    let before = dir.state();
    let mut listener = Listener::from(socket);
    let _stream = ForeignStream::connect(dir.path()).unwrap();
    listener.accept().await;
    listener.close().unwrap();
    drop(listener);
    assert_eq!(dir.state(), before);
}

#[tokio::test]
async fn a_path_may_be_relative_and_the_directory_may_change() {
    let Some(_child) = Child::run("a_path_may_be_relative_and_the_directory_may_change", false)
    else {
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
async fn the_mode_is_the_one_asked_for_whatever_the_umask() {
    let Some(_child) = Child::run("the_mode_is_the_one_asked_for_whatever_the_umask", false)
    else {
        return;
    };
    for mask in [0o000, 0o022, 0o077, 0o777] {
        for mode in [0o600, 0o660, 0o666] {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
            let dir = Dir::new();
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
            let listener = ListenerOptions::new().mode(mode).bind(dir.path()).await.unwrap();
            let metadata = fs::symlink_metadata(dir.path()).unwrap();
            assert!(metadata.file_type().is_socket());
            assert_eq!(metadata.mode() & 0o7777, mode, "umask {mask:o}");
            let lock = fs::symlink_metadata(dir.lock()).unwrap().mode();
            assert_eq!(lock & 0o077, 0, "the lock is nobody else's");
            drop(listener);
            assert!(dir.names().is_empty());
        }
    }
}

/// As soon as the path can be seen it has its mode and somebody listens behind it.
#[tokio::test]
async fn the_path_never_has_another_mode_and_never_refuses() {
    let dir = Dir::new();
    let done = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (path, done) = (dir.path(), done.clone());
        let seen = move || {
            let meta = fs::symlink_metadata(&path).ok()?;
            Some((meta.ino(), meta.ctime(), meta.ctime_nsec(), meta.mode() & 0o7777, path.clone()))
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
    assert!(connected > 0, "the watcher met a listener");
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
                        let runtime =
                            tokio::runtime::Builder::new_current_thread().enable_all().build();
                        let runtime = runtime.unwrap();
                        start.wait();
                        let bound = runtime.block_on(Listener::bind(path));
                        (bound, runtime)
                    })
                })
                .collect();
            let all: Vec<_> = all.into_iter().map(|thread| thread.join().unwrap()).collect();
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
    assert_eq!(bound.iter().filter(|bound| bound.is_ok()).count(), 1, "{bound:?}");
    for error in bound.iter().filter_map(|bound| bound.as_ref().err()) {
        assert!(matches!(error, BindError::InUse { .. }), "{error:?}");
    }
    assert_eq!(dir.names(), ["bus.sock", "bus.sock.lock"]);
    ForeignStream::connect(dir.path()).unwrap();
}

/// Binding and closing, over and over, by many: never two owners at once.
#[test]
fn owners_that_come_and_go_never_meet() {
    let dir = Dir::new();
    let owners = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (owners, path) = (owners.clone(), dir.path());
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(async {
                    let mut bound = 0;
                    for _ in 0..200 {
                        match Listener::bind(&path).await {
                            Ok(mut listener) => {
                                assert_eq!(owners.fetch_add(1, Ordering::SeqCst), 0);
                                ForeignStream::connect(&path).unwrap();
                                owners.fetch_sub(1, Ordering::SeqCst);
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
    let bound: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(bound > 0);
    assert!(dir.names().is_empty(), "{:?}", dir.names());
}

#[tokio::test]
async fn those_who_wait_to_be_accepted_get_an_orderly_end() {
    // Without a word from tokio's driver, with it, and more than tokio lets a task do in one go.
    for (driven, waiting) in [(false, 3), (true, 3), (true, 300)] {
        let dir = Dir::new();
        let mut listener = Listener::bind(dir.path()).await.unwrap();
        if driven {
            let _first = ForeignStream::connect(dir.path()).unwrap();
            listener.accept().await;
        }
        let mut streams: Vec<_> =
            (0..waiting).map(|_| ForeignStream::connect(dir.path()).unwrap()).collect();
        for stream in &mut streams {
            // As every client does; closing with this unread would reset it.
            stream.write_all(b"establish").unwrap();
        }
        listener.close().unwrap();
        for (i, mut stream) in streams.into_iter().enumerate() {
            let mut rest = Vec::new();
            let end = stream.read_to_end(&mut rest);
            assert!(matches!(end, Ok(0)), "{i} of {waiting}, driven {driven}: {end:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_ends_those_who_have_not_introduced_themselves_in_order() {
    let dir = Dir::new();
    let server = bind_as_server(&dir.path(), ListenerOptions::new()).await.unwrap();
    let streams: Vec<_> = (0..300)
        .map(|_| {
            let mut stream = ForeignStream::connect(dir.path()).unwrap();
            stream.write_all(&[3, 0, 0, 0]).unwrap();
            stream
        })
        .collect();
    server.dispose().await;
    assert!(dir.names().is_empty());
    for (i, mut stream) in streams.into_iter().enumerate() {
        let end = stream.read_to_end(&mut Vec::new());
        assert!(matches!(end, Ok(0)), "{i}: {end:?}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_abstract_name_has_one_owner_and_no_file() {
    use std::os::{linux::net::SocketAddrExt as _, unix::net::SocketAddr};
    let name = format!("kyneta-uds-test-{}", std::process::id());
    let path = format!("@{name}");
    let target = || SocketPath::new(&path).unwrap();
    let connect = || UnixConnector::new().oneshot(target().into());

    let error = connect().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("nobody listens at {path}: Connection refused (os error 111)")
    );

    let mut listener = Listener::bind(&*path).await.unwrap();
    assert_eq!(
        Listener::bind(&*path).await.unwrap_err().to_string(),
        format!("{path} is in use: the abstract name is taken")
    );
    let (_connected, _accepted) = (connect().await.unwrap(), listener.accept().await);
    // The name is this and nothing more: others find it too.
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _foreign = ForeignStream::connect_addr(&address).unwrap();
    listener.accept().await;
    assert!(!Path::new(&path).exists() && !Path::new(&format!("{path}.lock")).exists());
    listener.close().unwrap();
    assert!(matches!(connect().await, Err(ConnectError::NobodyThere { .. })));

    let foreign = ForeignListener::bind_addr(&address).unwrap();
    assert!(matches!(Listener::bind(&*path).await, Err(BindError::InUse { .. })));
    drop(foreign);
    drop(Listener::bind(&*path).await.unwrap());
}

#[tokio::test]
async fn what_is_not_permitted_is_told() {
    // Modes mean nothing to root.
    let Some(_child) = Child::run("what_is_not_permitted_is_told", true) else { return };
    let denied = "Permission denied (os error 13)";
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };

    let dir = Dir::new();
    let path = dir.path();
    mode(dir.0.path(), 0o500);
    assert_eq!(
        Listener::bind(&path).await.unwrap_err().to_string(),
        format!("not permitted to open the lock {}: {denied}", dir.lock().display())
    );
    let server = bind_as_server(&path, ListenerOptions::new()).await.unwrap_err();
    assert!(matches!(server, BindError::NotPermitted { .. }), "{server:?}");
    mode(dir.0.path(), 0o000);
    assert_eq!(
        Listener::bind(&path).await.unwrap_err().to_string(),
        format!("not permitted to look at {}: {denied}", path.display())
    );
    mode(dir.0.path(), 0o700);
    assert!(dir.names().is_empty());

    let foreign = ForeignListener::bind(&path).unwrap();
    mode(&path, 0o000);
    let before = dir.state();
    assert_eq!(
        connect_as_client(&path).await.unwrap_err().to_string(),
        format!("not permitted to connect to {}: {denied}", path.display())
    );
    assert_eq!(
        Listener::bind(&path).await.unwrap_err().to_string(),
        format!("not permitted to probe {}: {denied}", path.display())
    );
    assert_eq!(dir.state(), before);
    drop(foreign);
    fs::remove_file(&path).unwrap();

    fs::write(dir.lock(), "").unwrap();
    mode(&dir.lock(), 0o000);
    assert_eq!(
        Listener::bind(&path).await.unwrap_err().to_string(),
        format!("not permitted to open the lock {}: {denied}", dir.lock().display())
    );
    fs::remove_file(dir.lock()).unwrap();

    stale(&path);
    fs::write(dir.lock(), "").unwrap();
    mode(dir.0.path(), 0o500);
    assert_eq!(
        Listener::bind(&path).await.unwrap_err().to_string(),
        format!("not permitted to remove the stale {}: {denied}", path.display())
    );
    mode(dir.0.path(), 0o700);

    let mut listener = Listener::bind(&path).await.unwrap();
    mode(dir.0.path(), 0o500);
    let error = listener.close().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    mode(dir.0.path(), 0o700);
}

/// A test that changes what belongs to the whole process, or must not be root, runs once more, in a
/// process of its own.
struct Child;

impl Child {
    /// In the child: itself. In the parent: `None`, after the child has passed.
    fn run(test: &str, as_nobody: bool) -> Option<Self> {
        const CHILD: &str = "KYNETA_UDS_TEST_CHILD";
        if std::env::var_os(CHILD).is_some() {
            return Some(Self);
        }
        // Not by its path, where nobody may have no way to.
        let itself = Path::new("/proc/self/exe");
        let itself = if itself.exists() { itself.into() } else { std::env::current_exe().unwrap() };
        let mut child = Command::new(itself);
        child.args(["--exact", test, "--nocapture"]).env(CHILD, "1").current_dir("/");
        if as_nobody && rustix::process::geteuid().is_root() {
            child.uid(65534).gid(65534).env_remove("TMPDIR");
        }
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        None
    }
}

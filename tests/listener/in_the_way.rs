//! Whatever is in the way of a bind or of a connect is told with path and cause, and not touched.

use std::{
    fs,
    os::unix::{
        fs::symlink,
        net::{UnixDatagram, UnixListener as ForeignListener},
    },
    path::Path,
};

use kyneta_uds::{
    BindError, ClientError, Listener, ListenerOptions, SocketPath, SocketPathError, UnixConnector,
};
use tower::ServiceExt as _;

use crate::support::{
    Dir, InTheWay, bind_as_server, chain, connect_as_client, full, nothing, stale,
};

#[tokio::test]
async fn whatever_is_in_the_way_of_a_bind_is_told_and_not_touched() {
    let table: &[(&str, &str, InTheWay, &str)] = &[
        (
            "NotASocket",
            "bus.sock",
            |path| Box::new(fs::write(path, "mine")),
            "{path} exists and is not a socket but a regular file",
        ),
        (
            "NotASocket",
            "bus.sock",
            |path| Box::new(fs::create_dir(path)),
            "{path} exists and is not a socket but a directory",
        ),
        (
            "NotASocket",
            "bus.sock",
            |path| Box::new(symlink("nowhere", path)),
            "{path} exists and is not a socket but a symbolic link, which is not followed",
        ),
        (
            "NotASocket",
            "bus.sock",
            |path| {
                let target = path.with_extension("target");
                symlink(&target, path).unwrap();
                Box::new(ForeignListener::bind(target))
            },
            "{path} exists and is not a socket but a symbolic link, which is not followed",
        ),
        (
            "InUse",
            "bus.sock",
            |path| Box::new(ForeignListener::bind(path)),
            "{path} is in use: somebody listens there",
        ),
        (
            "InUse",
            "bus.sock",
            |path| {
                let socket = tokio::net::UnixSocket::new_stream().unwrap();
                socket.bind(path).unwrap();
                Box::new(full(socket.listen(1).unwrap(), path))
            },
            "{path} is in use: somebody listens there, though its backlog is full",
        ),
        (
            "InUse",
            "bus.sock",
            |path| {
                let lock = fs::File::create(path.with_extension("sock.lock")).unwrap();
                lock.try_lock().unwrap();
                Box::new(lock)
            },
            "{path} is in use: somebody holds the lock beside it",
        ),
        (
            "Stale",
            "bus.sock",
            |path| {
                stale(path);
                nothing(path)
            },
            "{path} is stale: nobody listens behind it; remove it or let cleanup do so",
        ),
        (
            "Io",
            "bus.sock",
            |path| Box::new(UnixDatagram::bind(path)),
            "cannot probe {path}: Protocol wrong type for socket (os error 91)",
        ),
        (
            "NoDirectory",
            "missing/bus.sock",
            nothing,
            "the directory of {path} does not exist",
        ),
        (
            "Io",
            "file/bus.sock",
            |path| Box::new(fs::write(path.parent().unwrap(), "mine")),
            "cannot look at {path}: Not a directory (os error 20)",
        ),
        (
            "Io",
            "bus.sock",
            |path| Box::new(fs::create_dir(path.with_extension("sock.lock"))),
            "cannot open the lock {path}.lock: Is a directory (os error 21)",
        ),
        (
            "Io",
            "bus.sock",
            |path| {
                let target = path.with_extension("target");
                fs::write(&target, "mine").unwrap();
                Box::new(symlink(target, path.with_extension("sock.lock")))
            },
            "cannot open the lock {path}.lock: Too many levels of symbolic links (os error 40)",
        ),
        (
            "Io",
            "bus.sock",
            |path| Box::new(ForeignListener::bind(path.with_extension("sock.lock"))),
            "cannot open the lock {path}.lock: No such device or address (os error 6)",
        ),
    ];
    let options = ListenerOptions::new().cleanup(false);
    for (variant, name, in_the_way, text) in table {
        let dir = Dir::new();
        let path = dir.0.path().join(name);
        let _alive = in_the_way(&path);
        let before = dir.state();
        let text = text.replace("{path}", path.to_str().unwrap());
        let listener = options.clone().bind(&path).await.unwrap_err();
        let server = bind_as_server(&path, options.clone()).await.unwrap_err();
        for error in [listener, server] {
            assert_eq!(chain(&error), text);
            assert!(format!("{error:?}").starts_with(variant), "{error:?}");
        }
        assert_eq!(dir.state(), before, "{text}");
    }
}

#[tokio::test]
async fn a_path_that_no_socket_can_have_is_told() {
    let long = format!("/tmp/{}", "x".repeat(SocketPath::limit() - 4));
    let (len, limit) = (SocketPath::limit() + 1, SocketPath::limit());
    let table = [
        ("", "the socket path is empty".to_owned()),
        ("@", "the socket path is empty".to_owned()),
        (
            "/tmp/a\0b",
            r#"socket path "/tmp/a\0b" contains a NUL byte"#.to_owned(),
        ),
        (
            "@a\0b",
            r#"socket path "@a\0b" contains a NUL byte"#.to_owned(),
        ),
        (
            &*long,
            format!("socket path {long:?} has {len} bytes; this platform allows {limit}"),
        ),
    ];
    for (path, text) in table {
        let path = Path::new(path);
        assert_eq!(chain(&Listener::bind(path).await.unwrap_err()), text);
        let server = bind_as_server(path, ListenerOptions::new())
            .await
            .unwrap_err();
        assert_eq!(chain(&server), text);
        assert!(matches!(server, BindError::Path(_)), "{server:?}");
        let client = connect_as_client(path).await.unwrap_err();
        assert!(chain(&client).ends_with(&text), "{client:?}");
        assert!(matches!(client, ClientError::Path(_)), "{client:?}");
    }
    assert!(matches!(
        SocketPath::new("x".repeat(200)),
        Err(SocketPathError::TooLong { .. })
    ));
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

#[tokio::test]
async fn whoever_cannot_be_connected_to_is_told_and_not_touched() {
    let table: &[(&str, &str, InTheWay, &str)] = &[
        (
            "NobodyThere",
            "bus.sock",
            nothing,
            "nobody listens at {path}: No such file or directory (os error 2)",
        ),
        (
            "NobodyThere",
            "missing/bus.sock",
            nothing,
            "nobody listens at {path}: No such file or directory (os error 2)",
        ),
        (
            "NobodyThere",
            "bus.sock",
            |path| {
                stale(path);
                nothing(path)
            },
            "nobody listens at {path}: Connection refused (os error 111)",
        ),
        (
            "NotASocket",
            "bus.sock",
            |path| Box::new(fs::write(path, "mine")),
            "{path} is not a socket",
        ),
        (
            "NotASocket",
            "bus.sock",
            |path| Box::new(fs::create_dir(path)),
            "{path} is not a socket",
        ),
        (
            "Busy",
            "bus.sock",
            |path| {
                let socket = tokio::net::UnixSocket::new_stream().unwrap();
                socket.bind(path).unwrap();
                Box::new(full(socket.listen(1).unwrap(), path))
            },
            "the listener at {path} is busy: its backlog is full: Resource temporarily unavailable (os error 11)",
        ),
        (
            "Io",
            "bus.sock",
            |path| Box::new(UnixDatagram::bind(path)),
            "cannot connect to {path}: Protocol wrong type for socket (os error 91)",
        ),
        (
            "Io",
            "file/bus.sock",
            |path| Box::new(fs::write(path.parent().unwrap(), "mine")),
            "cannot connect to {path}: Not a directory (os error 20)",
        ),
        (
            "Symlink",
            "bus.sock",
            |path| Box::new(symlink("nowhere", path)),
            "{path} is a symbolic link, which is not followed: connect to its target",
        ),
        (
            "Symlink",
            "bus.sock",
            |path| {
                let target = path.with_extension("target");
                symlink(&target, path).unwrap();
                Box::new(ForeignListener::bind(target).unwrap())
            },
            "{path} is a symbolic link, which is not followed: connect to its target",
        ),
    ];
    for (variant, name, in_the_way, text) in table {
        let dir = Dir::new();
        let path = dir.0.path().join(name);
        let _alive = in_the_way(&path);
        let before = dir.state();
        let text = text.replace("{path}", path.to_str().unwrap());
        let target = SocketPath::new(&path).unwrap();
        let connector = UnixConnector::new()
            .oneshot(target.into())
            .await
            .unwrap_err();
        assert_eq!(chain(&connector), text);
        assert!(
            format!("{connector:?}").starts_with(variant),
            "{connector:?}"
        );
        let client = connect_as_client(&path).await.unwrap_err();
        assert!(chain(&client).ends_with(&text), "{client:?}");
        assert!(
            client.connect_error().is_some(),
            "the connector's own error is to be had: {client:?}"
        );
        assert_eq!(dir.state(), before, "{text}");
    }
}

//! Obstacles at a path: a bind or a connect reports them with path and cause, and does not change them.
//!
//! A failure shows the sentence, of which path and cause are a part, or the obstacle that is gone.

use std::{
    fs, io,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::{UnixDatagram, UnixListener as ForeignListener},
    },
    path::Path,
};

use kyneta_uds::{
    BindError, ClientError, Listener, ListenerOptions, SocketPath, SocketPathError, UnixConnector,
};
use tower::ServiceExt as _;

use crate::{
    roles::{bind_as_server, connect_as_client},
    support::{
        Child, Dir, Obstacle, busy_listener, chain, link_to_listener, nothing, stale, stale_socket,
    },
};

#[tokio::test]
async fn an_obstacle_to_a_bind_is_reported_and_not_changed() {
    let table: &[(&str, &str, Obstacle, &str)] = &[
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
            link_to_listener,
            "{path} exists and is not a socket but a symbolic link, which is not followed",
        ),
        (
            "InUse",
            "bus.sock",
            |path| Box::new(ForeignListener::bind(path)),
            "{path} is in use: a process listens there",
        ),
        (
            "InUse",
            "bus.sock",
            busy_listener,
            "{path} is in use: a process listens there, though its backlog is full",
        ),
        (
            "InUse",
            "bus.sock",
            |path| {
                let lock = fs::File::create(path.with_extension("sock.lock")).unwrap();
                lock.try_lock().unwrap();
                Box::new(lock)
            },
            "{path} is in use: another process holds the lock beside it",
        ),
        (
            "Stale",
            "bus.sock",
            stale_socket,
            "{path} is stale: no process listens there; remove it or let cleanup do so",
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
    for (variant, name, obstacle, text) in table {
        let dir = Dir::new();
        let path = dir.0.path().join(name);
        let _alive = obstacle(&path);
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
async fn a_path_that_no_socket_can_have_is_an_error() {
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
async fn an_obstacle_to_a_connect_is_reported_and_not_changed() {
    let table: &[(&str, &str, Obstacle, &str)] = &[
        (
            "NoListener",
            "bus.sock",
            nothing,
            "{path}: no process listens: No such file or directory (os error 2)",
        ),
        (
            "NoListener",
            "missing/bus.sock",
            nothing,
            "{path}: no process listens: No such file or directory (os error 2)",
        ),
        (
            "NoListener",
            "bus.sock",
            stale_socket,
            "{path}: no process listens: Connection refused (os error 111)",
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
            busy_listener,
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
            link_to_listener,
            "{path} is a symbolic link, which is not followed: connect to its target",
        ),
    ];
    for (variant, name, obstacle, text) in table {
        let dir = Dir::new();
        let path = dir.0.path().join(name);
        let _alive = obstacle(&path);
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
            "the connector's own error is available: {client:?}"
        );
        assert_eq!(dir.state(), before, "{text}");
    }
}

#[tokio::test]
async fn missing_permissions_are_reported() {
    // Modes do not restrict root.
    let Some(_child) = Child::run("obstacles::missing_permissions_are_reported", true) else {
        return;
    };
    let denied = "Permission denied (os error 13)";
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };

    let dir = Dir::new();
    let path = dir.path();
    mode(dir.0.path(), 0o500);
    assert_eq!(
        chain(&Listener::bind(&path).await.unwrap_err()),
        format!(
            "not permitted to open the lock {}: {denied}",
            dir.lock().display()
        )
    );
    let server = bind_as_server(&path, ListenerOptions::new())
        .await
        .unwrap_err();
    assert!(
        matches!(server, BindError::NotPermitted { .. }),
        "{server:?}"
    );
    mode(dir.0.path(), 0o000);
    assert_eq!(
        chain(&Listener::bind(&path).await.unwrap_err()),
        format!("not permitted to look at {}: {denied}", path.display())
    );
    mode(dir.0.path(), 0o700);
    assert!(dir.names().is_empty());

    let foreign = ForeignListener::bind(&path).unwrap();
    mode(&path, 0o000);
    let before = dir.state();
    let client = chain(&connect_as_client(&path).await.unwrap_err());
    let text = format!("not permitted to connect to {}: {denied}", path.display());
    assert!(client.ends_with(&text), "{client}");
    assert_eq!(
        chain(&Listener::bind(&path).await.unwrap_err()),
        format!("not permitted to probe {}: {denied}", path.display())
    );
    assert_eq!(dir.state(), before);
    drop(foreign);
    fs::remove_file(&path).unwrap();

    fs::write(dir.lock(), "").unwrap();
    mode(&dir.lock(), 0o000);
    assert_eq!(
        chain(&Listener::bind(&path).await.unwrap_err()),
        format!(
            "not permitted to open the lock {}: {denied}",
            dir.lock().display()
        )
    );
    fs::remove_file(dir.lock()).unwrap();

    stale(&path);
    fs::write(dir.lock(), "").unwrap();
    mode(dir.0.path(), 0o500);
    assert_eq!(
        chain(&Listener::bind(&path).await.unwrap_err()),
        format!(
            "not permitted to remove the stale {}: {denied}",
            path.display()
        )
    );
    mode(dir.0.path(), 0o700);

    let mut listener = Listener::bind(&path).await.unwrap();
    mode(dir.0.path(), 0o500);
    let error = listener.close().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    mode(dir.0.path(), 0o700);
}

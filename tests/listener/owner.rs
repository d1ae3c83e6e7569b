//! A path has one owner, who removes what is its own and nothing else.

use std::{
    fs,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            fs::symlink,
            net::{SocketAddr, UnixListener as ForeignListener, UnixStream as ForeignStream},
        },
    },
    path::Path,
};

use kyneta_uds::{BindError, ConnectError, Listener, SocketPath, UnixConnector};
use tower::ServiceExt as _;

use crate::support::{Child, Dir, InTheWay, chain, stale};

#[tokio::test]
async fn a_stale_socket_is_replaced_and_all_is_gone_at_the_end() {
    let dir = Dir::new();
    stale(&dir.path());
    // As a process leaves them that was killed.
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

/// Only the last part of a path is not followed as a link.
#[tokio::test]
async fn a_directory_that_is_a_symbolic_link_is_gone_through() {
    let dir = Dir::new();
    let link = dir.0.path().join("link");
    symlink(dir.0.path(), &link).unwrap();
    let path = SocketPath::new(link.join("bus.sock")).unwrap();
    let mut listener = Listener::bind(dir.path()).await.unwrap();
    let _stream = UnixConnector::new().oneshot(path.into()).await.unwrap();
    let _ = listener.accept().await;
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
    let _ = listener.accept().await;
    listener.close().unwrap();
    drop(listener);
    assert_eq!(dir.state(), before);
}

#[tokio::test]
async fn a_path_may_be_relative_and_the_directory_may_change() {
    let Some(_child) = Child::run(
        "owner::a_path_may_be_relative_and_the_directory_may_change",
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
async fn an_abstract_name_has_one_owner_and_no_file() {
    let name = format!("kyneta-uds-test-{}", std::process::id());
    let path = format!("@{name}");
    let target = || SocketPath::new(&path).unwrap();
    let connect = || UnixConnector::new().oneshot(target().into());

    let error = connect().await.unwrap_err();
    assert_eq!(
        chain(&error),
        format!("nobody listens at {path}: Connection refused (os error 111)")
    );

    let mut listener = Listener::bind(&*path).await.unwrap();
    assert_eq!(
        chain(&Listener::bind(&*path).await.unwrap_err()),
        format!("{path} is in use: the abstract name is taken")
    );
    let (_connected, _accepted) = (connect().await.unwrap(), listener.accept().await);
    // The name is this and nothing more: others find it too.
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _foreign = ForeignStream::connect_addr(&address).unwrap();
    let _ = listener.accept().await;
    assert!(!Path::new(&path).exists() && !Path::new(&format!("{path}.lock")).exists());
    listener.close().unwrap();
    assert!(matches!(
        connect().await,
        Err(ConnectError::NobodyThere { .. })
    ));

    let foreign = ForeignListener::bind_addr(&address).unwrap();
    assert!(matches!(
        Listener::bind(&*path).await,
        Err(BindError::InUse { .. })
    ));
    drop(foreign);
    drop(Listener::bind(&*path).await.unwrap());
}

//! Who may do what: the mode of the path, and what is not permitted.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        net::UnixListener as ForeignListener,
    },
    path::Path,
};

use kyneta_uds::{Allow, BindError, Listener, ListenerOptions};

use crate::support::{Child, Dir, bind_as_server, chain, connect_as_client, stale};

#[tokio::test]
async fn the_mode_is_the_one_asked_for_whatever_the_umask() {
    let Some(_child) = Child::run(
        "mode::the_mode_is_the_one_asked_for_whatever_the_umask",
        false,
    ) else {
        return;
    };
    for mask in [0o000, 0o022, 0o077, 0o777] {
        // Whoever may connect may take over, and nobody else holds the lock.
        for (mode, allow, lock_mode) in [
            (0o600, Allow::anyone(), 0o600),
            (0o660, Allow::anyone(), 0o660),
            (0o666, Allow::anyone(), 0o666),
            (0o666, Allow::same_uid(), 0o600),
        ] {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
            let dir = Dir::new();
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
            let listener = ListenerOptions::new()
                .mode(mode)
                .allow(allow)
                .bind(dir.path())
                .await
                .unwrap();
            let metadata = fs::symlink_metadata(dir.path()).unwrap();
            assert!(metadata.file_type().is_socket());
            assert_eq!(metadata.mode() & 0o7777, mode, "umask {mask:o}");
            let lock = fs::symlink_metadata(dir.lock()).unwrap().mode();
            assert_eq!(lock & 0o7777, lock_mode, "of {mode:o}");
            drop(listener);
            assert!(dir.names().is_empty());
        }
    }
}

#[tokio::test]
async fn what_is_not_permitted_is_told() {
    // Modes mean nothing to root.
    let Some(_child) = Child::run("mode::what_is_not_permitted_is_told", true) else {
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

/// Opening a pipe to read would wait for somebody who writes; then this test hangs.
#[tokio::test]
async fn a_pipe_in_place_of_the_lock_is_not_waited_for() {
    // Root may write to it, which waits for nobody.
    let Some(_child) = Child::run("mode::a_pipe_in_place_of_the_lock_is_not_waited_for", true)
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

/// A user and a group that no account has.
const OTHER: u32 = 61_184;

#[tokio::test]
async fn members_of_the_files_group_are_let_in() {
    if let Some(path) = Child::path() {
        std::os::unix::net::UnixStream::connect(path).unwrap();
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("root alone may give any group: nothing is tested");
        return;
    }
    let dir = Dir::new();
    fs::set_permissions(dir.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut listener = ListenerOptions::new()
        .mode(0o660)
        .group(OTHER)
        .allow(Allow::uids([OTHER]))
        .bind(dir.path())
        .await
        .unwrap();
    for file in [dir.path(), dir.lock()] {
        let metadata = fs::symlink_metadata(file).unwrap();
        assert_eq!((metadata.gid(), metadata.mode() & 0o7777), (OTHER, 0o660));
    }
    Child::run_as(
        "mode::members_of_the_files_group_are_let_in",
        OTHER,
        &dir.path(),
    );
    let (_, permit) = listener.accept().await;
    assert_eq!(permit.credentials().unwrap().uid, OTHER);

    let error = ListenerOptions::new()
        .group(u32::MAX)
        .bind(dir.0.path().join("other.sock"))
        .await
        .unwrap_err();
    assert!(chain(&error).ends_with("4294967295 is the number of no group"));
}

#[tokio::test]
async fn a_stale_socket_of_another_user_in_a_sticky_directory_says_what_can_be_done() {
    if let Some(path) = Child::path() {
        let error = Listener::bind(&path).await.unwrap_err();
        assert!(
            matches!(
                error,
                BindError::StaleOfOther {
                    uid: 0,
                    directory_uid: 0,
                    ..
                }
            ),
            "{error:?}"
        );
        let text = chain(&error);
        assert!(text.contains("only its owner (uid 0)"), "{text}");
        assert!(
            text.ends_with("mode 2770: Operation not permitted (os error 1)"),
            "{text}"
        );
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("root alone may become another user: nothing is tested");
        return;
    }
    let dir = Dir::new();
    fs::set_permissions(dir.0.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    stale(&dir.path());
    // As a listener leaves it that lets others in.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o666)).unwrap();
    let before = dir.state();
    let test = "mode::a_stale_socket_of_another_user_in_a_sticky_directory_says_what_can_be_done";
    Child::run_as(test, OTHER, &dir.path());
    assert_eq!(dir.state(), before);
}

/// What the error and the guide recommend.
#[tokio::test]
async fn in_a_directory_of_a_group_another_user_takes_over_from_a_killed_listener() {
    let options = |other| {
        let allow = Allow::same_uid().or(Allow::uids([other]));
        ListenerOptions::new().mode(0o660).allow(allow)
    };
    if let Some(path) = Child::path() {
        options(0).bind(path).await.unwrap();
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("root alone may become another user: nothing is tested");
        return;
    }
    let dir = Dir::new();
    std::os::unix::fs::chown(dir.0.path(), None, Some(OTHER)).unwrap();
    fs::set_permissions(dir.0.path(), fs::Permissions::from_mode(0o2770)).unwrap();
    let listener = options(OTHER).bind(dir.path()).await.unwrap();
    let (socket, lock) = (dir.0.path().join("socket"), dir.0.path().join("lock"));
    for (file, kept) in [(dir.path(), &socket), (dir.lock(), &lock)] {
        fs::hard_link(file, kept).unwrap();
    }
    drop(listener);
    // As if it had been killed.
    for (kept, file) in [(socket, dir.path()), (lock, dir.lock())] {
        fs::rename(kept, file).unwrap();
    }
    let test = "mode::in_a_directory_of_a_group_another_user_takes_over_from_a_killed_listener";
    Child::run_as(test, OTHER, &dir.path());
    assert!(dir.names().is_empty());
}

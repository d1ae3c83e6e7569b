//! The mode and group of the socket file, and what they permit other users.
//!
//! Without root no other user can be tried; those tests say that they are skipped. A failure shows the mode in octal.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
};

use kyneta_uds_unix::{AccessPolicy, BindError, Listener, ListenerOptions};

use crate::support::{Child, Dir, chain, stale};

#[tokio::test]
async fn the_mode_is_the_one_asked_for_whatever_the_umask() {
    let Some(_child) = Child::run(
        "mode::the_mode_is_the_one_asked_for_whatever_the_umask",
        false,
    ) else {
        return;
    };
    for mask in [0o000, 0o022, 0o077, 0o777] {
        // All users that may connect may take over; no other user can hold the lock.
        for (mode, allow, lock_mode) in [
            (0o600, AccessPolicy::anyone(), 0o600),
            (0o660, AccessPolicy::anyone(), 0o660),
            (0o666, AccessPolicy::anyone(), 0o666),
            (0o666, AccessPolicy::same_uid(), 0o600),
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

/// A user and a group that no account has.
const OTHER: u32 = 61_184;

#[tokio::test]
async fn members_of_the_files_group_may_connect() {
    if let Some(path) = Child::path() {
        std::os::unix::net::UnixStream::connect(path).unwrap();
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("only root may set any group: nothing is tested");
        return;
    }
    let dir = Dir::new();
    fs::set_permissions(dir.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut listener = ListenerOptions::new()
        .mode(0o660)
        .group(OTHER)
        .allow(AccessPolicy::uids([OTHER]))
        .bind(dir.path())
        .await
        .unwrap();
    for file in [dir.path(), dir.lock()] {
        let metadata = fs::symlink_metadata(file).unwrap();
        assert_eq!((metadata.gid(), metadata.mode() & 0o7777), (OTHER, 0o660));
    }
    Child::run_as(
        "mode::members_of_the_files_group_may_connect",
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
async fn the_error_of_a_stale_socket_in_a_sticky_directory_says_what_to_do() {
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
        println!("only root may become another user: nothing is tested");
        return;
    }
    let dir = Dir::new();
    fs::set_permissions(dir.0.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    stale(&dir.path());
    // As a listener for other users leaves it.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o666)).unwrap();
    let before = dir.state();
    let test = "mode::the_error_of_a_stale_socket_in_a_sticky_directory_says_what_to_do";
    Child::run_as(test, OTHER, &dir.path());
    assert_eq!(dir.state(), before);
}

/// As the error and the guide recommend.
#[tokio::test]
async fn in_a_directory_of_a_group_another_user_takes_over_from_a_killed_listener() {
    let options = |other| {
        let allow = AccessPolicy::same_uid().or(AccessPolicy::uids([other]));
        ListenerOptions::new().mode(0o660).allow(allow)
    };
    if let Some(path) = Child::path() {
        options(0).bind(path).await.unwrap();
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("only root may become another user: nothing is tested");
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

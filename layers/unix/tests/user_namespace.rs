//! A listener in a user namespace and a pid namespace of its own (unshare(1)).
#![cfg(target_os = "linux")]

use std::{
    os::unix::net::UnixStream,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use kyneta_uds_unix::{AccessPolicy, ListenerEvent, ListenerOptions};

const PATH: &str = "KYNETA_UDS_TEST_PATH";

#[tokio::test]
async fn a_user_that_the_namespace_does_not_map_is_not_our_own() {
    if let Some(path) = std::env::var_os(PATH) {
        // Inside: our own uid is the overflow uid, as is that of the process outside.
        let options = ListenerOptions::new().allow(AccessPolicy::same_uid());
        let mut listener = options.bind(std::path::PathBuf::from(path)).await.unwrap();
        let event = listener.next().await;
        let ListenerEvent::Rejected(reason) = event else {
            panic!("{event:?}");
        };
        let credentials = reason.credentials().unwrap();
        assert_eq!(credentials.pid, None, "of another pid namespace");
        let text = reason.to_string();
        assert!(
            text.contains("all users that this namespace does not map"),
            "{text}"
        );
        return;
    }

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--pid", "--fork"]);
        unshare
    };
    if !unshare()
        .arg("true")
        .status()
        .is_ok_and(|status| status.success())
    {
        println!("namespaces are not available here: nothing is tested");
        return;
    }
    let mut child = unshare()
        .arg(std::env::current_exe().unwrap())
        .args(["--nocapture"])
        .env(PATH, &path)
        .spawn()
        .unwrap();
    let start = Instant::now();
    let status = loop {
        // Held until it is rejected.
        let _stream = UnixStream::connect(&path);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(start.elapsed() < Duration::from_secs(30));
        sleep(Duration::from_millis(5));
    };
    assert!(status.success());
}

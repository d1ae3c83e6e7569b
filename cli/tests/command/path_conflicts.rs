//! Conflicts at the path: errors that name it, stale files, two listeners at once.
//!
//! Held: whose file it is afterwards, beside the error. A failure shows the arguments and the end of the process.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    thread,
};

use crate::{
    process::{Signal, start},
    roles::{client, listener, listener_at},
    support::common::Bus,
};

#[test]
fn an_obstacle_at_the_path_is_named_and_not_removed() {
    let bus = Bus::new();
    let path = bus.path.to_str().unwrap();
    let ends = |args: &[&str], code: i32, names: &[&str]| {
        let end = start(args).end();
        assert_eq!(end.code, code, "{args:?}: {end:?}");
        for name in names {
            assert!(end.stderr.contains(name), "{name} in {end:?}");
        }
    };
    ends(&["connect", path, "--no-reconnect"], 1, &[path]);
    let deep = bus.path.join("a/b");
    ends(
        &["listen", deep.to_str().unwrap()],
        1,
        &[deep.to_str().unwrap(), "does not exist"],
    );
    fs::write(&bus.path, "precious").unwrap();
    ends(&["listen", path], 1, &[path, "not a socket"]);
    ends(
        &["connect", path, "--no-reconnect"],
        1,
        &[path, "not a socket"],
    );
    assert_eq!(fs::read(&bus.path).unwrap(), b"precious");
    let long = format!("/tmp/{}", "x".repeat(200));
    ends(&["listen", &long], 2, &[&long, "205", "107"]);
    ends(&["connect", ""], 2, &["empty"]);
}

#[test]
fn a_live_listener_is_never_replaced() {
    let (bus, mut first) = listener(&["--mode", "640"]);
    let mode = fs::metadata(&bus.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    let path = bus.path.to_str().unwrap();
    let second = start(&["listen", path, "--json"]).end();
    assert_eq!((second.code, second.rest.len()), (1, 0));
    assert!(second.stderr.contains(path), "{second:?}");
    client(&bus, &[]).0.stop();
    assert_eq!(first.next()["change"], "established");
    first.stop();

    // Nor a listener without a lock.
    let foreign = UnixListener::bind(&bus.path).unwrap();
    let second = start(&["listen", path, "--json"]).end();
    assert_eq!(second.code, 1);
    assert!(
        second.stderr.contains(path) && bus.path.exists(),
        "{second:?}"
    );
    drop(foreign);
}

#[test]
fn one_of_two_listeners_at_once_wins() {
    let bus = Bus::new();
    let path = bus.path.to_str().unwrap().to_owned();
    for _ in 0..5 {
        let mut both = [(); 2].map(|()| start(&["listen", &path, "--json"]));
        // The loser ends; the winner prints an event and stays.
        let (winner, loser) = thread::scope(|scope| {
            let won = both
                .each_mut()
                .map(|process| scope.spawn(|| process.next_line().is_some()));
            let [first, second] = won.map(|won| won.join().unwrap());
            assert!(first != second, "one of two wins: {first}, {second}");
            if first { (0, 1) } else { (1, 0) }
        });
        let lost = both[loser].end();
        assert_eq!(lost.code, 1);
        assert!(lost.stderr.contains(&path), "{lost:?}");
        client(&bus, &[]).0.stop();
        both[winner].signal(Signal::TERM);
        assert_eq!(both[winner].end().code, 0);
        assert!(!bus.path.exists());
    }
}

#[test]
fn a_stale_file_is_replaced_except_with_no_cleanup() {
    let (bus, mut killed) = listener(&[]);
    let (mut orphan, _) = client(&bus, &["--no-reconnect"]);
    killed.signal(Signal::KILL);
    assert_eq!(killed.end().code, -9);
    // Without a depart it is disconnected.
    let gone = serde_json::json!({"event": "peer", "change": "disconnected"});
    orphan.until(&gone);
    assert_eq!(orphan.end().code, 1);
    assert!(bus.path.exists());

    let path = bus.path.to_str().unwrap();
    let refused = start(&["listen", path, "--no-cleanup"]).end();
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains(path), "{refused:?}");
    assert!(refused.stderr.contains("stale"), "{refused:?}");
    let refused = start(&["connect", path, "--no-reconnect"]).end();
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains(path), "{refused:?}");

    let next = listener_at(&bus, &[]);
    client(&bus, &[]).0.stop();
    next.stop();
    assert!(!bus.path.exists());
}

#[test]
fn a_replaced_file_is_not_removed() {
    let (bus, first) = listener(&[]);
    fs::remove_file(&bus.path).unwrap();
    let other = UnixListener::bind(&bus.path).unwrap();
    first.stop();
    assert!(bus.path.exists());
    drop(other);
}

//! Handoffs between real processes, which crash at every step, while clients ask without a pause.
//!
//! A failure shows the line that a process has printed instead, or what a client has lost.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod clients;
#[path = "../../../../tests/support/process.rs"]
mod process;
mod service;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clients::Clients;
use kyneta_uds_handoff::{Formats, Word, control_path};
use process::Process;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};

/// A service in a process of its own.
fn start(path: &Path, faults: &str) -> Process {
    let variables = [
        ("KYNETA_HANDOFF_PATH", path.as_os_str()),
        ("KYNETA_HANDOFF_FAULTS", faults.as_ref()),
    ];
    Process::of_test("child", variables)
}

/// A service with a path of its own, and its clients.
struct Scene {
    dir: tempfile::TempDir,
    first: Process,
}

impl Scene {
    fn new(faults: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut first = start(&dir.path().join("bus.sock"), faults);
        assert_eq!(first.line(), "bound");
        Self { dir, first }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("bus.sock")
    }

    fn successor(&self, faults: &str) -> Process {
        start(&self.path(), &format!("take,{faults}"))
    }

    fn clients(&self, count: usize) -> Clients {
        Clients::start(&self.path(), count)
    }
}

#[test]
fn child() {
    if let Ok(path) = std::env::var("KYNETA_HANDOFF_PATH") {
        service::run(
            path.as_ref(),
            &std::env::var("KYNETA_HANDOFF_FAULTS").unwrap(),
        );
    }
}

#[test]
fn fifty_handovers_in_a_row_lose_nothing_of_a_hundred_clients() {
    let mut scene = Scene::new("");
    let clients = scene.clients(100);
    clients.progress();
    let mut pauses = Vec::new();
    for _ in 0..50 {
        let mut next = scene.successor("");
        let line = next.line();
        let mut words = line.split(' ');
        assert_eq!(
            (words.next(), words.next()),
            (Some("took-over"), Some("100")),
            "{line}"
        );
        pauses.push(words.next().unwrap().parse::<u64>().unwrap());
        assert_eq!(scene.first.line(), "handed-over");
        scene.first.end();
        scene.first = next;
        clients.progress();
    }
    let asked = clients.stop();
    pauses.sort_unstable();
    println!(
        "{asked} answers; pause of {} us in the middle, {} at most",
        pauses[25], pauses[49]
    );
}

#[test]
fn connections_that_wait_to_be_accepted_are_taken_over_with_their_bytes() {
    let mut scene = Scene::new("accepts-none");
    let clients = scene.clients(20);
    let mut next = scene.successor("");
    assert!(next.line().starts_with("took-over 0 "));
    scene.first.end();
    clients.progress();
    clients.stop();
}

#[test]
fn six_hundred_connections_go_in_batches() {
    let scene = Scene::new("");
    let clients = scene.clients(600);
    clients.progress();
    let mut next = scene.successor("");
    let line = next.line();
    assert!(line.starts_with("took-over 600 "), "{line}");
    clients.progress();
    clients.stop();
}

/// The faults of a successor, and what the predecessor says of them. It serves on, and nothing is lost.
#[test]
fn whatever_a_successor_does_the_predecessor_serves_on() {
    let table = [
        (
            "abort-in-prepare",
            "",
            "stayed: the other process has closed the control channel",
        ),
        (
            "hang-in-prepare",
            "",
            "stayed: the other process took longer than 1000 ms",
        ),
        ("few-descriptors", "stayed: 54 descriptors", "RLIMIT_NOFILE"),
        (
            "reads-no-state",
            "stayed: the saved state of the service has version 1",
            "",
        ),
    ];
    let mut scene = Scene::new("");
    let clients = scene.clients(50);
    clients.progress();
    for (fault, begin, end) in table {
        let mut successor = scene.successor(fault);
        let line = scene.first.line();
        assert!(
            line.starts_with(begin) && line.ends_with(end),
            "{fault}: {line}"
        );
        clients.progress();
        successor.kill();
    }
    let mut fit = scene.successor("");
    assert!(fit.line().starts_with("took-over 50 "));
    clients.stop();
}

#[test]
fn a_successor_that_wakes_up_too_late_does_not_serve() {
    let mut scene = Scene::new("");
    let clients = scene.clients(10);
    clients.progress();
    let mut late = scene.successor("waits-in-prepare");
    assert_eq!(late.line(), "prepares");
    assert!(scene.first.line().contains("took longer"));
    clients.progress();
    late.tell("");
    assert!(
        late.line()
            .ends_with("the predecessor has given up, and serves on")
    );
    clients.progress();
    clients.stop();
}

#[test]
fn a_successor_that_dies_while_it_receives_descriptors_is_given_up() {
    let mut scene = Scene::new("waits-frozen");
    let clients = scene.clients(10);
    let mut successor = scene.successor("");
    assert_eq!(scene.first.line(), "frozen");
    successor.kill();
    scene.first.tell("");
    assert!(scene.first.line().starts_with("stayed"));
    clients.progress();
    clients.stop();
}

#[test]
fn a_successor_that_cannot_open_what_it_is_sent_refuses() {
    let mut scene = Scene::new("waits-frozen");
    let clients = scene.clients(50);
    // All are accepted: more than the successor can open.
    clients.progress();
    let mut successor = scene.successor("limits-later");
    assert_eq!(scene.first.line(), "frozen");
    successor.tell("");
    assert_eq!(successor.line(), "limited");
    scene.first.tell("");
    let line = scene.first.line();
    assert!(
        line.starts_with("stayed: descriptors were cut off"),
        "{line}"
    );
    assert!(successor.line().contains("descriptors were cut off"));
    clients.progress();
    clients.stop();
}

#[test]
fn a_successor_that_dies_at_hello_or_speaks_another_format_is_refused() {
    let mut scene = Scene::new("");
    let clients = scene.clients(10);
    let ask = || {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        let control = SocketAddrUnix::new(control_path(&scene.path())).unwrap();
        connect(&socket, &control).unwrap();
        socket
    };
    drop(ask());
    let other = ask();
    let formats = Formats {
        oldest: 8,
        newest: 9,
    };
    send(
        &other,
        &Word::Hello { formats, free: 99 }.encode(),
        SendFlags::empty(),
    )
    .unwrap();
    let mut bytes = [0; 4096];
    let (length, _) = recv(&other, &mut bytes, RecvFlags::empty()).unwrap();
    let Word::Refused(why) = Word::decode(&bytes[..length]).unwrap() else {
        panic!("another word");
    };
    let sentence = "the other process hands over in formats 8 to 9, this one in 1 to 2";
    assert_eq!(why.to_string(), sentence);
    assert_eq!(
        scene.first.line(),
        "stayed: the other process has closed the control channel"
    );
    assert_eq!(scene.first.line(), format!("stayed: {sentence}"));
    clients.progress();
    clients.stop();
}

#[test]
fn a_predecessor_that_dies_after_its_state_was_sent_is_succeeded_with_all_connections() {
    let mut scene = Scene::new("");
    let clients = scene.clients(100);
    clients.progress();
    let mut successor = scene.successor("waits-in-prepare");
    assert_eq!(successor.line(), "prepares");
    scene.first.kill();
    successor.tell("");
    assert!(successor.line().starts_with("took-over 100 "));
    clients.progress();
    clients.stop();
}

#[test]
fn a_predecessor_that_dies_frozen_leaves_listener_and_lock() {
    let mut scene = Scene::new("waits-frozen");
    let clients = scene.clients(10);
    clients.progress();
    let mut successor = scene.successor("");
    assert_eq!(scene.first.line(), "frozen");
    scene.first.kill();
    assert_eq!(successor.line(), "took-listener");
    clients.all_broken();
    assert!(
        !start(&scene.path(), "").line().starts_with("bound"),
        "the lock is held"
    );
    let clients = scene.clients(10);
    clients.progress();
    clients.stop();
}

#[test]
fn a_predecessor_that_dies_at_hello_leaves_the_path_to_the_next_that_binds() {
    let mut scene = Scene::new("abort-at-hello");
    let mut successor = scene.successor("");
    assert_eq!(successor.line(), "bound");
    scene.first.end();
    let clients = scene.clients(10);
    clients.progress();
    clients.stop();
}

#[test]
fn where_nothing_offers_the_path_is_bound() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus.sock");
    let mut process = start(&path, "take");
    assert_eq!(process.line(), "bound");
    process.kill();
    assert!(fs::exists(control_path(&path)).unwrap()); // stale, and bound anew
    std::thread::sleep(Duration::from_millis(1));
    assert_eq!(start(&path, "take").line(), "bound");
}

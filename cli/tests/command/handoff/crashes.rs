//! What happens when one of the two processes of a handoff is killed, hangs, or refuses, at each step; for `listen` and for
//! `peer`.

use std::process::Command;

use serde_json::json;

use super::{
    between::{Between, Handoff, OnItsWay},
    echoes, offer,
};
use crate::{
    process::{End, Process, Signal, start},
    support::common::Bus,
};

pub(super) const CLIENTS: usize = 2;
const COMMANDS: [&str; 2] = ["listen", "peer"];

/// A service that offers a handoff, and clients that it answers.
struct Scene {
    bus: Bus,
    command: &'static str,
    service: Process,
    clients: Vec<Process>,
    sent: u32,
}

impl Scene {
    fn new(command: &'static str) -> Self {
        Self::with_clients(command, CLIENTS)
    }

    fn with_clients(command: &'static str, count: usize) -> Self {
        let bus = Bus::new();
        let mut service = service(&bus, command, "--offer-handoff");
        serves(&mut service, command);
        let clients = (0..count).map(|n| {
            let id = format!("c{n}");
            let mut client = start(&["connect", bus.at(), "--json", "--stay", "--id", &id]);
            client.until(&json!({"event": "peer", "change": "established"}));
            client
        });
        let clients = clients.collect();
        Self {
            bus,
            command,
            service,
            clients,
            sent: 0,
        }
    }

    fn successor(&self) -> Process {
        service(&self.bus, self.command, "--take-over")
    }

    /// Each client is answered, and has seen nothing else since it was last asked.
    fn see_nothing(&mut self) {
        self.sent += 1;
        for client in &mut self.clients {
            client.write_line(offer(self.sent));
            assert_eq!(echoes(client, 1), [self.sent]);
        }
    }

    /// Each client has lost its connection, and connects to the process that serves now.
    fn connect_again(&mut self) {
        self.sent += 1;
        for client in &mut self.clients {
            client.until(&json!({"event": "peer", "change": "established"}));
            client.write_line(offer(self.sent));
            client.until(&json!({"event": "message"}));
        }
    }

    fn kill_the_service(&mut self) {
        kill(&mut self.service);
    }
}

fn service(bus: &Bus, command: &str, offers: &str) -> Process {
    start(&[command, bus.at(), "--json", "--stay", "--echo", offers])
}

fn serves(service: &mut Process, command: &str) {
    match command {
        "peer" => service.until(&json!({"event": "role", "role": "listener"})),
        _ => service.until(&json!({"event": "listening"})),
    };
}

/// A handoff that has come as far as so many words.
fn stopped(command: &'static str, words: usize) -> (Scene, Between, Process, Handoff) {
    let scene = Scene::new(command);
    let between = Between::of(&scene.bus);
    let successor = scene.successor();
    let mut handoff = between.asked();
    handoff.pass(words);
    (scene, between, successor, handoff)
}

fn kill(process: &mut Process) -> End {
    process.signal(Signal::KILL);
    process.end()
}

#[test]
fn a_successor_that_is_killed_at_any_step_leaves_the_service_as_it_was() {
    for command in COMMANDS {
        let mut scene = Scene::new(command);
        let between = Between::of(&scene.bus);
        // Up to the state, which is the last word before it takes over.
        for words in 0..=7 {
            let mut successor = scene.successor();
            let mut handoff = between.asked();
            handoff.pass(words);
            kill(&mut successor);
            drop(handoff);
            let not_handed_over = json!({"event": "error", "code": "not-handed-over"});
            scene.service.until(&not_handed_over);
            scene.see_nothing();
        }
        let mut successor = scene.successor();
        between.asked().pass(8);
        successor.until(&json!({"event": "took-over", "connections": CLIENTS}));
        assert_eq!(scene.service.end().code, 0);
        scene.see_nothing();
    }
}

#[test]
fn a_successor_that_hangs_is_refused_after_a_second_and_the_service_goes_on() {
    for command in COMMANDS {
        let (mut scene, _between, successor, _handoff) = stopped(command, 6);
        successor.signal(Signal::STOP);
        let why = json!({"event": "error", "code": "not-handed-over"});
        let why = scene.service.until(&why);
        let message = why["message"].as_str().unwrap();
        assert!(message.contains("longer than 1000 ms"), "{message}");
        scene.see_nothing();
    }
}

#[test]
fn a_state_of_an_unknown_version_is_refused_and_the_service_goes_on() {
    for command in COMMANDS {
        let (mut scene, _between, mut successor, mut handoff) = stopped(command, 6);
        drop(handoff.next());
        handoff.say(&OnItsWay::of_another_version());
        let refused = handoff.next();
        handoff.say(&refused);
        let why = json!({"event": "error", "code": "not-handed-over"});
        let why = scene.service.until(&why);
        let message = why["message"].as_str().unwrap();
        assert!(message.contains("has version 99"), "{message}");
        scene.see_nothing();
        if command == "listen" {
            let end = successor.end();
            assert_eq!(end.code, 1);
            assert!(end.stderr.contains("has version 99"), "{}", end.stderr);
        } else {
            successor.until(&json!({"event": "role", "role": "connector"}));
        }
    }
}

#[test]
fn a_service_that_dies_before_it_has_given_anything_leaves_a_path_that_is_bound() {
    for command in COMMANDS {
        // Nothing was said, or that it hands over.
        for words in [0, 2] {
            let (mut scene, _between, mut successor, handoff) = stopped(command, words);
            scene.kill_the_service();
            drop(handoff);
            serves(&mut successor, command);
            scene.connect_again();
        }
    }
}

#[test]
fn a_service_that_dies_frozen_leaves_its_listener_and_its_lock() {
    for command in COMMANDS {
        // It has given the listener; it has frozen, and given the connections.
        for words in [3, 5] {
            let (mut scene, _between, mut successor, handoff) = stopped(command, words);
            scene.kill_the_service();
            drop(handoff);
            successor.until(&json!({"event": "took-over", "connections": 0}));
            scene.connect_again();
            // It has the lock: no other one binds the path.
            let end = start(&["listen", scene.bus.at(), "--json"]).finish();
            assert_ne!(end.code, 0);
        }
    }
}

#[test]
fn a_service_that_dies_after_its_state_was_sent_is_succeeded_with_all_connections() {
    for command in COMMANDS {
        let (mut scene, _between, mut successor, mut handoff) = stopped(command, 6);
        let state = handoff.next();
        scene.kill_the_service();
        handoff.say(&state);
        drop(handoff);
        successor.until(&json!({"event": "took-over", "connections": CLIENTS}));
        scene.see_nothing();
    }
}

#[test]
fn a_successor_that_dies_after_it_has_taken_over_is_a_crash_as_any_other() {
    for command in COMMANDS {
        let mut scene = Scene::new(command);
        let mut successor = scene.successor();
        successor.until(&json!({"event": "took-over", "connections": CLIENTS}));
        assert_eq!(scene.service.end().code, 0);
        scene.see_nothing();
        kill(&mut successor);
        let mut next = scene.successor();
        serves(&mut next, command);
        scene.connect_again();
    }
}

#[test]
fn a_successor_with_too_few_descriptors_is_refused_with_what_to_raise() {
    let mut scene = Scene::with_clients("listen", 8);
    let script = "ulimit -n 18; exec \"$0\" \"$@\"";
    let arguments = ["listen", scene.bus.at(), "--json", "--take-over"];
    let mut limited = Command::new("sh");
    limited
        .args(["-c", script, env!("CARGO_BIN_EXE_kyneta-uds")])
        .args(arguments);
    let refused = limited.output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("raise its RLIMIT_NOFILE"), "{said}");
    let why = json!({"event": "error", "code": "not-handed-over"});
    scene.service.until(&why);
    scene.see_nothing();
}

#[test]
fn a_successor_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can change the uid");
        return;
    }
    let mut scene = Scene::new("listen");
    // Also where the modes of the files would let it.
    let open = "chmod 777 \"$(dirname \"$1\")\" \"$1\" \"$1.handoff\"";
    let mut chmod = Command::new("sh");
    let opened = chmod.args(["-c", open, "sh", scene.bus.at()]).status();
    assert!(opened.unwrap().success());
    let mut other = Command::new("setpriv");
    let uid = ["--reuid", "4321", "--clear-groups"];
    let Ok(refused) = other
        .args(uid)
        .arg(env!("CARGO_BIN_EXE_kyneta-uds"))
        .args(["listen", scene.bus.at(), "--json", "--take-over"])
        .output()
    else {
        println!("skipped: there is no `setpriv`");
        return;
    };
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("uid 4321"), "{said}");
    scene.see_nothing();
    // The own user takes over.
    let mut successor = scene.successor();
    successor.until(&json!({"event": "took-over", "connections": CLIENTS}));
    scene.see_nothing();
}

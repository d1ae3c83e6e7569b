//! Why there is no link: the events and the status of both sides.
//!
//! A failure shows the sentence of one side, where a person would look for the reason.

use std::{
    fs,
    net::UdpSocket,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Machine, link};
use crate::process::{Process, Signal, start};

impl Machine {
    pub(super) fn status_path(&self) -> String {
        let path = self.dir.path().join("status.sock");
        path.to_str().unwrap().to_owned()
    }

    /// A process whose status can be asked for.
    fn shown(&self, command: &str, other: &str) -> Process {
        self.start(&[command, "--status", &self.status_path()], other)
    }

    /// As JSON, and as text.
    fn status(&self) -> (Value, String) {
        let json = start(&["status", &self.status_path(), "--json"]).next();
        (
            json,
            start(&["status", &self.status_path()])
                .end()
                .rest
                .join("\n"),
        )
    }
}

fn reason(event: &Value) -> &str {
    event["reason"]
        .as_str()
        .unwrap_or_else(|| panic!("{event}"))
}

#[test]
fn a_link_that_is_down_says_why_in_the_event_and_in_the_status() {
    for command in ["bus", "peer"] {
        for (signal, why) in [
            (Signal::KILL, "nothing came from the other machine"),
            (Signal::TERM, "ended it in good order"),
        ] {
            let (oslo, rome) = (Machine::new(), Machine::new());
            let mut ann = oslo.shown(command, &rome.named("rome"));
            let mut bob = rome.start(&[command], &oslo.named("oslo"));
            link(&mut ann, "rome", "up");
            link(&mut bob, "oslo", "up");
            bob.signal(signal);
            let down = link(&mut ann, "rome", "down");
            assert!(reason(&down).contains(why), "{command}: {down}");
            let (json, text) = oslo.status();
            assert_eq!(json["links"][0]["last_down"], down["reason"], "{json}");
            assert!(
                text.contains(&format!("last down: {}", reason(&down))),
                "{text}"
            );
            // The reason stays when it is up again.
            let mut eve = rome.start(&[command], &oslo.named("oslo"));
            link(&mut ann, "rome", "up");
            link(&mut eve, "oslo", "up");
            let (json, _) = oslo.status();
            let shown = &json["links"][0];
            assert_eq!(
                (&shown["up"], &shown["last_down"]),
                (&json!(true), &down["reason"])
            );
        }
    }
}

#[test]
fn an_address_that_another_process_has_is_one_event_and_counted_in_the_status() {
    let (oslo, rome) = (Machine::new(), Machine::new());
    let taken = UdpSocket::bind(&oslo.address).unwrap();
    let mut ann = oslo.shown("peer", &rome.named("rome"));
    let failed = ann.until(&json!({"event": "error", "code": "machines-failed"}));
    assert!(
        failed["message"].as_str().unwrap().contains(&oslo.address),
        "{failed}"
    );
    let attempts = |oslo: &Machine| {
        let (json, text) = oslo.status();
        let failure = &json["links_failure"];
        assert_eq!(failure["why"], failed["message"], "{json}");
        assert!(text.contains("no links after"), "{text}");
        failure["attempts"].as_u64().unwrap()
    };
    let before = attempts(&oslo);
    let since = Instant::now();
    while attempts(&oslo) < before + 3 {
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "it is tried again"
        );
        sleep(Duration::from_millis(100));
    }
    drop(taken);
    let mut bob = rome.peer(&oslo.named("oslo"));
    loop {
        let event = ann.next();
        assert_ne!(event["code"], "machines-failed", "told again");
        if event["change"] == "up" {
            break;
        }
    }
    link(&mut bob, "oslo", "up");
    assert_eq!(oslo.status().0["links_failure"], Value::Null);
    ann.signal(Signal::TERM);
    let end = ann.end();
    assert_eq!(
        end.stderr
            .matches("links to other machines have failed")
            .count(),
        1,
        "{}",
        end.stderr
    );
}

/// Also where the listener has no key, and so runs none.
#[test]
fn a_process_that_does_not_listen_says_that_its_links_are_those_of_the_listener() {
    let (oslo, rome) = (Machine::new(), Machine::new());
    let mut ann = oslo.shown("bus", &rome.named("rome"));
    let path = rome.dir.path().join("bus.sock");
    let mut keyless = start(&["bus", path.to_str().unwrap(), "--json"]);
    keyless.until(&json!({"event": "role", "role": "listener"}));
    let mut keyed = rome.shown("bus", &oslo.named("oslo"));
    keyed.until(&json!({"event": "role", "role": "connector"}));
    let (json, text) = rome.status();
    assert_eq!(json["links_by_listener"], true, "{json}");
    assert!(text.contains("those of the listener"), "{text}");
    // The other machine has an event, and a line with the reason.
    let absent = link(&mut ann, "rome", "absent");
    let (json, _) = oslo.status();
    assert_eq!(json["links"][0]["reason"], absent["reason"], "{json}");
    // The link comes up as soon as one with a key listens.
    keyless.signal(Signal::TERM);
    link(&mut keyed, "oslo", "up");
    assert_eq!(rome.status().0["links_by_listener"], Value::Null);
}

#[test]
fn a_bus_and_documents_at_the_two_ends_are_absent_with_a_reason_at_both() {
    let (oslo, rome) = (Machine::new(), Machine::new());
    let mut ann = oslo.shown("peer", &rome.named("rome"));
    let mut bob = rome.shown("bus", &oslo.named("oslo"));
    for (process, machine, other) in [(&mut ann, &oslo, "rome"), (&mut bob, &rome, "oslo")] {
        loop {
            let absent = link(process, other, "absent");
            // At first the other one may not have been there.
            if !reason(&absent).contains("cannot be reached") {
                break println!("{absent}");
            }
        }
        let (json, _) = machine.status();
        let shown = &json["links"][0];
        assert_eq!(shown["up"], false, "{json}");
        assert!(shown["reason"].is_string(), "{json}");
    }
}

#[test]
fn a_key_that_two_processes_use_is_reported_by_the_other_machine_and_by_the_one_without_a_link() {
    let (oslo, rome, copy) = (Machine::new(), Machine::new(), Machine::new());
    let mut ann = oslo.start(&["bus", "--id", "ann"], &rome.named("rome"));
    let mut bob = rome.start(&["bus", "--id", "bob"], &oslo.named("oslo"));
    link(&mut ann, "rome", "up");
    link(&mut bob, "oslo", "up");
    fs::copy(rome.dir.path().join("key"), copy.dir.path().join("key")).unwrap();
    let mut second = copy.start(&["bus", "--id", "bob"], &oslo.named("oslo"));
    let refused = link(&mut ann, "rome", "refused");
    assert!(reason(&refused).contains("same key"), "{refused}");
    // One of them keeps the link: that with the newest dial, or that which has the address.
    let since = Instant::now();
    let is_told = |event: &Value| {
        event["event"] == "link"
            && event["reason"]
                .as_str()
                .is_some_and(|why| why.contains("key"))
    };
    loop {
        let events = [&mut bob, &mut second].map(|process| process.try_next());
        if let Some(event) = events.iter().flatten().find(|event| is_told(event)) {
            break println!("{event}");
        }
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "the other one is told"
        );
        sleep(Duration::from_millis(10));
    }
}

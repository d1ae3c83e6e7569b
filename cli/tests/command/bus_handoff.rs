//! `bus --take-over`: a restart of the listener that no other member sees, and successors that are killed.
//!
//! Members publish all the while. A failure shows the event that no member should have seen, or the numbers that are
//! missing.

use std::{
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use kyneta_uds_handoff::{Formats, Word, control_path};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};
use serde_json::{Value, json};

use crate::{
    process::{Process, Signal, start},
    support::common::Bus,
};

const MEMBERS: usize = 4;

fn member(bus: &Bus, id: &str, more: &[&str]) -> Process {
    start(&[&["bus", bus.at(), "--json", "--stay", "--id", id], more].concat())
}

/// The listener `hub`, or its successor.
fn listener(bus: &Bus) -> Process {
    member(bus, "hub", &["--take-over"])
}

/// The listener and members that have met each other.
fn met(bus: &Bus) -> (Process, Vec<Process>) {
    let mut hub = listener(bus);
    hub.until(&json!({"event": "role", "role": "listener"}));
    let ids: Vec<_> = (0..MEMBERS).map(|of| format!("m{of}")).collect();
    let mut members: Vec<_> = ids.iter().map(|id| member(bus, id, &[])).collect();
    let joined = json!({"event": "member", "change": "joined"});
    members.iter_mut().chain([&mut hub]).for_each(|member| {
        for _ in 0..MEMBERS {
            member.until(&joined);
        }
    });
    (hub, members)
}

/// What a member has seen of the messages of each.
#[derive(Default)]
struct Seen(std::collections::BTreeMap<String, u64>);

impl Seen {
    /// Every message comes once and in its sender's order.
    fn message(&mut self, event: &Value) {
        let seen = self.0.entry(event["from"].as_str().unwrap().to_owned());
        let seen = seen.or_default();
        *seen += 1;
        assert_eq!(event["msg"], *seen, "{event}");
    }
}

/// Publishes 1, 2, 3 and so on, until it is told to stop; how many.
fn publish(
    member: &mut Process,
    pause: Duration,
    stop: &Arc<AtomicBool>,
) -> thread::JoinHandle<u64> {
    use std::io::Write as _;
    let (mut stdin, stop) = (member.stdin(), stop.clone());
    thread::spawn(move || {
        let mut count = 0;
        while !stop.load(Ordering::Relaxed) {
            count += 1;
            writeln!(stdin, "{}", json!({"publish": count})).unwrap();
            thread::sleep(pause);
        }
        count
    })
}

#[test]
fn members_that_publish_see_nothing_of_ten_restarts() {
    let bus = Bus::new();
    let (mut hub, mut members) = met(&bus);
    let stop = Arc::default();
    let publishing: Vec<_> = members
        .iter_mut()
        .map(|member| publish(member, Duration::from_millis(5), &stop))
        .collect();
    let (mut of_hub, mut seen_by_hub) = (0, Seen::default());
    let mut delivered_of_hub = 0;
    let mut see = |event: &Value| match event["event"].as_str() {
        Some("message") => seen_by_hub.message(event),
        Some("delivered") => {
            assert_eq!(event["missed"], json!([]));
            let seq = event["seq"].as_u64().unwrap();
            assert!(seq > delivered_of_hub, "{event}");
            delivered_of_hub = seq;
        }
        Some("member") => assert_eq!(event["change"], "joined"),
        Some("role" | "took-over" | "handed-over") => {}
        _ => panic!("{event}"),
    };
    for _ in 0..10 {
        for _ in 0..10 {
            of_hub += 1;
            hub.write_line(json!({"publish": of_hub}));
        }
        // What the process has read and sent before it is replaced is its own. The rest is for its successor.
        while hub_delivers(&mut hub, &mut see) < of_hub {}
        let mut successor = listener(&bus);
        let took = successor.until(&json!({"event": "took-over", "connections": MEMBERS}));
        assert_eq!(took["pid"], hub.pid());
        let end = hub.end();
        assert_eq!((end.code, end.stderr.as_str()), (0, ""));
        let events: Vec<Value> = end
            .rest
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let handed = json!({"event": "handed-over", "pid": successor.pid()});
        assert!(events.contains(&handed), "{events:?}");
        events.iter().for_each(&mut see);
        hub = successor;
    }
    thread::sleep(Duration::from_millis(100));
    stop.store(true, Ordering::Relaxed);
    let counts: Vec<_> = publishing
        .into_iter()
        .map(|of| of.join().unwrap())
        .collect();
    for (at, member) in members.iter_mut().enumerate() {
        let (mut seen, mut delivered) = (Seen::default(), 0);
        let expected: std::collections::BTreeMap<_, _> = counts
            .iter()
            .enumerate()
            .filter(|(of, _)| *of != at)
            .map(|(of, count)| (format!("m{of}"), *count))
            .chain([("hub".to_owned(), of_hub)])
            .collect();
        while seen.0 != expected || delivered < counts[at] {
            let event = member.next();
            match event["event"].as_str() {
                Some("message") => seen.message(&event),
                Some("delivered") => {
                    assert_eq!(event["missed"], json!([]));
                    delivered = event["seq"].as_u64().unwrap();
                }
                // No one has left or joined, no connection is broken.
                _ => panic!("{event}"),
            }
        }
    }
    let all: u64 = counts.iter().sum();
    while seen_by_hub.0.values().sum::<u64>() < all {
        let event = hub.next();
        if event["event"] == "message" {
            seen_by_hub.message(&event);
        }
    }
    assert_eq!(hub.stop().code, 0);
}

/// The next event that says up to where the messages of the listener are delivered.
fn hub_delivers(hub: &mut Process, see: &mut impl FnMut(&Value)) -> u64 {
    loop {
        let event = hub.next();
        see(&event);
        if event["event"] == "delivered" {
            return event["seq"].as_u64().unwrap();
        }
    }
}

#[test]
fn what_waits_for_stopped_members_goes_over() {
    const MESSAGES: u64 = 400;
    let bus = Bus::new();
    let (mut hub, mut members) = met(&bus);
    let mut newest = member(&bus, "newest", &["--slow", "newest:4"]);
    for _ in 0..=MEMBERS {
        newest.until(&json!({"event": "member", "change": "joined"}));
    }
    for member in &mut members {
        member.until(&json!({"event": "member", "id": "newest"}));
    }
    members[1].signal(Signal::STOP);
    newest.signal(Signal::STOP);
    // More than the kernel's buffers take.
    let body = "x".repeat(20_000);
    for _ in 0..MESSAGES {
        members[0].write_line(json!({"publish": body}));
    }
    for _ in 0..MESSAGES {
        members[2].until(&json!({"event": "message", "from": "m0"}));
    }
    for _ in 0..3 {
        let mut successor = listener(&bus);
        successor.until(&json!({"event": "took-over", "connections": MEMBERS + 1}));
        assert_eq!(hub.end().code, 0);
        hub = successor;
    }
    members[1].signal(Signal::CONT);
    newest.signal(Signal::CONT);
    for seq in 1..=MESSAGES {
        let event = members[1].next();
        assert_eq!(
            (&event["event"], &event["seq"]),
            (&json!("message"), &json!(seq))
        );
    }
    let delivered = members[0].until(&json!({"event": "delivered", "seq": MESSAGES}));
    assert_eq!(delivered["missed"], json!([]));
    let (mut heard, mut missed, mut last) = (0, 0, 0);
    while last < MESSAGES {
        let event = newest.next();
        match event["event"].as_str() {
            Some("message") => {
                heard += 1;
                last = event["seq"].as_u64().unwrap();
            }
            Some("missed") => missed += event["count"].as_u64().unwrap(),
            _ => panic!("{event}"),
        }
    }
    assert_eq!(heard + missed, MESSAGES);
    assert!(missed > 0);
}

/// Where a successor is killed.
const STEPS: [&str; 5] = ["asked", "hello", "shared", "batch", "state"];

#[test]
fn a_successor_that_is_killed_at_any_step_leaves_the_listener_as_it_is() {
    let bus = Bus::new();
    let (mut hub, mut members) = met(&bus);
    let stop = Arc::default();
    let publishing = publish(&mut members[0], Duration::from_millis(2), &stop);
    let mut seen = Seen::default();
    for step in STEPS {
        let mut successor = Command::new(std::env::current_exe().unwrap());
        successor
            .args([
                "--exact",
                "bus_handoff::a_successor_up_to_a_step",
                "--ignored",
                "--nocapture",
            ])
            .env("KYNETA_TEST_STEP", step)
            .env("KYNETA_TEST_PATH", bus.at())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut successor = Process::of(successor);
        while !successor.line().contains(step) {}
        successor.signal(Signal::KILL);
        assert_eq!(successor.end().code, -9);
        hub.until(&json!({"event": "error", "code": "not-handed-over"}));
        // The others hear from one another, and from this one.
        hub.write_line(json!({"publish": step}));
        loop {
            let event = members[1].next();
            assert_eq!(event["event"], "message", "{event}");
            if event["from"] == "hub" {
                assert_eq!(event["msg"], step);
                break;
            }
            seen.message(&event);
        }
    }
    // One that lives takes over.
    let mut successor = listener(&bus);
    successor.until(&json!({"event": "took-over", "connections": MEMBERS}));
    assert_eq!(hub.end().code, 0);
    stop.store(true, Ordering::Relaxed);
    let count = publishing.join().unwrap();
    while seen.0["m0"] < count {
        let event = members[1].next();
        assert_eq!(event["event"], "message", "{event}");
        seen.message(&event);
    }
}

/// What the test above starts and kills: asks for a handoff, and goes on up to a step.
#[test]
#[ignore = "part of the test above"]
fn a_successor_up_to_a_step() {
    let step = std::env::var("KYNETA_TEST_STEP").unwrap();
    let path = std::env::var("KYNETA_TEST_PATH").unwrap();
    let reached = |name: &str| {
        if step == name {
            println!("{name}");
            thread::sleep(Duration::from_secs(60));
        }
    };
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    let control = SocketAddrUnix::new(control_path(path.as_ref())).unwrap();
    connect(&socket, &control).unwrap();
    let say = |word: Word| {
        send(&socket, &word.encode(), SendFlags::empty()).unwrap();
    };
    // The descriptors are not taken.
    let hear = || {
        let mut bytes = [0; 4096];
        let (length, _) = recv(&socket, &mut bytes, RecvFlags::empty()).unwrap();
        Word::decode(&bytes[..length]).unwrap()
    };
    reached("asked");
    let formats = Formats::OURS;
    say(Word::Hello {
        formats,
        free: 1_000,
    });
    reached("hello");
    assert!(matches!(hear(), Word::Welcome { .. }));
    let shared = hear().descriptors();
    reached("shared");
    say(Word::Have(shared));
    let batch = hear().descriptors();
    assert_eq!(batch, MEMBERS as u32);
    reached("batch");
    say(Word::Have(shared + batch));
    assert!(matches!(hear(), Word::State { .. }));
    reached("state");
    panic!("no such step: {step}");
}

#[test]
fn a_member_that_does_not_listen_takes_its_own_place() {
    let bus = Bus::new();
    let mut hub = listener(&bus);
    hub.until(&json!({"event": "role", "role": "listener"}));
    let mut former = member(&bus, "till", &["--take-over"]);
    former.until(&json!({"event": "role", "role": "connector"}));
    hub.until(&json!({"event": "member", "id": "till", "change": "joined"}));
    let mut next = member(&bus, "till", &["--take-over"]);
    let why = next.until(&json!({"event": "error", "code": "not-taken-over"}));
    assert!(
        why["message"].as_str().unwrap().contains("another member"),
        "{why}"
    );
    next.until(&json!({"event": "role", "role": "connector"}));
    hub.until(&json!({"event": "member", "id": "till", "change": "left"}));
    hub.until(&json!({"event": "member", "id": "till", "change": "joined"}));
    hub.write_line(json!({"send": "hello", "to": "till"}));
    next.until(&json!({"event": "message", "from": "hub", "msg": "hello"}));
}

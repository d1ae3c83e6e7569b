//! A bus whose listeners are killed in turn, each of which comes back: no message is lost, repeated or out of order.
//!
//! `KYNETA_CHAOS=long` has 8 members, 1,000 messages a second in all and 200 kills.

use std::{
    collections::{HashMap, HashSet},
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{process::command, support::common::Bus};

/// How long a process may take until all others list it.
const MEETING: Duration = Duration::from_millis(1500);

/// How long the last messages may take.
const END: Duration = Duration::from_secs(20);

struct Plan {
    members: usize,
    kills: usize,
    /// Between two messages of a member.
    pause: Duration,
}

impl Plan {
    fn chosen() -> Self {
        let (members, kills, pause) = match std::env::var("KYNETA_CHAOS").as_deref() {
            Ok("long") => (8, 200, 8),
            _ => (4, 6, 10),
        };
        let pause = Duration::from_millis(pause);
        Self {
            members,
            kills,
            pause,
        }
    }
}

/// One process, from its start to its kill or to the end.
struct Member {
    id: String,
    /// Which of all processes it is: its messages begin with it.
    number: usize,
    started: Instant,
    child: Child,
    is_over: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    is_listener: bool,
    /// When each of its messages was written to its stdin; the first has number 1.
    published: Vec<Instant>,
    /// Up to which number its messages are delivered, and what was missed by which member.
    delivered: u64,
    missed: HashSet<(u64, String)>,
    /// By the sender's process: the numbers of its messages, in the order in which they came.
    received: HashMap<usize, Vec<u64>>,
}

impl Member {
    fn start(bus: &Bus, number: usize, id: &str, pause: Duration) -> Self {
        let path = bus.path.to_str().unwrap();
        let mut process = command(["bus", path, "--json", "--stay", "--id", id]);
        let mut child = process.stderr(Stdio::null()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (seen, is_over) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        thread::spawn({
            let seen = seen.clone();
            move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    seen.lock()
                        .unwrap()
                        .note(&serde_json::from_str(&line).unwrap());
                }
            }
        });
        thread::spawn({
            let (seen, is_over) = (seen.clone(), is_over.clone());
            move || publish(stdin, number, pause, &seen, &is_over)
        });
        Self {
            id: id.to_owned(),
            number,
            started: Instant::now(),
            child,
            is_over,
            seen,
        }
    }

    fn is_listener(&self) -> bool {
        self.seen.lock().unwrap().is_listener
    }

    fn kill(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn publish(
    mut stdin: ChildStdin,
    number: usize,
    pause: Duration,
    seen: &Mutex<Seen>,
    is_over: &AtomicBool,
) {
    for n in 1_u64.. {
        if is_over.load(Ordering::Relaxed) {
            // Its stdin stays open: its end would end the process.
            thread::sleep(END);
            return;
        }
        seen.lock().unwrap().published.push(Instant::now());
        let line = json!({"publish": [number, n]}).to_string() + "\n";
        if stdin.write_all(line.as_bytes()).is_err() {
            return;
        }
        thread::sleep(pause);
    }
}

impl Seen {
    fn note(&mut self, event: &Value) {
        match event["event"].as_str().unwrap() {
            "role" => self.is_listener = event["role"] == "listener",
            "delivered" => {
                self.delivered = event["seq"].as_u64().unwrap();
                for id in event["missed"].as_array().unwrap() {
                    let id = id.as_str().unwrap().to_owned();
                    self.missed.insert((self.delivered, id));
                }
            }
            "message" => {
                let number = event["msg"][0].as_u64().unwrap() as usize;
                let n = event["msg"][1].as_u64().unwrap();
                self.received.entry(number).or_default().push(n);
            }
            "missed" => panic!("a member was told that it has missed something: {event}"),
            _ => {}
        }
    }
}

#[test]
fn no_listener_that_is_killed_takes_a_message_with_it() {
    let bus = Bus::new();
    let plan = Plan::chosen();
    let mut members: Vec<_> = (0..plan.members)
        .map(|number| Member::start(&bus, number, &format!("m{number}"), plan.pause))
        .collect();
    let mut killed = Vec::new();
    thread::sleep(MEETING);
    for kill in 0..plan.kills {
        let start = Instant::now();
        let at = loop {
            if let Some(at) = members.iter().position(Member::is_listener) {
                break at;
            }
            assert!(start.elapsed() < END, "no listener after {kill} kills");
            thread::sleep(Duration::from_millis(1));
        };
        let mut listener = members.remove(at);
        listener.kill();
        thread::sleep(Duration::from_millis(200));
        let number = plan.members + kill;
        members.push(Member::start(&bus, number, &listener.id, plan.pause));
        killed.push(listener);
        thread::sleep(Duration::from_millis(300));
    }
    thread::sleep(MEETING);
    for member in &members {
        member.is_over.store(true, Ordering::Relaxed);
    }
    let is_delivered = |member: &Member| {
        let seen = member.seen.lock().unwrap();
        seen.delivered == seen.published.len() as u64
    };
    let start = Instant::now();
    while !members.iter().all(is_delivered) {
        assert!(start.elapsed() < END, "not all messages are delivered");
        thread::sleep(Duration::from_millis(10));
    }
    let mut checked = 0;
    for receiver in &members {
        let received = &receiver.seen.lock().unwrap().received;
        for (sender, numbers) in received {
            let is_in_order = numbers.windows(2).all(|pair| pair[0] < pair[1]);
            assert!(
                is_in_order,
                "of {sender} at {}: {numbers:?}",
                receiver.number
            );
        }
        for sender in members.iter().filter(|of| of.number != receiver.number) {
            let numbers: HashSet<_> = received.get(&sender.number).into_iter().flatten().collect();
            let seen = sender.seen.lock().unwrap();
            for (n, at) in (1_u64..).zip(&seen.published) {
                let is_owed = *at > receiver.started + MEETING
                    && !seen.missed.contains(&(n, receiver.id.clone()));
                if is_owed {
                    let (from, to) = (sender.number, receiver.number);
                    assert!(numbers.contains(&n), "{n} of {from} is lost at {to}");
                    checked += 1;
                }
            }
        }
    }
    println!("{} kills, {checked} messages checked", plan.kills);
    assert!(checked > 100, "{checked}");
    for member in members.iter_mut() {
        member.kill();
    }
}

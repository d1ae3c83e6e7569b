//! One process on the bus: it publishes at a steady rate, and what it reports is noted.
//!
//! In: the lines of its stdout, on a thread of their own. Out: what it has accepted, delivered and received, and its
//! memory by proc(5). A member that is told of missed messages ends the test with that line.

use std::{
    collections::{HashMap, HashSet},
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Stdio},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::END;
use crate::{process::command, support::common::Bus};

/// From its start to its end.
pub(super) struct Member {
    pub(super) id: String,
    /// Which of all processes it is: its messages begin with it.
    pub(super) number: usize,
    pub(super) started: Instant,
    pub(super) ended: Option<Instant>,
    /// It reads slowly, or was stopped.
    pub(super) is_held_up: bool,
    child: Child,
    is_over: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
}

/// How fast a process is.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// Between two messages that it publishes.
    pub(super) publish: Duration,
    /// Between two lines that are read of it.
    pub(super) read: Duration,
}

#[derive(Default)]
pub(super) struct Seen {
    is_listener: bool,
    /// When each of its messages was written to its stdin; the first has number 1.
    pub(super) published: Vec<Instant>,
    /// Up to which number its messages are delivered, and what was missed by which member.
    delivered: u64,
    pub(super) missed: HashSet<(u64, String)>,
    /// By the sender's process: the numbers of its messages, in the order in which they came, and when.
    pub(super) received: HashMap<usize, Vec<(u64, Instant)>>,
    /// When a member was reported as joined, the last time, and how often as left.
    pub(super) joined: HashMap<String, Instant>,
    pub(super) left: HashMap<String, usize>,
}

impl Member {
    pub(super) fn start(bus: &Bus, number: usize, id: &str, pace: Pace) -> Self {
        let path = bus.path.to_str().unwrap();
        let mut process = command(["bus", path, "--json", "--stay", "--id", id]);
        let mut child = process.stderr(Stdio::null()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (seen, is_over) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        thread::spawn({
            let seen = seen.clone();
            move || {
                let (mut stdout, mut line) = (BufReader::new(stdout), String::new());
                // A line without an end was cut by a kill.
                while stdout.read_line(&mut line).is_ok() && line.ends_with('\n') {
                    let event = serde_json::from_str(&line).unwrap();
                    seen.lock().unwrap().note(&event);
                    line.clear();
                    thread::sleep(pace.read);
                }
            }
        });
        thread::spawn({
            let (seen, is_over) = (seen.clone(), is_over.clone());
            move || publish(stdin, number, pace.publish, &seen, &is_over)
        });
        Self {
            id: id.to_owned(),
            number,
            started: Instant::now(),
            ended: None,
            is_held_up: pace.read > Duration::ZERO,
            child,
            is_over,
            seen,
        }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    pub(super) fn is_listener(&self) -> bool {
        self.seen().is_listener
    }

    /// It publishes no more.
    pub(super) fn rest(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// All that it has published is with all that it was owed to.
    pub(super) fn is_delivered(&self) -> bool {
        let seen = self.seen();
        seen.delivered == seen.published.len() as u64
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub(super) fn kill(&mut self) {
        self.ended = Some(Instant::now());
        self.rest();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// It leaves in good order.
    pub(super) fn leave(&mut self) {
        self.ended = Some(Instant::now());
        self.rest();
        self.signal(Signal::TERM);
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.id);
    }

    /// The most memory that it has held, MB.
    pub(super) fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kb = peak.and_then(|of| of.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kb.unwrap_or_default() / 1000
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
                let received = self.received.entry(number).or_default();
                received.push((n, Instant::now()));
            }
            "member" => {
                let id = event["id"].as_str().unwrap().to_owned();
                match event["change"] == "joined" {
                    true => drop(self.joined.insert(id, Instant::now())),
                    false => *self.left.entry(id).or_default() += 1,
                }
            }
            "missed" => panic!("a member was told that it has missed something: {event}"),
            _ => {}
        }
    }
}

//! The soak: for half an hour peers join and are killed, and a thousand messages a second are sent. Each
//! message is accounted for, and the processes that stay use at the end what they used after the first minute.
//!
//! Two buses at once. On one the listener goes every second, so that all others lose their connections and
//! find each other again; on the other a connector goes, and one process listens all the time. Half of the
//! processes that go are killed, half end when told to.
//!
//! ```sh
//! cargo build --release -p kyneta-uds-cli
//! KYNETA_BIN=target/release/kyneta-uds KYNETA_SOAK_MINUTES=30 \
//!     cargo test --release -p kyneta-uds-cli --test chaos soak -- --ignored --nocapture
//! ```

mod memory_samples;

use std::{
    ops::{Range, RangeInclusive},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::Receiver,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    Calls, Load, SENDERS, all_accounted_for, is_sending,
    ledger::{Kills, Ledger},
    listener, send,
    sender::{Kind, Sender},
};
use crate::{DEADLINE, bus::Bus, listener_exits::all_exit, support::process::Signal};

use self::memory_samples::{MemorySampler, report};

/// Processes on each bus that stay, and that join and go.
const STAY: usize = 4;
const COME_AND_GO: usize = 4;

/// How often a process goes and another one joins.
const EVERY: Duration = Duration::from_secs(1);

/// Messages are sent for this long, then all of them are accounted for; and again.
const SPELL: Duration = Duration::from_secs(20);

/// For each of three senders on each of two buses: a thousand messages a second in all.
const LOAD: Load = Load {
    at_a_time: 8,
    pace: 167,
    data: 256,
    report_time: Duration::from_secs(1),
};

/// Messages sent by each process that stays, each time that one goes: to the listener, or to all.
const SENT_EACH: usize = 25;

/// Messages sent by each sender in a spell.
const COUNT: usize = LOAD.pace as usize * SPELL.as_secs() as usize;

/// The role of the processes that go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    Listener,
    Connector,
}

#[test]
#[ignore = "half an hour"]
fn soak() {
    let minutes = std::env::var("KYNETA_SOAK_MINUTES").map_or(30, |text| text.parse().unwrap());
    let span = Duration::from_secs(60 * minutes);
    assert!(minutes >= 2, "memory is compared with that after a minute");
    let soaks = [Goes::Listener, Goes::Connector].map(Soak::new);
    let sampler = MemorySampler::start(soaks.iter().flat_map(Soak::staying).collect());
    let end = Instant::now() + span;
    let over = AtomicBool::new(false);
    let results: Vec<String> = thread::scope(|scope| {
        let soaks = soaks.map(|soak| scope.spawn(|| soak.run(end, &over)));
        soaks.map(|soak| soak.join().unwrap()).into()
    });
    let charts = sampler.finish();
    println!("\n{minutes} minutes:\n");
    for result in results {
        println!("* {result}");
    }
    report(&charts);
}

/// One bus, and its processes.
struct Soak {
    goes: Goes,
    bus: Bus,
    staying: Vec<String>,
    senders: [Sender; SENDERS.len()],
    gone: usize,
    /// Messages that each process that stays has been told to send.
    sent: usize,
}

impl Soak {
    fn new(goes: Goes) -> Self {
        let mut bus = Bus::new();
        let start = |bus: &mut Bus, times: RangeInclusive<usize>| -> Vec<String> {
            times.map(|_| bus.start(&[])).collect()
        };
        // The first process listens.
        let first = start(&mut bus, 1..=1);
        listener(&bus);
        let staying = match goes {
            Goes::Listener => start(&mut bus, 1..=STAY),
            Goes::Connector => [first, start(&mut bus, 2..=STAY)].concat(),
        };
        start(&mut bus, 1..=COME_AND_GO);
        bus.one();
        // Where a process must take over, it must not be a sender, because senders stay.
        let kind = match goes {
            Goes::Listener => Kind::Client,
            Goes::Connector => Kind::Peer,
        };
        let senders = SENDERS.map(|id| Sender::new(kind, id, &bus.path, &bus.log));
        Self {
            goes,
            bus,
            staying,
            senders,
            gone: 0,
            sent: 0,
        }
    }

    /// Their descriptions and pids.
    fn staying(&self) -> Vec<(String, u32)> {
        let each = self.staying.iter().enumerate().map(|(number, id)| {
            let role = match self.goes {
                Goes::Connector if number == 0 => "listens all the time",
                Goes::Connector => "connected all the time",
                Goes::Listener => "its listener goes every second",
            };
            (format!("{id}, {role}"), self.bus.pid_of(id))
        });
        each.collect()
    }

    /// Runs until the end, or until the other bus fails. Returns the results of all messages, as text.
    fn run(mut self, end: Instant, over: &AtomicBool) -> String {
        let _over = Over(over);
        let mut total = Ledger::default();
        while Instant::now() < end && !over.load(Ordering::SeqCst) {
            total += self.spell();
        }
        let result = format!(
            "{:?}s go, {} of them; the processes that stay sent {}; the senders: {total}",
            self.goes,
            self.gone,
            self.sent * STAY
        );
        all_exit(self.bus);
        result
    }

    fn spell(&mut self) -> Ledger {
        let Self {
            goes,
            bus,
            staying,
            senders,
            gone,
            sent,
        } = self;
        let first = *sent;
        let (calls, (kills, left)) = send(senders, COUNT, &LOAD, |sending| {
            let mut churn = Churn {
                bus,
                staying,
                gone,
                sent,
                left: Vec::new(),
                kills: Kills::new(),
            };
            churn.run(*goes, sending);
            (churn.kills, churn.left)
        });
        for left in left {
            left.join().unwrap();
        }
        self.bus.one();
        if self.goes == Goes::Connector {
            self.staying_processes_receive_all(first..self.sent);
        }
        let ledger = self.settled(&calls, &kills);
        all_accounted_for(&ledger, &self.bus.log);
        self.bus.log.forget();
        ledger
    }

    /// On the bus whose listener stays, the processes that stay lose no message.
    fn staying_processes_receive_all(&self, numbers: Range<usize>) {
        let [hub, others @ ..] = &self.staying[..] else {
            return;
        };
        for other in others {
            self.bus.expect_received(hub, other, numbers.clone());
            self.bus.expect_received(other, hub, numbers.clone());
        }
    }

    /// Waits until all messages are reported.
    fn settled(&self, calls: &Calls, kills: &Kills) -> Ledger {
        let log = &self.bus.log;
        let by_one = self.goes == Goes::Listener;
        let staying = self.bus.all();
        let ledger = log.wait(DEADLINE, |known| {
            let mut ours = known.peers.iter().filter(|(id, _)| id.starts_with('p'));
            let ended = ours.all(|(id, standing)| standing.ended || staying.contains(id));
            let ledger = || Ledger::new(known, calls, kills, &LOAD, by_one);
            ended.then(ledger).filter(|ledger| ledger.wrong.is_empty())
        });
        ledger.unwrap_or_else(|| log.look(|known| Ledger::new(known, calls, kills, &LOAD, by_one)))
    }
}

/// Ends the other bus, also on a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Has processes go and join, as long as the senders send.
struct Churn<'a> {
    bus: &'a mut Bus,
    staying: &'a [String],
    gone: &'a mut usize,
    sent: &'a mut usize,
    kills: Kills,
    left: Vec<JoinHandle<()>>,
}

impl Churn<'_> {
    fn run(&mut self, goes: Goes, sending: &Receiver<()>) {
        loop {
            let next = Instant::now() + EVERY;
            if !is_sending(sending) {
                return;
            }
            match goes {
                Goes::Listener => self.listener_goes(),
                Goes::Connector => {
                    let mut others = self.bus.all();
                    others.retain(|id| !self.staying.contains(id));
                    self.goes(&others[*self.gone % others.len()]);
                }
            }
            self.bus.start(&[]);
            for id in self.staying {
                self.bus.send(id, *self.sent..*self.sent + SENT_EACH);
            }
            *self.sent += SENT_EACH;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    /// A process that joins and goes takes over: those that stay are stopped meanwhile.
    fn listener_goes(&mut self) {
        let old = listener(self.bus);
        assert!(!self.staying.contains(&old), "{old} listens");
        for id in self.staying {
            self.bus.process(id).freeze();
        }
        let mark = self.bus.log.mark();
        self.goes(&old);
        let listens = json!({"event": "role", "role": "listener"});
        let taken_over = self.bus.log.wait(DEADLINE, |known| {
            let mut since = known.entries.iter().skip(mark);
            since.find(|entry| entry.is(&entry.id, &listens)).map(drop)
        });
        assert!(taken_over.is_some(), "no process takes over from {old}");
        for id in self.staying {
            self.bus.process(id).signal(Signal::CONT);
        }
    }

    /// Killed, or told to end, which must give exit code 0.
    fn goes(&mut self, id: &str) {
        *self.gone += 1;
        if self.gone.is_multiple_of(2) {
            self.kills.insert(id.to_owned(), self.bus.kill(id));
        } else {
            let mut process = self.bus.remove(id);
            process.signal(Signal::TERM);
            let id = id.to_owned();
            self.left.push(thread::spawn(move || {
                let code = process.end();
                assert_eq!(code, 0, "{id}: {}", process.stderr_text());
            }));
        }
    }
}

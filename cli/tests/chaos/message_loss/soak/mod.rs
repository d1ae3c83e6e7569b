//! The soak: for half an hour peers join and are killed, a thousand messages a second are sent, each is
//! accounted for, and those who stay hold at the end what they held after the first minute.
//!
//! Two buses at once. On one whoever listens goes, every second, so that all others lose their
//! connections and find each other again; on the other whoever connects does, and one process listens
//! all the time. Half of those who go are killed, half leave when told to.
//!
//! ```sh
//! cargo build --release --features cli
//! KYNETA_BIN=target/release/kyneta-uds KYNETA_SOAK_MINUTES=30 \
//!     cargo test --release --features cli --test chaos soak -- --ignored --nocapture
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
    Calls, Load, SENDERS,
    ledger::{Kills, Ledger},
    listener, nothing_is_wrong, send,
    sender::{Kind, Sender},
    somebody_sends,
};
use crate::{DEADLINE, bus::Bus, listener_exits::all_leave, support::process::Signal};

use self::memory_samples::{Nurse, report};

/// Processes on each bus that stay, and that come and go.
const STAY: usize = 4;
const COME_AND_GO: usize = 4;

/// One goes, and another one comes, so often.
const EVERY: Duration = Duration::from_secs(1);

/// For so long messages are sent, then all of them must be where they belong; and again.
const SPELL: Duration = Duration::from_secs(20);

/// Of each of three senders on each of two buses: a thousand a second in all.
const LOAD: Load = Load {
    at_a_time: 8,
    pace: 167,
    data: 256,
    moment: Duration::from_secs(1),
};

/// Sent by each process that stays, every time that one goes: to whoever listens, or to all.
const SAID: usize = 25;

/// Sent by each sender in a spell.
const COUNT: usize = LOAD.pace as usize * SPELL.as_secs() as usize;

/// Who goes.
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
    assert!(minutes >= 2, "what is held is compared after a minute");
    let soaks = [Goes::Listener, Goes::Connector].map(Soak::new);
    let nurse = Nurse::start(soaks.iter().flat_map(Soak::staying).collect());
    let end = Instant::now() + span;
    let over = AtomicBool::new(false);
    let told: Vec<String> = thread::scope(|scope| {
        let soaks = soaks.map(|soak| scope.spawn(|| soak.run(end, &over)));
        soaks.map(|soak| soak.join().unwrap()).into()
    });
    let charts = nurse.finish();
    println!("\n{minutes} minutes:\n");
    for told in told {
        println!("* {told}");
    }
    report(&charts);
}

/// One bus, and who is on it.
struct Soak {
    goes: Goes,
    bus: Bus,
    staying: Vec<String>,
    senders: [Sender; SENDERS.len()],
    gone: usize,
    /// So many messages each of those who stay has been told to send.
    said: usize,
}

impl Soak {
    fn new(goes: Goes) -> Self {
        let mut bus = Bus::new();
        let start = |bus: &mut Bus, times: RangeInclusive<usize>| -> Vec<String> {
            times.map(|_| bus.start(&[])).collect()
        };
        // The first one listens.
        let first = start(&mut bus, 1..=1);
        listener(&bus);
        let staying = match goes {
            Goes::Listener => start(&mut bus, 1..=STAY),
            Goes::Connector => [first, start(&mut bus, 2..=STAY)].concat(),
        };
        start(&mut bus, 1..=COME_AND_GO);
        bus.one();
        // Where somebody must take over it is not to be a sender, who stays.
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
            said: 0,
        }
    }

    /// What to call them, and their processes.
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

    /// Until the end, or until the other bus has come to grief. What became of all messages.
    fn run(mut self, end: Instant, over: &AtomicBool) -> String {
        let _over = Over(over);
        let mut total = Ledger::default();
        while Instant::now() < end && !over.load(Ordering::SeqCst) {
            total += self.spell();
        }
        let told = format!(
            "{:?}s go, {} of them; those who stay have sent {}; all others: {total}",
            self.goes,
            self.gone,
            self.said * STAY
        );
        all_leave(self.bus);
        told
    }

    fn spell(&mut self) -> Ledger {
        let Self {
            goes,
            bus,
            staying,
            senders,
            gone,
            said,
        } = self;
        let first = *said;
        let (calls, (kills, left)) = send(senders, COUNT, &LOAD, |sending| {
            let mut churn = Churn {
                bus,
                staying,
                gone,
                said,
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
            self.who_stays_gets_all(first..self.said);
        }
        let ledger = self.settled(&calls, &kills);
        nothing_is_wrong(&ledger, &self.bus.log);
        self.bus.log.forget();
        ledger
    }

    /// Where one listens all the time, those who are connected all the time lose nothing.
    fn who_stays_gets_all(&self, numbers: Range<usize>) {
        let [hub, others @ ..] = &self.staying[..] else {
            return;
        };
        for other in others {
            self.bus.gets(hub, other, numbers.clone());
            self.bus.gets(other, hub, numbers.clone());
        }
    }

    /// What is on its way to being told is waited for.
    fn settled(&self, calls: &Calls, kills: &Kills) -> Ledger {
        let log = &self.bus.log;
        let by_one = self.goes == Goes::Listener;
        let staying = self.bus.all_but("nobody");
        let told = log.wait(DEADLINE, |known| {
            let mut ours = known.standings.iter().filter(|(id, _)| id.starts_with('p'));
            let told = ours.all(|(id, standing)| standing.ended || staying.contains(id));
            let ledger = || Ledger::new(known, calls, kills, &LOAD, by_one);
            told.then(ledger).filter(|ledger| ledger.wrong.is_empty())
        });
        told.unwrap_or_else(|| log.look(|known| Ledger::new(known, calls, kills, &LOAD, by_one)))
    }
}

/// Tells the other bus, whatever happened.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Coming and going, as long as somebody sends.
struct Churn<'a> {
    bus: &'a mut Bus,
    staying: &'a [String],
    gone: &'a mut usize,
    said: &'a mut usize,
    kills: Kills,
    left: Vec<JoinHandle<()>>,
}

impl Churn<'_> {
    fn run(&mut self, goes: Goes, sending: &Receiver<()>) {
        loop {
            let next = Instant::now() + EVERY;
            if !somebody_sends(sending) {
                return;
            }
            match goes {
                Goes::Listener => self.listener_goes(),
                Goes::Connector => {
                    let mut others = self.bus.all_but("nobody");
                    others.retain(|id| !self.staying.contains(id));
                    self.goes(&others[*self.gone % others.len()]);
                }
            }
            self.bus.start(&[]);
            for id in self.staying {
                self.bus.send(id, *self.said..*self.said + SAID);
            }
            *self.said += SAID;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    /// One of those who come and go takes over: the others stand still meanwhile.
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
            since.find(|entry| entry.is(&entry.who, &listens)).map(drop)
        });
        assert!(taken_over.is_some(), "nobody takes over from {old}");
        for id in self.staying {
            self.bus.process(id).signal(Signal::CONT);
        }
    }

    /// Killed, or told to leave, which it must do well.
    fn goes(&mut self, id: &str) {
        *self.gone += 1;
        if self.gone.is_multiple_of(2) {
            self.kills.insert(id.to_owned(), self.bus.kill(id));
        } else {
            let mut process = self.bus.leave(id);
            process.signal(Signal::TERM);
            let id = id.to_owned();
            self.left.push(thread::spawn(move || {
                let code = process.end();
                assert_eq!(code, 0, "{id}: {}", process.complaints());
            }));
        }
    }
}

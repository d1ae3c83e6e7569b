//! Every message that is sent while listeners are killed is accounted for.
//!
//! The receivers are processes of ours; the one that listens is killed, many times. The senders run in the
//! test process, so that the result of each `call` is known.

mod call;
mod ledger;
mod sender;
mod soak;

use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use self::{
    call::Call,
    ledger::{Kills, Ledger},
    sender::{Kind, Sender},
};
use crate::{
    DEADLINE, bus::Bus, is_long, listener_exits::all_exit, support::event_log::EventLog,
    support::peer_state::listeners, times,
};

const RECEIVERS: usize = 4;
const SENDERS: [&str; 3] = ["a", "b", "c"];

/// The time between two kills.
const KILL_INTERVAL: Duration = Duration::from_millis(200);

/// How many unaccounted messages are printed.
const SHOWN: usize = 10;

/// The messages of each sender.
type Calls = BTreeMap<&'static str, Vec<Call>>;

/// How messages are sent.
#[derive(Debug)]
struct Load {
    /// Messages in flight.
    at_a_time: usize,
    /// Messages a second: slow enough that several listeners are killed meanwhile, and that the readers
    /// are not always busy.
    pace: u32,
    /// The data of each message, bytes.
    data: usize,
    /// Time for a listener to read what the kernel has taken and to report it: we need a while to read
    /// a pipe full of large messages.
    report_time: Duration,
}

const ONE_BY_ONE: Load = Load {
    at_a_time: 1,
    pace: 1000,
    data: 1,
    report_time: Duration::from_millis(50),
};

/// More messages than a socket holds: when the listener dies, some are in the kernel, one is partly written,
/// and some wait in the queue.
const SIXTY_FOUR: Load = Load {
    at_a_time: 64,
    pace: 400,
    data: 4 << 10,
    report_time: Duration::from_secs(1),
};

#[test]
fn one_by_one_from_clients() {
    account(Kind::Client, &ONE_BY_ONE);
}

#[test]
fn sixty_four_at_a_time_from_clients() {
    account(Kind::Client, &SIXTY_FOUR);
}

#[test]
fn one_by_one_from_peers() {
    account(Kind::Peer, &ONE_BY_ONE);
}

#[test]
fn sixty_four_at_a_time_from_peers() {
    account(Kind::Peer, &SIXTY_FOUR);
}

fn account(kind: Kind, load: &Load) {
    // Short runs are unoptimised, on a busy machine.
    let factor = if is_long() { 1 } else { 10 };
    let load = &Load {
        report_time: load.report_time * factor,
        ..*load
    };
    let count = times(1000, 10_000);
    let (mut bus, _) = Bus::of(RECEIVERS);
    let senders = SENDERS.map(|id| Sender::new(kind, id, &bus.path, &bus.log));
    let (calls, kills) = send(&senders, count, load, |sending| {
        kill_listeners(&mut bus, &senders, sending)
    });
    // The last process may have started just now.
    bus.one();
    let log = bus.log.clone();
    // Every received message is reported before the end.
    all_exit(bus);
    let ended = log.wait(DEADLINE, |known| {
        let mut ours = known.peers.iter().filter(|(id, _)| id.starts_with('p'));
        ours.all(|(_, standing)| standing.ended).then_some(())
    });
    assert!(ended.is_some(), "a stdout does not end");

    let ledger = log.look(|known| Ledger::new(known, &calls, &kills, load, kind == Kind::Client));
    println!(
        "{kind:?}s, {} at a time, {} kills: {ledger}",
        load.at_a_time,
        kills.len()
    );
    all_accounted_for(&ledger, &log);
}

fn all_accounted_for(ledger: &Ledger, log: &EventLog) {
    if !ledger.wrong.is_empty() {
        let some = &ledger.wrong[..ledger.wrong.len().min(SHOWN)];
        panic!("{some:#?}\n{}", ledger::transcript(log));
    }
}

/// All senders send `count` messages each, while `meanwhile` runs, which ends when they have finished. Returns
/// the messages, and the result of `meanwhile`.
fn send<T>(
    senders: &[Sender; SENDERS.len()],
    count: usize,
    load: &Load,
    meanwhile: impl FnOnce(&Receiver<()>) -> T,
) -> (Calls, T) {
    thread::scope(|scope| {
        // Without a buffer: a waiting receiver gets it at the time of the send.
        let (now, sending) = sync_channel(0);
        let calls = senders.each_ref().map(|sender| {
            let now = now.clone();
            scope.spawn(move || sender.send(count, load, &now))
        });
        drop(now);
        let meanwhile = meanwhile(&sending);
        let calls = calls.map(|calls| calls.join().unwrap());
        (SENDERS.into_iter().zip(calls).collect(), meanwhile)
    })
}

/// True when a sender is sending right now, false when all have finished.
fn is_sending(sending: &Receiver<()>) -> bool {
    match sending.recv_timeout(DEADLINE) {
        Ok(()) => true,
        Err(RecvTimeoutError::Disconnected) => false,
        Err(RecvTimeoutError::Timeout) => panic!("no sender sends"),
    }
}

/// Waits until one of our processes or of the senders listens.
fn listener(bus: &Bus) -> String {
    let mut members = bus.all();
    members.extend(SENDERS.map(String::from));
    let listener = bus.log.wait(DEADLINE, |known| {
        let all = listeners(&known.peers, members.iter().map(String::as_str));
        Some((*all.first()?).to_owned())
    });
    listener.unwrap_or_else(|| panic!("no process listens"))
}

/// Until the senders have finished, removes the listener while they send: a process is killed and another
/// one started; a sender ends on purpose and joins again.
fn kill_listeners(bus: &mut Bus, senders: &[Sender], sending: &Receiver<()>) -> Kills {
    let mut kills = Kills::new();
    loop {
        let next = Instant::now() + KILL_INTERVAL;
        let listener = listener(bus);
        if !is_sending(sending) {
            return kills;
        }
        if let Some(sender) = senders.iter().find(|sender| sender.id == listener) {
            sender.request_rejoin();
        } else {
            kills.insert(listener.clone(), bus.kill(&listener));
            bus.start(&[]);
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

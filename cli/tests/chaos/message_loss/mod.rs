//! Every message that is sent while listeners are killed is accounted for.
//!
//! Those who receive are processes of ours, and whichever of them listens is killed, again and
//! again. Those who send are in this process, so that what each `call` came to is known.

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
    DEADLINE, bus::Bus, is_long, listener_exits::all_leave, support::event_log::Log,
    support::peer_state::listeners, times,
};

const RECEIVERS: usize = 4;
const SENDERS: [&str; 3] = ["a", "b", "c"];

/// A listener is killed so often.
const EVERY: Duration = Duration::from_millis(200);

/// What cannot be accounted for is seldom alone; so much of it is shown.
const SHOWN: usize = 10;

/// What each of the senders has sent.
type Calls = BTreeMap<&'static str, Vec<Call>>;

/// How messages are sent.
#[derive(Debug)]
struct Load {
    /// So many may be on their way.
    at_a_time: usize,
    /// So many a second, lest all be sent before the second listener is killed, and all readers be
    /// busy all the time.
    pace: u32,
    /// How much each message carries, bytes.
    data: usize,
    /// Long enough for a listener to read what the kernel has taken, and to tell of it: a pipe full
    /// of large messages is not read by us at once.
    moment: Duration,
}

const ONE_BY_ONE: Load = Load {
    at_a_time: 1,
    pace: 1000,
    data: 1,
    moment: Duration::from_millis(50),
};

/// More than a socket takes at once, so that when the listener dies some are with the kernel, one
/// is half there, and some wait.
const SIXTY_FOUR: Load = Load {
    at_a_time: 64,
    pace: 400,
    data: 4 << 10,
    moment: Duration::from_secs(1),
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
    // Short runs are run wherever, beside whatever, unoptimised.
    let patience = if is_long() { 1 } else { 10 };
    let load = &Load {
        moment: load.moment * patience,
        ..*load
    };
    let count = times(1000, 10_000);
    let (mut bus, _) = Bus::of(RECEIVERS);
    let senders = SENDERS.map(|id| Sender::new(kind, id, &bus.path, &bus.log));
    let (calls, kills) = send(&senders, count, load, |sending| {
        kill_listeners(&mut bus, &senders, sending)
    });
    // The last one may have started just now.
    bus.one();
    let log = bus.log.clone();
    // All that has come in is told before the end.
    all_leave(bus);
    let told = log.wait(DEADLINE, |known| {
        let mut ours = known.standings.iter().filter(|(id, _)| id.starts_with('p'));
        ours.all(|(_, standing)| standing.ended).then_some(())
    });
    assert!(told.is_some(), "somebody's stdout does not end");

    let ledger = log.look(|known| Ledger::new(known, &calls, &kills, load, kind == Kind::Client));
    println!(
        "{kind:?}s, {} at a time, {} kills: {ledger}",
        load.at_a_time,
        kills.len()
    );
    nothing_is_wrong(&ledger, &log);
}

fn nothing_is_wrong(ledger: &Ledger, log: &Log) {
    if !ledger.wrong.is_empty() {
        let some = &ledger.wrong[..ledger.wrong.len().min(SHOWN)];
        panic!("{some:#?}\n{}", ledger::story(log));
    }
}

/// All senders send so many each, while somebody does something else that ends when nobody sends any
/// more. What was sent, and what came of the other thing.
fn send<T>(
    senders: &[Sender; SENDERS.len()],
    count: usize,
    load: &Load,
    meanwhile: impl FnOnce(&Receiver<()>) -> T,
) -> (Calls, T) {
    thread::scope(|scope| {
        // Holds nothing: whoever waits for them to send learns of it at that very moment.
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

/// True when somebody sends right now, false when nobody will any more.
fn somebody_sends(sending: &Receiver<()>) -> bool {
    match sending.recv_timeout(DEADLINE) {
        Ok(()) => true,
        Err(RecvTimeoutError::Disconnected) => false,
        Err(RecvTimeoutError::Timeout) => panic!("nobody sends"),
    }
}

/// Waits until one of ours or of the senders listens.
fn listener(bus: &Bus) -> String {
    let mut members = bus.all_but("nobody");
    members.extend(SENDERS.map(String::from));
    let listener = bus.log.wait(DEADLINE, |known| {
        let all = listeners(&known.standings, members.iter().map(String::as_str));
        Some((*all.first()?).to_owned())
    });
    listener.unwrap_or_else(|| panic!("nobody listens"))
}

/// Until nobody sends any more, has whoever listens go, while somebody sends: a process is killed
/// and another one started, a sender leaves on purpose and comes back.
fn kill_listeners(bus: &mut Bus, senders: &[Sender], sending: &Receiver<()>) -> Kills {
    let mut kills = Kills::new();
    loop {
        let next = Instant::now() + EVERY;
        let listener = listener(bus);
        if !somebody_sends(sending) {
            return kills;
        }
        if let Some(sender) = senders.iter().find(|sender| sender.id == listener) {
            sender.ask_to_leave();
        } else {
            kills.insert(listener.clone(), bus.kill(&listener));
            bus.start(&[]);
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

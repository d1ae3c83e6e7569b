//! Compares the messages sent with the messages received. Pure.
//!
//! A message that the kernel has taken is received, unless its receiver was killed at about that time; all
//! messages to that receiver before it are received, too. A message that may have been sent was in flight
//! to a process that was killed, and is received or not. There is no third kind: a message that only waits
//! in a queue goes to the next listener.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    ops::AddAssign,
    time::{Duration, Instant},
};

use super::{
    Calls, Load,
    call::{Call, Outcome},
};
use crate::support::event_log::{EventLog, Known};

/// The killed processes, and when.
pub(super) type Kills = BTreeMap<String, Instant>;

/// The numbers received, by receiver and sender, in order.
type Received<'a> = BTreeMap<(&'a str, &'a str), Vec<usize>>;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    messages: usize,
    redirected: usize,
    taken_received: usize,
    taken_killed: usize,
    maybe_received: usize,
    maybe_not: usize,
    /// Messages that cannot be accounted for.
    pub(super) wrong: Vec<String>,
}

impl Ledger {
    /// `by_one`: no message goes to more than one receiver.
    pub(super) fn new(
        known: &Known,
        calls: &Calls,
        kills: &Kills,
        load: &Load,
        by_one: bool,
    ) -> Self {
        let received = received(known);
        let mut ledger = Self::default();
        for ((to, from), numbers) in &received {
            if let Some([one, next]) = unordered(numbers) {
                let order = format!("{to} received {next} after {one} from {from}");
                ledger.wrong.push(order);
            }
        }
        for (from, calls) in calls {
            let receivers = receivers(&received, from);
            if by_one {
                ledger.wrong.extend(came_back(from, &receivers));
            }
            ledger.wrong.extend(gaps(from, calls, &receivers));
            for call in calls {
                let by = receivers.get(&call.number).cloned().unwrap_or_default();
                ledger.enter(from, call, &by, kills, load.report_time);
            }
        }
        ledger
    }

    fn enter(
        &mut self,
        from: &str,
        call: &Call,
        by: &BTreeSet<&str>,
        kills: &Kills,
        report_time: Duration,
    ) {
        self.messages += 1;
        self.redirected += usize::from(!by.is_empty() && call.was_redirected(by));
        let accounted = match (&call.outcome, by.is_empty()) {
            (Outcome::Not(_), _) => false,
            (Outcome::Taken, false) => {
                self.taken_received += 1;
                true
            }
            (Outcome::Taken, true) => {
                self.taken_killed += 1;
                killed(call, kills, |kill| {
                    call.completed <= kill + report_time && kill <= call.completed + report_time
                })
            }
            (Outcome::Maybe, received) => {
                self.maybe_received += usize::from(!received);
                self.maybe_not += usize::from(received);
                killed(call, kills, |kill| kill <= call.completed)
            }
        };
        if !accounted {
            let near: Vec<_> = kills
                .iter()
                .filter(|(_, kill)| apart(**kill, call.completed) < Duration::from_secs(1))
                .map(|(id, kill)| (id, *kill < call.completed, apart(*kill, call.completed)))
                .collect();
            let took = call.completed - call.called;
            self.wrong.push(format!(
                "{from}, {call:?}, completed after {took:?}, received by {by:?}; \
                 killed (before that, by how much): {near:?}"
            ));
        }
    }
}

/// True if its receiver was killed at a time that fits; if the receiver is not certain, any process.
fn killed(call: &Call, kills: &Kills, fits: impl Fn(Instant) -> bool) -> bool {
    match call.receiver() {
        Some(receiver) => kills.get(receiver).is_some_and(|kill| fits(*kill)),
        None => kills.values().any(|kill| fits(*kill)),
    }
}

fn apart(a: Instant, b: Instant) -> Duration {
    a.max(b) - a.min(b)
}

fn received(known: &Known) -> Received<'_> {
    let mut received = Received::new();
    for entry in &known.entries {
        let event = &entry.event;
        if event["event"] == "message"
            && let (Some(from), Some(number)) =
                (event["peer"].as_str(), event["msg"]["version"].as_str())
        {
            let numbers = received.entry((entry.id.as_str(), from)).or_default();
            numbers.push(number.parse().unwrap());
        }
    }
    received
}

/// The first two that are equal or not in order.
fn unordered(numbers: &[usize]) -> Option<[usize; 2]> {
    let mut pairs = numbers.windows(2).map(|pair| [pair[0], pair[1]]);
    pairs.find(|[one, next]| next <= one)
}

/// The receivers of each message of `from`.
fn receivers<'a>(received: &Received<'a>, from: &str) -> BTreeMap<usize, BTreeSet<&'a str>> {
    let mut receivers = BTreeMap::<_, BTreeSet<_>>::new();
    for ((to, of), numbers) in received {
        for number in numbers.iter().filter(|_| *of == from) {
            receivers.entry(*number).or_default().insert(*to);
        }
    }
    receivers
}

/// A receiver must have a prefix of the messages that were sent to it, even if it was killed later.
fn gaps(from: &str, calls: &[Call], receivers: &BTreeMap<usize, BTreeSet<&str>>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut missed = BTreeMap::new();
    for call in calls {
        let by = receivers.get(&call.number);
        let Some(to) = call.receiver() else {
            continue;
        };
        if !by.is_some_and(|by| by.contains(to)) {
            missed.entry(to).or_insert(call.number);
        } else if let Some(missed) = missed.get(to) {
            let number = call.number;
            wrong.push(format!(
                "{to} received {number} of {from}, but not {missed}"
            ));
        }
    }
    wrong
}

/// A message that two processes have received, and a receiver that got a message after the next receiver
/// got its first.
fn came_back(from: &str, receivers: &BTreeMap<usize, BTreeSet<&str>>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut past = BTreeSet::new();
    let mut present = None;
    for (number, by) in receivers {
        if by.len() > 1 {
            wrong.push(format!("{number} of {from} was received by {by:?}"));
        }
        let by = by.first().copied();
        if by != present {
            past.extend(present);
            present = by;
            if by.is_some_and(|by| past.contains(by)) {
                wrong.push(format!("{number} of {from} went back to {by:?}"));
            }
        }
    }
    wrong
}

/// The log without the messages.
pub(super) fn transcript(log: &EventLog) -> String {
    let mut transcript = String::new();
    for line in log.text().lines() {
        if !line.contains(r#""event":"message""#) {
            writeln!(transcript, "{line}").unwrap();
        }
    }
    transcript
}

impl AddAssign for Ledger {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.redirected += other.redirected;
        self.taken_received += other.taken_received;
        self.taken_killed += other.taken_killed;
        self.maybe_received += other.maybe_received;
        self.maybe_not += other.maybe_not;
        self.wrong.extend(other.wrong);
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} messages, {} of which went to the next listener; taken and received {}, taken and lost \
             with a killed process {}, maybe and received {}, maybe and not {}; unaccounted {}",
            self.messages,
            self.redirected,
            self.taken_received,
            self.taken_killed,
            self.maybe_received,
            self.maybe_not,
            self.wrong.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::ONE_BY_ONE, *};

    /// True if a message from `a`, called and completed at 100 ms, is accounted for: received by `by`, its
    /// receiver `p0` killed at `kill`.
    fn accounted(outcome: Outcome, by: &[&str], kill: Option<u64>) -> bool {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let to = || Some("p0".to_owned());
        let call = Call {
            number: 7,
            called: ms(100),
            completed: ms(100),
            to: [to(), to()],
            outcome,
        };
        let mut known = Known::default();
        for id in by {
            let event = json!({"event": "message", "peer": "a", "msg": {"version": "7"}});
            known.entries.push(crate::support::event_log::Entry {
                at: start,
                id: (*id).to_owned(),
                event,
            });
        }
        let kills = kill.map(|kill| ("p0".to_owned(), ms(kill)));
        let calls = BTreeMap::from([("a", vec![call])]);
        let ledger = Ledger::new(
            &known,
            &calls,
            &kills.into_iter().collect(),
            &ONE_BY_ONE,
            true,
        );
        ledger.wrong.is_empty()
    }

    #[test]
    fn results_that_are_accounted_for() {
        use Outcome::{Maybe, Not, Taken};
        for (outcome, by, kill, expected) in [
            (Taken, &["p0"][..], None, true),
            (Taken, &["p0", "p1"], None, false),
            (Taken, &["p0", "p0"], None, false),
            (Taken, &[], None, false),
            (Taken, &[], Some(140), true),
            (Taken, &[], Some(160), false),
            (Maybe, &[], Some(90), true),
            (Maybe, &["p0"], Some(90), true),
            (Maybe, &[], None, false),
            (Not("".into()), &[], Some(90), false),
        ] {
            let case = format!("{outcome:?}, {by:?}, {kill:?}");
            assert_eq!(accounted(outcome, by, kill), expected, "{case}");
        }
    }

    #[test]
    fn the_messages_received_are_a_prefix_of_those_sent() {
        let now = Instant::now();
        let call = |number| Call {
            number,
            called: now,
            completed: now,
            to: [Some("p0".to_owned()), Some("p0".to_owned())],
            outcome: Outcome::Taken,
        };
        let calls = [0, 1, 2].map(call);
        for (received, expected) in [
            (&[0, 1, 2][..], 0),
            (&[0, 1], 0),
            (&[], 0),
            (&[0, 2], 1),
            (&[1, 2], 2),
        ] {
            let by = received
                .iter()
                .map(|number| (*number, BTreeSet::from(["p0"])));
            let gaps = gaps("a", &calls, &by.collect());
            assert_eq!(gaps.len(), expected, "{received:?}: {gaps:?}");
        }
    }

    #[test]
    fn a_receiver_gets_no_message_after_the_next_receiver_began() {
        let by = |ids: &[&'static str]| {
            let by = ids.iter().enumerate();
            by.map(|(number, id)| (number, BTreeSet::from([*id])))
                .collect()
        };
        assert_eq!(came_back("a", &by(&["p0", "p0", "p1"])).len(), 0);
        assert_eq!(came_back("a", &by(&["p0", "p1", "p0"])).len(), 1);
    }
}

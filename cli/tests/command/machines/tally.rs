//! What became of each message of a bus. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// How many messages may be on their way to a member when it says that another one has left: whether they were for that
/// one is not known.
const ON_THEIR_WAY: usize = 10;

/// What one member has sent and received.
#[derive(Default)]
pub(super) struct Tally {
    /// The others that it sees.
    pub(super) listed: BTreeSet<String>,
    /// Of each message that it has sent, in their order: which members it is for.
    pub(super) sent: Vec<BTreeSet<String>>,
    /// Those that may have been accepted after a member had left: the member, and the number.
    late: BTreeSet<(String, usize)>,
    /// All up to this one are delivered, but to those that are named.
    pub(super) delivered: usize,
    named: BTreeSet<(String, usize)>,
    /// By sender: the numbers of the messages that came.
    got: BTreeMap<String, Vec<usize>>,
    /// By sender: how many it was told that it has missed.
    told: BTreeMap<String, u64>,
    pub(super) errors: Vec<Value>,
}

/// An id without the name of the machine: ids differ on all machines.
fn plain(id: &Value) -> String {
    let id = id.as_str().unwrap();
    id.split('@').next().unwrap().to_owned()
}

impl Tally {
    /// The number of the next message, for all that are listed now.
    pub(super) fn sends(&mut self) -> usize {
        self.sent.push(self.listed.clone());
        self.sent.len()
    }

    /// By sender: the number of its last message that came.
    pub(super) fn last_of_each(&self) -> BTreeMap<&str, usize> {
        let got = self.got.iter();
        got.filter_map(|(from, got)| Some((from.as_str(), *got.last()?)))
            .collect()
    }

    pub(super) fn heard(&mut self, event: &Value) {
        match event["event"].as_str().unwrap() {
            "member" => {
                let id = plain(&event["id"]);
                if event["change"] == "joined" {
                    self.listed.insert(id);
                } else {
                    self.listed.remove(&id);
                    let last = self.sent.len();
                    let late = last.saturating_sub(ON_THEIR_WAY) + 1..=last;
                    self.late.extend(late.map(|number| (id.clone(), number)));
                }
            }
            "message" => {
                let number = event["msg"].as_u64().unwrap() as usize;
                self.got
                    .entry(plain(&event["from"]))
                    .or_default()
                    .push(number);
            }
            "delivered" => {
                let upto = event["seq"].as_u64().unwrap() as usize;
                for missed in event["missed"].as_array().into_iter().flatten() {
                    let numbers = self.delivered + 1..=upto;
                    self.named
                        .extend(numbers.map(|number| (plain(missed), number)));
                }
                self.delivered = upto;
            }
            "missed" => {
                *self.told.entry(plain(&event["from"])).or_default() +=
                    event["count"].as_u64().unwrap();
            }
            "error" => self.errors.push(event.clone()),
            _ => {}
        }
    }
}

/// Of all messages to all members that were listed when they were sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) messages: usize,
    pub(super) arrived: usize,
    /// Those of which the sender was told that they did not arrive.
    pub(super) named: usize,
    /// Those that were sent as their receiver left, and neither arrived nor are named: after it had left.
    pub(super) late: usize,
    /// How many receivers were told that they have missed.
    pub(super) told: u64,
    /// Neither: from, to, number.
    pub(super) unaccounted: Vec<(String, String, usize)>,
    /// Twice, or not in their order.
    pub(super) out_of_order: Vec<(String, String)>,
}

/// `members`: id, tally, and whether the member is alive.
pub(super) fn sum(members: &[(&str, &Tally, bool)]) -> Sum {
    let mut sum = Sum::default();
    for (to, receiver, is_alive) in members {
        sum.told += receiver.told.values().sum::<u64>();
        for (from, sender, sender_is_alive) in members {
            let got = receiver.got.get(*from).map_or(&[][..], Vec::as_slice);
            if !got.is_sorted_by(|a, b| a < b) {
                sum.out_of_order
                    .push(((*from).to_owned(), (*to).to_owned()));
            }
            if !is_alive {
                continue;
            }
            // What a sender had when it was killed is lost with it: its last messages.
            let last = match sender_is_alive {
                true => sender.sent.len(),
                false => got.last().copied().unwrap_or(0),
            };
            let arrived: BTreeSet<_> = got.iter().copied().collect();
            let sent = sender.sent.iter().zip(1..).take(last);
            for (_, number) in sent.filter(|(receivers, _)| receivers.contains(*to)) {
                sum.messages += 1;
                if arrived.contains(&number) {
                    sum.arrived += 1;
                } else if sender.named.contains(&((*to).to_owned(), number)) {
                    sum.named += 1;
                } else if sender.late.contains(&((*to).to_owned(), number)) {
                    sum.late += 1;
                } else {
                    sum.unaccounted
                        .push(((*from).to_owned(), (*to).to_owned(), number));
                }
            }
        }
    }
    sum
}

#[test]
fn each_message_is_counted_once() {
    use serde_json::json;

    let message = |number| json!({"event": "message", "from": "a@oslo", "msg": number});
    let joined = json!({"event": "member", "change": "joined", "id": "b@rome"});
    let (mut a, mut b) = (Tally::default(), Tally::default());
    assert_eq!(a.sends(), 1); // for no member
    a.heard(&joined);
    (2..=6).for_each(|number| assert_eq!(a.sends(), number));
    [2, 5].iter().for_each(|number| b.heard(&message(number)));
    a.heard(&json!({"event": "delivered", "seq": 2, "missed": []}));
    a.heard(&json!({"event": "delivered", "seq": 3, "missed": ["b@rome"]}));
    b.heard(&json!({"event": "missed", "from": "a@oslo", "count": 1}));
    let lost = |number| ("a".to_owned(), "b".to_owned(), number);
    let expected = Sum {
        messages: 5,
        arrived: 2,
        named: 1,
        late: 0,
        told: 1,
        unaccounted: vec![lost(4), lost(6)],
        out_of_order: vec![],
    };
    assert_eq!(sum(&[("a", &a, true), ("b", &b, true)]), expected);
    // Of a sender that was killed the last ones are not waited for.
    assert_eq!(
        sum(&[("a", &a, false), ("b", &b, true)]).unaccounted,
        [lost(4)]
    );
    a.heard(&json!({"event": "member", "change": "left", "id": "b@rome"}));
    let sum_of_late = sum(&[("a", &a, true), ("b", &b, true)]);
    assert_eq!((sum_of_late.late, sum_of_late.unaccounted.len()), (2, 0));
    b.heard(&message(&5));
    let twice = sum(&[("a", &a, true), ("b", &b, true)]).out_of_order;
    assert_eq!(twice, [("a".to_owned(), "b".to_owned())]);
}

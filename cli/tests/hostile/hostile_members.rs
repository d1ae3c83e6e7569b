//! Hostile members of a hub that passes documents on, one kind at a time: what the hub keeps stays within a bound that
//! has a name, it is reported and counted, and the other members are served as those of another hub of the same machine,
//! which is as busy.

use std::{fmt::Write as _, thread::sleep, time::Duration};

use tokio::time::Instant;

use crate::{
    MIB,
    hostile_member::{self, Fate, Says},
    members::Pair,
    paced::{Paced, Trip},
    relay_service::{Kept, max_documents},
    size,
    support::durations::Durations,
    target::Target,
};

/// Pairs of good members, each of which holds a document. The hostile one meddles with that of the first.
const PAIRS: u32 = 8;

/// The time between two round trips of a pair.
const EVERY: Duration = Duration::from_millis(20);

/// How long the queue of a member may be full.
const STALL: Duration = Duration::from_millis(500);

/// How many messages may wait for a member.
const QUEUE: usize = 1024;

/// The members of the pairs and the hostile one, each of which has a record of each document.
const MEMBERS: u64 = 2 * PAIRS as u64 + 1;

/// What may be open between one member and one document: the questions of `max_asks`, those that are owed one, and
/// what a member of a serialized document has not answered.
const MAX_OPEN: u64 = 2 * 64 + 256 + 64;

/// Memory allowed besides the records. A member that reads nothing has a queue of 1 MiB, and 6 MiB of its own messages are
/// read ahead; it connects again before the former connection is cleaned up; and as much again for what the allocator
/// keeps, and for the buffers and queues of the others.
const BESIDE: usize = 40 * MIB;
/// And for each record, with the part of a `present` that is queued because of it.
const RECORD: usize = 1 << 10;

/// How many times as long the others' round trips may take as those of a hub of the same machine at the same time, and how
/// much longer on top. A short run is unoptimised, and finds out whether they starve at all; the figure that counts is that
/// of a long run.
const FACTOR: (u32, u32) = (20, 2);
const SLACK: (Duration, Duration) = (Duration::from_millis(250), Duration::from_millis(2));

/// What is seen of a kind, besides what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// A report with this code, which is an event and a count.
    Report(&'static str),
    /// It waits for the members that it writes to: nothing is queued for them beyond their bounds.
    Waits,
    /// It is disconnected, because its queue was full for `STALL`.
    Disconnected,
}

/// What it says, and what is seen of that.
const KINDS: [(Says, Seen); 10] = [
    (Says::Interests, Seen::Report("held-back")),
    (Says::InterestsInNothing, Seen::Report("held-back")),
    (Says::Presents, Seen::Report("member-docs-limit")),
    (Says::PresentsAndDismisses, Seen::Report("held-back")),
    (Says::OtherSchemas, Seen::Report("changed-entry")),
    (Says::OffersOfNothing, Seen::Report("offer-without-present")),
    (
        Says::OffersBehindTheGate,
        Seen::Report("write-not-permitted"),
    ),
    (Says::AnswersUnasked, Seen::Report("answer-without-ask")),
    (Says::Nonsense, Seen::Waits),
    (Says::ReadsNothing, Seen::Disconnected),
];

#[test]
fn members_are_served_beside_a_hostile_one_of_each_kind() {
    let mut failed = String::new();
    for (says, seen) in KINDS {
        run(says, seen, &mut failed);
    }
    assert!(failed.is_empty(), "{failed}");
}

/// A hub, and pairs of members that do round trips all the time.
struct Bus {
    target: Target,
    meddled_with: Paced,
    others: Vec<Paced>,
}

impl Bus {
    fn start() -> Self {
        let target = Target::relay(STALL, QUEUE);
        // Each on a thread of its own, as they would have a process of their own.
        let pair = |number| {
            let path = target.path.clone();
            Paced::start(1, EVERY, async move |_| Pair::join(&path, number).await)
        };
        let (meddled_with, others) = (pair(0), (1..PAIRS).map(pair).collect());
        Self {
            target,
            meddled_with,
            others,
        }
    }

    /// The round trips of the pair that the hostile member meddles with, and of the others.
    fn finish(self) -> [Vec<Trip>; 2] {
        let others: Vec<_> = self.others.into_iter().map(Paced::finish).collect();
        [self.meddled_with.finish(), others.concat()]
    }
}

fn run(says: Says, seen: Seen, failed: &mut String) {
    let (bus, another) = (Bus::start(), Bus::start());
    // The first round trips are those of a process that has just begun.
    sleep(Duration::from_millis(500));
    let (start, before) = (Instant::now(), bus.target.resident());
    let alone = Duration::from_millis(size(500, 3_000));
    sleep(alone);

    let begin = Instant::now();
    let end = begin + Duration::from_millis(size(1_500, 6_000));
    let hostile = hostile_member::run(&bus.target.path, says, end.into_std());
    let grown = bus.target.peak(end - begin).saturating_sub(before);
    let fate = hostile.join().unwrap();
    // What it has left behind passes first.
    sleep(Duration::from_millis(500));
    let over = Instant::now();
    sleep(alone);
    let kept = bus.target.kept();

    println!(
        "{says:?}: {} messages, {} times disconnected; the hub kept {} documents, {} records, {} open, {:.1} MiB more; \
         reported {:?}",
        fate.said,
        fate.disconnected,
        kept.documents,
        kept.records,
        kept.open,
        grown as f64 / MIB as f64,
        kept.reports,
    );
    let mut check = |holds: bool, what: &str| {
        if !holds {
            let _ = writeln!(
                failed,
                "{says:?}: {what}; {fate:?}, {kept:?}, {grown} bytes"
            );
        }
    };
    check_kept(says, &kept, grown, &mut check);
    check(is_seen(seen, &fate, &kept), "it is not seen");

    let figures = |trips: &[Trip], when: &dyn Fn(Instant) -> bool| -> Durations {
        let trips = trips.iter().filter(|trip| when(trip.due));
        trips.map(|trip| trip.took).collect()
    };
    let is_alone = |due| (due >= start && due < begin) || due >= over;
    let is_beside = |due| due >= begin && due < end;
    let [meddled_with, others] = bus.finish();
    let [its_first, its_others] = another.finish();
    // These wait for it, or read what it writes, as they asked for.
    let apart = matches!(says, Says::Nonsense | Says::ReadsNothing);
    let (trips, of_another) = match apart {
        true => (others, its_others),
        false => (
            [others, meddled_with.clone()].concat(),
            [its_others, its_first].concat(),
        ),
    };
    let beside = figures(&trips, &is_beside);
    let at_another = figures(&of_another, &is_beside);
    let p99 = at_another.percentile(99);
    println!(
        "    round trips of the others alone {}, at another hub meanwhile {at_another}, beside it {beside}, {}",
        figures(&trips, &is_alone),
        beside.against(99, 2 * p99)
    );
    if apart {
        println!(
            "    of those that hold its document {}",
            figures(&meddled_with, &is_beside)
        );
    }
    let most = size(FACTOR.0, FACTOR.1) * p99 + size(SLACK.0, SLACK.1);
    check(beside.percentile(99) <= most, "the others starve");
}

fn check_kept(says: Says, kept: &Kept, grown: usize, check: &mut impl FnMut(bool, &str)) {
    let its_own = match says {
        Says::Presents => max_documents(),
        Says::PresentsAndDismisses | Says::AnswersUnasked => 1,
        _ => 0,
    };
    let documents = its_own + u64::from(PAIRS);
    check(kept.documents <= documents, "too many documents");
    check(kept.records <= documents * MEMBERS, "too many records");
    check(kept.open <= MAX_OPEN * kept.records, "too much open");
    let allowed = BESIDE + RECORD * kept.records as usize;
    check(grown <= allowed, "too much memory");
}

fn is_seen(seen: Seen, fate: &Fate, kept: &Kept) -> bool {
    match seen {
        Seen::Report(code) => kept.reports.contains_key(code) && kept.is_counted,
        Seen::Waits => fate.disconnected == 0,
        Seen::Disconnected => fate.disconnected > 0,
    }
}

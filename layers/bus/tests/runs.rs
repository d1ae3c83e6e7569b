//! Runs of messages come to the same as their frames one by one.
//!
//! Random worlds, each run twice. A failure says the seed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::sync::Arc;

use kyneta_uds_bus::{
    ConnectionKey, DownFrame, Hub, HubEffect, HubEvent, Incarnation, Member, MemberConfig,
    MemberEffect, MemberEvent, MemberId, MemberQueue, Message, Recipients, Route, SeqNo, Session,
    SlowPolicy, UpFrame,
};
use kyneta_uds_core::PeerId;

fn id(name: &str) -> MemberId {
    MemberId::new(PeerId::new(name).unwrap(), Incarnation(1))
}

const fn message(n: u64, addressed: bool) -> Message<u64> {
    Message {
        n: SeqNo(n),
        addressed,
        body: n,
    }
}

/// Numbers that look random, the same ones for a seed.
struct Seeded(u64);

impl Seeded {
    const fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
fn a_queue_gives_a_run_as_the_frames_that_it_stands_for() {
    for seed in 1..500 {
        let mut random = Seeded(seed);
        let slow = match random.below(3) {
            0 => SlowPolicy::Wait,
            1 => SlowPolicy::Disconnect,
            _ => SlowPolicy::Newest(std::num::NonZeroU32::new(3).unwrap()),
        };
        let (mut single, mut runs) = (MemberQueue::new(slow), MemberQueue::new(slow));
        let mut n = 0;
        for _ in 0..40 {
            match random.below(4) {
                0 => {
                    let (receiver, k) = (id("a"), SeqNo(random.below(9)));
                    let acked = DownFrame::Acked { receiver, k };
                    single.push(acked.clone());
                    runs.push(acked);
                }
                1 => assert_eq!(single.pop(), runs.pop(), "seed {seed}"),
                _ => {
                    let sender = id(["a", "b"][random.below(2) as usize]);
                    let run: Arc<[_]> = (0..random.below(5))
                        .map(|_| {
                            n += 1;
                            message(n, random.below(4) == 0)
                        })
                        .collect();
                    for message in run.iter().cloned() {
                        let sender = sender.clone();
                        single.push(DownFrame::Msg { sender, message });
                    }
                    runs.push_run(&sender, &run);
                }
            }
            assert_eq!(single.len(), runs.len(), "seed {seed}");
            assert_eq!(single.dropped(), runs.dropped(), "seed {seed}");
        }
        while let Some(frame) = single.pop() {
            assert_eq!(runs.pop(), Some(frame), "seed {seed}");
        }
        assert!(runs.is_empty() && runs.pop().is_none(), "seed {seed}");
    }
}

#[test]
fn a_member_delivers_of_a_run_what_it_delivers_of_its_frames() {
    for seed in 1..500 {
        let mut random = Seeded(seed);
        let mut single = Member::<u64>::new(id("me"), MemberConfig::default());
        let (sender, session) = (id("a"), Session(1));
        let mut out = Vec::new();
        single.handle(MemberEvent::Connected, &mut out);
        let joined = DownFrame::Joined { sender, session };
        single.handle(MemberEvent::Frame(joined), &mut out);
        let mut runs = single.clone();
        for _ in 0..10 {
            // No place was made for `b`.
            let sender = id(["a", "a", "b"][random.below(3) as usize]);
            let mut run: Vec<_> = (0..random.below(4))
                .map(|_| message(1 + random.below(20), random.below(2) == 0))
                .collect();
            let mut delivered = Vec::new();
            for message in run.clone() {
                out.clear();
                let sender = sender.clone();
                let frame = DownFrame::Msg { sender, message };
                single.handle(MemberEvent::Frame(frame), &mut out);
                delivered.extend(out.drain(..).map(|effect| match effect {
                    MemberEffect::Deliver { message, .. } => message,
                    other => unreachable!("{other:?}"),
                }));
            }
            runs.receive(&sender, &mut run);
            assert_eq!(run, delivered, "seed {seed}");
            assert_eq!(single, runs, "seed {seed}");
        }
    }
}

#[test]
fn a_member_takes_of_all_numbers_in_a_range_what_it_takes_of_their_messages() {
    for seed in 1..500 {
        let mut random = Seeded(seed);
        let mut single = Member::<u64>::new(id("me"), MemberConfig::default());
        let (sender, session) = (id("a"), Session(1));
        let joined = DownFrame::Joined { sender, session };
        single.handle(MemberEvent::Connected, &mut Vec::new());
        single.handle(MemberEvent::Frame(joined), &mut Vec::new());
        let mut ranges = single.clone();
        for _ in 0..10 {
            let sender = id(["a", "a", "b"][random.below(3) as usize]);
            let first = 1 + random.below(30);
            let numbers = first..=first + random.below(8);
            let mut run: Vec<_> = numbers.clone().map(|n| message(n, false)).collect();
            single.receive(&sender, &mut run);
            let numbers = SeqNo(*numbers.start())..=SeqNo(*numbers.end());
            let new = ranges.receive_all(&sender, numbers);
            assert_eq!(new, run.len() as u64, "seed {seed}");
            assert_eq!(single, ranges, "seed {seed}");
        }
    }
}

#[test]
fn the_routes_of_a_connection_are_where_its_messages_go() {
    let mut hub = Hub::new(id("a"));
    let mut members =
        ["a", "b", "c"].map(|id_| Member::<u64>::new(id(id_), MemberConfig::default()));
    let mut frames = Vec::new();
    let mut met = 0;
    for at in 0..members.len() {
        let mut out = Vec::new();
        members[at].handle(MemberEvent::Connected, &mut out);
        frames.extend(out.into_iter().map(|effect| (at, effect)));
        while !frames.is_empty() {
            let (from, MemberEffect::Send(frame)) = frames.remove(0) else {
                continue;
            };
            let (from, mut out) = (ConnectionKey(from as u64), Vec::new());
            hub.handle(HubEvent::Frame { from, frame }, &mut out);
            for effect in out {
                let HubEffect::Send { to, frame } = effect else {
                    continue;
                };
                let (to, mut out) = (to.0 as usize, Vec::new());
                members[to].handle(MemberEvent::Frame(frame), &mut out);
                frames.extend(out.into_iter().map(|effect| (to, effect)));
            }
            for from in (0..4).map(ConnectionKey) {
                let routes = hub
                    .routes(from)
                    .map(|(_, routes)| routes.collect::<Vec<_>>());
                let (to, message) = (Recipients::All, message(1, false));
                let mut out = Vec::new();
                let frame = UpFrame::Msg { to, message };
                hub.clone()
                    .handle(HubEvent::Frame { from, frame }, &mut out);
                let sent = out.into_iter().map(|effect| match effect {
                    HubEffect::Send { to, .. } => Route::Connection(to),
                    other => unreachable!("{other:?}"),
                });
                let routes = routes.unwrap_or_default();
                met = met.max(routes.len());
                assert_eq!(routes, sent.collect::<Vec<_>>());
            }
        }
    }
    assert_eq!(met, 2);
}

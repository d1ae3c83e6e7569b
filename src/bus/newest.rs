//! What gives way in the inbox of a member that keeps the newest: the oldest messages to all.
//!
//! In: what waits, and how many messages are to go. Out: the same without them, and that they were missed. Touches nothing.
//! A hub does so with what waits for a connection; but a connection is always read, and the listener's own member has none.

use std::sync::Arc;

use kyneta_uds_bus::SeqNo;

use super::{bundle, event::BusEvent, inbox::Delivery, info::MemberInfo};

/// How many messages may give way.
pub(super) fn droppable(delivery: &Delivery) -> usize {
    match delivery {
        Delivery::Run(_, run) => {
            let to_all = run.iter().filter(|message| !message.addressed);
            to_all.map(bundle::count).sum()
        }
        Delivery::Message {
            message,
            request: None,
            ..
        } => usize::from(!message.addressed),
        _ => 0,
    }
}

/// Drops the oldest ones, so many, and tells the last number of each part.
pub(super) fn drop_oldest(
    waiting: &mut Vec<Delivery>,
    excess: usize,
    mut dropping: impl FnMut(&Arc<MemberInfo>, SeqNo),
) {
    let mut excess = excess;
    let mut left = Vec::with_capacity(waiting.len());
    for delivery in waiting.drain(..) {
        let (from, run) = match delivery {
            Delivery::Run(from, run) if excess > 0 => (from, run),
            Delivery::Message {
                from,
                message,
                request: None,
            } if excess > 0 && !message.addressed => (from, vec![message]),
            delivery => {
                left.push(delivery);
                continue;
            }
        };
        let mut rest = Vec::new();
        for message in run {
            let count = bundle::count(&message);
            let dropped = match message.addressed {
                true => 0,
                false => excess.min(count),
            };
            if dropped > 0 {
                // What is addressed stays, and what was missed goes before what follows.
                if !rest.is_empty() {
                    left.push(Delivery::Run(from.clone(), std::mem::take(&mut rest)));
                }
                missed(&mut left, &from, dropped as u64);
                dropping(&from, SeqNo(message.n.0 - (count - dropped) as u64));
                excess -= dropped;
            }
            if dropped < count {
                rest.push(bundle::newest(message, (count - dropped) as u64));
            }
        }
        if !rest.is_empty() {
            left.push(Delivery::Run(from, rest));
        }
    }
    *waiting = left;
}

/// Tells that messages of a sender were missed: together with what was missed before, unless something of it waits between.
fn missed(left: &mut Vec<Delivery>, from: &Arc<MemberInfo>, more: u64) {
    let last = left.iter_mut().rev().find(|of| match of {
        Delivery::Message { from: of, .. } | Delivery::Run(of, _) => Arc::ptr_eq(of, from),
        Delivery::Event(
            BusEvent::Missed { from: of, .. } | BusEvent::Joined(of) | BusEvent::Left(of),
        ) => of.member_id() == from.member_id(),
        Delivery::Event(_) => false,
    });
    match last {
        Some(Delivery::Event(BusEvent::Missed { count, .. })) => {
            *count = count.saturating_add(more);
        }
        _ => left.push(Delivery::Event(BusEvent::Missed {
            from: from.clone(),
            count: more,
        })),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kyneta_uds_bus::{Incarnation, Message};
    use kyneta_uds_core::Identity;

    use super::*;
    use crate::bus::{
        bundle::Bundle,
        wire::{Body, Kind},
    };

    fn message(n: u64, addressed: bool) -> Message<Body> {
        Message {
            n: SeqNo(n),
            addressed,
            body: Body {
                kind: Kind::Plain,
                at_once: false,
                data: Bytes::from_static(b"x"),
                trace: None,
            },
        }
    }

    /// What waits, as text: numbers of messages, `-n` for n that were missed.
    fn shown(waiting: &[Delivery]) -> Vec<String> {
        let each = waiting.iter().flat_map(|of| match of {
            Delivery::Run(from, run) => {
                let each = run.iter().flat_map(bundle::each);
                let id = &from.id;
                each.map(|message| format!("{id}{}", message.n.0)).collect()
            }
            Delivery::Event(BusEvent::Missed { from, count }) => {
                vec![format!("{}-{count}", from.id)]
            }
            _ => vec!["other".to_owned()],
        });
        each.collect()
    }

    #[test]
    fn the_oldest_to_all_give_way_and_are_counted_in_their_place() {
        let info = |id: &str| {
            let identity = Identity::service(id).unwrap();
            Arc::new(MemberInfo::of_this_process(&identity, Incarnation(1)))
        };
        let (a, b) = (info("a"), info("b"));
        let bundle = || {
            let mut bundle = Bundle::of(&message(4, false), &message(5, false)).unwrap();
            assert!(bundle.add(&message(6, false)));
            bundle.into_message()
        };
        let waiting = || {
            vec![
                Delivery::Run(a.clone(), vec![message(1, false), message(2, true)]),
                Delivery::Run(b.clone(), vec![message(1, false)]),
                Delivery::Run(a.clone(), vec![message(3, false), bundle()]),
                Delivery::Event(BusEvent::Left(b.clone())),
            ]
        };
        assert_eq!(waiting().iter().map(droppable).sum::<usize>(), 6);
        for (excess, expected) in [
            (0, "a1 a2 b1 a3 a4 a5 a6 other"),
            (1, "a-1 a2 b1 a3 a4 a5 a6 other"),
            (2, "a-1 a2 b-1 a3 a4 a5 a6 other"),
            (3, "a-1 a2 b-1 a-1 a4 a5 a6 other"),
            (5, "a-1 a2 b-1 a-3 a6 other"),
            (9, "a-1 a2 b-1 a-4 other"),
        ] {
            let mut waiting = waiting();
            drop_oldest(&mut waiting, excess, |_, _| {});
            assert_eq!(shown(&waiting).join(" "), expected, "{excess}");
        }
    }
}

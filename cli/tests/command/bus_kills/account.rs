//! What each member has, held against what it is owed; and how long the bus paused. Pure.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use super::{MEETING, member::Member};
use crate::support::durations::Durations;

/// A member that lives so long after a kill has its part in the pause.
const STAYS: Duration = Duration::from_millis(300);

/// Each message exactly once and in order at each member that stayed, and no member reported as left that has not ended.
/// Returns how many messages were looked at, or which one a member does not have.
pub(super) fn check(members: &[Member], ends: &HashMap<String, usize>) -> Result<usize, String> {
    let mut checked = 0;
    for receiver in members {
        let at = receiver.number;
        let seen = receiver.seen();
        for (sender, numbers) in &seen.received {
            let is_in_order = numbers.windows(2).all(|pair| pair[0].0 < pair[1].0);
            assert!(is_in_order, "of {sender} at {at}: {numbers:?}");
        }
        for (id, left) in &seen.left {
            let ends = ends.get(id).copied().unwrap_or_default();
            assert!(
                *left <= ends,
                "{id} ended {ends} times, and left {left} times for {at}"
            );
        }
        let received = |sender: &Member| -> HashSet<u64> {
            let numbers = seen.received.get(&sender.number).into_iter().flatten();
            numbers.map(|(n, _)| *n).collect()
        };
        let others = members.iter().filter(|sender| sender.number != at);
        for (sender, numbers) in others.map(|sender| (sender, received(sender))) {
            let of = sender.seen();
            let listed = of.joined.get(&receiver.id).copied();
            let listed = listed.unwrap_or_else(|| panic!("{} does not list {at}", sender.number));
            for (n, published) in (1_u64..).zip(&of.published) {
                let is_owed = *published > listed && !of.missed.contains(&(n, receiver.id.clone()));
                if is_owed && !numbers.contains(&n) {
                    return Err(format!("{n} of {} is lost at {at}", sender.number));
                }
                checked += usize::from(is_owed);
            }
        }
    }
    assert!(checked > 100, "{checked}");
    Ok(checked)
}

/// For each kill, and each member that stayed and is not held up itself: how long until it had a message that was published after the kill.
pub(super) fn pauses(kills: &[Instant], all: &[Member]) -> Durations {
    let mut pauses = Vec::new();
    for kill in kills {
        let stayed = |member: &&Member| {
            !member.is_held_up
                && member.started + MEETING < *kill
                && member.ended.is_none_or(|ended| ended > *kill + STAYS)
        };
        for receiver in all.iter().filter(stayed) {
            let others = all.iter().filter(|sender| sender.number != receiver.number);
            let first = others.filter_map(|sender| {
                let after = sender.seen().published.partition_point(|at| at < kill) as u64;
                let seen = receiver.seen();
                let received = seen.received.get(&sender.number)?;
                let next = received.partition_point(|(n, _)| *n <= after);
                received.get(next).map(|(_, at)| *at)
            });
            pauses.extend(first.min().map(|at| at - *kill));
        }
    }
    pauses.into_iter().collect()
}

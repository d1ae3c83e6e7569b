//! What is on its way: between members and their hubs, and over the links between hubs.
//!
//! In: messages and effects. Out: the same, in order for each connection, in any order among several. Pure.

use std::collections::VecDeque;

use kyneta_uds_core::{ChannelMsg, WireVersion};
use kyneta_uds_relay::{Effect, MemberFacts, MemberKey, Switch};

use crate::world::{KEYS, World};

/// After the last event of a run, so many messages pass at most, times the documents, the square of the members and
/// the square of the hubs.
const MESSAGES_OF_A_PAIR: usize = 50;
/// And so many rounds, in each of which every member reads and sends ten messages on average.
const MAX_ROUNDS: usize = 150;

/// The number of the first link among the keys of a hub.
const FIRST_LINK: u64 = 8;

/// A link between two hubs, and what is on its way to each end.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) ends: [usize; 2],
    /// Its key at both ends, while it is up.
    key: Option<MemberKey>,
    queues: [VecDeque<ChannelMsg>; 2],
}

impl Link {
    pub(crate) const fn down(ends: [usize; 2]) -> Self {
        Self {
            ends,
            key: None,
            queues: [VecDeque::new(), VecDeque::new()],
        }
    }
}

impl World {
    /// An event of a hub, and what follows from it at once.
    pub(crate) fn at_hub(&mut self, hub: usize, event: impl FnOnce(&mut Switch, &mut Vec<Effect>)) {
        let mut effects = Vec::new();
        event(&mut self.hubs[hub], &mut effects);
        self.hubs[hub].follow_up(&mut effects);
        self.carry_out(hub, effects);
    }

    pub(crate) fn link_up(&mut self, link: usize) {
        if self.links[link].key.is_some() {
            return;
        }
        self.print(|| format!("link {link} is up"));
        let key = self.new_key(FIRST_LINK + link as u64);
        self.links[link].key = Some(key);
        for hub in self.links[link].ends {
            let facts = MemberFacts::link(WireVersion::V3);
            self.at_hub(hub, |hub, out| hub.established(key, facts, out));
        }
    }

    /// What is on its way is lost.
    pub(crate) fn link_down(&mut self, link: usize) {
        let Some(key) = self.links[link].key.take() else {
            return;
        };
        self.print(|| format!("link {link} is down"));
        self.links[link].queues = [VecDeque::new(), VecDeque::new()];
        for hub in self.links[link].ends {
            self.at_hub(hub, |hub, out| hub.left(key, out));
        }
    }

    /// Members that have gone leave on, each with this chance. True when one did.
    pub(crate) fn leave_on(&mut self, percent: usize) -> bool {
        let mut any = false;
        for (at, key) in self.leaving.clone() {
            if !self.random.percent(percent) {
                continue;
            }
            any = true;
            let mut is_gone = false;
            self.at_hub(at, |hub, out| is_gone = !hub.leaving(key, 1, out));
            if is_gone {
                self.leaving.retain(|of| *of != (at, key));
                self.at_hub(at, |hub, out| hub.left(key, out));
            }
        }
        any
    }

    /// The next message of a member's connection or of a link, in one direction or the other. False when there is
    /// none.
    pub(crate) fn pass_one(&mut self, at: usize) -> bool {
        let first = self.random.percent(50);
        match at.checked_sub(self.members.len()) {
            None => self.pass(at, first) || self.pass(at, !first),
            Some(link) => {
                let first = usize::from(first);
                self.pass_over(link, first) || self.pass_over(link, 1 - first)
            }
        }
    }

    /// Members and links, each of which may have messages.
    pub(crate) fn channels(&self) -> usize {
        self.members.len() + self.links.len()
    }

    fn pass(&mut self, member: usize, to_hub: bool) -> bool {
        let Some(link) = &mut self.members[member].link else {
            return false;
        };
        let queue = if to_hub {
            &mut link.to_hub
        } else {
            &mut link.from_hub
        };
        let key = link.key;
        let Some(msg) = queue.pop_front() else {
            return false;
        };
        if to_hub {
            self.print(|| format!("  {member} -> {msg:?}"));
            self.at_hub(self.hub_of(member), |hub, out| hub.received(key, msg, out));
        } else {
            self.print(|| format!("  {member} <- {msg:?}"));
            self.members[member].receive(msg);
        }
        true
    }

    /// The next message on a link to one of its ends.
    fn pass_over(&mut self, link: usize, end: usize) -> bool {
        let (Some(key), Some(msg)) = (
            self.links[link].key,
            self.links[link].queues[end].pop_front(),
        ) else {
            return false;
        };
        let hub = self.links[link].ends[end];
        self.print(|| format!("  link {link} to hub {hub}: {msg:?}"));
        self.at_hub(hub, |hub, out| hub.received(key, msg, out));
        true
    }

    fn carry_out(&mut self, hub: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to: key, msg } => {
                    let to = key.0 % KEYS;
                    if let Some(link) = to.checked_sub(FIRST_LINK) {
                        self.print(|| format!("     to link {link}: {msg:?}"));
                        let link = &mut self.links[usize::try_from(link).unwrap()];
                        assert_eq!(link.key, Some(key), "an effect to a link that is not there");
                        link.queues[usize::from(link.ends[0] == hub)].push_back(msg);
                        continue;
                    }
                    self.print(|| format!("     to {to}: {msg:?}"));
                    let to = usize::try_from(to).unwrap();
                    self.check_gate(to, &msg);
                    if self.leaving.contains(&(hub, key)) {
                        continue;
                    }
                    let link = self.members[to].link.as_mut();
                    link.filter(|link| link.key == key)
                        .expect("an effect to a member that is not there")
                        .from_hub
                        .push_back(msg);
                }
                effect => self.print(|| format!("     {effect:?}")),
            }
        }
        // In a debug build this compares what was counted with what is there.
        let counts = self.hubs[hub].counts();
        assert!(counts.records <= counts.members * counts.documents);
    }

    /// Messages pass until there is none.
    pub(crate) fn quiet(&mut self, counts: bool) -> Result<(), String> {
        let (members, documents) = (self.members.len(), self.docs.len());
        let pairs = members * members * self.hubs.len() * self.hubs.len();
        let max_messages = MESSAGES_OF_A_PAIR * pairs * documents;
        let (mut messages, mut rounds) = (0, 0);
        loop {
            let mut any = self.leave_on(90);
            for at in 0..self.channels() {
                while self.random.percent(90) && self.pass_one(at) {
                    any = true;
                    messages += 1;
                }
            }
            any |= self.is_under_way() || !self.leaving.is_empty();
            rounds += 1;
            if !any {
                if !self.hubs.iter().any(Switch::is_unsettled) {
                    break;
                }
                for hub in 0..self.hubs.len() {
                    self.print(|| format!("hub {hub} asks again"));
                    self.at_hub(hub, Switch::reconcile);
                }
            }
            if messages > max_messages || rounds > MAX_ROUNDS * self.hubs.len() {
                return Err(format!(
                    "{messages} messages in {rounds} rounds, and it is not quiet"
                ));
            }
        }
        if counts {
            (self.outcome.messages, self.outcome.rounds) = (messages, rounds);
        }
        Ok(())
    }

    fn is_under_way(&self) -> bool {
        let members = self.members.iter().filter_map(|of| of.link.as_ref());
        let mut queues = members.flat_map(|link| [&link.to_hub, &link.from_hub]);
        let mut over_links = self.links.iter().flat_map(|link| &link.queues);
        queues.any(|queue| !queue.is_empty()) || over_links.any(|queue| !queue.is_empty())
    }

    /// Another process is the hub, without memory.
    pub(crate) fn kill_a_hub(&mut self) {
        let hub = self.random.below(self.hubs.len());
        self.print(|| format!("hub {hub} is killed"));
        self.outcome.hub_kills += 1;
        for link in 0..self.links.len() {
            if self.links[link].ends.contains(&hub) {
                self.link_down(link);
            }
        }
        self.leaving.retain(|(at, _)| *at != hub);
        self.hubs[hub] = self.plan.switch(self.seed);
        let hubs = self.hubs.len();
        let members = self.members.iter_mut().enumerate();
        for (_, member) in members.filter(|(at, _)| at % hubs == hub) {
            member.link = None;
        }
    }

    /// A key that no session had before, where that matters.
    pub(crate) fn new_key(&mut self, number: u64) -> MemberKey {
        // An ask of a former session under the same key may reach holders of another variant. A hub gives no key twice.
        let matters = self.plan.variants > 1 || self.hubs.len() > 1 || !self.leaving.is_empty();
        self.sessions += u64::from(matters);
        MemberKey(self.sessions * KEYS + number)
    }
}

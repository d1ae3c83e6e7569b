//! A hub, its members, and what happens to them.

use std::{cmp::Ordering, collections::BTreeMap};

use kyneta_uds_core::{DocId, WireVersion};
use kyneta_uds_relay::{Effect, MemberFacts, MemberKey, Switch, SwitchConfig};

use crate::{
    content::{Content, entry},
    edits::Edit,
    member::Member,
    random::Random,
};

/// Which documents there are: a letter for the class of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    classes: &'static str,
}

impl Plan {
    pub(crate) const fn new(classes: &'static str) -> Self {
        Self { classes }
    }
}

/// What a run took, from the last event until all was quiet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) messages: usize,
    pub(crate) rounds: usize,
    pub(crate) hub_kills: usize,
    pub(crate) members: usize,
    pub(crate) documents: usize,
}

impl Ord for Outcome {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.messages, self.rounds).cmp(&(other.messages, other.rounds))
    }
}

impl PartialOrd for Outcome {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

pub(crate) struct World {
    random: Random,
    switch: Switch,
    members: Vec<Member>,
    docs: Vec<DocId>,
    /// The one member that may edit a serialized document.
    writers: BTreeMap<DocId, usize>,
    incarnations: u32,
    now: u32,
    outcome: Outcome,
    prints: bool,
}

impl World {
    pub(crate) fn new(seed: u64, plan: Plan, prints: bool) -> Self {
        let mut random = Random::new(seed);
        let docs: Vec<_> = plan
            .classes
            .chars()
            .enumerate()
            .map(|(at, class)| DocId::new(format!("{class}{at}")).unwrap())
            .collect();
        let members = 2 + random.below(5);
        let mut incarnations = 0;
        let members: Vec<_> = (0..members)
            .map(|_| {
                incarnations += 1;
                Member::new(incarnations, random.percent(85))
            })
            .collect();
        Self {
            outcome: Outcome {
                members: members.len(),
                documents: docs.len(),
                ..Outcome::default()
            },
            random,
            switch: Switch::new(SwitchConfig::default()),
            members,
            docs,
            writers: BTreeMap::new(),
            incarnations,
            now: 0,
            prints,
        }
    }

    pub(crate) fn run(mut self) -> Result<Outcome, String> {
        for _ in 0..20 + self.random.below(160) {
            self.step()?;
        }
        // All come back, all schemas are known, and nothing else happens.
        for member in 0..self.members.len() {
            self.connect(member);
            let deferred: Vec<_> = self.members[member]
                .docs
                .iter()
                .filter(|(_, replica)| replica.deferred)
                .map(|(doc, _)| doc.clone())
                .collect();
            for doc in deferred {
                self.members[member].learn(&doc);
            }
        }
        self.quiet(true)?;
        self.check()?;
        Ok(self.outcome)
    }

    fn step(&mut self) -> Result<(), String> {
        self.now += 1;
        let member = self.random.below(self.members.len());
        let doc = self.docs[self.random.below(self.docs.len())].clone();
        match self.random.below(100) {
            0..8 => self.connect(member),
            8..12 => self.disconnect(member, "is cut off"),
            12..15 => self.restart(member),
            15..17 => self.kill_the_hub(),
            17..25 => {
                let deferred = self.random.percent(10);
                self.print(|| {
                    format!(
                        "{member} opens {doc} {}",
                        if deferred { "deferred" } else { "" }
                    )
                });
                self.members[member].open(entry(doc.as_str()), deferred);
            }
            25..27 => {
                self.print(|| format!("{member} closes {doc}"));
                // A writer that comes back empty starts another history: misuse.
                if self.writers.get(&doc) != Some(&member) {
                    self.members[member].close(&doc);
                }
            }
            27..45 => self.edit(member, &doc),
            45..46 => self.hand_over(&doc)?,
            _ => {
                for _ in 0..1 + self.random.below(4) {
                    let member = self.random.below(self.members.len());
                    self.pass_one(member);
                }
            }
        }
        Ok(())
    }

    fn edit(&mut self, member: usize, doc: &DocId) {
        if doc.as_str().starts_with('s')
            && *self.writers.entry(doc.clone()).or_insert(member) != member
        {
            return;
        }
        let edit = self.members[member].edit(doc, self.now);
        self.print(|| format!("{member} edits {doc}: {edit:?}"));
    }

    /// The next edit of a serialized document is another member's, once all are equal.
    fn hand_over(&mut self, doc: &DocId) -> Result<(), String> {
        if !doc.as_str().starts_with('s') {
            return Ok(());
        }
        for member in 0..self.members.len() {
            self.connect(member);
        }
        self.quiet(false)?;
        self.check()?;
        let next = self.random.below(self.members.len());
        if self.members[next]
            .docs
            .get(doc)
            .is_some_and(|replica| !replica.deferred)
        {
            self.print(|| format!("{next} writes {doc} from now on"));
            self.writers.insert(doc.clone(), next);
        }
        Ok(())
    }

    fn connect(&mut self, member: usize) {
        if self.members[member].link.is_some() {
            return;
        }
        self.print(|| format!("{member} connects"));
        self.members[member].connect();
        let mut effects = Vec::new();
        let facts = MemberFacts::local(WireVersion::V3);
        self.switch
            .established(MemberKey(member as u64), facts, &mut effects);
        self.carry_out(effects);
    }

    /// The connection breaks: what is on its way is lost.
    fn disconnect(&mut self, member: usize, how: &str) {
        if self.members[member].link.take().is_none() {
            return;
        }
        self.print(|| format!("{member} {how}"));
        let mut effects = Vec::new();
        self.switch.left(MemberKey(member as u64), &mut effects);
        self.carry_out(effects);
    }

    /// The process is killed and starts again without its documents.
    fn restart(&mut self, member: usize) {
        let writes = |doc: &DocId| self.writers.get(doc) == Some(&member);
        if self.members[member].docs.keys().any(writes) {
            return;
        }
        self.disconnect(member, "is killed");
        self.incarnations += 1;
        self.members[member] = Member::new(self.incarnations, self.random.percent(85));
    }

    /// Another process is the hub, without memory.
    fn kill_the_hub(&mut self) {
        self.print(|| "the hub is killed".to_owned());
        self.outcome.hub_kills += 1;
        self.switch = Switch::new(SwitchConfig::default());
        for member in &mut self.members {
            member.link = None;
        }
    }

    /// The next message of a member's connection, in one direction or the other. False when there is none.
    fn pass_one(&mut self, member: usize) -> bool {
        let to_hub = self.random.percent(50);
        self.pass(member, to_hub) || self.pass(member, !to_hub)
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
        let Some(msg) = queue.pop_front() else {
            return false;
        };
        if to_hub {
            self.print(|| format!("  {member} -> {msg:?}"));
            let mut effects = Vec::new();
            self.switch
                .received(MemberKey(member as u64), msg, None, &mut effects);
            self.carry_out(effects);
        } else {
            self.print(|| format!("  {member} <- {msg:?}"));
            self.members[member].receive(msg);
        }
        true
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to, msg, .. } => {
                    self.print(|| format!("     to {}: {msg:?}", to.0));
                    let to = usize::try_from(to.0).unwrap();
                    let link = self.members[to].link.as_mut();
                    link.expect("an effect to a member that is not there")
                        .from_hub
                        .push_back(msg);
                }
                effect => self.print(|| format!("     {effect:?}")),
            }
        }
        // In a debug build this compares what was counted with what is there.
        let counts = self.switch.counts();
        assert!(counts.records <= counts.members * counts.documents);
    }

    /// Messages pass until there is none.
    fn quiet(&mut self, counts: bool) -> Result<(), String> {
        let limit = 4_000 * self.members.len();
        let (mut messages, mut rounds) = (0, 0);
        loop {
            let mut any = false;
            for member in 0..self.members.len() {
                while self.random.percent(90) && self.pass_one(member) {
                    any = true;
                    messages += 1;
                }
                any |= self.members[member]
                    .link
                    .as_ref()
                    .is_some_and(|link| !link.to_hub.is_empty() || !link.from_hub.is_empty());
            }
            rounds += 1;
            if !any {
                if !self.switch.is_unsettled() {
                    break;
                }
                self.print(|| "the hub asks again".to_owned());
                let mut effects = Vec::new();
                self.switch.reconcile(&mut effects);
                self.carry_out(effects);
            }
            if messages > limit {
                return Err(format!("{messages} messages, and it is not quiet"));
            }
        }
        if counts {
            (self.outcome.messages, self.outcome.rounds) = (messages, rounds);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        for doc in &self.docs {
            let replicas = self.members.iter().enumerate().filter_map(|(at, member)| {
                let replica = member.docs.get(doc)?;
                (!replica.deferred).then_some((at, &replica.content))
            });
            let replicas: Vec<(usize, &Content)> = replicas.collect();
            let Some((_, first)) = replicas.first() else {
                continue;
            };
            if let Some((other, content)) = replicas.iter().find(|(_, content)| content != first) {
                return Err(format!(
                    "{doc}: member {} has {first:?}, member {other} {content:?}",
                    replicas[0].0
                ));
            }
            if let Content::Serialized(log) = first {
                let mut once: Vec<Edit> = log.clone();
                once.sort_unstable();
                once.dedup();
                if once.len() != log.len() {
                    return Err(format!("{doc}: doubled: {log:?}"));
                }
            }
        }
        Ok(())
    }

    fn print(&self, event: impl FnOnce() -> String) {
        if self.prints {
            println!("{:>4} {}", self.now, event());
        }
    }
}

//! A hub, its members, and what happens to them.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use kyneta_uds_core::{ChannelMsg, DocEntry, DocId, Identity, SyncMode, WireVersion};
use kyneta_uds_relay::{Access, Effect, Gate, MemberFacts, MemberKey, Switch, SwitchConfig};

use crate::{
    content::{Content, entry},
    edits::Edit,
    member::Member,
    random::Random,
};

/// Which documents there are: a letter for the class of each, and how many variants of it there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    classes: &'static str,
    variants: usize,
    has_gates: bool,
}

impl Plan {
    pub(crate) const fn new(classes: &'static str) -> Self {
        Self {
            classes,
            variants: 1,
            has_gates: false,
        }
    }

    pub(crate) const fn variants(mut self, variants: usize) -> Self {
        self.variants = variants;
        self
    }

    /// Some members may not write some documents, or not see them.
    pub(crate) const fn gates(mut self) -> Self {
        self.has_gates = true;
        self
    }
}

/// After the last event of a run, so many messages pass at most, times the documents and the square of the members.
const MESSAGES_OF_A_PAIR: usize = 50;
/// And so many rounds, in each of which every member reads and sends ten messages on average.
const MAX_ROUNDS: usize = 150;

/// A member's key is its number, and a multiple of this.
const KEYS: u64 = 16;

/// What a member may do with a document: the same each time.
fn access(seed: u64, member: &str, doc: &DocId) -> Access {
    let of = member.bytes().chain(doc.as_str().bytes());
    let of = of.fold(seed, |of, byte| of.wrapping_mul(31) + u64::from(byte));
    match Random::new(of).below(10) {
        0..6 => Access::Write,
        6..8 => Access::Read,
        _ => Access::None,
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

/// A document's id, and the schema of one document of this id.
type Variant = (DocId, String);

fn variant(entry: &DocEntry) -> Variant {
    (entry.doc.clone(), entry.schema.as_str().to_owned())
}

pub(crate) struct World {
    plan: Plan,
    seed: u64,
    random: Random,
    switch: Switch,
    members: Vec<Member>,
    docs: Vec<DocId>,
    /// The one member that may edit a variant of a serialized document.
    writers: BTreeMap<Variant, usize>,
    /// Which edits of a variant there have been.
    edits: BTreeSet<(Variant, Edit)>,
    incarnations: u32,
    /// Sessions so far, where each has a key of its own.
    sessions: u64,
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
        let mut world = Self {
            plan,
            seed,
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
            edits: BTreeSet::new(),
            incarnations,
            sessions: 0,
            now: 0,
            prints,
        };
        world.switch = world.new_switch();
        world
    }

    fn new_switch(&self) -> Switch {
        let config = SwitchConfig::default();
        if !self.plan.has_gates {
            return Switch::new(config);
        }
        let seed = self.seed;
        let gate = Gate::everything()
            .and(move |member, doc| access(seed, member.peer_id().unwrap_or_default(), doc));
        Switch::new(config.gate(gate))
    }

    fn access(&self, member: usize, doc: &DocId) -> Access {
        if self.plan.has_gates {
            access(self.seed, &member.to_string(), doc)
        } else {
            Access::Write
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
                let variant = match self.plan.variants {
                    1 => 0,
                    variants => self.random.below(variants),
                };
                self.members[member].open(entry(doc.as_str(), variant), deferred);
            }
            25..27 => {
                self.print(|| format!("{member} closes {doc}"));
                // A writer that comes back empty starts another history: misuse.
                if !self.writes(member, &doc) {
                    let has_variants = self.plan.variants > 1;
                    self.members[member].close(&doc, has_variants);
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
        let Some(replica) = self.members[member].docs.get(doc) else {
            return;
        };
        if replica.deferred || self.access(member, doc) == Access::Read {
            return;
        }
        let variant = variant(&replica.entry);
        if replica.entry.mode == SyncMode::Authoritative
            && *self.writers.entry(variant.clone()).or_insert(member) != member
        {
            return;
        }
        let edit = self.members[member].edit(doc, self.now);
        self.edits.extend(edit.map(|edit| (variant, edit)));
        self.print(|| format!("{member} edits {doc}: {edit:?}"));
    }

    /// It is the one that edits this serialized document.
    fn writes(&self, member: usize, doc: &DocId) -> bool {
        let replica = self.members[member].docs.get(doc);
        replica.is_some_and(|replica| self.writers.get(&variant(&replica.entry)) == Some(&member))
    }

    /// The next edit of a serialized document is another member's, once all are equal.
    fn hand_over(&mut self, doc: &DocId) -> Result<(), String> {
        if !doc.as_str().starts_with(['s', 'x']) {
            return Ok(());
        }
        for member in 0..self.members.len() {
            self.connect(member);
        }
        self.quiet(false)?;
        self.check()?;
        let next = self.random.below(self.members.len());
        let replica = self.members[next].docs.get(doc);
        if let Some(replica) = replica.filter(|replica| !replica.deferred)
            && replica.entry.mode == SyncMode::Authoritative
            && self.access(next, doc) == Access::Write
        {
            self.print(|| format!("{next} writes {doc} from now on"));
            self.writers.insert(variant(&replica.entry), next);
        }
        Ok(())
    }

    fn connect(&mut self, member: usize) {
        if self.members[member].link.is_some() {
            return;
        }
        self.print(|| format!("{member} connects"));
        // An ask of a former session under the same key may reach holders of another variant. A hub gives no key twice.
        self.sessions += u64::from(self.plan.variants > 1);
        self.members[member].connect(MemberKey(self.sessions * KEYS + member as u64));
        let mut effects = Vec::new();
        let identity = Identity::service(member.to_string()).unwrap();
        let facts = MemberFacts::local(WireVersion::V3).identity(identity);
        let key = self.members[member].link.as_ref().unwrap().key;
        self.switch.established(key, facts, &mut effects);
        self.carry_out(effects);
    }

    /// The connection breaks: what is on its way is lost.
    fn disconnect(&mut self, member: usize, how: &str) {
        let Some(link) = self.members[member].link.take() else {
            return;
        };
        self.print(|| format!("{member} {how}"));
        let mut effects = Vec::new();
        self.switch.left(link.key, &mut effects);
        self.carry_out(effects);
    }

    /// The process is killed and starts again without its documents.
    fn restart(&mut self, member: usize) {
        let mut docs = self.members[member].docs.keys();
        if docs.any(|doc| self.writes(member, doc)) {
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
        self.switch = self.new_switch();
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
        let key = link.key;
        let Some(msg) = queue.pop_front() else {
            return false;
        };
        if to_hub {
            self.print(|| format!("  {member} -> {msg:?}"));
            let mut effects = Vec::new();
            self.switch.received(key, msg, None, &mut effects);
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
                    let key = to;
                    let to = usize::try_from(to.0 % KEYS).unwrap();
                    self.check_gate(to, &msg);
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
        let counts = self.switch.counts();
        assert!(counts.records <= counts.members * counts.documents);
    }

    /// A member is sent nothing of a document that it may not see, and is not asked for one that it may not write.
    fn check_gate(&self, to: usize, msg: &ChannelMsg) {
        let least = |doc: &DocId, least: Access| {
            let access = self.access(to, doc);
            assert!(access >= least, "seed {}: {to}: {msg:?}", self.seed);
        };
        match msg {
            ChannelMsg::Present(entries) => {
                entries.iter().for_each(|of| least(&of.doc, Access::Read));
            }
            ChannelMsg::Offer(offer) => least(&offer.doc, Access::Read),
            ChannelMsg::Interest(interest) => least(&interest.doc, Access::Write),
            ChannelMsg::Dismiss(doc) => least(doc, Access::Read),
            // Says that the document is not here.
            _ => {}
        }
    }

    /// Messages pass until there is none.
    fn quiet(&mut self, counts: bool) -> Result<(), String> {
        let (members, documents) = (self.members.len(), self.docs.len());
        let (max_messages, max_rounds) = (
            MESSAGES_OF_A_PAIR * members * members * documents,
            MAX_ROUNDS,
        );
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
            if messages > max_messages || rounds > max_rounds {
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

    fn check(&self) -> Result<(), String> {
        let mut firsts: BTreeMap<Variant, (usize, &Content)> = BTreeMap::new();
        let mut readers = Vec::new();
        for (at, member) in self.members.iter().enumerate() {
            for (doc, replica) in member.docs.iter().filter(|(_, replica)| !replica.deferred) {
                let variant = variant(&replica.entry);
                let content = &replica.content;
                self.check_edits(&variant, content)?;
                match self.access(at, doc) {
                    Access::Write => {}
                    Access::Read => {
                        readers.push((variant, at, content));
                        continue;
                    }
                    Access::None => continue,
                }
                let (first, other) = firsts.entry(variant).or_insert((at, content));
                if *other != content {
                    return Err(format!(
                        "{doc}: member {first} has {other:?}, member {at} {content:?}"
                    ));
                }
            }
        }
        // It may have edits that no member that may write has any more.
        for (variant, at, content) in readers {
            if let Some((first, other)) = firsts.get(&variant)
                && !content.holds(other)
            {
                return Err(format!(
                    "{variant:?}: member {first} has {other:?}, reader {at} {content:?}"
                ));
            }
        }
        Ok(())
    }

    /// Each edit was made, and to this variant; and a log has none twice.
    fn check_edits(&self, variant: &Variant, content: &Content) -> Result<(), String> {
        let mut edits = content.edits();
        let is_made = |edit: &Edit| self.edits.contains(&(variant.clone(), *edit));
        if let Some(edit) = edits.iter().find(|edit| !is_made(edit)) {
            return Err(format!(
                "{variant:?}: has {edit:?}, which was not made there"
            ));
        }
        let all = edits.len();
        edits.sort_unstable();
        edits.dedup();
        if edits.len() != all {
            return Err(format!("{variant:?}: doubled: {content:?}"));
        }
        Ok(())
    }

    fn print(&self, event: impl FnOnce() -> String) {
        if self.prints {
            println!("{:>4} {}", self.now, event());
        }
    }
}

//! Hubs, their members, and what happens to them.
//!
//! In: a plan, random numbers of its seed. Out: one schedule: joins, edits, leaves, crashes, cuts, and the checks
//! after them. With `KYNETA_SEED` each step is printed.

use std::collections::{BTreeMap, BTreeSet};

use kyneta_uds_core::{DocEntry, DocId, Identity, SyncMode, WireVersion};
use kyneta_uds_relay::{Access, MemberFacts, MemberKey, Switch};

use crate::{
    content::entry, edits::Edit, member::Member, outcome::Outcome, plan::Plan, random::Random,
    traffic::Link,
};

/// A member's key is its number, and a multiple of this.
pub(crate) const KEYS: u64 = 16;

/// A document's id, and the schema of one document of this id.
pub(crate) type Variant = (DocId, String);

pub(crate) fn variant(entry: &DocEntry) -> Variant {
    (entry.doc.clone(), entry.schema.as_str().to_owned())
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) seed: u64,
    pub(crate) random: Random,
    pub(crate) hubs: Vec<Switch>,
    pub(crate) links: Vec<Link>,
    pub(crate) members: Vec<Member>,
    /// Former connections, and their hubs, which leave them in parts.
    pub(crate) leaving: Vec<(usize, MemberKey)>,
    pub(crate) docs: Vec<DocId>,
    /// The one member that may edit a variant of a serialized document.
    writers: BTreeMap<Variant, usize>,
    /// Which edits of a variant there have been.
    pub(crate) edits: BTreeSet<(Variant, Edit)>,
    incarnations: u32,
    /// Sessions so far, where each has a key of its own.
    pub(crate) sessions: u64,
    now: u32,
    pub(crate) outcome: Outcome,
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
            plan,
            seed,
            outcome: Outcome {
                members: members.len(),
                documents: docs.len(),
                ..Outcome::default()
            },
            random,
            hubs: (0..plan.hubs).map(|_| plan.switch(seed)).collect(),
            links: plan.links().into_iter().map(Link::down).collect(),
            members,
            leaving: Vec::new(),
            docs,
            writers: BTreeMap::new(),
            edits: BTreeSet::new(),
            incarnations,
            sessions: 0,
            now: 0,
            prints,
        }
    }

    pub(crate) fn access(&self, member: usize, doc: &DocId) -> Access {
        self.plan.access(self.seed, member, doc)
    }

    pub(crate) fn hub_of(&self, member: usize) -> usize {
        member % self.hubs.len()
    }

    pub(crate) fn run(mut self) -> Result<Outcome, String> {
        for _ in 0..20 + self.random.below(160) {
            self.step()?;
        }
        (0..self.links.len()).for_each(|link| self.link_up(link));
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
        self.leave_on(60);
        let member = self.random.below(self.members.len());
        let doc = self.docs[self.random.below(self.docs.len())].clone();
        match self.random.below(100) {
            0..8 => self.connect(member),
            8..12 => self.disconnect(member, "is cut off"),
            12..15 => self.restart(member),
            15..17 => self.kill_a_hub(),
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
            46..50 if !self.links.is_empty() => {
                let link = self.random.below(self.links.len());
                if self.random.percent(70) {
                    self.link_up(link);
                } else {
                    self.link_down(link);
                }
            }
            _ => {
                for _ in 0..1 + self.random.below(4) {
                    let at = self.random.below(self.channels());
                    self.pass_one(at);
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
        (0..self.links.len()).for_each(|link| self.link_up(link));
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
        let key = self.new_key(member as u64);
        self.members[member].connect(key);
        let identity = Identity::service(member.to_string()).unwrap();
        let facts = MemberFacts::local(WireVersion::V3).identity(identity);
        self.at_hub(self.hub_of(member), |hub, out| {
            hub.established(key, facts, out);
        });
    }

    /// The connection breaks: what is on its way is lost.
    fn disconnect(&mut self, member: usize, how: &str) {
        let Some(link) = self.members[member].link.take() else {
            return;
        };
        self.print(|| format!("{member} {how}"));
        let hub = self.hub_of(member);
        if self.random.percent(50) {
            self.leaving.push((hub, link.key));
        } else {
            self.at_hub(hub, |hub, out| hub.left(link.key, out));
        }
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

    pub(crate) fn print(&self, event: impl FnOnce() -> String) {
        if self.prints {
            println!("{:>4} {}", self.now, event());
        }
    }
}

//! The state of a switch as a value, and a switch from it: another process goes on with its members.
//!
//! In: a switch, or a saved state with the members that are still there. Out: the same, the other way round. Touches
//! nothing.
//!
//! A field that is absent is zero, false or empty: most of a record is.

mod fields;

use std::collections::HashMap;

use kyneta_uds_core::{DocId, Saved, SavedError, SavedValue};

pub(super) use self::fields::{
    Fields, keys, number_of, option_of_version, text_of, version_value, versions, versions_value,
};
use super::{
    Switch,
    document::Document,
    members::{Member, MemberRef},
    tally::Tally,
};
use crate::{
    config::SwitchConfig,
    effect::Effect,
    member::{MemberFacts, MemberKey, MemberMap},
};

/// What the state is of, in errors.
const PART: &str = "the relay";
const VERSION: u32 = 1;

/// Members as records name them: by the order of establishment.
pub(super) type References = HashMap<u64, MemberRef>;

impl Switch {
    /// What the switch knows of its members and their documents, for a switch in another process. To be called after
    /// [`follow_up`](Self::follow_up): what is still to follow from the last event is not part of it. Bounds and gate
    /// are not, either: [`resume`](Self::resume) is given them.
    ///
    /// ```
    /// use kyneta_uds_core::{ChannelMsg, DocEntry, DocId, Interest, ReplicaType, SchemaHash, WireVersion::V3};
    /// use kyneta_uds_relay::{Effect, MemberFacts, MemberKey, Switch, SwitchConfig};
    ///
    /// let mut switch = Switch::new(SwitchConfig::default());
    /// let (alice, bob) = (MemberKey(1), MemberKey(2));
    /// let doc = DocId::new("settings")?;
    /// let loro = ReplicaType::new("loro", 1.0, 0.0)?;
    /// let entry = DocEntry::new(doc.clone(), loro, SchemaHash::new("02ab")?);
    /// let out = &mut Vec::new();
    /// switch.established(alice, MemberFacts::local(V3), out);
    /// switch.established(bob, MemberFacts::local(V3), out);
    /// switch.received(alice, ChannelMsg::Present(vec![entry]), out);
    /// switch.follow_up(out);
    /// let saved = switch.save();
    ///
    /// let members = [alice, bob].map(|key| (key, MemberFacts::local(V3)));
    /// out.clear();
    /// let mut next = Switch::resume(SwitchConfig::default(), &saved, members, out)?;
    /// assert!(out.is_empty()); // no member is told anything
    /// let interest = Interest::new(doc);
    /// next.received(bob, interest.clone().into(), out);
    /// assert_eq!(*out, [Effect::send(alice, interest.into())]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save(&self) -> Saved {
        let members = self.order.values().filter_map(|key| self.members.get(key));
        let documents = self.listed.values().filter_map(|id| self.documents.get(id));
        let unsettled = self.unsettled.iter().map(|id| id.as_str().into());
        Saved::new(VERSION, 1)
            .with("next", self.next)
            .with_list("members", members.map(|member| member.save().into()))
            .with_list("documents", documents.map(|doc| doc.save().into()))
            .with_list("unsettled", unsettled)
    }

    /// Goes on where another switch was. `members` are those that are connected now: one that the other switch had and
    /// that is not among them leaves, one that it had not is established; the effects are appended.
    ///
    /// # Errors
    /// [`SavedError`]: a field is missing or has a value that cannot be, or the version is not one that this reads.
    pub fn resume(
        config: SwitchConfig,
        saved: &Saved,
        members: impl IntoIterator<Item = (MemberKey, MemberFacts)>,
        out: &mut Vec<Effect>,
    ) -> Result<Self, SavedError> {
        saved.check(PART, 1..=VERSION)?;
        let mut there: MemberMap<MemberFacts> = members.into_iter().collect();
        let mut switch = Self::new(config);
        switch.next = saved.number("next")?;
        let mut references = References::new();
        let mut gone = Vec::new();
        for value in saved.list_or_empty("members")? {
            let mut member = Member::resume(value.as_part("members")?)?;
            let reference = member.reference;
            match there.remove(&reference.key) {
                Some(facts) => member.facts = facts,
                None => gone.push(reference.key),
            }
            let is_known = references.insert(reference.order, reference).is_some();
            switch.order.insert(reference.order, reference.key);
            let is_double = switch.members.insert(reference.key, member).is_some();
            if is_known || is_double || reference.order > switch.next {
                return Err(SavedError::invalid(
                    "members",
                    "two have one place, or one is of later",
                ));
            }
        }
        for value in saved.list_or_empty("documents")? {
            let doc = Document::resume(value.as_part("documents")?, &references)?;
            switch.resume_document(doc)?;
        }
        for value in saved.list_or_empty("unsettled")? {
            switch.unsettled.push(doc_of(value, "unsettled")?);
        }
        for key in gone {
            switch.left(key, out);
        }
        // In an order that does not depend on a hash.
        let mut added: Vec<_> = there.into_iter().collect();
        added.sort_unstable_by_key(|(key, _)| *key);
        for (key, facts) in added {
            switch.established(key, facts, out);
        }
        switch.follow_up(out);
        Ok(switch)
    }

    pub(crate) const fn config(&self) -> &SwitchConfig {
        &self.config
    }

    fn resume_document(&mut self, mut doc: Document) -> Result<(), SavedError> {
        let (id, order) = (doc.id.clone(), doc.order);
        for record in &doc.records {
            if let Some(member) = self.members.get_mut(&record.key()) {
                member.listed.insert(order);
                member.documents += usize::from(record.entry.is_some());
            }
        }
        doc.counted = Tally::default();
        self.kept.count(&mut doc);
        let is_listed = self.listed.insert(order, id).is_some();
        let is_double = self.documents.insert(doc).is_some();
        if is_listed || is_double || order > self.next {
            return Err(SavedError::invalid(
                "documents",
                "two have one place, or one is of later",
            ));
        }
        Ok(())
    }
}

/// The id of a document.
pub(super) fn doc_of(value: &SavedValue, name: &'static str) -> Result<DocId, SavedError> {
    DocId::new(text_of(value, name)?)
        .map_err(|_| SavedError::invalid(name, "an id is over its limit"))
}

//! A document with its records as a value.
//!
//! In: a document; or a value of another process. Out: the value; or the document, or the field that is not as it
//! must be. Fields that say nothing are left out. Pure.

mod entries;

use kyneta_uds_core::{DocId, Interest, Saved, SavedError, SavedValue};

use self::entries::Entries;
use super::{Ask, Document, Record};
use crate::{
    member::MemberKey,
    switch::{
        members::MemberRef,
        replies::{LinkVersions, Replies},
        saved::{Fields as _, References, keys, option_of_version, version_value},
    },
};

const ASKS: &str = "asks";
const MEMBER: &str = "member";
const RECORDS: &str = "records";

impl Document {
    pub(in crate::switch) fn save(&self) -> Saved {
        let mut entries = Entries::default();
        // The first one is at place 0.
        entries.place(&self.first);
        let records = self.records.iter().map(|record| record.save(&mut entries));
        let records: Vec<SavedValue> = records.map(SavedValue::from).collect();
        let saved = Saved::new(1, 1)
            .with("order", self.order)
            .with_flag("unsettled", self.is_unsettled)
            .with_flag("mixed", self.is_mixed)
            .with_number("attempts", self.attempts.into())
            .with_list(RECORDS, records)
            .with("entries", entries.save());
        match self.pusher {
            Some(MemberKey(key)) => saved.with("pusher", key),
            None => saved,
        }
    }

    pub(in crate::switch) fn resume(
        saved: &Saved,
        members: &References,
    ) -> Result<Self, SavedError> {
        saved.check("a document of the relay", 1..=1)?;
        let entries = Entries::resume(saved)?;
        let mut doc = Self::new(saved.number("order")?, entries.first()?);
        doc.pusher = saved.number_if_any("pusher")?.map(MemberKey);
        doc.is_unsettled = saved.flag_or_false("unsettled")?;
        doc.is_mixed = saved.flag_or_false("mixed")?;
        doc.attempts = saved.number32_or_zero("attempts")?;
        for value in saved.list_or_empty(RECORDS)? {
            let saved = value.as_part(RECORDS)?;
            let member = members
                .get(&saved.number(MEMBER)?)
                .ok_or_else(|| SavedError::invalid(MEMBER, "there is no such member"))?;
            let record = Record::resume(saved, *member, &entries)?;
            let is_next = |last: &Self| {
                let last = last.records.last();
                last.is_none_or(|last| last.member.order < member.order)
            };
            if !is_next(&doc) {
                return Err(SavedError::invalid(
                    RECORDS,
                    "they are not in the order of establishment",
                ));
            }
            doc.records.push(record);
        }
        Ok(doc)
    }
}

impl Record {
    fn save(&self, entries: &mut Entries) -> Saved {
        let numbers = |keys: &mut dyn Iterator<Item = &MemberKey>| {
            keys.map(|key| key.0.into()).collect::<Vec<SavedValue>>()
        };
        let saved = Saved::new(1, 1)
            .with(MEMBER, self.member.order)
            .with_flag("shown", self.is_shown)
            .with_flag("writes", self.may_write)
            .with_flag("wants", self.wants)
            .with_flag("live", self.is_live)
            .with_list("unasked", numbers(&mut self.unasked.iter()))
            .with_flag("told-partly", self.is_told_partly)
            .with_flag("asks-the-rest", self.asks_the_rest)
            .with_list(ASKS, self.asks.iter().map(Ask::save))
            .with_flag("uncertain", self.is_uncertain)
            .with_flag("answers-all", self.answers_all)
            .with_list("owed", numbers(&mut self.owed.iter()))
            .with_flag("told-of-another", self.is_told_of_another)
            .with_list(
                "told",
                self.told.iter().map(|entry| entries.place(entry).into()),
            );
        let mut saved = self.versions.save(saved);
        if let Some(entry) = &self.entry {
            saved = saved.with("entry", entries.place(entry));
        }
        if self.version.is_some() {
            saved = saved.with("version-asked", version_value(&self.version));
        }
        let replies = self.replies.save();
        match replies == Saved::new(1, 1) {
            true => saved,
            false => saved.with("replies", replies),
        }
    }

    fn resume(saved: &Saved, member: MemberRef, entries: &Entries) -> Result<Self, SavedError> {
        let doc = entries.first()?.doc.clone();
        let asks = saved.list_or_empty(ASKS)?.iter();
        let asks = asks.map(|value| Ask::resume(value, &doc));
        let told = saved.list_or_empty("told")?.iter();
        let entry = saved.number_if_any("entry")?;
        let replies = saved.get("replies");
        let replies = replies.map(|value| Replies::resume(value.as_part("replies")?));
        Ok(Self {
            member,
            entry: entry.map(|place| entries.at(place)).transpose()?,
            told: told
                .map(|value| entries.of(value))
                .collect::<Result<_, _>>()?,
            is_shown: saved.flag_or_false("shown")?,
            may_write: saved.flag_or_false("writes")?,
            wants: saved.flag_or_false("wants")?,
            is_live: saved.flag_or_false("live")?,
            unasked: keys(saved, "unasked")?,
            is_told_partly: saved.flag_or_false("told-partly")?,
            asks_the_rest: saved.flag_or_false("asks-the-rest")?,
            version: option_of_version(saved.get("version-asked"), "version-asked")?,
            asks: asks.collect::<Result<_, _>>()?,
            is_uncertain: saved.flag_or_false("uncertain")?,
            answers_all: saved.flag_or_false("answers-all")?,
            owed: keys(saved, "owed")?.into(),
            replies: replies.transpose()?.unwrap_or_default(),
            is_told_of_another: saved.flag_or_false("told-of-another")?,
            versions: LinkVersions::resume(saved)?,
        })
    }
}

impl Ask {
    /// False for all; the member's key, its version, and, if it says so, whether it asks for an interest in turn.
    fn save(&self) -> SavedValue {
        let Self::Member(member, interest) = self else {
            return false.into();
        };
        let mut list = vec![member.0.into(), version_value(&interest.version)];
        list.extend(interest.reciprocate.map(SavedValue::from));
        list.into()
    }

    fn resume(value: &SavedValue, doc: &DocId) -> Result<Self, SavedError> {
        let list = match value {
            SavedValue::Flag(false) => return Ok(Self::All),
            SavedValue::List(list) => list.as_slice(),
            _ => &[],
        };
        let (member, version, reciprocate) = match list {
            [SavedValue::Number(member), version] => (*member, version, None),
            [SavedValue::Number(member), version, SavedValue::Flag(on)] => {
                (*member, version, Some(*on))
            }
            _ => {
                return Err(SavedError::invalid(
                    ASKS,
                    "one is neither for all nor for a member",
                ));
            }
        };
        let interest = Interest {
            doc: doc.clone(),
            version: option_of_version(Some(version), ASKS)?,
            reciprocate,
        };
        Ok(Self::Member(MemberKey(member), interest))
    }
}

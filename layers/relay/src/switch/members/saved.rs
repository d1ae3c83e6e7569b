//! A member as a value. What the handshake and the kernel say of it is not part: its connection knows that.
//!
//! In: a member; or a value of another process. Out: the value; or the member without its documents, which are linked
//! to it later. Pure.

use std::collections::{BTreeMap, BTreeSet};

use kyneta_uds_core::{DocId, Saved, SavedError, SavedValue, WireVersion};

use super::{Member, MemberRef};
use crate::{
    member::{MemberFacts, MemberKey},
    switch::saved::{Fields as _, doc_of, number_of},
};

const STALE: &str = "stale";
const UNCERTAIN: &str = "uncertain";

impl Member {
    pub(in crate::switch) fn save(&self) -> Saved {
        let MemberRef {
            key,
            order,
            wire,
            link,
        } = self.reference;
        // The same bytes for the same state.
        let stale: BTreeMap<_, _> = self.stale_answers.iter().collect();
        let uncertain: BTreeSet<_> = self.uncertain.iter().collect();
        Saved::new(1, 1)
            .with("key", key.0)
            .with("order", order)
            .with_flag("v2", wire == WireVersion::V2)
            .with_flag("link", link)
            .with_list(STALE, stale.into_iter().map(stale_value))
            .with_list(
                UNCERTAIN,
                uncertain.into_iter().map(|id| id.as_str().into()),
            )
            .with_flag("uncertain-of-all", self.is_uncertain_of_all)
    }

    /// Without what its connection knows, and without its documents.
    pub(in crate::switch) fn resume(saved: &Saved) -> Result<Self, SavedError> {
        saved.check("a member of the relay", 1..=1)?;
        let wire = match saved.flag_or_false("v2")? {
            true => WireVersion::V2,
            false => WireVersion::V3,
        };
        let link = saved.flag_or_false("link")?;
        let facts = match link {
            true => MemberFacts::link(wire),
            false => MemberFacts::local(wire),
        };
        let reference = MemberRef {
            key: MemberKey(saved.number("key")?),
            order: saved.number("order")?,
            wire,
            link,
        };
        let mut member = Self::new(reference, facts);
        for value in saved.list_or_empty(STALE)? {
            let (id, count) = match value {
                SavedValue::List(pair) => match pair.as_slice() {
                    [id, count] => (doc_of(id, STALE)?, number_of(count, STALE)?),
                    _ => return Err(no_pair()),
                },
                _ => return Err(no_pair()),
            };
            let count = u32::try_from(count).map_err(|_| no_pair())?;
            member.stale_answers.insert(id, count);
        }
        for value in saved.list_or_empty(UNCERTAIN)? {
            member.uncertain.insert(doc_of(value, UNCERTAIN)?);
        }
        member.is_uncertain_of_all = saved.flag_or_false("uncertain-of-all")?;
        Ok(member)
    }
}

fn stale_value((id, count): (&DocId, &u32)) -> SavedValue {
    SavedValue::List(vec![id.as_str().into(), (*count).into()])
}

const fn no_pair() -> SavedError {
    SavedError::Value {
        name: STALE,
        why: "one is no document with a count",
    }
}

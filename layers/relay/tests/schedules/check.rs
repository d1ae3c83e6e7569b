//! What must hold: of each message to a member, and of all replicas in the end.
//!
//! In: messages with their receivers, the world when all is quiet. Out: nothing, or what is broken, with the seed.

use std::collections::BTreeMap;

use kyneta_uds_core::{ChannelMsg, DocId};
use kyneta_uds_relay::Access;

use crate::{
    content::Content,
    edits::Edit,
    world::{Variant, World, variant},
};

impl World {
    /// A member is sent nothing of a document that it may not see, and is not asked for one that it may not write.
    pub(crate) fn check_gate(&self, to: usize, msg: &ChannelMsg) {
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

    /// All replicas of a document are equal.
    pub(crate) fn check(&self) -> Result<(), String> {
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
}

//! The members of a hub.
//!
//! In: facts of a connection. Out: what is kept of a member beside the documents: how many it holds, and which of its
//! answers count no more. Pure.

mod saved;

use std::collections::{BTreeSet, HashMap, HashSet};

use kyneta_uds_core::{DocId, WireVersion};

use crate::{
    config::SwitchConfig,
    member::{MemberFacts, MemberKey},
};

/// A member, as each of its records names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemberRef {
    pub(super) key: MemberKey,
    /// The order of establishment: members are visited in it.
    pub(super) order: u64,
    pub(super) wire: WireVersion,
    pub(super) link: bool,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) reference: MemberRef,
    pub(super) facts: MemberFacts,
    /// How many documents it has presented.
    pub(super) documents: usize,
    /// The documents that have a record of it, by their places in the order of first presentation.
    pub(super) listed: BTreeSet<u64>,
    /// Documents that were forgotten while answers of its about them were under way, and how many. They come
    /// after the document is there again.
    pub(super) stale_answers: HashMap<DocId, u32>,
    /// Documents that it closed while interests were under way to it: it answers them if it has opened the
    /// document again.
    uncertain: HashSet<DocId>,
    /// There were more of them than are kept: any document may be one.
    is_uncertain_of_all: bool,
}

impl Member {
    pub(super) fn new(reference: MemberRef, facts: MemberFacts) -> Self {
        Self {
            reference,
            facts,
            documents: 0,
            listed: BTreeSet::new(),
            stale_answers: HashMap::new(),
            uncertain: HashSet::new(),
            is_uncertain_of_all: false,
        }
    }

    pub(super) fn note_stale(&mut self, id: &DocId, outstanding: u32, config: &SwitchConfig) {
        if outstanding > 0 && self.stale_answers.len() < config.max_documents_of_member {
            self.stale_answers.insert(id.clone(), outstanding);
        }
    }

    pub(super) fn note_uncertain(&mut self, id: &DocId, config: &SwitchConfig) {
        if self.uncertain.len() < config.max_documents_of_member {
            self.uncertain.insert(id.clone());
        } else {
            self.is_uncertain_of_all = true;
        }
    }

    pub(super) fn is_uncertain_of(&self, id: &DocId) -> bool {
        self.is_uncertain_of_all || self.uncertain.contains(id)
    }
}

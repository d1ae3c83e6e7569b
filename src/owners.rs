//! Which user has used the id of a peer that has departed.
//!
//! In: peers that depart, with their uid. Out: the uid of an id. Touches nothing. The ids of peers that are here are
//! the table's to know.

use std::collections::{HashMap, VecDeque};

use kyneta_uds_core::PeerId;

/// How many ids are kept. Beyond it, the oldest one of the user that has the most is forgotten: a flood of ids costs
/// its own user alone.
const MAX_IDS: usize = 8192;

/// The ids of peers that have departed.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    uids: HashMap<PeerId, u32>,
    /// Those of each user, the oldest first.
    ids: HashMap<u32, VecDeque<PeerId>>,
}

impl Owners {
    /// The user that has used an id.
    pub(crate) fn uid(&self, id: &PeerId) -> Option<u32> {
        self.uids.get(id).copied()
    }

    /// A peer has departed. Its id stays with the user that had it first.
    pub(crate) fn departed(&mut self, id: &PeerId, uid: u32) {
        if self.uids.contains_key(id) {
            return;
        }
        if self.uids.len() >= MAX_IDS {
            self.forget_one();
        }
        self.uids.insert(id.clone(), uid);
        self.ids.entry(uid).or_default().push_back(id.clone());
    }

    /// All ids with their users, those of each user in the order in which they departed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&PeerId, u32)> {
        let ids = self.ids.iter();
        ids.flat_map(|(uid, ids)| ids.iter().map(|id| (id, *uid)))
    }

    fn forget_one(&mut self) {
        let most = self.ids.iter_mut().max_by_key(|(_, ids)| ids.len());
        if let Some(id) = most.and_then(|(_, ids)| ids.pop_front()) {
            self.uids.remove(&id);
        }
        self.ids.retain(|_, ids| !ids.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> PeerId {
        PeerId::new(format!("peer-{number}")).unwrap()
    }

    #[test]
    fn an_id_stays_with_its_first_user() {
        let mut owners = Owners::default();
        owners.departed(&id(1), 1000);
        owners.departed(&id(1), 1001);
        assert_eq!(owners.uid(&id(1)), Some(1000));
        assert_eq!(owners.uid(&id(2)), None);
    }

    #[test]
    fn a_flood_of_ids_costs_its_own_user() {
        let mut owners = Owners::default();
        owners.departed(&id(0), 1000);
        for number in 1..=2 * MAX_IDS {
            owners.departed(&id(number), 1001);
        }
        assert_eq!(owners.uid(&id(0)), Some(1000));
        assert_eq!(owners.uid(&id(1)), None);
        assert_eq!(owners.uid(&id(2 * MAX_IDS)), Some(1001));
        let kept: usize = owners.ids.values().map(VecDeque::len).sum();
        assert_eq!((owners.uids.len(), kept), (MAX_IDS, MAX_IDS));
    }
}

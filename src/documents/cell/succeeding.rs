//! A document with a schema comes in the place of one that was kept without.
//!
//! In: the two. Out: whether all of it is taken. Touches the lock of each, one after the other.
//!
//! Peers change the one that is kept until the other one is the document of their id. So what has come in the meantime
//! is taken, too, until nothing has; from then on the one that was kept takes nothing, and says which one does.

use std::sync::Arc;

use kyneta_uds_core::{Offer, PayloadKind, WireVersion};
use kyneta_uds_exchange::{DocReplica, Imported, Take};
use kyneta_uds_schema::{DocVersion, Substrate};

use super::{DocCell, WIRES};

/// How far the one that is kept was taken.
pub(in super::super) struct Taken {
    changes: u64,
    version: DocVersion,
}

impl DocCell {
    /// Takes all of the one that is kept, or what is newer than what was taken of it before. It waits for the journal then,
    /// which is to be told when it has the place of the other one.
    pub(in super::super) fn take_over(
        &self,
        kept: &Self,
        before: Option<&Taken>,
    ) -> Result<Taken, String> {
        let of = kept.state();
        let since = before.map(|taken| &taken.version);
        let payload = of.replica.export(since, WireVersion::V3);
        let taken = Taken {
            changes: of.storing.changes,
            version: of.replica.version(WireVersion::V3),
        };
        let is_fresh = of.is_fresh;
        drop(of);
        let payload = payload.ok_or("its library does not give it")?;
        let offer = payload.offer(self.id.clone());
        let offer = offer.map_err(|error| error.to_string())?;
        let mut state = self.state();
        restore(&mut *state.replica, &offer)?;
        state.at = WIRES.map(|wire| state.replica.version(wire));
        state.is_fresh = is_fresh;
        state.storing.changed();
        self.count(&mut state);
        Ok(taken)
    }

    /// The other one has its place, if nothing has come since that was taken.
    pub(in super::super) fn give_way(&self, to: &Arc<Self>, taken: &Taken) -> bool {
        let mut state = self.state();
        let is_taken = state.storing.changes == taken.changes;
        if is_taken {
            state.successor = Some(Arc::downgrade(to));
            state.storing.is_removed = true;
        }
        is_taken
    }
}

/// A replica takes what another one was.
pub(in super::super) fn restore(replica: &mut dyn DocReplica, offer: &Offer) -> Result<(), String> {
    let how = match offer.kind {
        PayloadKind::Entirety if replica.substrate() == Substrate::Plain => Take::Replace,
        _ => Take::Merge,
    };
    match replica.import(offer, WireVersion::V3, how) {
        Ok(Imported::All { .. }) => Ok(()),
        Ok(Imported::Gap) => Err("changes in the middle are missing".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

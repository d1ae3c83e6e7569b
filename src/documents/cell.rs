//! A document as the exchange and its users share it: the replica behind a lock, and what is told of it.
//!
//! In: edits of users; exports and imports of the engine. Out: values, payloads, notices of changes. No user code runs
//! under the lock.
//!
//! A user may edit at any moment. The engine takes what was edited as one change ([`Change`]): the versions before and
//! after it and what is pushed of it are from one moment, so that a push starts where the one before it ended. A
//! serialized document takes no other.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Mutex, MutexGuard},
};

use kyneta_uds_core::{DocEntry, DocId, Offer, PeerId, Version, WireVersion, ignore_poison};
use kyneta_uds_exchange::{
    DocReplica, Edit, EditError, ImportError, Imported, Json, Moment, Payload, Take,
};
use kyneta_uds_schema::{DocVersion, Schema, Substrate};
use tokio::sync::watch;

/// Both wire versions, in the order of the engine's machines.
pub(super) const WIRES: [WireVersion; 2] = [WireVersion::V2, WireVersion::V3];

/// Something for each wire version.
pub(super) type Each<T> = [T; 2];

/// A document.
pub(super) struct DocCell {
    pub(super) id: DocId,
    pub(super) substrate: Substrate,
    /// `None` when it is kept and passed on alone.
    pub(super) schema: Option<Schema>,
    state: Mutex<State>,
    seen: watch::Sender<Seen>,
    /// The connected peers from which all has come that they had.
    synced: watch::Sender<BTreeSet<PeerId>>,
}

struct State {
    replica: Box<dyn DocReplica>,
    /// Where the replica was when the engine last looked.
    at: Each<DocVersion>,
    /// It was edited since.
    is_edited: bool,
    /// It holds what it was made with.
    is_fresh: bool,
}

/// What a user can have seen of a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) edits: u64,
    pub(super) imports: u64,
    pub(super) is_gone: bool,
}

/// What was edited since the engine last looked.
pub(super) struct Change {
    pub(super) version: Each<Option<Version>>,
    /// What is newer than the version before; absent where it was not asked for.
    pub(super) push: Each<Option<Payload>>,
}

/// What an import came to.
pub(super) struct Import {
    pub(super) result: Result<Imported, ImportError>,
    pub(super) change: Change,
    pub(super) has_changed: bool,
}

impl DocCell {
    pub(super) fn new(id: DocId, schema: Option<Schema>, replica: Box<dyn DocReplica>) -> Self {
        let state = State {
            at: WIRES.map(|wire| replica.version(wire)),
            is_edited: false,
            is_fresh: true,
            replica,
        };
        Self {
            id,
            substrate: state.replica.substrate(),
            schema,
            state: Mutex::new(state),
            seen: watch::Sender::default(),
            synced: watch::Sender::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        ignore_poison(self.state.lock())
    }

    /// How the document is presented to peers of a wire version; `None` where the schema has no hash.
    pub(super) fn entry(&self, wire: WireVersion) -> Option<DocEntry> {
        let schema = self.schema.as_ref()?;
        let replica = self.substrate.replica_type().ok()?;
        let mut entry = DocEntry::new(self.id.clone(), replica, schema.hash(wire)?);
        entry.mode = self.substrate.mode();
        entry.supported = schema.supported_hashes(wire);
        Some(entry)
    }

    pub(super) fn value(&self) -> Json {
        self.state().replica.value()
    }

    pub(super) fn version(&self, wire: WireVersion) -> DocVersion {
        self.state().replica.version(wire)
    }

    /// The version as the engine knows it.
    pub(super) fn known_version(&self, side: usize) -> Option<Version> {
        let at = self.state().at.get(side).map(ToString::to_string)?;
        Version::new(at).ok()
    }

    /// Edits. True when the engine is to be told: it was not since it last looked.
    pub(super) fn edit(&self, edits: &[Edit], moment: Moment) -> Result<bool, EditError> {
        let mut state = self.state();
        if !state.replica.edit(edits, moment)? {
            return Ok(false);
        }
        let is_first = !std::mem::replace(&mut state.is_edited, true);
        state.is_fresh = false;
        drop(state);
        self.seen.send_modify(|seen| seen.edits += 1);
        Ok(is_first)
    }

    /// What was edited since the engine last looked, if anything.
    pub(super) fn take_change(&self, pushes: Each<bool>) -> Option<Change> {
        let mut state = self.state();
        state.is_edited.then(|| state.take_change(pushes))
    }

    /// What is newer than a version, and what was edited since the engine last looked, at one moment.
    pub(super) fn export(
        &self,
        since: Option<&DocVersion>,
        wire: WireVersion,
        pushes: Each<bool>,
    ) -> (Option<Payload>, Option<Change>) {
        let mut state = self.state();
        let payload = state.replica.export(since, wire);
        let change = state.is_edited.then(|| state.take_change(pushes));
        (payload, change)
    }

    /// Imports an offer, unless there is something that was edited since the engine last looked: then that.
    pub(super) fn import(
        &self,
        offer: &Offer,
        wire: WireVersion,
        how: Take,
        pushes: Each<bool>,
    ) -> Result<Import, Box<Change>> {
        let mut state = self.state();
        if state.is_edited {
            return Err(Box::new(state.take_change(pushes)));
        }
        let result = state.replica.import(offer, wire, how);
        let before = state.at.clone();
        let change = state.take_change(pushes);
        let has_changed = before != state.at;
        state.is_fresh &= !has_changed;
        drop(state);
        if has_changed {
            self.seen.send_modify(|seen| seen.imports += 1);
        }
        Ok(Import {
            result,
            change,
            has_changed,
        })
    }

    /// It was neither edited nor changed by a peer.
    pub(super) fn is_fresh(&self) -> bool {
        self.state().is_fresh
    }

    /// All of it, as an offer that another replica takes.
    pub(super) fn entirety(&self) -> Option<Offer> {
        let payload = self.state().replica.export(None, WireVersion::V3)?;
        payload.offer(self.id.clone()).ok()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    /// It is not part of the exchange any more.
    pub(super) fn end(&self) {
        self.seen.send_modify(|seen| seen.is_gone = true);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.seen.borrow().is_gone
    }

    pub(super) fn synced(&self) -> watch::Receiver<BTreeSet<PeerId>> {
        self.synced.subscribe()
    }

    pub(super) fn set_synced(&self, peer: &PeerId) {
        self.synced.send_modify(|peers| {
            peers.insert(peer.clone());
        });
    }

    pub(super) fn unset_synced(&self, peer: &PeerId) {
        self.synced.send_if_modified(|peers| peers.remove(peer));
    }
}

impl State {
    fn take_change(&mut self, pushes: Each<bool>) -> Change {
        let replica = &self.replica;
        let mut push = [None, None];
        let now = WIRES.map(|wire| replica.version(wire));
        let slots = push.iter_mut().zip(pushes).zip(&self.at).zip(WIRES);
        for (((slot, is_wanted), before), wire) in slots {
            if is_wanted {
                *slot = replica.export(Some(before), wire);
            }
        }
        self.at = now;
        self.is_edited = false;
        let version = [0, 1].map(|side: usize| {
            let at = self.at.get(side).map(ToString::to_string)?;
            Version::new(at).ok()
        });
        Change { version, push }
    }
}

impl fmt::Debug for DocCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DocCell")
            .field("id", &self.id)
            .field("substrate", &self.substrate)
            .finish_non_exhaustive()
    }
}

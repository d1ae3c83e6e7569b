//! A document as the exchange and its users share it: the replica behind a lock, and what is told of it.
//!
//! In: edits of users; exports and imports of the engine. Out: values, payloads, notices of changes. No user code runs
//! under the lock.
//!
//! A user may edit at any moment. The engine takes what was edited as one change ([`Change`]): the versions before and
//! after it and what is pushed of it are from one moment, so that a push starts where the one before it ended. A
//! serialized document takes no other.

mod storing;
mod succeeding;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use kyneta_uds_core::{
    DocEntry, DocId, Offer, PeerId, SchemaHash, Version, WireVersion, ignore_poison,
};
use kyneta_uds_exchange::{
    DocReplica, Edit, EditError, ImportError, Imported, Json, Moment, Payload, Take,
};
use kyneta_uds_schema::{DocVersion, Schema, Substrate};
use tokio::sync::watch;

use self::storing::Storing;
pub(super) use self::{
    storing::{StoredUpTo, Unstored},
    succeeding::restore,
};
use super::room::Room;

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
    /// What the replica writes under, if its kind has such a number.
    number: u64,
    state: Mutex<State>,
    seen: watch::Sender<Seen>,
    stored: watch::Sender<StoredUpTo>,
    /// The connected peers from which all has come that they had.
    synced: watch::Sender<BTreeSet<PeerId>>,
    room: Arc<Room>,
    /// It is the inbox of an open line.
    is_inbox: AtomicBool,
}

struct State {
    replica: Box<dyn DocReplica>,
    /// Where the replica was when the engine last looked.
    at: Each<DocVersion>,
    /// It was edited since.
    is_edited: bool,
    /// It holds what it was made with.
    is_fresh: bool,
    /// Its schema's hashes, where it is kept and passed on alone.
    kept_hash: Each<Option<SchemaHash>>,
    /// What the peers read that have presented it so.
    readable: Vec<SchemaHash>,
    storing: Storing,
    /// The one with a schema that has its place.
    successor: Option<Weak<DocCell>>,
    /// The bytes that it counts in the room, and those that it had when it was measured.
    counted: usize,
    measured: usize,
}

/// What an edit asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Edited {
    /// The engine is to be told: it was not since it last looked.
    pub(super) tell_engine: bool,
    /// The journal is to be told: it was not since it last looked.
    pub(super) tell_journal: bool,
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
    /// The journal is to be told.
    pub(super) tell_journal: bool,
}

/// What comes first.
pub(super) enum NotImported {
    /// It was edited since the engine last looked.
    Edited(Box<Change>),
    /// Another one has its place.
    Succeeded(Weak<DocCell>),
}

impl DocCell {
    pub(super) fn new(
        id: DocId,
        schema: Option<Schema>,
        replica: Box<dyn DocReplica>,
        number: u64,
        room: Arc<Room>,
    ) -> Self {
        let bytes = replica.bytes();
        room.count(0, bytes);
        let state = State {
            counted: bytes,
            measured: bytes,
            at: WIRES.map(|wire| replica.version(wire)),
            is_edited: false,
            is_fresh: true,
            replica,
            kept_hash: [None, None],
            readable: Vec::new(),
            storing: Storing::default(),
            successor: None,
        };
        Self {
            id,
            substrate: state.replica.substrate(),
            schema,
            number,
            state: Mutex::new(state),
            seen: watch::Sender::default(),
            stored: watch::Sender::default(),
            synced: watch::Sender::default(),
            room,
            is_inbox: AtomicBool::new(false),
        }
    }

    /// A document that was made of what is stored.
    pub(super) fn stored(self, kept_hash: Each<Option<SchemaHash>>) -> Self {
        let mut state = self.state();
        state.is_fresh = false;
        state.storing.at = Some(state.replica.version(WireVersion::V3));
        state.kept_hash = kept_hash;
        drop(state);
        self
    }

    /// A peer has presented it so.
    pub(super) fn set_presented(&self, side: usize, entry: &DocEntry) {
        let mut state = self.state();
        if let Some(kept) = state.kept_hash.get_mut(side) {
            *kept = Some(entry.schema.clone());
        }
        for hash in entry.readable() {
            if !state.readable.contains(hash) {
                state.readable.push(hash.clone());
            }
        }
    }

    /// The hashes of the schema that it is kept with, and of those that the peers read that have presented it.
    pub(super) fn kept(&self) -> (Each<Option<SchemaHash>>, Vec<SchemaHash>) {
        let state = self.state();
        (state.kept_hash.clone(), state.readable.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        ignore_poison(self.state.lock())
    }

    /// How the document is presented to peers of a wire version; `None` where the schema has no hash.
    pub(super) fn entry(&self, wire: WireVersion) -> Option<DocEntry> {
        let replica = self.substrate.replica_type().ok()?;
        let Some(schema) = &self.schema else {
            let side = WIRES.iter().position(|known| *known == wire)?;
            let hash = self.state().kept_hash.get(side).cloned().flatten()?;
            let mut entry = DocEntry::new(self.id.clone(), replica, hash);
            entry.mode = self.substrate.mode();
            return Some(entry);
        };
        let mut entry = DocEntry::new(self.id.clone(), replica, schema.hash(wire)?);
        entry.mode = self.substrate.mode();
        entry.supported = schema.supported_hashes(wire);
        Some(entry)
    }

    pub(super) fn value(&self) -> Json {
        self.state().replica.value()
    }

    /// Both at one moment.
    pub(super) fn value_and_version(&self, wire: WireVersion) -> (Json, DocVersion) {
        let state = self.state();
        (state.replica.value(), state.replica.version(wire))
    }

    pub(super) fn version(&self, wire: WireVersion) -> DocVersion {
        self.state().replica.version(wire)
    }

    /// The version as the engine knows it.
    pub(super) fn known_version(&self, side: usize) -> Option<Version> {
        let at = self.state().at.get(side).map(ToString::to_string)?;
        Version::new(at).ok()
    }

    /// Edits.
    pub(super) fn edit(&self, edits: &[Edit], moment: Moment) -> Result<Edited, EditError> {
        let mut state = self.state();
        if !state.replica.edit(edits, moment)? {
            return Ok(Edited::default());
        }
        let edited = Edited {
            tell_engine: !std::mem::replace(&mut state.is_edited, true),
            tell_journal: state.storing.changed(),
        };
        state.storing.edited = state.storing.changes;
        state.is_fresh = false;
        self.count(&mut state);
        drop(state);
        self.seen.send_modify(|seen| seen.edits += 1);
        Ok(edited)
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

    /// Imports an offer.
    pub(super) fn import(
        &self,
        offer: &Offer,
        wire: WireVersion,
        how: Take,
        pushes: Each<bool>,
    ) -> Result<Import, NotImported> {
        let mut state = self.state();
        if let Some(successor) = &state.successor {
            return Err(NotImported::Succeeded(successor.clone()));
        }
        if state.is_edited {
            return Err(NotImported::Edited(Box::new(state.take_change(pushes))));
        }
        let result = state.replica.import(offer, wire, how);
        let before = state.at.clone();
        let change = state.take_change(pushes);
        let has_changed = before != state.at;
        state.is_fresh &= !has_changed;
        let tell_journal = has_changed && state.storing.changed();
        self.count(&mut state);
        drop(state);
        if has_changed {
            self.seen.send_modify(|seen| seen.imports += 1);
        }
        Ok(Import {
            result,
            change,
            has_changed,
            tell_journal,
        })
    }

    fn count(&self, state: &mut State) {
        let bytes = state.replica.bytes();
        self.room.count(state.counted, bytes);
        state.counted = bytes;
        // It never holds more than it counts: what it counts beyond this may be too much.
        state.measured = state.measured.min(bytes);
    }

    /// By how much what it counts may be too much.
    pub(super) fn uncertain_bytes(&self) -> usize {
        let state = self.state();
        state.counted.saturating_sub(state.measured)
    }

    /// Counts what it holds anew.
    pub(super) fn measure(&self) {
        let mut state = self.state();
        state.measured = state.replica.measure();
        self.count(&mut state);
    }

    /// What it counts of a history that it can do without.
    pub(super) fn history_bytes(&self) -> usize {
        self.state().replica.history_bytes()
    }

    pub(super) fn forget_history(&self) {
        let mut state = self.state();
        state.replica.forget_history();
        self.count(&mut state);
    }

    /// It was neither edited nor changed by a peer.
    pub(super) fn is_fresh(&self) -> bool {
        self.state().is_fresh
    }

    pub(super) fn is_inbox(&self) -> bool {
        self.is_inbox.load(Ordering::Relaxed)
    }

    /// A line that reads it is opened, or ends.
    pub(super) fn set_inbox(&self, is_inbox: bool) {
        self.is_inbox.store(is_inbox, Ordering::Relaxed);
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

impl Drop for DocCell {
    fn drop(&mut self) {
        let counted = self.state().counted;
        self.room.count(counted, 0);
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

//! Carries out what the machines say, on the documents: one machine for each wire version, over the same replicas.
//!
//! In: peers that come and go, their messages, what users do. Out: messages to channels, events. Touches the documents'
//! locks, for no longer than one import or export; policies run without a lock.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use kyneta_uds_core::{
    ChannelMsg, DocEntry, DocId, Identity, Offer, PeerId, SchemaHash, Version, WireVersion,
};
use kyneta_uds_exchange::{Imported, Payload};
use kyneta_uds_schema::{DocVersion, Schema, Substrate};
use kyneta_uds_sync::{
    self as sync, ChannelKey, Diagnostic, Effect, Held, Mismatch, PeerChange, SyncMachine,
};

use tokio::time::Instant;

use super::{
    cell::{Change, DocCell, Each, NotImported, WIRES},
    event::ExchangeEvent,
    outgoing::{Outbound, Outgoing},
    room::Of,
    table::{Table, now_ms},
    versions::{WireVersions, check_time, known_schema, substrate},
};

/// How long an empty serialized document waits for data after a peer has asked from its version. A peer that asks so has
/// nothing more, and sends nothing; a hub that asks so may have, of another member. Documents of other kinds need no time:
/// each interest in one is answered by an offer, by the reference, too.
const SETTLE: Duration = Duration::from_millis(200);

/// How many bytes of a schema's text are reported: events may wait for a reader, and a peer can cause many.
const MAX_TEXT: usize = 4096;

/// The text, or its beginning.
fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let is_boundary = |at: &usize| text.is_char_boundary(*at);
        text.truncate((0..=MAX_TEXT).rev().find(is_boundary).unwrap_or(0));
        text.push('…');
    }
    text
}

/// Which machine: the index of its wire version in [`WIRES`].
pub(super) const fn side_of(wire: WireVersion) -> usize {
    match wire {
        WireVersion::V2 => 0,
        WireVersion::V3 => 1,
    }
}

pub(super) struct Engine {
    machines: Each<SyncMachine<WireVersions>>,
    /// How many channels each machine has.
    channels: Each<usize>,
    docs: HashMap<DocId, Arc<DocCell>>,
    table: Arc<Table>,
    todo: VecDeque<(usize, Effect)>,
    /// Empty between two questions to a machine: its memory is used again.
    effects: Vec<Effect>,
    /// Empty documents that are in sync from a time on, unless data comes before.
    settling: VecDeque<(Instant, DocId, PeerId)>,
    /// The same by document, less those whose data has come.
    empty: HashMap<DocId, Vec<PeerId>>,
    /// The message that is worked on says all that its sender has: an answer, or that it holds nothing.
    is_answer: bool,
    /// What is to be sent.
    pub(super) out: Outbound,
}

impl Engine {
    /// With machines for the wire versions, in the order of [`WIRES`].
    pub(super) fn new(machines: Each<SyncMachine<WireVersions>>, table: Arc<Table>) -> Self {
        Self {
            machines,
            channels: [0; 2],
            docs: HashMap::new(),
            table,
            todo: VecDeque::new(),
            effects: Vec::new(),
            settling: VecDeque::new(),
            empty: HashMap::new(),
            is_answer: false,
            out: Outbound::default(),
        }
    }

    pub(super) fn up(&mut self, key: ChannelKey, identity: Identity, wire: WireVersion) {
        let side = side_of(wire);
        if let Some(count) = self.channels.get_mut(side) {
            *count += 1;
        }
        self.ask(side, |machine, out| {
            machine.established(key, identity, wire, out);
        });
        self.work();
    }

    pub(super) fn down(&mut self, key: ChannelKey, wire: WireVersion) {
        let side = side_of(wire);
        if let Some(count) = self.channels.get_mut(side) {
            *count = count.saturating_sub(1);
        }
        self.ask(side, |machine, out| machine.lost(key, out));
        self.work();
    }

    pub(super) fn received(
        &mut self,
        key: ChannelKey,
        peer: &PeerId,
        wire: WireVersion,
        msg: ChannelMsg,
    ) {
        let doc = match &msg {
            ChannelMsg::Interest(interest) => Some(&interest.doc),
            ChannelMsg::Offer(offer) => Some(&offer.doc),
            _ => None,
        };
        if let Some(cell) = doc.and_then(|doc| self.docs.get(doc)).cloned() {
            self.edited(&cell);
        }
        self.is_answer = matches!(msg, ChannelMsg::Vacant(_) | ChannelMsg::Offer(_));
        let offered = match &msg {
            ChannelMsg::Offer(offer) => Some(offer.doc.clone()),
            _ => None,
        };
        self.ask(side_of(wire), |machine, out| {
            machine.received(key, msg, out);
        });
        self.work();
        self.is_answer = false;
        if let Some(doc) = offered {
            self.is_answered(&doc, peer);
        }
    }

    /// When [`settle`](Self::settle) is to be called next.
    pub(super) fn next_settled(&self) -> Option<Instant> {
        self.settling.front().map(|(at, ..)| *at)
    }

    /// Documents that have waited for data long enough are in sync.
    pub(super) fn settle(&mut self) {
        let now = Instant::now();
        while self.next_settled().is_some_and(|at| at <= now)
            && let Some((_, doc, peer)) = self.settling.pop_front()
        {
            if let Some(peers) = self.empty.get_mut(&doc)
                && let Some(at) = peers.iter().position(|other| *other == peer)
            {
                peers.swap_remove(at);
                if peers.is_empty() {
                    self.empty.remove(&doc);
                }
                self.synced(doc, peer);
            }
        }
    }

    /// A peer that has asked from the version of an empty document has answered, too: it has nothing more.
    fn is_answered(&mut self, doc: &DocId, peer: &PeerId) {
        let Some(peers) = self.empty.get_mut(doc) else {
            return;
        };
        let Some(at) = peers.iter().position(|other| other == peer) else {
            return;
        };
        peers.swap_remove(at);
        if peers.is_empty() {
            self.empty.remove(doc);
        }
        self.synced(doc.clone(), peer.clone());
    }

    /// All has come that a peer had.
    fn synced(&self, doc: DocId, peer: PeerId) {
        if let Some(cell) = self.docs.get(&doc) {
            cell.set_synced(&peer);
            self.report(ExchangeEvent::Synced { doc, peer });
        }
    }

    /// A user has added a schema.
    pub(super) fn registered(&mut self, substrate: Substrate, schema: &Schema) {
        for (side, wire) in WIRES.into_iter().enumerate() {
            if let Some(known) = known_schema(substrate, schema, wire) {
                self.ask(side, |machine, out| machine.register_schema(known, out));
            }
        }
        self.work();
    }

    /// A user has opened a document.
    pub(super) fn opened(&mut self, cell: &Arc<DocCell>) {
        if !cell.is_gone() {
            self.replace(cell);
        }
        self.work();
    }

    /// A user has edited a document.
    pub(super) fn edited(&mut self, cell: &Arc<DocCell>) {
        if let Some(change) = cell.take_change(self.pushes()) {
            self.changed(cell, change, None);
        }
        self.work();
    }

    /// A user has destroyed a document.
    pub(super) fn destroyed(&mut self, cell: &Arc<DocCell>) {
        let held = self.docs.get(&cell.id);
        // Opened again in the meantime, it has been replaced.
        if held.is_some_and(|held| Arc::ptr_eq(held, cell)) {
            self.remove(&cell.id);
        }
        self.work();
    }

    pub(super) fn suspended(&mut self, doc: &DocId, is_suspended: bool) {
        for side in 0..WIRES.len() {
            self.ask(side, |machine, out| match is_suspended {
                true => machine.suspend(doc, out),
                false => machine.resume(doc, out),
            });
        }
        self.work();
    }

    /// There is nothing left to do.
    pub(super) fn quiet(&mut self) {
        for side in 0..WIRES.len() {
            self.ask(side, SyncMachine::quiet);
        }
        self.work();
    }

    /// To which machines a push goes, if there is one: those with a channel.
    fn pushes(&self) -> Each<bool> {
        self.channels.map(|count| count > 0)
    }

    /// Asks a machine; what it says is done later.
    fn ask(
        &mut self,
        side: usize,
        ask: impl FnOnce(&mut SyncMachine<WireVersions>, &mut Vec<Effect>),
    ) {
        let Some(machine) = self.machines.get_mut(side) else {
            return;
        };
        ask(machine, &mut self.effects);
        let effects = self.effects.drain(..);
        self.todo.extend(effects.map(|effect| (side, effect)));
    }

    /// Asks a machine about a change; its pushes are made at once, of the payload that was made with the change.
    fn ask_of_change(
        &mut self,
        side: usize,
        push: Option<Payload>,
        ask: impl FnOnce(&mut SyncMachine<WireVersions>, &mut Vec<Effect>),
    ) {
        let mut effects = Vec::new();
        if let Some(machine) = self.machines.get_mut(side) {
            ask(machine, &mut effects);
        }
        let mut push = push;
        for effect in effects {
            match effect {
                Effect::Offer {
                    to,
                    doc,
                    since: _,
                    reciprocate: None,
                } if push.is_some() => self.offer(side, to, doc, push.take(), None),
                effect => self.todo.push_back((side, effect)),
            }
        }
    }

    /// A replica has changed, and both machines are told, but the one that knows.
    fn changed(&mut self, cell: &DocCell, change: Change, except: Option<usize>) {
        let changes = change.version.into_iter().zip(change.push).enumerate();
        for (side, (version, push)) in changes {
            if let (Some(version), false) = (version, except == Some(side)) {
                self.ask_of_change(side, push, |machine, out| {
                    machine.changed(&cell.id, version, out);
                });
            }
        }
    }

    /// The machines are told of a document: both of one with a schema.
    fn hold(&mut self, cell: &Arc<DocCell>) {
        self.docs.insert(cell.id.clone(), cell.clone());
        for (side, wire) in WIRES.into_iter().enumerate() {
            let held = match cell.schema {
                Some(_) => Held::Interpreted,
                None => Held::Replicated,
            };
            if let (Some(entry), Some(version)) = (cell.entry(wire), cell.known_version(side)) {
                self.ask(side, |machine, out| machine.open(entry, held, version, out));
            }
        }
    }

    fn remove(&mut self, doc: &DocId) {
        self.docs.remove(doc);
        // What was heard of it says nothing of another one with its id.
        self.empty.remove(doc);
        self.settling.retain(|(_, other, _)| other != doc);
        for side in 0..WIRES.len() {
            self.ask(side, |machine, out| machine.destroy(doc, out));
        }
    }

    /// Does what is to be done.
    fn work(&mut self) {
        while let Some((side, effect)) = self.todo.pop_front() {
            match effect {
                Effect::Send { to, msg } => self.out.push(Outgoing::new(to, msg)),
                Effect::Offer {
                    to,
                    doc,
                    since,
                    reciprocate,
                } => self.export(side, to, doc, since, reciprocate),
                Effect::Import { from, offer, how } => self.import(side, from, offer, how),
                Effect::Open { entry, schema } => self.open(side, &entry, &schema),
                Effect::Replicate { entry } => self.replicate(side, entry),
                Effect::Peer { peer, change } => self.peer(peer, change),
                Effect::Synced { doc, peer } => {
                    let cell = self.docs.get(&doc).filter(|cell| cell.is_fresh());
                    match cell.map(|cell| cell.is_serialized()) {
                        Some(is_serialized) if !self.is_answer => {
                            let peers = self.empty.entry(doc.clone()).or_default();
                            peers.push(peer.clone());
                            if is_serialized {
                                let at = Instant::now() + SETTLE;
                                self.settling.push_back((at, doc, peer));
                            }
                        }
                        _ => self.synced(doc, peer),
                    }
                }
                Effect::Dismissed { peer, doc } => {
                    if let Some(cell) = self.docs.get(&doc) {
                        cell.unset_synced(&peer);
                    }
                }
                Effect::Document { doc, event } => {
                    self.report(ExchangeEvent::Document { doc, event });
                }
                Effect::Report(diagnostic) if self.is_of_both_releases(side, &diagnostic) => {}
                Effect::Report(mut diagnostic) => {
                    self.fill_in_texts(side, &mut diagnostic);
                    self.report(ExchangeEvent::Diagnostic(diagnostic));
                }
                // `Synced` says more than `Ready`; the others are for what is not here: lists of peers, a store.
                _ => {}
            }
        }
    }

    /// Whether another document is the one here as it is for peers of the other release: edits go from each to the other.
    fn is_of_both_releases(&self, side: usize, diagnostic: &Diagnostic) -> bool {
        let Diagnostic::Mismatch {
            what: Mismatch::SchemaHash,
            local,
            remote,
            ..
        } = diagnostic
        else {
            return false;
        };
        let Some(cell) = self.docs.get(&local.doc) else {
            return false;
        };
        let sides = WIRES.into_iter().zip(self.channels).enumerate();
        let mut others = sides.filter(|(other, (_, channels))| *other != side && *channels > 0);
        others.any(|(_, (wire, _))| {
            let entry = cell.entry(wire);
            entry.is_some_and(|entry| is_read_by(&entry, remote))
        })
    }

    /// What the two hashes are of, as far as it is known here.
    fn fill_in_texts(&self, side: usize, diagnostic: &mut Diagnostic) {
        let Diagnostic::Mismatch {
            what: Mismatch::SchemaHash,
            local,
            remote,
            texts,
            ..
        } = diagnostic
        else {
            return;
        };
        let (Some(wire), Some(substrate)) = (WIRES.get(side), substrate(remote)) else {
            return;
        };
        let text = |schema: &Schema| Some(cut(schema.canonical(*wire)?));
        let ours = self.docs.get(&local.doc);
        texts.local = ours.and_then(|cell| text(cell.schema.as_ref()?));
        let theirs = self.table.schema(substrate, &remote.schema, *wire);
        texts.remote = theirs.as_ref().and_then(text);
    }

    fn peer(&mut self, peer: PeerId, change: PeerChange) {
        if change == PeerChange::Disconnected {
            self.settling.retain(|(_, _, other)| *other != peer);
            self.empty.retain(|_, peers| {
                peers.retain(|other| *other != peer);
                !peers.is_empty()
            });
            for cell in self.docs.values() {
                cell.unset_synced(&peer);
            }
        }
        self.report(ExchangeEvent::Peer { peer, change });
    }

    /// Makes an offer, and then what was edited before it was made and is not pushed yet.
    fn export(
        &mut self,
        side: usize,
        to: Vec<ChannelKey>,
        doc: DocId,
        since: Option<Version>,
        reciprocate: Option<bool>,
    ) {
        let (Some(cell), Some(wire)) = (self.docs.get(&doc).cloned(), WIRES.get(side).copied())
        else {
            return;
        };
        let since = since.filter(|version| !version.is_empty());
        let since = match since {
            None => None,
            Some(text) => match DocVersion::parse(cell.substrate, wire, &text) {
                Ok(version) => Some(version),
                // The reference answers nothing either.
                Err(error) => {
                    tracing::debug!(%error, ?doc, "a peer asks from what is no version");
                    return;
                }
            },
        };
        let (payload, change) = cell.export(since.as_ref(), wire, self.pushes());
        self.offer(side, to, doc, payload, reciprocate);
        if let Some(change) = change {
            self.changed(&cell, change, None);
        }
    }

    fn offer(
        &mut self,
        side: usize,
        to: Vec<ChannelKey>,
        doc: DocId,
        payload: Option<Payload>,
        reciprocate: Option<bool>,
    ) {
        let Some(payload) = payload else {
            return;
        };
        let mut offer = match payload.offer(doc) {
            Ok(offer) => offer,
            Err(error) => {
                tracing::warn!(%error, "a version is too long to be sent");
                return;
            }
        };
        offer.reciprocate = reciprocate;
        if side == side_of(WireVersion::V2) {
            offer.lineage = None;
        }
        let stored = self.table.journal.is_some();
        let cell = stored.then(|| self.docs.get(&offer.doc)).flatten();
        let after = cell.and_then(|cell| Some((cell.clone(), cell.unstored_edits()?)));
        for to in to {
            self.out.push(Outgoing {
                to,
                msg: offer.clone().into(),
                after: after.clone(),
            });
        }
    }

    fn import(&mut self, side: usize, from: PeerId, offer: Offer, how: sync::Take) {
        let doc = offer.doc.clone();
        let (Some(mut cell), Some(wire)) = (self.docs.get(&doc).cloned(), WIRES.get(side).copied())
        else {
            return;
        };
        let take = match how {
            sync::Take::Replace => kyneta_uds_exchange::Take::Replace,
            _ => kyneta_uds_exchange::Take::Merge,
        };
        if let Err(why) = self.may_import(&cell, &offer, wire) {
            let outcome = sync::Imported::Failed(why);
            return self.ask(side, |machine, out| {
                machine.imported(&doc, &from, outcome, out);
            });
        }
        let mut import = loop {
            match cell.import(&offer, wire, take, self.pushes_after_import(side)) {
                Ok(import) => break import,
                // Edited in between: that is pushed first.
                Err(NotImported::Edited(change)) => self.changed(&cell, *change, None),
                // Opened in between, of which the engine is told later.
                Err(NotImported::Succeeded(by)) => match by.upgrade() {
                    Some(successor) if !successor.is_gone() => {
                        self.replace(&successor);
                        cell = successor;
                    }
                    _ => return,
                },
            }
        };
        let version = import.change.version.get_mut(side).and_then(Option::take);
        let push = import.change.push.get_mut(side).and_then(Option::take);
        let outcome = match (import.result, version) {
            (Ok(Imported::All { refused }), Some(version)) => {
                if refused > 0 {
                    self.report(ExchangeEvent::ChangesRefused {
                        doc: doc.clone(),
                        peer: from.clone(),
                        count: refused,
                    });
                }
                sync::Imported::All(version)
            }
            (Ok(Imported::Gap), Some(version)) => sync::Imported::Gap(version),
            (Err(error), _) => sync::Imported::Failed(error.to_string()),
            (Ok(_), None) => sync::Imported::Failed("its version is too long".to_owned()),
        };
        self.ask_of_change(side, push, |machine, out| {
            machine.imported(&doc, &from, outcome, out);
        });
        if import.tell_journal {
            self.table.changed(&cell);
        }
        if import.has_changed {
            self.data_has_come(&doc);
            self.changed(&cell, import.change, Some(side));
            self.report(ExchangeEvent::Changed { doc, peer: from });
        }
    }

    /// What is to be known before an import: the time, and the room that there is.
    fn may_import(&self, cell: &DocCell, offer: &Offer, wire: WireVersion) -> Result<(), String> {
        // A version that cannot be read is refused by the replica.
        if cell.is_transient()
            && let Ok(version) = DocVersion::parse(cell.substrate, wire, &offer.version)
        {
            check_time(&version, now_ms()).map_err(|late| late.to_string())?;
        }
        let of = match cell.is_inbox() {
            true => Of::Inbox,
            false => Of::Any,
        };
        self.table.has_room(of).map_err(|full| full.to_string())
    }

    /// A document that was empty is in sync with the peers that were heard before.
    fn data_has_come(&mut self, doc: &DocId) {
        for peer in self.empty.remove(doc).unwrap_or_default() {
            self.synced(doc.clone(), peer);
        }
    }

    /// As [`pushes`](Self::pushes), but for the channel that the import came from.
    fn pushes_after_import(&self, side: usize) -> Each<bool> {
        let mut channels = self.channels;
        if let Some(count) = channels.get_mut(side) {
            *count = count.saturating_sub(1);
        }
        channels.map(|count| count > 0)
    }

    /// A peer presents a document of a schema that is known here.
    fn open(&mut self, side: usize, entry: &DocEntry, schema: &SchemaHash) {
        let found = WIRES.get(side).zip(substrate(entry));
        let opened = found.and_then(|(wire, substrate)| {
            let schema = self.table.schema(substrate, schema, *wire)?;
            match self.table.open(&entry.doc, substrate, &schema) {
                Ok((cell, _)) => Some(cell),
                Err(error) => {
                    tracing::warn!(%error, "a document of a peer cannot be opened");
                    None
                }
            }
        });
        match opened {
            Some(cell) => self.replace(&cell),
            None => self.ask(side, |machine, out| machine.refuse(&entry.doc, out)),
        }
    }

    fn replicate(&mut self, side: usize, entry: DocEntry) {
        let doc = entry.doc.clone();
        let cell = substrate(&entry)
            .and_then(|substrate| self.table.replicate(&doc, substrate, Some((side, &entry))));
        let version = cell.as_ref().and_then(|cell| cell.known_version(side));
        let (Some(cell), Some(version)) = (cell, version) else {
            return self.ask(side, |machine, out| machine.refuse(&doc, out));
        };
        if cell.schema.is_some() {
            // A user has opened it in the meantime.
            return self.replace(&cell);
        }
        cell.set_presented(side, &entry);
        self.docs.insert(doc, cell);
        let held = Held::Replicated;
        self.ask(side, |machine, out| machine.open(entry, held, version, out));
    }

    /// Holds a document with a schema, in the place of one without, if there was one.
    fn replace(&mut self, cell: &Arc<DocCell>) {
        let former = self.docs.get(&cell.id);
        if former.is_some_and(|former| !Arc::ptr_eq(former, cell)) {
            self.remove(&cell.id);
        }
        self.hold(cell);
    }

    fn report(&self, event: ExchangeEvent) {
        self.table.reports.send(event);
    }
}

/// Whether what is presented is a document that the holder of an entry can read.
fn is_read_by(entry: &DocEntry, presented: &DocEntry) -> bool {
    entry.replica.name == presented.replica.name
        && entry.mode == presented.mode
        && entry.readable().contains(&presented.schema)
}

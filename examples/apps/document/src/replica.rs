//! One replica of the document: the messages that it sends, and what it does with those that it receives.
//!
//! In: peers that come and leave, their messages, edits. Out: messages, each with its recipient. Touches
//! nothing but loro's random peer id.
//!
//! * `present`: I have the document. Sent to each peer that connects. A peer that has it too answers with
//! * `interest`: I want it, from this version on, and all later changes. With `reciprocate` it asks the same
//!   of the other side.
//! * `offer`: here it is, the whole or what is new. After an edit it goes to all peers that want it. Changes of
//!   one peer are forwarded to the rest, so any connected topology works.
//! * `dismiss`: I no longer want it.
//!
//! Both sides begin, so each offers its content twice when they meet; loro applies it once.
//!
//! A peer in TypeScript sends the same: replica type `loro` 1.0, versions as base64 of loro's version
//! vector, data as loro's updates and snapshots. It shares the document when it opens `notes` with the
//! schema in `schema`: the schema's hash and the container's name are those of the TypeScript package.

use std::collections::HashMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use kyneta_uds::{
    BoxError, ChannelMsg, Data, DocEntry, DocId, Encoding, Interest, Offer, PeerId, ReplicaType,
    SchemaHash, Version,
};
use loro::{ExportMode, LoroDoc, VersionVector};

use crate::{
    edit::Edit,
    schema::{HASH, HASH_OF_1_8, TEXT},
};

/// Messages with their recipients.
pub(crate) type Out = Vec<(PeerId, ChannelMsg)>;

pub(crate) struct Replica {
    entry: DocEntry,
    doc: LoroDoc,
    /// The peers that want the document, and the version of each once all that was sent has arrived.
    wanted: HashMap<PeerId, VersionVector>,
}

impl Replica {
    /// Empty, with a new loro peer id, so that no operation id of an earlier process is used again.
    pub(crate) fn new() -> Result<Self, BoxError> {
        let replica = ReplicaType::new("loro", 1.0, 0.0)?;
        let (hash, of_1_8) = (SchemaHash::new(HASH)?, SchemaHash::new(HASH_OF_1_8)?);
        let entry = DocEntry::new(DocId::new("notes")?, replica, hash.clone());
        Ok(Self {
            entry: DocEntry {
                supported: Some(vec![hash, of_1_8]),
                ..entry
            },
            doc: LoroDoc::new(),
            wanted: HashMap::new(),
        })
    }

    pub(crate) fn text(&self) -> String {
        self.doc.get_text(TEXT).to_string()
    }

    pub(crate) fn edit(&mut self, edit: &Edit) -> Result<Out, BoxError> {
        let text = self.doc.get_text(TEXT);
        let (at, away, put) = edit.of(&text.to_string());
        text.splice(at, away, &put)?;
        self.doc.commit();
        self.send_updates()
    }

    pub(crate) fn came(&mut self, peer: &PeerId) -> Out {
        self.wanted.remove(peer); // it may be a new process with the same id
        vec![(peer.clone(), ChannelMsg::Present(vec![self.entry.clone()]))]
    }

    pub(crate) fn gone(&mut self, peer: &PeerId) {
        self.wanted.remove(peer);
    }

    /// # Errors
    /// The data or version of a peer is not loro's.
    pub(crate) fn received(
        &mut self,
        from: &PeerId,
        message: &ChannelMsg,
    ) -> Result<Out, BoxError> {
        match message {
            ChannelMsg::Present(docs) if docs.iter().any(|entry| self.is_ours(entry)) => {
                let interest = self.interest()?.reciprocate(true);
                Ok(vec![(from.clone(), interest.into())])
            }
            ChannelMsg::Interest(interest) if interest.doc == self.entry.doc => {
                self.asked(from, interest)
            }
            ChannelMsg::Interest(interest) => Ok(vec![(
                from.clone(),
                ChannelMsg::Vacant(interest.doc.clone()),
            )]),
            ChannelMsg::Offer(offer) if offer.doc == self.entry.doc => self.offered(from, offer),
            ChannelMsg::Dismiss(doc) if *doc == self.entry.doc => {
                self.wanted.remove(from);
                Ok(Out::new())
            }
            _ => Ok(Out::new()),
        }
    }

    fn is_ours(&self, theirs: &DocEntry) -> bool {
        let ours = &self.entry;
        let same_schema = readable(theirs)
            .iter()
            .any(|hash| readable(ours).contains(hash));
        theirs.doc == ours.doc && theirs.replica == ours.replica && same_schema
    }

    fn asked(&mut self, from: &PeerId, interest: &Interest) -> Result<Out, BoxError> {
        let has = interest.version.as_ref().map(decode).transpose()?;
        let offer = self.offer(has.as_ref())?.reciprocate(false);
        let mut out = vec![(from.clone(), offer.into())];
        if interest.reciprocate == Some(true) {
            let interest = self.interest()?.reciprocate(false);
            out.push((from.clone(), interest.into()));
        }
        let mut has = has.unwrap_or_default();
        has.merge(&self.doc.oplog_vv());
        self.wanted.insert(from.clone(), has);
        Ok(out)
    }

    fn offered(&mut self, from: &PeerId, offer: &Offer) -> Result<Out, BoxError> {
        let (Encoding::Binary, Data::Bytes(data)) = (offer.encoding, &offer.data) else {
            return Err("an offer that is not loro's".into());
        };
        let version = decode(&offer.version)?;
        let imported = self.doc.import(data)?;
        if let Some(has) = self.wanted.get_mut(from) {
            has.merge(&version); // it has what it sent
        }
        let mut out = self.send_updates()?;
        if imported.pending.is_some() {
            // Changes that these depend on are missing, perhaps lost with a connection.
            out.push((from.clone(), self.interest()?.into()));
        }
        Ok(out)
    }

    /// To each peer that wants it, what it does not have.
    fn send_updates(&mut self) -> Result<Out, BoxError> {
        let now = self.doc.oplog_vv();
        let behind = |(_, has): &(&PeerId, &VersionVector)| !has.includes_vv(&now);
        let mut out = Out::new();
        for (peer, has) in self.wanted.iter().filter(behind) {
            out.push((peer.clone(), self.offer(Some(has))?.into()));
        }
        for (peer, _) in &out {
            if let Some(has) = self.wanted.get_mut(peer) {
                has.merge(&now);
            }
        }
        Ok(out)
    }

    /// For a peer with this version, or with nothing.
    fn offer(&self, has: Option<&VersionVector>) -> Result<Offer, BoxError> {
        let (doc, version) = (self.entry.doc.clone(), self.version()?);
        Ok(match has {
            None => Offer::binary(doc, version, self.doc.export(ExportMode::Snapshot)?),
            Some(has) => {
                let since = self.doc.export(ExportMode::updates(has))?;
                Offer::binary(doc, version, since).delta()
            }
        })
    }

    fn interest(&self) -> Result<Interest, BoxError> {
        let interest = Interest::new(self.entry.doc.clone());
        Ok(match self.doc.oplog_vv().is_empty() {
            true => interest, // all of it
            false => interest.since(self.version()?),
        })
    }

    fn version(&self) -> Result<Version, BoxError> {
        let version = BASE64_STANDARD.encode(self.doc.oplog_vv().encode());
        Ok(Version::new(version)?)
    }
}

/// The schemas that the sender of an entry can read.
fn readable(entry: &DocEntry) -> &[SchemaHash] {
    let alone = std::slice::from_ref(&entry.schema);
    entry.supported.as_deref().unwrap_or(alone)
}

fn decode(version: &Version) -> Result<VersionVector, BoxError> {
    let bytes = BASE64_STANDARD.decode(version.as_bytes())?;
    Ok(VersionVector::decode(&bytes)?)
}

#[cfg(test)]
mod tests;

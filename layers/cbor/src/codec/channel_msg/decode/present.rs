//! The aliases of a `present` (wire section 6).
//!
//! In: entries as on the wire, read completely. Out: entries with all aliases resolved and recorded. If an entry
//! fails, the aliases recorded before it stay.

use bytestring::ByteString;
use kyneta_uds_core::{
    AliasFault, ChannelMsg, DocEntry, DocId, ReplicaType, SchemaHash, SyncMode, TextTooLong,
};

use super::{DecodeLimits, InboundState, alias::Aliased};

/// The entries of a `present`, as on the wire.
#[derive(Debug, Default)]
pub(super) struct RawPresent<'a> {
    pub(super) entries: Vec<RawEntry<'a>>,
    /// The supported hashes of all entries, in order.
    pub(super) hashes: Vec<&'a str>,
}

#[derive(Debug)]
pub(super) struct RawEntry<'a> {
    pub(super) doc: &'a str,
    pub(super) alias: Option<f64>,
    pub(super) replica: ReplicaType,
    pub(super) mode: SyncMode,
    pub(super) schema: RawSchema<'a>,
    /// The number of supported hashes of this entry.
    pub(super) supported: Option<usize>,
}

#[derive(Debug)]
pub(super) enum RawSchema<'a> {
    Text { hash: &'a str, alias: Option<f64> },
    Alias(f64),
}

impl<'a> RawPresent<'a> {
    /// Whether one more entry or hash is allowed.
    pub(super) fn has_room(&self, limits: &DecodeLimits) -> bool {
        self.entries.len() + self.hashes.len() < limits.max_docs
    }

    /// A replica type. Consecutive entries mostly have the same name, and then share it.
    pub(super) fn replica(
        &self,
        name: &'a str,
        major: f64,
        minor: f64,
    ) -> Result<ReplicaType, TextTooLong> {
        match self.entries.last() {
            Some(RawEntry {
                replica: ReplicaType { name: last, .. },
                ..
            }) if &**last == name => Ok(ReplicaType {
                name: last.clone(),
                major,
                minor,
            }),
            _ => ReplicaType::new(ByteString::from(name), major, minor),
        }
    }

    /// Records the aliases that the entries announce and resolves those that they use, in order.
    pub(super) fn resolve(
        self,
        known: &mut InboundState,
        limits: &DecodeLimits,
    ) -> Result<ChannelMsg, AliasFault> {
        let mut hashes = self.hashes.into_iter();
        let mut docs = Vec::with_capacity(self.entries.len());
        for raw in self.entries {
            let doc = doc(raw.doc, raw.alias, known, limits)?;
            let schema = schema(raw.schema, known, limits)?;
            let supported = raw
                .supported
                .map(|count| {
                    hashes
                        .by_ref()
                        .take(count)
                        .map(|hash| supported(hash, &schema))
                })
                .map(Iterator::collect::<Result<Vec<_>, _>>)
                .transpose()?;
            docs.push(DocEntry {
                doc,
                replica: raw.replica,
                mode: raw.mode,
                schema,
                supported,
            });
        }
        Ok(ChannelMsg::Present(docs))
    }
}

fn doc(
    text: &str,
    alias: Option<f64>,
    known: &mut InboundState,
    limits: &DecodeLimits,
) -> Result<DocId, AliasFault> {
    match alias {
        Some(alias) => known.docs.record(alias, text, limits)?.into_text(),
        None => whole(text),
    }
}

fn schema(
    raw: RawSchema<'_>,
    known: &mut InboundState,
    limits: &DecodeLimits,
) -> Result<SchemaHash, AliasFault> {
    let meaning = match raw {
        RawSchema::Text {
            hash,
            alias: Some(alias),
        } => known.schemas.record(alias, hash, limits)?,
        RawSchema::Text { hash, alias: None } => return whole(hash),
        RawSchema::Alias(alias) => match known.schemas.resolve(alias) {
            Some(meaning) => meaning.clone(),
            None => return Err(AliasFault::UnknownSchema { alias }),
        },
    };
    meaning.into_text()
}

fn supported(hash: &str, schema: &SchemaHash) -> Result<SchemaHash, AliasFault> {
    if hash == schema.as_str() {
        return Ok(schema.clone());
    }
    whole(hash)
}

/// A text without an alias.
pub(super) fn whole<T: Aliased>(text: &str) -> Result<T, AliasFault> {
    T::new(text).map_err(|error| T::too_long(error.len))
}

//! What every kind of replica does: it has a version, makes payloads and takes offers.
//!
//! In: offers of peers, of any content. Out: payloads, and what became of an offer. An implementation may touch its
//! CRDT library alone: no socket, store or clock.

use kyneta_uds_core::{
    ByteString, Data, DocId, Encoding, Lineage, Offer, PayloadKind, TextTooLong, Version,
    WireVersion,
};
use kyneta_uds_schema::{DocVersion, Substrate, VersionError};

use crate::json::JsonFault;

/// A document as one peer holds it.
///
/// A replica is asked with the wire version of the peer, because the releases write versions differently.
pub trait Replica: Send {
    /// What kind of document it is of.
    fn substrate(&self) -> Substrate;

    /// Its version.
    fn version(&self, wire: WireVersion) -> DocVersion;

    /// What is newer than `since`; all of it without one, or when it cannot tell. `None` when there is nothing to
    /// send.
    fn export(&self, since: Option<&DocVersion>, wire: WireVersion) -> Option<Payload>;

    /// Takes an offer. After an error, and after [`Imported::Gap`], the replica is as it was.
    ///
    /// # Errors
    /// [`ImportError`].
    fn import(
        &mut self,
        offer: &Offer,
        wire: WireVersion,
        how: Take,
    ) -> Result<Imported, ImportError>;
}

/// How a replica takes an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Take {
    /// With what is here.
    Merge,
    /// In the place of what is here: its content, its version, its history.
    Replace,
}

/// What came of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Imported {
    /// The replica has all of it.
    All {
        /// Changes that were left out, because they would do harm: they reach for `__proto__`, or far behind the
        /// end of a list. They count as made, and are not passed on.
        refused: usize,
    },
    /// It starts from what is missing here. The peer must be asked for that.
    Gap,
}

/// What is sent of a replica.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload {
    /// All of it, or what is newer.
    pub kind: PayloadKind,
    /// How to read the data.
    pub encoding: Encoding,
    /// The data.
    pub data: Data,
    /// The version of the replica.
    pub version: DocVersion,
    /// The lineage that goes with it, for peers of wire version 3.
    pub lineage: Option<Lineage>,
}

impl Payload {
    /// The offer of it.
    ///
    /// # Errors
    /// [`TextTooLong`] when the version is longer than a message may carry.
    pub fn offer(self, doc: DocId) -> Result<Offer, TextTooLong> {
        Ok(Offer {
            doc,
            kind: self.kind,
            encoding: self.encoding,
            data: self.data,
            version: Version::new(self.version.to_string())?,
            reciprocate: None,
            lineage: self.lineage,
            base: None,
        })
    }
}

/// The data of an offer, which must be JSON text.
pub(crate) fn json_text(offer: &Offer, substrate: Substrate) -> Result<&ByteString, ImportError> {
    match (offer.encoding, &offer.data) {
        (Encoding::Json, Data::Text(text)) => Ok(text),
        _ => Err(ImportError::Encoding {
            substrate: substrate.name(),
        }),
    }
}

/// Why an offer was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The replica reads JSON text.
    #[error("a {substrate} document takes JSON text, not bytes")]
    Encoding {
        /// The kind of document.
        substrate: &'static str,
    },
    /// The replica reads bytes.
    #[error("a {substrate} document takes bytes, not JSON text")]
    NotBytes {
        /// The kind of document.
        substrate: &'static str,
    },
    /// The library that holds the document does not take the data.
    #[error("the {substrate} library does not take the data: {why}")]
    Library {
        /// The kind of document.
        substrate: &'static str,
        /// What the library says.
        why: String,
    },
    /// The library that holds the document failed on it, now or before, so it is not used any more.
    #[error("the document is in quarantine: {why}")]
    Quarantined {
        /// What happened.
        why: String,
    },
    /// The document sends all of itself each time.
    #[error("an ephemeral document takes all of another, not what is newer")]
    NotEntirety,
    /// The data is not JSON.
    #[error(transparent)]
    NotJson(#[from] JsonFault),
    /// The data is JSON of another form.
    #[error("in {place}: {what}")]
    Form {
        /// Where: which part of the payload.
        place: String,
        /// What is wrong there.
        what: String,
    },
    /// The version is none.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The document would become too large.
    #[error("the document would have {bytes} bytes; at most {limit} are allowed")]
    TooLarge {
        /// The bytes of its JSON.
        bytes: usize,
        /// The most allowed.
        limit: usize,
    },
}

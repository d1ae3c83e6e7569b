//! What a store keeps, and what is written to it.
//!
//! Values, and the trait of a store. Touches nothing.

use std::fmt;

use kyneta_uds_core::{DocId, Offer, SchemaHash};
use kyneta_uds_schema::Substrate;

use crate::error::StoreError;

/// What a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// Its kind.
    pub substrate: Substrate,
    /// It has a schema here. Without one it is kept and passed on alone.
    pub is_opened: bool,
    /// The hash of its schema as peers of wire version 2 and of wire version 3 know it, where that is known.
    pub schema: [Option<SchemaHash>; 2],
    /// The number that names what this replica has written (a Loro peer id, a Yjs client id), if the process that
    /// used it has ended in order. It belongs to the next one, which takes it out of the store before it writes. After a
    /// crash there is none, because what was written under it last may not be stored.
    pub number: Option<u64>,
}

impl Head {
    /// Without a schema and a number.
    pub const fn new(substrate: Substrate) -> Self {
        Self {
            substrate,
            is_opened: false,
            schema: [None, None],
            number: None,
        }
    }
}

/// A document as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// What it is.
    pub head: Head,
    /// What makes it again, in order: all of it, and changes. Never empty.
    pub offers: Vec<Offer>,
}

impl Stored {
    /// A document whose first offer is all of it.
    pub fn new(head: Head, offer: Offer) -> Self {
        Self {
            head,
            offers: vec![offer],
        }
    }
}

/// A change of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Write {
    /// The document is this, and nothing else.
    Replace {
        /// What it is.
        head: Head,
        /// All of it.
        offer: Offer,
    },
    /// The document, which is there, has changed.
    Append {
        /// What has changed.
        offer: Offer,
    },
    /// What a document is, if it is there. Its content stays.
    Head {
        /// Which document.
        doc: DocId,
        /// What it is now.
        head: Head,
    },
    /// The document is not there any more.
    Delete {
        /// Which document.
        doc: DocId,
    },
}

/// Where documents survive a restart. Its methods may block: an exchange calls them on a thread of its own.
///
/// See the [crate](crate) for an example. One process has a store at a time.
pub trait Store: fmt::Debug + Send + 'static {
    /// All documents, in no particular order. An exchange calls this once, first.
    ///
    /// # Errors
    /// [`StoreError`]. Then the exchange opens no document, so that none is begun anew in the place of a stored one.
    fn load(&mut self) -> Result<Vec<Stored>, StoreError>;

    /// Makes all changes in order, or none. When it returns, a crash takes nothing of them away.
    ///
    /// # Errors
    /// [`StoreError`]. The exchange comes again with what it could not store, and reports that. So it does after a panic.
    fn write(&mut self, writes: &[Write]) -> Result<(), StoreError>;
}

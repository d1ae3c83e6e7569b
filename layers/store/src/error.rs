//! Why a store cannot be used.
//!
//! In: errors of the file system and of the library. Out: one error, with the file, and with what to do where
//! something can be done. Pure.

use std::{io, path::PathBuf};

/// Why a store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The directory or its file cannot be made or opened.
    #[error("the store {path:?} cannot be opened")]
    Open {
        /// The directory, or the file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it, or this one has opened it before.
    #[error(
        "the store {path:?} is in use: end the other process, or give this one another directory"
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A later version of this library has written it.
    #[error(
        "the store {path:?} has format {found}, and this version reads formats up to {newest}: use the version that \
         wrote it, or another directory"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format that is read.
        newest: u64,
    },
    /// The file is something else.
    #[error("{path:?} is no store of documents: give another directory")]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// The file was cut off, or parts of it were changed by something else.
    #[error(
        "the store {path:?} is damaged ({why}): put a copy in its place, or give another directory"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What the library says.
        why: String,
    },
    /// What is stored of a document cannot be read.
    #[error("what is stored of the document {doc:?} cannot be read: {why}")]
    Damaged {
        /// The document.
        doc: String,
        /// What is wrong with it.
        why: String,
    },
    /// Reading or writing failed, as with a full disk.
    #[error("the store failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// As of a library or a device: what it says is repeated.
    pub fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}

//! What a replica needs around a library of another crate that holds its document.
//!
//! In: calls into the library, sizes. Out: what they return, or why the document is not used any more. Touches nothing.
//! A failure of the library, which a hostile payload may bring about, stays inside: the document is in quarantine.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::OnceLock,
};

use kyneta_uds_core::{Bytes, Data, Encoding, Offer, panic_text};
use kyneta_uds_schema::Substrate;

use crate::{plain::EditError, replica::ImportError};

/// Characters of what the library says that an error repeats.
const MAX_SAID: usize = 200;

/// The library that holds one document.
///
/// ```
/// use kyneta_uds_exchange::library::Library;
/// use kyneta_uds_schema::Substrate;
///
/// let library = Library::new("Loro", Substrate::Loro);
/// assert_eq!(library.call("an edit", || 7).ok(), Some(7));
/// assert!(library.call("an edit", || panic!("no such block")).is_err());
/// assert_eq!(library.quarantine(), Some("the Loro library failed on an edit: no such block"));
/// ```
#[derive(Debug)]
pub struct Library {
    name: &'static str,
    substrate: Substrate,
    /// Why the document is not used any more.
    failed: OnceLock<String>,
    /// At least the bytes of the document with its history.
    bytes: usize,
}

/// The document is in quarantine: the library failed on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the document is in quarantine: {why}")]
pub struct Quarantined {
    /// What happened.
    pub why: String,
}

impl From<Quarantined> for EditError {
    fn from(Quarantined { why }: Quarantined) -> Self {
        Self::Quarantined { why }
    }
}

impl From<Quarantined> for ImportError {
    fn from(Quarantined { why }: Quarantined) -> Self {
        Self::Quarantined { why }
    }
}

impl Library {
    /// A library that has not failed yet, on a document that is empty.
    pub const fn new(name: &'static str, substrate: Substrate) -> Self {
        Self {
            name,
            substrate,
            failed: OnceLock::new(),
            bytes: 0,
        }
    }

    /// Why the document is not used any more, if so.
    pub fn quarantine(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    /// Whether the document is used.
    ///
    /// # Errors
    /// [`Quarantined`], as long as it lives.
    pub fn check(&self) -> Result<(), Quarantined> {
        match self.failed.get().cloned() {
            Some(why) => Err(Quarantined { why }),
            None => Ok(()),
        }
    }

    /// Calls the library on the document; `on` says for what.
    ///
    /// # Errors
    /// [`Quarantined`], from now on, if it panics.
    pub fn call<T>(&self, on: &str, call: impl FnOnce() -> T) -> Result<T, Quarantined> {
        catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
            let why = format!(
                "the {} library failed on {on}: {}",
                self.name,
                said(&*panic)
            );
            let why = self.failed.get_or_init(|| why).clone();
            Quarantined { why }
        })
    }

    /// Lets the library read a payload, without the document: what makes it fail does the document no harm.
    ///
    /// # Errors
    /// [`ImportError::Library`], if it fails or panics.
    pub fn read<T, E: fmt::Display>(
        &self,
        read: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, ImportError> {
        match catch_unwind(AssertUnwindSafe(read)) {
            Ok(read) => read.map_err(|error| self.refused(&error)),
            Err(panic) => Err(self.refused(&said(&*panic))),
        }
    }

    /// The library does not take a payload.
    pub fn refused(&self, why: &dyn fmt::Display) -> ImportError {
        ImportError::Library {
            substrate: self.substrate.name(),
            why: why.to_string().chars().take(MAX_SAID).collect(),
        }
    }

    /// The bytes of an offer.
    ///
    /// # Errors
    /// [`ImportError::NotBytes`]
    pub fn bytes_of<'o>(&self, offer: &'o Offer) -> Result<&'o Bytes, ImportError> {
        match (offer.encoding, &offer.data) {
            (Encoding::Binary, Data::Bytes(bytes)) => Ok(bytes),
            _ => Err(ImportError::NotBytes {
                substrate: self.substrate.name(),
            }),
        }
    }

    /// Whether so many bytes more are within the limit. The document is only measured near it.
    ///
    /// # Errors
    /// How many there would be.
    pub fn room(
        &mut self,
        more: usize,
        limit: usize,
        measure: impl FnOnce() -> usize,
    ) -> Result<(), usize> {
        if self.bytes.saturating_add(more) > limit {
            self.measure(measure);
        }
        match self.bytes.saturating_add(more) {
            bytes if bytes > limit => Err(bytes),
            _ => Ok(()),
        }
    }

    /// At least the bytes of the document with its history.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes of the document, counted anew; as before, if the library fails on it.
    pub fn measure(&mut self, measure: impl FnOnce() -> usize) -> usize {
        if let Ok(bytes) = self.call("its size", measure) {
            self.bytes = bytes;
        }
        self.bytes
    }

    /// The document has grown by so many bytes at most.
    pub const fn grew(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let said = panic_text(panic).unwrap_or("no reason given");
    said.chars().take(MAX_SAID).collect()
}

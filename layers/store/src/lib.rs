//! Where the documents of an exchange survive a restart.
//!
//! Of each document a store keeps what it is ([`Head`]) and offers that make it again ([`Stored`]): all of it, and
//! then changes, in order. A store knows nothing of what they hold, so it needs no library of a document's kind.
//!
//! ```
//! use kyneta_uds_core::{ByteString, DocId, Encoding, Offer, Version};
//! use kyneta_uds_schema::Substrate;
//! use kyneta_uds_store::{Head, MemoryStore, Store, Write};
//!
//! let mut store = MemoryStore::new();
//! let all = Offer::json(DocId::new("config")?, Version::new("aa:1")?, r#"{"mode":"auto"}"#);
//! let change = Offer::json(DocId::new("config")?, Version::new("aa:2")?, "[[]]").delta();
//! store.write(&[
//!     Write::Replace { head: Head::new(Substrate::Plain), offer: all.clone() },
//!     Write::Append { offer: change.clone() },
//! ])?;
//!
//! let stored = store.load()?;
//! assert_eq!(stored[0].offers, [all, change]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | | |
//! |---|---|
//! | needs below | nothing; with the feature `redb` a directory |
//! | gives above | the trait [`Store`], [`MemoryStore`]; with the feature `redb` `Redb` |
//! | touches | one file in that directory |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "redb")]
mod awaited;
#[cfg(any(feature = "redb", test))]
mod encoding;
mod error;
mod ledger;
mod memory;
#[cfg(feature = "redb")]
mod redb;
mod stored;

#[cfg(feature = "redb")]
#[cfg_attr(docsrs, doc(cfg(feature = "redb")))]
pub use awaited::AwaitedRedb;
pub use error::StoreError;
pub use ledger::{Full, Ledger, Place, StoreLimits};
pub use memory::MemoryStore;
#[cfg(feature = "redb")]
#[cfg_attr(docsrs, doc(cfg(feature = "redb")))]
pub use redb::Redb;
pub use stored::{Head, Store, Stored, Write};

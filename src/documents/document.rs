//! A document, as its users hold it.
//!
//! In: edits. Out: values, changes, and when all of it is here. Touches the document's lock.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use kyneta_uds_core::{DocId, PeerId, WireVersion};
use kyneta_uds_exchange::{Edit, EditError, Json};
use kyneta_uds_schema::{DocVersion, Schema, Substrate};
use tokio::sync::{mpsc, watch};

use super::{
    cell::{DocCell, Seen, StoredUpTo},
    room::{DocumentsFull, Of},
    table::{Table, moment},
    task::Command,
};

/// A document of an exchange: cloneable, and the same one for all clones.
///
/// It can be read and edited whether there is a peer or not. See [`Exchange`](super::Exchange) for an example.
#[derive(Clone)]
pub struct Document {
    pub(super) cell: Arc<DocCell>,
    pub(super) table: Arc<Table>,
    pub(super) commands: mpsc::UnboundedSender<Command>,
}

/// The document is not part of an exchange any more: it was destroyed, or the exchange has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{doc} is no document of an exchange any more")]
pub struct DocumentGone {
    /// Which document.
    pub doc: DocId,
}

/// Why an edit was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// It does not fit the document.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// All documents together are too large.
    #[error(transparent)]
    Full(#[from] DocumentsFull),
    /// It is gone.
    #[error(transparent)]
    Gone(#[from] DocumentGone),
}

/// Why a document is not in the store as it is here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotStored {
    /// The exchange has no store.
    #[error("{doc} is not stored: the exchange has no store (Builder::store gives it one)")]
    NoStore {
        /// Which document.
        doc: DocId,
    },
    /// Documents of its kind are not stored: they say what is so now.
    #[error("{doc} is not stored: it is transient, and ends with the processes that have it")]
    Transient {
        /// Which document.
        doc: DocId,
    },
    /// The store has failed, or has no room for it.
    #[error("{doc} is not stored: {why}")]
    Failed {
        /// Which document.
        doc: DocId,
        /// Why, as a sentence.
        why: String,
    },
    /// It is gone.
    #[error(transparent)]
    Gone(#[from] DocumentGone),
}

impl Document {
    /// Its id.
    pub fn id(&self) -> &DocId {
        &self.cell.id
    }

    /// What kind of document it is.
    pub fn substrate(&self) -> Substrate {
        self.cell.substrate
    }

    /// Its schema; `None` when it is kept and passed on alone.
    pub fn schema(&self) -> Option<&Schema> {
        self.cell.schema.as_ref()
    }

    /// What it holds now.
    pub fn value(&self) -> Json {
        self.cell.value()
    }

    /// What it holds, and where it is, at one moment.
    pub(super) fn value_and_version(&self) -> (Json, DocVersion) {
        self.cell.value_and_version(WireVersion::V3)
    }

    /// Where it is now, as peers of release 2.x are told.
    pub fn version(&self) -> DocVersion {
        self.cell.version(WireVersion::V3)
    }

    /// Makes edits as one batch: all of them or none. They are pushed together; edits that follow one another faster
    /// than they can be pushed are pushed together, too.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn edit(&self, edits: &[Edit]) -> Result<(), DocumentError> {
        self.is_here()?;
        self.table.has_room(Of::Any)?;
        self.make(edits)
    }

    /// The same, also when all documents together are too large: for edits that make room.
    pub(super) fn edit_without_room(&self, edits: &[Edit]) -> Result<(), DocumentError> {
        self.is_here()?;
        self.make(edits)
    }

    fn make(&self, edits: &[Edit]) -> Result<(), DocumentError> {
        let edited = self.cell.edit(edits, moment())?;
        if edited.tell_journal {
            self.table.changed(&self.cell);
        }
        if edited.tell_engine {
            // It fails when the exchange has just ended: there is no peer any more.
            let _ = self.commands.send(Command::Edited(self.cell.clone()));
        }
        Ok(())
    }

    /// Waits until all that it holds now is in the store, so that a crash takes nothing of it away. Edits that are made
    /// in the meantime are not waited for; many that wait are stored together.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`NotStored`]. A change that could not be stored is stored with a later one, if that can be.
    pub async fn stored(&self) -> Result<(), NotStored> {
        let doc = || self.cell.id.clone();
        if self.table.journal.is_none() {
            return Err(NotStored::NoStore { doc: doc() });
        }
        if self.cell.is_transient() {
            return Err(NotStored::Transient { doc: doc() });
        }
        let (changes, mut stored) = self.cell.storing();
        let is_settled = |now: &StoredUpTo| now.is_settled(changes);
        let Ok(now) = stored.wait_for(is_settled).await else {
            // The cell is held here.
            return Err(NotStored::Gone(DocumentGone { doc: doc() }));
        };
        if now.changes >= changes {
            return Ok(());
        }
        Err(match &now.why {
            Some(why) if !now.is_removed => NotStored::Failed {
                doc: doc(),
                why: why.to_string(),
            },
            _ => NotStored::Gone(DocumentGone { doc: doc() }),
        })
    }

    /// The changes from now on.
    pub fn changes(&self) -> Changes {
        let mut seen = self.cell.watch();
        let last = *seen.borrow_and_update();
        Changes {
            next: Box::pin(next(seen, last)),
        }
    }

    /// Waits until all that some connected peer had of it is here; at once when that is so. A peer that has nothing
    /// of it counts, too: when it says so, or has answered that it has nothing newer. At a path that is relayed the peer
    /// is the hub, and the first member that answers through it counts; what others have comes later.
    ///
    /// A peer answers nothing where a plain JSON document is empty at both ends. Then it counts 200 ms after it has asked
    /// from the version that is here: a hub asks so, too, before it has the data of a member, and the wire does not tell
    /// the two apart (`SYNC.md` of the repository, section 3).
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`DocumentGone`] when it was destroyed, or the exchange has ended.
    pub async fn synced(&self) -> Result<(), DocumentGone> {
        let (mut synced, mut seen) = (self.cell.synced(), self.cell.watch());
        let gone = seen.wait_for(|seen| seen.is_gone);
        tokio::select! {
            biased;
            _ = gone => self.is_here(),
            done = synced.wait_for(|peers| !peers.is_empty()) => match done {
                Ok(_) => Ok(()),
                Err(_) => self.is_here(),
            },
        }
    }

    /// The connected peers from which all has come that they had of it.
    pub fn synced_with(&self) -> Vec<PeerId> {
        self.cell.synced().borrow().iter().cloned().collect()
    }

    /// Stops sharing it: edits are made here alone, until [`resume`](Self::resume). Peers are told that it is gone.
    pub fn suspend(&self) {
        self.set_suspended(true);
    }

    /// Shares it again: both sides send each other what they lack.
    pub fn resume(&self) {
        self.set_suspended(false);
    }

    fn set_suspended(&self, is_suspended: bool) {
        let doc = self.cell.id.clone();
        // After the end there is nothing to suspend.
        let _ = self.commands.send(Command::Suspend { doc, is_suspended });
    }

    /// Takes it out of the exchange and its store. Peers are told, and keep what they have; one that presents it does not
    /// bring it back, as long as this exchange lives.
    pub fn destroy(self) {
        self.table.remove(&self.cell);
        let _ = self.commands.send(Command::Destroy(self.cell));
    }

    fn is_here(&self) -> Result<(), DocumentGone> {
        match self.cell.is_gone() || self.commands.is_closed() {
            true => Err(DocumentGone {
                doc: self.cell.id.clone(),
            }),
            false => Ok(()),
        }
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("id", &self.cell.id)
            .field("substrate", &self.cell.substrate)
            .finish_non_exhaustive()
    }
}

/// A change of a document, or several that came before it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changed {
    /// An edit that was made here is among them.
    pub here: bool,
    /// What a peer has sent is among them.
    pub by_peer: bool,
}

/// The changes of a document, as a stream. It ends with the document. Changes that come before the one before is read
/// are one: read the value when there is one.
pub struct Changes {
    next: Pin<Box<dyn Future<Output = Option<Next>> + Send>>,
}

/// What is watched, what was seen of it last, and what has changed.
type Next = (watch::Receiver<Seen>, Seen, Changed);

impl Changes {
    /// The next change; `None` after the last one.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Changed> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Changes {
    type Item = Changed;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Changed>> {
        let Some((seen, last, changed)) = std::task::ready!(self.next.as_mut().poll(cx)) else {
            self.next = Box::pin(std::future::ready(None));
            return Poll::Ready(None);
        };
        self.next = Box::pin(next(seen, last));
        Poll::Ready(Some(changed))
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

/// Waits until something is other than it was.
async fn next(mut seen: watch::Receiver<Seen>, last: Seen) -> Option<Next> {
    loop {
        let now = *seen.borrow_and_update();
        let changed = Changed {
            here: now.edits != last.edits,
            by_peer: now.imports != last.imports,
        };
        if changed.here || changed.by_peer {
            return Some((seen, now, changed));
        }
        if now.is_gone || seen.changed().await.is_err() {
            return None;
        }
    }
}

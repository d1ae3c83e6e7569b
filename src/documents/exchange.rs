//! The exchange, as its users hold it.
//!
//! In: documents to open. Out: handles to them, events. Touches: the role below it.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use kyneta_uds_core::{DocId, PeerId};
use kyneta_uds_schema::{Schema, Substrate};
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::{Duration, timeout},
};

use super::{
    attach::{Attach, Role},
    builder::ExchangeBuilder,
    cell::DocCell,
    document::Document,
    event::{ExchangeCounts, ExchangeEvents},
    line::LineRules,
    table::{OpenError, Table},
    task::Command,
};
use crate::{Identity, client::Client, peer::Peer, server::Server};

/// How long the last messages may take before the role ends.
const DRAIN: Duration = Duration::from_secs(2);

/// Documents that are shared with the peers at a path: each replica here is kept equal to theirs, whichever process
/// listens, whenever one comes back.
///
/// ```
/// use kyneta_uds::{DocId, Identity, documents::{Edit, Exchange, Json, Schema, Substrate}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("bus.sock");
/// let schema = Schema::structure([("mode", Schema::string()), ("hits", Schema::counter())])?;
/// let billing = Exchange::builder(Identity::service("billing-1")?).join(&path).await?;
/// let search = Exchange::builder(Identity::service("search-1")?).join(&path).await?;
///
/// let ours = billing.open(DocId::new("config")?, Substrate::Plain, &schema)?;
/// ours.edit(&[Edit::set("mode", "auto"), Edit::increment("hits", 2.0)])?; // one batch, one push
///
/// let theirs = search.open(DocId::new("config")?, Substrate::Plain, &schema)?;
/// theirs.synced().await?; // all that the other side had is here
/// assert_eq!(theirs.value().get("mode"), Some(&Json::from("auto")));
/// # search.dispose().await;
/// # billing.dispose().await;
/// # Ok(())
/// # }
/// ```
///
/// All clones are one exchange. It ends with [`dispose`](Self::dispose), or when the last clone is dropped.
#[derive(Clone)]
pub struct Exchange {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) table: Arc<Table>,
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) attach: Attach,
    pub(super) role: Role,
    pub(super) follower: Option<AbortHandle>,
    pub(super) lines: Arc<LineRules>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(follower) = &self.follower {
            follower.abort();
        }
        let (done, _) = oneshot::channel();
        // It may have ended.
        let _ = self.commands.send(Command::End(done));
    }
}

/// An exchange that ends though this is there.
pub(super) struct WeakExchange(Weak<Inner>);

impl WeakExchange {
    pub(super) fn upgrade(&self) -> Option<Exchange> {
        Some(Exchange {
            inner: self.0.upgrade()?,
        })
    }
}

impl Exchange {
    /// An exchange of this identity.
    pub fn builder(identity: Identity) -> ExchangeBuilder {
        ExchangeBuilder::new(identity)
    }

    pub(super) fn new(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Opens a document: a new one with the zeros of its schema, the one that a peer has presented, or the one that is
    /// open already. Peers are told of it, and asked for what they have.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        &self,
        doc: DocId,
        substrate: Substrate,
        schema: &Schema,
    ) -> Result<Document, OpenError> {
        if self.inner.commands.is_closed() {
            return Err(OpenError::Ended { doc });
        }
        let (cell, is_new) = self.inner.table.open(&doc, substrate, schema)?;
        if is_new {
            let told = self.inner.commands.send(Command::Opened(cell.clone()));
            if told.is_err() {
                // It has ended just now.
                cell.end();
                return Err(OpenError::Ended { doc });
            }
        }
        Ok(self.document(cell))
    }

    /// Adds a schema, as [`ExchangeBuilder::schema`] does: a document of it is opened when a peer presents one, and
    /// one that waits for its schema is opened now.
    pub fn register(&self, substrate: Substrate, schema: Schema) {
        self.inner.table.register(substrate, schema.clone());
        // After the end there is no peer any more.
        let _ = self
            .inner
            .commands
            .send(Command::Register(substrate, schema));
    }

    /// The id that peers know it by.
    pub fn peer_id(&self) -> &PeerId {
        self.inner.attach.peer_id()
    }

    pub(super) fn line_rules(&self) -> &Arc<LineRules> {
        &self.inner.lines
    }

    pub(super) fn downgrade(&self) -> WeakExchange {
        WeakExchange(Arc::downgrade(&self.inner))
    }

    /// A document that is here, opened or kept for others.
    pub fn get(&self, doc: &DocId) -> Option<Document> {
        Some(self.document(self.inner.table.get(doc)?))
    }

    /// All documents that are here, in no particular order.
    pub fn documents(&self) -> Vec<Document> {
        let cells = self.inner.table.all().into_iter();
        cells.map(|cell| self.document(cell)).collect()
    }

    fn document(&self, cell: Arc<DocCell>) -> Document {
        Document {
            cell,
            table: self.inner.table.clone(),
            commands: self.inner.commands.clone(),
        }
    }

    /// The events from now on.
    pub fn events(&self) -> ExchangeEvents {
        self.inner.table.reports.subscribe()
    }

    /// Why the store cannot be read, if so: then no document can be opened, so that none is begun anew.
    pub fn unreadable_store(&self) -> Option<String> {
        self.inner.table.unreadable_store()
    }

    /// The documents that were destroyed here and that the store may have still: each one for a moment, or because the store
    /// has failed or hangs. One that is left when [`dispose`](Self::dispose) has returned comes back with the next process
    /// that opens the store.
    pub fn undeleted(&self) -> Vec<DocId> {
        self.inner.table.undeleted()
    }

    /// How often something went another way than usual.
    pub fn counts(&self) -> ExchangeCounts {
        self.inner.table.reports.counts()
    }

    /// The peer below it, if it has joined a path.
    pub fn peer(&self) -> Option<&Peer> {
        match &self.inner.role {
            Role::Peer(peer) => Some(peer),
            _ => None,
        }
    }

    /// The client below it, if it is one's.
    pub fn client(&self) -> Option<&Client> {
        match &self.inner.role {
            Role::Client(client) => Some(client),
            _ => None,
        }
    }

    /// The server below it, if it is one's.
    pub fn server(&self) -> Option<&Server> {
        match &self.inner.role {
            Role::Server(server) => Some(server),
            _ => None,
        }
    }

    /// Sends what is to be sent, and ends: the documents, and the role below. Takes at most two seconds more than the
    /// role does, and as long as a store needs to write what waits for it. What it could not write,
    /// [`Document::stored`] and [`undeleted`](Self::undeleted) say afterwards. A store that hangs is waited for, so give this a
    /// timeout of your own if yours can.
    ///
    /// If the future is dropped, the documents end all the same, and the role with its last clone.
    pub async fn dispose(&self) {
        let (done, ended) = oneshot::channel();
        if self.inner.commands.send(Command::End(done)).is_ok() {
            // An error means that it has ended.
            let _ = ended.await;
        }
        if timeout(DRAIN, self.inner.attach.drained()).await.is_err() {
            tracing::warn!("not all changes of documents were sent within {DRAIN:?}");
        }
        match &self.inner.role {
            Role::Peer(peer) => drop(peer.dispose().await),
            Role::Client(client) => drop(client.dispose().await),
            Role::Server(server) => drop(server.dispose().await),
            Role::Channel => {}
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("role", &self.inner.role)
            .finish_non_exhaustive()
    }
}

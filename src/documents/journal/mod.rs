//! Brings documents that have changed to the store: on a thread of its own, because a store may block.
//!
//! In: documents that have changed, or are gone. Out: writes, many in one; what is stored, or why not, as events and to
//! those that wait for it. Touches the store and, for no longer than one export, a document's lock.
//!
//! What waits is not changes, but the documents that have some, each once. So what waits has a bound, and a store that
//! is slower than the edits gets fewer and larger changes.

pub(super) mod writer;

use std::{
    collections::{BTreeSet, HashMap},
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use kyneta_uds_core::{Chain, DocId, ignore_poison};
use kyneta_uds_store::{Ledger, Store, StoreError, StoreLimits, Stored, Write};
use tokio::sync::{Notify, oneshot};

use self::writer::Writer;
use super::{cell::DocCell, event::Reports};

/// Why a change that comes after the end is not stored.
const ENDED: &str = "the exchange has ended";

/// What the store had when the exchange began, of documents that are not open yet.
pub(super) type Loaded = HashMap<DocId, Arc<Stored>>;

/// Reads all of a store, and takes the numbers out of it: they are used from now on. Blocks.
pub(super) fn load(store: &mut dyn Store) -> Result<Loaded, String> {
    let mut read = || {
        let all = store.load()?;
        let numbered = all.iter().filter(|stored| stored.head.number.is_some());
        let writes = numbered.filter_map(|stored| {
            let mut head = stored.head.clone();
            head.number = None;
            let doc = stored.offers.first()?.doc.clone();
            Some(Write::Head { doc, head })
        });
        let writes: Vec<Write> = writes.collect();
        if !writes.is_empty() {
            store.write(&writes)?;
        }
        Ok(all)
    };
    let all = read().map_err(|error: StoreError| Chain(&error).to_string())?;
    let by_id = all.into_iter().filter_map(|stored| {
        let doc = stored.offers.first()?.doc.clone();
        Some((doc, Arc::new(stored)))
    });
    Ok(by_id.collect())
}

/// The end of the journal that the exchange holds. When it is dropped, what waits is written.
pub(super) struct Journal {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// More is stored, or could not be.
    stored: Notify,
}

#[derive(Default)]
struct Queue {
    work: Work,
    /// What is being deleted.
    deleting: BTreeSet<DocId>,
    end: Option<End>,
    /// The thread has ended.
    is_over: bool,
}

/// What is to be written.
#[derive(Default)]
struct Work {
    changed: Vec<Arc<DocCell>>,
    deleted: BTreeSet<DocId>,
}

#[derive(Default)]
struct End {
    /// Documents whose numbers the next process may go on with.
    numbered: Vec<Arc<DocCell>>,
    done: Option<oneshot::Sender<()>>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        ignore_poison(self.queue.lock())
    }

    /// Waits for work, or for the end; with a rest before, for the end alone.
    fn wait(&self, rest: Option<Duration>) -> (Work, Option<End>) {
        let mut queue = self.queue();
        if let Some(rest) = rest {
            let has_no_end = |queue: &mut Queue| queue.end.is_none();
            queue = ignore_poison(self.wake.wait_timeout_while(queue, rest, has_no_end)).0;
        }
        let has_nothing = |queue: &mut Queue| queue.work.is_empty() && queue.end.is_none();
        let mut queue = ignore_poison(self.wake.wait_while(queue, has_nothing));
        let work = std::mem::take(&mut queue.work);
        queue.deleting.clone_from(&work.deleted);
        (work, queue.end.take())
    }

    /// What was taken out is written, or put back.
    fn is_done(&self) {
        self.queue().deleting.clear();
    }

    /// Comes before what has come in the meantime.
    fn put_back(&self, mut work: Work) {
        let mut queue = self.queue();
        work.changed.append(&mut queue.work.changed);
        work.deleted.append(&mut queue.work.deleted);
        queue.work = work;
    }
}

impl Work {
    fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.deleted.is_empty()
    }
}

impl Journal {
    /// Starts the thread.
    pub(super) fn start(
        store: Box<dyn Store>,
        loaded: &Loaded,
        limits: StoreLimits,
        reports: Arc<Reports>,
    ) -> io::Result<Self> {
        let (journal, writer) = Self::new(store, loaded, limits, reports);
        let thread = thread::Builder::new().name("kyneta-uds-store".to_owned());
        thread.spawn(move || writer.run())?;
        Ok(journal)
    }

    /// A journal, and what its thread runs.
    pub(super) fn new(
        store: Box<dyn Store>,
        loaded: &Loaded,
        limits: StoreLimits,
        reports: Arc<Reports>,
    ) -> (Self, Writer) {
        let shared = Arc::<Shared>::default();
        let mut ledger = Ledger::new(limits);
        for stored in loaded.values() {
            ledger.loaded(&stored.offers);
        }
        let writer = Writer::new(shared.clone(), store, ledger, reports);
        (Self { shared }, writer)
    }

    /// A document has changed that was not waiting.
    pub(super) fn changed(&self, cell: Arc<DocCell>) {
        let mut queue = self.shared.queue();
        if queue.is_over {
            drop(queue);
            return cell.storing_ends(ENDED);
        }
        queue.work.changed.push(cell);
        drop(queue);
        self.shared.wake.notify_one();
    }

    /// A document is destroyed.
    pub(super) fn deleted(&self, doc: DocId) {
        self.shared.queue().work.deleted.insert(doc);
        self.shared.wake.notify_one();
    }

    /// What is destroyed and may be in the store still.
    pub(super) fn undeleted(&self) -> Vec<DocId> {
        let queue = self.shared.queue();
        queue.deleting.union(&queue.work.deleted).cloned().collect()
    }

    /// Waits until more is stored, or could not be.
    ///
    /// Cancel safe.
    pub(super) async fn stored(&self) {
        self.shared.stored.notified().await;
    }

    /// Waits until all is written, and the numbers of these documents.
    pub(super) async fn end(&self, numbered: Vec<Arc<DocCell>>) {
        let (done, ended) = oneshot::channel();
        self.shared.queue().end = Some(End {
            numbered,
            done: Some(done),
        });
        self.shared.wake.notify_one();
        // An error means that the thread has ended.
        let _ = ended.await;
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.queue().end.get_or_insert_default();
        self.shared.wake.notify_one();
    }
}

//! The thread of a journal: takes what waits, and writes it.
//!
//! In: the queue. Out: writes, events. Touches the store.

use std::{
    collections::{BTreeSet, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use kyneta_uds_core::{Chain, DocId, panicked};
use kyneta_uds_store::{Ledger, Place, Store, StoreError, Write};

use super::{
    super::{
        cell::{DocCell, Unstored},
        event::{ExchangeEvent, Reports},
    },
    Shared, Work,
};

/// How long a store that failed rests before it is tried again.
const REST: Duration = Duration::from_secs(1);

/// Bytes of changes that are written before more documents are looked at.
const BATCH: usize = 16 << 20;

pub(in super::super) struct Writer {
    shared: Arc<Shared>,
    store: Box<dyn Store>,
    ledger: Ledger,
    reports: Arc<Reports>,
    /// What was reported as not stored.
    failing: HashSet<DocId>,
}

/// What goes into one write.
#[derive(Default)]
struct Batch {
    writes: Vec<Write>,
    deleted: BTreeSet<DocId>,
    changed: Vec<(Arc<DocCell>, Unstored)>,
    bytes: usize,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        store: Box<dyn Store>,
        ledger: Ledger,
        reports: Arc<Reports>,
    ) -> Self {
        Self {
            shared,
            store,
            ledger,
            reports,
            failing: HashSet::new(),
        }
    }

    /// Until the exchange has ended, and all is written that can be.
    pub(super) fn run(mut self) {
        let over = Over(self.shared.clone());
        let mut rest = None;
        loop {
            let (work, end) = self.shared.wait(rest);
            let is_written = self.work(work);
            self.shared.is_done();
            self.shared.stored.notify_one();
            rest = (!is_written).then_some(REST);
            let Some(end) = end else {
                continue;
            };
            self.keep_numbers(&end.numbered);
            // The next process may open it as soon as this one says that it is done.
            drop(self);
            drop(over);
            if let Some(done) = end.done {
                // Not waited for any more.
                let _ = done.send(());
            }
            return;
        }
    }

    /// Writes what waits, as the thread does it.
    #[cfg(test)]
    pub(in super::super) fn step(&mut self) {
        let work = std::mem::take(&mut self.shared.queue().work);
        self.work(work);
    }

    /// False when the store has failed; what was not written waits again.
    fn work(&mut self, work: Work) -> bool {
        let mut batch = Batch::default();
        for doc in work.deleted {
            self.ledger.remove(&doc);
            batch.writes.push(Write::Delete { doc: doc.clone() });
            batch.deleted.insert(doc);
        }
        let mut changed = work.changed.into_iter();
        loop {
            for cell in changed.by_ref() {
                self.look(cell, &mut batch);
                if batch.bytes > BATCH {
                    break;
                }
            }
            if batch.writes.is_empty() {
                return true;
            }
            if let Err(error) = self.write(&batch.writes) {
                self.failed(batch, changed.collect(), &error);
                return false;
            }
            let written = std::mem::take(&mut batch);
            for doc in &written.deleted {
                self.failing.remove(doc);
            }
            for (cell, unstored) in written.changed {
                self.failing.remove(&cell.id);
                let version = unstored.version.to_string();
                cell.set_stored(unstored);
                let doc = cell.id.clone();
                self.reports.send(ExchangeEvent::Stored { doc, version });
            }
        }
    }

    /// A panic of the store is a failure like others: what waits for it must not wait for ever.
    fn write(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        let store = &mut self.store;
        catch_unwind(AssertUnwindSafe(|| store.write(writes)))
            .unwrap_or_else(|panic| Err(StoreError::failed(panicked("it", &*panic))))
    }

    /// What is new in a document goes into the batch.
    fn look(&mut self, cell: Arc<DocCell>, batch: &mut Batch) {
        let taken = match cell.take_unstored(self.ledger.wants_all(&cell.id)) {
            Ok(None) => return,
            Ok(Some(taken)) => taken,
            Err((changes, why)) => return self.not_stored(&cell, changes, &why),
        };
        let (offer, unstored) = taken;
        match self.ledger.add(&offer) {
            Ok(place) => {
                batch.bytes = batch.bytes.saturating_add(offer.data.len());
                batch.writes.push(match place {
                    Place::Replace => Write::Replace {
                        head: cell.head(),
                        offer,
                    },
                    Place::Append => Write::Append { offer },
                });
                batch.changed.push((cell, unstored));
            }
            // It is tried again with the next change: all of it may be smaller than its changes.
            Err(full) => {
                self.ledger.outgrown(&cell.id);
                self.not_stored(&cell, unstored.changes, &full.to_string());
            }
        }
    }

    /// A batch was not written: all of it waits again, and what was not looked at.
    fn failed(&mut self, batch: Batch, unseen: Vec<Arc<DocCell>>, error: &StoreError) {
        let why = Chain(error).to_string();
        let mut work = Work {
            changed: Vec::new(),
            deleted: batch.deleted,
        };
        for doc in &work.deleted {
            self.report(doc, || {
                format!("it was destroyed, and the store still has it: {why}")
            });
        }
        for (cell, unstored) in batch.changed {
            // Nothing is known of it any more, so all of it is written next.
            self.ledger.remove(&cell.id);
            self.not_stored(&cell, unstored.changes, &why);
            if cell.wait_again() {
                work.changed.push(cell);
            }
        }
        work.changed.extend(unseen);
        self.shared.put_back(work);
    }

    fn not_stored(&mut self, cell: &DocCell, changes: u64, why: &str) {
        // Counted before it is told to those that wait.
        self.report(&cell.id, || why.to_owned());
        cell.set_not_stored(changes, why);
    }

    /// Once, until it is stored again.
    fn report(&mut self, doc: &DocId, why: impl FnOnce() -> String) {
        if self.failing.insert(doc.clone()) {
            let (doc, why) = (doc.clone(), why());
            self.reports.send(ExchangeEvent::NotStored { doc, why });
        }
    }

    /// The next process goes on with the numbers of documents of which all is stored.
    fn keep_numbers(&mut self, numbered: &[Arc<DocCell>]) {
        let heads = numbered.iter().filter_map(|cell| {
            let doc = cell.id.clone();
            Some(Write::Head {
                doc,
                head: cell.numbered_head()?,
            })
        });
        let heads: Vec<Write> = heads.collect();
        if !heads.is_empty()
            && let Err(error) = self.write(&heads)
        {
            tracing::warn!(error = %Chain(&error), "the next process takes new numbers for its documents");
        }
    }
}

/// When the thread has ended, whatever the reason, nothing waits for it.
struct Over(Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.is_over = true;
        // What was to be deleted stays, and says so.
        let left = std::mem::take(&mut queue.work.changed);
        drop(queue);
        for cell in left {
            cell.storing_ends(super::ENDED);
        }
        self.0.stored.notify_one();
    }
}

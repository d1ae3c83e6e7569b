//! What both halves of a line share: its documents, its machine, and the task that removes what is processed.
//!
//! In: messages to send, changes of the inbox. Out: edits of the outbox, deliveries. Touches the documents' locks.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use kyneta_uds_core::{PeerId, ignore_poison};
use kyneta_uds_exchange::{
    Edit, Json,
    line::{Delivery, LineMachine, LineState, LineTopic},
};
use kyneta_uds_schema::DocVersion;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::AbortHandle,
};

use super::{error::LineError, rules::LineRules};
use crate::documents::document::{Changes, Document};

/// How many messages are taken from the inbox at once.
const ROOM: usize = 64;

/// How far a line is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// Up to which number the peer has processed all.
    pub(super) processed: u64,
    pub(super) is_gone: bool,
}

pub(super) struct Shared {
    pub(super) topic: LineTopic,
    pub(super) peer: PeerId,
    pub(super) outbox: Document,
    pub(super) inbox: Document,
    working: Mutex<Working>,
    /// One permit for each message that may be sent before the peer has processed another one.
    pub(super) room: Arc<Semaphore>,
    progress: watch::Sender<Progress>,
}

/// What changes with the documents.
struct Working {
    machine: LineMachine,
    /// The edits of the outbox that say what is processed here, if it had no room for them.
    untold: Option<Vec<Edit>>,
    /// How many messages more than may wait there were when the line was opened, and are.
    excess: usize,
    /// The documents are those of another line from now on.
    is_over: bool,
}

impl Shared {
    pub(super) fn new(
        (topic, peer): (LineTopic, PeerId),
        (outbox, inbox): (Document, Document),
        machine: LineMachine,
        max_waiting: usize,
    ) -> Self {
        let room = max_waiting.saturating_sub(machine.waiting());
        let excess = machine.waiting().saturating_sub(max_waiting);
        Self {
            topic,
            peer,
            outbox,
            inbox,
            progress: watch::Sender::new(Progress {
                processed: machine.processed_there(),
                is_gone: false,
            }),
            room: Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS))),
            working: Mutex::new(Working {
                machine,
                untold: None,
                excess,
                is_over: false,
            }),
        }
    }

    fn working(&self) -> MutexGuard<'_, Working> {
        ignore_poison(self.working.lock())
    }

    /// Puts a message into the outbox, and returns its number.
    pub(super) fn send(
        &self,
        payload: Json,
        permit: OwnedSemaphorePermit,
    ) -> Result<u64, LineError> {
        let mut working = self.working();
        let machine = &mut working.machine;
        let edited = self.outbox.edit(&machine.send(payload));
        edited.map_err(|source| LineError::Document {
            line: self.outbox.id().clone(),
            source,
        })?;
        permit.forget();
        Ok(machine.sent())
    }

    /// What has come and was not delivered yet.
    pub(super) fn deliver(&self) -> Vec<Delivery> {
        let mut out = Vec::new();
        let (value, lineage) = state(&self.inbox);
        let inbox = LineState {
            value: &value,
            lineage: lineage.as_deref(),
        };
        self.working().machine.deliver(inbox, ROOM, &mut out);
        out
    }

    /// All up to this delivery is processed here.
    pub(super) fn processed(&self, delivery: &Delivery) {
        let mut working = self.working();
        if let Some(edits) = working.machine.processed(delivery) {
            working.untold = Some(edits);
            self.tell(&mut working);
        }
    }

    /// Says what is processed here, if that is not said. It needs no room: the peer removes what is processed.
    fn tell(&self, working: &mut Working) {
        if let Some(edits) = &working.untold {
            match self.outbox.edit_without_room(edits) {
                Ok(()) => working.untold = None,
                Err(error) => {
                    tracing::debug!(%error, "what was processed of a line cannot be said yet");
                }
            }
        }
    }

    /// Removes what the peer has processed.
    fn remove(&self) {
        let (value, lineage) = state(&self.inbox);
        let inbox = LineState {
            value: &value,
            lineage: lineage.as_deref(),
        };
        let (_, outbox) = state(&self.outbox);
        let mut working = self.working();
        if working.is_over {
            return;
        }
        let before = working.machine.waiting();
        if let Some(edits) = working.machine.remove(inbox, outbox.as_deref())
            && let Err(error) = self.outbox.edit_without_room(&edits)
        {
            tracing::debug!(%error, "what is processed of a line cannot be removed");
        }
        self.tell(&mut working);
        let machine = &working.machine;
        let (removed, processed) = (before - machine.waiting(), machine.processed_there());
        let of_excess = removed.min(working.excess);
        working.excess -= of_excess;
        drop(working);
        self.room.add_permits(removed - of_excess);
        self.progress
            .send_modify(|progress| progress.processed = processed);
    }

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// How many messages the peer has not processed yet.
    pub(super) fn waiting(&self) -> usize {
        self.working().machine.waiting()
    }

    /// Edits its documents no more. One that is opened next goes on with what they hold.
    fn end(&self) {
        self.working().is_over = true;
    }

    pub(super) fn gone(&self) -> LineError {
        LineError::Gone {
            line: self.outbox.id().clone(),
        }
    }
}

/// What a document holds, and the history that it belongs to.
fn state(doc: &Document) -> (Json, Option<String>) {
    let (value, version) = doc.value_and_version();
    let lineage = match version {
        DocVersion::Plain(version) if version.is_of_a_lineage() => {
            version.lineage().map(|lineage| lineage.as_str().to_owned())
        }
        _ => None,
    };
    (value, lineage)
}

/// What the user's halves hold. The line ends with the last of them; its documents stay.
pub(super) struct Ends {
    pub(super) shared: Arc<Shared>,
    rules: Arc<LineRules>,
    task: AbortHandle,
}

impl Ends {
    pub(super) fn start(shared: Shared, rules: Arc<LineRules>) -> Self {
        let shared = Arc::new(shared);
        shared.inbox.cell.set_inbox(true);
        let changes = shared.inbox.changes();
        let task = tokio::spawn(follow(shared.clone(), changes)).abort_handle();
        Self {
            shared,
            rules,
            task,
        }
    }
}

async fn follow(shared: Arc<Shared>, mut changes: Changes) {
    shared.remove();
    while changes.next().await.is_some() {
        shared.remove();
    }
    // What waits for room, or for the peer, ends.
    shared.room.close();
    shared
        .progress
        .send_modify(|progress| progress.is_gone = true);
}

impl Drop for Ends {
    fn drop(&mut self) {
        // It may be at work, on another thread.
        self.task.abort();
        self.shared.end();
        let Shared { outbox, inbox, .. } = &*self.shared;
        // Before another line may be opened over it.
        inbox.cell.set_inbox(false);
        self.rules.remove(outbox.id(), inbox.id());
    }
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("topic", &self.shared.topic.as_str())
            .field("peer", &self.shared.peer)
            .finish_non_exhaustive()
    }
}

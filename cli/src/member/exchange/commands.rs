//! Does what the lines of stdin say.
//!
//! In: commands. Out: edits, and event lines. Touches documents.
//!
//! With a store, what a document holds after an edit is reported when it is stored. So that a store that takes
//! milliseconds does not hold up a script, the lines that are there already are executed before that is waited for.

use std::{collections::HashSet, time::Duration};

use kyneta_uds::{
    DocId, Role,
    documents::{Document, Exchange, NotStored},
};
use tokio::time::timeout;

use super::{
    super::{event_line::EventLine, recipients::Handle, reporter::Reporter},
    edit::edit,
    input::{Action, Command},
    report::{self, Snapshot},
};
use crate::{
    failure::{Chain, Failure},
    stdin::InputLine,
};

/// How long the first edit of a document waits for what the others have: an edit made before it would begin another
/// history of a serialized document.
const SYNC_TIMEOUT: Duration = Duration::from_millis(500);

/// How many lines are executed before those that wait for the store are reported.
const LINES: usize = 256;

pub(super) struct Commands<'a> {
    exchange: &'a Exchange,
    handle: &'a Handle,
    reporter: &'a Reporter,
    has_store: bool,
    /// Documents that have waited for the others.
    synced: HashSet<DocId>,
    /// What is reported when it is stored.
    unstored: Vec<(Document, Snapshot)>,
}

impl<'a> Commands<'a> {
    pub(super) fn new(
        exchange: &'a Exchange,
        handle: &'a Handle,
        reporter: &'a Reporter,
        has_store: bool,
    ) -> Self {
        Self {
            exchange,
            handle,
            reporter,
            has_store,
            synced: HashSet::new(),
            unstored: Vec::new(),
        }
    }

    /// Does what a line says, and those that `next` gives; true for the end.
    pub(super) async fn execute(
        &mut self,
        line: InputLine<Command>,
        mut next: impl FnMut() -> Option<InputLine<Command>>,
    ) -> Result<bool, Failure> {
        let mut line = Some(line);
        let mut ends = false;
        while let Some(now) = line.take() {
            ends = self.line(now).await?;
            if !ends && self.unstored.len() < LINES {
                line = next();
            }
        }
        self.settle().await?;
        Ok(ends)
    }

    async fn line(&mut self, line: InputLine<Command>) -> Result<bool, Failure> {
        let (id, action) = match line {
            Ok(Command::Quit) => return Ok(true),
            Ok(Command::Doc(id, action)) => (id, action),
            Err(what) => return self.error("bad-input", what).await.map(|()| false),
        };
        let Some(doc) = self.exchange.get(&id) else {
            let what = format!("there is no document {id}");
            return self.error("no-document", what).await.map(|()| false);
        };
        if self.synced.insert(id) && !is_alone(self.handle) {
            // A peer may never answer.
            let _ = timeout(SYNC_TIMEOUT, doc.synced()).await;
        }
        self.act(doc, action).await.map(|()| false)
    }

    async fn act(&mut self, doc: Document, action: Action) -> Result<(), Failure> {
        if action == Action::Destroy {
            self.settle().await?;
            doc.destroy();
            return Ok(());
        }
        if let Some(edit) = edit(doc.schema(), action)
            && let Err(error) = doc.edit(&[edit])
        {
            let what = format!("{}: {}", doc.id(), Chain(&error));
            return self.error("not-edited", what).await;
        }
        let snapshot = Snapshot::of(&doc);
        if self.has_store {
            self.unstored.push((doc, snapshot));
            return Ok(());
        }
        report::document(&doc, &snapshot, self.reporter).await
    }

    /// Reports what waits for the store.
    async fn settle(&mut self) -> Result<(), Failure> {
        for (doc, snapshot) in std::mem::take(&mut self.unstored) {
            if let Err(error @ NotStored::Failed { .. }) = doc.stored().await {
                let line = EventLine::error("not-stored", error.to_string());
                self.reporter.report(&line).await?;
            }
            report::document(&doc, &snapshot, self.reporter).await?;
        }
        Ok(())
    }

    async fn error(&mut self, code: &'static str, what: String) -> Result<(), Failure> {
        self.settle().await?;
        self.reporter.report(&EventLine::error(code, what)).await
    }
}

/// It listens, and there is no other process.
fn is_alone(handle: &Handle) -> bool {
    match handle {
        Handle::Server(server) => server.connection_count() == 0,
        Handle::Client(_) => false,
        Handle::Peer(peer) => peer.role() == Role::Listener && peer.connection_count() == 0,
    }
}

//! Reports documents and what the exchange says, beside the events of the role.
//!
//! In: documents, events. Out: event lines. Touches nothing else.

use std::sync::Arc;

use futures_util::FutureExt as _;
use kyneta_uds::{
    DocEntry,
    documents::{Diagnostic, Document, Exchange, ExchangeEvent, ExchangeEvents, Json, Mismatch},
};

use super::super::{event_line::EventLine, reporter::Reporter};
use crate::{failure::Failure, json::Value};

/// What a document holds at one moment.
pub(super) struct Snapshot {
    value: Json,
    version: String,
}

impl Snapshot {
    pub(super) fn of(doc: &Document) -> Self {
        Self {
            value: doc.value(),
            version: doc.version().to_string(),
        }
    }
}

/// A document as it was.
pub(super) async fn document(
    doc: &Document,
    snapshot: &Snapshot,
    reporter: &Reporter,
) -> Result<(), Failure> {
    let line = EventLine::Doc {
        doc: doc.id().as_str(),
        value: Value(&snapshot.value),
        version: snapshot.version.clone(),
    };
    reporter.report(&line).await
}

/// How many events are reported before the store is waited for again.
const TOGETHER: usize = 256;

/// Reports what happens until the exchange ends, or stdout is broken.
///
/// With a store, what a document holds is reported when it is stored.
pub(super) async fn events(
    exchange: Exchange,
    mut events: ExchangeEvents,
    reporter: Arc<Reporter>,
    has_store: bool,
) {
    while let Some(first) = events.recv().await {
        let mut batch = vec![look(&exchange, first)];
        while batch.len() < TOGETHER
            && let Some(Some(event)) = events.recv().now_or_never()
        {
            batch.push(look(&exchange, event));
        }
        for (event, changed) in batch {
            let reported = match changed {
                Some((doc, snapshot)) => {
                    if has_store {
                        // What is not stored is an event of its own.
                        let _ = doc.stored().await;
                    }
                    document(&doc, &snapshot, &reporter).await
                }
                None => report(&event, &reporter).await,
            };
            if reported.is_err() {
                return;
            }
        }
    }
}

/// An event, and what it is about as it is now.
fn look(
    exchange: &Exchange,
    event: ExchangeEvent,
) -> (ExchangeEvent, Option<(Document, Snapshot)>) {
    let doc = match &event {
        ExchangeEvent::Changed { doc, .. } => exchange.get(doc),
        _ => None,
    };
    let changed = doc.map(|doc| {
        let snapshot = Snapshot::of(&doc);
        (doc, snapshot)
    });
    (event, changed)
}

async fn report(event: &ExchangeEvent, reporter: &Reporter) -> Result<(), Failure> {
    match event {
        ExchangeEvent::Synced { doc, peer } => {
            let (doc, peer) = (doc.as_str(), peer.as_str());
            reporter.report(&EventLine::Synced { doc, peer }).await
        }
        ExchangeEvent::Diagnostic(diagnostic) => self::diagnostic(diagnostic, reporter).await,
        ExchangeEvent::ChangesRefused { doc, peer, .. } => {
            let line = EventLine::Diagnostic {
                code: "changes-refused",
                doc: Some(doc.as_str()),
                peer: Some(peer.as_str()),
            };
            reporter.report(&line).await
        }
        ExchangeEvent::TooSlow { peer, bytes, limit } => {
            let what = format!("{bytes} bytes wait for it, and {limit} may: it is met anew");
            let line = EventLine::error_of(peer.as_str(), "too-slow", what);
            reporter.report(&line).await
        }
        ExchangeEvent::Stored { doc, version } => {
            let (doc, version) = (doc.as_str(), version.as_str());
            reporter.report(&EventLine::Stored { doc, version }).await
        }
        ExchangeEvent::NotStored { doc, why } => {
            let what = format!("{doc} is not stored: {why}");
            reporter.report(&EventLine::error("not-stored", what)).await
        }
        ExchangeEvent::Unreadable { doc, why } => {
            let what = match doc {
                Some(doc) => format!("what is stored of {doc} cannot be read: {why}"),
                None => why.clone(),
            };
            reporter.report(&EventLine::error("unreadable", what)).await
        }
        ExchangeEvent::MissedEvents(count) => {
            let what = format!("{count} events were not reported: stdout was too slow");
            reporter
                .report(&EventLine::error("missed-events", what))
                .await
        }
        // The role's events tell of peers.
        _ => Ok(()),
    }
}

async fn diagnostic(diagnostic: &Diagnostic, reporter: &Reporter) -> Result<(), Failure> {
    tracing::info!(%diagnostic, "about documents");
    let code = diagnostic.code();
    if let Diagnostic::Mismatch {
        what,
        peer,
        local,
        remote,
        texts,
    } = diagnostic
    {
        let line = EventLine::Disagreement {
            code,
            doc: local.doc.as_str(),
            peer: peer.as_str(),
            local: side(*what, local),
            remote: side(*what, remote),
            local_schema: texts.local.as_deref(),
            remote_schema: texts.remote.as_deref(),
        };
        return reporter.report(&line).await;
    }
    let (doc, peer) = (diagnostic.doc(), diagnostic.peer());
    let line = EventLine::Diagnostic {
        code,
        doc: doc.map(|doc| doc.as_str()),
        peer: peer.map(|peer| peer.as_str()),
    };
    reporter.report(&line).await
}

/// What one side says of that on which they do not agree.
fn side(what: Mismatch, entry: &DocEntry) -> String {
    match what {
        Mismatch::ReplicaType => format!("{} {}", entry.replica.name, entry.replica.major),
        Mismatch::SyncMode => format!("{:?}", entry.mode).to_lowercase(),
        _ => entry.schema.to_string(),
    }
}

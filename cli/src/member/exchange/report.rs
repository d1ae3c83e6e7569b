//! Reports documents and what the exchange says, beside the events of the role.
//!
//! In: documents, events. Out: event lines. Touches nothing else.

use std::sync::Arc;

use kyneta_uds::{
    DocEntry,
    documents::{Diagnostic, Document, Exchange, ExchangeEvent, ExchangeEvents, Mismatch},
};

use super::super::{event_line::EventLine, reporter::Reporter};
use crate::{failure::Failure, json::Value};

/// A document as it is now.
pub(super) async fn document(doc: &Document, reporter: &Reporter) -> Result<(), Failure> {
    let (version, value) = (doc.version().to_string(), doc.value());
    let line = EventLine::Doc {
        doc: doc.id().as_str(),
        value: Value(&value),
        version,
    };
    reporter.report(&line).await
}

/// Reports what happens until the exchange ends, or stdout is broken.
pub(super) async fn events(
    exchange: Exchange,
    mut events: ExchangeEvents,
    reporter: Arc<Reporter>,
) {
    while let Some(event) = events.recv().await {
        if report(&exchange, &event, &reporter).await.is_err() {
            return;
        }
    }
}

async fn report(
    exchange: &Exchange,
    event: &ExchangeEvent,
    reporter: &Reporter,
) -> Result<(), Failure> {
    match event {
        ExchangeEvent::Synced { doc, peer } => {
            let (doc, peer) = (doc.as_str(), peer.as_str());
            reporter.report(&EventLine::Synced { doc, peer }).await
        }
        ExchangeEvent::Changed { doc, .. } => match exchange.get(doc) {
            Some(doc) => document(&doc, reporter).await,
            None => Ok(()),
        },
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
        ExchangeEvent::Missed(count) => {
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
    } = diagnostic
    {
        let line = EventLine::Disagreement {
            code,
            doc: local.doc.as_str(),
            peer: peer.as_str(),
            local: side(*what, local),
            remote: side(*what, remote),
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

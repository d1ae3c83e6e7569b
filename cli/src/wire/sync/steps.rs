//! The steps of a walk: JSON to the inputs of a program.
//!
//! In: JSON of a step. Out: an input of the program, or the field that is not as it must be. Pure.

use kyneta_uds::{DocEntry, DocId, Identity, PeerId, PeerType, SyncMode, WireVersion};
use kyneta_uds_sync::{DocEvent, Held, program::Input};

use super::effects::{EVENTS, MODES};
use crate::json::{Fields, Json, JsonError, bounded, list, message, replica, text};

type Result<T> = std::result::Result<T, JsonError>;

pub(super) fn wire(json: &Json<'_>) -> Result<WireVersion> {
    match json {
        Json::Number(2.0) => Ok(WireVersion::V2),
        Json::Number(3.0) => Ok(WireVersion::V3),
        _ => Err(JsonError::new("expected the wire version 2 or 3")),
    }
}

pub(super) fn input(step: &Json<'_>) -> Result<Input> {
    let mut fields = Fields::of(step)?;
    // Those of a vector are not looked at.
    fields.optional("effects", |_| Ok(()))?;
    let kind = fields.required("in", text)?;
    let event = fields.optional("event", event)?;
    let input = match kind {
        "peer-available" => {
            let peer = fields.required("peer", bounded)?;
            Input::PeerAvailable(Identity::new(peer, PeerType::User))
        }
        "peer-unavailable" => Input::PeerUnavailable(fields.required("peer", bounded)?),
        "peer-departed" => Input::PeerDeparted(fields.required("peer", bounded)?),
        "received" => Input::Received {
            from: fields.required("from", bounded)?,
            msg: fields.required("msg", message)?,
        },
        "doc-ensure" => Input::Ensure {
            entry: entry(&mut fields)?,
            held: fields.required("mode", held)?,
            version: fields.required("version", bounded)?,
            event,
        },
        "doc-defer" => Input::Defer {
            entry: entry(&mut fields)?,
            event,
        },
        "local-change" => Input::LocalChange {
            doc: fields.required("doc", bounded)?,
            version: fields.required("version", bounded)?,
        },
        "doc-imported" => Input::Imported {
            doc: fields.required("doc", bounded)?,
            from: fields.required("from", bounded)?,
            version: fields.required("version", bounded)?,
        },
        "peer-synced" => Input::NothingNew {
            doc: fields.required("doc", bounded)?,
            from: fields.required("peer", bounded)?,
            version: fields.required("version", bounded)?,
        },
        "doc-dismiss" => Input::Dismiss {
            doc: fields.required("doc", bounded)?,
            event,
        },
        "doc-delete" => Input::Delete {
            doc: fields.required("doc", bounded)?,
            event,
        },
        "declare-vacant" => Input::DeclareVacant {
            doc: fields.required::<DocId>("doc", bounded)?,
            to: fields.required::<PeerId>("to", bounded)?,
        },
        "all-removed" => Input::AllRemoved(fields.required("docs", |docs| list(docs, bounded))?),
        "quiet" => Input::Quiet,
        other => {
            let why = format!(
                "{other:?} is none of peer-available, peer-unavailable, peer-departed, received, doc-ensure, \
                 doc-defer, local-change, doc-imported, peer-synced, doc-dismiss, doc-delete, declare-vacant, \
                 all-removed, quiet"
            );
            return Err(JsonError::new(why).under("in"));
        }
    };
    fields.finish()?;
    Ok(input)
}

fn entry(fields: &mut Fields<'_, '_>) -> Result<DocEntry> {
    Ok(DocEntry {
        doc: fields.required("doc", bounded)?,
        replica: fields.required("replicaType", replica)?,
        mode: fields.required("syncMode", mode)?,
        schema: fields.required("schemaHash", bounded)?,
        supported: fields.optional("supportedHashes", |hashes| list(hashes, bounded))?,
    })
}

fn mode(json: &Json<'_>) -> Result<SyncMode> {
    let known = |json: &Json<'_>| match json {
        Json::Number(number) => {
            let is_it = |(_, known): &&(SyncMode, u8)| f64::from(*known) == *number;
            MODES.iter().find(is_it).map(|(mode, _)| *mode)
        }
        _ => None,
    };
    known(json).ok_or_else(|| {
        JsonError::new("expected 0 (collaborative), 1 (authoritative) or 2 (ephemeral)")
    })
}

fn held(json: &Json<'_>) -> Result<Held> {
    match text(json)? {
        "interpret" => Ok(Held::Interpreted),
        "replicate" => Ok(Held::Replicated),
        other => Err(JsonError::new(format!(
            "{other:?} is none of interpret, replicate"
        ))),
    }
}

fn event(json: &Json<'_>) -> Result<DocEvent> {
    let name = text(json)?;
    let event = EVENTS.iter().find(|(_, known)| *known == name);
    event.map(|(event, _)| *event).ok_or_else(|| {
        let known: Vec<_> = EVENTS.iter().map(|(_, known)| *known).collect();
        JsonError::new(format!("{name:?} is none of {}", known.join(", ")))
    })
}

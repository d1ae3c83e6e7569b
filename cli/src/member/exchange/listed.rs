//! The list of documents at a path: what they are, and which members hold them.
//!
//! In: the path, or what members have presented. Out: lines. May touch: one connection, which joins nothing.

use std::collections::BTreeMap;

use kyneta_uds::{
    DocEntry, SocketPath,
    bus::{LookError, holdings},
    documents::Substrate,
};

use crate::style::Escaped;

/// Id, kind and hash of a document, and the ids of its holders. One id has several lines where members hold different
/// documents of it.
type Listed = BTreeMap<[String; 3], Vec<String>>;

/// The lines, as the listener tells them; `None` when it tells nothing: it is of another implementation, or passes no
/// documents on.
///
/// # Errors
/// The path cannot be asked.
pub(super) async fn told(path: &SocketPath) -> Result<Option<Vec<String>>, LookError> {
    let held = match holdings(path.clone()).await {
        Ok(held) if held.is_empty() => return Ok(None),
        Err(LookError::NotTold { .. }) => return Ok(None),
        found => found?,
    };
    let mut listed = Listed::new();
    for of in &held {
        for entry in &of.entries {
            let holders = listed.entry(cells(entry)).or_default();
            holders.push(Escaped(of.holder.as_str()).to_string());
        }
    }
    Ok(Some(lines(listed)))
}

/// The lines of documents of which the holders are not known.
pub(super) fn presented<'a>(entries: impl Iterator<Item = &'a DocEntry>) -> Vec<String> {
    let unknown = || vec!["-".to_owned()];
    lines(entries.map(|entry| (cells(entry), unknown())).collect())
}

fn cells(entry: &DocEntry) -> [String; 3] {
    let kind = substrate(entry).map_or(entry.replica.name.as_str(), |known| known.name());
    [entry.doc.as_str(), kind, entry.schema.as_str()].map(|text| Escaped(text).to_string())
}

fn lines(listed: Listed) -> Vec<String> {
    let line = |([doc, kind, hash], holders): ([String; 3], Vec<String>)| {
        format!("{doc}\t{kind}\t{hash}\t{}", holders.join(","))
    };
    listed.into_iter().map(line).collect()
}

/// The kind of a presented document, if it is a known one.
pub(super) fn substrate(entry: &DocEntry) -> Option<Substrate> {
    Substrate::ALL.into_iter().find(|substrate| {
        substrate.mode() == entry.mode
            && substrate
                .replica_type()
                .is_ok_and(|known| known.name == entry.replica.name)
    })
}

//! All documents, by their ids.
//!
//! In: ids. Out: documents. Touches nothing.

use std::collections::HashMap;

use kyneta_uds_core::DocId;

use super::document::Document;

/// Documents by their ids. Messages about one document come in runs, and their ids share an allocation: the one that was
/// looked up last is found without a hash.
#[derive(Debug, Default)]
pub(super) struct Documents {
    places: HashMap<DocId, usize>,
    /// Places that are free are in `free`.
    documents: Vec<Option<Document>>,
    free: Vec<usize>,
    /// The last one looked up, and its place.
    last: Option<(DocId, usize)>,
}

impl Documents {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// In no order.
    pub(super) fn values(&self) -> impl Iterator<Item = &Document> {
        self.documents.iter().flatten()
    }

    pub(super) fn get(&self, id: &DocId) -> Option<&Document> {
        self.documents.get(*self.places.get(id)?)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: &DocId) -> Option<&mut Document> {
        let place = match &self.last {
            Some((last, place)) if last.same(id) => *place,
            _ => self.look_up(id)?,
        };
        self.documents.get_mut(place)?.as_mut()
    }

    fn look_up(&mut self, id: &DocId) -> Option<usize> {
        let place = *self.places.get(id)?;
        self.last = Some((id.clone(), place));
        Some(place)
    }

    /// The document that was there under its id goes.
    pub(super) fn insert(&mut self, doc: Document) -> Option<Document> {
        let before = self.remove(&doc.id);
        let id = doc.id.clone();
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.documents.push(None);
                self.documents.len() - 1
            }
        };
        if let Some(free) = self.documents.get_mut(place) {
            *free = Some(doc);
        }
        self.places.insert(id, place);
        before
    }

    pub(super) fn remove(&mut self, id: &DocId) -> Option<Document> {
        let place = self.places.remove(id)?;
        self.last = None;
        self.free.push(place);
        self.documents.get_mut(place)?.take()
    }
}

//! A document as JSON, by its schema. What is missing reads as the zero of its kind.
//!
//! In: a place of a document. Out: its value. Touches nothing.

use kyneta_uds_exchange::{
    Json, Object,
    values::{self, zero},
};
use kyneta_uds_schema::{Kind, Schema};
use loro::{
    LoroCounter, LoroList, LoroMap, LoroMovableList, LoroText, LoroTree, TextDelta, TreeParentId,
};

use crate::{
    convert::to_json,
    place::{At, Layout, Place},
};

impl<'d> Layout<'d> {
    /// The value at a place; `None` where that is undefined.
    pub(crate) fn read(&self, place: &Place<'d>) -> Option<Json> {
        let schema = place.schema;
        if place.is_plain() {
            return match place.plain() {
                Some(value) => Some(to_json(&value)),
                None => zero(schema),
            };
        }
        let read = match schema.kind() {
            Kind::Struct(_) => self.object(place),
            Kind::Record(item) => self.found(place).map(|map: LoroMap| {
                let mut keys: Vec<_> = map.keys().map(|key| key.to_string()).collect();
                keys.sort_unstable();
                keys.retain(|key| key != "__proto__");
                let entry = |key: String| {
                    let place = Place::inside(item, At::Key(map.clone(), key.clone()));
                    Some((key, self.read(&place)?))
                };
                Json::Object(keys.into_iter().filter_map(entry).collect())
            }),
            Kind::List(item) => self.found(place).map(|list: LoroList| {
                let at = |index| Place::inside(item, At::Item(list.clone(), index));
                self.items(list.len(), at)
            }),
            Kind::Movable(item) => self.found(place).map(|list: LoroMovableList| {
                let at = |index| Place::inside(item, At::Slot(list.clone(), index));
                self.items(list.len(), at)
            }),
            Kind::Text => self
                .found(place)
                .map(|text: LoroText| Json::String(text.to_string())),
            Kind::RichText(_) => self.found(place).map(|text: LoroText| spans(&text)),
            Kind::Counter => self
                .found(place)
                .map(|counter: LoroCounter| Json::Number(counter.get())),
            Kind::Set(_) => self.found(place).map(|map: LoroMap| {
                Json::Array(
                    map.values()
                        .map(|value| to_json(&value.get_deep_value()))
                        .collect(),
                )
            }),
            Kind::Tree(item) => self
                .found(place)
                .map(|tree: LoroTree| self.tree(&tree, item)),
            _ => None,
        };
        // A plain value where a container belongs is shown as it is.
        read.or_else(|| place.plain().map(|value| to_json(&value)))
            .or_else(|| zero(schema))
    }

    fn found<C: crate::container::Holder>(&self, place: &Place<'d>) -> Option<C> {
        self.container(place, false).ok().flatten()
    }

    fn object(&self, place: &Place<'d>) -> Option<Json> {
        let Kind::Struct(structure) = place.schema.kind() else {
            return None;
        };
        let is_there = matches!(place.at, At::Root | At::Named(_) | At::Nowhere)
            || self.found::<LoroMap>(place).is_some();
        // A missing struct in an item still has its fields; a plain value there is shown as it is.
        if !is_there && place.value().is_some() {
            return None;
        }
        let field = |(name, schema): (&str, &'d Schema)| {
            let field = self.field(place, name, schema, false).ok()?;
            Some((name.to_owned(), self.read(&field)?))
        };
        Some(Json::Object(structure.fields().filter_map(field).collect()))
    }

    fn items(&self, len: usize, at: impl Fn(usize) -> Place<'d>) -> Json {
        let read = |index| self.read(&at(index)).unwrap_or(Json::Null);
        Json::Array((0..len).map(read).collect())
    }

    /// The nodes in order, each with its parent, its place among its siblings and its value.
    fn tree(&self, tree: &LoroTree, item: &'d Schema) -> Json {
        let mut nodes = Vec::new();
        let mut left: Vec<_> = vec![(TreeParentId::Root, Json::Null)];
        while let Some((parent, name)) = left.pop() {
            let children = tree.children(parent).unwrap_or_default();
            let from = left.len();
            for (index, child) in children.into_iter().enumerate() {
                let id = Json::from(child.to_string());
                let data = tree
                    .get_meta(child)
                    .ok()
                    .and_then(|map| self.meta(map, item));
                let node = [
                    ("id".to_owned(), id.clone()),
                    ("parent".to_owned(), name.clone()),
                    ("index".to_owned(), Json::Number(index as f64)),
                    ("data".to_owned(), data.unwrap_or(Json::Null)),
                ];
                nodes.push(Json::Object(Object::from_iter(node)));
                left.push((TreeParentId::Node(child), id));
            }
            if let Some(children) = left.get_mut(from..) {
                children.reverse();
            }
        }
        Json::Array(nodes)
    }

    /// The value of a node, whose fields stand in its map by their names.
    fn meta(&self, map: LoroMap, item: &'d Schema) -> Option<Json> {
        let Kind::Struct(structure) = item.kind() else {
            return Some(to_json(&map.get_deep_value()));
        };
        let field = |(name, schema): (&str, &'d Schema)| {
            let place = Place::inside(schema, At::Key(map.clone(), name.to_owned()));
            Some((name.to_owned(), self.read(&place)?))
        };
        Some(Json::Object(structure.fields().filter_map(field).collect()))
    }
}

/// Rich text as spans of text with the same marks.
fn spans(text: &LoroText) -> Json {
    let span = |delta| {
        let TextDelta::Insert { insert, attributes } = delta else {
            return None;
        };
        let marks = attributes.into_iter().flatten();
        let marks = marks.map(|(name, value)| (name.to_string(), to_json(&value)));
        Some(values::span(&insert, marks))
    };
    Json::Array(text.to_delta().into_iter().filter_map(span).collect())
}

//! Where the value of a schema lies in a document.
//!
//! Fields of the root are root containers, named by their identities; what is a plain value stands in the root map
//! `_props`. A struct that is reached through structs alone is a map with identities as keys; below a list or a
//! record, names are plain.
//!
//! In: a document, its schema, names on the way. Out: places. May touch: that document, where a container is made.

use kyneta_uds_schema::{Identities, Kind, Schema};
use loro::{
    ContainerTrait, LoroDoc, LoroList, LoroMap, LoroMovableList, LoroResult, LoroValue,
    ValueOrContainer,
    event::{Diff, DiffBatch, MapDelta},
};

use crate::container::Holder;

/// The root map that holds what is a plain value.
const PROPS: &str = "_props";

/// A document with what its schema says of its layout.
#[derive(Clone, Copy)]
pub(crate) struct Layout<'d> {
    pub(crate) doc: &'d LoroDoc,
    pub(crate) schema: &'d Schema,
    pub(crate) identities: &'d Identities,
}

/// A value's place, and what it is.
#[derive(Clone)]
pub(crate) struct Place<'d> {
    pub(crate) schema: &'d Schema,
    pub(crate) at: At,
    /// The dotted path of the struct, while only structs were passed.
    path: Option<String>,
}

#[derive(Clone)]
pub(crate) enum At {
    /// The root, whose fields are containers of their own.
    Root,
    /// A root container of this name.
    Named(String),
    /// An entry of a map.
    Key(LoroMap, String),
    /// An item of a list.
    Item(LoroList, usize),
    /// An item of a list whose items can be moved.
    Slot(LoroMovableList, usize),
    /// In a container that is not there.
    Nowhere,
}

/// Whether a value of this schema is plain: written as a whole.
pub(crate) fn is_plain(schema: &Schema) -> bool {
    let kind = schema.kind();
    schema.is_json()
        || matches!(
            kind,
            Kind::Scalar(..) | Kind::Union(_) | Kind::Tagged { .. } | Kind::Decay { .. }
        )
}

impl<'d> Layout<'d> {
    pub(crate) const fn root(&self) -> Place<'d> {
        Place {
            schema: self.schema,
            at: At::Root,
            path: Some(String::new()),
        }
    }

    /// The field of a struct. `create` makes the struct's map, which the reference forgets below the root.
    pub(crate) fn field(
        &self,
        of: &Place<'d>,
        name: &str,
        schema: &'d Schema,
        create: bool,
    ) -> LoroResult<Place<'d>> {
        let path = of.path.as_ref().map(|path| match path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        });
        let identity = path.as_deref().and_then(|path| self.identities.get(path));
        let key = identity.unwrap_or(name).to_owned();
        let at = match &of.at {
            At::Root if is_plain(schema) => match LoroMap::root(self.doc, PROPS) {
                Some(map) => At::Key(map, key),
                None => At::Nowhere,
            },
            At::Root => At::Named(key),
            _ => match self.container::<LoroMap>(of, create)? {
                Some(map) => At::Key(map, key),
                None => At::Nowhere,
            },
        };
        Ok(Place { schema, at, path })
    }

    /// The container at a place; a new one with `create`, in the place of what is no such container.
    pub(crate) fn container<C: Holder>(
        &self,
        place: &Place<'_>,
        create: bool,
    ) -> LoroResult<Option<C>> {
        if let At::Named(name) = &place.at {
            return Ok(C::root(self.doc, name));
        }
        if let Some(ValueOrContainer::Container(found)) = place.value()
            && let Some(container) = C::try_from_container(found)
        {
            return Ok(Some(container));
        }
        if !create {
            return Ok(None);
        }
        let made = match &place.at {
            At::Key(map, key) => map.insert_container(key, C::fresh())?,
            At::Item(list, index) => {
                list.delete(*index, 1)?;
                list.insert_container(*index, C::fresh())?
            }
            At::Slot(list, index) => list.set_container(*index, C::fresh())?,
            At::Root | At::Named(_) | At::Nowhere => return Ok(None),
        };
        Ok(Some(made))
    }
}

impl<'d> Place<'d> {
    /// An item or an entry, of this schema: names below it are plain.
    pub(crate) const fn inside(schema: &'d Schema, at: At) -> Self {
        let path = None;
        Self { schema, at, path }
    }

    /// Whether what is there is written as a whole. A document itself never is.
    pub(crate) fn is_plain(&self) -> bool {
        is_plain(self.schema) && !matches!(self.at, At::Root)
    }

    /// What is there.
    pub(crate) fn value(&self) -> Option<ValueOrContainer> {
        match &self.at {
            At::Key(map, key) => map.get(key),
            At::Item(list, index) => list.get(*index),
            At::Slot(list, index) => list.get(*index),
            At::Root | At::Named(_) | At::Nowhere => None,
        }
    }

    /// The plain value there.
    pub(crate) fn plain(&self) -> Option<LoroValue> {
        match self.value()? {
            ValueOrContainer::Value(value) => Some(value),
            ValueOrContainer::Container(_) => None,
        }
    }

    /// Writes a plain value there.
    pub(crate) fn set(&self, value: LoroValue) -> LoroResult<()> {
        match &self.at {
            At::Key(map, key) => write_entry(map, key, value),
            At::Item(list, index) => {
                list.delete(*index, 1)?;
                list.insert(*index, value)
            }
            At::Slot(list, index) => list.set(*index, value),
            At::Root | At::Named(_) | At::Nowhere => Ok(()),
        }
    }
}

/// Writes an entry of a map, also where it holds the value already: the library would leave that out, and an older
/// write of another peer, which comes later, would win.
pub(crate) fn write_entry(map: &LoroMap, key: &str, value: LoroValue) -> LoroResult<()> {
    let is_same = matches!(map.get(key), Some(ValueOrContainer::Value(held)) if held == value);
    let (true, Some(doc)) = (is_same, map.doc()) else {
        return map.insert(key, value);
    };
    let entry = (key.to_owned().into(), Some(ValueOrContainer::Value(value)));
    let mut batch = DiffBatch::default();
    let updated = [entry].into_iter().collect();
    // A new batch has no other change of the map.
    drop(batch.push(map.id(), Diff::Map(MapDelta { updated })));
    doc.apply_diff(batch)
}

//! Where the value of a schema lies in a document.
//!
//! Everything lies in the root map `root`. A struct that is reached through structs alone is a map with identities as
//! keys; below a list or a record, names are plain.
//!
//! In: a document, its schema, names on the way. Out: places. May touch: that document, where a container is made.

use kyneta_uds_schema::{Identities, Kind, Schema};
use yrs::{
    Any, Array as _, ArrayPrelim, ArrayRef, Map as _, MapPrelim, MapRef, Out, ReadTxn, TextPrelim,
    TextRef, TransactionMut,
};

/// The name of the root map.
pub(crate) const ROOT: &str = "root";

/// What a schema says of a document's layout.
#[derive(Clone, Copy)]
pub(crate) struct Layout<'d> {
    pub(crate) schema: &'d Schema,
    pub(crate) identities: &'d Identities,
    pub(crate) root: &'d MapRef,
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
    /// The root map.
    Root,
    /// An entry of a map.
    Key(MapRef, String),
    /// An item of a list.
    Item(ArrayRef, u32),
    /// In a container that is not there.
    Nowhere,
}

impl<'d> Layout<'d> {
    pub(crate) const fn root(&self) -> Place<'d> {
        Place {
            schema: self.schema,
            at: At::Root,
            path: Some(String::new()),
        }
    }

    /// The field of a struct whose map this is.
    pub(crate) fn field(
        &self,
        of: &Place<'d>,
        map: Option<MapRef>,
        name: &str,
        schema: &'d Schema,
    ) -> Place<'d> {
        let path = of.path.as_ref().map(|path| match path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        });
        let identity = path.as_deref().and_then(|path| self.identities.get(path));
        let key = identity.unwrap_or(name).to_owned();
        let at = map.map_or(At::Nowhere, |map| At::Key(map, key));
        Place { schema, at, path }
    }

    pub(crate) fn map<T: ReadTxn>(&self, place: &Place<'d>, txn: &T) -> Option<MapRef> {
        match (&place.at, place.out(txn)) {
            (At::Root, _) => Some(self.root.clone()),
            (_, Some(Out::YMap(map))) => Some(map),
            _ => None,
        }
    }

    /// Also where it is missing: other schemas may have created other containers.
    pub(crate) fn make_map(
        &self,
        place: &Place<'d>,
        txn: &mut TransactionMut<'_>,
    ) -> Option<MapRef> {
        match (self.map(place, txn), &place.at) {
            (Some(map), _) => Some(map),
            (None, At::Key(map, key)) => Some(map.insert(txn, key.as_str(), MapPrelim::default())),
            _ => None,
        }
    }

    pub(crate) fn make_array(
        &self,
        place: &Place<'d>,
        txn: &mut TransactionMut<'_>,
    ) -> Option<ArrayRef> {
        match (place.array(txn), &place.at) {
            (Some(array), _) => Some(array),
            (None, At::Key(map, key)) => {
                Some(map.insert(txn, key.as_str(), ArrayPrelim::default()))
            }
            _ => None,
        }
    }

    pub(crate) fn make_text(
        &self,
        place: &Place<'d>,
        txn: &mut TransactionMut<'_>,
    ) -> Option<TextRef> {
        match (place.text(txn), &place.at) {
            (Some(text), _) => Some(text),
            (None, At::Key(map, key)) => Some(map.insert(txn, key.as_str(), TextPrelim::new(""))),
            _ => None,
        }
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
    pub(crate) fn out<T: ReadTxn>(&self, txn: &T) -> Option<Out> {
        match &self.at {
            At::Key(map, key) => map.get(txn, key),
            At::Item(array, index) => array.get(txn, *index),
            At::Root | At::Nowhere => None,
        }
    }

    /// The plain value there.
    pub(crate) fn any<T: ReadTxn>(&self, txn: &T) -> Option<Any> {
        match self.out(txn)? {
            Out::Any(Any::Undefined) => None,
            Out::Any(any) => Some(any),
            _ => None,
        }
    }

    pub(crate) fn array<T: ReadTxn>(&self, txn: &T) -> Option<ArrayRef> {
        match self.out(txn)? {
            Out::YArray(array) => Some(array),
            _ => None,
        }
    }

    pub(crate) fn text<T: ReadTxn>(&self, txn: &T) -> Option<TextRef> {
        match self.out(txn)? {
            Out::YText(text) => Some(text),
            _ => None,
        }
    }

    /// Writes a plain value there.
    pub(crate) fn set(&self, txn: &mut TransactionMut<'_>, value: Any) {
        match &self.at {
            At::Key(map, key) => {
                map.insert(txn, key.as_str(), value);
            }
            At::Item(array, index) => {
                array.remove(txn, *index);
                array.insert(txn, *index, value);
            }
            At::Root | At::Nowhere => {}
        }
    }
}

/// Whether a value of this schema is plain: written as a whole.
pub(crate) fn is_plain(schema: &Schema) -> bool {
    let kind = schema.kind();
    schema.is_json()
        || !matches!(
            kind,
            Kind::Struct(_) | Kind::Record(_) | Kind::List(_) | Kind::Text | Kind::RichText(_)
        )
}

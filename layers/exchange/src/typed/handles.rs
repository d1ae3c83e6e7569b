//! What edits the parts of a document in a batch: each call adds an edit.
//!
//! In: calls of the user, with Rust values. Out: edits in the batch, in order; a value that is no JSON spoils the
//! batch, and is reported when that is made. Touches the batch alone.

use std::{cell::RefCell, fmt, marker::PhantomData};

use serde::Serialize;

use super::{WriteError, described::Described, write};
use crate::{
    json::Json,
    plain::{Edit, EditError},
};

/// The edits so far, or why there are none.
type Batch = RefCell<Result<Vec<Edit>, EditError>>;

/// A place in a document that is edited.
///
/// A type that implements [`Described`] itself passes it on to the handle of another.
#[derive(Clone)]
pub struct At<'b> {
    batch: &'b Batch,
    path: Vec<String>,
}

impl<'b> At<'b> {
    pub(super) const fn root(batch: &'b Batch) -> Self {
        let path = Vec::new();
        Self { batch, path }
    }

    /// The place of a field, an entry or an item in what is here.
    pub fn field(&self, name: impl Into<String>) -> Self {
        let mut at = self.clone();
        at.path.push(name.into());
        at
    }

    fn add(&self, edit: Edit) {
        if let Ok(edits) = &mut *self.batch.borrow_mut() {
            edits.push(edit.at(self.path.iter().cloned()));
        }
    }

    fn add_with(&self, value: &impl Serialize, edit: impl FnOnce(Json) -> Edit) {
        match write(value) {
            Ok(json) => self.add(edit(json)),
            Err(WriteError(why)) => {
                let path = self.path.join(".");
                *self.batch.borrow_mut() = Err(EditError::Refused { path, why });
            }
        }
    }
}

impl fmt::Debug for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("At").field(&self.path.join(".")).finish()
    }
}

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident $(<$item:ident>)?) => {
        $(#[$doc])*
        pub struct $name<'b $(, $item)?> {
            at: At<'b>,
            $(item: PhantomData<fn($item)>,)?
        }

        impl<'b $(, $item)?> $name<'b $(, $item)?> {
            /// What edits the value there.
            pub const fn new(at: At<'b>) -> Self {
                Self { at, $(item: PhantomData::<fn($item)>)? }
            }
        }

        impl $(<$item>)? fmt::Debug for $name<'_ $(, $item)?> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.at).finish()
            }
        }
    };
}

handle! {
    /// Sets a value that is replaced as a whole.
    Value<T>
}
handle! {
    /// Edits a text. Positions count UTF-16 units.
    TextHandle
}
handle! {
    /// Adds to a counter.
    CounterHandle
}
handle! {
    /// Edits a list.
    ListHandle<T>
}
handle! {
    /// Edits a record.
    RecordHandle<T>
}

impl<T: Serialize> Value<'_, T> {
    /// Replaces the value.
    pub fn set(&self, value: impl Into<T>) {
        self.at.add_with(&value.into(), |json| Edit::set("", json));
    }
}

impl TextHandle<'_> {
    /// Inserts a string.
    pub fn insert(&self, at: usize, text: impl Into<String>) {
        self.at.add(Edit::insert("", at, text.into()));
    }

    /// Deletes UTF-16 units.
    pub fn delete(&self, at: usize, count: usize) {
        self.at.add(Edit::delete("", at, count));
    }

    /// Replaces the text.
    pub fn update(&self, text: impl Into<String>) {
        self.at.add(Edit::update("", text));
    }
}

impl CounterHandle<'_> {
    /// Adds; a negative amount takes away.
    pub fn add(&self, amount: impl Into<f64>) {
        self.at.add(Edit::increment("", amount.into()));
    }
}

impl<'b, T: Described> ListHandle<'b, T> {
    /// Adds an item to the end.
    pub fn push(&self, item: impl Into<T>)
    where
        T: Serialize,
    {
        self.at.add_with(&item.into(), |json| Edit::push("", json));
    }

    /// Inserts an item.
    pub fn insert(&self, at: usize, item: impl Into<T>)
    where
        T: Serialize,
    {
        self.at
            .add_with(&item.into(), |json| Edit::insert("", at, json));
    }

    /// Deletes items.
    pub fn delete(&self, at: usize, count: usize) {
        self.at.add(Edit::delete("", at, count));
    }

    /// What edits the item at an index.
    pub fn item(&self, index: usize) -> T::Handle<'b> {
        T::handle(self.at.field(index.to_string()))
    }
}

impl<'b, T: Described> RecordHandle<'b, T> {
    /// Sets an entry.
    pub fn put(&self, key: impl Into<String>, value: impl Into<T>)
    where
        T: Serialize,
    {
        let key = key.into();
        self.at
            .add_with(&value.into(), |json| Edit::put("", key, json));
    }

    /// Removes an entry.
    pub fn remove(&self, key: impl Into<String>) {
        self.at.add(Edit::remove("", key));
    }

    /// Removes all entries.
    pub fn clear(&self) {
        self.at.add(Edit::clear(""));
    }

    /// What edits the entry of a key.
    pub fn entry(&self, key: impl Into<String>) -> T::Handle<'b> {
        T::handle(self.at.field(key))
    }
}

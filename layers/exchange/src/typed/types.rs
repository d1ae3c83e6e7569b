//! The types of fields that are more than their values: several writers edit them at once.

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
};

use kyneta_uds_schema::{Schema, SchemaError};
use serde::{Deserialize, Serialize};

use super::{
    described::{Depth, Described},
    handles::{At, CounterHandle, ListHandle, RecordHandle, TextHandle},
};

macro_rules! types {
    ($($(#[$doc:meta])* $name:ident $(<$item:ident>)? ($inner:ty): $schema:expr, $handle:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name $(<$item>)? (pub $inner);

        impl $(<$item>)? Deref for $name $(<$item>)? {
            type Target = $inner;

            fn deref(&self) -> &$inner {
                &self.0
            }
        }

        impl $(<$item>)? DerefMut for $name $(<$item>)? {
            fn deref_mut(&mut self) -> &mut $inner {
                &mut self.0
            }
        }

        impl $(<$item>)? From<$inner> for $name $(<$item>)? {
            fn from(inner: $inner) -> Self {
                Self(inner)
            }
        }

        impl $(<$item: Described>)? Described for $name $(<$item>)? {
            type Handle<'b> = $handle;

            fn describe(depth: Depth) -> Result<Schema, SchemaError> {
                let schema: fn(Depth) -> Result<Schema, SchemaError> = $schema;
                schema(depth.below()?)
            }

            fn handle(at: At<'_>) -> Self::Handle<'_> {
                Self::Handle::new(at)
            }
        }
    )*};
}

types! {
    /// Text that several writers edit at once.
    Text(String): |_| Ok(Schema::text()), TextHandle<'b>;
    /// A number that several writers add to at once.
    Counter(f64): |_| Ok(Schema::counter()), CounterHandle<'b>;
    /// A list of items.
    List<T>(Vec<T>): |depth| Ok(Schema::list(T::describe(depth)?)), ListHandle<'b, T>;
    /// A list whose items can be moved.
    Movable<T>(Vec<T>): |depth| Ok(Schema::movable(T::describe(depth)?)), ListHandle<'b, T>;
    /// A map from strings to items.
    Record<T>(BTreeMap<String, T>): |depth| Ok(Schema::record(T::describe(depth)?)), RecordHandle<'b, T>;
}

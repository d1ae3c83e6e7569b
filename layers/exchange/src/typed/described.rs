//! The schema of a Rust type, and what edits a value of it.
//!
//! In: a Rust type. Out: its schema, or that it has no end; and the handle of a place of that type. Pure.

use std::collections::{BTreeMap, HashMap};

use kyneta_uds_schema::{Schema, SchemaError};

use super::handles::{At, ListHandle, RecordHandle, Value};

/// A type that a document or a part of it may be read as. Derive it: [`Schema`](derive@super::Schema).
pub trait Described {
    /// What edits a value of it in a batch.
    type Handle<'b>;

    /// Its schema, at this depth.
    ///
    /// # Errors
    /// [`SchemaError`].
    fn describe(depth: Depth) -> Result<Schema, SchemaError>;

    /// What edits the value there.
    fn handle(at: At<'_>) -> Self::Handle<'_>;

    /// Its schema.
    ///
    /// # Errors
    /// [`SchemaError`], for one [`SchemaError::TooDeep`] when the type contains itself.
    ///
    /// ```
    /// use kyneta_uds_exchange::typed::{Described, List};
    /// let schema = List::<String>::schema()?;
    /// assert_eq!(schema.kind().name(), "list");
    /// # Ok::<(), kyneta_uds_schema::SchemaError>(())
    /// ```
    fn schema() -> Result<Schema, SchemaError> {
        Self::describe(Depth::default())
    }
}

/// How many types are around this one. A schema has an end, also when a type contains itself.
///
/// ```
/// use kyneta_uds_exchange::typed::Depth;
/// assert!(Depth::default().below().is_ok());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth(usize);

/// The most types around one.
const MAX_DEPTH: usize = 64;

impl Depth {
    /// The depth of a type inside.
    ///
    /// # Errors
    /// [`SchemaError::TooDeep`] after 64.
    pub const fn below(self) -> Result<Self, SchemaError> {
        let limit = MAX_DEPTH;
        match self.0 < limit {
            true => Ok(Self(self.0 + 1)),
            false => Err(SchemaError::TooDeep { limit }),
        }
    }
}

macro_rules! scalars {
    ($schema:ident: $($scalar:ty)*) => {$(
        impl Described for $scalar {
            type Handle<'b> = Value<'b, Self>;

            fn describe(_: Depth) -> Result<Schema, SchemaError> {
                Ok(Schema::$schema())
            }

            fn handle(at: At<'_>) -> Self::Handle<'_> {
                Value::new(at)
            }
        }
    )*};
}

scalars!(boolean: bool);
scalars!(string: String);
scalars!(number: f64 f32 i64 i32 i16 i8 u64 u32 u16 u8 usize isize);
scalars!(null: ());
scalars!(any: serde_json::Value);

impl<T: Described> Described for Option<T> {
    type Handle<'b> = Value<'b, Self>;

    fn describe(depth: Depth) -> Result<Schema, SchemaError> {
        Ok(Schema::nullable(T::describe(depth.below()?)?))
    }

    fn handle(at: At<'_>) -> Self::Handle<'_> {
        Value::new(at)
    }
}

impl<T: Described> Described for Vec<T> {
    type Handle<'b> = ListHandle<'b, T>;

    fn describe(depth: Depth) -> Result<Schema, SchemaError> {
        Ok(Schema::list(T::describe(depth.below()?)?))
    }

    fn handle(at: At<'_>) -> Self::Handle<'_> {
        ListHandle::new(at)
    }
}

macro_rules! maps {
    ($($map:ident)*) => {$(
        impl<T: Described> Described for $map<String, T> {
            type Handle<'b> = RecordHandle<'b, T>;

            fn describe(depth: Depth) -> Result<Schema, SchemaError> {
                Ok(Schema::record(T::describe(depth.below()?)?))
            }

            fn handle(at: At<'_>) -> Self::Handle<'_> {
                RecordHandle::new(at)
            }
        }
    )*};
}

maps!(BTreeMap HashMap);

impl<T: Described> Described for Box<T> {
    type Handle<'b> = T::Handle<'b>;

    fn describe(depth: Depth) -> Result<Schema, SchemaError> {
        T::describe(depth)
    }

    fn handle(at: At<'_>) -> Self::Handle<'_> {
        T::handle(at)
    }
}

//! Why a schema cannot be.
//!
//! In: what the constructors and the parser have found. Out: errors with the place in the text, of which the first
//! one is reported. Pure.

/// A schema that makes no sense, or that would not be safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// Two fields have one name.
    #[error("the struct has two fields named {name:?}")]
    DuplicateField {
        /// The name.
        name: String,
    },
    /// The field's name would reach the prototype of all objects in a JavaScript peer.
    #[error("a field must not be named \"__proto__\", by which JavaScript reaches other objects")]
    ForbiddenField,
    /// Two marks of one rich text have one name.
    #[error("the rich text has two marks named {name:?}")]
    DuplicateMark {
        /// The name.
        name: String,
    },
    /// A union without variants has no value.
    #[error("a union needs at least one variant")]
    NoVariants,
    /// A variant of a tagged union cannot be told from the others.
    #[error(
        "variant {at} of the tagged union is no struct whose field {key:?} is a string with allowed values"
    )]
    VariantWithoutKey {
        /// Which variant, from 0.
        at: usize,
        /// The field that must be there.
        key: String,
    },
    /// Only these kinds hold other values.
    #[error("a {kind} cannot be made plain JSON; a struct, a list and a record can")]
    NotJson {
        /// Which kind it is.
        kind: &'static str,
    },
    /// Only a struct has fields that can change.
    #[error("a {kind} has no history; a struct has one")]
    NoHistory {
        /// Which kind it is.
        kind: &'static str,
    },
    /// A step of a history changes nothing.
    #[error("a step of the history needs at least one change")]
    EmptyStep,
    /// The base of a history is its first entry.
    #[error("the base of a history must come before its first step, and once")]
    LateBase,
    /// A type contains itself, or too many types contain one another.
    #[error("the types contain one another more than {limit} deep; a schema has an end")]
    TooDeep {
        /// The most allowed.
        limit: usize,
    },
    /// The histories of all structs together support too many former schemas.
    #[error(
        "the histories in the schema support {count} schemas together; at most {limit} are announced"
    )]
    TooManyShapes {
        /// How many.
        count: usize,
        /// The most allowed.
        limit: usize,
    },
}

/// Text that is no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The text is too long.
    #[error("the schema has {len} bytes; at most {limit} are read")]
    TooLong {
        /// Its length, bytes.
        len: usize,
        /// The longest allowed, bytes.
        limit: usize,
    },
    /// The text is not JSON.
    #[error("the schema is not JSON: {0}")]
    NotJson(String),
    /// The JSON is not of the expected form.
    #[error("{at}: {what}")]
    Unexpected {
        /// Where, such as "schema.notes.item".
        at: String,
        /// What is wrong there.
        what: String,
    },
    /// The form is right, and the schema cannot be.
    #[error("{at}: {error}")]
    Invalid {
        /// Where, such as "schema.notes.item".
        at: String,
        /// Why. The text says it, so it is no `source()`.
        error: SchemaError,
    },
}

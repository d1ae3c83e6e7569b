//! A schema: what a document's JSON value is made of.
//!
//! In: constructors, or JSON (`parse`). Out: a value whose names are checked, with its hashes (`canonical`,
//! `supported`) and identities (`identities`). Touches nothing.

mod canonical;
mod error;
mod hashes;
mod history;
mod identities;
mod kind;
mod parse;
mod structure;
mod supported;

use std::{fmt, sync::Arc};

use self::hashes::Hashes;

pub use error::{ParseError, SchemaError};
pub use history::{Migration, Origin};
pub use identities::Identities;
pub use kind::{Expand, Kind, Literal, Mark, Scalar};
pub use structure::Struct;

/// What the value of a document or of a part of it is. A clone is cheap.
///
/// Constructors that can be given something senseless answer with a [`SchemaError`].
///
/// ```
/// use kyneta_uds_schema::Schema;
///
/// let todo = Schema::structure([
///     ("text", Schema::text()),
///     ("state", Schema::string_of(["open", "done"])),
/// ])?;
/// let list = Schema::structure([("todos", Schema::list(todo))])?;
/// let twice = Schema::structure([("a", Schema::text()), ("a", Schema::number())]);
/// assert_eq!(twice.unwrap_err().to_string(), "the struct has two fields named \"a\"");
/// # Ok::<(), kyneta_uds_schema::SchemaError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Schema(Arc<Node>);

struct Node {
    kind: Kind,
    json: bool,
    /// Made when they are asked for first: sorting the names costs more than opening a document.
    hashes: Hashes,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        (&self.kind, self.json) == (&other.kind, other.json)
    }
}

impl Schema {
    fn of(kind: Kind) -> Self {
        Self::new(kind, false)
    }

    fn new(kind: Kind, json: bool) -> Self {
        let hashes = Hashes::default();
        Self(Arc::new(Node { kind, json, hashes }))
    }

    /// Which kind it is, with its parts.
    pub fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// Whether it is a plain JSON value inside, replaced as a whole by a CRDT ([`Schema::json`]).
    pub fn is_json(&self) -> bool {
        self.0.json
    }

    /// A scalar that may have any value of its type.
    pub fn scalar(scalar: Scalar) -> Self {
        Self::of(Kind::Scalar(scalar, Vec::new()))
    }

    /// A string.
    pub fn string() -> Self {
        Self::scalar(Scalar::String)
    }

    /// A JavaScript number, an `f64`.
    pub fn number() -> Self {
        Self::scalar(Scalar::Number)
    }

    /// True or false.
    pub fn boolean() -> Self {
        Self::scalar(Scalar::Boolean)
    }

    /// Null.
    pub fn null() -> Self {
        Self::scalar(Scalar::Null)
    }

    /// JavaScript's undefined, which JSON leaves out.
    pub fn undefined() -> Self {
        Self::scalar(Scalar::Undefined)
    }

    /// Bytes.
    pub fn bytes() -> Self {
        Self::scalar(Scalar::Bytes)
    }

    /// Any JSON value.
    pub fn any() -> Self {
        Self::scalar(Scalar::Any)
    }

    /// One of these strings; any string when there are none. Their order is part of the hash, and the first is
    /// the value of a new document.
    pub fn string_of<T: Into<String>>(allowed: impl IntoIterator<Item = T>) -> Self {
        let allowed = allowed.into_iter().map(|text| Literal::String(text.into()));
        Self::of(Kind::Scalar(Scalar::String, allowed.collect()))
    }

    /// One of these numbers, as [`Schema::string_of`].
    pub fn number_of(allowed: impl IntoIterator<Item = f64>) -> Self {
        let allowed = allowed.into_iter().map(Literal::Number);
        Self::of(Kind::Scalar(Scalar::Number, allowed.collect()))
    }

    /// One of these boolean values, as [`Schema::string_of`].
    pub fn boolean_of(allowed: impl IntoIterator<Item = bool>) -> Self {
        let allowed = allowed.into_iter().map(Literal::Boolean);
        Self::of(Kind::Scalar(Scalar::Boolean, allowed.collect()))
    }

    /// Text that several writers edit at once.
    pub fn text() -> Self {
        Self::of(Kind::Text)
    }

    /// A number that several writers add to at once.
    pub fn counter() -> Self {
        Self::of(Kind::Counter)
    }

    /// Text with marks.
    ///
    /// # Errors
    /// [`SchemaError::DuplicateMark`].
    pub fn rich_text<N: Into<String>>(
        marks: impl IntoIterator<Item = (N, Expand)>,
    ) -> Result<Self, SchemaError> {
        let mut all: Vec<Mark> = Vec::new();
        for (name, expand) in marks {
            let name = name.into();
            if all.iter().any(|mark| mark.name == name) {
                return Err(SchemaError::DuplicateMark { name });
            }
            all.push(Mark { name, expand });
        }
        Ok(Self::of(Kind::RichText(all)))
    }

    /// A list of items.
    pub fn list(item: Self) -> Self {
        Self::of(Kind::List(item))
    }

    /// A map from any string to an item.
    pub fn record(item: Self) -> Self {
        Self::of(Kind::Record(item))
    }

    /// A list whose items can be moved.
    pub fn movable(item: Self) -> Self {
        Self::of(Kind::Movable(item))
    }

    /// A set of items.
    pub fn set(item: Self) -> Self {
        Self::of(Kind::Set(item))
    }

    /// A tree, whose nodes hold an item each.
    pub fn tree(item: Self) -> Self {
        Self::of(Kind::Tree(item))
    }

    /// One of several, without a mark which; null or this, for [`Schema::nullable`].
    ///
    /// # Errors
    /// [`SchemaError::NoVariants`].
    pub fn union(variants: impl IntoIterator<Item = Self>) -> Result<Self, SchemaError> {
        let variants: Vec<_> = variants.into_iter().collect();
        if variants.is_empty() {
            return Err(SchemaError::NoVariants);
        }
        Ok(Self::of(Kind::Union(variants)))
    }

    /// Null, or this.
    pub fn nullable(of: Self) -> Self {
        Self::of(Kind::Union(vec![Self::null(), of]))
    }

    /// One of several structs. Their field `key` says which: in each it is a string with allowed values.
    ///
    /// # Errors
    /// [`SchemaError::NoVariants`], [`SchemaError::VariantWithoutKey`].
    pub fn tagged(
        key: impl Into<String>,
        variants: impl IntoIterator<Item = Self>,
    ) -> Result<Self, SchemaError> {
        let (key, variants) = (key.into(), variants.into_iter().collect::<Vec<_>>());
        if variants.is_empty() {
            return Err(SchemaError::NoVariants);
        }
        for (at, variant) in variants.iter().enumerate() {
            let tag = match variant.kind() {
                Kind::Struct(structure) => structure.field(&key).map(Self::kind),
                _ => None,
            };
            match tag {
                Some(Kind::Scalar(Scalar::String, allowed)) if !allowed.is_empty() => {}
                _ => return Err(SchemaError::VariantWithoutKey { at, key }),
            }
        }
        Ok(Self::of(Kind::Tagged { key, variants }))
    }

    /// A value that a document of [`Substrate::State`](crate::Substrate::State) forgets after this many
    /// milliseconds. No hash tells it from the value itself; release 1.8 has no such schema.
    pub fn decay(of: Self, ms: u64) -> Self {
        Self::of(Kind::Decay { of, ms })
    }

    /// Makes a struct, a list or a record a plain JSON value for a CRDT: written as a whole, not merged inside.
    ///
    /// # Errors
    /// [`SchemaError::NotJson`] for any other kind.
    pub fn json(self) -> Result<Self, SchemaError> {
        match self.kind() {
            Kind::Struct(_) | Kind::List(_) | Kind::Record(_) => {
                Ok(Self::new(self.kind().clone(), true))
            }
            other => Err(SchemaError::NotJson { kind: other.name() }),
        }
    }
}

/// Its text for release 2.x, which says everything but histories and times.
impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical_2())
    }
}

//! The kinds of a schema.
//!
//! In: names of the text form and of the hash. Out: values, with no rule of how they may stand in each other: that is
//! checked where they are put together. Pure.

use super::{Schema, Struct};

/// What a schema is, with its parts.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// One value, and the values that are allowed; all when there are none.
    Scalar(Scalar, Vec<Literal>),
    /// Text that several writers edit.
    Text,
    /// A number that several writers add to.
    Counter,
    /// Text with these marks.
    RichText(Vec<Mark>),
    /// Named fields.
    Struct(Struct),
    /// A list of this.
    List(Schema),
    /// A map from any string to this.
    Record(Schema),
    /// A list of this, whose items can be moved.
    Movable(Schema),
    /// A set of this.
    Set(Schema),
    /// A tree of this.
    Tree(Schema),
    /// One of these. The first is the one of a new document.
    Union(Vec<Schema>),
    /// One of these structs, told apart by a field.
    Tagged {
        /// The name of that field.
        key: String,
        /// The structs.
        variants: Vec<Schema>,
    },
    /// A value that is forgotten.
    Decay {
        /// The value.
        of: Schema,
        /// After how long, milliseconds.
        ms: u64,
    },
}

impl Kind {
    /// The name in JSON and in error texts.
    ///
    /// ```
    /// use kyneta_uds_schema::Schema;
    /// assert_eq!(Schema::list(Schema::text()).kind().name(), "list");
    /// ```
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Scalar(scalar, _) => scalar.name(),
            Self::Text => "text",
            Self::Counter => "counter",
            Self::RichText(_) => "richtext",
            Self::Struct(_) => "struct",
            Self::List(_) => "list",
            Self::Record(_) => "record",
            Self::Movable(_) => "movable",
            Self::Set(_) => "set",
            Self::Tree(_) => "tree",
            Self::Union(_) => "union",
            Self::Tagged { .. } => "tagged",
            Self::Decay { .. } => "decay",
        }
    }
}

/// The type of a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// A string.
    String,
    /// A JavaScript number.
    Number,
    /// True or false.
    Boolean,
    /// Null.
    Null,
    /// JavaScript's undefined.
    Undefined,
    /// Bytes.
    Bytes,
    /// Any JSON value.
    Any,
}

impl Scalar {
    const ALL: [Self; 7] = [
        Self::String,
        Self::Number,
        Self::Boolean,
        Self::Null,
        Self::Undefined,
        Self::Bytes,
        Self::Any,
    ];

    /// The name in the hash.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Null => "null",
            Self::Undefined => "undefined",
            Self::Bytes => "bytes",
            Self::Any => "any",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scalar| scalar.name() == name)
    }
}

/// An allowed value of a scalar.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// A string.
    String(String),
    /// A number.
    Number(f64),
    /// A boolean value.
    Boolean(bool),
}

/// A mark of rich text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Its name.
    pub name: String,
    /// Whether it takes in text that is written at its edges.
    pub expand: Expand,
}

/// At which edges a mark takes in new text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expand {
    /// At its start.
    Before,
    /// At its end.
    After,
    /// At both.
    Both,
    /// At none.
    None,
}

impl Expand {
    const ALL: [Self; 4] = [Self::Before, Self::After, Self::Both, Self::None];

    /// The name in the hash.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Both => "both",
            Self::None => "none",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|expand| expand.name() == name)
    }
}

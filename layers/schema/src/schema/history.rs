//! How the fields of a struct came to be: steps, oldest first, each undone or repeated on a set of names.
//!
//! In: the steps that a user or a text declares. Out: the origin of each field, of which its identity is made. Pure.

/// One change of a struct's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Migration {
    /// A field was added.
    Add {
        /// Its name.
        name: String,
    },
    /// A field has another name and is still the same.
    Rename {
        /// Its former name.
        from: String,
        /// Its name now.
        to: String,
    },
    /// A field was removed, with what it held.
    Remove {
        /// Its name.
        name: String,
    },
    /// A field has another type, and begins anew.
    Retype {
        /// Its name.
        name: String,
    },
    /// A field changed inside: its allowed values, its variants, whether it may be null.
    Inside {
        /// Its name.
        name: String,
    },
}

impl Migration {
    /// A field was added.
    pub fn add(name: impl Into<String>) -> Self {
        Self::Add { name: name.into() }
    }

    /// A field was renamed.
    pub fn rename(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self::Rename {
            from: from.into(),
            to: to.into(),
        }
    }

    /// A field was removed.
    pub fn remove(name: impl Into<String>) -> Self {
        Self::Remove { name: name.into() }
    }

    /// A field has another type.
    pub fn retype(name: impl Into<String>) -> Self {
        Self::Retype { name: name.into() }
    }

    /// A field changed inside.
    pub fn inside(name: impl Into<String>) -> Self {
        Self::Inside { name: name.into() }
    }
}

/// Where a field comes from; its identity is made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The name under which it was added.
    pub path: String,
    /// The how manieth field of that name it is, from 1.
    pub generation: u32,
}

/// The history of a struct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct History {
    pub(super) base: Option<Vec<(String, Origin)>>,
    pub(super) steps: Vec<Step>,
}

impl History {
    pub(super) const NONE: Self = Self {
        base: None,
        steps: Vec::new(),
    };
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Migrated(Vec<Migration>),
    Epoch(Vec<Migration>),
}

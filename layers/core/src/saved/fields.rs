//! Fields by name, in the order of their names.
//!
//! In: names and values. Out: the same. Touches nothing.
//!
//! A state has few fields with short names, of which a handoff of a thousand connections makes and reads some ten
//! thousand while all wait: names are not allocated.

use std::fmt;

use super::SavedValue;

/// As many fields as most states have at most.
const USUAL: usize = 8;

/// The longest name that needs no allocation, in bytes.
const SHORT: usize = 22;

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Fields(Vec<(Name, SavedValue)>);

impl Fields {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// With room for `count` fields, or for as many as are usual if they are said to be more.
    pub(super) fn with_room(count: usize) -> Self {
        Self(Vec::with_capacity(count.min(USUAL)))
    }

    /// In the place of one of this name, if there is one.
    pub(super) fn set(&mut self, name: &str, value: SavedValue) {
        match self.position(name) {
            Ok(at) => {
                if let Some((_, there)) = self.0.get_mut(at) {
                    *there = value;
                }
            }
            Err(at) => {
                if self.0.is_empty() {
                    self.0.reserve(USUAL);
                }
                self.0.insert(at, (Name::new(name), value));
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&SavedValue> {
        let at = self.position(name).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0
            .binary_search_by(|(there, _)| there.bytes().cmp(name.as_bytes()))
    }

    /// At the end, out of order. [`sort`](Self::sort) comes afterwards.
    pub(super) fn push(&mut self, name: &str, value: SavedValue) {
        self.0.push((Name::new(name), value));
    }

    /// False if a name is there twice.
    pub(super) fn sort(&mut self) -> bool {
        if !self.0.is_sorted_by(|(a, _), (b, _)| a.bytes() < b.bytes()) {
            self.0.sort_by(|(a, _), (b, _)| a.bytes().cmp(b.bytes()));
            return self.0.is_sorted_by(|(a, _), (b, _)| a.bytes() < b.bytes());
        }
        true
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &SavedValue)> {
        self.0.iter().map(|(name, value)| (name.bytes(), value))
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.iter();
        f.debug_map()
            .entries(fields.map(|(name, value)| (String::from_utf8_lossy(name), value)))
            .finish()
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Name {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Box<str>),
}

impl Name {
    fn new(name: &str) -> Self {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..name.len()) {
            Some(there) => {
                there.copy_from_slice(name.as_bytes());
                let length = name.len() as u8;
                Self::Short { length, bytes }
            }
            None => Self::Long(name.into()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(name) => name.as_bytes(),
        }
    }
}

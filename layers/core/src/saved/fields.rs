//! Fields by name, in the order of their names.
//!
//! In: names and values. Out: the same. Touches nothing.
//!
//! A state has few fields with short names, of which a handoff of a thousand connections makes and reads some forty
//! thousand while all wait: names are not allocated, and compared without a loop.

use std::{cmp::Ordering, fmt};

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
        let name = Name::new(name.as_bytes());
        match self.position(&name) {
            Ok(at) => {
                if let Some((_, there)) = self.0.get_mut(at) {
                    *there = value;
                }
            }
            Err(at) => {
                if self.0.is_empty() {
                    self.0.reserve(USUAL);
                }
                self.0.insert(at, (name, value));
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&SavedValue> {
        let at = self.position(&Name::new(name.as_bytes())).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    fn position(&self, name: &Name) -> Result<usize, usize> {
        self.0.binary_search_by(|(there, _)| there.cmp(name))
    }

    /// At the end, out of order. [`sort`](Self::sort) comes afterwards. The name is UTF-8.
    pub(super) fn push(&mut self, name: &[u8], value: SavedValue) {
        self.0.push((Name::new(name), value));
    }

    /// False if a name is there twice.
    pub(super) fn sort(&mut self) -> bool {
        let in_order = |(a, _): &_, (b, _): &_| Name::cmp(a, b) == Ordering::Less;
        if !self.0.is_sorted_by(in_order) {
            self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
            return self.0.is_sorted_by(in_order);
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
    /// With zeros behind it.
    Short {
        length: u8,
        bytes: [u8; SHORT],
    },
    Long(Box<[u8]>),
}

impl Name {
    #[inline]
    fn new(name: &[u8]) -> Self {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..name.len()) {
            Some(there) => {
                there.copy_from_slice(name);
                let length = name.len() as u8;
                Self::Short { length, bytes }
            }
            None => Self::Long(name.into()),
        }
    }

    /// In the order of their bytes.
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            // Where the zeros are a part of one, the other is shorter.
            (
                Self::Short {
                    length: ours,
                    bytes,
                },
                Self::Short {
                    length: theirs,
                    bytes: others,
                },
            ) => words(bytes).cmp(&words(others)).then(ours.cmp(theirs)),
            _ => self.bytes().cmp(other.bytes()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(name) => name,
        }
    }
}

/// Numbers in the order of the bytes; they overlap.
#[inline]
fn words(bytes: &[u8; SHORT]) -> (u128, u64) {
    let first = bytes.first_chunk().copied().unwrap_or_default();
    let last = bytes.last_chunk().copied().unwrap_or_default();
    (u128::from_be_bytes(first), u64::from_be_bytes(last))
}

//! A text of limited length by reference.
//!
//! In: a string that outlives it. Out: the same, its length checked.

use std::fmt;

use bytestring::ByteString;

use super::{BoundedStr, TextTooLong, check};

/// A [`BoundedStr`] by reference: a text of at most `MAX` bytes.
///
/// ```
/// use kyneta_uds_core::VersionRef;
/// let version = VersionRef::new("7")?;
/// assert_eq!(version.to_bounded_str().as_str(), version.as_str());
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
// Bytes of valid UTF-8: to make a `str` of two bytes takes 50 instructions, and most receivers do not read it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BoundedRef<'a, const MAX: usize>(&'a [u8]);

/// A [`Version`](super::Version) by reference.
pub type VersionRef<'a> = BoundedRef<'a, { 1 << 20 }>;

impl<'a, const MAX: usize> BoundedRef<'a, MAX> {
    /// Checks the length.
    ///
    /// # Errors
    /// [`TextTooLong`] when `text` has more than `MAX` bytes.
    #[inline]
    pub fn new(text: &'a str) -> Result<Self, TextTooLong> {
        check("text", text.len(), MAX)?;
        Ok(Self(text.as_bytes()))
    }

    /// Of bytes. `None` if they are more than `MAX`, or no UTF-8.
    ///
    /// ```
    /// use kyneta_uds_core::VersionRef;
    /// assert_eq!(VersionRef::from_utf8(b"7").map(VersionRef::as_str), Some("7"));
    /// assert_eq!(VersionRef::from_utf8(b"\xff"), None);
    /// ```
    #[inline]
    pub fn from_utf8(bytes: &'a [u8]) -> Option<Self> {
        // Most versions are short: then this is half the instructions.
        let is_text = match bytes.len() {
            len if len < 8 && len <= MAX => {
                bytes.iter().all(u8::is_ascii) || str::from_utf8(bytes).is_ok()
            }
            len if len <= MAX => bytes.is_ascii() || str::from_utf8(bytes).is_ok(),
            _ => false,
        };
        is_text.then_some(Self(bytes))
    }

    /// Of bytes that are known to be a text of at most `MAX` bytes.
    #[inline]
    pub(crate) const fn of_checked(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The text itself. It is validated on each call, as there is no `unsafe` here.
    #[inline]
    pub fn as_str(self) -> &'a str {
        // Never an error: it was text when it was made.
        str::from_utf8(self.0).unwrap_or_default()
    }

    /// The text's bytes.
    #[inline]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text by value: a copy.
    pub fn to_bounded_str(self) -> BoundedStr<MAX> {
        BoundedStr::of_checked(ByteString::from(self.as_str()))
    }
}

impl<'a, const MAX: usize> From<&'a BoundedStr<MAX>> for BoundedRef<'a, MAX> {
    #[inline]
    fn from(text: &'a BoundedStr<MAX>) -> Self {
        Self(text.as_bytes())
    }
}

impl<const MAX: usize> fmt::Debug for BoundedRef<'_, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const MAX: usize> fmt::Display for BoundedRef<'_, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

//! `interest`: a document that a peer wants.

use crate::text::{DocId, Version};

/// `interest`: the sender wants a document, or the changes since its version.
///
/// ```
/// use kyneta_uds_core::{DocId, Interest, Version};
/// let interest = Interest::new(DocId::new("d")?).since(Version::new("3")?);
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    /// Which document.
    pub doc: DocId,
    /// The version that the sender has.
    pub version: Option<Version>,
    /// Asks the receiver to answer with its own interest. Absent and false are kept apart.
    pub reciprocate: Option<bool>,
}

impl Interest {
    /// Without a version.
    pub const fn new(doc: DocId) -> Self {
        Self {
            doc,
            version: None,
            reciprocate: None,
        }
    }

    /// Sets the version that the sender has.
    pub fn since(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    /// Sets `r`, which is then written, true or false.
    pub const fn reciprocate(mut self, reciprocate: bool) -> Self {
        self.reciprocate = Some(reciprocate);
        self
    }
}

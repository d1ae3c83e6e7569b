//! The bounds of a switch, its gate, and which schema hashes mean the same document.
//!
//! In: the setters. Out: limits with their defaults, and the class of a hash. A limit that is reached is a
//! diagnostic, never an error. Pure.

use std::collections::HashMap;

use kyneta_uds_core::{SchemaHash, WireVersion};

use crate::gate::Gate;

/// Bounds, a gate, and classes of equal schema hashes.
///
/// ```
/// use kyneta_uds_core::SchemaHash;
/// use kyneta_uds_relay::SwitchConfig;
///
/// // The releases 1.8 and 2.x hash one schema differently.
/// let class = [SchemaHash::new("01ab")?, SchemaHash::new("02cd")?];
/// let config = SwitchConfig::default().max_documents(1_000).equal_schemas(class);
/// # Ok::<(), kyneta_uds_core::TextTooLong>(())
/// ```
#[derive(Debug, Clone)]
pub struct SwitchConfig {
    pub(crate) max_documents: usize,
    pub(crate) max_documents_of_member: usize,
    pub(crate) max_asks: usize,
    pub(crate) max_link_versions: usize,
    pub(crate) links_relay: bool,
    pub(crate) gate: Gate,
    classes: Vec<Vec<SchemaHash>>,
    class_of: HashMap<SchemaHash, usize>,
}

impl Default for SwitchConfig {
    fn default() -> Self {
        Self {
            max_documents: 65_536,
            max_documents_of_member: 4_096,
            max_asks: 64,
            max_link_versions: 64,
            links_relay: false,
            gate: Gate::everything(),
            classes: Vec::new(),
            class_of: HashMap::new(),
        }
    }
}

impl SwitchConfig {
    /// How many documents there may be. 65,536 by default; one more is refused with a diagnostic.
    pub fn max_documents(mut self, max: usize) -> Self {
        self.max_documents = max;
        self
    }

    /// How many documents one member may present. 4,096 by default; one more is refused with a diagnostic.
    pub fn max_documents_of_member(mut self, max: usize) -> Self {
        self.max_documents_of_member = max;
        self
    }

    /// How many forwarded interests may wait for the answer of one holder of one document. 64 by default.
    /// Beyond that the answers of this holder go to all members that want the document, until it leaves.
    pub fn max_asks(mut self, max: usize) -> Self {
        self.max_asks = max;
        self
    }

    /// How many versions of a document are remembered for one link. 64 by default.
    pub fn max_link_versions(mut self, max: usize) -> Self {
        self.max_link_versions = max;
        self
    }

    /// Whether what comes over one link is passed on to other links. False by default, for hubs that are linked
    /// each with each. True for hubs that are linked as a tree, never for a ring: messages would go round without
    /// end.
    pub fn links_relay(mut self, relay: bool) -> Self {
        self.links_relay = relay;
        self
    }

    /// Whether nothing passes between two members, because both are links.
    pub(crate) const fn keeps_apart(&self, a: bool, b: bool) -> bool {
        a && b && !self.links_relay
    }

    /// Which member may see and write which document. [`Gate::everything`] by default.
    pub fn gate(mut self, gate: Gate) -> Self {
        self.gate = gate;
        self
    }

    /// Schema hashes that mean the same document, one for each release that hashes differently. A member is
    /// shown the hash of its own wire version first ("01..." for wire version 2, "02..." for 3), and all of
    /// them as supported. None by default. A hash that is in a class already stays there.
    pub fn equal_schemas(mut self, class: impl IntoIterator<Item = SchemaHash>) -> Self {
        let class: Vec<_> = class.into_iter().collect();
        for hash in &class {
            self.class_of
                .entry(hash.clone())
                .or_insert(self.classes.len());
        }
        self.classes.push(class);
        self
    }

    /// The class of a hash; `None` when it stands for itself alone.
    pub(crate) fn class(&self, hash: &SchemaHash) -> Option<usize> {
        self.class_of.get(hash).copied()
    }

    /// The hashes of a class, those of a wire version first.
    pub(crate) fn hashes(&self, class: usize, wire: WireVersion) -> Vec<SchemaHash> {
        let own = match wire {
            WireVersion::V2 => "01",
            WireVersion::V3 => "02",
        };
        let class = self.classes.get(class).map_or(&[][..], Vec::as_slice);
        let (first, rest): (Vec<_>, Vec<_>) = class
            .iter()
            .cloned()
            .partition(|hash| hash.as_str().starts_with(own));
        first.into_iter().chain(rest).collect()
    }
}

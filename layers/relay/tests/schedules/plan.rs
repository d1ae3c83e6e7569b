//! What a run is about: which documents there are, and how the hubs are linked.
//!
//! In: random numbers of a seed. Out: the documents, gates and links of a run. Pure.

use kyneta_uds_core::DocId;
use kyneta_uds_relay::{Access, Gate, Switch, SwitchConfig};

use crate::random::Random;

/// Which documents there are: a letter for the class of each, and how many variants of it there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) classes: &'static str,
    pub(crate) variants: usize,
    pub(crate) has_gates: bool,
    pub(crate) hubs: usize,
    net: Net,
}

/// How hubs are linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Net {
    /// Each with each; nothing passes from one link to another.
    Mesh,
    /// As a tree: the hub at n with the one at (n - 1) / 2. Links pass on what comes over other links.
    Tree,
}

impl Plan {
    /// One hub.
    pub(crate) const fn new(classes: &'static str) -> Self {
        Self {
            classes,
            variants: 1,
            has_gates: false,
            hubs: 1,
            net: Net::Mesh,
        }
    }

    pub(crate) const fn variants(mut self, variants: usize) -> Self {
        self.variants = variants;
        self
    }

    /// Some members may not write some documents, or not see them.
    pub(crate) const fn gates(mut self) -> Self {
        self.has_gates = true;
        self
    }

    pub(crate) const fn mesh(mut self, hubs: usize) -> Self {
        (self.hubs, self.net) = (hubs, Net::Mesh);
        self
    }

    pub(crate) const fn tree(mut self, hubs: usize) -> Self {
        (self.hubs, self.net) = (hubs, Net::Tree);
        self
    }

    /// The two hubs of each link.
    pub(crate) fn links(self) -> Vec<[usize; 2]> {
        let pairs = (0..self.hubs).flat_map(|a| (a + 1..self.hubs).map(move |b| [a, b]));
        let is_linked = |[a, b]: &[usize; 2]| self.net == Net::Mesh || *a == (b - 1) / 2;
        pairs.filter(is_linked).collect()
    }

    /// A hub without memory.
    pub(crate) fn switch(self, seed: u64) -> Switch {
        let config = SwitchConfig::default().links_relay(self.net == Net::Tree);
        if !self.has_gates {
            return Switch::new(config);
        }
        let gate = Gate::everything()
            .and(move |member, doc| access(seed, member.peer_id().unwrap_or_default(), doc));
        Switch::new(config.gate(gate))
    }

    pub(crate) fn access(self, seed: u64, member: usize, doc: &DocId) -> Access {
        if self.has_gates {
            access(seed, &member.to_string(), doc)
        } else {
            Access::Write
        }
    }
}

/// What a member may do with a document: the same each time.
fn access(seed: u64, member: &str, doc: &DocId) -> Access {
    let of = member.bytes().chain(doc.as_str().bytes());
    let of = of.fold(seed, |of, byte| of.wrapping_mul(31) + u64::from(byte));
    match Random::new(of).below(10) {
        0..6 => Access::Write,
        6..8 => Access::Read,
        _ => Access::None,
    }
}

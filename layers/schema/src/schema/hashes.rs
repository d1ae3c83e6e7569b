//! The hashes of a schema, which are made once.
//!
//! In: how a hash is made. Out: the hash. Touches nothing.

use std::sync::OnceLock;

use kyneta_uds_core::{SchemaHash, WireVersion};

/// Those of both releases.
#[derive(Default)]
pub(super) struct Hashes([OfRelease; 2]);

#[derive(Default)]
struct OfRelease {
    own: OnceLock<Option<SchemaHash>>,
    supported: OnceLock<Option<Vec<SchemaHash>>>,
}

impl Hashes {
    const fn of(&self, wire: WireVersion) -> &OfRelease {
        let Self([release_1, release_2]) = self;
        match wire {
            WireVersion::V2 => release_1,
            WireVersion::V3 => release_2,
        }
    }

    /// The hash of the schema itself.
    pub(super) fn own(
        &self,
        wire: WireVersion,
        make: impl FnOnce() -> Option<SchemaHash>,
    ) -> Option<SchemaHash> {
        self.of(wire).own.get_or_init(make).clone()
    }

    /// Those of all schemas that it supports.
    pub(super) fn supported(
        &self,
        wire: WireVersion,
        make: impl FnOnce() -> Option<Vec<SchemaHash>>,
    ) -> Option<Vec<SchemaHash>> {
        self.of(wire).supported.get_or_init(make).clone()
    }
}

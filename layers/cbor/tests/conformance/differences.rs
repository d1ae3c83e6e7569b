//! What ours does otherwise than the reference, on purpose: each case by name, with its reason.

use kyneta_uds_core::WireVersion;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Difference {
    pub(crate) name: &'static str,
    pub(crate) reason: &'static str,
}

/// The list is exact: what differs is listed, and what is listed differs.
pub(crate) fn assert_listed(listed: &[Difference], differing: &[&str]) {
    let stale: Vec<_> = listed
        .iter()
        .map(|entry| entry.name)
        .filter(|name| !differing.contains(name))
        .collect();
    let missing: Vec<_> = differing
        .iter()
        .filter(|name| !listed.iter().any(|entry| entry.name == **name))
        .collect();
    assert!(missing.is_empty(), "not listed: {missing:#?}");
    assert!(stale.is_empty(), "listed, but equal: {stale:#?}");
}

pub(crate) fn sessions(_wire: WireVersion) -> Vec<Difference> {
    Vec::new()
}

pub(crate) fn inbound(_wire: WireVersion) -> Vec<Difference> {
    Vec::new()
}

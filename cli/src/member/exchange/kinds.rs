//! The kinds of documents that this build has.

use kyneta_uds::{
    Identity,
    documents::{Exchange, ExchangeBuilder, Substrate},
};

/// Their names are those of `--open`.
pub(super) const KINDS: &[Substrate] = &[
    Substrate::Plain,
    Substrate::Ephemeral,
    #[cfg(feature = "loro")]
    Substrate::Loro,
    #[cfg(feature = "yjs")]
    Substrate::Yjs,
];

/// An exchange with all of them.
pub(super) fn builder(identity: Identity) -> ExchangeBuilder {
    let builder = Exchange::builder(identity);
    #[cfg(feature = "loro")]
    let builder = builder.kind(kyneta_uds_loro::LoroKind);
    #[cfg(feature = "yjs")]
    let builder = builder.kind(kyneta_uds_yjs::YjsKind);
    builder
}

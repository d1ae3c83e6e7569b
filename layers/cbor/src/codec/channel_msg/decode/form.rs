//! The two forms of a decoded offer: by value, and by reference.
//!
//! In: the parts of an offer, as [`fast`](super::fast) finds them. Out: the offer. State: the document and the lineage
//! that were named last.

use kyneta_uds_core::{
    Data, DataRef, DocId, Encoding, Lineage, Offer, OfferRef, PayloadKind, Version, VersionRef,
};

use super::{InboundState, alias::Meaning, cursor::Cursor};

/// How a message names its document.
#[derive(Clone, Copy)]
pub(super) enum DocRef<'a> {
    Alias(u32),
    Text(&'a str),
}

impl DocRef<'_> {
    #[inline(always)]
    pub(super) fn by_value(self, known: &mut InboundState) -> Option<DocId> {
        match self {
            Self::Alias(alias) => meaning(known, alias).cloned(),
            Self::Text(text) => known.doc(text).ok(),
        }
    }
}

#[inline(always)]
fn meaning(known: &InboundState, alias: u32) -> Option<&DocId> {
    match known.docs.resolve_index(alias)? {
        Meaning::Text(doc) => Some(doc),
        Meaning::TooLong(_) => None,
    }
}

/// What the parts of an offer become. `None`: [`general`](super::general) is to read it.
pub(super) trait Form<'a> {
    type Data;
    type Version;
    type Doc;
    type Lineage;
    type Offer;

    fn bytes(cursor: &mut Cursor<'a>, len: u64) -> Option<Self::Data>;
    fn text(cursor: &mut Cursor<'a>, len: u64) -> Option<Self::Data>;
    fn version(cursor: &mut Cursor<'a>) -> Option<Self::Version>;
    fn doc(&mut self, doc: DocRef<'a>) -> Option<Self::Doc>;
    fn lineage(&mut self, text: &'a str) -> Option<Self::Lineage>;

    #[allow(clippy::too_many_arguments)] // The fields of an offer.
    fn offer(
        self,
        kind: PayloadKind,
        encoding: Encoding,
        data: Self::Data,
        version: Self::Version,
        doc: Self::Doc,
        reciprocate: Option<bool>,
        lineage: Option<Self::Lineage>,
    ) -> Option<Self::Offer>;
}

pub(super) struct ByValue<'s>(pub(super) &'s mut InboundState);

impl<'a> Form<'a> for ByValue<'_> {
    type Data = Data;
    type Version = Version;
    type Doc = DocId;
    type Lineage = Lineage;
    type Offer = Offer;

    #[inline(always)]
    fn bytes(cursor: &mut Cursor<'a>, len: u64) -> Option<Data> {
        Some(Data::Bytes(cursor.bytes(len)?))
    }

    #[inline(always)]
    fn text(cursor: &mut Cursor<'a>, len: u64) -> Option<Data> {
        Some(Data::Text(cursor.byte_string(len)?))
    }

    #[inline(always)]
    fn version(cursor: &mut Cursor<'a>) -> Option<Version> {
        cursor.bounded_str()
    }

    #[inline(always)]
    fn doc(&mut self, doc: DocRef<'a>) -> Option<DocId> {
        doc.by_value(self.0)
    }

    #[inline(always)]
    fn lineage(&mut self, text: &'a str) -> Option<Lineage> {
        self.0.lineage(text).ok()
    }

    #[inline(always)]
    fn offer(
        self,
        kind: PayloadKind,
        encoding: Encoding,
        data: Data,
        version: Version,
        doc: DocId,
        reciprocate: Option<bool>,
        lineage: Option<Lineage>,
    ) -> Option<Offer> {
        Some(Offer {
            doc,
            kind,
            encoding,
            data,
            version,
            reciprocate,
            lineage,
            // `general` reads it: links alone write it.
            base: None,
        })
    }
}

/// Without an allocation or a reference count. A lineage that is not kept has no place to be referred to.
pub(super) struct ByRef<'a>(pub(super) &'a mut InboundState);

impl<'a> Form<'a> for ByRef<'a> {
    type Data = DataRef<'a>;
    type Version = VersionRef<'a>;
    /// The alias, or `None` for the document that was named last.
    type Doc = Option<u32>;
    /// The one that was named last.
    type Lineage = ();
    type Offer = OfferRef<'a>;

    #[inline(always)]
    fn bytes(cursor: &mut Cursor<'a>, len: u64) -> Option<DataRef<'a>> {
        Some(DataRef::Bytes(cursor.take(len)?))
    }

    #[inline(always)]
    fn text(cursor: &mut Cursor<'a>, len: u64) -> Option<DataRef<'a>> {
        Some(DataRef::Text(cursor.str(len)?))
    }

    #[inline(always)]
    fn version(cursor: &mut Cursor<'a>) -> Option<VersionRef<'a>> {
        VersionRef::from_utf8(cursor.text_bytes()?)
    }

    #[inline(always)]
    fn doc(&mut self, doc: DocRef<'a>) -> Option<Option<u32>> {
        match doc {
            DocRef::Alias(alias) => Some(Some(alias)),
            DocRef::Text(text) => self.0.doc(text).ok().map(|_| None),
        }
    }

    #[inline(always)]
    fn lineage(&mut self, text: &'a str) -> Option<()> {
        self.0.lineage(text).ok().map(drop)
    }

    #[inline(always)]
    fn offer(
        self,
        kind: PayloadKind,
        encoding: Encoding,
        data: DataRef<'a>,
        version: VersionRef<'a>,
        doc: Option<u32>,
        reciprocate: Option<bool>,
        lineage: Option<()>,
    ) -> Option<OfferRef<'a>> {
        let known = &*self.0;
        Some(OfferRef {
            doc: match doc {
                Some(alias) => meaning(known, alias)?,
                None => known.last_doc.as_ref()?,
            },
            kind,
            encoding,
            data,
            version,
            reciprocate,
            lineage: match lineage {
                Some(()) => Some(known.last_lineage.as_ref()?),
                None => None,
            },
            base: None,
        })
    }
}

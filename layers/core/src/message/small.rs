//! Small offers by reference, copied into one block of memory: what a queue holds of them until they are written.
//!
//! In: offers by reference. Out: the same, in order. Touches nothing.
//!
//! Three vectors, because 10,000 offers are then three allocations that are used again: the bytes of all, where each
//! ends, and the documents, each once in a row.

use bytes::Bytes;
use bytestring::ByteString;

use super::{Data, DataRef, Encoding, Offer, OfferRef, PayloadKind};
use crate::text::{DocId, VersionRef};

/// A small offer by reference: data and version have at most [`MAX`](Self::MAX) bytes together, and there is no lineage and
/// no base.
///
/// ```
/// use kyneta_uds_core::{DocId, Offer, SmallOffer, Version};
///
/// let offer = Offer::binary(DocId::new("d")?, Version::new("1")?, &b"state"[..]);
/// let small = SmallOffer::of(&(&offer).into()).ok_or("it is not small")?;
/// assert_eq!((small.data, small.version), (&b"state"[..], &b"1"[..]));
/// assert_eq!(small.to_offer(), offer);
///
/// let large = Offer::binary(DocId::new("d")?, Version::new("1")?, vec![0; 5000]);
/// assert_eq!(SmallOffer::of(&(&large).into()), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SmallOffer<'a> {
    /// Which document.
    pub doc: &'a DocId,
    /// All of it, or the changes.
    pub kind: PayloadKind,
    /// How to read the data.
    pub encoding: Encoding,
    /// The data are a CBOR text, not a byte string.
    pub is_text: bool,
    /// The data.
    pub data: &'a [u8],
    /// The version that the receiver has afterwards, a text.
    pub version: &'a [u8],
    /// Asks the receiver to answer with its own state. Absent and false are kept apart.
    pub reciprocate: Option<bool>,
}

impl<'a> SmallOffer<'a> {
    /// The most that data and version have together, bytes. From here on a copy in memory that is used again is no cheaper
    /// than a message by value.
    pub const MAX: usize = 4096;

    /// The offer, if it is a small one.
    #[inline]
    pub fn of(offer: &OfferRef<'a>) -> Option<Self> {
        let (data, version) = (offer.data.as_slice(), offer.version.as_bytes());
        let size = data.len() + version.len();
        if size > Self::MAX || offer.lineage.is_some() || offer.base.is_some() {
            return None;
        }
        Some(Self {
            doc: offer.doc,
            kind: offer.kind,
            encoding: offer.encoding,
            is_text: matches!(offer.data, DataRef::Text(_)),
            data,
            version,
            reciprocate: offer.reciprocate,
        })
    }

    /// The offer by value: a copy.
    pub fn to_offer(&self) -> Offer {
        let data = Bytes::copy_from_slice(self.data);
        Offer {
            doc: self.doc.clone(),
            kind: self.kind,
            encoding: self.encoding,
            data: match self.is_text {
                // Never an error: it was a text when it was made one of these.
                true => Data::Text(ByteString::try_from(data).unwrap_or_default()),
                false => Data::Bytes(data),
            },
            version: VersionRef::of_checked(self.version).to_bounded_str(),
            reciprocate: self.reciprocate,
            lineage: None,
            base: None,
        }
    }
}

/// Small offers that wait, in order, in memory of their own.
///
/// ```
/// use kyneta_uds_core::{DocId, Offer, SmallOffer, SmallOffers, Version};
///
/// let offer = Offer::binary(DocId::new("d")?, Version::new("1")?, &b"state"[..]);
/// let small = SmallOffer::of(&(&offer).into()).ok_or("it is not small")?;
/// let mut waiting = SmallOffers::default();
/// waiting.push(&small);
/// assert_eq!(waiting.front(), Some(small));
/// waiting.pop();
/// assert!(waiting.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct SmallOffers {
    /// Data and version of each.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// The document of each, once for all that follow one another.
    docs: Vec<DocId>,
    /// The first entry, and where its bytes begin.
    first: usize,
    start: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    doc: u32,
    /// Of its message by value.
    size: u32,
    data: u16,
    version: u16,
    kind: PayloadKind,
    encoding: Encoding,
    is_text: bool,
    reciprocate: Option<bool>,
}

impl Entry {
    const fn bytes(&self) -> usize {
        self.data as usize + self.version as usize
    }
}

impl SmallOffers {
    /// Adds a copy at the end.
    // Always: the small fields would go through memory, one by one, and be read together, which takes 5 ns.
    #[inline(always)]
    pub fn push(&mut self, offer: &SmallOffer<'_>) {
        if !self.docs.last().is_some_and(|last| last.same(offer.doc)) {
            self.add_doc(offer.doc);
        }
        self.bytes.extend_from_slice(offer.data);
        self.bytes.extend_from_slice(offer.version);
        self.entries.push(Entry {
            doc: (self.docs.len() - 1) as u32,
            size: offer.size() as u32,
            data: offer.data.len() as u16,
            version: offer.version.len() as u16,
            kind: offer.kind,
            encoding: offer.encoding,
            is_text: offer.is_text,
            reciprocate: offer.reciprocate,
        });
    }

    #[cold]
    fn add_doc(&mut self, doc: &DocId) {
        self.docs.push(doc.clone());
    }

    /// The first one.
    #[inline]
    pub fn front(&self) -> Option<SmallOffer<'_>> {
        let entry = self.entries.get(self.first)?;
        let rest = self.bytes.get(self.start..)?;
        let (data, rest) = rest.split_at_checked(usize::from(entry.data))?;
        Some(SmallOffer {
            doc: self.docs.get(entry.doc as usize)?,
            kind: entry.kind,
            encoding: entry.encoding,
            is_text: entry.is_text,
            data,
            version: rest.get(..usize::from(entry.version))?,
            reciprocate: entry.reciprocate,
        })
    }

    /// Removes the first one: its [size](SmallOffer::size). When that was the last, the memory is used again from its
    /// beginning.
    #[inline]
    pub fn pop(&mut self) -> Option<usize> {
        let entry = *self.entries.get(self.first)?;
        self.start += entry.bytes();
        self.first += 1;
        if self.first == self.entries.len() {
            self.clear();
        }
        Some(entry.size as usize)
    }

    /// The [size](SmallOffer::size) of each that waits, in order.
    pub fn sizes(&self) -> impl DoubleEndedIterator<Item = usize> {
        let waiting = self.entries.get(self.first..).unwrap_or_default();
        waiting.iter().map(|entry| entry.size as usize)
    }

    /// Moves the first `count` of `others` to the end of these.
    pub fn take_from(&mut self, others: &mut Self, count: usize) {
        if self.is_empty() && count >= others.len() {
            std::mem::swap(self, others);
            return;
        }
        let end = others.first + count.min(others.len());
        let moved = others.entries.get(others.first..end).unwrap_or_default();
        let [Some(first), Some(last)] = [moved.first(), moved.last()] else {
            return;
        };
        let docs = others.docs.get(first.doc as usize..=last.doc as usize);
        let bytes = moved.iter().map(Entry::bytes).sum::<usize>();
        let bytes = others.start..others.start + bytes;
        let (Some(mut docs), Some(data)) = (docs, others.bytes.get(bytes.clone())) else {
            return;
        };
        // The document of the first one may be that of the last one here.
        let mut at = self.docs.len();
        if let (Some(last), [next, rest @ ..]) = (self.docs.last(), docs)
            && last.same(next)
        {
            (at, docs) = (at - 1, rest);
        }
        self.docs.extend_from_slice(docs);
        self.bytes.extend_from_slice(data);
        self.entries.extend(moved.iter().map(|entry| Entry {
            doc: (entry.doc - first.doc) + at as u32,
            ..*entry
        }));
        (others.first, others.start) = (end, bytes.end);
        if others.is_empty() {
            others.clear();
        }
    }

    /// How many wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.entries.len() - self.first
    }

    /// True when none waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all, and keeps the memory.
    #[inline(never)]
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.docs.clear();
        (self.first, self.start) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChannelMsg, Lineage, Offer, Version};

    /// Offers of all forms: sizes up to the limit and beyond, three documents.
    fn offers() -> Vec<Offer> {
        let mut offers = Vec::new();
        let docs = ["d0", "d1", "d2"].map(|doc| DocId::new(doc).unwrap());
        for n in 0..300_usize {
            let doc = docs[n / 7 % 3].clone();
            let version = Version::new("v".repeat(n % 19)).unwrap();
            let mut offer = match n % 3 {
                0 => Offer::json(doc, version, "é".repeat(n / 4)),
                _ => Offer::binary(doc, version, vec![n as u8; 20 * n]),
            };
            if n % 2 == 0 {
                offer = offer.delta();
            }
            offer.reciprocate = [None, Some(false), Some(true)][n / 2 % 3];
            offers.push(offer);
        }
        offers
    }

    fn small(offer: &Offer) -> Option<SmallOffer<'_>> {
        SmallOffer::of(&offer.into())
    }

    fn fits(offer: &&Offer) -> bool {
        small(offer).is_some()
    }

    #[test]
    fn what_is_put_in_comes_out_in_order_whatever_is_taken_when() {
        // By turns so many are put in, and so many are taken out.
        for (put, take) in [(1, 1), (3, 2), (7, 5), (300, 300)] {
            let (mut waiting, mut out) = (SmallOffers::default(), Vec::new());
            for part in offers().chunks(put) {
                for offer in part {
                    let size = offer.data.len() + offer.version.as_bytes().len();
                    assert_eq!(small(offer).is_some(), size <= SmallOffer::MAX);
                    if let Some(small) = small(offer) {
                        waiting.push(&small);
                    }
                }
                for _ in 0..take {
                    out.extend(waiting.front().map(|offer| offer.to_offer()));
                    waiting.pop();
                }
            }
            while let Some(offer) = waiting.front() {
                out.push(offer.to_offer());
                waiting.pop();
            }
            let all: Vec<_> = offers().into_iter().filter(|offer| fits(&offer)).collect();
            assert!(out == all && all.len() > 200, "{put} in, {take} out");
            assert_eq!(waiting.len(), 0);
        }
    }

    #[test]
    fn those_of_another_follow_as_many_as_are_asked_for() {
        let all = offers().into_iter().filter(|offer| fits(&offer));
        let all: Vec<_> = all.take(20).collect();
        for (here, there, count) in [(0, 20, 20), (0, 20, 7), (9, 11, 11), (9, 11, 0), (9, 11, 3)] {
            let (mut first, mut second) = (SmallOffers::default(), SmallOffers::default());
            for (n, offer) in all.iter().enumerate() {
                let into = if n < here { &mut first } else { &mut second };
                into.push(&small(offer).unwrap());
            }
            first.take_from(&mut second, count);
            assert_eq!((first.len(), second.len()), (here + count, there - count));
            let (here, there) = all.split_at(here + count);
            for (waiting, due) in [(&mut first, here), (&mut second, there)] {
                for offer in due {
                    assert_eq!(waiting.front(), small(offer));
                    assert_eq!(waiting.pop(), small(offer).map(|offer| offer.size()));
                }
                assert!(waiting.is_empty());
            }
        }
    }

    #[test]
    fn with_a_lineage_or_a_base_it_is_no_small_one() {
        let offer = offers().remove(1);
        let version = Version::new("1").unwrap();
        let others = [
            offer.clone().lineage(Lineage::new("l").unwrap()),
            offer.since(version),
        ];
        for other in &others {
            assert_eq!(small(other), None);
        }
    }

    #[test]
    fn an_offer_has_the_size_of_its_message() {
        for offer in offers() {
            let size = OfferRef::from(&offer).size();
            if let Some(small) = small(&offer) {
                assert_eq!(small.size(), size);
            }
            assert_eq!(size, crate::Message::size(&ChannelMsg::from(offer)));
        }
    }
}

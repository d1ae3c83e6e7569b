//! Heads and offers as bytes. Pure.
//!
//! Each is a [`Saved`] value, so later versions may add fields, and say whether this one may still read it.

use kyneta_uds_core::{
    ByteString, Data, DocId, Lineage, Offer, PayloadKind, Saved, SavedError, SchemaHash, Version,
};
use kyneta_uds_schema::Substrate;

use crate::stored::Head;

/// The version that is written, and the oldest and newest that are read.
const VERSION: u32 = 1;

/// The names of the hashes for wire version 2 and 3.
const HASHES: [&str; 2] = ["schema2", "schema3"];

pub(crate) fn encode_head(head: &Head) -> Vec<u8> {
    let mut saved = Saved::new(VERSION, VERSION)
        .with("kind", head.substrate.name())
        .with("opened", head.is_opened);
    for (name, hash) in HASHES.into_iter().zip(&head.schema) {
        if let Some(hash) = hash {
            saved = saved.with(name, hash.as_str());
        }
    }
    if let Some(number) = head.number {
        saved = saved.with("number", number);
    }
    saved.encode()
}

pub(crate) fn decode_head(bytes: &[u8]) -> Result<Head, SavedError> {
    let saved = Saved::decode(bytes)?;
    saved.check("a stored document", VERSION..=VERSION)?;
    let kind = saved.text("kind")?;
    let known = Substrate::ALL.into_iter().find(|it| it.name() == kind);
    let mut head = Head::new(known.ok_or(SavedError::Value {
        name: "kind",
        why: "this version knows no such kind of document",
    })?);
    head.is_opened = saved.flag("opened")?;
    for (name, hash) in HASHES.into_iter().zip(&mut head.schema) {
        if saved.get(name).is_some() {
            *hash = Some(SchemaHash::new(saved.text(name)?).map_err(|_| wrong(name))?);
        }
    }
    head.number = saved.number_if_any("number")?;
    Ok(head)
}

/// Without the document's id, which is the key.
pub(crate) fn encode_offer(offer: &Offer) -> Vec<u8> {
    let mut saved = Saved::new(VERSION, VERSION)
        .with("whole", offer.kind == PayloadKind::Entirety)
        .with("at", offer.version.as_str());
    saved = match &offer.data {
        Data::Text(text) => saved.with("text", text.to_string()),
        Data::Bytes(bytes) => saved.with("bytes", bytes.clone()),
    };
    if let Some(lineage) = &offer.lineage {
        saved = saved.with("lineage", lineage.as_str());
    }
    saved.encode()
}

pub(crate) fn decode_offer(doc: DocId, bytes: &[u8]) -> Result<Offer, SavedError> {
    let saved = Saved::decode(bytes)?;
    saved.check("a stored change", VERSION..=VERSION)?;
    let version = Version::new(saved.text("at")?).map_err(|_| wrong("at"))?;
    let mut offer = match saved.get("bytes") {
        Some(_) => Offer::binary(doc, version, saved.bytes("bytes")?.clone()),
        None => Offer::json(doc, version, ByteString::from(saved.text("text")?)),
    };
    if !saved.flag("whole")? {
        offer = offer.delta();
    }
    if saved.get("lineage").is_some() {
        let lineage = Lineage::new(saved.text("lineage")?).map_err(|_| wrong("lineage"))?;
        offer = offer.lineage(lineage);
    }
    Ok(offer)
}

const fn wrong(name: &'static str) -> SavedError {
    SavedError::Value {
        name,
        why: "it is too long, or of another type",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kyneta_uds_core::{Bytes, Encoding};

    fn offers() -> Vec<Offer> {
        let id = || DocId::new("d").unwrap();
        let at = || Version::new("aa:1").unwrap();
        let lineage = Lineage::new("aa").unwrap();
        vec![
            Offer::json(id(), at(), "{}").lineage(lineage),
            Offer::json(id(), at(), "[]").delta(),
            Offer::binary(id(), at(), Bytes::from_static(b"\0\xff")),
            Offer::binary(id(), at(), Bytes::new()).delta(),
        ]
    }

    #[test]
    fn an_offer_and_a_head_come_back_as_they_were() {
        for offer in offers() {
            let bytes = encode_offer(&offer);
            let back = decode_offer(offer.doc.clone(), &bytes).unwrap();
            assert_eq!(back, offer);
            assert_eq!(
                back.encoding == Encoding::Json,
                matches!(back.data, Data::Text(_))
            );
        }
        for substrate in Substrate::ALL {
            let mut head = Head::new(substrate);
            assert_eq!(decode_head(&encode_head(&head)).unwrap(), head);
            head.schema[1] = Some(SchemaHash::new("02bb").unwrap());
            head.is_opened = true;
            head.number = Some(u64::MAX);
            assert_eq!(decode_head(&encode_head(&head)).unwrap(), head);
        }
    }

    #[test]
    fn bytes_cut_or_changed_anywhere_are_an_error_or_another_value_and_never_a_panic() {
        for offer in offers() {
            let bytes = encode_offer(&offer);
            for at in 0..bytes.len() {
                assert!(decode_offer(offer.doc.clone(), &bytes[..at]).is_err());
                let mut changed = bytes.clone();
                changed[at] ^= 0x41;
                let _ = decode_offer(offer.doc.clone(), &changed);
                let _ = decode_head(&changed);
            }
        }
    }

    #[test]
    fn a_later_version_is_refused_unless_it_says_that_this_one_may_read_it() {
        let later = |lowest| {
            let saved = Saved::new(2, lowest).with("kind", "json");
            saved.with("opened", true).with("new", 1_u64).encode()
        };
        assert!(decode_head(&later(1)).is_ok());
        let error = decode_head(&later(2)).unwrap_err().to_string();
        assert!(
            error.contains("version 2") && error.contains("this is version 1"),
            "{error}"
        );
    }
}

//! A message in short, on one line.
//!
//! In: a message. Out: a line: long texts are cut, control characters escaped. Pure.

use std::fmt;

use kyneta_uds::{ChannelMsg, Data, Offer, PayloadKind};

use crate::style::Escaped;

/// Displays a message in short.
pub(super) struct Summary<'a>(pub(super) &'a ChannelMsg);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.kind())?;
        match self.0 {
            ChannelMsg::Establish(establish) => {
                write!(f, " {}", Escaped(establish.identity.peer_id.as_str()))
            }
            ChannelMsg::Depart => Ok(()),
            ChannelMsg::Present(docs) => {
                const SHOWN: usize = 4;
                for (index, entry) in docs.iter().take(SHOWN).enumerate() {
                    write!(
                        f,
                        "{} {}",
                        if index > 0 { "," } else { "" },
                        Escaped(entry.doc.as_str())
                    )?;
                }
                match docs.len().saturating_sub(SHOWN) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            ChannelMsg::Interest(interest) => {
                write!(f, " {}", Escaped(interest.doc.as_str()))?;
                interest.version.as_ref().map_or(Ok(()), |version| {
                    write!(f, " since version {}", Short(version))
                })
            }
            ChannelMsg::Offer(offer) => write_offer(f, offer),
            ChannelMsg::Dismiss(doc) | ChannelMsg::Vacant(doc) => {
                write!(f, " {}", Escaped(doc.as_str()))
            }
        }
    }
}

fn write_offer(f: &mut fmt::Formatter<'_>, offer: &Offer) -> fmt::Result {
    let kind = match offer.kind {
        PayloadKind::Entirety => "whole",
        PayloadKind::Since => "delta",
    };
    write!(
        f,
        " {} version {} {kind}: ",
        Escaped(offer.doc.as_str()),
        Short(&offer.version)
    )?;
    match &offer.data {
        Data::Text(text) => write!(f, "{}", Short(text)),
        Data::Bytes(bytes) if bytes.len() <= 16 => write!(f, "0x{}", hex::encode(bytes)),
        Data::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
    }
}

/// A text, cut if it is long.
struct Short<'a>(&'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 60;
        match self.0.char_indices().nth(SHOWN) {
            None => Escaped(self.0).fmt(f),
            Some((end, _)) => {
                let shown = self.0.get(..end).unwrap_or_default();
                write!(f, "{}... ({} bytes)", Escaped(shown), self.0.len())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kyneta_uds::{Bytes, DocId, Interest, Version};

    use super::*;

    #[test]
    fn messages_in_short() {
        let doc = || DocId::new("d").unwrap();
        let version = || Version::new("3").unwrap();
        for (msg, expected) in [
            (ChannelMsg::Depart, "depart"),
            (ChannelMsg::Dismiss(doc()), "dismiss d"),
            (
                ChannelMsg::Vacant(DocId::new("\x1b[2J\nx").unwrap()),
                "vacant \\u{1b}[2J\\nx",
            ),
            (
                Interest::new(doc()).since(version()).into(),
                "interest d since version 3",
            ),
            (
                Offer::binary(doc(), version(), Bytes::from_static(&[1, 2])).into(),
                "offer d version 3 whole: 0x0102",
            ),
            (
                Offer::binary(doc(), version(), vec![0; 17]).delta().into(),
                "offer d version 3 delta: 17 bytes",
            ),
            (
                Offer::json(doc(), version(), "a\x1b[1m").into(),
                "offer d version 3 whole: a\\u{1b}[1m",
            ),
        ] {
            assert_eq!(Summary(&msg).to_string(), expected);
        }
    }
}

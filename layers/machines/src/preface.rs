//! What both sides say before payload: bytes from and to values.
//!
//! In: values or bytes. Out: bytes or values, or an error. Touches nothing.
//!
//! ```text
//! opener    "kynL" version:1 kind:1 (1 link, 2 knock)  by:8 attempt:8 seen by:8 seen attempt:8  length:1 name
//! answerer  "kynL" version:1 code:1 (0 welcome)        by:8                                     length:1 name
//! ```
//! Numbers are big-endian. `seen` is zero where there is none.

use crate::link::{Hello, Incarnation, Knock, Refusal};

const MAGIC: [u8; 4] = *b"kynL";
const VERSION: u8 = 1;

/// How many bytes come before the name, of an opener and of an answerer.
pub(crate) const OPENER: usize = 39;
pub(crate) const ANSWERER: usize = 15;

/// What the side says that opens a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    Link(Hello),
    Knock { attempt: u64, knock: Knock },
}

/// What the other side answers.
pub(crate) type Answer = Result<Incarnation, Refusal>;

/// Why bytes are no preface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PrefaceError {
    #[error("it does not begin as a link of kyneta-uds does")]
    Magic,
    #[error("it speaks version {0} of links; this side, version {VERSION}")]
    Version(u8),
    #[error("its kind or code {0} is not known here")]
    Kind(u8),
    #[error("it ends too early")]
    Short,
}

impl Opening {
    pub(crate) fn encode(self, name: &str) -> Vec<u8> {
        let none = Hello {
            by: Incarnation(0),
            attempt: 0,
        };
        let (kind, first, seen) = match self {
            Self::Link(hello) => (1, hello, none),
            Self::Knock { attempt, knock } => {
                let by = knock.by;
                (2, Hello { by, attempt }, knock.seen.unwrap_or(none))
            }
        };
        let mut bytes = head(kind);
        for number in [first.by.0, first.attempt, seen.by.0, seen.attempt] {
            bytes.extend(number.to_be_bytes());
        }
        push_name(&mut bytes, name);
        bytes
    }

    /// What it is, and how long the name is that follows.
    pub(crate) fn decode(bytes: &[u8; OPENER]) -> Result<(Self, usize), PrefaceError> {
        let mut bytes = &bytes[..];
        let kind = take_head(&mut bytes)?;
        let by = Incarnation(take_number(&mut bytes)?);
        let attempt = take_number(&mut bytes)?;
        let seen = Hello {
            by: Incarnation(take_number(&mut bytes)?),
            attempt: take_number(&mut bytes)?,
        };
        let opening = match kind {
            1 => Self::Link(Hello { by, attempt }),
            2 => {
                let seen = (seen.attempt > 0).then_some(seen);
                let knock = Knock { by, seen };
                Self::Knock { attempt, knock }
            }
            other => return Err(PrefaceError::Kind(other)),
        };
        Ok((opening, take_length(bytes)?))
    }
}

pub(crate) fn encode_answer(answer: Answer, name: &str) -> Vec<u8> {
    let (code, by) = match answer {
        Ok(by) => (0, by.0),
        Err(refusal) => (code_of(refusal), 0),
    };
    let mut bytes = head(code);
    bytes.extend(by.to_be_bytes());
    push_name(&mut bytes, name);
    bytes
}

/// What it answers, and how long the name is that follows.
pub(crate) fn decode_answer(bytes: &[u8; ANSWERER]) -> Result<(Answer, usize), PrefaceError> {
    let mut bytes = &bytes[..];
    let code = take_head(&mut bytes)?;
    let by = Incarnation(take_number(&mut bytes)?);
    let answer = match code {
        0 => Ok(by),
        code => Err(refusal_of(code).ok_or(PrefaceError::Kind(code))?),
    };
    Ok((answer, take_length(bytes)?))
}

const REFUSALS: [Refusal; 5] = [
    Refusal::UnknownKey,
    Refusal::OtherName,
    Refusal::KeyUsedTwice,
    Refusal::Outdated,
    Refusal::WrongDirection,
];

fn code_of(refusal: Refusal) -> u8 {
    let place = REFUSALS.iter().position(|known| *known == refusal);
    place
        .and_then(|place| u8::try_from(place + 1).ok())
        .unwrap_or(u8::MAX)
}

fn refusal_of(code: u8) -> Option<Refusal> {
    let place = usize::from(code).checked_sub(1)?;
    REFUSALS.get(place).copied()
}

fn head(kind: u8) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend([VERSION, kind]);
    bytes
}

fn take_head(bytes: &mut &[u8]) -> Result<u8, PrefaceError> {
    let (magic, rest) = bytes.split_first_chunk().ok_or(PrefaceError::Short)?;
    if *magic != MAGIC {
        return Err(PrefaceError::Magic);
    }
    let ([version, kind], rest) = rest.split_first_chunk().ok_or(PrefaceError::Short)?;
    if *version != VERSION {
        return Err(PrefaceError::Version(*version));
    }
    *bytes = rest;
    Ok(*kind)
}

fn take_number(bytes: &mut &[u8]) -> Result<u64, PrefaceError> {
    let (number, rest) = bytes.split_first_chunk().ok_or(PrefaceError::Short)?;
    *bytes = rest;
    Ok(u64::from_be_bytes(*number))
}

fn take_length(bytes: &[u8]) -> Result<usize, PrefaceError> {
    bytes
        .first()
        .map(|length| usize::from(*length))
        .ok_or(PrefaceError::Short)
}

/// A name of a machine has at most 64 bytes.
fn push_name(bytes: &mut Vec<u8>, name: &str) {
    bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    bytes.extend(name.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_preface_is_read_as_it_was_written() {
        let hello = Hello {
            by: Incarnation(u64::MAX),
            attempt: 258,
        };
        for seen in [None, Some(hello)] {
            let knock = Knock {
                by: Incarnation(3),
                seen,
            };
            let knock = Opening::Knock { attempt: 4, knock };
            for opening in [Opening::Link(hello), knock] {
                let bytes = opening.encode("oslo");
                let (head, name) = bytes.split_first_chunk().unwrap();
                assert_eq!(Opening::decode(head), Ok((opening, 4)));
                assert_eq!(name, b"oslo");
            }
        }
        let answers = REFUSALS.map(Err).into_iter().chain([Ok(Incarnation(5))]);
        for answer in answers {
            let bytes = encode_answer(answer, "rome");
            let (head, name) = bytes.split_first_chunk().unwrap();
            assert_eq!(decode_answer(head), Ok((answer, 4)));
            assert_eq!(name, b"rome");
        }
    }

    #[test]
    fn what_is_no_preface_is_named() {
        let good = encode_answer(Ok(Incarnation(1)), "");
        for (place, byte, error) in [
            (0, b'x', PrefaceError::Magic),
            (4, 2, PrefaceError::Version(2)),
            (5, 9, PrefaceError::Kind(9)),
        ] {
            let mut bytes: [u8; ANSWERER] = good.clone().try_into().unwrap();
            bytes[place] = byte;
            assert_eq!(decode_answer(&bytes), Err(error));
        }
    }
}

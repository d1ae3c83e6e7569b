//! What a machine is called and known by: parsed at the border, so that every value inside is legal.
//!
//! In: text of a command line or a configuration. Out: types, or an error that says what is wrong. Touches nothing.

use std::{fmt, str::FromStr};

use crate::engine::Remote;

/// The name of a machine: 1 to 64 ASCII letters, digits, `-`, `_` and `.`. Ids of its members carry it.
///
/// ```
/// use kyneta_uds_machines::MachineName;
/// assert_eq!("rack-7.oslo".parse::<MachineName>()?.as_str(), "rack-7.oslo");
/// assert!("two words".parse::<MachineName>().is_err());
/// # Ok::<(), kyneta_uds_machines::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineName(String);

impl MachineName {
    /// How many bytes a name has at most.
    pub const MAX: usize = 64;

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MachineName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > Self::MAX {
            return Err(NameError::Length { bytes: text.len() });
        }
        match text.chars().find(|c| !legal(*c)) {
            Some(character) => Err(NameError::Character { character }),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for MachineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no name of a machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Empty or too long.
    #[error("the name of a machine has 1 to {max} bytes, this one {bytes}", max = MachineName::MAX)]
    Length {
        /// How long it is.
        bytes: usize,
    },
    /// It has a character that no name has.
    #[error(
        "the name of a machine has ASCII letters, digits, `-`, `_` and `.`, and not {character:?}"
    )]
    Character {
        /// Which.
        character: char,
    },
}

/// The public key of a machine: 32 bytes, written as 64 hexadecimal digits. The engine verifies it.
///
/// ```
/// use kyneta_uds_machines::MachineKey;
/// let key = MachineKey::from([7; 32]);
/// assert_eq!(key.to_string().parse(), Ok(key));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineKey([u8; 32]);

impl MachineKey {
    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for MachineKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for MachineKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut bytes = [0; 32];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(KeyError { bytes: text.len() }),
        }
    }
}

impl fmt::Display for MachineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for MachineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no key of a machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key of a machine is 64 hexadecimal digits, not these {bytes} bytes")]
pub struct KeyError {
    /// How long the text is.
    pub bytes: usize,
}

/// Another machine, as a configuration names it: `NAME=KEY@ADDR`. What an address is, the engine says.
///
/// ```
/// use kyneta_uds_machines::Machine;
/// use std::net::SocketAddr;
///
/// let text = format!("oslo={}@192.0.2.7:4500", "07".repeat(32));
/// let oslo: Machine<SocketAddr> = text.parse()?;
/// assert_eq!(oslo.name.as_str(), "oslo");
/// assert_eq!(oslo.address.port(), 4500);
/// # Ok::<(), kyneta_uds_machines::MachineError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Machine<A> {
    /// What it is called here. It must call itself so, too.
    pub name: MachineName,
    /// What it is known by.
    pub key: MachineKey,
    /// Where it is.
    pub address: A,
}

impl<A> Machine<A> {
    /// From its parts.
    pub fn new(name: MachineName, key: MachineKey, address: A) -> Self {
        Self { name, key, address }
    }
}

impl<A: FromStr<Err: fmt::Display>> FromStr for Machine<A> {
    type Err = MachineError;

    fn from_str(text: &str) -> Result<Self, MachineError> {
        let form = || MachineError::Form {
            text: text.chars().take(200).collect(),
        };
        let (name, rest) = text.split_once('=').ok_or_else(form)?;
        let Remote { key, address } = rest.parse()?;
        Ok(Self::new(name.parse()?, key, address))
    }
}

/// A key and where it is, without a name: `KEY@ADDR`.
impl<A: FromStr<Err: fmt::Display>> FromStr for Remote<A> {
    type Err = MachineError;

    fn from_str(text: &str) -> Result<Self, MachineError> {
        let (key, address) = text.split_once('@').ok_or_else(|| MachineError::Form {
            text: text.chars().take(200).collect(),
        })?;
        let address = address.parse().map_err(|error: A::Err| {
            let (address, reason) = (address.to_owned(), error.to_string());
            MachineError::Address { address, reason }
        })?;
        Ok(Self::new(key.parse()?, address))
    }
}

/// Why a text names no machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// A part is missing.
    #[error("a machine is given as KEY@ADDR, a named one as NAME=KEY@ADDR, not as {text:?}")]
    Form {
        /// What was given.
        text: String,
    },
    /// Its name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Its key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Its address.
    #[error("the address of a machine, {address:?}, cannot be read: {reason}")]
    Address {
        /// What was given.
        address: String,
        /// Why not.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use super::*;

    #[test]
    fn what_is_no_machine_is_refused_with_the_part_that_is_wrong() {
        let key = "0a".repeat(32);
        let long = "n".repeat(65);
        for (text, part) in [
            (format!("oslo={key}"), "NAME=KEY@ADDR"),
            (format!("{key}@127.0.0.1:1"), "NAME=KEY@ADDR"),
            (format!("={key}@127.0.0.1:1"), "1 to 64 bytes"),
            (format!("{long}={key}@127.0.0.1:1"), "1 to 64 bytes"),
            (format!("a b={key}@127.0.0.1:1"), "' '"),
            ("oslo=0a@127.0.0.1:1".to_owned(), "64 hexadecimal digits"),
            (format!("oslo=x{key}@127.0.0.1:1"), "64 hexadecimal digits"),
            (format!("oslo={key}@nowhere"), "\"nowhere\""),
        ] {
            let error = text.parse::<Machine<SocketAddr>>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

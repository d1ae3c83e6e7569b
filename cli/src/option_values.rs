//! The values of options, parsed.
//!
//! In: one word. Out: a value, or a sentence that says what is expected. Pure.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use kyneta_uds::{PeerType, SocketPath, SocketPathError, WireMode, WireVersion};

pub(crate) fn wire_mode() -> impl TypedValueParser<Value = WireMode> {
    PossibleValuesParser::new(["auto", "2", "3"]).map(|text| match text.as_str() {
        "2" => WireMode::Fixed(WireVersion::V2),
        "3" => WireMode::Fixed(WireVersion::V3),
        _ => WireMode::Auto,
    })
}

pub(crate) fn wire_version() -> impl TypedValueParser<Value = WireVersion> {
    PossibleValuesParser::new(["2", "3"]).map(|text| match text.as_str() {
        "2" => WireVersion::V2,
        _ => WireVersion::V3,
    })
}

pub(crate) fn socket_path(text: &str) -> Result<SocketPath, String> {
    SocketPath::new(text).map_err(|error| match error {
        // clap says which path.
        SocketPathError::TooLong { len, limit, .. } => {
            format!("it has {len} bytes; this platform allows {limit}")
        }
        other => other.to_string(),
    })
}

pub(crate) fn peer_type(text: &str) -> Result<PeerType, String> {
    PeerType::from_name(text).ok_or_else(|| "expected user, bot or service".to_owned())
}

/// The wire allows an empty id, but no line of stdin could sensibly address it.
pub(crate) fn not_empty(text: &str) -> Result<String, String> {
    match text {
        "" => Err("must not be empty".to_owned()),
        text => Ok(text.to_owned()),
    }
}

pub(crate) fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("expected an octal number from 0 to 777".to_owned()),
    }
}

pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a number from 1 on".to_owned()),
    }
}

pub(crate) fn micros(text: &str) -> Result<Duration, String> {
    let number = text.parse().map(Duration::from_micros);
    number.map_err(|_| "expected a number of microseconds".to_owned())
}

pub(crate) fn bytes(text: &str) -> Result<u32, String> {
    let (digits, shift) = match (text.strip_suffix("KiB"), text.strip_suffix("MiB")) {
        (Some(digits), _) => (digits, 10),
        (_, Some(digits)) => (digits, 20),
        _ => (text, 0),
    };
    let number: Option<u64> = digits.trim_end().parse().ok();
    number
        .and_then(|number| number.checked_mul(1 << shift))
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| {
            "expected a number of bytes below 4 GiB, as 65536, 64KiB or 16MiB".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_too_long_is_not_said_twice() {
        let path = "x".repeat(SocketPath::limit() + 1);
        let (len, limit) = (path.len(), SocketPath::limit());
        let expected = format!("it has {len} bytes; this platform allows {limit}");
        assert_eq!(socket_path(&path), Err(expected));
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(bytes("64"), Ok(64));
        assert_eq!(bytes("64KiB"), Ok(65536));
        assert_eq!(bytes("16MiB"), Ok(16 << 20));
        assert!(bytes("4096MiB").is_err());
        assert!(bytes("99999999999999MiB").is_err());
        assert!(bytes("-1").is_err());
    }
}

//! CBOR in diagnostic notation (RFC 8949, section 8). Pure.
//!
//! In: the bytes of one item. Out: its text; `None` where they are not one well-formed item.

use std::fmt::Write as _;

/// How deeply an item may be nested.
const MAX_DEPTH: usize = 64;

/// The text of an item that is no map with the key `t`: all messages of kyneta's are one.
pub(super) fn foreign(payload: &[u8]) -> Option<String> {
    let is_map = payload.first().is_some_and(|first| first >> 5 == 5);
    if is_map && has_kind(payload) {
        return None;
    }
    let mut reader = Reader { rest: payload };
    let mut text = String::new();
    reader.item(&mut text, 0)?;
    reader.rest.is_empty().then_some(text)
}

fn has_kind(map: &[u8]) -> bool {
    let mut reader = Reader { rest: map };
    let pairs = match reader.head() {
        Some((_, Length::Definite(pairs))) => pairs,
        Some((_, Length::Indefinite)) => u64::MAX,
        None => return false,
    };
    for _ in 0..pairs {
        let (mut key, mut value) = (String::new(), String::new());
        if reader.item(&mut key, 1).is_none() {
            return false;
        }
        if key == "\"t\"" {
            return true;
        }
        if reader.item(&mut value, 1).is_none() {
            return false;
        }
    }
    false
}

enum Length {
    Definite(u64),
    Indefinite,
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(count).ok()?)?;
        self.rest = rest;
        Some(taken)
    }

    /// The major type and the argument of the next item.
    fn head(&mut self) -> Option<(u8, Length)> {
        let first = *self.take(1)?.first()?;
        let length = match first & 31 {
            value @ 0..24 => Length::Definite(u64::from(value)),
            size @ 24..28 => {
                let bytes = self.take(1 << (size - 24))?;
                let value = bytes
                    .iter()
                    .fold(0, |value, byte| value << 8 | u64::from(*byte));
                Length::Definite(value)
            }
            31 => Length::Indefinite,
            _ => return None,
        };
        Some((first >> 5, length))
    }

    /// True, and consumed, at the end of an item of indefinite length.
    fn breaks(&mut self) -> bool {
        let breaks = self.rest.first() == Some(&0xff);
        if breaks {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        breaks
    }

    fn item(&mut self, out: &mut String, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        let size = self.rest.first()? & 31;
        let (major, length) = self.head()?;
        // Writing to a `String` does not fail.
        match (major, length) {
            (0, Length::Definite(value)) => write!(out, "{value}").ok(),
            (1, Length::Definite(value)) => write!(out, "{}", -1 - i128::from(value)).ok(),
            (2, Length::Definite(length)) => {
                let bytes = hex::encode(self.take(length)?);
                write!(out, "h'{bytes}'").ok()
            }
            (3, Length::Definite(length)) => {
                let text = std::str::from_utf8(self.take(length)?).ok()?;
                write!(out, "{}", serde_json::Value::from(text)).ok()
            }
            (2 | 3, Length::Indefinite) => {
                self.list(out, depth, Length::Indefinite, ["(_ ", ")"], 1)
            }
            (4, length) => self.list(out, depth, length, ["[", "]"], 1),
            (5, length) => self.list(out, depth, length, ["{", "}"], 2),
            (6, Length::Definite(tag)) => {
                write!(out, "{tag}(").ok()?;
                self.item(out, depth + 1)?;
                out.push(')');
                Some(())
            }
            (7, Length::Definite(value)) => simple(out, size, value),
            _ => None,
        }
    }

    /// Items between brackets, each of `parts` items.
    fn list(
        &mut self,
        out: &mut String,
        depth: usize,
        length: Length,
        [open, close]: [&str; 2],
        parts: u64,
    ) -> Option<()> {
        out.push_str(open);
        if matches!(length, Length::Indefinite) && parts > 0 && !open.ends_with(' ') {
            out.push_str("_ ");
        }
        let mut done = 0;
        loop {
            match length {
                Length::Definite(count) if done == count => break,
                Length::Indefinite if self.breaks() => break,
                _ => {}
            }
            if done > 0 {
                out.push_str(", ");
            }
            self.item(out, depth + 1)?;
            if parts == 2 {
                out.push_str(": ");
                self.item(out, depth + 1)?;
            }
            done += 1;
        }
        out.push_str(close);
        Some(())
    }
}

fn simple(out: &mut String, size: u8, value: u64) -> Option<()> {
    match (size, value) {
        (_, 20) => out.push_str("false"),
        (_, 21) => out.push_str("true"),
        (_, 22) => out.push_str("null"),
        (_, 23) => out.push_str("undefined"),
        (25, bits) => float(out, half(u16::try_from(bits).ok()?)),
        (26, bits) => float(out, f64::from(f32::from_bits(u32::try_from(bits).ok()?))),
        (27, bits) => float(out, f64::from_bits(bits)),
        (_, value) => write!(out, "simple({value})").ok()?,
    }
    Some(())
}

fn float(out: &mut String, value: f64) {
    let text = match value {
        _ if value.is_nan() => "NaN".to_owned(),
        _ if value.is_infinite() && value > 0.0 => "Infinity".to_owned(),
        _ if value.is_infinite() => "-Infinity".to_owned(),
        _ => format!("{value:?}"),
    };
    out.push_str(&text);
}

fn half(bits: u16) -> f64 {
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let value = match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From RFC 8949, appendix A.
    #[test]
    fn the_examples_of_the_standard() {
        for (bytes, text) in [
            ("00", "0"),
            ("1bffffffffffffffff", "18446744073709551615"),
            ("3bffffffffffffffff", "-18446744073709551616"),
            ("f93c00", "1.0"),
            ("f90001", "5.960464477539063e-8"),
            ("fb3ff199999999999a", "1.1"),
            ("f97c00", "Infinity"),
            ("f97e00", "NaN"),
            ("f4", "false"),
            ("f6", "null"),
            ("f0", "simple(16)"),
            ("c11a514b67b0", "1(1363896240)"),
            ("4401020304", "h'01020304'"),
            ("62225c", r#""\"\\""#),
            ("83010203", "[1, 2, 3]"),
            ("a201020304", "{1: 2, 3: 4}"),
            ("9f018202039f0405ffff", "[_ 1, [2, 3], [_ 4, 5]]"),
            ("bf61610161629f0203ffff", r#"{_ "a": 1, "b": [_ 2, 3]}"#),
            ("5f42010243030405ff", "(_ h'0102', h'030405')"),
        ] {
            let bytes = hex::decode(bytes).unwrap();
            assert_eq!(foreign(&bytes).as_deref(), Some(text));
            for end in 0..bytes.len() {
                assert_eq!(foreign(bytes.get(..end).unwrap()), None);
            }
        }
    }

    #[test]
    fn messages_of_kyneta_s_and_what_is_nested_too_deeply_are_not_shown() {
        assert_eq!(foreign(&hex::decode("a1617418ff").unwrap()), None);
        assert_eq!(foreign(&[0x81; 100]), None);
    }
}

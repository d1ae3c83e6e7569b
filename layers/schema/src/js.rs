//! Numbers and texts as JavaScript writes, reads and compares them: hashes, versions and payloads are made of them.
//!
//! ```
//! use kyneta_uds_schema::js;
//!
//! assert_eq!(js::number_text(1e21), "1e+21");
//! let mut out = String::new();
//! js::push_json(&mut out, "a\n");
//! assert_eq!(out, "\"a\\n\"");
//! assert_eq!(js::array_index("10"), Some(10));
//! ```

use std::cmp::Ordering;

/// `String(number)`.
pub fn number_text(number: f64) -> String {
    ryu_js::Buffer::new().format(number).to_owned()
}

/// `Number(text)`; `None` where that is not a finite number.
pub(crate) fn number(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_blank);
    if text.is_empty() {
        return Some(0.0);
    }
    for (prefixes, radix) in [(["0x", "0X"], 16), (["0o", "0O"], 8), (["0b", "0B"], 2)] {
        if let Some(rest) = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)) {
            return digits(rest, radix);
        }
    }
    // Rust also reads names such as "inf".
    let decimal = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    if !text.bytes().all(decimal) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn digits(text: &str, radix: u32) -> Option<f64> {
    if text.is_empty() {
        return None;
    }
    let mut value = 0.0;
    for digit in text.chars() {
        value = value * f64::from(radix) + f64::from(digit.to_digit(radix)?);
    }
    Some(value).filter(|value| value.is_finite())
}

/// What `Number` takes away at both ends.
fn is_blank(char: char) -> bool {
    char.is_whitespace() && char != '\u{85}' || char == '\u{feff}'
}

/// Appends `JSON.stringify(text)`.
pub fn push_json(out: &mut String, text: &str) {
    let is_escaped = |byte: u8| byte < 0x20 || matches!(byte, b'"' | b'\\');
    out.reserve(text.len() + 2);
    out.push('"');
    let mut rest = text;
    // What needs no escape is copied together: 8 % of the time in which documents of 1 KiB join.
    while let Some(at) = rest.bytes().position(is_escaped) {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = from.chars();
        match chars.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\t') => out.push_str("\\t"),
            Some('\n') => out.push_str("\\n"),
            Some('\u{c}') => out.push_str("\\f"),
            Some('\r') => out.push_str("\\r"),
            Some(char) => out.push_str(&format!("\\u{:04x}", u32::from(char))),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// `a < b`: by UTF-16 units, in which an emoji is smaller than U+FFFD.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

/// The position of a key that JavaScript puts before all others of an object, in numeric order.
pub fn array_index(key: &str) -> Option<u32> {
    let index: u32 = key.parse().ok()?;
    (index != u32::MAX && index.to_string() == key).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_javascript_reads_them() {
        for (text, expected) in [
            ("", Some(0.0)),
            (" \t\n\u{feff}7\u{a0}", Some(7.0)),
            ("1e2", Some(100.0)),
            ("+1.5", Some(1.5)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("-3", Some(-3.0)),
            ("0x10", Some(16.0)),
            ("0B11", Some(3.0)),
            ("7", Some(7.0)),
            ("0o17", Some(15.0)),
            ("9007199254740993", Some(9_007_199_254_740_992.0)),
            ("0x", None),
            ("-0x10", None),
            ("0x1g", None),
            ("x", None),
            ("1 2", None),
            ("1_000", None),
            (".", None),
            ("e5", None),
            ("é", None),
            ("inf", None),
            ("NaN", None),
            ("Infinity", None),
            ("1e400", None),
        ] {
            assert_eq!(number(text), expected, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_written_as_javascript_writes_them() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (1e21, "1e+21"),
            (1e20, "100000000000000000000"),
            (1e-7, "1e-7"),
            (0.000_001, "0.000001"),
        ] {
            assert_eq!(number_text(number), expected);
        }
    }

    #[test]
    fn texts_are_escaped_as_javascript_escapes_them() {
        let mut out = String::new();
        push_json(&mut out, "a\"\\\n\t\r\u{8}\u{c}\u{1}\u{7f}/é\u{2028}😀");
        assert_eq!(out, "\"a\\\"\\\\\\n\\t\\r\\b\\f\\u0001\u{7f}/é\u{2028}😀\"");
    }

    #[test]
    fn texts_are_compared_by_utf_16_units() {
        assert_eq!(compare("😀", "\u{fffd}"), Ordering::Less);
        assert_eq!("😀".cmp("\u{fffd}"), Ordering::Greater);
        assert_eq!(compare("a", "ab"), Ordering::Less);
    }

    #[test]
    fn only_a_plain_integer_is_an_array_index() {
        for (key, expected) in [
            ("0", Some(0)),
            ("10", Some(10)),
            ("4294967294", Some(4_294_967_294)),
            ("4294967295", None),
            ("01", None),
            ("+1", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(array_index(key), expected, "{key:?}");
        }
    }
}

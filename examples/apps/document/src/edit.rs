//! An edit of a text, as typed in one line.
//!
//! In: a line; a text. Out: an [`Edit`]; where in the text it applies. Touches nothing.

/// Lines count from 1. A number past the end means after the last line.
#[derive(Debug, PartialEq)]
pub(crate) enum Edit {
    Append(String),
    Insert(usize, String),
    Remove(usize),
}

impl Edit {
    /// `text`, `+1 text` or `-1`. Any other line is a text.
    pub(crate) fn parse(line: &str) -> Self {
        let insert = || {
            let (number, text) = line.strip_prefix('+')?.split_once(' ')?;
            Some(Self::Insert(number.parse().ok()?, text.to_owned()))
        };
        let remove = || Some(Self::Remove(line.strip_prefix('-')?.parse().ok()?));
        insert()
            .or_else(remove)
            .unwrap_or_else(|| Self::Append(line.to_owned()))
    }

    /// The position, the number of UTF-16 units to remove there, and the text to insert.
    pub(crate) fn of(&self, text: &str) -> (usize, usize, String) {
        let units = |text: &str| text.encode_utf16().count();
        let lines = || text.split_inclusive('\n').map(units);
        let before = |number: usize| lines().take(number.saturating_sub(1)).sum();
        match self {
            Self::Append(line) => (units(text), 0, format!("{line}\n")),
            Self::Insert(number, line) => (before(*number), 0, format!("{line}\n")),
            Self::Remove(number) => {
                let length = lines().nth(number.saturating_sub(1)).unwrap_or_default();
                (before(*number), length, String::new())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_edit() {
        for (line, expected) in [
            ("milk", Edit::Append("milk".to_owned())),
            ("", Edit::Append(String::new())),
            ("+2 two eggs", Edit::Insert(2, "two eggs".to_owned())),
            ("-3", Edit::Remove(3)),
            ("+2", Edit::Append("+2".to_owned())),
            ("+x y", Edit::Append("+x y".to_owned())),
            ("-3 pounds", Edit::Append("-3 pounds".to_owned())),
        ] {
            assert_eq!(Edit::parse(line), expected, "{line}");
        }
    }

    #[test]
    fn an_edit_is_applied_by_lines() {
        for (text, line, expected) in [
            ("", "milk", "milk\n"),
            ("öl\n", "milk", "öl\nmilk\n"),
            ("öl\nei\n", "+1 milk", "milk\nöl\nei\n"),
            ("öl\nei\n", "+2 milk", "öl\nmilk\nei\n"),
            ("öl\nei\n", "+99 milk", "öl\nei\nmilk\n"),
            ("öl\nei\n", "-1", "ei\n"),
            ("öl\nei\n", "-2", "öl\n"),
            ("öl\n🥚\n", "milk", "öl\n🥚\nmilk\n"),
            ("öl\nei\n", "-3", "öl\nei\n"),
            ("öl\nei\n", "-0", "ei\n"),
        ] {
            let (at, away, put) = Edit::parse(line).of(text);
            let units: Vec<u16> = text.encode_utf16().collect();
            let put: Vec<u16> = put.encode_utf16().collect();
            let applied = [&units[..at], &put, &units[at + away..]].concat();
            assert_eq!(String::from_utf16(&applied).unwrap(), expected, "{line}");
        }
    }
}

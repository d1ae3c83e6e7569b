//! Serde's cases of names: of a field, which is written in snake_case, and of a variant, which is in PascalCase.
//!
//! In: a case's name as serde writes it, a name in Rust. Out: the name that serde gives it. Pure.

/// A rule of `rename_all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

impl Case {
    pub(crate) const NAMES: [(&str, Self); 8] = [
        ("lowercase", Self::Lower),
        ("UPPERCASE", Self::Upper),
        ("PascalCase", Self::Pascal),
        ("camelCase", Self::Camel),
        ("snake_case", Self::Snake),
        ("SCREAMING_SNAKE_CASE", Self::ScreamingSnake),
        ("kebab-case", Self::Kebab),
        ("SCREAMING-KEBAB-CASE", Self::ScreamingKebab),
    ];

    pub(crate) fn parse(name: &str) -> Option<Self> {
        let known = Self::NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, case)| *case)
    }

    pub(crate) fn of_field(self, name: &str) -> String {
        match self {
            Self::Lower | Self::Snake => name.to_owned(),
            Self::Upper | Self::ScreamingSnake => name.to_ascii_uppercase(),
            Self::Pascal => {
                let mut out = String::new();
                let mut starts = true;
                for char in name.chars() {
                    match (char, starts) {
                        ('_', _) => starts = true,
                        (char, true) => {
                            out.push(char.to_ascii_uppercase());
                            starts = false;
                        }
                        (char, false) => out.push(char),
                    }
                }
                out
            }
            Self::Camel => first_lower(&Self::Pascal.of_field(name)),
            Self::Kebab => name.replace('_', "-"),
            Self::ScreamingKebab => Self::Upper.of_field(name).replace('_', "-"),
        }
    }

    pub(crate) fn of_variant(self, name: &str) -> String {
        match self {
            Self::Pascal => name.to_owned(),
            Self::Lower => name.to_ascii_lowercase(),
            Self::Upper => name.to_ascii_uppercase(),
            Self::Camel => first_lower(name),
            Self::Snake => {
                let mut out = String::new();
                for (at, char) in name.char_indices() {
                    if at > 0 && char.is_uppercase() {
                        out.push('_');
                    }
                    out.push(char.to_ascii_lowercase());
                }
                out
            }
            Self::ScreamingSnake => Self::Snake.of_variant(name).to_ascii_uppercase(),
            Self::Kebab => Self::Snake.of_variant(name).replace('_', "-"),
            Self::ScreamingKebab => Self::ScreamingSnake.of_variant(name).replace('_', "-"),
        }
    }
}

fn first_lower(name: &str) -> String {
    let mut chars = name.chars();
    match chars.next() {
        Some(first) => format!("{}{}", first.to_ascii_lowercase(), chars.as_str()),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_serde() {
        let fields = Case::NAMES.map(|(_, case)| case.of_field("dark_mode"));
        assert_eq!(
            fields,
            [
                "dark_mode",
                "DARK_MODE",
                "DarkMode",
                "darkMode",
                "dark_mode",
                "DARK_MODE",
                "dark-mode",
                "DARK-MODE"
            ]
        );
        let variants = Case::NAMES.map(|(_, case)| case.of_variant("VeryTasty"));
        assert_eq!(
            variants,
            [
                "verytasty",
                "VERYTASTY",
                "VeryTasty",
                "veryTasty",
                "very_tasty",
                "VERY_TASTY",
                "very-tasty",
                "VERY-TASTY"
            ]
        );
    }
}

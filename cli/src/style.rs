//! Colours, where somebody sees them.

use std::{
    fmt,
    io::{IsTerminal, stdout},
};

/// What is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Something has gone well.
    Good,
    /// Something has gone wrong.
    Bad,
    /// It comes in.
    In,
    /// It goes out.
    Out,
    /// Beside the point.
    Faint,
    /// A headline.
    Strong,
}

/// Whether to colour at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style(bool);

impl Style {
    /// Without.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self(false);

    /// Colours on a terminal, unless `NO_COLOR` is set (no-color.org).
    pub(crate) fn of_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(stdout().is_terminal() && !unwanted)
    }

    /// The text in its colour.
    pub(crate) fn paint<T: fmt::Display>(self, ink: Ink, text: T) -> Painted<T> {
        Painted {
            style: self,
            ink,
            text,
        }
    }
}

/// A text that knows its colour.
#[derive(Debug)]
pub(crate) struct Painted<T> {
    style: Style,
    ink: Ink,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.style.0 {
            return self.text.fmt(f);
        }
        let code = match self.ink {
            Ink::Good => "32",
            Ink::Bad => "31",
            Ink::In => "36",
            Ink::Out => "35",
            Ink::Faint => "2",
            Ink::Strong => "1",
        };
        write!(f, "\x1b[{code}m{}\x1b[0m", self.text)
    }
}

/// A text of somebody else's for a person to read: what would move the cursor, ring the bell or
/// begin a line of its own is escaped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain<'a>(pub(crate) &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if c.is_control() {
                write!(f, "{}", c.escape_debug())
            } else {
                write!(f, "{c}")
            }
        })
    }
}

//! Colours on a terminal, and text from other processes made safe for it.
//!
//! In: text of any origin. Out: what a terminal may get. May touch: stdout and the environment, to see whether
//! colours are wanted.

use std::{
    fmt,
    io::{IsTerminal, stdout},
};

/// What a colour stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Color {
    /// Success.
    Good,
    /// Failure.
    Bad,
    /// Received.
    In,
    /// Sent.
    Out,
    /// Of minor interest.
    Faint,
    /// A headline or a name.
    Strong,
}

/// Whether to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style(bool);

impl Style {
    /// No colours.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self(false);

    /// Colours on a terminal, unless `NO_COLOR` is set (no-color.org).
    pub(crate) fn of_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(stdout().is_terminal() && !unwanted)
    }

    /// The text in its colour.
    pub(crate) fn paint<T: fmt::Display>(self, color: Color, text: T) -> Painted<T> {
        Painted {
            style: self,
            color,
            text,
        }
    }
}

/// A text with its colour.
#[derive(Debug)]
pub(crate) struct Painted<T> {
    style: Style,
    color: Color,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.style.0 {
            return self.text.fmt(f);
        }
        let code = match self.color {
            Color::Good => "32",
            Color::Bad => "31",
            Color::In => "36",
            Color::Out => "35",
            Color::Faint => "2",
            Color::Strong => "1",
        };
        write!(f, "\x1b[{code}m{}\x1b[0m", self.text)
    }
}

/// A text from another process, for display: control characters, which would move the cursor, ring
/// the bell or begin a line, are escaped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
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

//! A table of texts. Pure.

use std::fmt;

use crate::style::{Color, Style};

/// Displays rows in columns as wide as their widest cell; the first row is the headline.
#[derive(Debug)]
pub(crate) struct Table<'a, const N: usize> {
    pub(crate) rows: &'a [[String; N]],
    pub(crate) style: Style,
}

impl<const N: usize> fmt::Display for Table<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = [0; N];
        for row in self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for (index, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(widths);
            let line: Vec<_> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            let line = line.join("  ");
            match index {
                0 => writeln!(f, "{}", self.style.paint(Color::Faint, line.trim_end()))?,
                _ => writeln!(f, "{}", line.trim_end())?,
            }
        }
        Ok(())
    }
}

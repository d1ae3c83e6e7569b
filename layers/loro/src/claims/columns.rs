//! Tables by columns: what is the same in several rows stands there once, with a count.
//!
//! In: the bytes of a table. Out: its runs, and how many rows it claims. Touches nothing.

use super::{Refused, walk::Walk};

/// What a column holds.
#[derive(Clone, Copy)]
pub(super) enum Column {
    /// Runs of numbers, or of differences between them.
    Numbers,
    /// Runs of bytes.
    Bytes,
    /// Runs of no and yes in turn.
    Flags,
    /// Each row of its own.
    Plain,
}

/// A run: how many rows, and what they hold, if that is a small number.
pub(super) type Run = (u64, u64);

/// The columns of a table, and how many rows it claims to have.
pub(super) fn table<'a, const N: usize>(
    walk: &mut Walk<'a>,
    columns: [Column; N],
) -> Result<([&'a [u8]; N], u64), Refused> {
    let count = walk.count()?;
    let mut table = [&[][..]; N];
    let mut rows = 0;
    for at in 0..count as usize {
        let column = walk.bytes()?;
        if let (Some(kind), Some(place)) = (columns.get(at), table.get_mut(at)) {
            rows = count_rows(column, *kind)?.max(rows);
            *place = column;
        }
    }
    Ok((table, rows))
}

fn count_rows(column: &[u8], kind: Column) -> Result<u64, Refused> {
    let mut walk = Walk(column);
    let mut rows: u64 = 0;
    match kind {
        Column::Plain => return if walk.is_empty() { Ok(0) } else { walk.count() },
        Column::Flags => {
            while !walk.is_empty() {
                rows = rows.saturating_add(walk.number()?);
            }
        }
        Column::Numbers | Column::Bytes => {
            runs(column, kind, |(count, _)| {
                rows = rows.saturating_add(count);
                Ok(())
            })?;
        }
    }
    Ok(rows)
}

/// Each run of numbers or bytes; rows that differ are runs of one.
pub(super) fn runs(
    column: &[u8],
    kind: Column,
    mut each: impl FnMut(Run) -> Result<(), Refused>,
) -> Result<(), Refused> {
    let mut walk = Walk(column);
    while !walk.is_empty() {
        // Zigzag; below zero are rows that differ.
        let count = walk.number()?;
        let (rows, values) = match count & 1 {
            0 => (count >> 1, 1),
            _ => (1, (count >> 1).saturating_add(1)),
        };
        for _ in 0..values {
            let value = match kind {
                Column::Bytes => u64::from(walk.byte()?),
                _ => {
                    let start = walk;
                    walk.skip_number()?;
                    Walk(start.0).number().unwrap_or(u64::MAX)
                }
            };
            each((rows, value))?;
        }
    }
    Ok(())
}

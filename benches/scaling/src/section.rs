//! The section of the page for one curve.
//!
//! In: figures. Out: data that `plot` draws and `page` writes. Pure.

/// What was measured, and the conclusions.
#[derive(Debug)]
pub(crate) struct Section {
    /// The plot's file name, without extension.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// How it was measured, for readers of the page.
    pub(crate) about: &'static str,
    pub(crate) x: Axis,
    /// What the times measure.
    pub(crate) per: &'static str,
    pub(crate) series: Vec<Series>,
    /// The conclusions.
    pub(crate) verdicts: Vec<String>,
}

/// What varies.
#[derive(Debug)]
pub(crate) struct Axis {
    pub(crate) label: &'static str,
    pub(crate) ticks: Ticks,
}

/// Its values.
#[derive(Debug)]
pub(crate) enum Ticks {
    /// Numbers; zero is not drawn, as the axis is logarithmic.
    Counts(Vec<usize>),
    /// Numbers of bytes.
    Bytes(Vec<usize>),
    /// Not numbers: there is no plot.
    Names(Vec<&'static str>),
}

impl Ticks {
    /// The text of each.
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            Self::Counts(counts) => counts.iter().map(|count| grouped(*count)).collect(),
            Self::Bytes(sizes) => sizes.iter().map(|size| bytes(*size)).collect(),
            Self::Names(names) => names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// The numbers to draw, if any.
    pub(crate) fn numbers(&self) -> Option<&[usize]> {
        match self {
            Self::Counts(numbers) | Self::Bytes(numbers) => Some(numbers),
            Self::Names(_) => None,
        }
    }
}

/// The times of one implementation.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    /// A time for each tick, nanoseconds.
    pub(crate) times: Vec<f64>,
}

impl Series {
    /// True for the series that the others are compared with.
    pub(crate) fn is_bare(&self) -> bool {
        self.name.starts_with("bare")
    }
}

/// 65536 as "64 KiB".
pub(crate) fn bytes(size: usize) -> String {
    match size {
        0..0x400 => format!("{size} B"),
        0x400..0x10_0000 => format!("{} KiB", size >> 10),
        _ => format!("{} MiB", size >> 20),
    }
}

/// Nanoseconds in a readable unit.
pub(crate) fn time(nanos: f64) -> String {
    match nanos {
        n if n < 0.995 => format!("{n:.2} ns"),
        n if n < 9.95 => format!("{n:.1} ns"),
        n if n < 1e3 => format!("{n:.0} ns"),
        n if n < 1e4 => format!("{:.1} us", n / 1e3),
        n if n < 1e6 => format!("{:.0} us", n / 1e3),
        n => format!("{:.1} ms", n / 1e6),
    }
}

/// 100000 as "100,000".
fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        let counts = Ticks::Counts(vec![1, 10, 1000, 100_000, 1_234_567]);
        assert_eq!(counts.names(), ["1", "10", "1,000", "100,000", "1,234,567"]);
        let sizes = Ticks::Bytes(vec![0, 64, 1024, 65_536, 16 << 20]);
        assert_eq!(sizes.names(), ["0 B", "64 B", "1 KiB", "64 KiB", "16 MiB"]);
        let times = [0.314, 4.26, 183.2, 4260.0, 18_300.0, 4.26e6].map(time);
        assert_eq!(
            times,
            ["0.31 ns", "4.3 ns", "183 ns", "4.3 us", "18 us", "4.3 ms"]
        );
    }
}

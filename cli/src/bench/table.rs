//! A measurement as a row of a table.
//!
//! In: the medians of both implementations. Out: a line of text. Pure.

use super::{figures::Figures, work::Task};

/// One measurement: the medians of both implementations.
pub(super) struct Row {
    pub(super) task: Task,
    pub(super) ours: Figures,
    pub(super) floor: Figures,
}

/// The headline.
pub(super) const HEAD: &str =
    "work    size     kyneta-uds       bare tokio       ratio      p50/p99 us (bare)";

impl Row {
    /// Ours to bare tokio; higher is better.
    pub(super) fn ratio(&self) -> f64 {
        self.ours.msgs_per_s / self.floor.msgs_per_s
    }

    /// The row as a line of the table.
    pub(super) fn line(&self) -> String {
        format!(
            "{:<7} {:>7}  {:>15}  {:>15}  {:>5.2}  {:>21}",
            self.task.work.name(),
            size(self.task.size),
            rate(&self.ours),
            rate(&self.floor),
            self.ratio(),
            latency(&self.ours, &self.floor),
        )
        .trim_end()
        .to_owned()
    }
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// Bytes for large messages, messages for small ones.
fn rate(figures: &Figures) -> String {
    if figures.size >= 16 << 10 {
        return format!("{:.2} GB/s", figures.mb_per_s / 1e3);
    }
    match figures.msgs_per_s {
        rate if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
        rate => format!("{:.1} k/s", rate / 1e3),
    }
}

fn latency(ours: &Figures, floor: &Figures) -> String {
    match (ours.p50_us, ours.p99_us, floor.p50_us, floor.p99_us) {
        (Some(p50), Some(p99), Some(floor_p50), Some(floor_p99)) => {
            format!("{p50:.1}/{p99:.1} ({floor_p50:.1}/{floor_p99:.1})")
        }
        _ => String::new(),
    }
}

//! Conclusions from figures.
//!
//! In: figures. Out: sentences. Pure.

use crate::section::time;

/// Up to this factor, up or down, a cost counts as unchanged: runs on a shared machine differ by as much.
const SAME: f64 = 1.5;

/// A cost, and the point in words.
pub(crate) struct Cost<'a>(pub(crate) f64, pub(crate) &'a str);

/// Whether a cost is unchanged; `same` is the word for that.
pub(crate) fn changed(series: &str, from: Cost<'_>, to: Cost<'_>, same: &str) -> String {
    let ratio = to.0 / from.0;
    let verdict = match ratio {
        r if r > SAME => format!("not {same}, it grows"),
        r if r < 1.0 / SAME => format!("not {same}, it falls"),
        _ => same.to_owned(),
    };
    let [from, to] = [from, to].map(|Cost(nanos, place)| format!("{} {place}", time(nanos)));
    format!("{series}: {from}, {to}, {ratio:.2} times as much: **{verdict}**.")
}

/// The sentence about `SAME` for the page.
pub(crate) fn bound() -> String {
    format!("Within a factor of {SAME}, up or down, a cost counts as unchanged.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conclusions_follow_from_the_figures() {
        let says = |to| changed("ours", Cost(100.0, "with 1"), Cost(to, "with 9"), "flat");
        assert_eq!(
            says(140.0),
            "ours: 100 ns with 1, 140 ns with 9, 1.40 times as much: **flat**."
        );
        assert!(says(160.0).ends_with("**not flat, it grows**."));
        assert!(says(60.0).ends_with("**not flat, it falls**."));
    }
}

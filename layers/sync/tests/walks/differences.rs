//! The intended differences from the reference.
//!
//! The program has none in what it sends, exports and imports. What the machine around it does otherwise has a test
//! each in `tests/schedules/traps.rs`.

/// A difference, with its reason.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Difference {
    pub(crate) name: &'static str,
    #[allow(dead_code, reason = "it is for readers")]
    pub(crate) reason: &'static str,
}

/// Effects that the program has in addition.
pub(crate) static EFFECTS: [Difference; 1] = [Difference {
    name: "not-accepted",
    reason: "An offer that a gate refuses is reported; the reference drops it in silence.",
}];

/// What the reference keeps and the program does not, at the end of a walk.
pub(crate) static STATE: [Difference; 1] = [Difference {
    name: "reconciled",
    reason: "The reference counts a peer as reconciled when its interest comes, before its data. The machine around the \
             program counts it when the data is here.",
}];

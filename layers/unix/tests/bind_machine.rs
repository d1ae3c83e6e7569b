//! The order of the steps that bind a path, and what ends them.
//!
//! A failure shows the step, and the answer that was given to it.
#![allow(clippy::panic)]

use kyneta_uds_unix::bind::{Answer, BindStep, FileId, InUseReason, Next};

const SEEN: FileId = FileId {
    device: 1,
    inode: 2,
    changed: (3, 4),
};

/// Another file with the same inode.
const OTHER: FileId = FileId {
    changed: (3, 5),
    ..SEEN
};

#[test]
fn a_stale_path_is_bound_in_this_order() {
    let order = [
        (BindStep::FIRST, Answer::Socket(SEEN)),
        (BindStep::Lock, Answer::Done),
        (BindStep::UNDER_LOCK, Answer::Socket(SEEN)),
        (BindStep::Probe(SEEN), Answer::Nothing),
        (BindStep::LookOnceMore(SEEN), Answer::Socket(SEEN)),
        (BindStep::RemoveStale, Answer::Done),
        (BindStep::RemoveLeftover, Answer::Done),
        (BindStep::BindTemporary, Answer::Done),
        (BindStep::Listen, Answer::Done),
        (BindStep::Link, Answer::Done),
        (BindStep::RemoveTemporary { linked: true }, Answer::Done),
    ];
    let mut next = Next::Do(BindStep::FIRST);
    for (step, answer) in order {
        assert_eq!(next, Next::Do(step));
        next = step.then(answer, true);
    }
    assert_eq!(next, Next::Ours);
}

#[test]
fn what_ends_a_bind_or_changes_its_course() {
    let table = [
        (
            BindStep::Lock,
            Answer::InUse,
            Next::InUse(InUseReason::Locked),
        ),
        (
            BindStep::LookUnderLock,
            Answer::Nothing,
            Next::Do(BindStep::RemoveLeftover),
        ),
        (
            BindStep::Probe(SEEN),
            Answer::InUse,
            Next::InUse(InUseReason::Alive),
        ),
        (
            BindStep::Probe(SEEN),
            Answer::Busy,
            Next::InUse(InUseReason::Busy),
        ),
        (
            BindStep::LookOnceMore(SEEN),
            Answer::Socket(OTHER),
            Next::InUse(InUseReason::JustBound),
        ),
        (
            BindStep::LookOnceMore(SEEN),
            Answer::Nothing,
            Next::Do(BindStep::RemoveLeftover),
        ),
        (
            BindStep::Link,
            Answer::InUse,
            Next::Do(BindStep::RemoveTemporary { linked: false }),
        ),
        (
            BindStep::RemoveTemporary { linked: false },
            Answer::Done,
            Next::InUse(InUseReason::JustBound),
        ),
        // An answer that does not belong to the step repeats the step.
        (BindStep::Link, Answer::Busy, Next::Do(BindStep::Link)),
    ];
    for (step, answer, next) in table {
        assert_eq!(step.then(answer, true), next, "{step:?} {answer:?}");
    }
    assert_eq!(
        BindStep::Probe(SEEN).then(Answer::Nothing, false),
        Next::Stale
    );
}

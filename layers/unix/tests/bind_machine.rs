//! The order in which a path is taken, and what ends it.
#![allow(clippy::panic)]

use kyneta_uds_unix::claim::{Answer, Because, Claim, FileId, Next};

const SEEN: FileId = FileId {
    device: 1,
    inode: 2,
    changed: (3, 4),
};

/// The same number given to another file.
const OTHER: FileId = FileId {
    changed: (3, 5),
    ..SEEN
};

#[test]
fn a_stale_path_is_taken_in_this_order() {
    let order = [
        (Claim::FIRST, Answer::Socket(SEEN)),
        (Claim::Lock, Answer::Done),
        (Claim::UNDER_LOCK, Answer::Socket(SEEN)),
        (Claim::Probe(SEEN), Answer::Nothing),
        (Claim::LookOnceMore(SEEN), Answer::Socket(SEEN)),
        (Claim::RemoveStale, Answer::Done),
        (Claim::RemoveLeftover, Answer::Done),
        (Claim::BindTemporary, Answer::Done),
        (Claim::Listen, Answer::Done),
        (Claim::Link, Answer::Done),
        (Claim::RemoveTemporary { linked: true }, Answer::Done),
    ];
    let mut next = Next::Do(Claim::FIRST);
    for (step, answer) in order {
        assert_eq!(next, Next::Do(step));
        next = step.then(answer, true);
    }
    assert_eq!(next, Next::Ours);
}

#[test]
fn what_ends_it_or_changes_its_course() {
    let table = [
        (Claim::Lock, Answer::InUse, Next::InUse(Because::Locked)),
        (
            Claim::LookUnderLock,
            Answer::Nothing,
            Next::Do(Claim::RemoveLeftover),
        ),
        (
            Claim::Probe(SEEN),
            Answer::InUse,
            Next::InUse(Because::Alive),
        ),
        (Claim::Probe(SEEN), Answer::Busy, Next::InUse(Because::Busy)),
        (
            Claim::LookOnceMore(SEEN),
            Answer::Socket(OTHER),
            Next::InUse(Because::JustBound),
        ),
        (
            Claim::LookOnceMore(SEEN),
            Answer::Nothing,
            Next::Do(Claim::RemoveLeftover),
        ),
        (
            Claim::Link,
            Answer::InUse,
            Next::Do(Claim::RemoveTemporary { linked: false }),
        ),
        (
            Claim::RemoveTemporary { linked: false },
            Answer::Done,
            Next::InUse(Because::JustBound),
        ),
        // What does not belong to the step asks for it again.
        (Claim::Link, Answer::Busy, Next::Do(Claim::Link)),
    ];
    for (step, answer, next) in table {
        assert_eq!(step.then(answer, true), next, "{step:?} {answer:?}");
    }
    assert_eq!(Claim::Probe(SEEN).then(Answer::Nothing, false), Next::Stale);
}

//! Both machines of a handoff, input by input: the tables, and whole handoffs with each way to fail. A failure shows
//! the step and the input, or the effects that came instead.

use std::time::Duration;

use super::{
    PredecessorEffect as P, PredecessorInput as PIn, SuccessorEffect as S, SuccessorInput as SIn, *,
};

const HELLO: Word = Word::Hello {
    formats: Formats::OURS,
    free: 1000,
};

/// To 300 connections.
const fn welcome(format: u32) -> Word {
    let connections = 300;
    Word::Welcome {
        format,
        connections,
    }
}

fn predecessor(connections: u32) -> Predecessor {
    Predecessor::new(
        Formats::OURS,
        Limits::default(),
        2,
        connections,
        &mut Vec::new(),
    )
}

fn hear(machine: &mut Predecessor, input: PIn) -> Vec<P> {
    let mut effects = Vec::new();
    machine.input(input, &mut effects);
    effects
}

fn take(machine: &mut Successor, input: SIn) -> Vec<S> {
    let mut effects = Vec::new();
    machine.input(input, &mut effects);
    effects
}

/// A predecessor of 300 connections after the first `steps` inputs of a handoff.
fn predecessor_after(steps: usize) -> Predecessor {
    let mut machine = predecessor(300);
    let inputs = [
        PIn::Heard(HELLO),
        PIn::Heard(Word::Have(2)),
        PIn::SentAhead { connections: 7 },
        PIn::Heard(Word::Have(2)),
        PIn::Frozen { connections: 300 },
        PIn::Heard(Word::Have(255)),
        PIn::Heard(Word::Have(302)),
        PIn::Heard(Word::Taken),
    ];
    for input in inputs.into_iter().take(steps) {
        hear(&mut machine, input);
    }
    machine
}

fn successor_after(steps: usize) -> Successor {
    let mut machine = Successor::new(Formats::OURS, Limits::default(), 1000, &mut Vec::new());
    let inputs = [
        SIn::Heard(welcome(1)),
        SIn::Heard(Word::Shared { descriptors: 2 }),
        SIn::Heard(Word::Batch { descriptors: 3 }),
        SIn::Heard(Word::State {
            size: 1,
            connections: 3,
        }),
        SIn::Prepared,
        SIn::NotCommitted,
    ];
    for input in inputs.into_iter().take(steps) {
        take(&mut machine, input);
    }
    machine
}

#[test]
fn a_handoff_sends_batches_that_are_acknowledged_then_the_state_then_leaves() {
    let limits = Limits::default();
    let mut machine = predecessor(300);
    let table = [
        (
            PIn::Heard(HELLO),
            vec![P::Say(welcome(2)), P::Share, P::Wait(limits.answer)],
        ),
        (
            PIn::Heard(Word::Have(2)),
            vec![P::SendAhead { at_most: 253 }, P::Wait(limits.answer)],
        ),
        (PIn::SentAhead { connections: 7 }, vec![]),
        (
            PIn::Heard(Word::Have(2)),
            vec![P::Wait(limits.frozen), P::Freeze],
        ),
        (
            PIn::Frozen { connections: 300 },
            vec![P::Send {
                first: 0,
                count: 253,
            }],
        ),
        (
            PIn::Heard(Word::Have(255)),
            vec![P::Send {
                first: 253,
                count: 47,
            }],
        ),
        (PIn::Heard(Word::Have(302)), vec![P::SendState]),
        (PIn::Heard(Word::Taken), vec![P::Leave]),
        (PIn::Heard(Word::Taken), vec![]),
    ];
    for (input, effects) in table {
        assert_eq!(hear(&mut machine, input.clone()), effects, "{input:?}");
    }
    assert!(machine.has_ended());
}

#[test]
fn nothing_goes_ahead_where_nothing_waits_or_the_successor_does_not_know_of_it() {
    let freezes = [P::Wait(Limits::default().frozen), P::Freeze];
    let mut machine = predecessor_after(2);
    assert_eq!(
        hear(&mut machine, PIn::SentAhead { connections: 0 }),
        freezes
    );

    let (mut machine, formats) = (
        predecessor(300),
        Formats {
            oldest: 1,
            newest: 1,
        },
    );
    let effects = hear(
        &mut machine,
        PIn::Heard(Word::Hello {
            formats,
            free: 1000,
        }),
    );
    assert_eq!(effects[0], P::Say(welcome(1)));
    assert_eq!(hear(&mut machine, PIn::Heard(Word::Have(2))), freezes);

    // As many as it can open beside the listener and the lock.
    let mut machine = predecessor(3);
    hear(
        &mut machine,
        PIn::Heard(Word::Hello {
            formats: Formats::OURS,
            free: 9,
        }),
    );
    let effects = hear(&mut machine, PIn::Heard(Word::Have(2)));
    assert_eq!(effects[0], P::SendAhead { at_most: 7 });
}

#[test]
fn a_predecessor_that_gives_up_serves_on_and_says_so_first() {
    let inputs = [
        PIn::Timeout,
        PIn::Closed,
        PIn::Failed(Refusal::Closed),
        PIn::Heard(Word::Have(9999)),
        PIn::Heard(Word::Refused(Refusal::Closed)),
    ];
    for steps in 0..=7 {
        for input in &inputs {
            let mut machine = predecessor_after(steps);
            let frozen = machine.is_frozen();
            let mut effects = hear(&mut machine, input.clone());
            if frozen {
                assert_eq!(effects, [P::Revoke], "{steps} {input:?}");
                assert_eq!(hear(&mut machine, PIn::Timeout), []);
                effects = hear(&mut machine, PIn::ShutDown { taken: false });
                assert_eq!(effects[1], P::Thaw);
            }
            assert_eq!(effects[0], P::Say(Word::Revoked), "{steps} {input:?}");
            assert!(matches!(effects.last(), Some(P::Stay(_))));
            assert_eq!(effects.contains(&P::Thaw), steps >= 1, "{steps} {input:?}");
            assert!(machine.has_ended() && !machine.is_frozen());
        }
    }
}

#[test]
fn taken_that_was_said_before_the_channel_was_shut_counts_and_only_after_the_state() {
    for (steps, counts) in [(4, false), (5, false), (6, false), (7, true)] {
        let mut machine = predecessor_after(steps);
        assert_eq!(hear(&mut machine, PIn::Timeout), [P::Revoke]);
        let effects = hear(&mut machine, PIn::ShutDown { taken: true });
        assert_eq!(effects == [P::Leave], counts, "{steps}");
    }
}

#[test]
fn a_successor_that_is_not_fit_is_refused_with_a_sentence_before_anything_is_frozen() {
    let other = Formats {
        oldest: 3,
        newest: 4,
    };
    let table = [
        (
            Word::Hello {
                formats: other,
                free: 1000,
            },
            "the other process hands over in formats 3 to 4, this one in 1 to 2",
        ),
        (
            Word::Hello {
                formats: Formats::OURS,
                free: 302,
            },
            "303 descriptors are handed over and the successor can open 302: raise its RLIMIT_NOFILE",
        ),
    ];
    for (hello, sentence) in table {
        let mut machine = predecessor(300);
        let effects = hear(&mut machine, PIn::Heard(hello));
        match effects.as_slice() {
            [P::Say(Word::Refused(said)), P::Stay(why)] => {
                assert_eq!((said.to_string(), said), (sentence.to_owned(), why));
            }
            other => panic!("{other:?}"),
        }
        assert!(machine.has_ended());
    }
}

#[test]
fn connections_that_cannot_be_frozen_are_served_on() {
    let why = Refusal::Other("a layer of the stack cannot hand over".into());
    let effects = hear(&mut predecessor_after(4), PIn::NotFrozen(why.clone()));
    assert_eq!(
        effects,
        [P::Say(Word::Refused(why.clone())), P::Thaw, P::Stay(why)]
    );
}

#[test]
fn what_a_successor_does_when_the_channel_ends_depends_on_what_it_has() {
    let table = [
        (0, vec![S::Bind]),
        (1, vec![S::Bind]),
        (2, vec![S::ServeListener]),
        (3, vec![S::ServeListener]),
        (6, vec![S::ServeAll]),
    ];
    for (steps, effects) in table {
        assert_eq!(
            take(&mut successor_after(steps), SIn::Closed),
            effects,
            "{steps}"
        );
    }
}

#[test]
fn what_comes_ahead_is_acknowledged_as_the_listener_was() {
    let ahead = SIn::Heard(Word::Ahead { descriptors: 253 });
    let said = [S::Say(Word::Have(2))];
    assert_eq!(take(&mut successor_after(2), ahead), said);
}

#[test]
fn a_successor_gives_up_when_it_is_told_so_or_waits_too_long_and_never_after_the_commit() {
    for steps in [0, 1, 2, 3, 6] {
        for input in [SIn::Heard(Word::Revoked), SIn::Timeout] {
            let effects = take(&mut successor_after(steps), input);
            assert!(
                matches!(effects.as_slice(), [S::GiveUp(_)]),
                "{steps} {effects:?}"
            );
        }
    }
    let mut committed = successor_after(5);
    assert_eq!(take(&mut committed, SIn::Committed), [S::ServeAll]);
    assert_eq!(take(&mut committed, SIn::Heard(Word::Revoked)), []);
}

#[test]
fn what_does_not_belong_is_refused_with_a_sentence() {
    let table = [
        (0, welcome(9)),
        (0, Word::Taken),
        (1, Word::Shared { descriptors: 0 }),
        (1, Word::Batch { descriptors: 3 }), // before the listener
        (1, Word::Ahead { descriptors: 3 }),
        (2, Word::Ahead { descriptors: 0 }),
        (2, Word::Ahead { descriptors: 254 }),
        (3, Word::Ahead { descriptors: 3 }),  // too late
        (2, Word::Shared { descriptors: 2 }), // twice
        (2, Word::Batch { descriptors: 254 }),
        (
            3,
            Word::State {
                size: 1,
                connections: 4,
            },
        ), // one is missing
    ];
    for (steps, word) in table {
        let effects = take(&mut successor_after(steps), SIn::Heard(word.clone()));
        let [S::Say(Word::Refused(said)), S::GiveUp(why)] = effects.as_slice() else {
            panic!("{effects:?} at {word:?}");
        };
        assert_eq!(said, why);
    }
    let cut = Refusal::Other("descriptors were cut off".into());
    let effects = take(&mut successor_after(2), SIn::Unusable(cut.clone()));
    assert_eq!(
        effects,
        [S::Say(Word::Refused(cut.clone())), S::GiveUp(cut)]
    );
}

#[test]
fn every_word_is_read_as_it_was_said() {
    let words = [
        HELLO,
        welcome(3),
        Word::Shared { descriptors: 2 },
        Word::Ahead { descriptors: 253 },
        Word::Batch { descriptors: 253 },
        Word::Have(u32::MAX),
        Word::State {
            size: u64::MAX,
            connections: 5000,
        },
        Word::Taken,
        Word::Revoked,
        Word::Refused(Refusal::Other("why".into())),
    ];
    for word in words {
        assert_eq!(Word::decode(&word.encode()).unwrap(), word);
    }
    let long = Word::Refused(Refusal::Other("ä".repeat(5000)));
    assert!(long.encode().len() < 1100);
    assert!(Word::decode(&long.encode()).is_ok());
    let unknown = kyneta_uds_core::Saved::new(1, 1)
        .with("word", "wave")
        .encode();
    assert!(
        Word::decode(&unknown)
            .unwrap_err()
            .to_string()
            .contains("no word of this version")
    );
}

#[test]
fn a_common_format_is_the_newest_that_both_understand() {
    let formats = |oldest, newest| Formats { oldest, newest };
    assert_eq!(formats(1, 3).common(formats(2, 5)), Some(3));
    assert_eq!(formats(2, 5).common(formats(1, 3)), Some(3));
    assert_eq!(formats(1, 1).common(formats(2, 2)), None);
    assert_eq!(Limits::default().frozen, Duration::from_secs(1));
}

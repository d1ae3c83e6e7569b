//! Repeated and missing frames.
//!
//! By tables, and by any numbers beside a model of wire section 9. A failure says the seed, or shows what was
//! yielded.

use super::*;

/// Parses frames of these sequence numbers and payloads: in one read, in a read each, and byte by byte.
fn cut_in_every_way(frames: &[(u32, &[u8])], check: impl Fn(Vec<Out>, FrameParser)) {
    let frames: Vec<_> = frames.iter().map(|(seq, p)| frame(3, 0, *seq, p)).collect();
    let whole = frames.concat();
    let a_read_each = frames.iter().map(Vec::as_slice).collect();
    for parts in [vec![&whole[..]], a_read_each, whole.chunks(1).collect()] {
        let (out, parser) = parse(WireMode::Auto, &parts);
        check(out, parser);
    }
}

fn payloads(out: &[Out]) -> Vec<&[u8]> {
    out.iter()
        .filter_map(|out| match out {
            Out::Payload(payload) => Some(&payload[..]),
            _ => None,
        })
        .collect()
}

#[test]
fn a_peer_that_does_not_number_its_frames_loses_none_wherever_reads_end() {
    let long = |byte: u8| [vec![7; 100], vec![byte], vec![7; 100]].concat();
    let large = |byte: u8| [vec![7; 400], vec![byte], vec![7; 400]].concat();
    let (a, b, c, d) = (long(1), long(2), large(1), large(2));
    for seq in [0, 1, 2, 77, u32::MAX] {
        for sent in [
            vec![&a, &b, &a, &a, &b],
            vec![&a, &a, &a],
            vec![&c, &d, &c, &c],
            vec![&vec![], &vec![], &a, &vec![]],
        ] {
            let sent: Vec<&[u8]> = sent.into_iter().map(Vec::as_slice).collect();
            let frames: Vec<_> = sent.iter().map(|payload| (seq, *payload)).collect();
            cut_in_every_way(&frames, |out, parser| {
                assert_eq!(payloads(&out), sent);
                assert_eq!(out.len(), sent.len(), "nothing is reported: {out:?}");
                assert_eq!(
                    (parser.duplicates_dropped(), parser.frames_missing()),
                    (0, 0)
                );
            });
        }
    }
}

#[test]
fn a_repeated_frame_is_dropped_and_reported_once() {
    let (a, b) = (vec![1; 300], vec![2; 300]);
    let frames: [(u32, &[u8]); 9] = [
        (1, b"hello"),
        (2, &a),
        (2, &a),
        (2, &a),
        (3, &b),
        (3, &b),
        (4, b""),
        (4, b""),
        (5, b""),
    ];
    cut_in_every_way(&frames, |out, parser| {
        let again = || Out::Noticed(Notice::Repeated);
        let want = [
            payload(b"hello"),
            payload(&a),
            again(),
            payload(&b),
            again(),
            payload(b""),
            again(),
            payload(b""),
        ];
        assert_eq!(out, want);
        assert_eq!(
            (parser.duplicates_dropped(), parser.frames_missing()),
            (4, 0)
        );
    });
}

#[test]
fn a_frame_with_the_same_number_size_and_ends_is_not_a_duplicate() {
    let [a, b] = [3, 4].map(|byte| [vec![7; 100], vec![byte], vec![7; 100]].concat());
    // The peer numbers its frames at first, and then stops.
    let frames: [(u32, &[u8]); 6] = [(1, b"1"), (2, &a), (2, &b), (2, &b), (2, &a), (3, &a)];
    cut_in_every_way(&frames, |out, parser| {
        assert_eq!(payloads(&out), [b"1", &a[..], &b, &b, &a, &a]);
        assert_eq!(parser.duplicates_dropped(), 0);
    });
}

#[test]
fn a_duplicate_of_a_large_frame_is_recognized_in_a_later_read() {
    let large = vec![9; 300_000];
    let mut parser = FrameParser::new(WireMode::Auto, 1 << 20);
    let mut out = Vec::new();
    for (seq, payload) in [
        (1, &vec![]),
        (2, &large),
        (2, &large),
        (2, &large),
        (3, &large),
    ] {
        parser.feed(&frame(3, 0, seq, payload));
        take(&mut parser, &mut out);
        parser.release();
    }
    assert_eq!(payloads(&out), [&[][..], &large, &large]);
    assert_eq!(parser.duplicates_dropped(), 2);
}

#[test]
fn missing_frames_are_reported_before_the_next_frame() {
    let gap = |missing| Out::Noticed(Notice::Gap { missing });
    let p = |seq: u32| payload(&seq.to_be_bytes());
    let max = u32::MAX;
    let table: [(&[u32], Vec<Out>, u64); 7] = [
        (&[1, 2, 4, 5], vec![p(1), p(2), gap(1), p(4), p(5)], 1),
        (
            &[1, 2, 5, 7, 8],
            vec![p(1), p(2), gap(2), p(5), gap(1), p(7), p(8)],
            3,
        ),
        (
            &[1, 2, 4, 4, 6],
            vec![
                p(1),
                p(2),
                gap(1),
                p(4),
                Out::Noticed(Notice::Repeated),
                gap(1),
                p(6),
            ],
            2,
        ),
        (
            &[max - 1, max, 0, 2],
            vec![p(max - 1), p(max), p(0), gap(1), p(2)],
            1,
        ),
        // Nothing shows that these peers number their frames, or that they still do.
        (&[1, 3, 5, 7], vec![p(1), p(3), p(5), p(7)], 0),
        (&[9, 4, 12, 3, 3], vec![p(9), p(4), p(12), p(3), p(3)], 0),
        (&[1, 2, 1, 4], vec![p(1), p(2), p(1), p(4)], 0),
    ];
    for (seqs, want, missing) in table {
        let sent: Vec<_> = seqs.iter().map(|seq| (*seq, seq.to_be_bytes())).collect();
        let frames: Vec<_> = sent.iter().map(|(seq, bytes)| (*seq, &bytes[..])).collect();
        cut_in_every_way(&frames, |out, parser| {
            assert_eq!(out, want, "{seqs:?}");
            assert_eq!(parser.frames_missing(), missing, "{seqs:?}");
        });
    }
}

#[test]
fn a_skipped_frame_uses_its_sequence_number() {
    let message = |seq| frame(3, 0, seq, b"m");
    let part = |index| {
        let mut part = fragment(V3, index, 2, 2, b"x");
        part[6..10].copy_from_slice(&3_u32.to_be_bytes());
        part
    };
    let stream = [
        message(1),
        message(2),
        part(0),
        part(1),
        message(4),
        frame(3, 9, 6, b"odd"),
        message(7),
        frame(2, 0, 0, b"other"),
        message(8),
        frame(3, 9, 9, b"odd"),
        message(9),
    ];
    let want = [
        Some(1),
        Some(1),
        None,
        None,
        Some(1),
        None,
        Some(0),
        Some(1),
        None,
        Some(1),
        None,
        Some(1),
    ];
    let (out, parser) = parse(WireMode::Auto, &[&stream.concat()]);
    let kinds: Vec<_> = out
        .iter()
        .map(|out| match out {
            Out::Payload(_) => Some(1),
            Out::Noticed(Notice::Gap { missing: 1 }) => Some(0),
            Out::Skipped(_) => None,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, want);
    assert_eq!(
        (parser.frames_missing(), parser.duplicates_dropped()),
        (1, 0)
    );
}

/// A model of wire section 9 that keeps the whole previous frame.
#[derive(Default)]
struct Model {
    next: Option<u32>,
    counts: bool,
    before: Option<Vec<u8>>,
    repeated: bool,
}

impl Model {
    fn frame(&mut self, seq: u32, bytes: &[u8], out: &mut Vec<Out>) {
        let ahead = self.next.map_or(u32::MAX, |next| seq.wrapping_sub(next));
        if self.counts && ahead == u32::MAX && self.before.as_deref() == Some(bytes) {
            if !std::mem::replace(&mut self.repeated, true) {
                out.push(Out::Noticed(Notice::Repeated));
            }
            return;
        }
        if self.counts && (1..1 << 31).contains(&ahead) {
            out.push(Out::Noticed(Notice::Gap { missing: ahead }));
        } else {
            self.counts = ahead == 0;
        }
        (self.next, self.repeated) = (Some(seq.wrapping_add(1)), false);
        self.before = Some(bytes.to_vec());
        out.push(payload(bytes));
    }

    fn skipped(&mut self, seq: u32, byte: u8, out: &mut Vec<Out>) {
        out.push(Out::Skipped(FrameFault::UnknownType { byte }));
        let ahead = self.next.map_or(u32::MAX, |next| seq.wrapping_sub(next));
        if self.counts && ahead < 1 << 31 {
            (self.next, self.before) = (Some(seq.wrapping_add(1)), None);
            if ahead > 0 {
                out.push(Out::Noticed(Notice::Gap { missing: ahead }));
            }
        }
    }
}

#[test]
fn any_sequence_numbers_cut_anywhere_follow_the_rules_of_the_wire() {
    for seed in 1..if cfg!(miri) { 5 } else { 2_000 } {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed);
        let mut below = |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 11) % n
        };
        let (mut model, mut want) = (Model::default(), Vec::new());
        let mut bytes = Vec::new();
        // Some of these numbers wrap around.
        let mut seq = [0, 7, u32::MAX - 5][below(3) as usize];
        for _ in 0..20 {
            seq = match below(12) {
                0 | 1 => seq,
                2 => seq.wrapping_sub(1),
                3 => seq.wrapping_add(1 << below(32)),
                4 => seq.wrapping_add(2),
                _ => seq.wrapping_add(1),
            };
            let content = vec![below(2) as u8; below(3) as usize * 20];
            if below(8) == 0 {
                bytes.extend(frame(3, 9, seq, &content));
                model.skipped(seq, 9, &mut want);
            } else {
                bytes.extend(frame(3, 0, seq, &content));
                model.frame(seq, &content, &mut want);
            }
        }
        let (mut parser, mut out) = (FrameParser::new(WireMode::Auto, LIMIT), Vec::new());
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(1 + below(150) as usize));
            rest = after;
            parser.feed(part);
            take(&mut parser, &mut out);
        }
        assert_eq!(out, want, "seed {seed}");
    }
}

#[test]
fn wire_version_2_has_no_sequence_numbers() {
    let stream = [frame(2, 0, 0, b"a"), frame(2, 0, 0, b"a")].concat();
    let (out, parser) = parse(WireMode::Auto, &[&stream]);
    assert_eq!(out, [payload(b"a"), payload(b"a")]);
    assert_eq!(
        (parser.duplicates_dropped(), parser.frames_missing()),
        (0, 0)
    );
}

use WireVersion::{V2, V3};

use super::*;
use crate::{InboundBudget, read_buf::QUIET};

const LIMIT: usize = 1000;

/// What came out, owned.
#[derive(Debug, Clone, PartialEq)]
enum Out {
    Payload(Vec<u8>),
    Skipped(FrameFault),
    Noticed(Notice),
    TooLarge(usize),
    UnknownVersion(u8),
}

fn take(parser: &mut FrameParser, out: &mut Vec<Out>) {
    loop {
        out.push(match parser.next_frame() {
            Ok(None) => return,
            Ok(Some(Frame::Noticed(notice))) => Out::Noticed(notice),
            Ok(Some(Frame::Payload(payload))) => Out::Payload(payload.as_slice().to_vec()),
            Ok(Some(Frame::Skipped(fault))) => Out::Skipped(fault),
            Ok(Some(other)) => panic!("{other:?}"),
            Err(FramingError::TooLarge { size, .. }) => Out::TooLarge(size),
            Err(FramingError::UnknownVersion { byte }) => Out::UnknownVersion(byte),
            Err(error) => panic!("{error}"),
        });
        if matches!(out.last(), Some(Out::TooLarge(_) | Out::UnknownVersion(_))) {
            return;
        }
    }
}

fn parse(mode: WireMode, parts: &[&[u8]]) -> (Vec<Out>, FrameParser) {
    let (mut parser, mut out) = (FrameParser::new(mode, LIMIT), Vec::new());
    for part in parts {
        parser.feed(part);
        take(&mut parser, &mut out);
    }
    (out, parser)
}

fn frame(version: u8, kind: u8, seq: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![version, kind];
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    if version != 2 {
        bytes.extend_from_slice(&seq.to_be_bytes());
    }
    bytes.extend_from_slice(payload);
    bytes
}

fn fragment(wire: WireVersion, index: u16, total: u16, size: u32, chunk: &[u8]) -> Vec<u8> {
    let mut bytes = frame(wire.byte(), 1, 4, chunk);
    let mut metadata = Vec::new();
    if wire == V2 {
        metadata.extend_from_slice(&[0xfe, 0xed]);
    }
    metadata.extend_from_slice(&index.to_be_bytes());
    metadata.extend_from_slice(&total.to_be_bytes());
    metadata.extend_from_slice(&size.to_be_bytes());
    bytes.splice(wire.header_len()..wire.header_len(), metadata);
    bytes
}

fn payload(bytes: &[u8]) -> Out {
    Out::Payload(bytes.to_vec())
}

fn other(got: WireVersion, expected: WireVersion) -> Out {
    Out::Skipped(FrameFault::OtherVersion { got, expected })
}

/// A stream with one of everything, and what it gives.
fn everything(wire: WireVersion) -> (Vec<u8>, Vec<Out>) {
    let (v, o) = (wire.byte(), wire.other());
    let rows = [
        (frame(v, 0, 1, b"first"), payload(b"first")),
        (frame(v, 0, 2, b""), payload(b"")),
        (
            frame(v, 9, 3, b"odd type"),
            Out::Skipped(FrameFault::UnknownType { byte: 9 }),
        ),
        (frame(o.byte(), 0, 4, b"other"), other(o, wire)),
        (fragment(o, 0, 1, 3, b"other fragment"), other(o, wire)),
        (
            fragment(wire, 1, 3, 99, b"a part"),
            Out::Skipped(FrameFault::Fragment {
                index: 1,
                total: 3,
                size: 99,
            }),
        ),
        (
            fragment(wire, 2, 3, 99, b""),
            Out::Skipped(FrameFault::Fragment {
                index: 2,
                total: 3,
                size: 99,
            }),
        ),
        (
            frame(v, 255, 3, b""),
            Out::Skipped(FrameFault::UnknownType { byte: 255 }),
        ),
        (frame(v, 0, 5, &[7; LIMIT]), payload(&[7; LIMIT])),
        (
            frame(v, 8, 5, &[7; LIMIT]),
            Out::Skipped(FrameFault::UnknownType { byte: 8 }),
        ),
        (frame(v, 0, 1, b"last"), payload(b"last")),
    ];
    let (bytes, outs): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    (bytes.concat(), outs)
}

#[test]
fn every_kind_of_frame_in_one_go() {
    for wire in [V2, V3] {
        for mode in [WireMode::Auto, WireMode::Fixed(wire)] {
            let (bytes, want) = everything(wire);
            let (out, parser) = parse(mode, &[&bytes]);
            assert_eq!(out, want, "{wire} {mode:?}");
            assert_eq!(parser.wire(), Some(wire));
            assert!(parser.is_between_frames());
        }
    }
}

#[test]
fn the_same_at_every_cut_and_byte_by_byte() {
    for wire in [V2, V3] {
        let (bytes, want) = everything(wire);
        // Miri takes a thousand times as long.
        for cut in (0..=bytes.len()).step_by(if cfg!(miri) { 50 } else { 1 }) {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(
                parse(WireMode::Auto, &[head, tail]).0,
                want,
                "wire {wire}, cut at {cut}"
            );
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(
            parse(WireMode::Auto, &single).0,
            want,
            "wire {wire}, byte by byte"
        );
    }
}

#[test]
fn the_same_at_random_cuts_read_into_the_lent_buffer() {
    let mut state = 0x9e37_79b9_u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for wire in [V2, V3] {
        let (bytes, want) = everything(wire);
        // Miri takes a thousand times as long.
        for round in 0..if cfg!(miri) { 4 } else { 300 } {
            let (mut parser, mut out) = (FrameParser::new(WireMode::Auto, LIMIT), Vec::new());
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let buf = parser.read_buf();
                let room = buf.capacity() - buf.len();
                assert!(room > 0);
                let n = (1 + random(if round % 2 == 0 { 9 } else { 900 }))
                    .min(rest.len())
                    .min(room);
                buf.extend_from_slice(&rest[..n]);
                rest = &rest[n..];
                take(&mut parser, &mut out);
                if random(3) == 0 {
                    parser.rest();
                }
            }
            assert_eq!(out, want, "wire {wire}, round {round}");
        }
    }
}

#[test]
fn what_a_header_says() {
    let fault = |fault| vec![Out::Skipped(fault)];
    let mut too_large_fragment = fragment(V3, 0, 2, 5, b"");
    too_large_fragment[2..6].copy_from_slice(&u32::MAX.to_be_bytes());
    let table: Vec<(&str, WireMode, Vec<u8>, Vec<Out>)> = vec![
        ("nothing", WireMode::Auto, vec![], vec![]),
        (
            "exactly the limit",
            WireMode::Auto,
            frame(3, 0, 1, &[1; LIMIT]),
            vec![payload(&[1; LIMIT])],
        ),
        (
            "over it",
            WireMode::Auto,
            frame(3, 0, 1, &[1; LIMIT + 1]),
            vec![Out::TooLarge(LIMIT + 1)],
        ),
        (
            "over it, wire 2",
            WireMode::Auto,
            frame(2, 0, 1, &[1; 2000]),
            vec![Out::TooLarge(2000)],
        ),
        (
            "4 GiB, header alone, wire 2",
            WireMode::Auto,
            vec![2, 0, 255, 255, 255, 255],
            vec![Out::TooLarge(u32::MAX as usize)],
        ),
        (
            "4 GiB, header alone, wire 3",
            WireMode::Auto,
            vec![3, 0, 255, 255, 255, 255, 0, 0, 0, 1],
            vec![Out::TooLarge(u32::MAX as usize)],
        ),
        (
            "4 GiB, header not complete",
            WireMode::Auto,
            vec![3, 0, 255, 255, 255, 255, 0, 0, 0],
            vec![],
        ),
        (
            "over it, a fragment",
            WireMode::Auto,
            too_large_fragment[..10].to_vec(),
            vec![Out::TooLarge(u32::MAX as usize)],
        ),
        (
            "over it, an unknown type",
            WireMode::Auto,
            frame(3, 7, 1, &[1; LIMIT + 1]),
            vec![Out::TooLarge(LIMIT + 1)],
        ),
        (
            "over it, the other version",
            WireMode::Fixed(V2),
            frame(3, 0, 1, &[1; LIMIT + 1]),
            vec![Out::TooLarge(LIMIT + 1)],
        ),
        (
            "no version, measured as wire 3",
            WireMode::Auto,
            frame(4, 0, 1, b"abc"),
            fault(FrameFault::UnknownVersion { byte: 4 }),
        ),
        (
            "no version, measured as wire 2",
            WireMode::Fixed(V2),
            [&[0, 0, 0, 0, 0, 1, 9][..], &frame(2, 0, 0, b"x")].concat(),
            vec![
                Out::Skipped(FrameFault::UnknownVersion { byte: 0 }),
                payload(b"x"),
            ],
        ),
        (
            "no version settles nothing",
            WireMode::Auto,
            [frame(4, 0, 1, b"abc"), frame(2, 0, 0, b"x")].concat(),
            vec![
                Out::Skipped(FrameFault::UnknownVersion { byte: 4 }),
                payload(b"x"),
            ],
        ),
        (
            "the version is settled by a frame that is skipped",
            WireMode::Auto,
            [frame(2, 5, 0, b"abc"), frame(3, 0, 1, b"x")].concat(),
            vec![
                Out::Skipped(FrameFault::UnknownType { byte: 5 }),
                other(V3, V2),
            ],
        ),
        (
            "good frames before a bad header are given first",
            WireMode::Auto,
            [frame(3, 0, 1, b"a"), frame(3, 0, 2, &[0; 1001])].concat(),
            vec![payload(b"a"), Out::TooLarge(1001)],
        ),
        (
            "fragment, one byte of metadata missing",
            WireMode::Auto,
            fragment(V2, 0, 1, 0, b"")[..15].to_vec(),
            vec![],
        ),
    ];
    for (name, mode, bytes, want) in table {
        assert_eq!(parse(mode, &[&bytes]).0, want, "{name}");
    }
}

#[test]
fn an_error_stays() {
    let (_, mut parser) = parse(WireMode::Auto, &[&frame(3, 0, 1, &[0; LIMIT + 1])]);
    parser.feed(&frame(3, 0, 2, b"more"));
    assert!(matches!(
        parser.next_frame(),
        Err(FramingError::TooLarge {
            size: 1001,
            limit: LIMIT
        })
    ));
}

#[test]
fn an_unknown_version_is_fatal_to_a_live_connection_at_its_first_byte() {
    let mut parser = FrameParser::new(WireMode::Auto, LIMIT).strict();
    parser.feed(&frame(3, 0, 1, b"a"));
    parser.feed(b"G");
    let mut out = Vec::new();
    take(&mut parser, &mut out);
    assert_eq!(out, [payload(b"a"), Out::UnknownVersion(b'G')]);
}

/// Frames of these seqs and payloads, in one read, in a read each, and byte by byte.
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
fn a_peer_that_does_not_count_loses_nothing_however_its_frames_are_cut() {
    let long = |byte: u8| [vec![7; 100], vec![byte], vec![7; 100]].concat();
    let large = |byte: u8| [vec![7; 400], vec![byte], vec![7; 400]].concat();
    let (a, b, c, d) = (long(1), long(2), large(1), large(2));
    for seq in [0, 1, 2, 77, u32::MAX] {
        for said in [
            vec![&a, &b, &a, &a, &b],
            vec![&a, &a, &a],
            vec![&c, &d, &c, &c],
            vec![&vec![], &vec![], &a, &vec![]],
        ] {
            let said: Vec<&[u8]> = said.into_iter().map(Vec::as_slice).collect();
            let frames: Vec<_> = said.iter().map(|payload| (seq, *payload)).collect();
            cut_in_every_way(&frames, |out, parser| {
                assert_eq!(payloads(&out), said);
                assert_eq!(out.len(), said.len(), "nothing is noticed: {out:?}");
                assert_eq!((parser.copies_dropped(), parser.frames_missing()), (0, 0));
            });
        }
    }
}

#[test]
fn a_frame_that_a_counting_peer_writes_again_is_dropped_and_noticed_once() {
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
        let said = [
            payload(b"hello"),
            payload(&a),
            again(),
            payload(&b),
            again(),
            payload(b""),
            again(),
            payload(b""),
        ];
        assert_eq!(out, said);
        assert_eq!((parser.copies_dropped(), parser.frames_missing()), (4, 0));
    });
}

#[test]
fn a_frame_of_the_same_seq_and_size_and_ends_is_another_frame() {
    let [a, b] = [3, 4].map(|byte| [vec![7; 100], vec![byte], vec![7; 100]].concat());
    // The peer has counted, and then does not any more.
    let frames: [(u32, &[u8]); 6] = [(1, b"1"), (2, &a), (2, &b), (2, &b), (2, &a), (3, &a)];
    cut_in_every_way(&frames, |out, parser| {
        assert_eq!(payloads(&out), [b"1", &a[..], &b, &b, &a, &a]);
        assert_eq!(parser.copies_dropped(), 0);
    });
}

#[test]
fn a_copy_of_a_large_frame_is_known_in_a_later_read() {
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
        parser.rest();
    }
    assert_eq!(payloads(&out), [&[][..], &large, &large]);
    assert_eq!(parser.copies_dropped(), 2);
}

#[test]
fn frames_that_a_counting_peer_has_lost_are_noticed_before_the_next_one() {
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
        // Nothing shows that these count, or that they do any more.
        (&[1, 3, 5, 7], vec![p(1), p(3), p(5), p(7)], 0),
        (&[9, 4, 12, 3, 3], vec![p(9), p(4), p(12), p(3), p(3)], 0),
        (&[1, 2, 1, 4], vec![p(1), p(2), p(1), p(4)], 0),
    ];
    for (seqs, want, missing) in table {
        let said: Vec<_> = seqs.iter().map(|seq| (*seq, seq.to_be_bytes())).collect();
        let frames: Vec<_> = said.iter().map(|(seq, bytes)| (*seq, &bytes[..])).collect();
        cut_in_every_way(&frames, |out, parser| {
            assert_eq!(out, want, "{seqs:?}");
            assert_eq!(parser.frames_missing(), missing, "{seqs:?}");
        });
    }
}

#[test]
fn frames_that_are_skipped_use_their_seq_up() {
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
    let said = [
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
    assert_eq!(kinds, said);
    assert_eq!((parser.frames_missing(), parser.copies_dropped()), (1, 0));
}

/// The rules of wire section 9, with all of the frame before kept.
#[derive(Default)]
struct Rules {
    next: Option<u32>,
    counts: bool,
    before: Option<Vec<u8>>,
    repeated: bool,
}

impl Rules {
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
fn whatever_the_seqs_are_and_however_they_are_cut_they_show_what_the_rules_say() {
    for seed in 1..if cfg!(miri) { 5 } else { 2_000 } {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed);
        let mut below = |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 11) % n
        };
        let (mut rules, mut want) = (Rules::default(), Vec::new());
        let mut bytes = Vec::new();
        // Some of them go past the last seq.
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
                rules.skipped(seq, 9, &mut want);
            } else {
                bytes.extend(frame(3, 0, seq, &content));
                rules.frame(seq, &content, &mut want);
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
fn wire_version_2_has_no_seq_to_tell_by() {
    let stream = [frame(2, 0, 0, b"a"), frame(2, 0, 0, b"a")].concat();
    let (out, parser) = parse(WireMode::Auto, &[&stream]);
    assert_eq!(out, [payload(b"a"), payload(b"a")]);
    assert_eq!((parser.copies_dropped(), parser.frames_missing()), (0, 0));
}

#[test]
fn who_says_the_version() {
    // The first inbound byte, when nothing was written.
    let mut parser = FrameParser::new(WireMode::Auto, LIMIT);
    assert_eq!((parser.wire(), parser.outbound_wire()), (None, V3));
    assert!(parser.begin_with(V2));
    assert_eq!((parser.wire(), parser.outbound_wire()), (None, V2));
    parser.feed(&[3]);
    assert!(parser.next_frame().unwrap().is_none());
    assert_eq!((parser.wire(), parser.begin_with(V2)), (Some(V3), false));

    // The first frame written, when that comes first.
    let mut parser = FrameParser::new(WireMode::Auto, LIMIT);
    parser.begin_with(V2);
    parser.written(V2);
    assert_eq!((parser.wire(), parser.begin_with(V3)), (Some(V2), false));
    let mut out = Vec::new();
    parser.feed(&[frame(3, 0, 1, b"abc"), frame(2, 0, 0, b"x")].concat());
    take(&mut parser, &mut out);
    assert_eq!(out, [other(V3, V2), payload(b"x")]);

    // The configuration, always.
    let mut parser = FrameParser::new(WireMode::Fixed(V3), LIMIT);
    assert_eq!((parser.wire(), parser.begin_with(V2)), (Some(V3), false));
}

#[test]
fn where_the_stream_may_end() {
    type Row = (&'static [u8], Option<(usize, usize)>);
    let table: [Row; 9] = [
        (&[], None),
        (&[2, 0, 0, 0, 0, 0], None),
        (&[2], Some((1, 6))),
        (&[3], Some((1, 10))),
        (&[3, 0, 0, 0, 0, 5, 0, 0], Some((8, 10))),
        (&[3, 0, 0, 0, 0, 5, 0, 0, 0, 1, 9], Some((11, 15))),
        (&[2, 1, 0, 0, 0, 5, 0], Some((7, 21))),
        (&[2, 9, 0, 0, 0, 5, 0], Some((7, 11))),
        (&[2, 9, 0, 0, 0, 1, 0], None),
    ];
    for (bytes, want) in table {
        let (_, parser) = parse(WireMode::Auto, &[bytes]);
        assert_eq!(parser.unfinished(), want, "{bytes:?}");
        assert_eq!(parser.is_between_frames(), want.is_none());
    }
}

#[test]
fn frames_of_one_read_share_it_without_a_copy() {
    let mut parser = FrameParser::new(WireMode::Auto, LIMIT);
    let bytes = [
        frame(3, 0, 1, b"one"),
        frame(3, 0, 2, b"two"),
        frame(3, 0, 3, b"thr"),
    ]
    .concat();
    let buf = parser.read_buf();
    buf.extend_from_slice(&bytes[..bytes.len() - 1]);
    let start = buf.as_ptr();
    for (at, text) in [(10, b"one"), (23, b"two")] {
        let Some(Frame::Payload(payload)) = parser.next_frame().unwrap() else {
            panic!()
        };
        assert_eq!(payload.slice(0..3), &text[..]);
        assert_eq!(payload.as_slice().as_ptr(), start.wrapping_add(at));
        assert_eq!(payload.wire(), Some(V3));
    }
    assert!(parser.next_frame().unwrap().is_none());
}

/// Appends as a transport would, in pieces of at most `step`.
fn read(parser: &mut FrameParser, mut bytes: &[u8], step: usize) {
    while !bytes.is_empty() {
        let buf = parser.read_buf();
        let n = (buf.capacity() - buf.len()).min(step).min(bytes.len());
        buf.extend_from_slice(&bytes[..n]);
        bytes = &bytes[n..];
        while parser.next_frame().unwrap().is_some() {}
    }
}

#[test]
fn a_header_alone_costs_nothing_and_growth_follows_what_arrives() {
    let mut parser = FrameParser::new(WireMode::Auto, 64 << 20);
    read(&mut parser, &[3, 0, 4, 0, 0, 0, 0, 0, 0, 1], 10);
    assert!(parser.held() <= QUIET, "{}", parser.held());
    let mut arrived = 10;
    while arrived < 8 << 20 {
        read(&mut parser, &[0; 10_000], 10_000);
        arrived += 10_000;
        assert!(
            parser.held() <= 4 * arrived + (128 << 10),
            "{} for {arrived}",
            parser.held()
        );
    }
}

#[test]
#[cfg_attr(miri, ignore = "too much for Miri")]
fn skipping_64_mib_needs_no_memory() {
    for fed in [false, true] {
        let mut parser = FrameParser::new(WireMode::Auto, 64 << 20);
        let mut sent = vec![3, 9, 4, 0, 0, 0, 0, 0, 0, 1];
        let chunk = vec![0; 1 << 20];
        for _ in 0..=64 {
            if fed {
                parser.feed(&sent);
                while parser.next_frame().unwrap().is_some() {}
            } else {
                read(&mut parser, &sent, 100_000);
            }
            assert!(parser.held() <= 256 << 10, "{}", parser.held());
            sent.clone_from(&chunk);
        }
        assert!(parser.is_between_frames());
    }
}

#[test]
#[cfg_attr(miri, ignore = "too much for Miri")]
fn at_rest_little_is_held() {
    let small = frame(3, 0, 1, &[0; 64]);
    let busy: Vec<u8> = (2..1000)
        .flat_map(|seq| frame(3, 0, seq, &[0; 64]))
        .collect();
    let large = frame(3, 0, 1000, &[0; 8 << 20]);
    let mut half = busy.clone();
    half.extend_from_slice(&[3, 0, 0]);
    for (name, bytes) in [
        ("small", small),
        ("busy", busy),
        ("large", large),
        ("half", half),
    ] {
        let mut parser = FrameParser::new(WireMode::Auto, 64 << 20);
        read(&mut parser, &bytes, usize::MAX);
        parser.rest();
        assert!(parser.held() <= QUIET, "{name}: {}", parser.held());
        let (have, _) = parser.unfinished().unwrap_or_default();
        assert_eq!(have, if name == "half" { 3 } else { 0 });
    }
}

#[test]
#[cfg_attr(miri, ignore = "too much for Miri")]
fn a_busy_connection_shrinks_after_a_large_message() {
    let mut parser = FrameParser::new(WireMode::Auto, 64 << 20);
    read(&mut parser, &frame(3, 0, 1, &vec![0; 32 << 20]), 200_000);
    assert!(parser.held() >= 32 << 20);
    for seq in 2..10_000 {
        read(&mut parser, &frame(3, 0, seq, &[0; 1000]), 200_000);
    }
    assert!(parser.held() <= 512 << 10, "{}", parser.held());
}

#[test]
#[cfg_attr(miri, ignore = "too much for Miri")]
fn a_busy_connection_reads_into_the_same_memory_again() {
    let mut parser = FrameParser::new(WireMode::Auto, 64 << 20);
    let batch: Vec<u8> = (0..1000)
        .flat_map(|seq| frame(2, 0, seq, &[0; 64]))
        .collect();
    read(&mut parser, &batch, usize::MAX);
    read(&mut parser, &batch, usize::MAX);
    let held = parser.held();
    for _ in 0..1000 {
        read(&mut parser, &batch, usize::MAX);
        assert_eq!(parser.held(), held);
    }
}

/// A message keeps the allocation that it was read into alive.
#[test]
#[cfg_attr(miri, ignore = "too much for Miri")]
fn a_small_frame_keeps_no_large_allocation_alive() {
    for (large, also) in [
        (4 << 20, 0),
        (16 << 20, 0),
        (300_000, 0),
        (16 << 20, 100_000),
    ] {
        let mut parser = FrameParser::new(WireMode::Auto, 64 << 20);
        let frames = [
            frame(3, 0, 1, &vec![0; large]),
            frame(3, 0, 2, &vec![2; also]),
            frame(3, 0, 3, b"small"),
            frame(3, 0, 4, b"small"),
        ];
        let stream = [&frames.concat()[..], &frame(3, 0, 5, &vec![0; large])].concat();
        // Up to the second small one in one read, the third in the next.
        let cut = frames[..3].concat().len();
        // Kept, so that no address is used twice.
        let (mut large_ones, mut others) = (Vec::new(), Vec::new());
        for part in [&stream[..cut], &stream[cut..]] {
            let mut rest = part;
            while !rest.is_empty() {
                let buf = parser.read_buf();
                let n = (buf.capacity() - buf.len()).min(rest.len());
                buf.extend_from_slice(&rest[..n]);
                rest = &rest[n..];
                while let Some(next) = parser.next_frame().unwrap() {
                    let Frame::Payload(payload) = next else {
                        panic!("{next:?}")
                    };
                    let whole = payload.slice(0..large);
                    if whole.len() == large {
                        large_ones.push(whole);
                    } else {
                        others.push(whole);
                    }
                }
            }
        }
        assert_eq!((large_ones.len(), others.len()), (2, 3));
        for large_one in &large_ones {
            let start = large_one.as_ptr() as usize;
            let allocation = start..start + large + (128 << 10);
            for other in &others {
                assert!(
                    !allocation.contains(&(other.as_ptr() as usize)),
                    "{large} {also}"
                );
            }
        }
    }
}

#[test]
fn frames_of_a_large_read_are_split_off_in_small_runs() {
    let mut parser = FrameParser::new(WireMode::Auto, 64 << 20);
    let small = |count: u32| (1..=count).flat_map(|seq| frame(3, 0, seq, &[0; 1000]));
    let stream: Vec<u8> = small(1000).collect();
    parser.feed(&stream);
    let mut seen = 0;
    while let Some(next) = parser.next_frame().unwrap() {
        let Frame::Payload(payload) = next else {
            panic!("{next:?}")
        };
        assert!(payload.buffer().len() <= LARGE);
        seen += 1;
    }
    assert_eq!(seen, 1000);
}

#[test]
fn a_quiet_connection_reads_into_the_same_memory_again() {
    for size in [0, 64, 500, QUIET - 7] {
        let mut parser = FrameParser::new(WireMode::Auto, QUIET);
        let mut receive = || {
            read(&mut parser, &frame(2, 0, 0, &vec![0; size]), usize::MAX);
            parser.rest();
            parser.read_buf().as_ptr()
        };
        let at = receive();
        for round in 0..100 {
            assert_eq!(receive(), at, "{size} bytes, round {round}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too much for Miri")]
fn a_large_frame_takes_of_the_budget_as_it_arrives_and_gives_it_back() {
    let budget = InboundBudget::new(8 << 20);
    let leasing = || {
        FrameParser::new(WireMode::Auto, 64 << 20).leasing(Lease::of(Some(budget.clone()), None))
    };
    // As the transport reads: room is leased first. Fails with the announced size.
    let read = |parser: &mut FrameParser, mut bytes: &[u8]| {
        while !bytes.is_empty() {
            parser.lease_room().map_err(|error| match error {
                FramingError::OverBudget { size, limit, .. } => (size, limit),
                other => panic!("{other}"),
            })?;
            let buf = parser.read_buf();
            let n = (buf.capacity() - buf.len()).min(50_000).min(bytes.len());
            buf.extend_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            while parser.next_frame().unwrap().is_some() {}
        }
        Ok(())
    };

    let mut small = leasing();
    let many: Vec<u8> = (1..3000)
        .flat_map(|seq| frame(3, 0, seq, &[0; 1000]))
        .collect();
    read(&mut small, &many).unwrap();
    assert_eq!(budget.used(), 0, "small frames take nothing");

    let large = frame(3, 0, 1, &vec![0; 4 << 20]);
    let mut a = leasing();
    read(&mut a, &large[..10]).unwrap();
    assert_eq!(budget.used(), 0, "nor does a header");
    read(&mut a, &large[10..3 << 20]).unwrap();
    assert!(
        (2 << 20..=6 << 20).contains(&budget.used()),
        "{}",
        budget.used()
    );

    let mut b = leasing();
    let refused = read(&mut b, &frame(3, 0, 1, &vec![0; 16 << 20]));
    assert_eq!(refused, Err((16 << 20, 8 << 20)));
    drop(b);

    // Handed on, and nothing more comes; or ended in the middle of it.
    read(&mut a, &large[3 << 20..]).unwrap();
    a.rest();
    assert_eq!(budget.used(), 0);
    read(&mut a, &frame(3, 0, 2, &vec![0; 4 << 20])[..2 << 20]).unwrap();
    assert!(budget.used() > 0);
    drop(a);
    assert_eq!(budget.used(), 0);

    // A small message after a large one gives it back as well.
    let mut c = leasing();
    read(&mut c, &large).unwrap();
    read(&mut c, &many).unwrap();
    assert_eq!(budget.used(), 0);
}

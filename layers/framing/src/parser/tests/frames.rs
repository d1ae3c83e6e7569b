//! Frames out of a stream, wherever its reads end.
//!
//! A failure says the wire version and where the stream was cut.

use super::*;

/// A stream with every kind of frame, and what it yields.
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
        // Miri is a thousand times slower.
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
fn the_same_at_random_cuts_read_into_the_read_buffer() {
    let mut state = 0x9e37_79b9_u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for wire in [V2, V3] {
        let (bytes, want) = everything(wire);
        // Miri is a thousand times slower.
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
                    parser.release();
                }
            }
            assert_eq!(out, want, "wire {wire}, round {round}");
        }
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

//! What a frame header says.
//!
//! A failure shows the header's bytes, or the name of its case.

use super::*;

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
            "unknown version, measured as wire 3",
            WireMode::Auto,
            frame(4, 0, 1, b"abc"),
            fault(FrameFault::UnknownVersion { byte: 4 }),
        ),
        (
            "unknown version, measured as wire 2",
            WireMode::Fixed(V2),
            [&[0, 0, 0, 0, 0, 1, 9][..], &frame(2, 0, 0, b"x")].concat(),
            vec![
                Out::Skipped(FrameFault::UnknownVersion { byte: 0 }),
                payload(b"x"),
            ],
        ),
        (
            "an unknown version determines nothing",
            WireMode::Auto,
            [frame(4, 0, 1, b"abc"), frame(2, 0, 0, b"x")].concat(),
            vec![
                Out::Skipped(FrameFault::UnknownVersion { byte: 4 }),
                payload(b"x"),
            ],
        ),
        (
            "the version is determined by a frame that is skipped",
            WireMode::Auto,
            [frame(2, 5, 0, b"abc"), frame(3, 0, 1, b"x")].concat(),
            vec![
                Out::Skipped(FrameFault::UnknownType { byte: 5 }),
                other(V3, V2),
            ],
        ),
        (
            "good frames before a bad header are yielded first",
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
fn an_error_is_final() {
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
fn an_unknown_version_ends_a_real_connection_at_its_first_byte() {
    let mut parser = FrameParser::new(WireMode::Auto, LIMIT).strict();
    parser.feed(&frame(3, 0, 1, b"a"));
    parser.feed(b"G");
    let mut out = Vec::new();
    take(&mut parser, &mut out);
    assert_eq!(out, [payload(b"a"), Out::UnknownVersion(b'G')]);
}

#[test]
fn what_determines_the_wire_version() {
    // The first inbound byte, if nothing was written before.
    let mut parser = FrameParser::new(WireMode::Auto, LIMIT);
    assert_eq!((parser.wire(), parser.outbound_wire()), (None, V3));
    assert!(parser.begin_with(V2));
    assert_eq!((parser.wire(), parser.outbound_wire()), (None, V2));
    parser.feed(&[3]);
    assert!(parser.next_frame().unwrap().is_none());
    assert_eq!((parser.wire(), parser.begin_with(V2)), (Some(V3), false));

    // The first frame written, if that comes first.
    let mut parser = FrameParser::new(WireMode::Auto, LIMIT);
    parser.begin_with(V2);
    parser.frame_written(V2);
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
        assert_eq!(parser.partial_frame(), want, "{bytes:?}");
        assert_eq!(parser.is_between_frames(), want.is_none());
    }
}

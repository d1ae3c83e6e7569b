//! How much memory the parser holds.

use super::*;
use crate::{
    InboundBudget,
    read_buf::{LARGE_ALLOCATION, QUIET_READ},
};

/// Appends as a transport would, in pieces of at most `step`.
fn read(parser: &mut FrameParser, bytes: &[u8], step: usize) {
    read_frames(parser, bytes, step, |_| ());
}

/// The same, with `each` for the frames.
fn read_frames(
    parser: &mut FrameParser,
    mut bytes: &[u8],
    step: usize,
    mut each: impl FnMut(Frame<'_>),
) {
    while !bytes.is_empty() {
        let buf = parser.read_buf();
        let n = (buf.capacity() - buf.len()).min(step).min(bytes.len());
        buf.extend_from_slice(&bytes[..n]);
        bytes = &bytes[n..];
        while let Some(frame) = parser.next_frame().unwrap() {
            each(frame);
        }
    }
}

#[test]
fn a_header_alone_allocates_nothing_and_memory_grows_with_what_arrives() {
    let mut parser = FrameParser::new(WireMode::Auto, 64 << 20);
    read(&mut parser, &[3, 0, 4, 0, 0, 0, 0, 0, 0, 1], 10);
    assert!(parser.held() <= QUIET_READ, "{}", parser.held());
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
fn an_idle_connection_holds_little() {
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
        parser.release();
        assert!(parser.held() <= QUIET_READ, "{name}: {}", parser.held());
        let (have, _) = parser.partial_frame().unwrap_or_default();
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

/// A message keeps the allocation alive into which it was read.
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
        // Up to the first small frame in one read, the second in the next.
        let cut = frames[..3].concat().len();
        // Kept, so that no address is reused.
        let (mut large_ones, mut others) = (Vec::new(), Vec::new());
        for part in [&stream[..cut], &stream[cut..]] {
            read_frames(&mut parser, part, usize::MAX, |frame| {
                let Frame::Payload(payload) = frame else {
                    panic!("{frame:?}")
                };
                let whole = payload.slice(0..large);
                match whole.len() == large {
                    true => large_ones.push(whole),
                    false => others.push(whole),
                }
            });
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
        assert!(payload.buffer().len() <= LARGE_ALLOCATION);
        seen += 1;
    }
    assert_eq!(seen, 1000);
}

#[test]
fn a_quiet_connection_reads_into_the_same_memory_again() {
    for size in [0, 64, 500, QUIET_READ - 7] {
        let mut parser = FrameParser::new(WireMode::Auto, QUIET_READ);
        let mut receive = || {
            read(&mut parser, &frame(2, 0, 0, &vec![0; size]), usize::MAX);
            parser.release();
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
fn a_large_frame_leases_from_the_budget_as_it_arrives_and_releases_it() {
    let budget = InboundBudget::new(8 << 20);
    let leasing = || {
        FrameParser::new(WireMode::Auto, 64 << 20)
            .with_lease(Lease::new(Some(budget.clone()), None))
    };
    // Reads as the transport does, with a lease first. Fails with the announced size.
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
    assert_eq!(budget.used(), 0, "small frames lease nothing");

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

    // Passed on and idle; or the connection ends within the frame.
    read(&mut a, &large[3 << 20..]).unwrap();
    a.release();
    assert_eq!(budget.used(), 0);
    read(&mut a, &frame(3, 0, 2, &vec![0; 4 << 20])[..2 << 20]).unwrap();
    assert!(budget.used() > 0);
    drop(a);
    assert_eq!(budget.used(), 0);

    // A small message after a large one ends the lease, too.
    let mut c = leasing();
    read(&mut c, &large).unwrap();
    read(&mut c, &many).unwrap();
    assert_eq!(budget.used(), 0);
}

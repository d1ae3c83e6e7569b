//! How much memory the parser holds.
//!
//! Held: bytes that are held at each moment, for frames that are large, small, cut, skipped and mixed. A failure says
//! how many, and what had arrived.

use bytes::BufMut as _;

use super::*;
use crate::{
    InboundBudget,
    read_buf::{BUSY_READ, LARGE_ALLOCATION, QUIET_READ},
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
            // There is room for one read behind a frame.
            let allocation = start..start + large + BUSY_READ;
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

/// What an owner that frees regularly sees.
#[test]
#[cfg_attr(miri, ignore = "too much for Miri")]
fn the_memory_of_a_large_frame_is_kept_until_it_was_not_needed_for_a_while() {
    let large = |seq| frame(3, 0, seq, &vec![0; 4 << 20]);
    let mut parser = FrameParser::new(WireMode::Auto, 64 << 20);
    assert!(!parser.keep());
    read(&mut parser, &large(1), 200_000);
    read(&mut parser, &large(2), 200_000); // Now in one step, with the size of the first.
    parser.release();
    assert!(parser.keep());
    let (held, at) = (parser.held(), parser.read_buf().as_ptr());
    for seq in 3..20 {
        parser.free_kept(); // It was needed since the last call.
        read(&mut parser, &large(seq), 200_000);
        parser.release();
        assert_eq!((parser.held(), parser.read_buf().as_ptr()), (held, at));
    }
    // Small frames between do not need it, and do not keep it alive.
    read_frames(&mut parser, &frame(3, 0, 20, b"small"), 100, |frame| {
        let Frame::Payload(payload) = frame else {
            panic!("{frame:?}")
        };
        assert!(payload.buffer().len() < 100);
    });
    parser.free_kept();
    assert!(parser.keep());
    parser.free_kept();
    assert!(!parser.keep());
    parser.release();
    assert!(parser.held() <= QUIET_READ, "{}", parser.held());
}

#[test]
fn a_frame_as_large_as_the_last_one_has_room_although_a_message_holds_that_one() {
    let mut parser = FrameParser::new(WireMode::Auto, 1 << 20);
    let large = |seq| frame(3, 0, seq, &vec![0; BUSY_READ + 30]);
    let mut messages = Vec::new();
    for seq in 1..6 {
        if seq > 1 {
            let limited = parser.next_read();
            let room = limited.get_ref().capacity() - limited.get_ref().len();
            assert!(room >= large(seq).len(), "{seq}: {room}");
        }
        read_frames(&mut parser, &large(seq), usize::MAX, |frame| {
            let Frame::Payload(payload) = frame else {
                panic!("{frame:?}")
            };
            messages.push(payload.slice(0..BUSY_READ));
        });
        assert!(parser.held() <= 2 * LARGE_ALLOCATION);
    }
    assert_eq!(messages.len(), 5);
}

#[test]
#[cfg_attr(miri, ignore = "too much for Miri")]
fn a_frame_that_arrives_slowly_is_not_freed() {
    let mut parser = FrameParser::new(WireMode::Auto, 64 << 20);
    parser.keep();
    let large = frame(3, 0, 1, &vec![7; 1 << 20]);
    let mut seen = 0;
    for part in large.chunks(100_000) {
        read_frames(&mut parser, part, usize::MAX, |_| seen += 1);
        parser.release();
        parser.free_kept();
        parser.free_kept();
    }
    assert_eq!(seen, 1);
}

/// While the peer's next frame is much smaller, and while memory is scarce, nothing is kept.
#[test]
#[cfg_attr(miri, ignore = "too much for Miri")]
fn memory_is_kept_for_frames_of_that_size_and_from_a_quarter_of_the_budget_alone() {
    let budget = InboundBudget::new(16 << 20).per_uid(16 << 20);
    let lease = || Lease::new(Some(budget.clone()), Some(7));
    let large = |size: usize| frame(3, 0, 1, &vec![0; size << 20]);
    let fill = |parser: &mut FrameParser, bytes: &[u8]| {
        for part in bytes.chunks(50_000) {
            parser.lease_room().unwrap();
            read(parser, part, usize::MAX);
        }
        parser.release();
    };
    let mut parsers: Vec<_> = (0..4)
        .map(|_| FrameParser::new(WireMode::Auto, 64 << 20).with_lease(lease()))
        .collect();
    for (at, parser) in parsers.iter_mut().enumerate() {
        parser.keep();
        fill(parser, &large(2));
        assert_eq!(parser.keep(), at < 2, "connection {at}: {}", budget.used());
    }
    assert!(budget.used() <= 4 << 20, "{}", budget.used());
    for parser in &mut parsers {
        parser.free_kept();
        parser.free_kept();
    }
    assert_eq!(budget.used(), 0);

    let mut parser = FrameParser::new(WireMode::Auto, 64 << 20);
    parser.keep();
    read(&mut parser, &large(16), 200_000);
    let held = parser.held();
    read(&mut parser, &large(1), 200_000);
    assert!(held >= 16 << 20 && parser.held() <= 4 << 20);
}

/// Else what was begun behind a frame would be moved to the front, for each frame.
#[test]
#[cfg_attr(miri, ignore = "too much for Miri")]
fn large_frames_of_one_size_are_read_one_by_one_into_the_same_memory() {
    for size in [64 << 10, 100 << 10, 300 << 10, 1 << 20] {
        let mut parser = FrameParser::new(WireMode::Auto, 64 << 20);
        parser.keep();
        let mut stream: Vec<u8> = (1..20)
            .flat_map(|seq| frame(3, 0, seq, &vec![0; size]))
            .collect();
        let (mut seen, mut at) = (0, None);
        while !stream.is_empty() {
            let mut buf = parser.next_read();
            let n = buf.chunk_mut().len().min(stream.len()).min(200_000);
            buf.put_slice(&stream[..n]);
            stream.drain(..n);
            while let Some(Frame::Payload(payload)) = parser.next_frame().unwrap() {
                seen += 1;
                let (was, is) = (at, Some(payload.as_slice().as_ptr()));
                at = is;
                if seen > 3 {
                    assert_eq!(was, is, "frame {seen} of {size} bytes");
                    assert!(parser.is_between_frames(), "frame {seen} of {size} bytes");
                }
            }
        }
        assert_eq!(seen, 19);
    }
}

/// What was begun behind the last whole frame would be moved to the front.
#[test]
#[cfg_attr(miri, ignore = "too much for Miri")]
fn frames_of_one_medium_size_are_read_whole_and_nothing_of_them_is_moved() {
    for size in [5 << 10, 16 << 10, 20 << 10, 33 << 10, 48 << 10, 60 << 10] {
        let mut parser = FrameParser::new(WireMode::Auto, 64 << 20);
        parser.keep();
        let frames = 60_u32;
        let mut stream: Vec<u8> = (1..=frames)
            .flat_map(|seq| frame(3, 0, seq, &vec![0; size]))
            .collect();
        let (mut seen, mut reads, mut last_reads) = (0_u32, 0, 0);
        while !stream.is_empty() {
            let mut buf = parser.next_read();
            let n = buf.chunk_mut().len().min(stream.len());
            buf.put_slice(&stream[..n]);
            stream.drain(..n);
            reads += 1;
            while let Some(Frame::Payload(_)) = parser.next_frame().unwrap() {
                seen += 1;
            }
            if seen > frames / 2 {
                last_reads += 1;
                let left = parser.partial_frame();
                assert!(
                    left.is_none(),
                    "{left:?} after read {reads} of {size} bytes"
                );
                assert!(parser.held() <= LARGE_ALLOCATION, "{}", parser.held());
            }
        }
        assert_eq!(seen, frames);
        // As few as reads of 64 KiB would be.
        let most = (frames as usize / 2 * size).div_ceil(BUSY_READ) + 1;
        assert!(last_reads <= most, "{last_reads} reads of {size} bytes");
    }
}

/// The sizes that were read before say nothing for ever: what follows is read in few reads, whatever its size.
#[test]
#[cfg_attr(miri, ignore = "too much for Miri")]
fn after_frames_of_another_size_reads_are_as_large() {
    let sizes = [16 << 10, 100, 60 << 10, 1 << 20, 48 << 10, 10, 5 << 10];
    let mut parser = FrameParser::new(WireMode::Auto, 64 << 20);
    parser.keep();
    let mut seq = 0;
    for size in sizes {
        let count = ((1 << 20) / size).max(2);
        let mut stream = Vec::new();
        for _ in 0..count {
            seq += 1;
            stream.extend(frame(3, 0, seq, &vec![0; size]));
        }
        let (mut reads, bytes) = (0, stream.len());
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let mut buf = parser.next_read();
            let n = buf.chunk_mut().len().min(rest.len());
            assert!(n > 0);
            buf.put_slice(&rest[..n]);
            rest = &rest[n..];
            reads += 1;
            while let Some(Frame::Payload(_)) = parser.next_frame().unwrap() {}
        }
        assert!(parser.is_between_frames());
        assert!(
            reads <= 2 * bytes.div_ceil(BUSY_READ) + 8,
            "{reads} reads of {size}"
        );
    }
}

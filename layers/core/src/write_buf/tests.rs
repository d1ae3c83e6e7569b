//! The write buffer against a plain list of bytes, however it is written and taken; and what it holds when it is
//! idle. A failure says how many slices and bytes were taken at once.

use super::*;

fn large(byte: u8) -> Bytes {
    Bytes::from(vec![byte; ATTACH])
}

/// All bytes of the buffer, read in writes of `at_once` slices and at most `step` bytes.
fn drain(buf: &mut WriteBuf, at_once: usize, step: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while !buf.is_empty() {
        let mut slices = vec![IoSlice::new(&[]); at_once];
        let filled = buf.slices(&mut slices);
        assert!(filled > 0);
        assert_eq!(slices[0].as_ptr(), buf.front().as_ptr());
        let mut n = 0;
        for slice in &slices[..filled] {
            let part = &slice[..slice.len().min(step - n)];
            out.extend_from_slice(part);
            n += part.len();
        }
        buf.advance(n);
    }
    out
}

/// A buffer of small, large, large, small, small and large payloads, and its bytes in order.
fn mixed() -> (WriteBuf, Vec<u8>) {
    let (mut buf, mut want) = (WriteBuf::default(), Vec::new());
    for (i, part) in [3, ATTACH, ATTACH, 5, 7, ATTACH].into_iter().enumerate() {
        let bytes = Bytes::from(vec![i as u8; part]);
        buf.writer().put_bytes(&bytes);
        want.extend_from_slice(&bytes);
    }
    (buf, want)
}

#[test]
fn every_way_of_writing_gives_the_same_bytes() {
    for at_once in [1, 2, 3, 16] {
        for step in [1, 2, 3, 4, 100, ATTACH - 1, ATTACH, ATTACH + 3, usize::MAX] {
            if cfg!(miri) && step < 100 {
                // Small steps take too long under Miri.
                continue;
            }
            let (mut buf, want) = mixed();
            assert_eq!(buf.len(), want.len());
            assert!(
                drain(&mut buf, at_once, step) == want,
                "{at_once} slices, {step} bytes"
            );
            assert_eq!((buf.len(), buf.front()), (0, &[][..]));
        }
    }
}

#[test]
fn what_is_shared_is_written_on_and_is_not_among_the_rest() {
    for written in [0, 1, 3, 4, ATTACH + 2, 2 * ATTACH + 15, 3 * ATTACH + 15] {
        let (mut buf, mut want) = mixed();
        buf.advance(2);
        want.drain(..2);
        let shared = buf.share();
        assert!(shared.concat() == want && buf.to_vec() == want);
        assert_eq!((buf.shared(), buf.unshared().len()), (want.len(), 0));
        // Behind it, also without small bytes between.
        let more = [large(8), Bytes::from_static(b"more"), large(9)];
        for bytes in &more {
            buf.writer().put_bytes(bytes);
        }
        let written = written.min(want.len());
        buf.advance(written);
        assert_eq!(buf.shared(), want.len() - written);
        assert!(buf.unshared() == more.concat());
        want.drain(..written);
        want.extend(more.concat());
        // A second time, some of it is shared again.
        assert!(buf.share().concat() == want);
        assert!(drain(&mut buf, 16, usize::MAX) == want);
        assert_eq!(buf.shared(), 0);
    }
    assert!(WriteBuf::default().share().is_empty());
}

#[test]
fn large_payloads_are_attached_and_small_ones_copied() {
    let (below, at) = (Bytes::from(vec![1; ATTACH - 1]), large(2));
    let mut buf = WriteBuf::default();
    buf.writer().put_bytes(&below);
    assert!(buf.is_contiguous());
    buf.writer().put_bytes(&at);
    let mut slices = [IoSlice::new(&[]); 3];
    assert_eq!(buf.slices(&mut slices), 2);
    assert_ne!(slices[0].as_ptr(), below.as_ptr());
    assert_eq!(slices[1].as_ptr(), at.as_ptr());
}

#[test]
fn rewind_forgets_and_patch_overwrites() {
    let mut buf = WriteBuf::default();
    buf.writer().put_slice(b"head");
    buf.writer().put_bytes(&large(1));
    let checkpoint = buf.checkpoint();
    buf.writer().put_slice(b"gone");
    buf.writer().put_bytes(&large(2));
    buf.writer().put_u8(9);
    assert_eq!(buf.len_since(checkpoint), 4 + ATTACH + 1);
    buf.rewind(checkpoint);
    assert_eq!(buf.len_since(checkpoint), 0);
    buf.writer().put_slice(b"abcd");
    buf.writer().put_slice(b"ef");
    buf.patch(checkpoint, 1, b"BC");
    buf.patch(checkpoint, 5, b"too long");
    let mut want = [b"head", &large(1)[..]].concat();
    want.extend_from_slice(b"aBCdef");
    assert!(drain(&mut buf, 4, usize::MAX) == want);
}

#[test]
fn a_buffer_that_never_runs_empty_stays_small() {
    let mut buf = WriteBuf::default();
    buf.writer().put_slice(&[0; 1000]);
    let (mut sent, mut appended) = (0u64, 1000u64);
    // Miri takes a thousand times as long.
    for round in 0..if cfg!(miri) { 200 } else { 10_000u64 } {
        buf.writer().put_slice(&[0; 1000]);
        appended += 1000;
        if round % 100 == 0 {
            buf.writer().put_bytes(&large(1));
            appended += ATTACH as u64;
        }
        let n = buf.len() - 500;
        buf.advance(n);
        sent += n as u64;
        assert_eq!(buf.len() as u64, appended - sent);
    }
    assert!(buf.capacity() <= 4 * REGROW, "{} bytes", buf.capacity());
}

#[test]
fn an_empty_buffer_frees_its_memory() {
    let mut buf = WriteBuf::default();
    buf.writer().put_slice(&[0; 100]);
    buf.release();
    assert_eq!(buf.len(), 100, "only an empty buffer frees memory");
    buf.advance(100);
    buf.release();
    assert!(
        (100..=RETAIN_IDLE).contains(&buf.capacity()),
        "an idle one keeps a little"
    );

    buf.writer().put_slice(&[0; RETAIN_BUSY]);
    buf.advance(RETAIN_BUSY);
    assert!(buf.capacity() >= RETAIN_BUSY, "a busy one keeps more");
    buf.release();
    assert_eq!(buf.capacity(), 0);
    buf.writer().put_u8(1);
    assert!(buf.capacity() >= REGROW, "and allocates it again at once");
    buf.advance(1);
    buf.release();
    buf.writer().put_u8(1);
    assert!(buf.capacity() <= RETAIN_IDLE, "but only once");
    buf.advance(1);

    buf.writer().put_slice(&[0; RETAIN_BUSY + 1]);
    buf.advance(RETAIN_BUSY + 1);
    assert_eq!(buf.capacity(), 0, "none keeps a lot");

    let checkpoint = buf.checkpoint();
    buf.writer().put_slice(&[0; RETAIN_BUSY + 1]);
    buf.rewind(checkpoint);
    assert_eq!(buf.capacity(), 0, "nor does one that was rewound");
}

#[test]
fn writing_more_than_there_is_is_cut() {
    let (mut buf, _) = mixed();
    buf.advance(usize::MAX / 2);
    assert!(buf.is_empty() && buf.is_contiguous());
    buf.advance(1);
    assert!(buf.is_empty());
}

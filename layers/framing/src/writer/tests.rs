//! The headers that the writer completes, byte by byte as in wire section 2. A failure shows two lists of bytes.

use WireVersion::{V2, V3};
use bytes::Bytes;

use super::*;

fn write(writer: &mut FrameWriter, wire: WireVersion, buf: &mut WriteBuf, bytes: &[u8]) {
    let ok = |payload: &mut PayloadWriter<'_>| {
        payload.put_slice(bytes);
        Ok(())
    };
    writer
        .write(wire, buf, ok, |size, limit| (size, limit))
        .unwrap();
}

#[test]
fn the_header_of_each_version() {
    let table: [(WireVersion, &[u8], &[u8]); 4] = [
        (V2, b"", &[2, 0, 0, 0, 0, 0]),
        (V2, b"ab", &[2, 0, 0, 0, 0, 2, b'a', b'b']),
        (V3, b"", &[3, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        (V3, b"ab", &[3, 0, 0, 0, 0, 2, 0, 0, 0, 1, b'a', b'b']),
    ];
    for (wire, payload, want) in table {
        let mut buf = WriteBuf::default();
        write(&mut FrameWriter::new(100), wire, &mut buf, payload);
        assert_eq!(buf.front(), want);
    }
}

#[test]
fn the_length_is_patched_behind_other_frames_and_counts_what_is_attached() {
    let (mut writer, mut buf) = (FrameWriter::new(1 << 20), WriteBuf::default());
    let large = Bytes::from(vec![7; 0x1_2345]);
    write(&mut writer, V3, &mut buf, b"one");
    let encode = |payload: &mut PayloadWriter<'_>| {
        payload.put_u8(9);
        payload.put_bytes(&large);
        payload.put_u8(8);
        Ok::<(), (usize, usize)>(())
    };
    writer
        .write(V3, &mut buf, encode, |size, limit| (size, limit))
        .unwrap();
    buf.advance(13);
    assert_eq!(buf.front(), [3, 0, 0, 1, 0x23, 0x47, 0, 0, 0, 2, 9]);
    assert_eq!(buf.len(), 10 + 0x1_2347);
}

#[test]
fn a_refused_message_uses_only_its_sequence_number() {
    let (mut writer, mut buf) = (FrameWriter::new(4), WriteBuf::default());
    write(&mut writer, V3, &mut buf, b"1234");
    let before = buf.front().to_vec();
    let five = |payload: &mut PayloadWriter<'_>| {
        payload.put_slice(b"12345");
        Ok(())
    };
    assert_eq!(
        writer.write(V3, &mut buf, five, |size, limit| (size, limit)),
        Err((5, 4))
    );
    let failing = |payload: &mut PayloadWriter<'_>| {
        payload.put_slice(b"1");
        Err((0, 0))
    };
    assert_eq!(
        writer.write(V3, &mut buf, failing, |size, limit| (size, limit)),
        Err((0, 0))
    );
    assert_eq!(buf.front(), before);
    write(&mut writer, V3, &mut buf, b"");
    assert_eq!(buf.front()[before.len()..], [3, 0, 0, 0, 0, 0, 0, 0, 0, 4]);
}

#[test]
fn seq_begins_at_1_and_wraps_to_0() {
    let (mut writer, mut buf) = (FrameWriter::new(4), WriteBuf::default());
    writer.seq = u32::MAX;
    for want in [u32::MAX, 0, 1] {
        write(&mut writer, V3, &mut buf, b"");
        assert_eq!(buf.front()[6..10], want.to_be_bytes());
        buf.advance(10);
    }
}

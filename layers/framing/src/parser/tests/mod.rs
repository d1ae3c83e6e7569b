//! Helpers: streams of frames, and what the parser makes of them.
//!
//! In: frames as bytes. Out: a list of what was yielded, to be compared as a whole.

mod dedup;
mod frames;
mod header;
mod memory;

use WireVersion::{V2, V3};
use kyneta_uds_core::FrameFault;

use super::*;

const LIMIT: usize = 1000;

/// What the parser yielded, owned.
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

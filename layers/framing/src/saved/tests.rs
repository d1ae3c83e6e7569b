//! A transport that goes on with the bytes of another one, cut at every place. A failure says where, and before which
//! frame it was handed over.

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, Waker},
};

use kyneta_uds_core::{Frame, Frames as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

/// Complete frames, one twice, one that is missing, a fragment, an unknown type: everything that has a state.
fn stream() -> Vec<u8> {
    let frame = |kind: u8, seq: u32, payload: &[u8]| {
        let mut frame = vec![3, kind];
        frame.extend((payload.len() as u32).to_be_bytes());
        frame.extend(seq.to_be_bytes());
        if kind == 1 {
            frame.extend([0; 8]);
        }
        frame.extend(payload);
        frame
    };
    [
        frame(0, 1, b"one"),
        frame(0, 2, b"two"),
        frame(0, 2, b"two"),
        frame(0, 2, b"two"),
        frame(0, 3, b""),
        frame(1, 4, b"a fragment"),
        frame(0, 7, b"two are missing"),
        frame(9, 8, b"of a type that is not known"),
        frame(0, 9, &[7; 3000]),
    ]
    .concat()
}

fn config() -> FramingConfig {
    FramingConfig::new()
}

/// What the transport yields, as text, until it has to wait.
fn yielded(transport: &mut FrameTransport<DuplexStream>, out: &mut Vec<String>) {
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(frame)) = transport.poll_frame(&mut cx) {
        out.push(match frame.unwrap() {
            Frame::Payload(payload) => format!(
                "{:?} of {}",
                payload.as_slice().first(),
                payload.as_slice().len()
            ),
            other => format!("{other:?}"),
        });
    }
}

fn handed_over(transport: FrameTransport<DuplexStream>) -> FrameTransport<DuplexStream> {
    let saved = transport.save(Saved::new(1, 1));
    let io = transport.into_inner();
    let saved = Saved::decode(&saved.encode()).unwrap();
    let resumed = FrameTransport::resume(io, config(), &saved).unwrap();
    let again = resumed.save(Saved::new(1, 1));
    let io = resumed.into_inner();
    assert_eq!(again, saved);
    FrameTransport::resume(io, config(), &saved).unwrap()
}

/// With these bytes ahead.
fn handed_over_after(
    transport: FrameTransport<DuplexStream>,
    ahead: Bytes,
) -> FrameTransport<DuplexStream> {
    let saved = transport.save(Saved::new(1, 1).with(AHEAD, 7_u64));
    let io = transport.into_inner();
    let saved = Saved::decode(&saved.encode()).unwrap().with(AHEAD, ahead);
    FrameTransport::resume(io, config(), &saved).unwrap()
}

#[tokio::test]
async fn bytes_that_went_ahead_are_to_be_there() {
    let (_theirs, ours) = duplex(1);
    let mut transport = FrameTransport::new(ours, config());
    let write = |out: &mut kyneta_uds_core::PayloadWriter<'_>| {
        out.put_slice(b"hello");
        Ok(())
    };
    transport.write_frame(write, |_, _| "too large").unwrap();
    assert_eq!(transport.save_ahead().concat().len(), 15);
    let saved = transport.save(Saved::new(1, 1).with(AHEAD, 7_u64));
    let resume = |saved: &Saved| FrameTransport::resume(duplex(1).0, config(), saved).err();
    let error = |saved: &Saved| resume(saved).unwrap().to_string();
    assert_eq!(
        error(&saved),
        "a saved state has no field `ahead` that is bytes"
    );
    let few = saved.clone().with(AHEAD, vec![0; 14]);
    assert_eq!(
        error(&few),
        "the field `ahead-left` of a saved state has a value that cannot be: they are more than went ahead"
    );
    assert!(resume(&saved.with(AHEAD, vec![0; 15])).is_none());
    // A version that knows nothing of them does not read what is left.
    let part = transport.save(Saved::new(1, 1).with(AHEAD, 7_u64));
    assert_eq!(part.part(PART).unwrap().lowest(), 2);
}

#[tokio::test]
async fn wherever_the_bytes_are_cut_the_next_process_yields_what_this_one_would_have() {
    let bytes = stream();
    let (mut theirs, ours) = duplex(1 << 16);
    let mut transport = FrameTransport::new(ours, config());
    theirs.write_all(&bytes).await.unwrap();
    let mut expected = Vec::new();
    yielded(&mut transport, &mut expected);
    let info = transport.connection();
    assert_eq!((info.duplicates_dropped, info.frames_missing), (2, 2));

    for cut in 0..=bytes.len() {
        // A task's budget of reads would end in the middle.
        tokio::task::yield_now().await;
        let (mut theirs, ours) = duplex(1 << 16);
        let mut transport = FrameTransport::new(ours, config());
        let mut frames = Vec::new();
        theirs.write_all(&bytes[..cut]).await.unwrap();
        if cut % 3 > 0 {
            yielded(&mut transport, &mut frames);
        } else {
            // Some of what has arrived is not yielded yet.
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(Some(Ok(Frame::Payload(payload)))) = transport.poll_frame(&mut cx) {
                frames.push(format!(
                    "{:?} of {}",
                    payload.as_slice().first(),
                    payload.as_slice().len()
                ));
            }
        }
        let mut transport = handed_over(transport);
        theirs.write_all(&bytes[cut..]).await.unwrap();
        yielded(&mut transport, &mut frames);
        assert_eq!(frames, expected, "cut at {cut}");
        assert_eq!(transport.connection(), info, "cut at {cut}");
    }
}

#[tokio::test]
async fn what_the_kernel_has_not_taken_goes_out_in_order_with_the_next_numbers() {
    let write = |transport: &mut FrameTransport<DuplexStream>, byte: u8, size: usize| {
        transport
            .write_frame(
                |out| {
                    out.put_bytes(&vec![byte; size].into());
                    Ok(())
                },
                |_, _| "too large",
            )
            .unwrap();
    };
    let sizes = [10, 20_000, 3, 40_000, 70_000, 1];
    let mut expected = Vec::new();
    for (seq, size) in (1_u32..).zip(sizes) {
        expected.extend([3, 0]);
        expected.extend((size as u32).to_be_bytes());
        expected.extend(seq.to_be_bytes());
        expected.extend(vec![seq as u8; size]);
    }
    for (stops, goes_ahead) in
        (0..sizes.len()).flat_map(|stops| [(stops, 7), (stops, 0), (stops, 2)])
    {
        let (mut theirs, ours) = duplex(1000);
        let (mut transport, mut ahead) = (FrameTransport::new(ours, config()), None);
        for (seq, size) in (1_u8..).zip(sizes) {
            if usize::from(seq) == goes_ahead + 1 {
                ahead = Some(transport.save_ahead().concat());
            }
            if usize::from(seq) == stops + 1 {
                // The pipe takes the first part of it.
                let mut cx = Context::from_waker(Waker::noop());
                let _ = transport.poll_flush(&mut cx);
                transport = match ahead.take() {
                    None => handed_over(transport),
                    Some(ahead) => handed_over_after(transport, ahead.into()),
                };
            }
            write(&mut transport, seq, size);
        }
        let mut received = vec![0; expected.len()];
        let flush = pin!(poll_fn(|cx| transport.poll_flush(cx)));
        let (flushed, read) =
            futures_util::future::join(flush, theirs.read_exact(&mut received)).await;
        flushed.unwrap();
        read.unwrap();
        assert!(
            received == expected,
            "handed over before frame {}, {goes_ahead} frames ahead",
            stops + 1
        );
    }
}

#[test]
fn a_state_of_another_version_is_refused_with_a_sentence() {
    let resume = |saved: Saved| FrameTransport::resume(duplex(1).0, config(), &saved).unwrap_err();
    let later = Saved::new(1, 1).with(PART, Saved::new(3, 3));
    assert_eq!(
        resume(later).to_string(),
        "the saved state of framing has version 3, for readers from version 3 on; this is version 2"
    );
    assert_eq!(
        resume(Saved::new(1, 1)).to_string(),
        "a saved state has no field `framing` that is a part"
    );
    let other = Saved::new(1, 1).with("wire", 4_u64);
    let error = resume(Saved::new(1, 1).with(PART, other)).to_string();
    assert_eq!(
        error,
        "the field `wire` of a saved state has a value that cannot be: no wire version has this number"
    );
}

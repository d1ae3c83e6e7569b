//! How much one poll processes, and the budget that connections share.
//!
//! A failure says how many bytes one poll has worked on.

use super::*;

/// Reading without a frame to yield does not starve other tasks.
#[tokio::test]
async fn a_large_frame_is_read_in_more_than_one_poll() {
    let (ours, mut theirs) = tokio::io::duplex(2 << 20);
    let mut transport = FrameTransport::new(ours, FramingConfig::new());
    let mut part = vec![2, 0, 0, 0x20, 0, 0];
    part.resize(1 << 20, 0);
    theirs.write_all(&part).await.unwrap();
    for _ in 0..2 {
        let mut frame = tokio_test::task::spawn(std::future::poll_fn(|cx| {
            transport.poll_frame(cx).map(|frame| frame.is_some())
        }));
        tokio_test::assert_pending!(frame.poll());
        tokio::task::yield_now().await;
        assert!(frame.is_woken(), "there is more to read");
    }
}

/// How many bytes of a stream one poll processes that yields no frame.
async fn worked_in_one_poll(bytes: Vec<u8>, frames: usize) -> u64 {
    let (ours, mut theirs) = duplex(8 << 20);
    theirs.write_all(&bytes).await.unwrap();
    let mut ours = over(ours);
    for _ in 0..frames {
        poll_fn(|cx| ours.poll_frame(cx).map(|frame| assert!(frame.is_some()))).await;
    }
    let before = ours.worked();
    let mut next = spawn(poll_fn(|cx| ours.poll_frame(cx).map(|_| ())));
    assert_pending!(next.poll());
    tokio::task::yield_now().await;
    assert!(next.is_woken(), "there is more");
    drop(next);
    ours.worked() - before
}

fn frame(kind: u8, seq: u32, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    [&[3, kind], &len[..], &seq.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn each_poll_processes_a_limited_number_of_duplicate_and_skipped_bytes() {
    let numbered = [frame(0, 1, b"a"), frame(0, 2, &[7; 1000])].concat();
    let duplicates = frame(0, 2, &[7; 1000]).repeat(2000);
    // Two payloads, and the notice of the first duplicate.
    let duplicates = [numbered, duplicates].concat();
    let skipped = frame(9, 1, &vec![0; 2 << 20]);
    for (bytes, frames) in [(duplicates, 3), (skipped, 0)] {
        let worked = worked_in_one_poll(bytes, frames).await;
        assert!(
            (1..=160 << 10).contains(&worked),
            "{worked} bytes in one poll"
        );
    }
}

#[tokio::test]
async fn connections_that_share_a_budget_end_when_it_is_used_up_and_small_messages_pass() {
    let layer = crate::FramingLayer::new().inbound_budget(crate::InboundBudget::new(1 << 20));
    let mut make_service = tower::Layer::layer(
        &layer,
        tower::service_fn(async |io| Ok::<tokio::net::UnixStream, io::Error>(io)),
    );
    let mut connect = async || {
        let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
        let ours = tower::Service::call(&mut make_service, ours).await.unwrap();
        (ours, theirs)
    };
    let (mut a, mut far_a) = connect().await;
    let (mut b, mut far_b) = connect().await;
    let (mut c, mut far_c) = connect().await;

    // The first uses most of it, and waits for the rest of its frame.
    let large = frame(0, 1, &vec![1; 600 << 10]);
    let (head, tail) = large.split_at(500 << 10);
    let head_read = poll_fn(|cx| {
        assert_pending!(a.poll_frame(cx).map(owned));
        match a.parser.partial_frame() {
            Some((have, _)) if have == head.len() => std::task::Poll::Ready(()),
            _ => std::task::Poll::Pending,
        }
    });
    join(far_a.write_all(head), head_read).await.0.unwrap();

    // A small message passes, and a frame over the budget ends its connection.
    far_c.write_all(&frame(0, 1, b"small")).await.unwrap();
    assert_eq!(payload(&mut c).await, b"small");
    let too_much = frame(0, 1, &vec![2; 900 << 10]);
    let refused = async {
        let uid = b.connection().credentials.map(|of| of.uid);
        let refused = next(&mut b).await;
        drop(b);
        (refused, uid)
    };
    let (sent, (refused, own)) = join(far_b.write_all(&too_much), refused).await;
    assert!(sent.is_err(), "the connection is over");
    match refused {
        Some(Err(FramingError::OverBudget {
            size, limit, uid, ..
        })) => {
            // One user can use three quarters of it.
            assert_eq!((size, limit, uid), (900 << 10, 768 << 10, own));
        }
        other => panic!("{other:?}"),
    }

    // The first continues.
    let (sent, arrived) = join(far_a.write_all(tail), payload(&mut a)).await;
    sent.unwrap();
    assert_eq!(arrived.len(), 600 << 10);
}

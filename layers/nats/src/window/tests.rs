//! Both directions against each other, over a server that repeats, reorders, delays and loses.
//!
//! The server is a queue with faults from a seed. A failure says the seed, and how many bytes came of how many.

use std::time::Duration;

use super::{incoming::Overrun, *};
use crate::frame::{Alive, Frame, Part};

const WINDOW: u32 = 200_000;

fn parts(frame: Frame) -> (u64, Part) {
    match frame {
        Frame::Part { number, part } => (number, part),
        other => panic!("{other:?}"),
    }
}

/// A server: frames that are not stored, those that are, and those that a consumer has but may get again.
fn run(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let first = random.u64(0..2);
    let mut out = Outgoing::new(WINDOW, first);
    let mut inc = Incoming::new(WINDOW, first);
    let bytes: Vec<u8> = (0..random.usize(0..1_000_000))
        .map(|_| random.u8(..))
        .collect();
    let (mut written, mut read) = (0, Vec::<u8>::new());
    let mut sending: Vec<(u64, Part)> = Vec::new();
    let mut stored = Vec::new();
    let mut most = 0;
    for _ in 0..1_000_000 {
        if inc.is_ended() {
            break;
        }
        match random.u8(0..7) {
            0 if written < bytes.len() => {
                let end = bytes.len().min(written + random.usize(1..100_000));
                written += out.write(&bytes[written..end]);
            }
            0 => out.finish(),
            1 => {
                if let Some(frame) = out.next() {
                    sending.push(parts(frame));
                }
            }
            // Its acknowledgement may be lost: the frame is sent again, and the server may store it twice.
            2 if !sending.is_empty() => {
                let place = random.usize(..sending.len());
                stored.push(sending[place].clone());
                if random.bool() {
                    let (number, _) = sending.swap_remove(place);
                    out.stored(number);
                }
            }
            3 | 4 if !stored.is_empty() => {
                let place = random.usize(..stored.len().min(40));
                let (number, part) = stored[place].clone();
                inc.frame(number, part).unwrap();
                if random.u8(0..4) > 0 {
                    stored.remove(place);
                }
            }
            5 => {
                let mut into = vec![0; random.usize(1..50_000)];
                let mut rest = &mut into[..];
                let length = inc.read(&mut rest);
                read.extend(&into[..length]);
            }
            6 if inc.owes() || random.bool() => out.heard(inc.tell()),
            _ => {}
        }
        most = most.max(inc.held);
        assert!(!out.is_lost(Duration::ZERO, Duration::from_secs(1)));
    }
    assert!(inc.is_ended(), "seed {seed}: it has not ended");
    assert!(
        read == bytes,
        "seed {seed}: {} of {}",
        read.len(),
        bytes.len()
    );
    assert!(most <= u64::from(WINDOW), "seed {seed}: {most}");
}

#[test]
fn all_bytes_are_read_in_order_and_once_whatever_the_server_repeats_and_reorders() {
    let seed = std::env::var("KYNETA_SEED")
        .ok()
        .map(|seed| seed.parse().unwrap());
    match seed {
        Some(seed) => run(seed),
        None => (0..50).for_each(run),
    }
}

#[test]
fn a_side_that_does_not_read_is_sent_a_window_and_no_more() {
    let (mut out, mut inc) = (Outgoing::new(WINDOW, 0), Incoming::new(WINDOW, 0));
    let bytes = vec![7; 2 * WINDOW as usize];
    assert_eq!(out.write(&bytes), WINDOW as usize);
    assert_eq!(out.write(&bytes), 0);
    while let Some(frame) = out.next() {
        let (number, part) = parts(frame);
        out.stored(number);
        inc.frame(number, part).unwrap();
    }
    let mut into = vec![0; 60_000];
    assert_eq!(inc.read(&mut &mut into[..]), 60_000);
    assert!(inc.owes());
    out.heard(inc.tell());
    assert_eq!(out.write(&bytes), 60_000);
}

#[test]
fn a_sender_beyond_the_window_is_told_apart() {
    let large = Part::Data(vec![0; WINDOW as usize + 1].into());
    let small = || Part::Data(vec![0].into());
    assert_eq!(Incoming::new(WINDOW, 0).frame(0, large), Err(Overrun));
    assert_eq!(
        Incoming::new(WINDOW, 0).frame(MAX_FRAMES, small()),
        Err(Overrun)
    );
    assert_eq!(
        Incoming::new(WINDOW, 0).frame(MAX_FRAMES - 1, small()),
        Ok(())
    );
    let mut out = Outgoing::new(WINDOW, 0);
    let mut count = 0;
    for _ in 0..2 * MAX_FRAMES {
        out.write(&[1]);
        if let Some(frame) = out.next() {
            out.stored(parts(frame).0);
            count += 1;
        }
    }
    assert_eq!(count, MAX_FRAMES);
}

#[test]
fn many_frames_do_not_wait_for_the_server() {
    let mut out = Outgoing::new(WINDOW, 0);
    let mut count = 0;
    for _ in 0..100 {
        out.write(&[1]);
        count += usize::from(out.next().is_some());
    }
    assert_eq!(count, MAX_IN_FLIGHT);
    out.stored(5);
    let (number, part) = parts(out.next().unwrap());
    assert_eq!(number, MAX_IN_FLIGHT as u64);
    assert_eq!(part, Part::Data(vec![1; 100 - MAX_IN_FLIGHT].into()));
}

#[test]
fn a_frame_that_the_server_has_lost_is_noticed_and_one_that_is_late_is_not() {
    let limit = Duration::from_secs(3);
    let at = Duration::from_secs;
    let mut out = Outgoing::new(WINDOW, 0);
    for number in 0..2 {
        out.write(&[1]);
        out.next().unwrap();
        assert!(!out.is_lost(at(9), limit)); // not stored: nothing is lacking
        if number == 1 {
            out.stored(0);
            out.stored(1);
        }
    }
    assert!(!out.is_lost(at(10), limit));
    assert!(!out.is_lost(at(12), limit));
    out.heard(Alive {
        frames: 1,
        bytes: 0,
    }); // it goes on
    assert!(!out.is_lost(at(13), limit));
    assert!(!out.is_lost(at(15), limit));
    assert!(out.is_lost(at(16), limit));
    out.heard(Alive {
        frames: 2,
        bytes: 0,
    });
    assert!(!out.is_lost(at(20), limit));
}

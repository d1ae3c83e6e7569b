//! The control channel on real sockets: words keep their descriptors, and of a race at the commit there is one
//! outcome. A failure names the word, or the number of the race.

use std::{io::Read as _, os::unix::net::UnixStream, thread};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::*;

fn pair() -> (Channel, Channel) {
    let flags = SocketFlags::CLOEXEC;
    let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    (Channel::new(a), Channel::new(b))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[test]
fn a_word_arrives_with_its_descriptors() {
    let (ours, theirs) = pair();
    let (mut kept, sent) = UnixStream::pair().unwrap();
    let descriptors = [sent.as_fd(); 253];
    let word = Word::Batch { descriptors: 253 };
    ours.send(&word, &descriptors, soon()).unwrap();
    let Arrived::Word(arrived, received) = theirs.receive(soon()) else {
        panic!("no word");
    };
    assert_eq!((arrived, received.len()), (word, 253));
    drop((sent, received));
    assert_eq!(kept.read(&mut [0]).unwrap(), 0); // all copies are closed
    let more = [kept.as_fd(); 254];
    assert!(matches!(
        ours.send(&Word::Have(1), &more, soon()),
        Err(NotSent::Failed(_))
    ));
}

#[test]
fn what_is_no_word_or_has_other_descriptors_than_it_says_is_unusable_and_closed() {
    let (ours, theirs) = pair();
    let (mut kept, sent) = UnixStream::pair().unwrap();
    ours.send(&Word::Batch { descriptors: 2 }, &[sent.as_fd()], soon())
        .unwrap();
    drop(sent);
    let Arrived::Unusable(why) = theirs.receive(soon()) else {
        panic!("it was used");
    };
    assert_eq!(
        why.to_string(),
        "`batch` came with 1 descriptors, not with 2"
    );
    assert_eq!(kept.read(&mut [0]).unwrap(), 0);
    for (bytes, sentence) in [
        (
            vec![0xff; 9],
            "the saved state cannot be read at byte 1: no map",
        ),
        (vec![0; 5000], "a word that is too long"),
    ] {
        rustix::net::send(&ours.socket, &bytes, SendFlags::empty()).unwrap();
        match theirs.receive(soon()) {
            Arrived::Unusable(why) => assert_eq!(why.to_string(), sentence),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_a_process_said_before_it_died_is_heard_although_it_had_not_read_everything() {
    let (ours, theirs) = pair();
    theirs.send(&Word::Have(1), &[], soon()).unwrap(); // never read by `ours`
    ours.send(&Word::Revoked, &[], soon()).unwrap();
    drop(ours);
    assert!(matches!(
        theirs.send(&Word::Taken, &[], soon()),
        Err(NotSent::Closed)
    ));
    assert!(matches!(
        theirs.receive(soon()),
        Arrived::Word(Word::Revoked, _)
    ));
    assert!(matches!(theirs.receive(soon()), Arrived::Closed));
}

#[test]
fn nothing_comes_after_the_deadline() {
    let (ours, _theirs) = pair();
    let deadline = Instant::now() + Duration::from_millis(20);
    assert!(matches!(ours.receive(deadline), Arrived::Timeout));
    assert!(Instant::now() >= deadline);
}

/// The order that everything rests on. `KYNETA_RACES` sets how often.
#[test]
fn taken_is_either_received_after_the_shutdown_or_cannot_be_sent() {
    let races = std::env::var("KYNETA_RACES")
        .ok()
        .and_then(|races| races.parse().ok());
    let (mut taken, mut revoked) = (0, 0);
    for race in 0..races.unwrap_or(3000) {
        let (old, new) = pair();
        let sender = thread::spawn(move || {
            for _ in 0..race % 50 * 10 {
                std::hint::spin_loop();
            }
            let sent = new.send(&Word::Taken, &[], soon()).is_ok();
            (sent, new)
        });
        for _ in 0..race % 7 {
            thread::yield_now();
        }
        old.shut();
        let found = matches!(old.try_receive(), Some(Arrived::Word(Word::Taken, _)));
        let (sent, new) = sender.join().unwrap();
        assert_eq!(sent, found, "race {race}");
        if sent {
            taken += 1;
        } else {
            revoked += 1;
            old.send(&Word::Revoked, &[], soon()).unwrap();
            assert!(matches!(
                new.receive(soon()),
                Arrived::Word(Word::Revoked, _)
            ));
        }
    }
    println!("{taken} taken, {revoked} revoked");
}

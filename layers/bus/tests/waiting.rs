//! A receiver says what its user has got, not what waits for the user.
//!
//! A failure shows the frame that came instead.
#![allow(clippy::unwrap_used, clippy::panic)]

use kyneta_uds_bus::{
    DownFrame, Incarnation, Member, MemberConfig, MemberEffect, MemberEvent, MemberId, Message,
    SeqNo, Session, UpFrame,
};
use kyneta_uds_core::{PeerId, Saved, SavedError, SavedValue};

fn id(name: &str) -> MemberId {
    MemberId::new(PeerId::new(name).unwrap(), Incarnation(1))
}

/// A member that knows a shop, and has its messages up to `k`, the last of which waits.
fn waiting(k: u64) -> Member<u64> {
    let mut till = Member::new(id("till"), MemberConfig::default());
    handle(&mut till, MemberEvent::Connected);
    let (sender, session) = (id("shop"), Session(1));
    handle(
        &mut till,
        MemberEvent::Frame(DownFrame::Joined { sender, session }),
    );
    for n in 1..=k {
        come(&mut till, n);
        till.waits(&id("shop"), SeqNo(n));
    }
    till
}

fn handle(member: &mut Member<u64>, event: MemberEvent<u64>) -> Vec<MemberEffect<u64>> {
    let mut out = Vec::new();
    member.handle(event, &mut out);
    out
}

fn come(member: &mut Member<u64>, n: u64) {
    let message = Message {
        n: SeqNo(n),
        addressed: false,
        body: n,
    };
    let sender = id("shop");
    let frame = DownFrame::Msg { sender, message };
    assert_eq!(handle(member, MemberEvent::Frame(frame)).len(), 1);
}

/// What the member acknowledges of the shop now.
fn acked(member: &mut Member<u64>) -> Option<u64> {
    match &handle(member, MemberEvent::Acknowledge)[..] {
        [] => None,
        [MemberEffect::Send(UpFrame::Ack { sender, k })] if *sender == id("shop") => Some(k.0),
        other => panic!("{other:?}"),
    }
}

/// The place for the shop in a greeting.
fn greeted(member: &mut Member<u64>) -> u64 {
    match &handle(member, MemberEvent::Connected)[..] {
        [MemberEffect::Send(UpFrame::Hello(hello))] => match &hello.places[..] {
            [(_, place)] => place.k.0,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_waits_is_not_acknowledged() {
    let (mut till, shop) = (waiting(3), id("shop"));
    assert_eq!(acked(&mut till), None);
    assert!(till.owes_acknowledgements());
    till.got(&shop, SeqNo(2));
    assert_eq!(acked(&mut till), Some(2));
    till.got(&shop, SeqNo(3));
    assert_eq!(acked(&mut till), Some(3));
    assert!(!till.owes_acknowledgements());
}

#[test]
fn what_does_not_wait_is_acknowledged_with_what_waits_before_it() {
    let (mut till, shop) = (waiting(1), id("shop"));
    come(&mut till, 2);
    assert_eq!(acked(&mut till), None);
    till.got(&shop, SeqNo(1));
    assert_eq!(acked(&mut till), Some(2));
    come(&mut till, 3);
    assert_eq!(acked(&mut till), Some(3));
}

#[test]
fn numbers_that_will_not_come_are_acknowledged_too() {
    let (mut till, shop) = (waiting(1), id("shop"));
    let start = DownFrame::Start {
        sender: shop.clone(),
        from: SeqNo(8),
    };
    handle(&mut till, MemberEvent::Frame(start));
    assert_eq!(acked(&mut till), None);
    till.got(&shop, SeqNo(1));
    assert_eq!(acked(&mut till), Some(7));
}

#[test]
fn a_greeting_says_what_the_user_has_got_and_copies_of_the_rest_are_dropped() {
    let (mut till, shop) = (waiting(3), id("shop"));
    till.got(&shop, SeqNo(1));
    assert_eq!(greeted(&mut till), 1);
    let message = Message {
        n: SeqNo(3),
        addressed: false,
        body: 3,
    };
    let sender = shop.clone();
    let copy = MemberEvent::Frame(DownFrame::Msg { sender, message });
    assert_eq!(handle(&mut till, copy), []);
    till.got(&shop, SeqNo(3));
    assert_eq!(acked(&mut till), Some(3));
}

fn resume(saved: &Saved) -> Member<u64> {
    let body = |value: &SavedValue| match value {
        SavedValue::Number(body) => Ok(*body),
        _ => Err(SavedError::Value {
            name: "body",
            why: "it is no number",
        }),
    };
    Member::resume(MemberConfig::default(), saved, body).unwrap()
}

#[test]
fn a_member_that_goes_on_knows_what_waits() {
    let (mut till, shop) = (waiting(3), id("shop"));
    till.got(&shop, SeqNo(1));
    assert_eq!(acked(&mut till), Some(1));
    let mut next = resume(&till.save(|body| SavedValue::from(*body)));
    assert_eq!(next, till);
    assert_eq!(acked(&mut next), None);
    next.got(&shop, SeqNo(3));
    assert_eq!(acked(&mut next), Some(3));
}

//! Target `bus`: the member and the hub of a bus. Neither panics, and what each keeps stays within its bounds,
//! whatever frames come in whatever order.
//!
//! Input: six bytes for each event: its kind, two members, a connection, two numbers.

use std::num::NonZeroU32;

use kyneta_uds_bus::{
    Attempt, ConnectionKey, DownFrame, Hello, Hub, HubEvent, Incarnation, LinkFrame, MachineId,
    Member, MemberConfig, MemberEffect, MemberEvent, MemberId, MemberQueue, Message, PeerPlace,
    Place, Recipients, Refusal, SeqNo, Session, SlowPolicy, Token, UpFrame,
};
use kyneta_uds_core::PeerId;

const MAX_MEMBERS: usize = 6;
const WINDOW: usize = 4;

pub fn bus(data: &[u8]) {
    let newest = SlowPolicy::Newest(NonZeroU32::MIN);
    let config = MemberConfig::default()
        .max_messages(WINDOW)
        .max_members(MAX_MEMBERS)
        .slow(newest);
    let mut member = Member::new(id(0), config);
    let mut hub = Hub::new(id(0)).max_members(MAX_MEMBERS);
    let mut queue = MemberQueue::new(newest);
    let (events, _) = data.as_chunks();
    for &event in events {
        if event[0] & 1 == 0 {
            member_step(&mut member, &mut queue, event);
            let counts = member.counts();
            assert!(counts.kept <= WINDOW, "{event:?}: {counts:?}");
            assert!(counts.listed <= MAX_MEMBERS, "{event:?}: {counts:?}");
            assert!(counts.places <= MAX_MEMBERS, "{event:?}: {counts:?}");
            assert_eq!(member.unresolved().count(), counts.kept, "{event:?}");
            assert!(
                member.unresolved().all(|kept| !kept.owed.is_empty()),
                "{event:?}"
            );
        } else {
            let mut out = Vec::new();
            hub.handle(hub_event(event), &mut out);
            let counts = hub.counts();
            let pairs = counts.members * counts.members;
            assert!(counts.members <= MAX_MEMBERS, "{event:?}: {counts:?}");
            assert!(counts.places <= pairs, "{event:?}: {counts:?}");
            assert!(counts.meetings <= pairs, "{event:?}: {counts:?}");
        }
    }
}

fn member_step(member: &mut Member<u8>, queue: &mut MemberQueue<u8>, event: [u8; 6]) {
    let [kind, a, _, _, x, _] = event;
    let mut out = Vec::new();
    match kind / 2 % 16 {
        0 => member.handle(MemberEvent::Connected, &mut out),
        1 => member.handle(MemberEvent::Disconnected, &mut out),
        2 => member.handle(MemberEvent::Acknowledge, &mut out),
        3 | 4 => {
            let to = (x & 1 == 0).then(|| id(a));
            // A refusal is no fault.
            let _ = member.accept(to, x, 1, &mut out);
        }
        _ => {
            queue.push(down(event));
            if x & 2 == 0 {
                while let Some(frame) = queue.pop() {
                    member.handle(MemberEvent::Frame(frame), &mut out);
                }
                assert!(queue.is_empty());
            }
        }
    }
    for effect in out {
        if let MemberEffect::SendCopies(mut copies) = effect {
            let drawn = std::iter::from_fn(|| member.next_copy(&mut copies)).count();
            assert!(drawn <= 2 * WINDOW + 2, "{event:?}: {drawn} copies");
        }
    }
}

fn down([kind, a, b, _, x, y]: [u8; 6]) -> DownFrame<u8> {
    let sender = id(a);
    match kind / 2 % 16 {
        5 => DownFrame::Welcome {
            hub: id(b),
            present: x.into(),
        },
        6 => DownFrame::Refused(Refusal::Replaced),
        7 => DownFrame::Joined {
            sender,
            session: Session(number(x)),
        },
        8 | 9 => DownFrame::Peer(peer(a, x, y)),
        10 => DownFrame::Acked {
            receiver: id(a),
            k: SeqNo(number(y)),
        },
        11 => DownFrame::Left(id(a)),
        12 => DownFrame::Start {
            sender,
            from: SeqNo(number(y)),
        },
        13 => DownFrame::Missed {
            sender,
            upto: SeqNo(number(x)),
            count: number(y),
        },
        _ => DownFrame::Msg {
            sender,
            message: message(x, y),
        },
    }
}

fn hub_event([kind, a, b, c, x, y]: [u8; 6]) -> HubEvent<u8> {
    let from = ConnectionKey(u64::from(c % 5));
    let machine = MachineId(u64::from(c % 3));
    let up = |frame| HubEvent::Frame { from, frame };
    let link = |frame| HubEvent::LinkFrame {
        from: machine,
        frame,
    };
    match kind / 2 % 16 {
        0 | 1 => up(UpFrame::Hello(Hello {
            member: id(a),
            attempt: Attempt(number(x)),
            last_hub: (y & 1 == 0).then(|| id(b)),
            slow: SlowPolicy::Wait,
            places: (0..y % 8)
                .map(|more| (id(b.wrapping_add(more * 3)), place(x, y)))
                .collect(),
        })),
        2 | 3 => up(UpFrame::Position {
            sender: id(a),
            session: Session(number(x)),
            token: Token(number(y)),
        }),
        4 => up(UpFrame::Ack {
            sender: id(a),
            k: SeqNo(number(y)),
        }),
        5 | 6 => up(UpFrame::Start {
            receiver: id(a),
            session: Session(number(x)),
            from: SeqNo(number(y)),
        }),
        7 => up(UpFrame::Msg {
            to: recipients(a, x),
            message: message(x, y),
        }),
        8 => match x % 4 {
            0 => up(UpFrame::Bye),
            1 => HubEvent::Ended(from),
            2 => HubEvent::WaitOver(id(a)),
            _ => HubEvent::Removed(id(a)),
        },
        9 if x & 1 == 0 => HubEvent::LinkUp(machine),
        9 => HubEvent::LinkDown(machine),
        10 => link(LinkFrame::Announce {
            member: id(a),
            session: Session(number(x)),
            keeps_newest: y & 1 == 0,
        }),
        11 => link(LinkFrame::Gone(id(a))),
        12 => link(LinkFrame::Peer {
            sender: id(b),
            sender_session: Session(number(x)),
            peer: peer(a, x, y),
        }),
        13 => link(LinkFrame::Acked {
            sender: id(b),
            sender_session: Session(number(x)),
            receiver: id(a),
            k: SeqNo(number(y)),
        }),
        14 => link(LinkFrame::Start {
            sender: id(a),
            receiver: id(b),
            receiver_session: Session(number(x)),
            from: SeqNo(number(y)),
        }),
        _ => link(LinkFrame::Msg {
            sender: id(b),
            to: recipients(a, x),
            message: message(x, y),
        }),
    }
}

/// Four peers on three machines, two lives each.
fn id(byte: u8) -> MemberId {
    MemberId {
        machine: MachineId(u64::from(byte / 8 % 3)),
        peer: PeerId::new((byte / 2 % 4).to_string()).unwrap(),
        incarnation: Incarnation(u64::from(byte % 2)),
    }
}

/// Small numbers, and the largest.
fn number(byte: u8) -> u64 {
    match byte {
        0..=252 => u64::from(byte % 12),
        _ => u64::MAX - u64::from(byte - 253),
    }
}

fn place(token: u8, k: u8) -> Place {
    Place {
        token: Token(u64::from(token % 3)),
        k: SeqNo(number(k)),
    }
}

fn peer(receiver: u8, x: u8, y: u8) -> PeerPlace {
    PeerPlace {
        receiver: id(receiver),
        session: Session(number(x)),
        place: place(x, y),
        keeps_newest: y & 64 != 0,
    }
}

fn message(x: u8, y: u8) -> Message<u8> {
    Message {
        n: SeqNo(number(y)),
        addressed: x & 32 != 0,
        body: x,
    }
}

fn recipients(member: u8, x: u8) -> Recipients {
    match x % 3 {
        0 => Recipients::All,
        1 => Recipients::one(id(member)),
        _ => Recipients::Listed(vec![id(member), id(x)]),
    }
}

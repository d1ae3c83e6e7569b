//! Target `session`: whole sessions of two peers, through codec, frames, reads of any size, and handshake. What
//! arrives is what was sent. After a damaged payload the next frame is found; a damaged header may end the connection
//! with an error.
//!
//! Input: options (1 byte), sizes of the reads (4), which message is damaged, where and how (3); then arbitrary
//! messages, or frames of messages.

use arbitrary::Unstructured;
use kyneta_uds_cbor::{ChannelCodec, Codec, EncodeError};
use kyneta_uds_core::{
    ChannelMsg, Establish, Features, Frame, Identity, Rejection, WireVersion, WriteBuf,
};
use kyneta_uds_framing::{FrameParser, FrameWriter, FramingConfig, WireMode};
use kyneta_uds_handshake::{HandshakeMachine, Reaction, Side};

use super::{
    cuts::Cuts,
    messages,
    normalize::{normalize, same},
};

/// The most messages of a session.
const MOST: usize = 24;

/// About the most reads of a frame, so that a large one does not take longer than others.
const CHUNKS: usize = 64;

pub fn session(data: &[u8]) {
    let Some((&[how, a, b, c, d, which, at, with], rest)) = data.split_first_chunk() else {
        return;
    };
    let wire = match how & 1 {
        0 => WireVersion::V2,
        _ => WireVersion::V3,
    };
    let mut session = Session {
        wire,
        cuts: Cuts::new([a, b, c, d]),
        connecting: Peer::new(Side::Connecting, wire, how & 2 != 0),
        accepting: Peer::new(Side::Accepting, wire, how & 4 != 0),
    };
    session.handshake();
    let messages = match how & 8 {
        0 => any_messages(rest),
        _ => decoded_messages(rest),
    };
    let both_ways = how & 0x10 != 0;
    let damage = match how >> 6 {
        0 | 3 => None,
        1 => Some(Damage::Change { at, with }),
        _ if with & 1 == 0 => Some(Damage::Remove { at }),
        _ => Some(Damage::Insert { at, with }),
    };
    for (nr, msg) in messages.iter().enumerate() {
        let back = both_ways && nr % 2 == 1;
        match damage {
            Some(damage) if nr == usize::from(which) % MOST => {
                let rest = &messages[nr..];
                return session.pass_damaged(rest, damage);
            }
            _ => session.pass(msg, back),
        }
    }
}

fn any_messages(bytes: &[u8]) -> Vec<ChannelMsg> {
    let mut u = Unstructured::new(bytes);
    let mut made = Vec::new();
    while !u.is_empty() && made.len() < MOST {
        let Ok(msg) = messages::message(&mut u) else {
            break;
        };
        made.push(msg);
    }
    made
}

/// The messages of frames of either wire version, so that recorded sessions are inputs, too.
fn decoded_messages(bytes: &[u8]) -> Vec<ChannelMsg> {
    let mut parser = FrameParser::new(WireMode::Auto, bytes.len());
    let mut codec = ChannelCodec::new();
    parser.feed(bytes);
    let mut made = Vec::new();
    while made.len() < MOST
        && let Ok(Some(frame)) = parser.next_frame()
    {
        if let Frame::Payload(payload) = frame {
            made.extend(codec.decode(payload));
        }
    }
    made
}

/// The damage of one frame.
#[derive(Clone, Copy)]
enum Damage {
    Change { at: u8, with: u8 },
    Remove { at: u8 },
    Insert { at: u8, with: u8 },
}

impl Damage {
    /// True if the header is unchanged.
    fn inflict(self, frame: &mut Vec<u8>, wire: WireVersion) -> bool {
        match self {
            Self::Change { at, with } => {
                let at = usize::from(at) % frame.len();
                frame[at] ^= with;
                at >= wire.header_len()
            }
            Self::Remove { at } => {
                frame.remove(usize::from(at) % frame.len());
                false
            }
            Self::Insert { at, with } => {
                frame.insert(usize::from(at) % frame.len(), with);
                false
            }
        }
    }
}

/// One side of a connection without a socket.
struct Peer {
    codec: ChannelCodec,
    writer: FrameWriter,
    buf: WriteBuf,
    parser: FrameParser,
    handshake: HandshakeMachine,
    takes_aliases: bool,
}

impl Peer {
    fn new(side: Side, wire: WireVersion, takes_aliases: bool) -> Self {
        let mode = match side {
            Side::Connecting => WireMode::Fixed(wire),
            Side::Accepting => WireMode::Auto,
        };
        let limit = FramingConfig::new().frame_limit();
        Self {
            codec: ChannelCodec::new(),
            writer: FrameWriter::new(limit),
            buf: WriteBuf::default(),
            parser: FrameParser::new(mode, limit),
            handshake: HandshakeMachine::new(side),
            takes_aliases,
        }
    }

    fn establish(&self) -> Establish {
        let identity = Identity::service(format!("{:?}", self.handshake.side())).unwrap();
        Establish::new(identity).features(Features {
            alias: Some(self.takes_aliases),
            ..Features::default()
        })
    }

    fn write(&mut self, wire: WireVersion, msg: &ChannelMsg) {
        let codec = &mut self.codec;
        let too_large = |size, limit| EncodeError::TooLarge { size, limit };
        self.writer
            .write(wire, &mut self.buf, |out| codec.encode(msg, out), too_large)
            .unwrap();
    }
}

struct Session {
    wire: WireVersion,
    cuts: Cuts,
    connecting: Peer,
    accepting: Peer,
}

impl Session {
    fn handshake(&mut self) {
        let ours = self.connecting.establish();
        let theirs = self.accepting.establish();
        let arrived = self.carry(&ours.clone().into(), false);
        let reaction = self.accepting.handshake.received(arrived);
        let (peer, answer) = (ours, true);
        assert_eq!(reaction, Reaction::Established { peer, answer });
        let arrived = self.carry(&theirs.clone().into(), true);
        let reaction = self.connecting.handshake.received(arrived);
        let (peer, answer) = (theirs, false);
        assert_eq!(reaction, Reaction::Established { peer, answer });
        assert_eq!(self.accepting.parser.wire(), Some(self.wire));
    }

    fn ends(&mut self, back: bool) -> (&mut Peer, &mut Peer) {
        match back {
            false => (&mut self.connecting, &mut self.accepting),
            true => (&mut self.accepting, &mut self.connecting),
        }
    }

    /// Carries one message from one peer's codec to the other's.
    fn carry(&mut self, msg: &ChannelMsg, back: bool) -> ChannelMsg {
        let (wire, mut cuts) = (self.wire, self.cuts.clone());
        let (from, to) = self.ends(back);
        from.write(wire, msg);
        let mut arrived = None;
        let least = from.buf.len() / CHUNKS;
        while !from.buf.is_empty() {
            let front = from.buf.front();
            let n = cuts.size_of(least).min(front.len());
            to.parser.feed(&front[..n]);
            from.buf.advance(n);
            while let Some(frame) = to.parser.next_frame().unwrap() {
                let Frame::Payload(payload) = frame else {
                    panic!("{frame:?}");
                };
                let decoded = to.codec.decode(payload).unwrap();
                assert!(arrived.replace(decoded).is_none(), "one frame, one message");
            }
        }
        assert!(to.parser.is_between_frames());
        assert_eq!(to.parser.duplicates_dropped(), 0);
        self.cuts = cuts;
        arrived.unwrap()
    }

    /// Checks that a message arrives as it was sent, and how the peer reacts.
    fn pass(&mut self, msg: &ChannelMsg, back: bool) {
        let arrived = self.carry(msg, back);
        let normalized = normalize(msg, Some(self.wire));
        assert!(same(&arrived, &normalized), "{arrived:?}\n{normalized:?}");
        let (_, to) = self.ends(back);
        match to.handshake.received(arrived) {
            Reaction::Nothing => assert_eq!(normalized.kind(), "establish"),
            Reaction::Departing => assert_eq!(normalized.kind(), "depart"),
            Reaction::Deliver(delivered) => assert!(same(&delivered, &normalized)),
            other => panic!("{other:?}"),
        }
    }

    /// The first of the messages is damaged.
    fn pass_damaged(mut self, messages: &[ChannelMsg], damage: Damage) {
        let wire = self.wire;
        let Self {
            connecting: from,
            accepting: to,
            cuts,
            ..
        } = &mut self;
        let mut in_step = true;
        let (mut sent, mut arrived) = (0, 0);
        for msg in messages {
            from.write(wire, msg);
            let mut bytes = Vec::with_capacity(from.buf.len());
            while !from.buf.is_empty() {
                bytes.extend_from_slice(from.buf.front());
                let n = from.buf.front().len();
                from.buf.advance(n);
            }
            if sent == 0 {
                in_step = damage.inflict(&mut bytes, wire);
            }
            sent += 1;
            let least = bytes.len() / CHUNKS;
            for chunk in bytes.chunks(cuts.size_of(least).max(least.max(1))) {
                to.parser.feed(chunk);
                loop {
                    match to.parser.next_frame() {
                        Ok(None) => break,
                        Ok(Some(Frame::Payload(payload))) => {
                            arrived += 1;
                            take(to.codec.decode(payload), &mut to.handshake);
                        }
                        Ok(Some(Frame::Skipped(_))) => arrived += 1,
                        Ok(Some(_)) => {}
                        // The connection ends.
                        Err(_) => return assert!(!in_step),
                    }
                }
            }
            assert!(!in_step || sent == arrived, "{arrived} of {sent} frames");
        }
    }
}

fn take(decoded: Result<ChannelMsg, Rejection>, handshake: &mut HandshakeMachine) {
    match decoded {
        Ok(msg) => {
            handshake.received(msg);
        }
        Err(rejection) => assert_ne!(rejection.code(), "reassembly-failed"),
    }
}

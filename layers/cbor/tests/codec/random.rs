//! Random messages from a fixed seed.
//!
//! In: a seed. Out: messages of every kind, the same ones in every run.

use bytes::Bytes;
use kyneta_uds_core::{
    ByteString, ChannelMsg, Data, DocEntry, DocId, Encoding, Establish, Features, Identity,
    Interest, Lineage, Name, Observe, Offer, PayloadKind, PeerId, PeerType, ProtocolVersion,
    ReplicaType, SchemaHash, SyncMode, Version,
};

/// xorshift.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound
    }

    fn option<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| make(self))
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 0
    }

    fn text(&mut self) -> String {
        const PARTS: [&str; 6] = ["a", "doc-", "é", "漢", "🦀", "0123456789abcdef"];
        let parts = [0, 1, 1, 2, 3, 9][self.below(6)];
        (0..parts).map(|_| PARTS[self.below(PARTS.len())]).collect()
    }

    /// One of a few documents, so that aliases are used.
    fn doc(&mut self) -> DocId {
        DocId::new(format!("doc-{}", self.below(40))).unwrap()
    }

    fn hash(&mut self) -> SchemaHash {
        SchemaHash::new(format!("hash-{}", self.below(5))).unwrap()
    }

    fn number(&mut self) -> f64 {
        const NUMBERS: [f64; 12] = [
            0.0,
            1.0,
            -1.0,
            23.0,
            24.0,
            0.5,
            0.1,
            1e300,
            f64::INFINITY,
            9_007_199_254_740_992.0,
            -9_007_199_254_740_991.0,
            65_536.0,
        ];
        NUMBERS[self.below(NUMBERS.len())]
    }

    fn bytes(&mut self) -> Vec<u8> {
        // Miri takes too long for the large ones.
        let up_to = if cfg!(miri) { 6 } else { 8 };
        let len = [0, 1, 23, 24, 255, 256, 5_000, 70_000][self.below(up_to)];
        (0..len).map(|_| self.next() as u8).collect()
    }

    fn entry(&mut self) -> DocEntry {
        DocEntry {
            doc: self.doc(),
            replica: ReplicaType::new(self.text(), self.number(), self.number()).unwrap(),
            mode: [
                SyncMode::Collaborative,
                SyncMode::Authoritative,
                SyncMode::Ephemeral,
            ][self.below(3)],
            schema: self.hash(),
            // None or more than one: fewer are not written.
            supported: self
                .option(|random| (0..2 + random.below(3)).map(|_| random.hash()).collect()),
        }
    }

    pub(crate) fn establish(&mut self) -> Establish {
        let types = [PeerType::User, PeerType::Bot, PeerType::Service];
        let mut establish = Establish {
            identity: Identity {
                peer_id: PeerId::new(self.text()).unwrap(),
                name: self.option(|random| Name::new(random.text()).unwrap()),
                peer_type: types[self.below(3)],
            },
            features: self.option(|random| Features {
                alias: random.option(Self::flag),
                streamed: random.option(Self::flag),
                datagram: random.option(Self::flag),
            }),
            protocol: ProtocolVersion::new(1 + self.next() % 3, self.next() % 300).unwrap(),
            observe: None,
        };
        // Not drawn: the other messages of a seed stay what they were.
        establish.observe = match establish.protocol.minor() % 4 {
            0 => None,
            1 => Some(Observe::Members),
            2 => Some(Observe::Documents),
            _ => Some(Observe::Messages),
        };
        establish
    }

    pub(crate) fn message(&mut self) -> ChannelMsg {
        match self.below(20) {
            0 => ChannelMsg::Depart,
            1 => ChannelMsg::Establish(self.establish()),
            2..5 => {
                let entries = self.below(8);
                ChannelMsg::Present((0..entries).map(|_| self.entry()).collect())
            }
            5 => ChannelMsg::Dismiss(self.doc()),
            6 => ChannelMsg::Vacant(self.doc()),
            7..12 => ChannelMsg::Interest(Interest {
                doc: self.doc(),
                version: self.option(|random| Version::new(random.text()).unwrap()),
                reciprocate: self.option(Self::flag),
            }),
            _ => ChannelMsg::Offer(Offer {
                doc: self.doc(),
                kind: [PayloadKind::Entirety, PayloadKind::Since][self.below(2)],
                encoding: [Encoding::Json, Encoding::Binary][self.below(2)],
                data: if self.flag() {
                    Data::Bytes(Bytes::from(self.bytes()))
                } else {
                    Data::Text(ByteString::from(self.text()))
                },
                version: Version::new(self.text()).unwrap(),
                reciprocate: self.option(Self::flag),
                lineage: self.option(|random| Lineage::new(random.text()).unwrap()),
                base: self.option(|random| Box::new(Version::new(random.text()).unwrap())),
            }),
        }
    }
}

//! One hostile member of a hub: it says one thing as fast as it is read, until a given time.
//!
//! In: which thing, where, until when. Out: how often it was said, and how often it was disconnected. Its threads
//! have the lowest priority, so that it slows others by what it says alone.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::Shutdown,
    path::Path,
    thread::{self, JoinHandle, sleep},
    time::{Duration, Instant},
};

use kyneta_uds::{ChannelMsg, DocEntry, Interest, SyncMode};

use crate::{
    members::{SCHEMA, SHARED, change, doc, entry},
    raw_peer::{RawPeer, WIRE},
    size,
    support::common::raw,
};

/// How many messages it writes at once.
const BLOCK: u64 = 64;

/// What it says again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    /// Asks for a document that others hold: each of them answers.
    Interests,
    /// Asks for documents that nothing holds.
    InterestsInNothing,
    /// Presents many new documents in each message.
    Presents,
    /// Presents a document, and dismisses it.
    PresentsAndDismisses,
    /// Presents a document of others with another schema than before.
    OtherSchemas,
    /// Offers what it has not presented.
    OffersOfNothing,
    /// Offers what it may read and not write.
    OffersBehindTheGate,
    /// Answers questions that it was not asked.
    AnswersUnasked,
    /// Offers nonsense of a document that others hold, too, and that it may write.
    Nonsense,
    /// Presents and asks for a document of others, and reads nothing.
    ReadsNothing,
}

impl Says {
    /// Its peer id: the gate knows it.
    const fn id(self) -> &'static str {
        match self {
            Self::OffersBehindTheGate => READER,
            _ => "hostile",
        }
    }

    /// What it says at the beginning of a connection.
    fn first(self) -> Vec<ChannelMsg> {
        let present = |entry: DocEntry| ChannelMsg::Present(vec![entry]);
        match self {
            Self::OffersBehindTheGate | Self::Nonsense | Self::ReadsNothing => {
                let interest = Interest::new(doc(SHARED));
                vec![present(entry(SHARED, SCHEMA)), interest.into()]
            }
            Self::AnswersUnasked => {
                let mut log = entry("log", SCHEMA);
                log.mode = SyncMode::Authoritative;
                vec![present(log)]
            }
            _ => Vec::new(),
        }
    }

    fn next(self, number: u64) -> Vec<ChannelMsg> {
        let present = |entry: DocEntry| ChannelMsg::Present(vec![entry]);
        let offer = |id| vec![change(id, format!("nonsense {number}")).into()];
        match self {
            Self::Interests | Self::ReadsNothing => vec![Interest::new(doc(SHARED)).into()],
            Self::InterestsInNothing => {
                vec![Interest::new(doc(&format!("nothing-{number}"))).into()]
            }
            Self::Presents => {
                let new = |at| entry(&format!("new-{number}-{at}"), SCHEMA);
                vec![ChannelMsg::Present(
                    (0..size(100, 1_000)).map(new).collect(),
                )]
            }
            Self::PresentsAndDismisses => {
                let id = "now and then";
                vec![present(entry(id, SCHEMA)), ChannelMsg::Dismiss(doc(id))]
            }
            Self::OtherSchemas => {
                let schema = ["02bb", "02cc"][(number % 2) as usize];
                vec![present(entry(SHARED, schema))]
            }
            Self::OffersOfNothing | Self::OffersBehindTheGate | Self::Nonsense => offer(SHARED),
            Self::AnswersUnasked => {
                let answer = change("log", number.to_string()).reciprocate(false);
                vec![answer.into()]
            }
        }
    }
}

/// May read [`SHARED`], and not write it.
pub(crate) const READER: &str = "reader";

/// What became of it.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    /// Messages that it wrote.
    pub(crate) said: u64,
    /// How often it was disconnected.
    pub(crate) disconnected: u64,
}

/// Runs it until `end`.
pub(crate) fn run(path: &Path, says: Says, end: Instant) -> JoinHandle<Fate> {
    let path = path.to_owned();
    thread::spawn(move || {
        // Its processor time is not that of the service. On Linux this applies to one thread.
        let _ = rustix::process::nice(19);
        let mut fate = Fate::default();
        while Instant::now() < end {
            one_connection(&path, says, end, &mut fate);
        }
        fate
    })
}

fn one_connection(path: &Path, says: Says, end: Instant, fate: &mut Fate) {
    let peer = RawPeer::established(path, says.id());
    let mut stream = peer.stream;
    stream
        .set_write_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let reader = (says != Says::ReadsNothing).then(|| {
        let mut stream = stream.try_clone().unwrap();
        thread::spawn(move || {
            let _ = rustix::process::nice(19);
            let mut block = vec![0; 64 << 10];
            while matches!(stream.read(&mut block), Ok(1..)) {}
        })
    });
    let mut number = 0;
    let mut seq = 1;
    let mut bytes = Vec::new();
    let mut put = |msgs: Vec<ChannelMsg>, bytes: &mut Vec<u8>| {
        for msg in msgs {
            seq += 1;
            bytes.extend(raw::frame(WIRE, seq, &raw::payload(&msg)));
        }
    };
    put(says.first(), &mut bytes);
    'connection: loop {
        for _ in 0..if says == Says::Presents { 1 } else { BLOCK } {
            put(says.next(number), &mut bytes);
            number += 1;
        }
        let mut at = 0;
        while at < bytes.len() {
            match stream.write(&bytes[at..]) {
                Ok(written) => at += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => {
                    fate.disconnected += 1;
                    sleep(Duration::from_millis(10));
                    break 'connection;
                }
            }
            if Instant::now() >= end {
                break 'connection;
            }
        }
        bytes.clear();
    }
    fate.said += number;
    let _ = stream.shutdown(Shutdown::Both);
    if let Some(reader) = reader {
        reader.join().unwrap();
    }
}

//! Stands between a predecessor and its successors, so that a test can stop a handoff after each word.
//!
//! In: what each of the two says. Out: the same, to the other one, one word at a time. May touch: `PATH.handoff`.

use std::{
    fs,
    io::{IoSlice, IoSliceMut, Write as _},
    mem::MaybeUninit,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
};

use kyneta_uds::protocol::Saved;
use kyneta_uds_handoff::{Word, control_path};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept, bind,
        connect, listen, recvmsg, sendmsg, socket_with,
    },
};

use crate::support::{DEADLINE, common::Bus};

/// Which of the two says the words of a handoff with connections, in order.
const SAYS: [Side; 8] = [
    Side::Successor,   // hello
    Side::Predecessor, // welcome
    Side::Predecessor, // shared
    Side::Successor,   // have: from here on all is frozen
    Side::Predecessor, // batch
    Side::Successor,   // have
    Side::Predecessor, // state
    Side::Successor,   // taken
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Predecessor,
    Successor,
}

/// In the place of the predecessor's offer.
pub(super) struct Between {
    offer: OwnedFd,
    behind: PathBuf,
}

/// One handoff.
pub(super) struct Handoff {
    predecessor: OwnedFd,
    successor: OwnedFd,
    /// How many words have been passed on.
    passed: usize,
}

/// A word on its way, with its descriptors.
pub(super) struct OnItsWay {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

fn socket() -> OwnedFd {
    let flags = SocketFlags::CLOEXEC;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
}

/// Waits until something can be received.
fn wait(from: &OwnedFd) {
    let limit = Timespec::try_from(DEADLINE).unwrap();
    let ready = poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&limit)).unwrap();
    assert_eq!(ready, 1, "nothing is said");
}

impl Between {
    pub(super) fn of(bus: &Bus) -> Self {
        let control = control_path(&bus.path);
        let behind = control.with_extension("behind");
        fs::rename(&control, &behind).unwrap();
        let offer = socket();
        bind(&offer, &SocketAddrUnix::new(&control).unwrap()).unwrap();
        listen(&offer, 4).unwrap();
        Self { offer, behind }
    }

    /// The next successor asks.
    pub(super) fn asked(&self) -> Handoff {
        wait(&self.offer);
        let successor = accept(&self.offer).unwrap();
        let predecessor = socket();
        connect(&predecessor, &SocketAddrUnix::new(&self.behind).unwrap()).unwrap();
        Handoff {
            predecessor,
            successor,
            passed: 0,
        }
    }
}

impl Handoff {
    /// Passes words on until so many have been.
    pub(super) fn pass(&mut self, words: usize) -> &mut Self {
        while self.passed < words {
            let word = self.next();
            self.say(&word);
        }
        self
    }

    /// The next word, which is not passed on yet.
    pub(super) fn next(&self) -> OnItsWay {
        let from = match SAYS[self.passed] {
            Side::Predecessor => &self.predecessor,
            Side::Successor => &self.successor,
        };
        wait(from);
        let (mut bytes, mut space) = (vec![0; 4096], [MaybeUninit::uninit(); 2048]);
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(
            from,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            flags,
        );
        bytes.truncate(received.unwrap().bytes);
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        OnItsWay { bytes, descriptors }
    }

    /// To the side that is to hear it.
    pub(super) fn say(&mut self, word: &OnItsWay) {
        let to = match SAYS[self.passed] {
            Side::Predecessor => &self.successor,
            Side::Successor => &self.predecessor,
        };
        let descriptors: Vec<_> = word.descriptors.iter().map(|of| of.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); 2048];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
        }
        let bytes = [IoSlice::new(&word.bytes)];
        sendmsg(to, &bytes, &mut ancillary, SendFlags::NOSIGNAL).unwrap();
        self.passed += 1;
    }
}

impl OnItsWay {
    /// A state of a version that is not known yet, in the place of a state.
    pub(super) fn of_another_version() -> Self {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = fs::File::from(memfd_create("later", flags).unwrap());
        let state = Saved::new(99, 99).encode();
        file.write_all(&state).unwrap();
        let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&file, seals).unwrap();
        let word = Word::State {
            size: state.len() as u64,
            connections: super::crashes::CLIENTS as u32,
        };
        Self {
            bytes: word.encode(),
            descriptors: vec![file.into()],
        }
    }
}

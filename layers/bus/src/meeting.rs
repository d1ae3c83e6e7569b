//! Whether a newcomer has met those that were there when its hub welcomed it: it lists them, and they list it.
//!
//! In: what the hub says. Out: yes or no. Pure. Numbers alone do not say it: of those that were there some leave, and others
//! come meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use crate::{frame::DownFrame, id::MemberId};

/// Which members a newcomer has still to meet.
///
/// ```
/// use kyneta_uds_bus::{DownFrame, Incarnation, Meeting, MemberId, Session};
/// use kyneta_uds_core::PeerId;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let id = |name| Ok::<_, kyneta_uds_core::TextTooLong>(MemberId::new(PeerId::new(name)?, Incarnation(1)));
/// let mut meeting = Meeting::default();
/// meeting.saw(&DownFrame::<()>::Welcome { hub: id("shop")?, present: 1 });
/// meeting.saw(&DownFrame::<()>::Joined { sender: id("till")?, session: Session(1) });
/// assert!(!meeting.is_over()); // until its `Peer` and its `Start` have come
/// meeting.saw(&DownFrame::<()>::Left(id("till")?));
/// assert!(meeting.is_over());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meeting {
    /// How many were there at the welcome. They are named first.
    present: Option<usize>,
    named: BTreeSet<MemberId>,
    unmet: BTreeMap<MemberId, Unmet>,
}

/// What is still to come of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unmet {
    /// Where it is: then this member lists it.
    peer: bool,
    /// Where it begins: it lists this member.
    start: bool,
}

impl Meeting {
    /// The hub says something. A connection that is new has a meeting that is new.
    pub fn saw<B>(&mut self, frame: &DownFrame<B>) {
        match frame {
            DownFrame::Welcome { present, .. } => {
                let present = usize::try_from(*present).unwrap_or(usize::MAX);
                *self = Self {
                    present: Some(present),
                    ..Self::default()
                };
            }
            DownFrame::Joined { sender, .. } => self.names(sender),
            DownFrame::Peer(peer) => {
                // One that was known before is not introduced by a `Joined`.
                self.names(&peer.receiver);
                self.has_come(&peer.receiver, |of| of.peer = false);
            }
            DownFrame::Start { sender, .. } => self.has_come(sender, |of| of.start = false),
            DownFrame::Left(member) => {
                self.unmet.remove(member);
            }
            _ => {}
        }
    }

    /// A member that was not named before, and is one of those that were there, is to be met.
    fn names(&mut self, member: &MemberId) {
        let is_complete = self.present.is_none_or(|all| self.named.len() >= all);
        if !is_complete && self.named.insert(member.clone()) {
            let (peer, start) = (true, true);
            self.unmet.insert(member.clone(), Unmet { peer, start });
        }
    }

    fn has_come(&mut self, member: &MemberId, what: impl FnOnce(&mut Unmet)) {
        if let Some(of) = self.unmet.get_mut(member) {
            what(of);
            if !of.peer && !of.start {
                self.unmet.remove(member);
            }
        }
    }

    /// True once the hub has welcomed this member.
    pub const fn is_welcomed(&self) -> bool {
        self.present.is_some()
    }

    /// True when each of those that were there is met, or has left.
    pub fn is_over(&self) -> bool {
        let is_complete = self.present.is_some_and(|all| self.named.len() >= all);
        is_complete && self.unmet.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use kyneta_uds_core::PeerId;

    use super::*;
    use crate::{Incarnation, PeerPlace, Place, SeqNo, Session, Token};

    fn id(name: &str) -> MemberId {
        MemberId::new(PeerId::new(name).unwrap(), Incarnation(1))
    }

    fn welcome(present: u32) -> DownFrame<()> {
        let hub = id("hub");
        DownFrame::Welcome { hub, present }
    }

    fn joined(name: &str) -> DownFrame<()> {
        let (sender, session) = (id(name), Session(1));
        DownFrame::Joined { sender, session }
    }

    fn peer(name: &str) -> DownFrame<()> {
        let (token, k) = (Token(1), SeqNo(0));
        DownFrame::Peer(PeerPlace {
            receiver: id(name),
            session: Session(1),
            place: Place { token, k },
            keeps_newest: false,
        })
    }

    fn start(name: &str) -> DownFrame<()> {
        let (sender, from) = (id(name), SeqNo(1));
        DownFrame::Start { sender, from }
    }

    fn is_over(frames: &[DownFrame<()>]) -> bool {
        let mut meeting = Meeting::default();
        frames.iter().for_each(|frame| meeting.saw(frame));
        meeting.is_over()
    }

    #[test]
    fn it_is_over_when_each_that_was_there_is_met_or_has_left() {
        let left = |name| DownFrame::Left(id(name));
        for (frames, expected) in [
            (vec![], false),
            (vec![welcome(0)], true),
            (vec![welcome(1)], false),
            (vec![welcome(1), joined("a")], false),
            (vec![welcome(1), joined("a"), peer("a")], false),
            (vec![welcome(1), joined("a"), start("a")], false),
            (vec![welcome(1), joined("a"), peer("a"), start("a")], true),
            (vec![welcome(1), joined("a"), start("a"), peer("a")], true),
            // One that was known before is not introduced again.
            (vec![welcome(1), peer("a"), start("a")], true),
            (
                vec![welcome(2), joined("a"), joined("b"), peer("b"), start("b")],
                false,
            ),
            (
                vec![
                    welcome(2),
                    joined("a"),
                    joined("b"),
                    peer("b"),
                    start("b"),
                    left("a"),
                ],
                true,
            ),
            // One that has come since counts for none that was there, and is not waited for.
            (
                vec![
                    welcome(1),
                    joined("a"),
                    joined("new"),
                    peer("new"),
                    start("new"),
                ],
                false,
            ),
            (
                vec![
                    welcome(1),
                    joined("a"),
                    joined("new"),
                    peer("a"),
                    start("a"),
                ],
                true,
            ),
            // Another welcome begins anew.
            (vec![welcome(1), peer("a"), start("a"), welcome(1)], false),
        ] {
            assert_eq!(is_over(&frames), expected, "{frames:?}");
        }
    }
}

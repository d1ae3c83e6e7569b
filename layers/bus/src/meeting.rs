//! Whether a newcomer has met those that were there when its hub welcomed it.
//!
//! In: what the hub says. Out: yes or no. Pure. Numbers alone do not say it: of those that were there some leave, and others
//! come meanwhile.

use std::collections::BTreeSet;

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
/// assert!(!meeting.is_over());
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
    unmet: BTreeSet<MemberId>,
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
            DownFrame::Joined { sender, .. } if self.names(sender) => {
                self.unmet.insert(sender.clone());
            }
            DownFrame::Peer(peer) => {
                self.names(&peer.receiver);
                self.unmet.remove(&peer.receiver);
            }
            DownFrame::Left(member) => {
                self.unmet.remove(member);
            }
            _ => {}
        }
    }

    /// True when a member was not named before, and is one of those that were there.
    fn names(&mut self, member: &MemberId) -> bool {
        let is_complete = self.present.is_none_or(|all| self.named.len() >= all);
        !is_complete && self.named.insert(member.clone())
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
            (vec![welcome(1), joined("a"), peer("a")], true),
            // One that was known before is not introduced again.
            (vec![welcome(1), peer("a")], true),
            (vec![welcome(2), joined("a"), joined("b"), peer("b")], false),
            (
                vec![welcome(2), joined("a"), joined("b"), peer("b"), left("a")],
                true,
            ),
            // One that has come since counts for none that was there, and is not waited for.
            (
                vec![welcome(1), joined("a"), joined("new"), peer("new")],
                false,
            ),
            (
                vec![welcome(1), joined("a"), joined("new"), peer("a")],
                true,
            ),
            // Another welcome begins anew.
            (vec![welcome(1), peer("a"), welcome(1)], false),
        ] {
            assert_eq!(is_over(&frames), expected, "{frames:?}");
        }
    }
}

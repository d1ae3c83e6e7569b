//! The version of a member, found out from what it was sent and has answered (serialized documents).
//!
//! In: what was sent and what came back. Out: the version, as far as it is known. Touches nothing.

mod saved;

use std::collections::VecDeque;

use kyneta_uds_core::Version;

/// The most messages without an answer that are kept of one member and document.
const MAX_EXPECTED: usize = 256;
/// So many answers that were not asked for show that one more than there are fences is under way.
const MAX_SURPLUS: u32 = 3;
/// The most answers too many that are reckoned with.
const MAX_SLACK: u32 = 16;
/// The most versions asked for in vain that are kept of one member and document.
const MAX_VAIN: usize = 64;

/// What a member was sent and has not answered, and what follows from its answers.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// The version that it has when it has read all that it was sent; `None` while that is not known.
    pub(super) at: Option<Version>,
    /// `at` may be out of date: an answer that was not asked for has named another version, or it has started to push
    /// without saying where it is.
    pub(super) is_doubtful: bool,
    expected: VecDeque<Expected>,
    /// Offers delivered to it so far.
    pub(super) deliveries: u64,
    /// Versions that it was asked for without an answer, since `at` has changed.
    pub(super) vain: Vec<Option<Version>>,
    /// It has been asked: it pushes its edits.
    pub(super) is_asked: bool,
    /// Answers that are under way from a time when the document was there before.
    stale: u32,
    /// There have been such answers in this session: one that was not asked for may tell the truth.
    has_been_stale: bool,
    /// Answers that were not asked for.
    surplus: u32,
    /// How many answers more than there are fences may come.
    pub(super) slack: u32,
    /// There may be one more of them: it is to be sent one more fence.
    is_short: bool,
}

/// Where the payload of an offer starts; `None` when that is not known. A link may ask for no version, which
/// is one, too.
pub(super) type Base = Option<Option<Version>>;

/// A message that a member will answer, with the deliveries so far.
#[derive(Debug)]
pub(super) enum Expected {
    /// An interest in what came since a version: an offer, or no answer at all.
    Offer {
        since: Option<Version>,
        deliveries: u64,
    },
    /// A fence: an interest. It counts, unless it only takes up an answer too many.
    Interest { counts: bool, deliveries: u64 },
}

/// What passes over a link.
#[derive(Debug, Default)]
pub(super) struct LinkVersions {
    /// The versions that the link asked for, each until it is answered.
    pub(super) wanted: Vec<Option<Version>>,
    /// The versions that the link was asked for, each until it is answered.
    pub(super) asked: Vec<Option<Version>>,
}

impl Expected {
    const fn is_fence(&self) -> bool {
        matches!(self, Self::Interest { .. })
    }
}

impl Replies {
    pub(super) fn has_open_fence(&self) -> bool {
        self.expected.iter().any(Expected::is_fence)
    }

    pub(super) fn open(&self) -> usize {
        self.expected.len() + self.vain.len()
    }

    /// How many interests may still come that answer what was sent, now or before.
    pub(super) fn outstanding(&self) -> u32 {
        let fences = self.expected.iter().filter(|expected| expected.is_fence());
        let fences = u32::try_from(fences.count()).unwrap_or(u32::MAX);
        let slack = if fences > 0 { self.slack } else { 0 };
        fences.saturating_add(slack).saturating_add(self.stale)
    }

    pub(super) fn has_open_ask(&self) -> bool {
        let is_ask =
            |expected: &Expected| matches!(expected, Expected::Offer { since: Some(_), .. });
        self.expected.iter().any(is_ask)
    }

    /// The version, unless there is a doubt about it: a delta may be read on nothing else.
    pub(super) fn certain(&self) -> Option<&Version> {
        self.at.as_ref().filter(|_| !self.is_doubtful)
    }

    /// An answer that was not asked for names a version. True when it makes the known one doubtful.
    pub(super) fn doubt(&mut self, version: &Version) -> bool {
        self.is_doubtful |= self.has_been_stale && self.at.as_ref() != Some(version);
        self.is_doubtful
    }

    /// Nothing is certain any more: answers that are under way may be about a former time.
    pub(super) fn has_stale(&mut self, answers: u32) {
        self.stale = answers;
        self.has_been_stale |= answers > 0;
    }

    pub(super) fn set(&mut self, at: Option<Version>) {
        self.is_doubtful = false;
        if self.at != at {
            self.vain.clear();
            self.at = at;
        }
    }

    pub(super) fn expect(&mut self, expected: Expected) {
        if self.expected.len() < MAX_EXPECTED {
            self.expected.push_back(expected);
        } else {
            self.slack = self.slack.max(1);
        }
    }

    /// A `present` was sent which it will answer with an interest.
    pub(super) fn expect_interest(&mut self) {
        let deliveries = self.deliveries;
        self.expect(Expected::Interest {
            counts: true,
            deliveries,
        });
    }

    /// What it was sent is about another document of this id.
    pub(super) fn expect_nothing(&mut self) {
        self.expected.clear();
    }

    /// The first interest of a session: a document made just now and an answer to a `present` look the same.
    pub(super) fn begin(&mut self, version: Version) {
        // A single one may be a document that was made just now.
        let fence = u32::from(self.has_open_fence());
        let stale = if self.stale > 1 { self.stale } else { 0 };
        self.slack = fence.saturating_add(stale).min(MAX_SLACK);
        self.is_short = self.stale == 1;
        self.expected.clear();
        self.set(Some(version));
    }

    pub(super) const fn is_short(&self) -> bool {
        self.is_short
    }

    /// One more answer too many is reckoned with. True if it is to be sent one more fence, where that `can_be`.
    pub(super) fn lengthen(&mut self, can_be: bool) -> bool {
        if !std::mem::take(&mut self.is_short) {
            return false;
        }
        self.slack = (self.slack + 1).min(MAX_SLACK);
        let sends = can_be && self.has_open_fence() && self.expected.len() < MAX_EXPECTED;
        if sends {
            let deliveries = self.deliveries;
            self.expected.push_front(Expected::Interest {
                counts: false,
                deliveries,
            });
        }
        sends
    }

    /// An interest that names a version answers the first fence. Without one it is news.
    pub(super) fn interest(&mut self, version: Version) {
        let Some(fence) = self.expected.iter().position(Expected::is_fence) else {
            if self.at.as_ref() != Some(&version) {
                self.at = None;
                self.slack = self.slack.max(1);
            }
            return;
        };
        let closed: Vec<_> = self.expected.drain(..=fence).collect();
        if let Some(Expected::Interest {
            counts: true,
            deliveries,
        }) = closed.last()
            && (self.at.is_none() || *deliveries == self.deliveries)
        {
            self.set(Some(version));
        }
        for expected in closed {
            // Without a delivery since, the silence is the answer.
            if let Expected::Offer { since, deliveries } = expected
                && deliveries == self.deliveries
            {
                self.is_in_vain(since);
            }
        }
    }

    /// It has nothing to say to a member at this version.
    pub(super) fn is_in_vain(&mut self, since: Option<Version>) {
        if !self.vain.contains(&since) {
            if self.vain.len() >= MAX_VAIN {
                self.vain.clear();
            }
            self.vain.push(since);
        }
    }

    /// The version that an answer starts from, and whether the offer's is the member's own; `None` when
    /// it was not asked for.
    pub(super) fn answered(&mut self) -> Option<(Base, bool)> {
        let Some(ask) = self
            .expected
            .iter()
            .position(|expected| !expected.is_fence())
        else {
            self.vain.clear();
            self.surplus = self.surplus.saturating_add(1);
            if self.surplus.is_multiple_of(MAX_SURPLUS) {
                self.slack = (self.slack + 1).min(MAX_SLACK);
            }
            return None;
        };
        match self.expected.remove(ask)? {
            Expected::Offer { since, deliveries } => {
                let is_own = deliveries == self.deliveries;
                if std::mem::take(&mut self.stale) == 1 {
                    // It may answer what was asked before, from another version on. It is asked again.
                    self.vain.clear();
                    return Some((None, is_own));
                }
                Some((Some(since), is_own))
            }
            Expected::Interest { .. } => None,
        }
    }

    pub(super) fn deliver(&mut self, version: &Version) {
        self.at = Some(version.clone());
        self.deliveries += 1;
        self.vain.clear();
    }
}

/// Adds what is not there; at the limit the oldest goes.
pub(super) fn remember(
    versions: &mut Vec<Option<Version>>,
    version: Option<Version>,
    limit: usize,
) {
    if !versions.contains(&version) {
        if versions.len() >= limit.max(1) {
            versions.remove(0);
        }
        versions.push(version);
    }
}

/// Takes a version out; true when it was there.
pub(super) fn forget(versions: &mut Vec<Option<Version>>, version: &Option<Version>) -> bool {
    let at = versions.iter().position(|known| known == version);
    at.map(|at| versions.remove(at)).is_some()
}

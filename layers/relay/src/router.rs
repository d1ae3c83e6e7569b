//! What a hub does with what its members send: a trait, and the switch as its usual implementor.
//!
//! In: members that come and go, their messages, and that some time has passed. Out: effects, in order.

use std::{sync::Arc, time::Duration};

use kyneta_uds_core::{ChannelMsg, DocEntry, PeerId, Saved, SavedError};

use crate::{
    effect::Effect,
    member::{MemberFacts, MemberKey},
    switch::Switch,
};

/// How long the switch waits before it asks again where a document may have stayed unequal.
const RECONCILE_AFTER: Duration = Duration::from_secs(1);

/// How many records the switch looks at before it lets other events pass, while a member leaves: .3 ms. A member with 4,096
/// documents, each of which 17 members had a record of, took 79 ms.
const RECORDS: usize = 256;

/// Decides which member gets what. The hub carries its effects out in order and drops none: a member whose
/// queue stays full is disconnected instead. It is called with one event after the other, and by no two threads at
/// once. What it keeps is its own to bound.
///
/// A router that passes each message on to all others:
///
/// ```
/// use kyneta_uds_core::ChannelMsg;
/// use kyneta_uds_relay::{Effect, MemberFacts, MemberKey, Router};
///
/// #[derive(Debug, Default)]
/// struct ToAllOthers(Vec<MemberKey>);
///
/// impl Router<ChannelMsg> for ToAllOthers {
///     fn established(&mut self, member: MemberKey, _: &MemberFacts, _: &mut Vec<Effect>) {
///         self.0.push(member);
///     }
///     fn received(&mut self, from: MemberKey, msg: ChannelMsg, out: &mut Vec<Effect>) {
///         let others = self.0.iter().filter(|member| **member != from);
///         out.extend(others.map(|member| Effect::send(*member, msg.clone())));
///     }
///     fn left(&mut self, member: MemberKey, _: &mut Vec<Effect>) {
///         self.0.retain(|known| *known != member);
///     }
/// }
/// ```
pub trait Router<M>: Send + 'static {
    /// A member is connected. Its key is not the key of a member that is there.
    fn established(&mut self, member: MemberKey, facts: &MemberFacts, effects: &mut Vec<Effect<M>>);

    /// A member has sent a message.
    fn received(&mut self, from: MemberKey, msg: M, effects: &mut Vec<Effect<M>>);

    /// A member is gone.
    fn left(&mut self, member: MemberKey, effects: &mut Vec<Effect<M>>);

    /// A member is gone, and [`left`](Self::left) will be called. Does a part of what that takes; true when there is more:
    /// then it is called again, after other events. What is sent to the member meanwhile reaches nothing. By default there is
    /// nothing to do before.
    fn leaving(&mut self, member: MemberKey, effects: &mut Vec<Effect<M>>) -> bool {
        let _ = (member, effects);
        false
    }

    /// After how long it wants to be [`woken`](Self::woken); `None`: not at all. Asked after each event, and
    /// not again while a time runs.
    fn wake_after(&self) -> Option<Duration> {
        None
    }

    /// The time of [`wake_after`](Self::wake_after) has passed.
    fn woken(&mut self, effects: &mut Vec<Effect<M>>) {
        let _ = effects;
    }

    /// What it knows, for a router in another process ([`resume`](Self::resume)). `None`, as by default: its listener
    /// cannot be handed over.
    fn save(&self) -> Option<Saved> {
        None
    }

    /// Goes on where the router was whose state this is. Called instead of the first event, with the members that are
    /// connected now, under the keys that they had.
    ///
    /// # Errors
    /// [`SavedError`]: the state is not one that it reads. By default no state is.
    fn resume(
        &mut self,
        saved: &Saved,
        members: Vec<(MemberKey, MemberFacts)>,
        effects: &mut Vec<Effect<M>>,
    ) -> Result<(), SavedError> {
        let _ = (saved, members, effects);
        let why = "this router takes no state";
        Err(SavedError::Value {
            name: "router",
            why,
        })
    }

    /// How much it keeps, for a status. May look at all of it.
    fn counts(&self) -> RouterCounts {
        RouterCounts::default()
    }

    /// Which member holds which documents, for a process that looks on. Nothing by default.
    fn holdings(&self) -> Vec<Holdings> {
        Vec::new()
    }
}

/// The documents of a member.
#[derive(Debug, Clone, PartialEq)]
pub struct Holdings {
    /// The member.
    pub holder: PeerId,
    /// What it has presented, in the order of first presentation.
    pub entries: Vec<Arc<DocEntry>>,
}

/// What a router keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RouterCounts {
    /// Members that are established.
    pub members: usize,
    /// Documents with a holder, or whatever else it routes by.
    pub documents: usize,
    /// Members of documents: that were told of one or speak of it.
    pub records: usize,
    /// Messages and versions that are remembered until they are answered.
    pub open: usize,
}

impl Router<ChannelMsg> for Switch {
    fn established(&mut self, member: MemberKey, facts: &MemberFacts, effects: &mut Vec<Effect>) {
        Self::established(self, member, facts.clone(), effects);
        self.follow_up(effects);
    }

    fn received(&mut self, from: MemberKey, msg: ChannelMsg, effects: &mut Vec<Effect>) {
        Self::received(self, from, msg, effects);
        self.follow_up(effects);
    }

    fn left(&mut self, member: MemberKey, effects: &mut Vec<Effect>) {
        Self::left(self, member, effects);
        self.follow_up(effects);
    }

    fn leaving(&mut self, member: MemberKey, effects: &mut Vec<Effect>) -> bool {
        let is_more = Self::leaving(self, member, RECORDS, effects);
        self.follow_up(effects);
        is_more
    }

    fn wake_after(&self) -> Option<Duration> {
        self.is_unsettled().then_some(RECONCILE_AFTER)
    }

    fn woken(&mut self, effects: &mut Vec<Effect>) {
        self.reconcile(effects);
    }

    fn save(&self) -> Option<Saved> {
        Some(Self::save(self))
    }

    fn resume(
        &mut self,
        saved: &Saved,
        members: Vec<(MemberKey, MemberFacts)>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SavedError> {
        *self = Self::resume(self.config().clone(), saved, members, effects)?;
        Ok(())
    }

    fn counts(&self) -> RouterCounts {
        Self::counts(self)
    }

    fn holdings(&self) -> Vec<Holdings> {
        Self::holdings(self)
    }
}

//! Messages that are to be sent, and why some wait.
//!
//! In: messages in order. Out: the same, in order. Touches nothing.
//!
//! With a store, an edit of a serialized document is sent when it is stored. If a crash took an edit away that peers
//! have, the process would make another one under the same version, and the replicas would differ for good.

use std::{collections::VecDeque, sync::Arc};

use kyneta_uds_core::{ChannelMsg, Message as _};
use kyneta_uds_sync::ChannelKey;

use super::cell::DocCell;

/// A message to a channel.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) to: ChannelKey,
    pub(super) msg: ChannelMsg,
    /// The document of which so many changes are stored before.
    pub(super) after: Option<(Arc<DocCell>, u64)>,
}

impl Outgoing {
    /// A message that need not wait.
    pub(super) const fn new(to: ChannelKey, msg: ChannelMsg) -> Self {
        Self {
            to,
            msg,
            after: None,
        }
    }

    fn waits(&self) -> bool {
        let waits = |(cell, changes): &(Arc<DocCell>, u64)| !cell.is_settled(*changes);
        self.after.as_ref().is_some_and(waits)
    }
}

/// What is to be sent, in order. A message that waits holds up all that come after it.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    messages: VecDeque<Outgoing>,
    bytes: usize,
}

impl Outbound {
    pub(super) fn push(&mut self, outgoing: Outgoing) {
        self.bytes = self.bytes.saturating_add(outgoing.msg.size());
        self.messages.push_back(outgoing);
    }

    /// The bytes of all of it.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The next message that need not wait any more.
    pub(super) fn next(&mut self) -> Option<(ChannelKey, ChannelMsg)> {
        if self.messages.front()?.waits() {
            return None;
        }
        let next = self.messages.pop_front()?;
        self.bytes = self.bytes.saturating_sub(next.msg.size());
        Some((next.to, next.msg))
    }
}

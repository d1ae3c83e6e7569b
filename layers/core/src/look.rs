//! What looks at messages where they are: the other side of [`Channel::look`](crate::Channel::look).
//!
//! In: messages by reference. Out: whether there may be more. What it may touch is the implementor's to say.

use crate::message::ByReference;

/// Is shown messages by reference, one after the other.
///
/// ```
/// use kyneta_uds_core::{ByReference, ChannelMsg, Look, MessageRef};
///
/// /// Counts bytes of data.
/// struct Bytes(usize);
///
/// impl Look<ChannelMsg> for Bytes {
///     fn more(&self) -> bool {
///         self.0 < 1 << 20
///     }
///
///     fn look(&mut self, msg: MessageRef<'_>) {
///         if let MessageRef::Offer(offer) = msg {
///             self.0 += offer.data.as_slice().len();
///         }
///     }
/// }
///
/// let mut bytes = Bytes(0);
/// bytes.look(ChannelMsg::Depart.reference());
/// assert!(bytes.more());
/// ```
pub trait Look<M: ByReference> {
    /// False when no message is to be shown now; the next one is then to be taken by value.
    fn more(&self) -> bool;

    /// A message, which is not shown again.
    fn look(&mut self, msg: M::Ref<'_>);

    /// A round of reading begins: what has arrived follows, by either way. A handler may collect it until the end of the
    /// [round](Self::round_over). Without this call nothing ends a round. Does nothing by default.
    #[inline]
    fn round_begins(&mut self) {}

    /// Nothing more is read for now. Called after each [`round_begins`](Self::round_begins) unless the handler is dropped
    /// before, also when the handler waits. Does nothing by default.
    #[inline]
    fn round_over(&mut self) {}
}

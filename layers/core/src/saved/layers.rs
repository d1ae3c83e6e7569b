//! What a layer needs so that its connections can be handed to another process.
//!
//! In: a channel, or a stream with its saved state. Out: the stream with the state, or a channel. Touches nothing.

use bytes::Bytes;

use super::{Saved, SavedError};

/// The field of a connection's state that says that its bytes went [ahead](Save::save_ahead): their number among those of
/// all connections while it is saved, and the bytes themselves while it is resumed.
pub const AHEAD: &str = "ahead";

/// A channel or a frame transport that gives its state, so that a stack in another process goes on with it and with a
/// copy of its stream ([`Resume`]). Nothing that was written is lost: bytes that the kernel has not taken are part of the
/// state. After that, it must not be polled while the other process may go on. An idle connection is saved while it is still
/// served, and again if it is polled after that.
///
/// A layer of your own that keeps no state passes it on:
///
/// ```
/// use kyneta_uds_core::{Save, Saved};
///
/// struct Counted<C> { inner: C, count: u64 }
///
/// impl<C: Save> Save for Counted<C> {
///     type Io = C::Io;
///     fn stream(&self) -> &C::Io {
///         self.inner.stream()
///     }
///     fn save(&self, saved: Saved) -> Saved {
///         // One with a state adds its part, under a name of its own.
///         self.inner.save(saved.with("counted", Saved::new(1, 1).with("count", self.count)))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a connection of this stack cannot be handed over: `{Self}` does not give its state",
    label = "this layer does not implement `Save`",
    note = "implement `Save` for its channel and `Resume` for its make service; a layer without a state passes both on"
)]
pub trait Save: Sized {
    /// The stream at the bottom of the stack.
    type Io;

    /// That stream.
    fn stream(&self) -> &Self::Io;

    /// Each layer adds its part to `saved`, and passes it on to the layer below.
    fn save(&self, saved: Saved) -> Saved;

    /// The bytes that the stream has not taken, for the other process to have them before this one stops. This one serves
    /// on. If `saved` has the field [`AHEAD`], [`save`](Self::save) gives the bytes behind them alone, and how many
    /// of them were not written.
    ///
    /// Provided: nothing goes ahead. A layer that passes it on spares its users the time in which many bytes are copied.
    fn save_ahead(&mut self) -> Vec<Bytes> {
        Vec::new()
    }
}

/// A make service that can go on with the connection of another process. It reads and writes nothing.
///
/// ```
/// use kyneta_uds_core::{Resume, Saved, SavedError};
///
/// struct Counting<S> { inner: S }
/// # struct Counted<C> { inner: C, count: u64 }
///
/// impl<Io, S: Resume<Io>> Resume<Io> for Counting<S> {
///     type Resumed = Counted<S::Resumed>;
///     fn resume(&self, io: Io, saved: &Saved) -> Result<Self::Resumed, SavedError> {
///         let part = saved.part("counted")?;
///         part.check("the counting layer", 1..=1)?;
///         Ok(Counted { inner: self.inner.resume(io, saved)?, count: part.number("count")? })
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "this stack cannot go on with a connection that was handed over: `{Self}` does not take a state",
    label = "this layer does not implement `Resume`",
    note = "implement `Save` for its channel and `Resume` for its make service; a layer without a state passes both on"
)]
pub trait Resume<Io> {
    /// What the make service makes.
    type Resumed;

    /// Goes on with `io`, with the parts that the layers have added in [`Save::save`].
    ///
    /// # Errors
    /// [`SavedError`]: the part of a layer is missing, or of a version that it does not read.
    fn resume(&self, io: Io, saved: &Saved) -> Result<Self::Resumed, SavedError>;
}

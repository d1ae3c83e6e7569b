//! tower's backoffs as a policy.
//!
//! In: a make service of backoffs. Out: waits. May touch: tokio's clock, for the length of a wait.

use std::{any::Any, fmt};

use kyneta_uds_core::DisconnectReason;
use tokio::time::{Instant, Sleep};
use tower::retry::backoff::{Backoff, MakeBackoff};

use crate::policy::{Failure, Recover, Wait};

/// Waits as any of tower's backoffs says, and never gives up. It starts over after each connection
/// that was useful.
///
/// ```
/// use std::time::Duration;
/// use kyneta_uds_core::ChannelMsg;
/// use kyneta_uds_reconnect::ReconnectLayer;
/// use tower::{retry::backoff::ExponentialBackoffMaker, util::rng::HasherRng};
///
/// let maker = ExponentialBackoffMaker::new(
///     Duration::from_millis(50),
///     Duration::from_secs(2),
///     0.5,
///     HasherRng::default(),
/// )?;
/// let layer = ReconnectLayer::<_, ChannelMsg>::with_backoff(maker);
/// # let _ = layer;
/// # Ok::<(), tower::retry::backoff::InvalidBackoff>(())
/// ```
pub struct Backoffs<B: MakeBackoff> {
    maker: B,
    current: Option<B::Backoff>,
}

impl<B: MakeBackoff> Backoffs<B> {
    /// A policy.
    pub const fn new(maker: B) -> Self {
        Self {
            maker,
            current: None,
        }
    }
}

impl<B> Recover for Backoffs<B>
where
    B: MakeBackoff<Backoff: Backoff<Future: Send + 'static>>,
{
    fn recover(&mut self, failure: Failure<'_>) -> Result<Wait, DisconnectReason> {
        if failure.attempts() == 0 {
            self.current = None;
        }
        let maker = &mut self.maker;
        let until = self
            .current
            .get_or_insert_with(|| maker.make_backoff())
            .next_backoff();
        let sleep = (&until as &dyn Any).downcast_ref::<Sleep>();
        let delay = sleep.map(|sleep| sleep.deadline() - Instant::now());
        Ok(Wait::until(until, delay))
    }
}

/// A clone starts from the beginning.
impl<B: MakeBackoff + Clone> Clone for Backoffs<B> {
    fn clone(&self) -> Self {
        Self::new(self.maker.clone())
    }
}

impl<B: MakeBackoff + fmt::Debug> fmt::Debug for Backoffs<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backoffs")
            .field("maker", &self.maker)
            .finish_non_exhaustive()
    }
}

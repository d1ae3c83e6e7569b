//! Whether a connection is made again, and when.
//!
//! In: how often it has failed in a row, why, and a random number. Out: a wait, or the reason to
//! give up. May touch: nothing.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use kyneta_uds_core::DisconnectReason;

/// One failure, as a policy sees it.
pub struct Failure<'a> {
    attempts: u32,
    reason: &'a DisconnectReason,
    random: &'a mut dyn FnMut() -> f64,
}

impl<'a> Failure<'a> {
    /// For code that asks a policy itself. `random` gives numbers in `[0, 1)`.
    pub fn new(
        attempts: u32,
        reason: &'a DisconnectReason,
        random: &'a mut dyn FnMut() -> f64,
    ) -> Self {
        Self {
            attempts,
            reason,
            random,
        }
    }

    /// How many attempts have failed in a row; 0 when a useful connection was lost.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Why the last attempt, or the connection, failed.
    pub const fn reason(&self) -> &'a DisconnectReason {
        self.reason
    }

    /// A fresh random number in `[0, 1)`.
    pub fn random(&mut self) -> f64 {
        (self.random)()
    }
}

impl fmt::Debug for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("attempts", &self.attempts)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

/// The wait before the next attempt.
pub struct Wait {
    pub(crate) delay: Option<Duration>,
    pub(crate) until: Option<Until>,
}

pub(crate) type Until = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Wait {
    /// A time; zero is allowed.
    pub const fn delay(delay: Duration) -> Self {
        Self {
            delay: Some(delay),
            until: None,
        }
    }

    /// How long it is in all, if that is known.
    pub const fn duration(&self) -> Option<Duration> {
        self.delay
    }

    /// Any future. `delay`, if it is known, is shown in the state.
    pub fn until(
        until: impl Future<Output = ()> + Send + 'static,
        delay: Option<Duration>,
    ) -> Self {
        Self {
            delay,
            until: Some(Box::pin(until)),
        }
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("delay", &self.delay)
            .finish_non_exhaustive()
    }
}

/// Decides from the reason whether and when to connect again. Each channel has its own clone.
///
/// ```
/// use std::io;
/// use kyneta_uds_core::DisconnectReason;
/// use kyneta_uds_reconnect::{Failure, ReconnectPolicy, Recover, Wait};
///
/// /// What is not permitted now will not be permitted in a second.
/// #[derive(Clone)]
/// struct UnlessForbidden(ReconnectPolicy);
///
/// impl Recover for UnlessForbidden {
///     fn recover(&mut self, failure: Failure<'_>) -> Result<Wait, DisconnectReason> {
///         if let DisconnectReason::Error(error) = failure.reason()
///             && let Some(error) = error.get_ref().downcast_ref::<io::Error>()
///             && error.kind() == io::ErrorKind::PermissionDenied
///         {
///             return Err(failure.reason().clone());
///         }
///         self.0.recover(failure)
///     }
/// }
/// let _ = UnlessForbidden(ReconnectPolicy::new());
/// ```
pub trait Recover {
    /// The wait before the next attempt.
    ///
    /// # Errors
    /// The reason that the channel ends with: there is no next attempt.
    fn recover(&mut self, failure: Failure<'_>) -> Result<Wait, DisconnectReason>;

    /// False when a lost connection is never made again: the channel then ends with the one below it. Called
    /// at each loss.
    fn is_on(&self) -> bool {
        true
    }
}

/// How randomness changes the wait, so that not all processes that lost the same peer reconnect at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Jitter {
    /// Up to a fifth longer: `min(base * 2^(n-1) * (1 + 0.2 * random), max)`.
    #[default]
    Upwards,
    /// Anything up to the whole wait: `random * min(base * 2^(n-1), max)`.
    Full,
}

/// Exponential waits (wire section 7): attempt n comes after `base * 2^(n-1)`, at most `max`.
///
/// Attempts are counted in a row. The count starts over with a connection that was useful; so the first
/// wait after its loss is `base`, and `2 * base` after a failed first attempt.
///
/// ```
/// use std::time::Duration;
/// use kyneta_uds_reconnect::{Jitter, ReconnectPolicy};
///
/// let patient = ReconnectPolicy::new()
///     .max_attempts(u32::MAX)
///     .base(Duration::from_millis(50))
///     .max(Duration::from_secs(2))
///     .jitter(Jitter::Full);
/// let never = ReconnectPolicy::off();
/// assert_ne!(patient, never);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconnectPolicy {
    enabled: bool,
    max_attempts: u32,
    base: Duration,
    max: Duration,
    jitter: Jitter,
}

impl ReconnectPolicy {
    /// 10 attempts, 1 s doubled up to 30 s, [`Jitter::Upwards`].
    pub const fn new() -> Self {
        Self {
            enabled: true,
            max_attempts: 10,
            base: Duration::from_secs(1),
            max: Duration::from_secs(30),
            jitter: Jitter::Upwards,
        }
    }

    /// One connection, which is not made again.
    pub const fn off() -> Self {
        Self {
            enabled: false,
            ..Self::new()
        }
    }

    /// How many attempts in a row may fail before it gives up. 10 by default; with 0 a lost connection is not
    /// made again.
    pub const fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// The wait before attempt 1. 1 s by default.
    pub const fn base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// The longest wait. 30 s by default.
    pub const fn max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// How waits differ. [`Jitter::Upwards`] by default.
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    fn delay(&self, attempts: u32, random: f64) -> Duration {
        // A shift beyond this is past every `max` already, and stays a finite number.
        let doublings = i32::try_from(attempts).unwrap_or(i32::MAX).min(200);
        let whole = self.base.as_secs_f64() * 2f64.powi(doublings);
        let max = self.max.as_secs_f64();
        let seconds = match self.jitter {
            Jitter::Upwards => (whole * (1.0 + 0.2 * random)).min(max),
            Jitter::Full => random * whole.min(max),
        };
        Duration::try_from_secs_f64(seconds).map_or(self.max, |delay| delay.min(self.max))
    }
}

impl Default for ReconnectPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl Recover for ReconnectPolicy {
    fn recover(&mut self, mut failure: Failure<'_>) -> Result<Wait, DisconnectReason> {
        if !self.enabled {
            return Err(failure.reason.clone());
        }
        let attempts = failure.attempts;
        if attempts >= self.max_attempts {
            return Err(DisconnectReason::MaxRetriesExceeded { attempts });
        }
        Ok(Wait::delay(self.delay(attempts, failure.random())))
    }

    fn is_on(&self) -> bool {
        self.enabled
    }
}

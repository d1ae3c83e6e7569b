//! The times and bounds of a session. Touches nothing.

use std::time::Duration;

/// The shortest idle timeout.
const MIN_IDLE: Duration = Duration::from_millis(500);

/// The longest. The server forgets what is older than a minute.
const MAX_IDLE: Duration = Duration::from_secs(30);

/// Times and bounds of sessions.
///
/// ```
/// use kyneta_uds_nats::NatsSettings;
/// use std::time::Duration;
/// let settings = NatsSettings::default().idle_timeout(Duration::from_secs(10));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatsSettings {
    pub(crate) idle_timeout: Duration,
    pub(crate) window: u32,
}

impl Default for NatsSettings {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(3),
            window: 1024 * 1024,
        }
    }
}

impl NatsSettings {
    /// How long the other machine may give no sign of life before the session ends: 0.5 to 30 s, what is outside is moved to
    /// its border. 3 s by default. A tenth of it is between two signs. A server that is gone for a shorter time ends no
    /// session.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout.clamp(MIN_IDLE, MAX_IDLE);
        self
    }

    /// How many bytes may be under way in each direction of a session: written here and not read there. 1 MiB by default;
    /// less than 64 KiB is moved there. All machines must have the same.
    pub fn window(mut self, bytes: u32) -> Self {
        self.window = bytes.max(64 * 1024);
        self
    }

    pub(crate) fn beat(&self) -> Duration {
        self.idle_timeout / 10
    }
}

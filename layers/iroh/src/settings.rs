//! The times and bounds of a connection.
//!
//! In: a user's choice. Out: the configuration of iroh's transport. Touches nothing.

use std::time::Duration;

use iroh::endpoint::{IdleTimeout, QuicTransportConfig, VarInt};

/// The shortest idle timeout.
const MIN_IDLE: Duration = Duration::from_millis(300);

/// The least time between two keep-alives.
const MIN_KEEP_ALIVE: Duration = Duration::from_millis(100);

/// The longest: iroh gives a path up after it.
const MAX_IDLE: Duration = Duration::from_secs(15);

/// The protocol of links.
const LINKS: &str = "kyneta-uds/1";

/// Times and bounds of connections.
///
/// ```
/// use kyneta_uds_iroh::IrohSettings;
/// use std::time::Duration;
/// let settings = IrohSettings::default().idle_timeout(Duration::from_secs(2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IrohSettings {
    idle_timeout: Duration,
    window: u32,
    pub(crate) protocol: &'static str,
}

impl Default for IrohSettings {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(3),
            window: 1024 * 1024,
            protocol: LINKS,
        }
    }
}

impl IrohSettings {
    /// How long nothing may come before the connection ends: 0.3 to 15 s, what is outside is moved to its border. 3 s by
    /// default. A tenth of it, at least 100 ms, is between two keep-alives. QUIC counts from the first packet that is not
    /// answered, so the end is seen after the timeout and that tenth at the latest.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout.clamp(MIN_IDLE, MAX_IDLE);
        self
    }

    /// How many bytes may be under way in each direction: written here and not read there. 1 MiB by default.
    pub fn window(mut self, bytes: u32) -> Self {
        self.window = bytes;
        self
    }

    /// The name of the protocol in the handshake of TLS, 1 to 255 bytes: both sides must have the same. That of links by
    /// default.
    pub fn protocol(mut self, name: &'static str) -> Self {
        self.protocol = name;
        self
    }

    pub(crate) fn transport(&self) -> QuicTransportConfig {
        let window = VarInt::from_u32(self.window);
        let keep_alive = (self.idle_timeout / 10).max(MIN_KEEP_ALIVE);
        // A duration of at most 15 s is a valid one.
        let idle = IdleTimeout::try_from(self.idle_timeout).ok();
        QuicTransportConfig::builder()
            .max_concurrent_bidi_streams(VarInt::from_u32(1))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .send_window(u64::from(self.window))
            .stream_receive_window(window)
            .receive_window(window)
            .max_idle_timeout(idle)
            .keep_alive_interval(keep_alive)
            // A path has times of its own, and the shorter one counts.
            .default_path_max_idle_timeout(self.idle_timeout)
            .default_path_keep_alive_interval(keep_alive)
            .build()
    }
}

//! A snapshot as metrics: for the `metrics` crate, and as Prometheus text. Pure, but for the former.
//!
//! Names follow OpenTelemetry's messaging conventions where those have one; the others are
//! `kyneta_uds.*`. There is no series for each peer: a monitoring system keeps the series of every id it
//! has seen. `/status` has the peers.
//!
//! The text is not written by `metrics-exporter-prometheus` (0.18): 21 more crates without its HTTP, a
//! registry and sketches for histograms, instead of one pass over a snapshot.

use std::fmt::Write as _;

use super::snapshot::Snapshot;
use crate::counts::Counts;

/// One number.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Measure {
    name: &'static str,
    help: &'static str,
    label: Option<(&'static str, &'static str)>,
    value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    /// Never decreases.
    Counter(u64),
    /// Increases and decreases.
    Gauge(f64),
}

const SYSTEM: (&str, &str) = ("messaging.system", "kyneta_uds");

impl Snapshot {
    /// Passes all numbers to the process's [`metrics`] recorder, if there is one: call it at the interval
    /// of your monitoring. Counters are set to their absolute values. Several roles in one process
    /// overwrite each other's values: give each a recorder of its own
    /// ([`metrics::with_local_recorder`]).
    ///
    /// ```
    /// use kyneta_uds::status::Inspect;
    /// use std::time::Duration;
    ///
    /// async fn publish(role: impl Inspect) {
    ///     loop {
    ///         role.snapshot().record();
    ///         tokio::time::sleep(Duration::from_secs(10)).await;
    ///     }
    /// }
    /// ```
    pub fn record(&self) {
        for measure in measures(self) {
            let Measure { name, help, .. } = measure;
            let labels: Vec<_> = measure.label.into_iter().collect();
            match measure.value {
                Value::Counter(value) => {
                    metrics::describe_counter!(name, help);
                    metrics::counter!(name, &labels).absolute(value);
                }
                Value::Gauge(value) => {
                    metrics::describe_gauge!(name, help);
                    metrics::gauge!(name, &labels).set(value);
                }
            }
        }
    }
}

/// The snapshot in Prometheus' text format 0.0.4.
pub(super) fn prometheus(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for measure in measures(snapshot) {
        // Writing to a `String` does not fail.
        let _ = measure.write(&mut text);
    }
    text
}

impl Measure {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        let (kind, suffix) = match self.value {
            Value::Counter(_) => ("counter", "_total"),
            Value::Gauge(_) => ("gauge", ""),
        };
        let name = format!("{}{suffix}", self.name.replace('.', "_"));
        writeln!(text, "# HELP {name} {}", self.help)?;
        writeln!(text, "# TYPE {name} {kind}")?;
        text.push_str(&name);
        if let Some((label, value)) = self.label {
            // Labels are constants without characters to escape.
            write!(text, "{{{}=\"{value}\"}}", label.replace('.', "_"))?;
        }
        match self.value {
            Value::Counter(value) => writeln!(text, " {value}"),
            Value::Gauge(value) => writeln!(text, " {value}"),
        }
    }
}

fn measures(snapshot: &Snapshot) -> impl Iterator<Item = Measure> {
    let gauge = |name, help, value: f64| Measure {
        name,
        help,
        label: None,
        value: Value::Gauge(value),
    };
    let messaging = [
        Measure {
            name: "messaging.client.sent.messages",
            help: "Messages sent, each counted once per receiver",
            label: Some(SYSTEM),
            value: Value::Counter(snapshot.sent),
        },
        Measure {
            name: "messaging.client.consumed.messages",
            help: "Messages received",
            label: Some(SYSTEM),
            value: Value::Counter(snapshot.received),
        },
        Measure {
            label: Some(SYSTEM),
            ..gauge(
                "messaging.client.connection.count",
                "Connections that have completed the handshake",
                snapshot.peers.len() as f64,
            )
        },
    ];
    let healthy = snapshot.health().is_ok();
    let ours = [
        Measure {
            label: Some(("role", snapshot.role.name())),
            ..gauge("kyneta_uds.role", "1 for the present role", 1.0)
        },
        gauge(
            "kyneta_uds.healthy",
            "1 when it listens at its path or is connected, else 0",
            f64::from(u8::from(healthy)),
        ),
        gauge(
            "kyneta_uds.waiting.seconds",
            "How long it has been waiting, 0 when it does not wait",
            snapshot
                .waiting
                .as_ref()
                .map_or(0, |waiting| waiting.for_ms) as f64
                / 1000.0,
        ),
        gauge(
            "kyneta_uds.uptime.seconds",
            "Time since the start",
            snapshot.uptime_ms as f64 / 1000.0,
        ),
        gauge(
            "kyneta_uds.queued.messages",
            "Messages in all queues",
            snapshot.queued.messages as f64,
        ),
        gauge(
            "kyneta_uds.queued.bytes",
            "Bytes in all queues",
            snapshot.queued.bytes as f64,
        ),
    ];
    messaging
        .into_iter()
        .chain(ours)
        .chain(counters(&snapshot.counts))
}

/// Every count.
fn counters(counts: &Counts) -> impl Iterator<Item = Measure> + use<> {
    counts.metrics().map(|(name, help, value)| Measure {
        name,
        help,
        label: None,
        value: Value::Counter(value),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{super::snapshot::tests::example, *};

    #[test]
    fn the_text_has_each_number_under_its_name() {
        let text = prometheus(&example());
        for line in [
            "# TYPE messaging_client_sent_messages_total counter",
            "messaging_client_sent_messages_total{messaging_system=\"kyneta_uds\"} 9",
            "messaging_client_consumed_messages_total{messaging_system=\"kyneta_uds\"} 5",
            "messaging_client_connection_count{messaging_system=\"kyneta_uds\"} 2",
            "kyneta_uds_role{role=\"listener\"} 1",
            "kyneta_uds_healthy 1",
            "kyneta_uds_waiting_seconds 0",
            "kyneta_uds_uptime_seconds 61.5",
            "kyneta_uds_queued_messages 2",
            "kyneta_uds_queued_bytes 34",
            "# HELP kyneta_uds_stalled_total Connections that ended because the peer did not read",
            "kyneta_uds_stalled_total 1",
            "kyneta_uds_broken_total 0",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} in {text}");
        }
    }

    #[test]
    fn the_text_is_three_lines_a_number_and_names_are_legal_and_different() {
        let text = prometheus(&example());
        let mut names = HashSet::new();
        let lines: Vec<_> = text.lines().collect();
        for three in lines.chunks(3) {
            let [help, of, number] = three else {
                panic!("{three:?}");
            };
            let name = help.split(' ').nth(2).unwrap();
            assert!(help.starts_with("# HELP ") && of.starts_with(&format!("# TYPE {name} ")));
            assert!(number.starts_with(name), "{number}");
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            );
            assert!(names.insert(name.to_owned()), "{name} twice");
        }
    }
}

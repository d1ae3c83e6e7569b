//! A snapshot as metrics: for the `metrics` crate, and as Prometheus text. Pure, but for the former.
//!
//! Names follow OpenTelemetry's messaging conventions where those have one; the others are
//! `kyneta_uds.*`. There is no series for each peer: a monitoring system keeps the series of every id it
//! has seen. `/status` has the peers.
//!
//! The text is not written by `metrics-exporter-prometheus` (0.18): 21 more crates without its HTTP, a
//! registry and sketches for histograms, instead of one pass over a snapshot.

use std::fmt::Write as _;

use super::snapshot::{LinkStatus, RelayStatus, Snapshot};

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

/// Name, help, label and value.
type Row = (
    &'static str,
    &'static str,
    Option<(&'static str, &'static str)>,
    Value,
);

const SYSTEM: Option<(&str, &str)> = Some(("messaging.system", "kyneta_uds"));

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
    use Value::{Counter, Gauge};
    let role = Some(("role", snapshot.role.name()));
    let waiting = snapshot.waiting.as_ref();
    let waiting_ms = waiting.map_or(0, |waiting| waiting.for_ms);
    let healthy = f64::from(u8::from(snapshot.health().is_ok()));
    let seconds = |ms: u64| Gauge(ms as f64 / 1000.0);
    let queued = snapshot.queued;
    let measures = [
        (
            "messaging.client.sent.messages",
            "Messages sent, each counted once per receiver",
            SYSTEM,
            Counter(snapshot.sent),
        ),
        (
            "messaging.client.consumed.messages",
            "Messages received",
            SYSTEM,
            Counter(snapshot.received),
        ),
        (
            "messaging.client.connection.count",
            "Connections that have completed the handshake",
            SYSTEM,
            Gauge(snapshot.peers.len() as f64),
        ),
        (
            "kyneta_uds.role",
            "1 for the present role",
            role,
            Gauge(1.0),
        ),
        (
            "kyneta_uds.healthy",
            "1 when it listens at its path or is connected, else 0",
            None,
            Gauge(healthy),
        ),
        (
            "kyneta_uds.waiting.seconds",
            "How long it has been waiting, 0 when it does not wait",
            None,
            seconds(waiting_ms),
        ),
        (
            "kyneta_uds.uptime.seconds",
            "Time since the start",
            None,
            seconds(snapshot.uptime_ms),
        ),
        (
            "kyneta_uds.queued.messages",
            "Messages in all queues",
            None,
            Gauge(queued.messages as f64),
        ),
        (
            "kyneta_uds.queued.bytes",
            "Bytes in all queues",
            None,
            Gauge(queued.bytes as f64),
        ),
    ];
    // A bus counts other things than the roles do.
    let (counts, bus) = match &snapshot.bus {
        None => (Some(snapshot.counts.metrics()), None),
        Some(bus) => (None, Some(bus.metrics())),
    };
    let counts = counts
        .into_iter()
        .flatten()
        .chain(bus.into_iter().flatten());
    let counts = counts.map(|(name, help, value)| (name, help, None, Counter(value)));
    let all = measures.into_iter().chain(relayed(snapshot));
    let all = all.chain(linked(snapshot)).chain(counts);
    all.map(|(name, help, label, value)| Measure {
        name,
        help,
        label,
        value,
    })
}

/// What the relay has and has done, where there is one.
fn relayed(snapshot: &Snapshot) -> impl Iterator<Item = Row> {
    use Value::{Counter, Gauge};
    let rows = |relay: RelayStatus| {
        let gauge = |name, help, count: usize| (name, help, None, Gauge(count as f64));
        [
            (
                "kyneta_uds.relay.routed.messages",
                "Messages passed on between members, each counted once per receiver",
                None,
                Counter(relay.routed),
            ),
            gauge(
                "kyneta_uds.relay.members",
                "Members of the relay",
                relay.members,
            ),
            gauge(
                "kyneta_uds.relay.documents",
                "Documents that a member has presented",
                relay.documents,
            ),
            gauge(
                "kyneta_uds.relay.records",
                "Pairs of a member and a document that it holds, wants or was told of",
                relay.records,
            ),
            gauge(
                "kyneta_uds.relay.open",
                "Messages that members have not answered yet",
                relay.open,
            ),
        ]
    };
    snapshot.relay.map(rows).into_iter().flatten()
}

/// The links to other machines together, where a listener runs some.
fn linked(snapshot: &Snapshot) -> impl Iterator<Item = Row> {
    use Value::{Counter, Gauge};
    let links = &snapshot.links;
    let gauge = |name, help, value: f64| (name, help, None, Gauge(value));
    let sum = |of: fn(&LinkStatus) -> usize| links.iter().map(of).sum::<usize>() as f64;
    let slowest = links.iter().filter_map(|link| link.round_trip_us).max();
    let rows = [
        gauge(
            "kyneta_uds.links",
            "Other machines that this listener is to be linked with",
            links.len() as f64,
        ),
        gauge(
            "kyneta_uds.links.up",
            "Links to other machines that are up",
            sum(|link| usize::from(link.up)),
        ),
        (
            "kyneta_uds.links.opened",
            "How often links to other machines have come up",
            None,
            Counter(links.iter().map(|link| link.opened).sum()),
        ),
        gauge(
            "kyneta_uds.links.queued.messages",
            "Messages that wait to be sent on links",
            sum(|link| link.queued.messages),
        ),
        gauge(
            "kyneta_uds.links.queued.bytes",
            "Bytes that wait to be sent on links",
            sum(|link| link.queued.bytes),
        ),
        gauge(
            "kyneta_uds.links.round_trip.seconds",
            "The longest present round trip of the links, 0 when none is known",
            slowest.unwrap_or(0) as f64 / 1e6,
        ),
    ];
    let is_linked = !links.is_empty();
    let failed = gauge(
        "kyneta_uds.links.failed_starts",
        "Attempts in a row to start the links that have failed, 0 when they are started",
        snapshot.links_failure.as_ref().map_or(0, |of| of.attempts) as f64,
    );
    let is_shown = is_linked || snapshot.links_failure.is_some();
    let rows = rows.into_iter().filter(move |_| is_linked);
    rows.chain(is_shown.then_some(failed))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{
        super::snapshot::{LinksFailureStatus, Queued, tests::example},
        *,
    };

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
            "kyneta_uds_relay_routed_messages_total 8",
            "kyneta_uds_relay_documents 1",
            "kyneta_uds_stalled_total 1",
            "kyneta_uds_broken_total 0",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} in {text}");
        }
        assert!(!text.contains("links"), "{text}");
    }

    /// A listener with a link that is up and one that is not.
    fn linked() -> Snapshot {
        let mut snapshot = example();
        let link = |machine: &str, up, round_trip_us, opened, messages| LinkStatus {
            machine: machine.into(),
            up,
            reason: None,
            last_down: None,
            round_trip_us,
            opened,
            queued: Queued {
                messages,
                bytes: messages * 100,
            },
        };
        snapshot.links = vec![
            link("oslo", true, Some(1_500), 3, 2),
            link("rome", false, None, 1, 0),
        ];
        snapshot
    }

    #[test]
    fn links_are_counted_together() {
        let text = prometheus(&linked());
        for line in [
            "kyneta_uds_links 2",
            "kyneta_uds_links_up 1",
            "kyneta_uds_links_opened_total 4",
            "kyneta_uds_links_queued_messages 2",
            "kyneta_uds_links_queued_bytes 200",
            "kyneta_uds_links_round_trip_seconds 0.0015",
            "kyneta_uds_links_failed_starts 0",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} in {text}");
        }
    }

    #[test]
    fn links_that_cannot_be_started_are_counted_although_there_are_none() {
        let mut snapshot = example();
        snapshot.links_failure = Some(LinksFailureStatus {
            why: "in use".into(),
            attempts: 51,
            for_ms: 2_000,
        });
        let text = prometheus(&snapshot);
        assert!(text.contains("kyneta_uds_links_failed_starts 51"), "{text}");
        assert!(!text.contains("kyneta_uds_links_up"), "{text}");
    }

    #[test]
    fn the_text_is_three_lines_a_number_and_names_are_legal_and_different() {
        let text = prometheus(&linked());
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

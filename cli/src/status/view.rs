//! A status snapshot as text. Pure.

use std::fmt;

use kyneta_uds::status::{PeerStatus, Queued, Snapshot};

use crate::{
    style::{Color, Escaped, Style},
    table::Table,
};

/// How many peers are shown, those with the longest queues first: a screenful.
const SHOWN: usize = 30;

/// Displays a snapshot in short: counts of 0 are left out.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) style: Style,
}

impl fmt::Display for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { snapshot, style } = self;
        let color = match snapshot.health() {
            Ok(()) => Color::Good,
            Err(_) => Color::Bad,
        };
        write!(
            f,
            "{}  {}",
            style.paint(color, snapshot.role.name()),
            style.paint(Color::Strong, Escaped(&snapshot.id))
        )?;
        if let Some(path) = &snapshot.path {
            write!(f, "  {}", Escaped(path))?;
        }
        writeln!(f, "  up {}", Time(snapshot.uptime_ms))?;
        if let Some(waiting) = &snapshot.waiting {
            let what = format!("waiting for {}", Time(waiting.for_ms));
            let why = Escaped(&waiting.why);
            writeln!(f, "{}: {why}", style.paint(Color::Bad, what))?;
        }
        let Snapshot { sent, received, .. } = snapshot;
        let (queued, peers) = (QueueSize(snapshot.queued), snapshot.peers.len());
        writeln!(
            f,
            "queued {queued}, sent {sent}, received {received}, peers {peers}"
        )?;
        self.peers(f)?;
        if let Some(relay) = &snapshot.relay {
            let (documents, members, routed) = (relay.documents, relay.members, relay.routed);
            writeln!(
                f,
                "\nrelay: documents {documents}, members {members}, passed on {routed}"
            )?;
        }
        self.links(f)?;
        self.counts(f)
    }
}

impl View<'_> {
    fn links(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for link in &self.snapshot.links {
            let (color, state) = match link.up {
                true => (Color::Good, "up"),
                false => (Color::Bad, "down"),
            };
            let state = self.style.paint(color, state);
            write!(
                f,
                "link to {}: {state}, queued {}",
                Escaped(&link.machine),
                QueueSize(link.queued)
            )?;
            if let Some(micros) = link.round_trip_us {
                write!(f, ", round trip {micros} us")?;
            }
            if let Some(reason) = &link.reason {
                write!(f, ", {}", Escaped(reason))?;
            }
            match &link.last_down {
                Some(reason) => writeln!(f, "; last down: {}", Escaped(reason))?,
                None => writeln!(f)?,
            }
        }
        if self.snapshot.links_by_listener {
            writeln!(
                f,
                "links to other machines: those of the listener of this path, if it has the same options"
            )?;
        }
        if let Some(failure) = &self.snapshot.links_failure {
            let (attempts, time) = (failure.attempts, Time(failure.for_ms));
            let what = format!("no links after {attempts} attempts in {time}");
            let why = Escaped(&failure.why);
            writeln!(f, "{}: {why}", self.style.paint(Color::Bad, what))?;
        }
        Ok(())
    }

    fn peers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut peers: Vec<_> = self.snapshot.peers.iter().collect();
        // A stable sort: by id where the queues are equal.
        peers.sort_by_key(|peer| std::cmp::Reverse(peer.queued.bytes));
        let more = peers.len().saturating_sub(SHOWN);
        peers.truncate(SHOWN);
        if peers.is_empty() {
            return Ok(());
        }
        let head = [
            "PEER", "NAME", "TYPE", "WIRE", "UID", "PID", "FOR", "QUEUED", "SENT", "RECEIVED",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(peers.into_iter().map(row));
        writeln!(f)?;
        self.table(f, &rows)?;
        match more {
            0 => Ok(()),
            more => writeln!(f, "and {more} more, all of them with --json"),
        }
    }

    fn table<const N: usize>(
        &self,
        f: &mut fmt::Formatter<'_>,
        rows: &[[String; N]],
    ) -> fmt::Result {
        let style = self.style;
        write!(f, "{}", Table { rows, style })
    }

    fn counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Named as in the JSON.
        let counts = match &self.snapshot.bus {
            None => serde_json::to_value(self.snapshot.counts),
            Some(counts) => serde_json::to_value(counts),
        };
        let counts = counts.unwrap_or_default();
        let named = counts.as_object().into_iter().flatten();
        let named = named.filter_map(|(name, count)| Some((name, count.as_u64()?)));
        let mut rows = vec![["COUNT".to_owned(), String::new()]];
        rows.extend(
            named
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| [name.replace('_', " "), count.to_string()]),
        );
        if rows.len() == 1 {
            return Ok(());
        }
        writeln!(f)?;
        self.table(f, &rows)
    }
}

fn row(peer: &PeerStatus) -> [String; 10] {
    let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    [
        short(&peer.id),
        peer.name.as_deref().map_or_else(|| "-".to_owned(), short),
        short(&peer.peer_type),
        peer.wire.to_string(),
        number(peer.uid.map(i64::from)),
        number(peer.pid.map(i64::from)),
        Time(peer.connected_ms).to_string(),
        QueueSize(peer.queued).to_string(),
        peer.sent.to_string(),
        peer.received.to_string(),
    ]
}

/// A text from another process, cut where it would break the table.
fn short(text: &str) -> String {
    const WIDTH: usize = 32;
    let plain = Escaped(text).to_string();
    match plain.char_indices().nth(WIDTH) {
        None => plain,
        Some((end, _)) => format!("{}...", plain.get(..end).unwrap_or_default()),
    }
}

/// Milliseconds, in a readable unit.
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{}.{} s", seconds, self.0 % 1000 / 100),
            (0, 0, _) => write!(f, "{minutes} min {} s", seconds % 60),
            (0, _, _) => write!(f, "{hours} h {} min", minutes % 60),
            _ => write!(f, "{days} d {} h", hours % 24),
        }
    }
}

/// The content of a queue.
struct QueueSize(Queued);

impl fmt::Display for QueueSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Queued { messages, bytes } = self.0;
        match (messages, bytes) {
            (0, _) => f.write_str("0"),
            // Of a bus: bytes are not counted.
            (_, 0) => write!(f, "{messages}"),
            (_, 0..10_000) => write!(f, "{messages} ({bytes} B)"),
            (_, 10_000..10_240_000) => write!(f, "{messages} ({} KiB)", bytes >> 10),
            _ => write!(f, "{messages} ({} MiB)", bytes >> 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn view(json: Value) -> String {
        View {
            snapshot: &from_value(json).unwrap(),
            style: Style::PLAIN,
        }
        .to_string()
    }

    #[test]
    fn a_snapshot_in_short() {
        let alone = json!({
            "role": "negotiating", "id": "me", "uptime_ms": 1_234,
            "queued": {"messages": 0, "bytes": 0}, "sent": 0, "peers": [], "counts": {},
        });
        let expected = "negotiating  me  up 1.2 s\nqueued 0, sent 0, received 0, peers 0\n";
        assert_eq!(view(alone), expected);

        let waiting = json!({
            "role": "negotiating", "id": "me", "uptime_ms": 62_000,
            "waiting": {"why": "not permitted\nto", "for_ms": 61_000},
            "queued": {"messages": 0, "bytes": 0}, "sent": 0, "peers": [], "counts": {},
        });
        let expected = "negotiating  me  up 1 min 2 s\nwaiting for 1 min 1 s: not permitted\\nto\n\
                        queued 0, sent 0, received 0, peers 0\n";
        assert_eq!(view(waiting), expected);

        let two = json!({
            "role": "listener", "id": "hub", "path": "/run/bus.sock", "uptime_ms": 61_000,
            "queued": {"messages": 2, "bytes": 34}, "sent": 9, "received": 5,
            "peers": [
                {"id": "a", "type": "service", "wire": 2, "connected_ms": 5,
                 "queued": {"messages": 0, "bytes": 0}, "sent": 0},
                {"id": "billing-1", "name": "Bil\u{1b}[2Jling", "type": "bot", "wire": 3, "uid": 1000,
                 "pid": 4242, "connected_ms": 3_600_000,
                 "queued": {"messages": 2, "bytes": 34}, "sent": 7, "received": 4},
            ],
            "relay": {"members": 2, "routed": 8, "documents": 1, "records": 2, "open": 0},
            "counts": {"stalled": 1, "too_many_of_uid": 20},
        });
        let expected = "\
listener  hub  /run/bus.sock  up 1 min 1 s
queued 2 (34 B), sent 9, received 5, peers 2

PEER       NAME              TYPE     WIRE  UID   PID   FOR        QUEUED    SENT  RECEIVED
billing-1  Bil\\u{1b}[2Jling  bot      3     1000  4242  1 h 0 min  2 (34 B)  7     4
a          -                 service  2     -     -     0.0 s      0         0     0

relay: documents 1, members 2, passed on 8

COUNT
stalled          1
too many of uid  20
";
        assert_eq!(view(two), expected);
    }

    #[test]
    fn the_peers_with_the_longest_queues_are_shown() {
        let peers: Vec<_> = (0..SHOWN + 2)
            .map(|i| {
                json!({"id": format!("p{i}"), "type": "bot", "wire": 3, "connected_ms": 0,
                       "queued": {"messages": 1, "bytes": i}, "sent": 0})
            })
            .collect();
        let text = view(json!({
            "role": "listener", "id": "hub", "uptime_ms": 0,
            "queued": {"messages": 0, "bytes": 0}, "sent": 0, "peers": peers, "counts": {},
        }));
        assert!(text.contains("p31 ") && text.contains("p2 ") && !text.contains("p1 "));
        assert!(text.ends_with("and 2 more, all of them with --json\n"));
    }

    #[test]
    fn times_and_sizes() {
        for (ms, expected) in [
            (0, "0.0 s"),
            (59_999, "59.9 s"),
            (60_000, "1 min 0 s"),
            (3_599_999, "59 min 59 s"),
            (86_399_999, "23 h 59 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(Time(ms).to_string(), expected);
        }
        for (messages, bytes, expected) in [
            (0, 0, "0"),
            (1, 0, "1"),
            (1, 1, "1 (1 B)"),
            (3, 9_999, "3 (9999 B)"),
            (3, 10_240, "3 (10 KiB)"),
            (1024, 64 << 20, "1024 (64 MiB)"),
        ] {
            assert_eq!(QueueSize(Queued { messages, bytes }).to_string(), expected);
        }
        assert_eq!(short(&"x".repeat(33)), "x".repeat(32) + "...");
    }
}

//! Numbered messages: sent through stdin, and looked for in the events of the receivers.

use serde_json::{Value, json};

use crate::{DEADLINE, bus::Bus, support::event_log::Known};

impl Bus {
    /// Has `id` send messages with these numbers, to all peers.
    pub(crate) fn send(&mut self, id: &str, numbers: impl IntoIterator<Item = usize>) {
        for number in numbers {
            let message = numbered(id, number, "");
            self.process(id).write_line(&message);
        }
    }

    /// Waits until `id` has received exactly these numbers from `from`, in order.
    pub(crate) fn expect_received(
        &self,
        id: &str,
        from: &str,
        numbers: impl IntoIterator<Item = usize>,
    ) {
        let numbers: Vec<usize> = numbers.into_iter().collect();
        let got = self.log.wait(DEADLINE, |known| {
            (received(known, id, from) == numbers).then_some(())
        });
        if got.is_none() {
            let got = self.log.look(|known| received(known, id, from));
            panic!("{id} has received {got:?} from {from}, not {numbers:?}");
        }
    }
}

/// The line that sends a message with a number, from `id`, with this much data.
pub(crate) fn numbered(id: &str, number: usize, data: &str) -> Value {
    json!({"send": {"type": "offer", "docId": id, "version": number.to_string(),
                    "payload": {"kind": "since", "encoding": "json", "data": data}}})
}

/// The numbers that `id` has received from `from`, in order.
pub(crate) fn received(known: &Known, id: &str, from: &str) -> Vec<usize> {
    let message = json!({"event": "message", "peer": from});
    let entries = known.entries.iter().filter(|entry| entry.is(id, &message));
    let versions = entries.filter_map(|entry| entry.event["msg"]["version"].as_str());
    versions.map(|version| version.parse().unwrap()).collect()
}

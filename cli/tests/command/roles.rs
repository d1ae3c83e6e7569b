//! `listen` and `connect` as processes, started and ready.

use serde_json::{Value, json};

use crate::{
    process::{Process, start},
    support::common::Bus,
};

/// A listener at a new path, ready.
pub(crate) fn listener(options: &[&str]) -> (Bus, Process) {
    let bus = Bus::new();
    let process = listener_at(&bus, options);
    (bus, process)
}

/// A listener, ready.
pub(crate) fn listener_at(bus: &Bus, options: &[&str]) -> Process {
    let path = bus.path.to_str().unwrap();
    let mut process = start(&[&["listen", path, "--json"], options].concat());
    assert_eq!(process.next(), json!({"event": "listening", "path": path}));
    process
}

/// A connected client, and its `peer` event.
pub(crate) fn client(bus: &Bus, options: &[&str]) -> (Process, Value) {
    let path = bus.path.to_str().unwrap();
    let mut process = start(&[&["connect", path, "--json"], options].concat());
    let connecting = json!({"event": "state", "state": "connecting", "attempt": 1});
    assert_eq!(process.next(), connecting);
    assert_eq!(
        process.next(),
        json!({"event": "state", "state": "connected"})
    );
    let peer = process.next();
    assert_eq!(peer["change"], "established", "{peer}");
    (process, peer)
}

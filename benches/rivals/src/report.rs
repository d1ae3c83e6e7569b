//! The reports of server and client to the driver: a line each, on stdout.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// Of the server: a client can connect.
    Ready,
    /// Of the client: the work is done, and the time it took.
    Took(Duration),
    /// Of either: an error.
    Failed(String),
}

impl Report {
    pub(crate) fn tell(&self) {
        // If stdout is closed, no driver waits for it.
        if let Ok(line) = serde_json::to_string(self) {
            let _ = writeln!(io::stdout(), "{line}");
        }
    }
}

//! What a half tells the driver: one line each, on stdout.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The server: a client may come.
    Ready,
    /// The client: all is done, and took so long.
    Took(Duration),
    /// Either.
    Failed(String),
}

impl Report {
    pub(crate) fn tell(&self) {
        // Nobody to tell is nobody who waits.
        if let Ok(line) = serde_json::to_string(self) {
            let _ = writeln!(io::stdout(), "{line}");
        }
    }
}

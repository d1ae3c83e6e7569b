//! The options of `wire`.
//!
//! Pure values. What the commands read and print stands in the texts of their help, which are here.

use clap::Subcommand;

use kyneta_uds::{WireMode, WireVersion};

use crate::option_values::{bytes, wire_mode, wire_version};

#[derive(Debug, Subcommand)]
pub(crate) enum WireCommand {
    /// Bytes to messages
    ///
    /// Reads {"dir":"A->B","bytes":"hex"} lines and prints, for each, the messages and errors that the
    /// bytes complete. The bytes of a direction may be cut anywhere; its parser and its aliases live on
    /// from line to line.
    #[command(after_help = "Examples:
  echo '{\"dir\":\"A->B\",\"bytes\":\"03000000000400000001a1617402\"}' | kyneta-uds wire decode
  kyneta-uds wire decode --raw < captured.bin")]
    Decode {
        /// Read the plain bytes of one direction; print a message or an error a line
        #[arg(long)]
        raw: bool,

        /// The wire version; auto takes it from the first byte of each direction
        #[arg(long, default_value = "auto", value_parser = wire_mode())]
        wire: WireMode,

        /// The largest frame, bytes (64KiB and 64MiB are understood); unlimited by default, because the
        /// length in a header allocates nothing
        #[arg(long, value_name = "BYTES", default_value = "4294967295", value_parser = bytes)]
        max_frame: u32,
    },

    /// Messages to bytes
    ///
    /// Reads {"dir":"A->B","msg":MESSAGE} lines and prints the frame of each. The establish messages
    /// among them decide which direction may use aliases.
    #[command(after_help = "Example:
  echo '{\"dir\":\"A->B\",\"msg\":{\"type\":\"depart\"}}' | kyneta-uds wire encode --wire 2")]
    Encode {
        /// The wire version
        #[arg(long, default_value = "3", value_parser = wire_version())]
        wire: WireVersion,

        /// The largest frame, bytes (64KiB and 64MiB are understood)
        #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = bytes)]
        max_frame: u32,
    },

    /// Events of a hub to its messages
    ///
    /// Reads a walk a line, as in tests/vectors/relay.json, without its effects: {"config":..,"steps":
    /// [{"event":..}]}. Prints for each a list with the effects of each step, as the hub between members
    /// routes documents.
    #[command(after_help = "Example:
  echo '{\"config\":{},\"steps\":[{\"event\":{\"type\":\"established\",\"member\":\"a\",\"wire\":3}}]}' | kyneta-uds wire relay")]
    Relay,

    /// Schemas of documents to their hashes
    ///
    /// Reads a schema a line, as in tests/vectors/exchange-schema.json ("decl"). Prints for each its hashes
    /// for wire versions 2 and 3 ("v1", "v2"), the hashes that it supports, and the identities of its
    /// fields; or why it cannot be. What release 1.8 does not know has null for "v1".
    #[command(after_help = "Example:
  echo '{\"k\":\"struct\",\"fields\":[[\"notes\",{\"k\":\"text\"}]]}' | kyneta-uds wire schema")]
    Schema,

    /// Versions of documents to their order
    ///
    /// Reads {"substrate":..,"wire":2|3,"a":VERSION,"b":VERSION} lines, where the substrate is loro, yjs,
    /// plain, timestamp (ephemeral documents) or state. Prints for each how a relates to b, and b to a; or
    /// why one of them is no version.
    #[command(after_help = "Example:
  echo '{\"substrate\":\"plain\",\"wire\":2,\"a\":\"3\",\"b\":\"4\"}' | kyneta-uds wire version")]
    Version,
    /// What happens to a peer's documents to what the peer does
    ///
    /// Reads a walk a line, as in tests/vectors/exchange-sync.json, without its effects: {"wire":3,"steps":
    /// [{"in":..}]}. Prints for each a list with the effects of each step, as a peer tells other peers of documents.
    #[command(after_help = "Example:
  echo '{\"wire\":3,\"steps\":[{\"in\":\"peer-available\",\"peer\":\"a\"},{\"in\":\"declare-vacant\",\"doc\":\"d\",\"to\":\"a\"}]}' | kyneta-uds wire sync")]
    Sync,
    /// Events of a member of a bus, or of its hub, to their effects
    ///
    /// Reads a walk a line, as in tests/vectors/bus.json, without its effects and its state: {"kind":"member"
    /// or "hub","me":"1/0","steps":[{"event":..}]}. Prints for each a list with the effects of each step.
    #[command(after_help = "Example:
  echo '{\"kind\":\"member\",\"me\":\"1/0\",\"steps\":[{\"event\":\"connected\"}]}' | kyneta-uds wire bus")]
    Bus,
}

//! What may stand on the command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use kyneta_uds::{Allow, ListenerOptions, PeerType, SocketPath, WireMode, WireVersion};

use crate::bench::{Pin, Work};

/// Look at a bus, join it from a shell script, replay its bytes, measure it.
#[derive(Debug, Parser)]
#[command(
    name = "kyneta-uds",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "Examples:
  kyneta-uds demo                                      see four processes talk, and one crash
  kyneta-uds peer /tmp/bus.sock                        one of many: the first listens, the rest connect
  kyneta-uds listen /tmp/bus.sock --echo               a server that answers
  kyneta-uds connect /tmp/bus.sock                     a client, its messages from stdin
  kyneta-uds status /tmp/status.sock                   what is the one with --status doing?
  kyneta-uds wire decode --raw < captured.bin          what do these bytes say?
  kyneta-uds bench                                     what does a message cost here?"
)]
pub(crate) struct Cli {
    /// Say more on stderr: -v progress, -vv details, -vvv everything (RUST_LOG says it finer)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Be one of many: the first on a path listens, the rest connect, survivors take over
    #[command(after_help = "Examples:
  kyneta-uds peer /tmp/bus.sock
  kyneta-uds peer /run/app/bus.sock --id billing-1 --echo --json
  kyneta-uds peer /tmp/bus.sock --status /tmp/status.sock
  kyneta-uds peer /tmp/bus.sock --mode 660 --max-queue 4096 < messages.jsonl")]
    Peer(Peer),

    /// Be a server: listen on a path and exchange messages with all who connect
    #[command(after_help = "Examples:
  kyneta-uds listen /tmp/bus.sock
  kyneta-uds listen /run/app/bus.sock --mode 660 --echo --json
  kyneta-uds listen /run/app/bus.sock --mode 660 --group 33 --allow-uid 33
  echo '{\"send\":{\"type\":\"dismiss\",\"docId\":\"d\"}}' | kyneta-uds listen /tmp/bus.sock")]
    Listen(Listen),

    /// Be a client: connect to a path and exchange messages with its server
    #[command(after_help = "Examples:
  kyneta-uds connect /tmp/bus.sock
  kyneta-uds connect /tmp/bus.sock --id shell-1 --json < messages.jsonl
  kyneta-uds connect /tmp/bus.sock --retries 3 --base-delay 100
  kyneta-uds connect @abstract-name --wire 2 --no-reconnect")]
    Connect(Connect),

    /// Look at one that runs: its role, its peers, what waits, what went wrong
    ///
    /// Asks at the socket that `peer`, `listen` or `connect` was given with --status, or that a
    /// service of your own answers at. What is asked for is HTTP: curl has it, too.
    #[command(after_help = "Examples:
  kyneta-uds status /tmp/status.sock
  kyneta-uds status /tmp/status.sock --watch
  kyneta-uds status /tmp/status.sock --json | jq .peers
  curl --unix-socket /tmp/status.sock http://localhost/status    or /metrics, or /healthz")]
    Status(Status),

    /// Look at the wire: bytes to messages and back
    #[command(after_help = "Example:
  kyneta-uds wire decode --raw < captured.bin")]
    Wire {
        #[command(subcommand)]
        command: Wire,
    },

    /// Measure what a message costs, beside what a bare socket costs
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Examples:
  kyneta-uds bench
  kyneta-uds bench --work rtt --size 64 --pin same
  kyneta-uds bench --work rtt --pin split --spin 50
  kyneta-uds bench --work stream --work pipe --rounds 9 --json
  kyneta-uds bench --work fan --size 64 --size 1KiB"
    )]
    Bench(Bench),

    /// See it run: processes on a socket of their own exchange messages for a few seconds
    #[command(after_help = "Example:
  kyneta-uds demo")]
    Demo,

    /// Print the completions for a shell
    #[command(after_help = "Example:
  kyneta-uds completions bash > ~/.local/share/bash-completion/completions/kyneta-uds")]
    Completions {
        /// For which shell
        shell: Shell,
    },

    /// Print the manual page, or write all of them
    #[command(after_help = "Examples:
  kyneta-uds man | man -l -
  kyneta-uds man --dir /usr/local/share/man/man1")]
    Man {
        /// Write the command's page and one for each of its commands into this directory
        #[arg(long, value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Peer {
    #[command(flatten)]
    pub(crate) bus: Bus,

    #[command(flatten)]
    pub(crate) file: File,
}

#[derive(Debug, Args)]
pub(crate) struct Listen {
    #[command(flatten)]
    pub(crate) bus: Bus,

    #[command(flatten)]
    pub(crate) file: File,

    /// Do not remove a stale socket file, one behind which nobody listens any more; fail instead
    #[arg(long)]
    pub(crate) no_cleanup: bool,
}

/// What whoever listens can choose.
#[derive(Debug, Args)]
pub(crate) struct File {
    /// The socket file's permissions, octal
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = mode)]
    pub(crate) mode: u32,

    /// The socket file's group, by number: with --mode 660 its members can connect, if they are allowed
    #[arg(long, value_name = "GID")]
    pub(crate) group: Option<u32>,

    /// Let in processes of this user as well, by number; those of our own user always are (may be
    /// repeated)
    #[arg(long, value_name = "UID")]
    pub(crate) allow_uid: Vec<u32>,
}

impl File {
    /// How the path is bound, and who may come in.
    pub(crate) fn options(&self) -> ListenerOptions {
        let allow = Allow::same_uid().or(Allow::uids(self.allow_uid.iter().copied()));
        let options = ListenerOptions::new().mode(self.mode).allow(allow);
        match self.group {
            Some(gid) => options.group(gid),
            None => options,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Where it answers
    #[arg(value_hint = ValueHint::FilePath, value_parser = socket_path)]
    pub(crate) path: SocketPath,

    /// Print the JSON as it comes, on one line
    #[arg(long)]
    pub(crate) json: bool,

    /// Ask again each second, until told to end
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Connect {
    #[command(flatten)]
    pub(crate) bus: Bus,

    /// How many attempts in a row may come to nothing before it gives up
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) retries: u32,

    /// The wait before the first attempt to come back, milliseconds; each one after it waits twice
    /// as long, and up to a fifth more
    #[arg(long, value_name = "MS", default_value = "1000")]
    pub(crate) base_delay: u64,

    /// The longest wait, milliseconds
    #[arg(long, value_name = "MS", default_value = "30000")]
    pub(crate) max_delay: u64,

    /// One connection, or none: end when it cannot be made, and when it is lost
    #[arg(long, conflicts_with_all = ["retries", "base_delay", "max_delay"])]
    pub(crate) no_reconnect: bool,
}

/// What everybody on a bus can choose.
#[derive(Debug, Args)]
pub(crate) struct Bus {
    /// Where the bus is: a file, or @name in Linux's abstract namespace
    #[arg(value_hint = ValueHint::FilePath, value_parser = socket_path)]
    pub(crate) path: SocketPath,

    /// Who this is on the bus [default: the role and the process number]
    #[arg(long)]
    pub(crate) id: Option<String>,

    /// A name for people
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// What this is: user, bot or service
    #[arg(long = "type", value_name = "TYPE", default_value = "service", value_parser = peer_type)]
    pub(crate) peer_type: PeerType,

    /// The wire version
    #[arg(long, default_value = "auto")]
    pub(crate) wire: WireArg,

    /// Neither send aliases nor ask for them
    #[arg(long)]
    pub(crate) no_alias: bool,

    /// Send each offer that comes in back to its sender
    #[arg(long)]
    pub(crate) echo: bool,

    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,

    /// Stay when stdin ends; without it, its end is the end, unless nothing was ever read from it
    #[arg(long)]
    pub(crate) stay: bool,

    /// Say at this socket what this one is doing: HTTP, for `kyneta-uds status` and curl
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, value_parser = socket_path)]
    pub(crate) status: Option<SocketPath>,

    /// The largest frame, in and out, bytes (64KiB and 64MiB are understood)
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = bytes)]
    pub(crate) max_frame: u32,

    /// How many messages may wait for a peer
    #[arg(long, value_name = "MESSAGES", default_value = "1024", value_parser = at_least_one)]
    pub(crate) max_queue: usize,

    /// How long a peer's queue may stay full before the peer is disconnected, milliseconds
    #[arg(long, value_name = "MS", default_value = "5000")]
    pub(crate) stall_limit: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Wire {
    /// Bytes to messages
    ///
    /// Reads {"dir":"A->B","bytes":"hex"} lines and prints, for each, what the bytes amount to. A
    /// direction's bytes may be cut anywhere; its parser and its aliases live on from line to line.
    #[command(after_help = "Examples:
  echo '{\"dir\":\"A->B\",\"bytes\":\"03000000000400000001a1617402\"}' | kyneta-uds wire decode
  kyneta-uds wire decode --raw < captured.bin")]
    Decode {
        /// Read the bytes of one direction as they are; print a message or an error a line
        #[arg(long)]
        raw: bool,

        /// The wire version; auto adopts what a direction's first byte says
        #[arg(long, default_value = "auto")]
        wire: WireArg,

        /// The largest frame, bytes (64KiB and 64MiB are understood); any by default, as a header's
        /// word allocates nothing
        #[arg(long, value_name = "BYTES", default_value = "4294967295", value_parser = bytes)]
        max_frame: u32,
    },

    /// Messages to bytes
    ///
    /// Reads {"dir":"A->B","msg":MESSAGE} lines and prints each one's frame. Who may alias follows
    /// from the establish messages among them.
    #[command(after_help = "Example:
  echo '{\"dir\":\"A->B\",\"msg\":{\"type\":\"depart\"}}' | kyneta-uds wire encode --wire 2")]
    Encode {
        /// The wire version
        #[arg(long, default_value = "3")]
        wire: FixedWireArg,

        /// The largest frame, bytes (64KiB and 64MiB are understood)
        #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = bytes)]
        max_frame: u32,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    pub(crate) half: Option<BenchHalf>,

    /// What to measure (may be repeated) [default: all]
    #[arg(long, value_name = "WORK")]
    pub(crate) work: Vec<Work>,

    /// With messages of this size (may be repeated) [default: by work]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(crate) size: Vec<u32>,

    /// How many messages a round [default: by work and size]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// How often to measure; the median counts
    #[arg(long, value_name = "N", default_value = "5", value_parser = at_least_one)]
    pub(crate) rounds: usize,

    /// Which cores the two processes run on
    #[arg(long, default_value = "none")]
    pub(crate) pin: Pin,

    /// Have our connections look for more for so long before they sleep
    #[arg(long, value_name = "MICROSECONDS", value_parser = micros)]
    pub(crate) spin: Option<Duration>,

    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchHalf {
    /// The half that answers; prints "ready" and ends with its first client
    #[command(after_help = "Example:
  kyneta-uds bench server /tmp/bench.sock")]
    Server {
        /// Where to listen
        #[arg(value_hint = ValueHint::FilePath)]
        path: PathBuf,

        #[command(flatten)]
        seat: SeatArgs,
    },

    /// The half that measures; prints its figures as one JSON line
    #[command(after_help = "Example:
  kyneta-uds bench client /tmp/bench.sock rtt 64 10000")]
    Client {
        /// Where the server listens
        #[arg(value_hint = ValueHint::FilePath)]
        path: PathBuf,

        /// What to measure
        work: Work,

        /// Of each message's data, bytes
        #[arg(value_parser = bytes)]
        size: u32,

        /// How many messages
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        count: u64,

        #[command(flatten)]
        seat: SeatArgs,
    },
}

/// What the driver tells its halves.
#[derive(Debug, Args)]
pub(crate) struct SeatArgs {
    /// Do the same work on a bare tokio UnixStream
    #[arg(long)]
    pub(crate) floor: bool,

    /// Run on the how-manieth of the cores allowed, from 0
    #[arg(long, value_name = "N")]
    pub(crate) core: Option<usize>,

    /// Have connections look for more for so long before they sleep
    #[arg(long, value_name = "MICROSECONDS", value_parser = micros, conflicts_with = "floor")]
    pub(crate) spin: Option<Duration>,
}

/// A wire version, or to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WireArg {
    /// Adopt the other side's
    Auto,
    /// Of the reference's releases 1.x
    #[value(name = "2")]
    V2,
    /// Of the reference's releases 2.x and 3.x
    #[value(name = "3")]
    V3,
}

impl WireArg {
    pub(crate) const fn mode(self) -> WireMode {
        match self {
            Self::Auto => WireMode::Auto,
            Self::V2 => WireMode::Fixed(WireVersion::V2),
            Self::V3 => WireMode::Fixed(WireVersion::V3),
        }
    }
}

/// A wire version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FixedWireArg {
    /// Of the reference's releases 1.x
    #[value(name = "2")]
    V2,
    /// Of the reference's releases 2.x and 3.x
    #[value(name = "3")]
    V3,
}

impl FixedWireArg {
    pub(crate) const fn version(self) -> WireVersion {
        match self {
            Self::V2 => WireVersion::V2,
            Self::V3 => WireVersion::V3,
        }
    }
}

fn socket_path(text: &str) -> Result<SocketPath, String> {
    SocketPath::new(text).map_err(|error| error.to_string())
}

fn peer_type(text: &str) -> Result<PeerType, String> {
    PeerType::from_name(text).ok_or_else(|| "expected user, bot or service".to_owned())
}

fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("expected an octal number from 0 to 777".to_owned()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a number from 1 on".to_owned()),
    }
}

fn micros(text: &str) -> Result<Duration, String> {
    let number = text.parse().map(Duration::from_micros);
    number.map_err(|_| "expected a number of microseconds".to_owned())
}

fn bytes(text: &str) -> Result<u32, String> {
    let (digits, shift) = match (text.strip_suffix("KiB"), text.strip_suffix("MiB")) {
        (Some(digits), _) => (digits, 10),
        (_, Some(digits)) => (digits, 20),
        _ => (text, 0),
    };
    let number: Option<u64> = digits.trim_end().parse().ok();
    number
        .and_then(|number| number.checked_mul(1 << shift))
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| {
            "expected a number of bytes below 4 GiB, as 65536, 64KiB or 16MiB".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(bytes("64"), Ok(64));
        assert_eq!(bytes("64KiB"), Ok(65536));
        assert_eq!(bytes("16MiB"), Ok(16 << 20));
        assert!(bytes("4096MiB").is_err());
        assert!(bytes("99999999999999MiB").is_err());
        assert!(bytes("-1").is_err());
    }
}
